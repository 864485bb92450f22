"""The exact price to win, for books small enough to be solved to the optimum many times over.

With an order forced in, the best welfare grows with its value, cent by cent. The threshold is the least cent at which
it reaches the welfare without the order; at equality the engine itself is asked, since its search decides a tie.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from marketplace.clearing.allocation import Allocation
from marketplace.clearing.exact import solve_exactly
from marketplace.clearing.grid import Grid
from marketplace.clearing.marginal import VALUE_MICRO_MAX, find_entries
from marketplace.clearing.money import CENT_MICRO, ceil_cent
from marketplace.clearing.program import list_columns
from marketplace.clearing.solving import EXACT_EFFORT, Solved, solve

COLUMNS_MAX = 300
STEPS_MAX = 50


@dataclass(frozen=True, slots=True)
class PriceToWin:
    """A price to win in micro-dollars; `exact` where a cent less is proven to lose, else an estimate from above."""

    value_micro: int
    exact: bool


def price_to_win(solved: Solved, seed: int, order: int) -> PriceToWin | None:
    """Return what a loser would have to be worth to win against the same book, None where nothing would do."""
    entries = find_entries(solved.allocation, solved.shadow, order)
    if not entries:
        return None
    least = entries[0].value_micro
    exact = find_exact_price(solved, seed, order, least)
    if exact is not None:
        return PriceToWin(exact, exact=True)
    own = min(solved.allocation.grid.ways[way].value for way in solved.allocation.grid.wishes[order].ways)
    return PriceToWin(max(least, ceil_cent(int(own) + 1)), exact=False)


def with_value(grid: Grid, order: int, value_micro: int) -> Grid:
    """Return the grid with every bid of one order at another value."""
    ways = tuple(replace(way, value=value_micro) if way.order == order else way for way in grid.ways)
    return replace(grid, ways=ways)


def find_exact_price(solved: Solved, seed: int, order: int, upper_micro: int) -> int | None:
    """Return the least value in cents at which an order that lost is accepted, None where it cannot be proven.

    Args:
        solved: The book's proven optimum, without the order.
        seed: The seed of the clearing.
        order: The order that lost.
        upper_micro: A value at which it is known to win.
    """
    grid = solved.allocation.grid
    if not solved.proven or len(list_columns(grid, keep=order).way) > COLUMNS_MAX:
        return None
    least = upper_micro
    for _ in range(STEPS_MAX):
        if least == 0:
            break
        trial = with_value(grid, order, least - CENT_MICRO)
        found, proven = solve_exactly(trial, EXACT_EFFORT, required=order)
        if not proven:
            return None
        if found is None or found.total < solved.allocation.total:
            return _decide_tie(solved, seed, order, least)
        least = min(least - CENT_MICRO, _threshold(found, order, Fraction(solved.allocation.total)))
    return None


def _threshold(found: Allocation, order: int, target: Fraction) -> int:
    """Return the least value in cents at which an allocation is worth the target and has prices."""
    placing = found.placed[order]
    if placing is None:
        raise AssertionError(f"order {order} was required but is not placed")
    way, start = placing
    grid = found.grid
    bid, wish = grid.ways[way], grid.wishes[order]
    hours = bid.nodes * wish.duration * grid.yards[bid.pool].gpus * grid.hours
    missing = target - (Fraction(found.total) - int(bid.value) * hours)
    top = Fraction(int(found.top[bid.pool, start : start + wish.duration].sum()), wish.duration)
    return max(ceil_cent(missing / hours), ceil_cent(top), 0)


def _decide_tie(solved: Solved, seed: int, order: int, value_micro: int) -> int | None:
    again = solve(with_value(solved.allocation.grid, order, value_micro), seed, 0)
    if not again.proven:
        return None
    value = value_micro if not again.allocation.out[order] else value_micro + CENT_MICRO
    return value if value <= VALUE_MICRO_MAX else None
