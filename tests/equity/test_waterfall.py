"""Sales worked by hand: SAFEs that were never converted, options, notes, and what is refused."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.core.errors import Refusal
from marketplace.equity.checker import verify
from marketplace.equity.liquidation import OptionGrant
from marketplace.equity.model import Capitalization, Holding, Note, NoteTerms, PreferredClass, Safe, SafeTerms
from marketplace.equity.waterfall import distribute
from tests.equity.builders import company, post_money, pre_money


def sold(proceeds, before, **more):
    result = distribute(proceeds, before, **more)
    assert verify(result.certificate) == []
    return result


def refused(code, *arguments, **named):
    with pytest.raises(Refusal) as caught:
        distribute(*arguments, **named)
    assert caught.value.code == code
    return caught.value


def test_a_safe_takes_its_money_back_in_a_small_sale():
    result = sold(5_000_000, company(), safes=[post_money("s", 1_000_000, 10_000_000)])
    assert result.choice_of("s") == "hold"
    assert result.paid_for("s") == 1_000_000
    assert result.paid_for("common") == 4_000_000


def test_a_post_money_safe_converts_into_its_part_of_a_large_sale():
    result = sold(50_000_000, company(), safes=[post_money("s", 1_000_000, 10_000_000)])
    assert result.choice_of("s") == "convert"
    assert result.paid_for("s") == 5_000_000


def test_a_safe_is_indifferent_at_its_cap_and_then_holds():
    assert sold(10_000_000, company(), safes=[post_money("s", 1_000_000, 10_000_000)]).choice_of("s") == "hold"


def test_liquidation_capitalization_leaves_out_preferred_that_holds_and_the_pool():
    """With 8M common and a preferred that holds, a tenth of the residual goes to the SAFE, whatever the pool."""
    series = PreferredClass("a", 10)
    before = Capitalization(
        (Holding("f", "common", 8_000_000), Holding("x", "a", 2_000_000)), (series,), options_available=5_000_000
    )
    result = sold(60_000_000, before, safes=[post_money("s", 1_000_000, 10_000_000)])
    assert result.choice_of("a") == "hold"
    assert result.paid_for("s") == 4_000_000
    assert result.paid_for("common") == 36_000_000


def test_safes_share_a_shortfall_with_preferred_of_their_rank():
    series = PreferredClass("a", 1)
    before = Capitalization((Holding("f", "common", 8_000_000), Holding("x", "a", 3_000_000)), (series,))
    result = sold(2_000_000, before, safes=[post_money("s", 1_000_000, 10_000_000)])
    assert (result.paid_for("a"), result.paid_for("s"), result.paid_for("common")) == (1_500_000, 500_000, 0)


def test_a_pre_money_safe_is_measured_on_stock_and_options_alone():
    result = sold(40_000_000, company(), safes=[pre_money("s", 1_000_000, 8_000_000)])
    assert result.price_per_common_share_usd == Fraction(40, 9)
    assert result.paid_for("s") == Fraction(40_000_000, 9)


def test_a_discount_safe_gets_its_money_over_one_less_the_discount():
    result = sold(20_000_000, company(), safes=[post_money("s", 1_000_000, None, Fraction(1, 5))])
    assert result.choice_of("s") == "convert_at_discount"
    assert result.paid_for("s") == 1_250_000


def test_a_cap_and_a_discount_take_the_better_in_a_sale():
    both = post_money("s", 1_000_000, 10_000_000, Fraction(1, 5))
    assert sold(11_000_000, company(), safes=[both]).choice_of("s") == "convert_at_discount"
    assert sold(90_000_000, company(), safes=[both]).choice_of("s") == "convert"


def test_an_uncapped_safe_takes_its_money():
    result = sold(90_000_000, company(), safes=[post_money("s", 1_000_000)])
    assert result.paid_for("s") == 1_000_000


def test_options_are_exercised_when_the_price_is_above_their_strike_net_of_it():
    grants = [OptionGrant("low", "e1", 2_000_000, 1), OptionGrant("high", "e2", 1_000_000, 50)]
    result = sold(18_000_000, company(), options=grants)
    assert result.price_per_common_share_usd == 2
    assert result.exercised == ("low",)
    assert (result.paid_for("low"), result.paid_for("high")) == (2_000_000, 0)


def test_notes_are_paid_before_everybody_and_convert_when_their_cap_is_worth_it():
    stated = NoteTerms(Fraction(1, 10), "simple", "actual_365", date(2025, 1, 1), None, 4_000_000)
    note = Note("n", "lender", 1_000_000, stated)
    series = PreferredClass("a", 1)
    before = Capitalization((Holding("f", "common", 3_000_000), Holding("x", "a", 1_000_000)), (series,))
    poor = sold(1_500_000, before, notes=[note], on_day=date(2026, 1, 1))
    assert (poor.paid_for("n"), poor.paid_for("a")) == (1_100_000, 400_000)
    rich = sold(51_000_000, before, notes=[note], on_day=date(2026, 1, 1))
    assert rich.choice_of("n") == "convert"
    assert rich.price_per_common_share_usd == 10
    assert rich.paid_for("n") == 11_000_000


def test_a_repayment_multiple_is_of_the_principal_beside_the_interest():
    stated = NoteTerms(Fraction(6, 100), "simple", "actual_365", date(2026, 1, 1), repayment_multiple=2)
    result = sold(16_030_000, company(), notes=[Note("n", "lender", 500_000, stated)], on_day=date(2027, 1, 1))
    assert result.paid_for("n") == 1_030_000


def test_holders_of_a_class_share_by_shares_and_cents_are_not_lost():
    before = Capitalization((Holding("a", "common", 1), Holding("b", "common", 1), Holding("c", "common", 1)))
    result = sold(Decimal("100.00"), before)
    assert [each.amount_usd for each in result.payouts] == [Decimal("33.34"), Decimal("33.33"), Decimal("33.33")]
    assert result.paid_to("a") == Decimal("33.34")


def test_nothing_is_paid_out_of_nothing():
    result = sold(0, company(), safes=[post_money("s", 1, 10)])
    assert {each.amount_usd for each in result.payouts} == {Decimal("0.00")}


def test_tranches_of_a_safe_act_as_one_and_are_paid_in_proportion():
    tranches = [Safe("s", "p", amount, SafeTerms("post_money", 10_000_000)) for amount in (200_000, 300_000, 500_000)]
    result = sold(50_000_000, company(), safes=tranches)
    assert len(result.elections) == 1
    paid = [each.amount_usd_exact for each in result.payouts if each.item_id == "s"]
    assert paid == [1_000_000, 1_500_000, 2_500_000]


def test_conversion_is_a_game_whose_answer_shows_the_other_choices():
    preferred = (
        PreferredClass("a", Fraction(5, 2), seniority=2, participation="capped", participation_cap_multiple=2),
        PreferredClass("b", 6, seniority=1),
    )
    before = Capitalization(
        (Holding("f", "common", 8_000_000), Holding("x", "a", 2_000_000), Holding("y", "b", 1_500_000)), preferred
    )
    result = sold(60_000_000, before)
    values = {each.claim_id: dict(each.values_usd) for each in result.elections}
    assert values["a"] == {"hold": 10_000_000, "convert": 10_200_000}
    assert values["b"]["hold"] == 9_000_000
    assert values["b"]["convert"] < 9_000_000


def test_what_cannot_be_split_is_refused():
    refused("negative", -1, company())
    refused("options_not_listed", 100, company(options_granted=5))
    ranks = (PreferredClass("a", 1, seniority=1), PreferredClass("b", 1, seniority=2))
    before = Capitalization((Holding("f", "common", 1), Holding("x", "a", 1), Holding("y", "b", 1)), ranks)
    refusal = refused("missing_convention", 100, before, safes=[post_money("s", 1, 10)])
    assert refusal.facts["convention"] == "safe_seniority"
    note = Note("n", "l", 1, NoteTerms(0, "simple", "actual_365", date(2025, 1, 1)))
    assert refused("missing_convention", 100, company(), notes=[note]).facts["convention"] == "on_day"
    capped = (PreferredClass("a", 1, participation="capped"),)
    refused("missing_convention", 100, Capitalization((Holding("x", "a", 1),), capped))
    stack = [post_money("s", 6, 10), post_money("t", 4, 10)]
    assert refused("stack_exceeds_company", 100, company(), safes=stack).facts["slope"] == "1"
    refused(
        "mfn_election_missing",
        100,
        company(),
        safes=[Safe("m", "h", 5, SafeTerms("post_money", most_favoured_nation=True))],
    )
    refused("no_residual_holder", 100, Capitalization(()), safes=[post_money("s", 1)])
