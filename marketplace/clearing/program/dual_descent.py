"""Dual descent: shadow prices by subgradient rounds, in a fraction of the time of the linear program.

Each pool has one price per period. In each round every order takes its best placement at the present prices. A price
rises where more nodes are wanted than the lots at or under it offer, and falls where fewer are. Any such prices prove a
bound; the prices of the round with the least bound are kept. Rules between orders are ignored, and every order is taken
to use every lot of a pool.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.grid import Floats, Grid
from marketplace.clearing.program.program import CandidateTable, Columns

Micros = NDArray[np.int64]
ROUNDS: Final = 150
STEP_FIRST: Final = 0.5
"""How far the first round moves a price, as a share of it, where twice as much is wanted as there is."""

STEP_LASTING: Final = 20
"""Rounds after which a step is half of the first."""


def descend(grid: Grid, candidates: CandidateTable, columns: Columns, lots: list[Micros]) -> list[Micros]:
    """Return prices of lots, micro-dollars per GPU-hour, that prove a lower bound than those given; else those given.

    Args:
        grid: The book.
        candidates: Its candidates in one table.
        columns: Its placements.
        lots: Prices of lots to begin with, not under their asks.
    """
    if not len(columns.candidate):
        return lots
    demand = _Demand(grid, candidates, columns)
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
    return [
        np.repeat(np.array(arrays.asks_micro, dtype=np.int64)[:, None], grid.periods, axis=1)
        for arrays in grid.pool_arrays
    ]


def _lift(grid: Grid, lots: list[Micros]) -> Floats:
    """Return one price per pool and period: the cheapest of its lots that offer something then."""
    rows = []
    for arrays, cells in zip(grid.pool_arrays, lots, strict=True):
        offered = np.where(arrays.offered > 0, cells, np.iinfo(np.int64).max)
        row = offered.min(axis=0, initial=np.iinfo(np.int64).max)
        rows.append(np.where(row == np.iinfo(np.int64).max, 0, row))
    return np.stack(rows).astype(np.float64)


class _Demand:
    """What every order would take at given prices, and what that proves."""

    def __init__(self, grid: Grid, candidates: CandidateTable, columns: Columns) -> None:
        candidate = columns.candidate
        self.pool = candidates.pool[candidate]
        self.start = columns.start
        self.end = columns.start + candidates.duration[candidate]
        self.taken = candidates.nodes[candidate].astype(np.float64)
        self.scale = candidates.nodes[candidate] * candidates.hours[candidate].astype(np.float64)
        self.worth = candidates.value[candidate] * candidates.duration[candidate] * self.scale
        ranked = np.argsort(candidates.order[candidate], kind="stable")
        self.ranked = ranked
        self.begins = np.flatnonzero(np.diff(candidates.order[candidate][ranked], prepend=-1))
        self.lengths = np.diff(self.begins, append=len(ranked))
        self.shape = (len(grid.pool_arrays), grid.periods)
        self.hours = np.array([arrays.gpus * grid.hours for arrays in grid.pool_arrays], dtype=np.float64)[:, None]
        self.pool_arrays = grid.pool_arrays
        self.asks = [np.array(arrays.asks_micro, dtype=np.float64)[:, None] for arrays in grid.pool_arrays]
        self.nodes = np.stack([arrays.offered.sum(axis=0) for arrays in grid.pool_arrays]).astype(np.float64)
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
                np.where(asks <= row, arrays.offered, 0).sum(axis=0)
                for arrays, asks, row in zip(self.pool_arrays, self.asks, price, strict=True)
            ]
        )
        return flow.cumsum(axis=1)[:, :-1], offered

    def bound(self, price: Floats) -> float:
        """Return the bound that the prices prove, in micro-dollars, in floating point."""
        gains = np.maximum(np.maximum.reduceat(self._surplus(price), self.begins), 0).sum()
        rents = (
            (np.maximum(row - asks, 0) * arrays.offered).sum() * hours
            for arrays, asks, row, hours in zip(self.pool_arrays, self.asks, price, self.hours[:, 0], strict=True)
        )
        return float(gains + sum(rents))
