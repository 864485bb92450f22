"""What a priced round refuses, by name and with its numbers; and what it bears."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.core.errors import Refusal
from marketplace.equity.capitalization import company_capitalization
from marketplace.equity.model import (
    Capitalization,
    Holding,
    Investment,
    Note,
    NoteTerms,
    PreferredClass,
    Safe,
    SafeTerms,
)
from marketplace.equity.rounds import price_round
from tests.equity.builders import company, post_money, pre_money, priced, terms


def refused(code, *arguments, **named):
    with pytest.raises(Refusal) as caught:
        price_round(*arguments, **named)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    "convention",
    ["pricing_convention", "capitalization_definition", "share_rounding", "price_rounding", "price_places"],
)
def test_a_missing_convention_is_refused_by_name(convention):
    refusal = refused("missing_convention", company(), [], terms(**{convention: None}))
    assert refusal.facts["convention"] == convention
    assert convention in refusal.message
    assert refusal.pointer == f"/{convention}"


def test_a_pool_needs_its_timing():
    asked = terms(pool_post_money=Fraction(1, 10), pool_timing=None)
    assert refused("missing_convention", company(), [], asked).facts["convention"] == "pool_timing"
    assert priced(company(), [], terms(pool_timing=None)).pool_increase == 0


def test_an_unrecorded_election_is_refused_and_a_recorded_one_is_used():
    favoured = Safe("m", "h", 500_000, SafeTerms("post_money", most_favoured_nation=True))
    assert refused("mfn_election_missing", company(), [favoured], terms()).facts["instrument_id"] == "m"
    declined = priced(company(), [replace(favoured, mfn_election="declined")], terms())
    assert declined.conversions[0].branch == "round_price"
    elected = priced(company(), [replace(favoured, mfn_election=SafeTerms("post_money", 6_000_000))], terms())
    assert elected.conversions[0].branch == "cap"


def test_a_note_needs_a_day_count_a_kind_of_interest_and_a_closing_date():
    stated = NoteTerms(Fraction(8, 100), "simple", "actual_365", date(2025, 1, 1), None, 5_000_000)
    note = Note("n", "h", 100_000, stated)
    assert refused("missing_convention", company(), [], terms(), [note]).facts["convention"] == "closing_date"
    closing = terms(closing_date=date(2026, 1, 1))
    for name in ("day_count", "interest"):
        lacking = replace(note, terms=replace(stated, **{name: None}))
        assert refused("missing_convention", company(), [], closing, [lacking]).facts["convention"] == name
    assert priced(company(), [], closing, notes=[note]).conversions[0].amount_usd == 108_000


def test_a_weighted_average_needs_to_say_of_what():
    series = PreferredClass("a", 2, price_protection="weighted_average")
    before = Capitalization((Holding("f", "common", 100), Holding("x", "a", 10)), (series,))
    assert refused("missing_convention", before, [], terms()).facts["convention"] == "protection_basis"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"pricing_convention": "fair"}, "unknown_convention"),
        ({"capitalization_definition": "all of it"}, "unknown_convention"),
        ({"price_places": 13}, "price_places_out_of_range"),
        ({"price_places": -1}, "price_places_out_of_range"),
        ({"investments": ()}, "no_investment"),
        ({"pre_money_usd": 0}, "not_positive"),
        ({"pre_money_usd": Decimal("NaN")}, "not_finite"),
        ({"pre_money_usd": Decimal("Infinity")}, "not_finite"),
        ({"investments": (Investment("n", -5),)}, "not_positive"),
        ({"pool_post_money": 1}, "fraction_out_of_range"),
        ({"pool_post_money": Decimal("-0.1")}, "fraction_out_of_range"),
        ({"pool_increase_shares": -1}, "negative"),
        ({"pool_increase_shares": 5, "pool_post_money": Fraction(1, 10)}, "pool_stated_twice"),
        (
            {"share_rounding": "floor_fixed_point", "pricing_convention": "dollars_invested"},
            "rounding_needs_percent_ownership",
        ),
    ],
)
def test_impossible_terms_are_refused(changes, code):
    refused(code, company(), [], terms(**changes))


@pytest.mark.parametrize(
    ("safe", "code"),
    [
        (post_money("s", 0, 5_000_000), "not_positive"),
        (post_money("s", -1, 5_000_000), "not_positive"),
        (post_money("s", 100, 0), "not_positive"),
        (post_money("s", 100, 5_000_000, 1), "fraction_out_of_range"),
        (post_money("s", 100, 5_000_000, Decimal("-0.2")), "fraction_out_of_range"),
        (post_money("s", 5_000_000, 5_000_000), "cap_below_principal"),
        (pre_money("s", 9_000_000, 5_000_000), "cap_below_principal"),
        (replace(post_money("s", 1), terms=SafeTerms("post_money", ownership=1)), "fraction_out_of_range"),
    ],
)
def test_impossible_instruments_are_refused(safe, code):
    refused(code, company(), [safe], terms())


def test_tranches_whose_terms_differ_are_refused():
    one, other = post_money("s", 100, 5_000_000), post_money("s", 100, 6_000_000)
    assert refused("terms_differ", company(), [one, other], terms()).facts["instrument_id"] == "s"


def test_caps_that_ask_for_the_whole_company_are_refused_with_the_slope():
    stack = [post_money("a", 3_000_000, 5_000_000), post_money("b", 2_000_000, 5_000_000)]
    refusal = refused("stack_exceeds_company", company(), stack, terms())
    assert refusal.facts["slope"] == "1"
    with pytest.raises(Refusal) as caught:
        company_capitalization(company(), stack)
    assert caught.value.code == "stack_exceeds_company"


def test_pool_new_money_and_conversions_that_ask_for_everything_are_refused_with_their_parts():
    stack = [post_money("a", 2_000_000, 5_000_000)]
    asked = terms(pre_money_usd=3_000_000, pool_post_money=Fraction(1, 2))
    refusal = refused("stack_exceeds_company", company(), stack, asked)
    assert refusal.facts["slope"] == "1.333333333333"
    assert refusal.facts["pool_part"] == "0.5"
    assert refusal.facts["new_money_part"] == "0.5"


def test_discounted_money_beyond_the_pre_money_is_refused():
    refused("stack_exceeds_company", company(), [post_money("a", 12_000_000, None, Fraction(1, 5))], terms())


def test_a_company_without_shares_is_refused():
    refused("no_shares", Capitalization(()), [], terms())
    refused("no_shares", company(common=0), [], terms())


def test_negative_holdings_and_impossible_series_are_refused():
    refused("negative", company(common=-1), [], terms())
    refused("negative", company(options_available=-1), [], terms())
    series = PreferredClass("a", 0)
    refused("not_positive", Capitalization((Holding("f", "common", 1),), (series,)), [], terms())


@pytest.mark.parametrize("amount", [Decimal("1e15"), Decimal("1e-6")])
def test_amounts_of_any_size_stay_exact(amount):
    stated = terms(pre_money_usd=Decimal("1e17"), new_money_usd=amount)
    result = priced(company(), [post_money("s", amount, Decimal("1e16"))], stated)
    assert sum(row.shares_exact * result.price_usd for row in result.new_money) == Fraction(amount)


def test_a_float_is_our_own_mistake():
    with pytest.raises(TypeError, match="not float"):
        price_round(company(), [], terms(pre_money_usd=12e6))


def test_a_price_that_prints_as_zero_is_refused_where_it_would_divide():
    asked = terms(pre_money_usd=1, new_money_usd=1, price_places=2, share_rounding="floor_after_price")
    refused("price_rounds_to_zero", company(), [], asked)


def test_nothing_is_changed_by_a_refusal():
    before = company()
    stack = [post_money("a", 5_000_000, 5_000_000)]
    refused("cap_below_principal", before, stack, terms())
    assert before == company()
    assert stack == [post_money("a", 5_000_000, 5_000_000)]


def test_the_places_of_conversion_prices_belong_to_policies_that_round_prices_first():
    refused("conversion_price_places_unexpected", company(), [], terms(conversion_price_places=4))
    asked = terms(share_rounding="floor_after_price", conversion_price_places=13)
    refused("price_places_out_of_range", company(), [], asked)
    small = terms(share_rounding="floor_after_price", conversion_price_places=0)
    refused("price_rounds_to_zero", company(), [post_money("a", 1_000, 1_000_000)], small)
