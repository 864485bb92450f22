"""Rates of return against an independent count of roots: Sturm's theorem on yearly flows, in exact fractions."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.equity.rates import Flow, xirr

FIRST = date(2000, 1, 1)
LOW, HIGH = 1 / (1 + Fraction(10**6)), 1 / (1 - Fraction(999_999, 10**6))


def yearly(*amounts):
    """Return flows a year of 365 days apart."""
    return [Flow(FIRST + timedelta(days=365 * year), amount) for year, amount in enumerate(amounts)]


def trim(terms):
    while terms and not terms[-1]:
        terms = terms[:-1]
    return terms


def divide(numerator, denominator):
    """Return the rest of the division of two polynomials, lowest power first."""
    rest = list(numerator)
    while len(rest) >= len(denominator):
        factor, shift = rest[-1] / denominator[-1], len(rest) - len(denominator)
        for index, term in enumerate(denominator):
            rest[index + shift] -= factor * term
        rest.pop()
    return trim(rest)


def evaluate(terms, at):
    return sum(term * at**power for power, term in enumerate(terms))


def count_roots(amounts):
    """Return how many discount factors between the bounds make yearly flows worth nothing, each counted once."""
    terms = trim([Fraction(amount) for amount in amounts])
    if not terms:
        return 0
    chain = [terms, trim([power * term for power, term in enumerate(terms)][1:])]
    while chain[-1]:
        chain.append([-term for term in divide(chain[-2], chain[-1])])
    chain.pop()

    def change(at):
        signs = [value > 0 for value in (evaluate(each, at) for each in chain) if value]
        return sum(before != after for before, after in pairwise(signs))

    return change(LOW) - change(HIGH)


@given(st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=9))
def test_every_rate_is_found_once_and_none_is_made_up(amounts):
    result = xirr(yearly(*amounts))
    assert len(result.rates) == count_roots(amounts)
    assert result.status == {0: "none", 1: "unique"}.get(len(result.rates), "multiple")
    scale = sum(abs(amount) for amount in amounts)
    for rate in result.rates:
        factor = 1 / (1 + Fraction(rate))
        worth = evaluate([Fraction(amount) for amount in amounts], factor)
        assert abs(worth) <= scale * max(factor, 1) ** len(amounts) * Fraction(1, 10**15)


SHAPES = [
    ((0,), (), "none"),
    ((-100,), (), "none"),
    ((-100, -20, -3), (), "none"),
    ((100, 20), (), "none"),
    ((-100, 110), ("0.1",), "unique"),
    ((-100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200), ("0.0717734625",), "unique"),
    ((100, -110), ("0.1",), "unique"),
    ((-100, 230, -132), ("0.1", "0.2"), "multiple"),
    ((-1_000, 3_600, -4_310, 1_716), ("0.1", "0.2", "0.3"), "multiple"),
    ((-100, 220, -121), ("0.1",), "unique"),
    ((100, -200, 150), (), "none"),
    ((-100, 1), ("-0.99",), "unique"),
    ((Decimal("-1e15"), Decimal("2e15")), ("1",), "unique"),
    ((Decimal("-1e-6"), Decimal("3e-6")), ("2",), "unique"),
]


@pytest.mark.parametrize(("amounts", "rates", "status"), SHAPES)
def test_shapes_of_flows_whose_rates_are_known(amounts, rates, status):
    result = xirr(yearly(*amounts))
    assert (result.status, len(result.rates)) == (status, len(rates))
    for found, known in zip(result.rates, rates, strict=True):
        assert abs(found - Decimal(known)) < Decimal("1e-10")


def test_flows_of_one_day_are_one_flow():
    day, later = FIRST, FIRST + timedelta(days=365)
    assert (
        xirr([Flow(day, -60), Flow(later, 150), Flow(day, -40)]).rates
        == xirr([Flow(day, -100), Flow(later, 150)]).rates
    )
    assert xirr([Flow(day, -100), Flow(day, 100)]).status == "none"
    assert xirr([Flow(day, -100), Flow(day, 130)]).status == "none"


def test_a_century_and_a_single_day_have_their_rate():
    century = xirr([Flow(date(1900, 1, 1), -1), Flow(date(1900, 1, 1) + timedelta(days=36_500), 1_000)])
    assert abs(century.rate - Decimal("0.0715193052")) < Decimal("1e-10")
    night = xirr([Flow(FIRST, -100), Flow(FIRST + timedelta(days=1), Decimal("100.01"))])
    assert abs(night.rate - (Decimal("1.0001") ** 365 - 1)) < Decimal("1e-20")


def test_no_flows_and_too_many_are_refused():
    for flows, code in (([], "no_flows"), (yearly(*[1] * 1_001), "too_many_flows")):
        with pytest.raises(Refusal) as caught:
            xirr(flows)
        assert caught.value.code == code
