"""The named roundings: where an exact fraction becomes a whole share, a cent or a printed price.

The equity mathematics rounds shares, prices and payouts only here, and is exact before a call into this module. Most
policies round once, the shares; `…_after_price` and `floor_fixed_point` round the price first.

Elsewhere are the roundings of dollars to the cent (`core/money.py`), of rates of return (`equity/rates.py`), of what is
paid on the market (`projections/trading/market/`) and of numbers of OCF (`ocf/numbers.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal

RoundingMode = Literal["floor", "ceiling", "half_up", "half_even"]


def round_whole(value: Fraction | int, mode: RoundingMode) -> int:
    """Round to a whole number by a named mode.

    Args:
        value: Exact value, of either sign.
        mode: ``floor`` and ``ceiling`` go toward minus and plus infinity; ``half_up`` sends halves upward;
            ``half_even`` sends halves to the even neighbour.
    """
    return _MODES[mode](Fraction(value))


def round_places(value: Fraction | int, places: int, mode: RoundingMode) -> Decimal:
    """Round to a decimal with exactly `places` digits after the point (0 to 30), by a named mode."""
    return Decimal(f"{round_whole(Fraction(value) * 10**places, mode)}E-{places}")


def round_half_even(value: Fraction, places: int) -> Decimal:
    """Round to a decimal with exactly `places` digits after the point, halves to the even neighbour."""
    return round_places(value, places, "half_even")


def allocate(total: int, weights: Sequence[Fraction | int]) -> list[int]:
    """Split a whole total in proportion to weights without losing or making a unit.

    Each part is rounded down. The remaining units go, one each, to the parts with the largest fractions; of equal
    fractions the smaller index is first. So each part differs from its exact share by less than a unit, and the parts
    sum to the total.

    Args:
        total: Units to split (shares, cents), not negative.
        weights: Not negative, at least one above zero unless the total is zero.

    Returns:
        One part per weight, in the order of the weights.

    Raises:
        ValueError: The total or a weight is negative, or every weight is zero and the total is not.
    """
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact, Fraction(0))
    if total < 0 or any(weight < 0 for weight in exact):
        raise ValueError(
            f"cannot allocate {total} units over weights {list(map(str, exact))}: all must be zero or more"
        )
    if whole == 0:
        if total:
            raise ValueError(f"cannot allocate {total} units: every weight is zero")
        return [0 for _ in exact]
    parts = [total * weight / whole for weight in exact]
    floors = [part.numerator // part.denominator for part in parts]
    by_fraction = sorted(range(len(parts)), key=lambda index: (floors[index] - parts[index], index))
    for index in by_fraction[: total - sum(floors)]:
        floors[index] += 1
    return floors


def _half_up(value: Fraction) -> int:
    doubled = 2 * value + 1
    return doubled.numerator // (2 * doubled.denominator)


_MODES: Mapping[RoundingMode, Callable[[Fraction], int]] = {
    "floor": lambda value: value.numerator // value.denominator,
    "ceiling": lambda value: -(-value.numerator // value.denominator),
    "half_up": _half_up,
    "half_even": round,
}
