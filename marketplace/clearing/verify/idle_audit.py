"""Checks the published idle supply anew from the book; part of the verifier, without any code of the solver.

Violations: `idle_supply` (the rows are not the idle nodes that ask less than the price, or their cause is wrong),
`idle_total` (the certificate states another sum), `needless_price` (a price is above the ask of an idle node although
no used lot asks it, and no rejected order would gain at the lowest ask of the idle nodes).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

from marketplace.clearing.model import Bid, Book, Clearing, Decision, Lot, Order
from marketplace.clearing.verify.audit_values import MILLION, micro, show
from marketplace.clearing.verify.rule_audit import list_sizes

Finding = tuple[str, str, str]
Cell = tuple[str, int]
Stated = tuple[int, int, int, str]


class IdleAudit:
    """The recomputation of what was left idle in the money."""

    def __init__(self, book: Book, clearing: Clearing, prices: dict[Cell, int]) -> None:
        self.book = book
        self.clearing = clearing
        self.prices = prices
        self.gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
        self.pools = {lot.lot_id: lot.pool_id for lot in book.lots}
        self.lots: dict[Cell, list[Lot]] = {}
        for lot in book.lots:
            for period in range(lot.from_period, lot.to_period):
                self.lots.setdefault((lot.pool_id, period), []).append(lot)
        self.used = _count_used(clearing.decisions)
        self.served = _count_used(clearing.backstops)

    def find(self) -> Iterator[Finding]:
        """Yield what is wrong."""
        wanted: dict[Cell, Stated] = {}
        for (pool_id, period), price in self.prices.items():
            lots = self.lots.get((pool_id, period), [])
            used = [micro(lot.ask_usd_per_gpu_hour) for lot in lots if self.used[lot.lot_id, period]]
            idle = [lot for lot in lots if lot.nodes > self.used[lot.lot_id, period]]
            lowest = min((micro(lot.ask_usd_per_gpu_hour) for lot in idle), default=price)
            if not used or price <= lowest:
                continue
            cause = "used_lot" if price == max(used) else "rejected_orders"
            if cause == "rejected_orders" and not self._gains(pool_id, period, price - max(lowest, *used)):
                yield "needless_price", pool_id, f"costs {price} micro-dollars in period {period}, idle from {lowest}"
            for lot in idle:
                left = lot.nodes - self.used[lot.lot_id, period] - self.served[lot.lot_id, period]
                ask = micro(lot.ask_usd_per_gpu_hour)
                if left > 0 and ask < price:
                    wanted[lot.lot_id, period] = (left, ask, price, cause)
        yield from self._compare(wanted)

    def _compare(self, wanted: dict[Cell, Stated]) -> Iterator[Finding]:
        stated: dict[Cell, Stated] = {}
        for row in self.clearing.idle_supply:
            told = (row.nodes, micro(row.ask_usd_per_gpu_hour), micro(row.price_usd_per_gpu_hour), row.cause)
            for period in range(row.from_period, row.to_period):
                if stated.setdefault((row.lot_id, period), told) != told:
                    yield "idle_supply", row.lot_id, f"is stated twice in period {period}"
        for lot_id, period in sorted(set(wanted) | set(stated)):
            cell = (lot_id, period)
            if wanted.get(cell) != stated.get(cell):
                text = f"states {stated.get(cell)} in period {period}, it is {wanted.get(cell)}"
                yield "idle_supply", lot_id, text
        total = Fraction(
            sum(
                (price - ask) * nodes * self.gpus[self.pools[lot]]
                for (lot, _), (nodes, ask, price, _) in wanted.items()
            )
            * self.book.period_hours,
            MILLION,
        )
        if Fraction(self.clearing.certificate.idle_supply_usd) != total:
            stated_usd = self.clearing.certificate.idle_supply_usd
            yield "idle_total", "certificate", f"states {stated_usd}, it is {show(total)}"

    def _gains(self, pool_id: str, period: int, lower: int) -> bool:
        """Return whether some rejected order would gain over a period if its price were lower by some micro-dollars."""
        sums = [0, *accumulate(self.prices.get((pool_id, at), 0) for at in range(self.book.periods))]
        for order, bid in self._list_rejected(pool_id):
            worth = micro(bid.value_usd_per_gpu_hour) * order.duration_periods + lower
            last = min(order.start_latest, period, self.book.periods - order.duration_periods)
            for start in range(max(order.start_earliest, period - order.duration_periods + 1), last + 1):
                end = start + order.duration_periods
                if worth > sums[end] - sums[start] and self._fits(order, bid, range(start, end)):
                    return True
        return False

    def _list_rejected(self, pool_id: str) -> Iterator[tuple[Order, Bid]]:
        for order, decision in zip(self.book.orders, self.clearing.decisions, strict=True):
            if decision.match is None:
                yield from ((order, bid) for bid in order.bids if bid.pool_id == pool_id)

    def _fits(self, order: Order, bid: Bid, run: range) -> bool:
        nodes = min(list_sizes(order, bid), default=0)
        return all(
            nodes
            <= sum(
                lot.nodes
                for lot in self.lots.get((bid.pool_id, at), [])
                if bid.lot_ids is None or lot.lot_id in bid.lot_ids
            )
            for at in run
        )


def _count_used(decisions: Sequence[Decision]) -> Counter[Cell]:
    used: Counter[Cell] = Counter()
    for decision in decisions:
        for share in () if decision.match is None else decision.match.lots:
            for period in range(share.from_period, share.to_period):
                used[share.lot_id, period] += share.nodes
    return used
