"""Exact conversions between dollars and the micro-dollars that the engine counts in."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

MICRO = 1_000_000
CENT_MICRO = 10_000
CENT = Decimal("0.01")
_EXACT = Context(prec=60)


def micro(price: Decimal) -> int:
    """Return a price of at most six places in whole micro-dollars."""
    return int(_EXACT.multiply(price, Decimal(MICRO)))


def usd(micros: int) -> Decimal:
    """Return micro-dollars as dollars, exact."""
    return _EXACT.divide(Decimal(micros), Decimal(MICRO))


def usd_of(amount: Fraction) -> Decimal:
    """Return an exact amount of whole micro-dollars as dollars."""
    micros = amount * MICRO
    if micros.denominator != 1:
        raise AssertionError(f"{amount} is not a whole number of micro-dollars")
    return usd(micros.numerator)


def ceil_cent(micros: Fraction | int) -> int:
    """Round micro-dollars up to a whole cent."""
    return -(-micros // CENT_MICRO) * CENT_MICRO


def ratio_up(part: Decimal, whole: Decimal) -> Decimal:
    """Return part / whole rounded up to six places; zero where the whole is zero."""
    if whole == 0:
        return Decimal(0)
    context = Context(prec=60, rounding=ROUND_CEILING)
    return context.quantize(context.divide(part, whole), Decimal("0.000001"))


def show(amount: Fraction | Decimal) -> str:
    """Write an amount as a fact: plain, at most six places."""
    value = amount if isinstance(amount, Decimal) else Decimal(amount.numerator) / Decimal(amount.denominator)
    rounded = Context(prec=60, rounding=ROUND_HALF_EVEN).quantize(value, Decimal("0.000001"))
    text = format(rounded, "f").rstrip("0").rstrip(".")
    return text or "0"


def say_rate(fact: str) -> str:
    """Write a price per GPU-hour, known by its fact, for a sentence: two places, or as many more as it has."""
    whole, _, places = fact.partition(".")
    return f"{whole}.{places:0<2}"


def say_amount(amount: Decimal, rounding: str = ROUND_HALF_EVEN) -> str:
    """Write an amount for a sentence, in cents and with commas; less than half a cent is `less than 0.01`."""
    cents = Context(prec=60, rounding=rounding).quantize(amount, CENT)
    return "less than 0.01" if amount > 0 and cents == 0 and rounding == ROUND_HALF_EVEN else f"{cents:,f}"
