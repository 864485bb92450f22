"""How good each placement looks at the shadow prices: which orders, pools and starts are worth the search's time."""

import numpy as np

from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import Flags, Floats, Grid, Integers, PoolArrays
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.program.program import CandidateTable, Columns


class Prospects:
    """The placements of a book, each with its surplus over the shadow prices.

    Attributes:
        surplus: Per placement, micro-dollars; negative where scarcity costs more than the order is worth.
        best: Per order, its best surplus; -inf where no placement is worth considering.
        loss: Per placement, its reduced cost: its order's best surplus, or 0 if that is better, less its own surplus.
        shades: Per order, what its options cost at the shadow prices, shaped like its options.
    """

    def __init__(self, grid: Grid, candidates: CandidateTable, columns: Columns, shadow: Shadow) -> None:
        self.grid = grid
        self.columns = columns
        candidate = columns.candidate
        self.order: Integers = candidates.order[candidate]
        self.pool: Integers = candidates.pool[candidate]
        self.layer: Integers = candidates.layer[candidate]
        self.nodes: Integers = candidates.nodes[candidate]
        self.end: Integers = columns.start + candidates.duration[candidate]
        self.value: Floats = candidates.value[candidate]
        self.worth: Floats = (
            candidates.value[candidate]
            * candidates.nodes[candidate]
            * candidates.duration[candidate]
            * candidates.hours[candidate]
        )
        self.surplus: Floats = self.worth - _shadow_cost(grid, candidates, columns, shadow)
        self.best: Floats = np.full(len(grid.order_rows), -np.inf)
        np.maximum.at(self.best, self.order, self.surplus)
        self.loss: Floats = np.maximum(self.best, 0.0)[self.order] - self.surplus
        self.shades = [shade_of(grid, shadow, order) for order in range(len(grid.order_rows))]
        self._index = {
            placing: at for at, placing in enumerate(zip(candidate.tolist(), columns.start.tolist(), strict=True))
        }

    def sharpen(self, kept: Integers, loss: Floats) -> None:
        """Replace the reduced costs of some placements by those at better prices; the others keep theirs.

        Args:
            kept: The placements.
            loss: The reduced cost of each, in micro-dollars.
        """
        self.loss[kept] = loss

    def find(self, placing: tuple[int, int]) -> int | None:
        """Return the number of a placement, None where it was never worth considering."""
        return self._index.get(placing)


def _shadow_cost(grid: Grid, candidates: CandidateTable, columns: Columns, shadow: Shadow) -> Floats:
    cost = np.zeros(len(columns.candidate))
    at, begin, count = np.unique(columns.candidate, return_index=True, return_counts=True)
    for candidate, low, length in zip(at.tolist(), begin.tolist(), count.tolist(), strict=True):
        bid = grid.candidates[candidate]
        sums = shadow.sums[bid.pool][bid.layer]
        starts = columns.start[low : low + length]
        order_row = grid.order_rows[bid.order]
        cost[low : low + length] = (sums[starts + order_row.duration] - sums[starts]) * (
            bid.nodes * candidates.hours[candidate]
        )
        if shadow.rules is not None:
            cost[low : low + length] += shadow.rules.charge_micro(candidate, starts, order_row.duration)
    return cost


def shade_of(grid: Grid, shadow: Shadow, order: int) -> Floats | None:
    """Return what the shadow prices would charge, in micro-dollars, per candidate and start of an order.

    The shape is that of `Options.gain`. None where the order has no candidate or start.
    """
    order_row = grid.order_rows[order]
    if order_row.last < order_row.first or not order_row.candidates:
        return None
    rows = []
    for candidate in sorted(
        order_row.candidates, key=lambda candidate: not grid.pool_arrays[grid.candidates[candidate].pool].plain
    ):
        bid = grid.candidates[candidate]
        sums = shadow.shade(bid.pool, bid.layer, order_row.first, order_row.last, order_row.duration)
        row = sums * float(bid.nodes * grid.pool_arrays[bid.pool].gpus * grid.hours)
        if shadow.rules is not None:
            row = row + shadow.rules.charge_micro(
                candidate, np.arange(order_row.first, order_row.last + 1), order_row.duration
            )
        rows.append(row)
    return np.stack(rows)


def list_affordable(
    arrays: PoolArrays, loads: Floats, size: tuple[int, int], runs: tuple[Integers, Integers], value: Floats
) -> Flags:
    """Return, for each further placement, whether it fits a loaded pool and can pay the highest asks then in use.

    Args:
        arrays: The pool.
        loads: Nodes that it carries, one row per layer.
        size: Layer and nodes of the placements.
        runs: Their first periods, and the periods after their last.
        value: What each may pay, micro-dollars per GPU-hour.
    """
    layer, nodes = size
    start, end = runs
    more = loads.copy()
    more[layer] += nodes
    _, top, short, _ = stack(arrays, more, 0, loads.shape[1])
    tops, shorts = np.append(0.0, np.cumsum(top)), np.append(0, np.cumsum(short))
    good: Flags = (tops[end] - tops[start] <= value * (end - start)) & (shorts[end] == shorts[start])
    return good
