"""Numbers of OCF: decimal strings of at most ten places, and back."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Final

from marketplace.ocf.values import Monetary

PLACES: Final = 10
_UNIT: Final = Decimal(1).scaleb(-PLACES)
USD: Final = "USD"


def render_number(value: Decimal | Fraction | int) -> str:
    """Return a number without exponent or trailing zeros, rounded half to even to ten places."""
    if isinstance(value, Fraction):
        scaled = round(value * 10**PLACES)
        value = Decimal(f"{scaled}E-{PLACES}")
    elif isinstance(value, Decimal) and -value.as_tuple().exponent > PLACES:  # type: ignore[operator]
        value = value.quantize(_UNIT, ROUND_HALF_EVEN)
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def is_exact(value: Fraction) -> bool:
    """Return whether a fraction has at most ten decimal places."""
    return (value * 10**PLACES).denominator == 1


def render_money(value: Decimal | Fraction) -> Monetary:
    """Return dollars."""
    return Monetary(amount=render_number(value), currency=USD)


def is_number(text: str) -> bool:
    """Return whether authorised shares are a number, not a word such as ``UNLIMITED``."""
    return text.lstrip("+-")[:1].isdigit()


def find_whole(text: str) -> int | None:
    """Return a whole number of zero or more; None for any other number."""
    value = Decimal(text)
    return int(value) if value >= 0 and value == int(value) else None
