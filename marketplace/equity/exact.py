"""Exact numbers at the edge: input becomes a fraction without loss, and output is text that can be read back.

Floats are refused, because a float has already lost the number that the contract states.
"""

from decimal import Decimal
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.core.money import round_ratio

Exact = int | Decimal | Fraction

ZERO = Fraction(0)
ONE = Fraction(1)


def exact(value: Exact, what: str) -> Fraction:
    """Turn an exact number into a fraction.

    Args:
        value: Integer, decimal or fraction.
        what: The name of the number, for the error.

    Raises:
        Refusal: ``not_finite`` for a decimal that is NaN or infinite.
        TypeError: For a float, a bool or anything else that is not exact: our own mistake.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction):
        raise TypeError(f"{what} must be an int, Decimal or Fraction, not {type(value).__name__}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise Refusal("not_finite", f"{what} is {value}; give a finite number", what=what)
    return Fraction(value)


def positive(value: Exact, what: str) -> Fraction:
    """Turn a number that must be above zero into a fraction.

    Raises:
        Refusal: ``not_positive`` if it is zero or less; ``not_finite`` as in `exact`.
    """
    number = exact(value, what)
    if number <= 0:
        raise Refusal("not_positive", f"{what} is {value}; it must be above zero", what=what, value=str(value))
    return number


def not_negative(value: Exact, what: str) -> Fraction:
    """Turn a number that must be zero or more into a fraction.

    Raises:
        Refusal: ``negative`` if it is below zero; ``not_finite`` as in `exact`.
    """
    number = exact(value, what)
    if number < 0:
        raise Refusal("negative", f"{what} is {value}; it must be zero or more", what=what, value=str(value))
    return number


def proper_fraction(value: Exact, what: str) -> Fraction:
    """Turn a share of a whole, zero or more and below one, into a fraction.

    Raises:
        Refusal: ``fraction_out_of_range`` outside ``[0, 1)``; ``not_finite`` as in `exact`.
    """
    number = exact(value, what)
    if not 0 <= number < 1:
        raise Refusal(
            "fraction_out_of_range",
            f"{what} is {value}; it must be at least 0 and below 1 (20% is 0.20)",
            what=what,
            value=str(value),
        )
    return number


def show(value: Fraction) -> str:
    """Write a fraction for people, as a decimal of at most 12 places, rounded half to even."""
    return f"{round_ratio(value):f}"


def render(value: Fraction | int) -> str:
    """Write a fraction as ``n`` or ``n/d`` in lowest terms; `Fraction` reads it back unchanged."""
    return str(Fraction(value))
