"""Ruin and recreate: take a few neighbouring orders out, put them and some losers back in another order, keep gains.

Each round is cheap, so thousands of them lift a greedy allocation quickly; where they stall, the integer programs of
`neighbourhood.py` take over.
"""

import math
import random

import numpy as np

from marketplace.clearing.arrays.allocation import TOLERANCE_MICRO, Allocation, Placing
from marketplace.clearing.program.prospects import Prospects

SPANS = (5, 10, 20, 30)
REMOVED_MAX = 12
LOSERS_MAX = 10
DENSITY_SPREAD = 0.05
DENSITY_MIN = -0.1
SIZE_SPREAD = 0.3


class Ruin:
    """The ruin-and-recreate search on one allocation, which it changes in place and never worsens."""

    def __init__(self, allocation: Allocation, prospects: Prospects, pick: random.Random) -> None:
        grid = allocation.grid
        self.allocation = allocation
        self.shades = prospects.shades
        self.pick = pick
        sizes = [order_row.nodes * order_row.duration for order_row in grid.order_rows]
        self.size = sizes
        self.surplus = prospects.best.tolist()
        values = [
            max((grid.candidates[candidate].value for candidate in order_row.candidates), default=1.0)
            for order_row in grid.order_rows
        ]
        hours = [
            max(
                (grid.pool_arrays[grid.candidates[candidate].pool].gpus for candidate in order_row.candidates),
                default=1,
            )
            for order_row in grid.order_rows
        ]
        self.density = [
            gain / max(1.0, size * hour * grid.hours * value)
            for gain, size, hour, value in zip(self.surplus, sizes, hours, values, strict=True)
        ]
        pairs = np.unique(np.stack([prospects.pool, prospects.order]), axis=1)
        promising = pairs[:, np.array(self.density)[pairs[1]] > DENSITY_MIN] if pairs.size else pairs
        self.pools = np.unique(promising[0]).tolist()
        self.eligible = {pool: promising[1, promising[0] == pool] for pool in self.pools}
        self.first = np.array([order_row.first for order_row in grid.order_rows])
        self.finish = np.array([order_row.last + order_row.duration for order_row in grid.order_rows])

    def run(self, rounds: int) -> None:
        """Try a number of rounds."""
        for _ in range(rounds if self.pools else 0):
            self._try()

    def _try(self) -> None:
        allocation, pick = self.allocation, self.pick
        pool = pick.choice(self.pools)
        begin = pick.randrange(allocation.grid.periods)
        end = begin + pick.choice(SPANS)
        out = self._sample([o for o in allocation.members[pool] if self._overlaps(o, begin, end)], REMOVED_MAX)
        out = allocation.with_children(out)
        losers = self._sample(self._losers(pool, begin, end), LOSERS_MAX)
        if not losers and not out:
            return
        before = allocation.total
        old: list[tuple[int, Placing]] = [(order, allocation.remove(order)) for order in out]
        share = pick.random()
        added = []
        for order in allocation.sort_by_depth(self._shuffle(out + losers)):
            shade = self.shades[order]
            if allocation.insert(order, None if shade is None else shade * share) > 0:
                added.append(order)
        if allocation.total < before - TOLERANCE_MICRO:
            for order in added:
                allocation.remove(order)
            for _, placing in old:
                allocation.place(*placing)
            allocation.total = before

    def _overlaps(self, order: int, begin: int, end: int) -> bool:
        placing = self.allocation.placed[order]
        return (
            placing is not None
            and placing[1] < end
            and placing[1] + self.allocation.grid.order_rows[order].duration > begin
        )

    def _losers(self, pool: int, begin: int, end: int) -> list[int]:
        orders = self.eligible[pool]
        fits = self.allocation.out[orders] & (self.first[orders] < end) & (self.finish[orders] > begin)
        losers: list[int] = orders[fits].tolist()
        return losers

    def _sample(self, orders: list[int], most: int) -> list[int]:
        return self.pick.sample(orders, most) if len(orders) > most else orders

    def _shuffle(self, orders: list[int]) -> list[int]:
        """Sort by surplus per GPU-hour, by surplus or by size, each a little blurred."""
        gauss, mode = self.pick.gauss, self.pick.random()
        if mode < 0.5:  # noqa: PLR2004 - half of the rounds
            return sorted(orders, key=lambda order: -self.density[order] + gauss(0, DENSITY_SPREAD))
        scale = self.surplus if mode < 0.75 else self.size  # noqa: PLR2004 - a quarter each
        return sorted(orders, key=lambda order: -scale[order] * math.exp(gauss(0, SIZE_SPREAD)))
