"""Price protection, participation, warrants, vesting, drawdown, splits and stock-for-stock."""

from decimal import Decimal
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.equity.drawdown import Delivery, DrawdownTerms, draw_down
from marketplace.equity.exchanges import exchange_ratio, paid_in_stock, split_shares
from marketplace.equity.model import Capitalization, Holding, PreferredClass
from marketplace.equity.participation import investment_for_target_usd, pay_to_play
from marketplace.equity.price_protection import adjusted_conversion_price, after_adjustment, protect
from marketplace.equity.vesting import AllocationType, spread
from marketplace.equity.warrants import net_exercise_shares
from marketplace.equity.waterfall import distribute
from tests.equity.builders import company


def refused(code, call, *arguments, **named):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    assert caught.value.code == code
    return caught.value


def protected_company():
    series = (
        PreferredClass("seed", Fraction(3, 2), price_protection="full_ratchet"),
        PreferredClass("a", Fraction(5, 2), price_protection="weighted_average", protection_basis="outstanding"),
        PreferredClass("b", 9),
    )
    holdings = (
        Holding("f", "common", 8_000_000),
        Holding("x", "seed", 2_000_000),
        Holding("y", "a", 2_000_000),
        Holding("z", "b", 1_000_000),
    )
    return Capitalization(holdings, series)


def test_an_exempt_issue_triggers_nothing():
    adjustments = protect(protected_company(), 4_000_000, 4_000_000, exempted=True)
    assert [each.triggered for each in adjustments] == [False, False]
    assert after_adjustment(protected_company(), adjustments).fully_diluted == protected_company().fully_diluted


def test_only_protected_series_are_adjusted_and_preferences_stay():
    before = protected_company()
    after = after_adjustment(before, protect(before, 4_000_000, 4_000_000, exempted=False))
    assert [series.conversion_ratio > 1 for series in after.preferred] == [True, True, False]
    assert [series.issue_price_usd for series in after.preferred] == [Fraction(3, 2), Fraction(5, 2), 9]


@given(st.integers(1, 10**7), st.integers(0, 10**8), st.integers(1, 10**8), st.integers(1, 50))
def test_a_conversion_price_never_rises_and_an_average_never_falls_below_the_issue(shares, paid, basis, price):
    after = adjusted_conversion_price(Fraction(price), Fraction(shares), Fraction(paid), Fraction(basis))
    assert min(Fraction(price), Fraction(paid, shares)) <= after <= price


def test_a_ratchet_on_a_gift_and_an_average_of_nothing_stated_are_refused():
    refused("ratchet_without_price", protect, protected_company(), 100, 0, exempted=False)
    series = PreferredClass("a", 2, price_protection="weighted_average")
    before = Capitalization((Holding("x", "a", 10),), (series,))
    refused("missing_convention", protect, before, 1, 1, exempted=False)
    refused("not_positive", protect, before, 0, 1, exempted=False)


def test_paying_more_than_owed_is_paying_in_full():
    assert pay_to_play(1000, 500, 900, 1).preferred_converted == 0
    punished = pay_to_play(1000, 500, 100, Fraction(1, 10))
    assert (punished.preferred_remaining, punished.common_issued) == (200, 80)


def test_a_target_that_is_met_already_needs_no_cheque():
    assert investment_for_target_usd(Fraction(1, 2), Fraction(1, 10), 20, 5) == 0


def test_net_exercise_under_water_gives_nothing_and_never_more_than_the_warrant():
    assert net_exercise_shares(100, 5, 4) == 0
    assert net_exercise_shares(100, 0, 4) == 100
    refused("not_positive", net_exercise_shares, 100, 5, 0)


@given(st.integers(0, 10**9), st.integers(1, 60), st.sampled_from(get_args(AllocationType)))
def test_every_allocation_conserves_and_is_even_to_a_share(quantity, tranches, allocation):
    parts = spread(quantity, tranches, allocation)
    assert sum(parts) == quantity
    if "SINGLE" not in allocation:
        assert max(parts) - min(parts) <= 1


def test_impossible_tranches_are_refused():
    refused("tranches_out_of_range", spread, 5, 0, "FRONT_LOADED")
    refused("negative", spread, -5, 2, "FRONT_LOADED")


def drawdown_terms(consequence, commitment=1000):
    return DrawdownTerms(commitment, 2, Fraction(95, 100), consequence)


DELIVERIES = [Delivery("s1", 100, 1), Delivery("s2", 100, Fraction(19, 20) / 2), Delivery("s3", 50, Fraction(95, 100))]


@pytest.mark.parametrize(
    ("consequence", "principal", "undrawn"), [("roll_forward", 300, 700), ("exclude", 300, 500), ("credit", 400, 600)]
)
def test_a_missed_level_does_what_was_agreed(consequence, principal, undrawn):
    result = draw_down(drawdown_terms(consequence), DELIVERIES)
    assert (result.principal_usd, result.undrawn_usd) == (principal, undrawn)
    assert [each.met for each in result.accruals] == [True, False, True]


def test_principal_never_exceeds_the_commitment():
    result = draw_down(drawdown_terms("credit", commitment=250), DELIVERIES)
    assert (result.principal_usd, result.undrawn_usd) == (250, 0)


def test_a_statement_accrues_once_and_a_consequence_must_be_stated():
    refused("statement_repeated", draw_down, drawdown_terms("credit"), [DELIVERIES[0], DELIVERIES[0]])
    assert refused("missing_convention", draw_down, drawdown_terms(None), []).facts["convention"] == "consequence"


def test_a_split_moves_no_ownership_and_no_preference():
    series = PreferredClass("a", 5, conversion_price_usd=4)
    before = Capitalization((Holding("f", "common", 100), Holding("x", "a", 10)), (series,), options_granted=7)
    after = split_shares(before, 10, "floor")
    assert after.fully_diluted == 10 * before.fully_diluted
    assert after.preferred[0].conversion_ratio == series.conversion_ratio
    assert after.shares_of("a") * Fraction(after.preferred[0].issue_price_usd) == 50


def test_a_consolidation_gives_up_fractions_as_stated():
    before = Capitalization((Holding("f", "common", 101), Holding("g", "common", 99)))
    assert [holding.shares for holding in split_shares(before, Fraction(1, 10), "floor").holdings] == [10, 9]
    assert [holding.shares for holding in split_shares(before, Fraction(1, 10), "ceiling").holdings] == [11, 10]


def test_a_sale_for_stock_pays_whole_shares_and_cash_for_the_rest():
    sold = distribute(10_000_001, company(common=3))
    row = paid_in_stock(sold.payouts, 7)[0]
    assert (row.shares, row.cash_usd) == (1_428_571, Decimal("4.00"))
    assert row.shares_exact * 7 == 10_000_001
    assert exchange_ratio(sold.price_per_common_share_usd, 7) == Fraction(10_000_001, 21)
