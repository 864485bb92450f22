"""Find the single concessions that would each let an order be served: another start, fewer nodes or a shorter run.

An order that fits no empty pool has a smallest conflicting set of its own constraints: with all of them it cannot be
served, and without any one of them it could. An order that lost to others is tried in the room that they leave. Each
stated relaxation is worth more than it costs there. On the relaxed book the clearing can therefore be improved, and a
book that is solved exactly accepts the order.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import Floats, Grid, window_sums
from marketplace.clearing.model import Order, Reason

CONSTRAINTS: Final = ("start_window", "duration", "nodes")
NAMES: Final = {
    "start_window": "start window",
    "duration": "duration in hours",
    "lot_terms": "terms that lots ask for",
    "notice": "notice in hours",
    "power_usage_effectiveness": "PUE",
    "renewable_share": "renewable share",
    "provider_reliability": "provider reliability",
    "gpus_per_node": "GPUs per node",
    "gpu_class": "GPU class",
    "own_capacity": "need of own capacity: at one ask, in periods in which no node of the pool asks less",
}
"""Names of constraints in sentences; other constraints keep their own."""

DURATIONS_MAX: Final = 400
STARTS_MAX: Final = 8


def find_conflict(grid: Grid, order: int, start_latest: int) -> tuple[str, ...]:
    """Return an irreducible set of an order's constraints that no empty pool can meet; empty where nothing is offered.

    Args:
        grid: The book.
        order: An order that fits nowhere.
        start_latest: The end of its window, as it was asked for.
    """
    kept = list(CONSTRAINTS)
    for constraint in CONSTRAINTS:
        fewer = [other for other in kept if other != constraint]
        if not _fits_empty(grid, order, start_latest, fewer):
            kept = fewer
    return tuple(kept)


def add_conflict(reason: Reason, asked: Order) -> Reason:
    """Return a reason with the order's conflicting requirements, and values that would resolve the conflict.

    The reason is returned unchanged if the order names no conflict.
    """
    if not asked.conflict:
        return reason
    named = [NAMES.get(order_row, order_row) for order_row in asked.conflict]
    together = f" and {named[-1]} together" if named[1:] else ""
    text = f"{reason.text}: nothing on offer meets its {', '.join(named[: -1 if together else None])}{together}"
    candidates = [f"{NAMES.get(remedy.wish, remedy.wish)} {' or '.join(remedy.values)}" for remedy in asked.remedies]
    if candidates:
        text += f"; alone in the market it could be served with {', or with '.join(candidates)}"
    remedies = {f"with_{remedy.wish}": ",".join(remedy.values) for remedy in asked.remedies}
    return Reason(reason.code, text, {**reason.facts, "conflict": ",".join(asked.conflict), **remedies})


def _fits_empty(grid: Grid, order: int, start_latest: int, kept: list[str]) -> bool:
    order_row = grid.order_rows[order]
    duration = order_row.duration if "duration" in kept else 1
    for at in order_row.candidates:
        candidate = grid.candidates[at]
        arrays = grid.pool_arrays[candidate.pool]
        steps = list(arrays.layers[candidate.layer])
        if not steps or duration > grid.periods:
            continue
        enough = arrays.offered[steps].sum(axis=0) >= (candidate.nodes if "nodes" in kept else 1)
        starts = np.flatnonzero(window_sums(enough.astype(np.float64), duration) == duration)
        if "start_window" in kept:
            starts = starts[(starts >= order_row.first) & (starts <= start_latest)]
        if len(starts):
            return True
    return False


def list_relaxations(allocation: Allocation, order: int) -> dict[str, str]:
    """Return, by name, the single changes that would bring in an order that is out.

    `nearest_start_that_wins` lies outside its window; `largest_nodes_that_win` and `longest_duration_that_wins` are
    less than it asked for, inside the window.
    """
    order_row = allocation.grid.order_rows[order]
    found: dict[str, str] = {}
    if not order_row.candidates:
        return found
    start = _find_start(allocation, order)
    if start is not None:
        found["nearest_start_that_wins"] = str(start)
    if order_row.last >= order_row.first:
        nodes = _find_nodes(allocation, order)
        if nodes:
            found["largest_nodes_that_win"] = str(nodes)
    duration = _find_duration(allocation, order)
    if duration:
        found["longest_duration_that_wins"] = str(duration)
    return found


def _find_start(allocation: Allocation, order: int) -> int | None:
    order_row = allocation.grid.order_rows[order]
    best: tuple[int, int] | None = None
    for candidate in order_row.candidates:
        starts = _open(allocation, candidate).list_starts(order_row.duration)
        outside = starts[(starts < order_row.first) | (starts > order_row.last)]
        away = np.maximum(order_row.first - outside, outside - order_row.last)
        ranked = outside[np.lexsort((outside, away))]
        start = next(_lawful(allocation, candidate, ranked), None)
        if start is not None:
            found = max(order_row.first - start, start - order_row.last), start
            best = found if best is None else min(best, found)
    return None if best is None else best[1]


def _find_nodes(allocation: Allocation, order: int) -> int:
    """Return the largest size below those requested that wins, 0 if none does; if a size wins, smaller ones do."""
    grid = allocation.grid
    least = min(grid.candidates[candidate].nodes for candidate in grid.order_rows[order].candidates)
    low, high = 0, least
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _wins_with(allocation, order, middle) else (low, middle)
    return low


def _wins_with(allocation: Allocation, order: int, nodes: int) -> bool:
    grid = allocation.grid
    order_row = grid.order_rows[order]
    candidates = list(grid.candidates)
    for candidate in order_row.candidates:
        candidates[candidate] = replace(candidates[candidate], nodes=nodes)
    smaller = _with_grid(allocation, replace(grid, candidates=tuple(candidates)))
    return any(_has_start(smaller, order, candidate) for candidate in order_row.candidates)


def _find_duration(allocation: Allocation, order: int) -> int:
    grid = allocation.grid
    order_row = grid.order_rows[order]
    longest = min(order_row.duration - 1, grid.periods)
    tried = range(longest, 0, -max(1, -(-longest // DURATIONS_MAX)))
    rooms = {candidate: _open(allocation, candidate) for candidate in order_row.candidates}
    for duration in tried:
        for candidate in order_row.candidates:
            inside = rooms[candidate].list_starts(duration, order_row.first, _latest(grid, order, duration))
            if (
                len(inside)
                and next(_lawful(_shorten(allocation, order, duration), candidate, inside), None) is not None
            ):
                return duration
    return 0


def _shorten(allocation: Allocation, order: int, duration: int) -> Allocation:
    order_rows = list(allocation.grid.order_rows)
    order_rows[order] = replace(order_rows[order], duration=duration)
    return _with_grid(allocation, replace(allocation.grid, order_rows=tuple(order_rows)))


def _latest(grid: Grid, order: int, duration: int) -> int:
    """Return the last start of the window at which a shorter run ends within the horizon."""
    order_row = grid.order_rows[order]
    return min(order_row.last, grid.periods - duration)


class _Room:
    """Added cost, highest ask and shortage of a candidate in each period of its pool, beside all that runs there."""

    def __init__(self, extra: Floats, top: Floats, short: Floats, terms: tuple[float, int]) -> None:
        self.sums = np.zeros((3, len(extra) + 1))
        np.cumsum(np.stack([extra, top, short]), axis=1, out=self.sums[:, 1:])
        self.value, self.nodes = terms

    def list_starts(self, duration: int, first: int = 0, last: int | None = None) -> NDArray[np.int64]:
        """Return every start between two at which a run fits, is worth more than it costs, and has a price."""
        end = self.sums.shape[1] - duration if last is None else min(last + 1, self.sums.shape[1] - duration)
        if end <= first:
            return np.zeros(0, dtype=np.int64)
        extra, top, short = self.sums[:, first + duration : end + duration] - self.sums[:, first:end]
        worth = self.value * duration
        good = (worth * self.nodes - extra > 0) & (short == 0) & (top <= worth)
        return np.flatnonzero(good) + first


def _open(allocation: Allocation, candidate: int) -> _Room:
    grid = allocation.grid
    bid = grid.candidates[candidate]
    loads = allocation.loads[bid.pool].copy()
    loads[bid.layer] += bid.nodes
    cost, top, short, _ = stack(grid.pool_arrays[bid.pool], loads, 0, grid.periods)
    return _Room(cost - allocation.cost[bid.pool], top, short.astype(np.float64), (bid.value, bid.nodes))


def _has_start(allocation: Allocation, order: int, candidate: int) -> bool:
    order_row = allocation.grid.order_rows[order]
    inside = _open(allocation, candidate).list_starts(order_row.duration, order_row.first, order_row.last)
    return next(_lawful(allocation, candidate, inside), None) is not None


def _lawful(allocation: Allocation, candidate: int, starts: NDArray[np.int64]) -> Iterator[int]:
    """Yield the first starts that push no accepted order above its value and keep the rules between orders."""
    duration = allocation.grid.order_rows[allocation.grid.candidates[candidate].order].duration
    for start in starts[:STARTS_MAX].tolist():
        keeps = allocation.taken is None or allocation.taken.fits(candidate, start, duration)
        if keeps and not allocation.hurts(candidate, start):
            yield start


def _with_grid(allocation: Allocation, grid: Grid) -> Allocation:
    """Return the same state on a grid with other terms of an order that is out. The result is only read."""
    seen = copy(allocation)
    seen.grid = grid
    return seen
