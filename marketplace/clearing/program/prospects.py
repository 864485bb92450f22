"""How good each placement looks at the shadow prices: which orders, pools and starts are worth the search's time."""

import numpy as np

from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import Flags, Floats, Grid, Integers, Yard
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.program.program import Columns, WayTable


class Prospects:
    """The placements of a book, each with its surplus over the shadow prices.

    Attributes:
        surplus: Per placement, micro-dollars; negative where scarcity costs more than the order is worth.
        best: Per order, its best surplus; -inf where no placement is worth considering.
        loss: Per placement, what its surplus is short of its order's best, or of staying out where that is better.
        shades: Per order, what its options cost at the shadow prices, shaped like its options.
    """

    def __init__(self, grid: Grid, ways: WayTable, columns: Columns, shadow: Shadow) -> None:
        self.grid = grid
        self.columns = columns
        way = columns.way
        self.order: Integers = ways.order[way]
        self.pool: Integers = ways.pool[way]
        self.layer: Integers = ways.layer[way]
        self.nodes: Integers = ways.nodes[way]
        self.end: Integers = columns.start + ways.duration[way]
        self.value: Floats = ways.value[way]
        self.worth: Floats = ways.value[way] * ways.nodes[way] * ways.duration[way] * ways.hours[way]
        self.surplus: Floats = self.worth - _shadow_cost(grid, ways, columns, shadow)
        self.best: Floats = np.full(len(grid.wishes), -np.inf)
        np.maximum.at(self.best, self.order, self.surplus)
        self.loss: Floats = np.maximum(self.best, 0.0)[self.order] - self.surplus
        self.shades = [shade_of(grid, shadow, order) for order in range(len(grid.wishes))]
        self._index = {placing: at for at, placing in enumerate(zip(way.tolist(), columns.start.tolist(), strict=True))}

    def sharpen(self, kept: Integers, loss: Floats) -> None:
        """Note what some placements lose at prices that know more; others lose what they did.

        Args:
            kept: The placements.
            loss: What each loses, micro-dollars.
        """
        self.loss[kept] = loss

    def find(self, placing: tuple[int, int]) -> int | None:
        """Return the number of a placement, None where it was never worth considering."""
        return self._index.get(placing)


def _shadow_cost(grid: Grid, ways: WayTable, columns: Columns, shadow: Shadow) -> Floats:
    cost = np.zeros(len(columns.way))
    at, begin, count = np.unique(columns.way, return_index=True, return_counts=True)
    for way, low, length in zip(at.tolist(), begin.tolist(), count.tolist(), strict=True):
        bid = grid.ways[way]
        sums = shadow.sums[bid.pool][bid.layer]
        starts = columns.start[low : low + length]
        wish = grid.wishes[bid.order]
        cost[low : low + length] = (sums[starts + wish.duration] - sums[starts]) * (bid.nodes * ways.hours[way])
        if shadow.rules is not None:
            cost[low : low + length] += shadow.rules.charge_micro(way, starts, wish.duration)
    return cost


def shade_of(grid: Grid, shadow: Shadow, order: int) -> Floats | None:
    """Return what the shadow prices would charge each option of an order, None where it has no options."""
    wish = grid.wishes[order]
    if wish.last < wish.first or not wish.ways:
        return None
    rows = []
    for way in sorted(wish.ways, key=lambda way: not grid.yards[grid.ways[way].pool].plain):
        bid = grid.ways[way]
        sums = shadow.shade(bid.pool, bid.layer, wish.first, wish.last, wish.duration)
        row = sums * float(bid.nodes * grid.yards[bid.pool].gpus * grid.hours)
        if shadow.rules is not None:
            row = row + shadow.rules.charge_micro(way, np.arange(wish.first, wish.last + 1), wish.duration)
        rows.append(row)
    return np.stack(rows)


def list_affordable(
    yard: Yard, loads: Floats, size: tuple[int, int], runs: tuple[Integers, Integers], value: Floats
) -> Flags:
    """Tell which further placements of one layer and size fit a loaded pool and can pay the highest asks then in use.

    Args:
        yard: The pool.
        loads: Nodes that it carries, one row per layer.
        size: Layer and nodes of the placements.
        runs: Their first periods, and the periods after their last.
        value: What each may pay, micro-dollars per GPU-hour.
    """
    layer, nodes = size
    start, end = runs
    more = loads.copy()
    more[layer] += nodes
    _, top, short, _ = stack(yard, more, 0, loads.shape[1])
    tops, shorts = np.append(0.0, np.cumsum(top)), np.append(0, np.cumsum(short))
    good: Flags = (tops[end] - tops[start] <= value * (end - start)) & (shorts[end] == shorts[start])
    return good
