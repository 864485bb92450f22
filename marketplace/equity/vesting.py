"""Spread a whole number of shares over tranches, by the allocation types of the Open Cap Table Format 1.2.0."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from marketplace.core.errors import Refusal
from marketplace.core.rounding import RoundingMode, round_whole

AllocationType = Literal[
    "CUMULATIVE_ROUNDING",
    "CUMULATIVE_ROUND_DOWN",
    "FRONT_LOADED",
    "BACK_LOADED",
    "FRONT_LOADED_TO_SINGLE_TRANCHE",
    "BACK_LOADED_TO_SINGLE_TRANCHE",
    "FRACTIONAL",
]
TRANCHES_MAX = 10_000


def spread(quantity: int, tranches: int, allocation: AllocationType) -> list[Fraction]:
    """Spread shares over equal tranches; the parts sum to the quantity, and only ``FRACTIONAL`` gives parts of a share.

    Args:
        quantity: Shares, zero or more.
        tranches: From 1 to 10,000.
        allocation: ``CUMULATIVE_ROUNDING`` rounds the running total half up; the others say where the remainder goes.

    Raises:
        Refusal: ``tranches_out_of_range``, ``negative``.
    """
    if not 1 <= tranches <= TRANCHES_MAX:
        raise Refusal("tranches_out_of_range", f"{tranches} tranches; give from 1 to {TRANCHES_MAX}")
    if quantity < 0:
        raise Refusal("negative", f"a quantity of {quantity} shares; it must be zero or more")
    return [Fraction(part) for part in _SPREADS[allocation](quantity, tranches)]


def _cumulative(quantity: int, tranches: int, mode: RoundingMode) -> list[int]:
    running = [round_whole(Fraction(quantity * number, tranches), mode) for number in range(tranches + 1)]
    return [after - before for before, after in pairwise(running)]


def _front(quantity: int, tranches: int) -> list[int]:
    each, rest = divmod(quantity, tranches)
    return [each + (number < rest) for number in range(tranches)]


def _single_front(quantity: int, tranches: int) -> list[int]:
    each, rest = divmod(quantity, tranches)
    return [each + rest, *[each] * (tranches - 1)]


_SPREADS: Mapping[AllocationType, Callable[[int, int], list[int] | list[Fraction]]] = {
    "CUMULATIVE_ROUNDING": lambda quantity, tranches: _cumulative(quantity, tranches, "half_up"),
    "CUMULATIVE_ROUND_DOWN": lambda quantity, tranches: _cumulative(quantity, tranches, "floor"),
    "FRONT_LOADED": _front,
    "BACK_LOADED": lambda quantity, tranches: _front(quantity, tranches)[::-1],
    "FRONT_LOADED_TO_SINGLE_TRANCHE": _single_front,
    "BACK_LOADED_TO_SINGLE_TRANCHE": lambda quantity, tranches: _single_front(quantity, tranches)[::-1],
    "FRACTIONAL": lambda quantity, tranches: [Fraction(quantity, tranches)] * tranches,
}
