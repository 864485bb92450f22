"""Prices of scarcity in a second, where the linear program takes many: raised where more is wanted than there is.

Each pool has one price per period. In each round every order takes its best placement at the prices as they are, and
the price rises where that is more than the lots which ask no more offer, and falls where it is less. Any such prices
prove a bound; of all rounds those that prove the least are kept. They know nothing of rules between orders, and of lots
that not everyone may use only that they are in the pool.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.grid import Floats, Grid
from marketplace.clearing.program.program import Columns, WayTable

Micros = NDArray[np.int64]
ROUNDS: Final = 150
STEP_FIRST: Final = 0.5
"""How far the first round moves a price, as a share of it, where twice as much is wanted as there is."""

STEP_LASTING: Final = 20
"""Rounds after which a step is half of the first."""


def descend(grid: Grid, ways: WayTable, columns: Columns, lots: list[Micros]) -> list[Micros]:
    """Return prices of lots, micro-dollars per GPU-hour, that prove less than those given, or those.

    Args:
        grid: The book.
        ways: Its ways in one table.
        columns: Its placements.
        lots: Prices of lots to begin with, not under their asks.
    """
    if not len(columns.way):
        return lots
    demand = _Demand(grid, ways, columns)
    price = begun = _lift(grid, lots)
    best, least = price, demand.bound(price)
    for done in range(ROUNDS):
        wanted, offered = demand.take(price)
        step = STEP_FIRST / (1 + done / STEP_LASTING)
        change = np.clip((wanted - offered) / np.maximum(demand.nodes, 1), -1, 1)
        price = np.maximum(price * (1 + step * change), demand.cheapest)
        bound = demand.bound(price)
        if bound < least:
            best, least = price, bound
    if best is begun:
        return lots
    rounded = np.rint(best).astype(np.int64)
    return [np.maximum(cells, rounded[pool]) for pool, cells in enumerate(_list_asks(grid))]


def _list_asks(grid: Grid) -> list[Micros]:
    return [np.repeat(np.array(yard.asks_micro, dtype=np.int64)[:, None], grid.periods, axis=1) for yard in grid.yards]


def _lift(grid: Grid, lots: list[Micros]) -> Floats:
    """Return one price per pool and period: the cheapest of its lots that offer something then."""
    rows = []
    for yard, cells in zip(grid.yards, lots, strict=True):
        offered = np.where(yard.offered > 0, cells, np.iinfo(np.int64).max)
        row = offered.min(axis=0, initial=np.iinfo(np.int64).max)
        rows.append(np.where(row == np.iinfo(np.int64).max, 0, row))
    return np.stack(rows).astype(np.float64)


class _Demand:
    """What every order would take at given prices, and what that proves."""

    def __init__(self, grid: Grid, ways: WayTable, columns: Columns) -> None:
        way = columns.way
        self.pool = ways.pool[way]
        self.start = columns.start
        self.end = columns.start + ways.duration[way]
        self.taken = ways.nodes[way].astype(np.float64)
        self.scale = ways.nodes[way] * ways.hours[way].astype(np.float64)
        self.worth = ways.value[way] * ways.duration[way] * self.scale
        ranked = np.argsort(ways.order[way], kind="stable")
        self.ranked = ranked
        self.begins = np.flatnonzero(np.diff(ways.order[way][ranked], prepend=-1))
        self.lengths = np.diff(self.begins, append=len(ranked))
        self.shape = (len(grid.yards), grid.periods)
        self.hours = np.array([yard.gpus * grid.hours for yard in grid.yards], dtype=np.float64)[:, None]
        self.yards = grid.yards
        self.asks = [np.array(yard.asks_micro, dtype=np.float64)[:, None] for yard in grid.yards]
        self.nodes = np.stack([yard.offered.sum(axis=0) for yard in grid.yards]).astype(np.float64)
        self.cheapest = _lift(grid, _list_asks(grid))

    def _surplus(self, price: Floats) -> Floats:
        sums = np.concatenate([np.zeros((len(price), 1)), price.cumsum(axis=1)], axis=1)
        surplus: Floats = self.worth - (sums[self.pool, self.end] - sums[self.pool, self.start]) * self.scale
        return surplus[self.ranked]

    def take(self, price: Floats) -> tuple[Floats, Floats]:
        """Return nodes wanted and nodes offered in each pool and period."""
        surplus = self._surplus(price)
        best = np.maximum.reduceat(surplus, self.begins)
        is_best = surplus == np.repeat(best, self.lengths)
        first = np.maximum.reduceat(np.where(is_best, np.arange(len(surplus), 0, -1), 0), self.begins)
        chosen = self.ranked[len(surplus) - first[best > 0]]
        flow = np.zeros((self.shape[0], self.shape[1] + 1))
        np.add.at(flow, (self.pool[chosen], self.start[chosen]), self.taken[chosen])
        np.add.at(flow, (self.pool[chosen], self.end[chosen]), -self.taken[chosen])
        offered = np.stack(
            [
                np.where(asks <= row, yard.offered, 0).sum(axis=0)
                for yard, asks, row in zip(self.yards, self.asks, price, strict=True)
            ]
        )
        return flow.cumsum(axis=1)[:, :-1], offered

    def bound(self, price: Floats) -> float:
        """Return what the prices prove, in micro-dollars, as good as floating point tells."""
        gains = np.maximum(np.maximum.reduceat(self._surplus(price), self.begins), 0).sum()
        rents = (
            (np.maximum(row - asks, 0) * yard.offered).sum() * hours
            for yard, asks, row, hours in zip(self.yards, self.asks, price, self.hours[:, 0], strict=True)
        )
        return float(gains + sum(rents))
