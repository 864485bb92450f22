"""Books in which somebody offers the most that an offer may be are cleared, and bounded, like any other."""

from decimal import Decimal

from marketplace.clearing.engine import clear
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.money import PRICE_MAX_USD_PER_GPU_HOUR
from tests.clearing.books import book, order


def test_two_huge_offers_that_meet_in_one_period_leave_no_gap():
    most = str(PRICE_MAX_USD_PER_GPU_HOUR)
    early, late = order("early", 1, 45, (0, 0), value=most), order("late", 1, 45, (44, 44), value=most)
    made = book(early, late, lots=(("a", 1, 0, 90, "1"),), periods=90)
    result = clear(made, seed=1)
    assert result.certificate.welfare_usd == (PRICE_MAX_USD_PER_GPU_HOUR - 1) * 45 * 8 * 24
    assert result.certificate.gap <= Decimal("0.000001")
    assert find_violations(made, result) == ()


def test_the_second_best_placement_of_a_wide_and_long_huge_offer_is_told_in_full():
    made = book(
        order("wide", 64, 45, (0, 1), value=str(PRICE_MAX_USD_PER_GPU_HOUR)), lots=(("a", 64, 0, 46, "1"),), periods=46
    )
    result = clear(made, seed=1)
    second = result.decisions[0].second_best
    assert (second.start_period, second.surplus_difference_usd) == (1, 0)
    assert find_violations(made, result) == ()


def test_one_huge_offer_among_usual_ones_leaves_the_others_as_they_would_be():
    made = book(
        order("huge", 4, 5, (0, 5), value="999999999.99"),
        order("usual", 4, 5, (0, 5), value="3"),
        order("poor", 4, 5, (0, 5), value="2"),
    )
    result = clear(made, seed=1)
    assert [decision.match is not None for decision in result.decisions] == [True, True, False]
    assert find_violations(made, result) == ()
