"""Amounts in sentences are money that people read: cents, and prices to the places that they have; facts stay exact."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Limit, Use
from marketplace.clearing.money import say_amount, say_rate
from tests.clearing.books import book, order


@pytest.mark.parametrize(
    ("amount", "rounding", "said"),
    [
        ("1234567.891234", None, "1,234,567.89"),
        ("0.004", None, "less than 0.01"),
        ("0", None, "0.00"),
        ("0.006", ROUND_FLOOR, "0.00"),
        ("0.001", ROUND_CEILING, "0.01"),
    ],
)
def test_an_amount_is_said_in_cents(amount, rounding, said):
    assert (say_amount(Decimal(amount), rounding) if rounding else say_amount(Decimal(amount))) == said


@pytest.mark.parametrize(("fact", "said"), [("3", "3.00"), ("3.6", "3.60"), ("2.81", "2.81"), ("2.123457", "2.123457")])
def test_a_price_is_said_with_two_places_or_as_many_as_it_has(fact, said):
    assert say_rate(fact) == said


def test_a_limit_that_is_used_up_is_told_in_cents_and_its_facts_exactly():
    bid = Bid("p", Decimal(5), uses=(Use("power/s", Decimal("0.333333")),))
    made = book(order("first", 1, 1, (0, 0), bid), order("second", 3, 1, (0, 0), bid))
    clearing = clear(type(made)(*made_terms(made), limits=(Limit("power/s", Decimal("1.2")),)), seed=1)
    reason = next(decision.reasons[0] for decision in clearing.decisions if decision.match is None)
    assert reason.facts["left"] == "0.200001"
    assert reason.facts["needed"] == "0.333333"
    assert "0.20 is left, and this order would take 0.34" in reason.text


def made_terms(made):
    """Return what a book consists of beside its limits."""
    return made.period_hours, made.periods, made.pools, made.lots, made.orders


def test_an_order_under_the_asks_is_told_both_prices_with_two_places():
    clearing = clear(book(order("poor", 1, 1, (0, 0), value="0.5")), seed=1)
    reason = clearing.decisions[0].reasons[0]
    assert reason.text == "worth 0.50 USD per GPU-hour where the cheapest asks come to 1.00"
    assert (reason.facts["value_usd_per_gpu_hour"], reason.facts["ask_usd_per_gpu_hour"]) == ("0.5", "1")
