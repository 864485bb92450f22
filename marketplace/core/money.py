"""Money and prices: exact decimals with stated places and bounds. No floats.

A price per GPU-hour times GPU-hours is an exact fraction of dollars. One of the functions below rounds it to cents.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from marketplace.core.errors import Refusal

ZERO: Final = Decimal(0)
CENT: Final = Decimal("0.01")
USD_MAX: Final = Decimal(10) ** 15
USD_PLACES: Final = 2
PRICE_MAX_USD_PER_GPU_HOUR: Final = Decimal(10) ** 9
PRICE_PLACES: Final = 6
PRICE_STEP: Final = Decimal(1).scaleb(-PRICE_PLACES)
"""The last place of a price per GPU-hour."""
SHARE_PLACES: Final = 9
PRICE_MAX_USD_PER_SHARE: Final = Decimal(10) ** 9
SHARE_PRICE_PLACES: Final = 12
RATIO_PLACES: Final = 12
AS_CONVERTED_PLACES: Final = 6
SECONDS_PER_HOUR: Final = 3_600
HOURS_PLACES: Final = 4
HOURS_MAX: Final = Decimal(10**6)


_WRITTEN_OUT_MAX: Final = 30
"""An error shows a refused number without an exponent, if its power of ten lies between minus this and this."""


def require_usd(amount: Decimal, pointer: str, *, zero: bool = False) -> None:
    """Refuse an amount of dollars that is not a whole number of cents, above 0 and at most 10^15.

    Args:
        amount: Dollars.
        pointer: JSON pointer to the member of the request that states it.
        zero: Whether 0 is allowed too.

    Raises:
        Refusal: ``not_a_number``, ``amount_not_positive``, ``amount_too_large`` or ``amount_too_precise``, in this
            order.
    """
    _require(amount, pointer, "dollars", USD_MAX, USD_PLACES, zero=zero)


def require_price(price: Decimal, pointer: str, *, zero: bool = False) -> None:
    """Refuse a price that is not above 0 and at most 10^9 dollars per GPU-hour, or has more than 6 decimal places.

    Raises:
        Refusal: As `require_usd`.
    """
    _require(price, pointer, "dollars per GPU-hour", PRICE_MAX_USD_PER_GPU_HOUR, PRICE_PLACES, zero=zero)


def require_hours(hours: Decimal, pointer: str, *, zero: bool = False) -> None:
    """Refuse hours of work that are not above 0 and at most 10^6, or have more than 4 decimal places.

    Raises:
        Refusal: As `require_usd`.
    """
    _require(hours, pointer, "hours", HOURS_MAX, HOURS_PLACES, zero=zero)


def require_price_per_share(price: Decimal, pointer: str, *, zero: bool = False) -> None:
    """Refuse a price of one share that is not above 0 and at most 10^9 dollars, or has more than 12 decimal places.

    Raises:
        Refusal: As `require_usd`.
    """
    _require(price, pointer, "dollars per share", PRICE_MAX_USD_PER_SHARE, SHARE_PRICE_PLACES, zero=zero)


def require_share(share: Decimal, pointer: str) -> None:
    """Refuse a fraction that is not from 0 to 1, or has more than 9 decimal places.

    Raises:
        Refusal: As `require_usd`.
    """
    _require(share, pointer, "", Decimal(1), SHARE_PLACES, zero=True)


def _require(value: Decimal, pointer: str, unit: str, maximum: Decimal, places: int, *, zero: bool) -> None:
    if not value.is_finite():
        kind = unit or "a share of one"
        raise Refusal("not_a_number", f"{pointer} is {value}; state {kind} as a decimal number", pointer=pointer)
    if not value.is_signed() and (zero or value) and value <= maximum and _fits(value, places):
        return
    text = f"{value:f}" if abs(value.adjusted()) <= _WRITTEN_OUT_MAX else str(value)
    stated = f"{pointer} is {text} {unit}" if unit else f"{pointer} is {text}"
    if value.is_signed() or (value == 0 and not zero):
        bound = "at least 0" if zero else "above 0"
        raise Refusal("amount_not_positive", f"{stated}; it must be {bound}", pointer=pointer, value=text)
    if value > maximum:
        raise Refusal(
            "amount_too_large",
            f"{stated}; the most is {maximum:f}",
            pointer=pointer,
            value=text,
            maximum=f"{maximum:f}",
        )
    raise Refusal(
        "amount_too_precise",
        f"{stated}; at most {places} decimal places are allowed",
        pointer=pointer,
        value=text,
        places=places,
    )


def _fits(value: Decimal, places: int) -> bool:
    """Return whether a finite number has at most this many decimal places, trailing zeros aside.

    `Decimal.normalize` would round to the context's 28 digits first, and hide what lies beyond them.
    """
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "a finite number has an exponent"
    surplus = -exponent - places
    return surplus <= 0 or not any(digits[-surplus:])


def parse_ratio(text: str) -> Fraction:
    """Return the exact fraction that a text such as ``7/3`` states.

    Raises:
        ValueError: It states none.
        ZeroDivisionError: Its denominator is 0.
    """
    return Fraction(text)


def render_ratio(value: Fraction | Decimal) -> str:
    """Return an exact fraction as text, always with its denominator: ``7/3``, ``2/1``."""
    fraction = Fraction(value)
    return f"{fraction.numerator}/{fraction.denominator}"


def round_ratio(value: Fraction, places: int = RATIO_PLACES) -> Decimal:
    """Return a fraction as a decimal with at most `places` digits after the point, rounded half to even."""
    rounded = Decimal(round(value * 10**places)).scaleb(-places)
    return Decimal(f"{rounded.normalize():f}")


def round_shares(value: Fraction) -> Decimal:
    """Return shares before rounding, or a part of a company, with at most 6 places, rounded half to even."""
    return round_ratio(value, AS_CONVERTED_PLACES)


def round_cents(value: Fraction) -> Decimal:
    """Return dollars rounded half to even to the cent."""
    return _from_cents(round(value * 100))


def ceil_price(value: Fraction) -> Decimal:
    """Return a price per GPU-hour rounded up to 6 places, so that an offer of it suffices."""
    millionths = Decimal(f"{-((-value * 10**PRICE_PLACES).__floor__())}E-{PRICE_PLACES}")
    return Decimal(f"{millionths.normalize():f}")


def ceil_cents(value: Fraction) -> Decimal:
    """Return dollars rounded up to the cent, toward plus infinity."""
    return _from_cents(-((-value * 100).__floor__()))


def ceil_cost(price: Decimal, count: int) -> Decimal:
    """Return a price times a count, in dollars rounded up to the cent."""
    numerator, denominator = price.as_integer_ratio()
    return _from_cents(-(-numerator * count * 100 // denominator))


def floor_cents(value: Fraction) -> Decimal:
    """Return dollars rounded down to the cent, toward minus infinity."""
    return _from_cents((value * 100).__floor__())


def _from_cents(cents: int) -> Decimal:
    """Return dollars of whole cents, exact whatever the context's precision."""
    return Decimal(f"{cents}E-2")
