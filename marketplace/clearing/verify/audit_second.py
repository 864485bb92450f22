"""The verifier's check of second-best placements, computed anew from the book and the published result.

Part of the verifier: it shares no code with the solver. A placement is possible if the lots of its bid, with everyone
else on their lots, have the nodes in every period of the run.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate

from marketplace.clearing.model import Bid, Book, Clearing, Decision, Match, Order
from marketplace.clearing.verify.audit_values import MILLION, micro

Placement = tuple[str, str | None, int, int]


class SecondAudit:
    """What every accepted order could have had instead, at the published prices."""

    def __init__(self, book: Book, clearing: Clearing) -> None:
        self.book = book
        self.clearing = clearing
        self.gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
        self.lots: dict[str, dict[str, None]] = {pool.pool_id: {} for pool in book.pools}
        self.left: dict[str, list[int]] = defaultdict(lambda: [0] * book.periods)
        for lot in book.lots:
            self.lots[lot.pool_id][lot.lot_id] = None
            for period in range(lot.from_period, lot.to_period):
                self.left[lot.lot_id][period] += lot.nodes
        for decision in clearing.decisions:
            self._carry(decision.match, -1)
        self.sums = {pool_id: self._sum_prices(pool_id) for pool_id in self.gpus}
        self._rooms: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    def _carry(self, match: Match | None, sign: int) -> None:
        for share in () if match is None else match.lots:
            row = self.left[share.lot_id]
            for period in range(share.from_period, share.to_period):
                row[period] += sign * share.nodes

    def _sum_prices(self, pool_id: str) -> list[int]:
        prices = [0] * self.book.periods
        for run in self.clearing.prices:
            if run.pool_id == pool_id:
                price = micro(run.price_usd_per_gpu_hour)
                prices[run.from_period : run.to_period] = [price] * (run.to_period - run.from_period)
        return list(accumulate(prices, initial=0))

    def find_wrong(self) -> Iterator[tuple[str, str]]:
        """Yield each accepted order whose stated second-best placement is not the best other one, and what is wrong."""
        for order, decision in zip(self.book.orders, self.clearing.decisions, strict=True):
            if (match := decision.match) is not None:
                self._carry(match, 1)
                best = self._find_best(order, match)
                self._carry(match, -1)
                if (text := self._compare(decision, match, best)) is not None:
                    yield order.order_id, text

    def _compare(self, decision: Decision, match: Match, best: dict[Placement, int]) -> str | None:
        stated = decision.second_best
        if stated is None:
            return f"states none, yet {next(iter(best))} could be had" if best else None
        placement = (stated.pool_id, stated.mandate_id, stated.nodes, stated.start_period)
        if placement not in best:
            return f"states {placement}, which could not be had or is not the best other placement"
        hours = (
            match.nodes * (match.end_period - match.start_period) * self.gpus[match.pool_id] * self.book.period_hours
        )
        mine = (Fraction(match.value_usd_per_gpu_hour) - match.price_usd_per_gpu_hour) * hours
        difference = mine - Fraction(best[placement], MILLION)
        if Fraction(stated.surplus_difference_usd) != difference:
            return f"states a difference of {stated.surplus_difference_usd}, it is {difference}"
        return None

    def _find_best(self, order: Order, match: Match) -> dict[Placement, int]:
        """Return the best placements but the match itself, each with its surplus in micro-dollars, the same for all."""
        best: dict[Placement, int] = {}
        for bid, nodes in ((bid, nodes) for bid in order.bids for nodes in sorted({order.nodes, *order.sizes})):
            scale = nodes * self.gpus[bid.pool_id] * self.book.period_hours
            value = micro(bid.value_usd_per_gpu_hour) * order.duration_periods
            sums = self.sums[bid.pool_id]
            for start in self._list_starts(order, (bid, nodes), match):
                surplus = (value - sums[start + order.duration_periods] + sums[start]) * scale
                if not best or surplus >= next(iter(best.values())):
                    if best and surplus > next(iter(best.values())):
                        best.clear()
                    best[bid.pool_id, bid.mandate_id, nodes, start] = surplus
        return best

    def _list_starts(self, order: Order, candidate: tuple[Bid, int], match: Match) -> Iterator[int]:
        bid, nodes = candidate
        room = self._room(bid, match)
        last = min(order.start_latest, self.book.periods - order.duration_periods)
        run = 0
        for period in range(order.start_earliest, max(last, -1) + order.duration_periods):
            run = run + 1 if room[period] >= nodes else 0
            start = period - order.duration_periods + 1
            mine = (bid.pool_id, bid.mandate_id, nodes, start)
            taken = (match.pool_id, match.mandate_id, match.nodes, match.start_period)
            if run >= order.duration_periods and start >= order.start_earliest and mine != taken:
                yield start

    def _room(self, bid: Bid, match: Match) -> list[int]:
        names = self.lots[bid.pool_id]
        lots = tuple(names if bid.lot_ids is None else sorted(set(names) & set(bid.lot_ids)))
        if bid.pool_id == match.pool_id:
            return self._add_up(lots)
        key = (bid.pool_id, lots)
        if key not in self._rooms:
            self._rooms[key] = self._add_up(lots)
        return self._rooms[key]

    def _add_up(self, lots: tuple[str, ...]) -> list[int]:
        return [sum(nodes) for nodes in zip(*(self.left[lot] for lot in lots), strict=True)] or [0] * self.book.periods
