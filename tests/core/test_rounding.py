"""The named roundings: each mode, printed digits, and splits that conserve."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.rounding import allocate, round_half_even, round_places, round_whole

WEIGHTS = st.lists(st.fractions(min_value=0, max_value=1000, max_denominator=97), min_size=1, max_size=12).filter(any)


@pytest.mark.parametrize(
    ("value", "floor", "ceiling", "half_up", "half_even"),
    [
        (Fraction(5, 2), 2, 3, 3, 2),
        (Fraction(7, 2), 3, 4, 4, 4),
        (Fraction(-5, 2), -3, -2, -2, -2),
        (Fraction(-7, 3), -3, -2, -2, -2),
        (Fraction(4), 4, 4, 4, 4),
    ],
)
def test_each_mode_sends_a_fraction_its_way(value, floor, ceiling, half_up, half_even):
    assert round_whole(value, "floor") == floor
    assert round_whole(value, "ceiling") == ceiling
    assert round_whole(value, "half_up") == half_up
    assert round_whole(value, "half_even") == half_even


def test_printed_digits_are_exactly_as_many_as_asked():
    assert str(round_half_even(Fraction(1, 8), 2)) == "0.12"
    assert str(round_places(Fraction(3), 3, "half_up")) == "3.000"
    assert str(round_places(Fraction(10**40 + 1, 3), 2, "floor")).endswith(".66")


def test_large_values_keep_every_digit():
    assert round_places(Fraction(10**30 + 1, 10), 1, "half_even") == Decimal("100000000000000000000000000000.1")


def test_the_remainder_goes_to_the_largest_fractions_then_to_the_first():
    assert allocate(10, [1, 1, 1]) == [4, 3, 3]
    assert allocate(7, [Fraction(1, 2), Fraction(3, 2), 1]) == [1, 4, 2]
    assert allocate(0, [0, 0]) == [0, 0]


@given(st.integers(min_value=0, max_value=10**12), WEIGHTS)
def test_an_allocation_conserves_and_no_part_is_off_by_a_unit(total, weights):
    parts = allocate(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    assert all(abs(part - total * weight / whole) < 1 for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [-1, 2]), (1, [0, 0])])
def test_impossible_allocations_are_refused(total, weights):
    with pytest.raises(ValueError, match="cannot allocate"):
        allocate(total, weights)
