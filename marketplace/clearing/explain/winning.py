"""The price to win of an order that lost: what each of its bids would have to be worth at least.

To raise an order to a price means to raise each of its lower bids to that price. As the price rises, the best welfare
with the order never falls, and the best welfare without it does not change. Therefore one threshold separates the
prices at which the order loses from those at which it wins.

On a book that is solved to the optimum many times over, the threshold is found exactly: the least cent at which the
best welfare with the order exceeds the welfare without it. If both are equal, the engine's search decides, always in
the same way. The price is then the one at which the engine takes the order while it rejects it at a cent less.

On larger books the price is an estimate: the value that the cheapest insertion into the found clearing needs
(`search/marginal.py`). Two proofs enclose the threshold of an optimal clearing. Below `lower_micro`, the upper bound
of welfare with the order is less than the welfare found without it. From `upper_micro` on, the clearing found with the
order is worth more than the upper bound without it.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.carrying import stack_candidate
from marketplace.clearing.arrays.grid import Grid, window_sums
from marketplace.clearing.money import CENT_MICRO, MICRO, ceil_cent
from marketplace.clearing.program.program import list_columns
from marketplace.clearing.search.exact import solve_exactly
from marketplace.clearing.search.marginal import VALUE_MICRO_MAX, Insertion, count_hours, find_insertions
from marketplace.clearing.search.solving import EXACT_EFFORT, Solved, solve

COLUMNS_MAX = 300
STEPS_MAX = 50
EXACT_WORK_MAX = 1_000
"""The most placements times losing orders for which each price to win of a book is computed to the cent."""
CANDIDATES_WORK_MAX = 30_000
"""The most candidates times losing orders for that: each program about one order is written from all candidates."""


@dataclass(frozen=True, slots=True)
class PriceToWin:
    """A price to win and the prices that enclose it, in micro-dollars.

    If `exact`, the order provably wins at the price and loses at a cent less, and all three prices are equal. Otherwise
    the price is an estimate: below `lower_micro` no optimal clearing includes the order, from `upper_micro` on every
    one does. `upper_micro` is None if it would exceed the highest allowed offer.
    """

    value_micro: int
    exact: bool
    lower_micro: int
    upper_micro: int | None


def can_be_exact(solved: Solved) -> bool:
    """Return whether the book is small enough to compute each loser's price to win to the cent."""
    allocation = solved.allocation
    losers = int(allocation.out.sum())
    if not solved.proven or len(allocation.grid.candidates) * losers > CANDIDATES_WORK_MAX:
        return False
    return len(list_columns(allocation.grid).candidate) * losers <= EXACT_WORK_MAX


def price_to_win(solved: Solved, seed: int, order: int, *, exactly: bool = True) -> PriceToWin | None:
    """Return the value at which a loser would win against the same book, None if no value would suffice.

    Args:
        solved: The book without the order.
        seed: The seed of the clearing.
        order: The order that lost.
        exactly: Whether to find the exact threshold, which needs a book that is solved to its optimum.
    """
    grid = solved.allocation.grid
    insertions = find_insertions(solved.allocation, solved.shadow, order)
    if not insertions and exactly and grid.rules is not None and solved.proven:
        insertions = _find_with_others(solved, order)
    if not insertions:
        return None
    exact = find_exact_price(solved, seed, order, insertions[0]) if exactly else None
    if exact is not None:
        return PriceToWin(exact, exact=True, lower_micro=exact, upper_micro=exact)
    least = max(insertions[0].value_micro, _first_cent(grid, order))
    placements = _list_placements(solved, order)
    others = _bound_others(solved, order, placements)
    lower = min(_find_lower(solved, order, placements, others), least)
    best = Fraction(solved.allocation.exact_micros()) if solved.proven else others
    upper = max(least, min(_find_upper(solved.allocation, insertion, best) for insertion in insertions))
    return PriceToWin(least, exact=False, lower_micro=lower, upper_micro=upper if upper <= VALUE_MICRO_MAX else None)


def _find_with_others(solved: Solved, order: int) -> list[Insertion]:
    """Return the insertion of an order together with others that are out, such as a child with its parent."""
    grid = solved.allocation.grid
    if len(list_columns(grid, (order,)).candidate) > COLUMNS_MAX:
        return []
    dearest = max((ask for arrays in grid.pool_arrays for ask in arrays.asks_micro), default=0)
    found, proven, _ = solve_exactly(with_value(grid, order, dearest), EXACT_EFFORT, required=order)
    placing = None if found is None else found.placed[order]
    if found is None or placing is None or not proven:
        return []
    candidate, rest, least = _read(found, order, solved.allocation.exact_micros())
    return [Insertion(candidate, placing[1], least, (), (), rest)] if least <= VALUE_MICRO_MAX else []


def with_value(grid: Grid, order: int, value_micro: int) -> Grid:
    """Return the grid with every bid of one order raised to a value, those above it unchanged."""
    value = float(value_micro)
    candidates = tuple(
        replace(candidate, value=max(candidate.value, value)) if candidate.order == order else candidate
        for candidate in grid.candidates
    )
    return replace(grid, candidates=candidates)


def find_exact_price(solved: Solved, seed: int, order: int, insertion: Insertion) -> int | None:
    """Return the least value in cents at which an order that lost is accepted, None where it cannot be proven.

    Args:
        solved: The book's proven optimum, without the order.
        seed: The seed of the clearing.
        order: The order that lost.
        insertion: An insertion of the order.
    """
    grid = solved.allocation.grid
    if not solved.proven or len(list_columns(grid, (order,)).candidate) > COLUMNS_MAX:
        return None
    target = solved.allocation.exact_micros()
    first = _first_cent(grid, order)
    least, candidate, rest = max(first, insertion.value_micro), insertion.candidate, insertion.rest
    for _ in range(STEPS_MAX):
        if least == first:
            return _decide(solved, seed, order, (first, candidate, rest))
        found, proven, _ = solve_exactly(with_value(grid, order, least - CENT_MICRO), EXACT_EFFORT, required=order)
        if not proven:
            return None
        if found is None or found.exact_micros() < target:
            return _decide(solved, seed, order, (least, candidate, rest))
        candidate, rest, lowest = _read(found, order, target)
        enough = lowest <= int(grid.candidates[candidate].value)
        least = first if enough else max(first, min(least - CENT_MICRO, lowest))
    return None


def _first_cent(grid: Grid, order: int) -> int:
    """Return the least price that changes an order."""
    return ceil_cent(min(int(grid.candidates[candidate].value) for candidate in grid.order_rows[order].candidates) + 1)


def _read(found: Allocation, order: int, target: int) -> tuple[int, Fraction, int]:
    """Return an order's candidate, the welfare without its value, and the least cent that reaches the target."""
    placing = found.placed[order]
    if placing is None:
        raise AssertionError(f"order {order} was required but is not placed")
    candidate, start = placing
    bid, order_row = found.grid.candidates[candidate], found.grid.order_rows[order]
    hours = count_hours(found.grid, candidate)
    rest = Fraction(found.exact_micros() - int(bid.value) * hours)
    top = Fraction(int(found.top[bid.pool, start : start + order_row.duration].sum()), order_row.duration)
    return candidate, rest, max(ceil_cent((target - rest) / hours), ceil_cent(top), 0)


def _decide(solved: Solved, seed: int, order: int, least: tuple[int, int, Fraction]) -> int | None:
    """Return the least price at which the engine accepts the order, searched from where it may win.

    Args:
        solved: The optimum without the order.
        seed: The seed of the clearing.
        order: The order.
        least: The least cent at which it may win, its candidate then, and the welfare without its value.
    """
    grid = solved.allocation.grid
    price, candidate, rest = least
    own = int(grid.candidates[candidate].value)
    if rest + max(price, own) * count_hours(grid, candidate) > solved.allocation.exact_micros():
        return price if price <= VALUE_MICRO_MAX else None
    loses, wins = price - CENT_MICRO, ceil_cent(max(price, own) + 1)
    while wins - loses > CENT_MICRO:
        middle = loses + (wins - loses) // CENT_MICRO // 2 * CENT_MICRO
        again = solve(with_value(grid, order, middle), seed, 0)
        if not again.proven:
            return None
        loses, wins = (middle, wins) if again.allocation.out[order] else (loses, middle)
    return wins if wins <= VALUE_MICRO_MAX else None


@dataclass(frozen=True, slots=True)
class _Placements:
    """Where one candidate fits the empty pool: per start, shadow prices and asks summed over the run."""

    candidate: int
    shade: NDArray[np.int64]
    asks: NDArray[np.int64]


def _list_placements(solved: Solved, order: int) -> list[_Placements]:
    grid, shadow = solved.allocation.grid, solved.shadow
    order_row = grid.order_rows[order]
    found = []
    for at in order_row.candidates:
        candidate = grid.candidates[at]
        cost, short = stack_candidate(grid, order_row, at)
        fits = window_sums(short, order_row.duration) == 0
        if fits.any():
            shade = shadow.shade(candidate.pool, candidate.layer, order_row.first, order_row.last, order_row.duration)
            asks = window_sums(cost, order_row.duration).astype(np.int64)
            found.append(_Placements(at, shade[fits], asks[fits]))
    return found


def _bound_others(solved: Solved, order: int, placements: list[_Placements]) -> Fraction:
    """Return the bound on what a clearing without the order can be worth, in micro-dollars.

    If the book has rules between orders, the bound with the order is returned.
    """
    grid = solved.allocation.grid
    order_row = grid.order_rows[order]
    gain = 0
    for each in placements if grid.rules is None else ():
        value = int(grid.candidates[each.candidate].value) * order_row.duration
        good = each.asks < value * grid.candidates[each.candidate].nodes
        if good.any():
            surplus = (value - int(each.shade[good].min())) * count_hours(grid, each.candidate)
            gain = max(gain, surplus // order_row.duration)
    return solved.bound * MICRO - gain


def _find_lower(solved: Solved, order: int, placements: list[_Placements], others: Fraction) -> int:
    """Return the price under which the bound with the order in is less than the welfare found without it."""
    grid = solved.allocation.grid
    order_row = grid.order_rows[order]
    missing = solved.allocation.exact_micros() - others
    prices = []
    for each in placements:
        price = Fraction(int(each.asks.min()), grid.candidates[each.candidate].nodes * order_row.duration)
        if grid.rules is None:
            proof = Fraction(int(each.shade.min()), order_row.duration) + missing / count_hours(grid, each.candidate)
            price = max(price, proof)
        prices.append(price)
    return max(ceil_cent(min(prices)), 0)


def _find_upper(allocation: Allocation, insertion: Insertion, others: Fraction) -> int:
    """Return the price from which the clearing with the order in is worth more than any without it."""
    hours = count_hours(allocation.grid, insertion.candidate)
    return max(insertion.value_micro, ceil_cent((others - insertion.rest) / hours) + CENT_MICRO)
