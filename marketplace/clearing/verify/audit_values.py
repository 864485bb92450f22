"""What the parts of the verifier share: violations, and exact readings of prices. No code of the solver is used."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from marketplace.clearing.model import PriceRange
from marketplace.core.errors import Refusal

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a result breaks, where, and how."""

    code: str
    subject: str
    text: str


def show(amount: Fraction) -> str:
    """Write an amount with six places for a sentence."""
    return str(Decimal(round(amount * MILLION)).scaleb(-6))


def micro(price: Decimal) -> int:
    """Return a price in millionths of a dollar.

    Raises:
        Refusal: `clearing_broken`, where it has more than six places.
    """
    scaled = Fraction(price) * MILLION
    if scaled.denominator != 1:
        raise Refusal("clearing_broken", f"price {price} has more than six places; publish prices with at most six")
    return scaled.numerator


def is_sane(price: Decimal | None, proven: PriceRange | None) -> bool:
    """Return whether a price to win is in whole cents and within what is said to be proven about it."""
    if price is None or proven is None:
        return price is None and proven is None
    lower, upper = proven.lower_usd_per_gpu_hour, proven.upper_usd_per_gpu_hour
    if proven.guarantee == "exact" and not lower == price == upper:
        return False
    return 0 <= lower <= price and (upper is None or price <= upper) and price * 100 == int(price * 100)
