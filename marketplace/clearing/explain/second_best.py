"""What an accepted order's second-best placement was: the other bid or start that was worth most to it at the prices.

A placement is possible if the lots of its bid, with everyone else on their lots, have the nodes in every period of the
run. Ties go to the earlier bid, then to the earlier start.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Floats, window_sums
from marketplace.clearing.model import Book, LotShare, Match, SecondBest
from marketplace.clearing.money import usd
from marketplace.clearing.program.pricing import Micros

NOWHERE: Final = -(10**40)
"""The surplus of a start at which an order has no room, less than any other."""


class SecondBests:
    """The room that all matches of a clearing leave, and the second-best placement of each."""

    def __init__(self, book: Book, allocation: Allocation, prices: list[Micros], matches: Mapping[int, Match]) -> None:
        self.book = book
        self.allocation = allocation
        self.prices = prices
        self._steps = [
            {lot_id: [at for at, other in enumerate(arrays.lot_ids) if other == lot_id] for lot_id in arrays.lot_ids}
            for arrays in allocation.grid.pool_arrays
        ]
        self._left = [arrays.offered.copy() for arrays in allocation.grid.pool_arrays]
        for order, match in matches.items():
            self._carry(order, match.lots, -1)
        self._rooms: dict[tuple[int, int], Floats] = {}

    def find(self, order: int, match: Match) -> SecondBest | None:
        """Return the second-best placement of an accepted order, None where there was no other."""
        chosen = self._placing(order)
        own = self.allocation.grid.candidates[chosen[0]].pool
        self._carry(order, match.lots, 1)
        best: tuple[int, int, int] | None = None
        for candidate in self.allocation.grid.order_rows[order].candidates:
            gains, first = self._gains(order, candidate, own)
            if self._bid(order, candidate) == (match.pool_id, match.mandate_id, match.nodes):
                gains[chosen[1] - first] = NOWHERE
            most = max(gains, default=NOWHERE)
            if most > (NOWHERE if best is None else best[0]):
                best = (most, candidate, first + gains.index(most))
        self._carry(order, match.lots, -1)
        return None if best is None else self._render(order, match, best)

    def _bid(self, order: int, candidate: int) -> tuple[str, str | None, int]:
        at = self.allocation.grid.candidates[candidate]
        bid = self.book.orders[order].bids[at.bid]
        return bid.pool_id, bid.mandate_id, at.nodes

    def _placing(self, order: int) -> tuple[int, int]:
        placing = self.allocation.placed[order]
        if placing is None:
            raise AssertionError(f"order {order} is matched but not placed")
        return placing

    def _carry(self, order: int, shares: tuple[LotShare, ...], sign: int) -> None:
        pool = self.allocation.grid.candidates[self._placing(order)[0]].pool
        offered, left = self.allocation.grid.pool_arrays[pool].offered, self._left[pool]
        for share in shares:
            span = slice(share.from_period, share.to_period)
            for step in self._steps[pool][share.lot_id]:
                left[step, span] += np.where(offered[step, span] > 0, sign * share.nodes, 0)

    def _gains(self, order: int, candidate: int, own: int) -> tuple[list[int], int]:
        """Return the surplus of each start in micro-dollars an hour (exact at any prices), and the first start."""
        grid = self.allocation.grid
        order_row, bid = grid.order_rows[order], grid.candidates[candidate]
        begin, end = order_row.first, order_row.last + order_row.duration
        short = (self._room(bid.pool, bid.layer, own)[begin:end] < bid.nodes).astype(np.float64)
        price = self.prices[bid.pool][begin:end]
        sums = np.concatenate([[0], np.cumsum(price)])
        total = sums[order_row.duration :] - sums[: -order_row.duration]
        most, gpus = int(bid.value) * order_row.duration, grid.pool_arrays[bid.pool].gpus * bid.nodes
        full = window_sums(short, order_row.duration) > 0
        pairs = zip(total.tolist(), full.tolist(), strict=True)
        return [NOWHERE if closed else (most - paid) * gpus for paid, closed in pairs], begin

    def _room(self, pool: int, layer: int, own: int) -> Floats:
        key = (pool, layer)
        if pool != own and key in self._rooms:
            return self._rooms[key]
        room: Floats = self._left[pool][list(self.allocation.grid.pool_arrays[pool].layers[layer])].sum(axis=0)
        if pool != own:
            self._rooms[key] = room
        return room

    def _render(self, order: int, match: Match, best: tuple[int, int, int]) -> SecondBest:
        surplus, candidate, start = best
        grid = self.allocation.grid
        chosen = grid.candidates[self._placing(order)[0]]
        price = int(self.prices[chosen.pool][match.start_period : match.end_period].sum())
        duration = match.end_period - match.start_period
        mine = (int(chosen.value) * duration - price) * grid.pool_arrays[chosen.pool].gpus * match.nodes
        return SecondBest(*self._bid(order, candidate), start, usd((mine - surplus) * grid.hours))
