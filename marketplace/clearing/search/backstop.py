"""Backstop orders: what the other orders leave is sold to those who promised to take it, at the price that they set.

They are served when all else is decided, so none ever takes a node from another order or moves a price. The dearest set
price comes first, of equal ones the first in the book. An order is served at its largest size that fits, as early as it
fits, by its first bid that does, on the cheapest nodes; no node is used whose ask is above its price.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from marketplace.clearing.model import Bid, Book, Decision, Lot, LotShare, Match, Order, Reason
from marketplace.clearing.money import micro, say_rate, show, usd

Cell = tuple[str, int]


def serve_backstops(book: Book, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return one decision per backstop order, in the book's order.

    Args:
        book: The book.
        decisions: What was decided for its other orders, in the book's order.
    """
    left = _Left(book)
    for order, decision in zip(book.orders, decisions, strict=True):
        if decision.match is not None:
            left.take(order, decision.match)
    found: dict[int, Decision] = {}
    for index in sorted(range(len(book.backstops)), key=lambda index: (-_price(book.backstops[index]), index)):
        order = book.backstops[index]
        match = left.place(order)
        if match is None:
            found[index] = Decision(order.order_id, None, (left.explain(order),), None, Decimal(0))
        else:
            left.take(order, match)
            found[index] = Decision(order.order_id, match, (), None, Decimal(0))
    return tuple(found[index] for index in range(len(book.backstops)))


def _price(order: Order) -> Decimal:
    return max((bid.value_usd_per_gpu_hour for bid in order.bids), default=Decimal(0))


@dataclass(slots=True)
class _Left:
    """Nodes of lots and room of limits that nothing has taken so far."""

    book: Book
    nodes: dict[Cell, int] = field(init=False)
    asks: dict[Cell, int] = field(init=False)
    rooms: dict[tuple[str, int | None], Decimal] = field(init=False)
    lots: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes, self.asks, self.rooms = {}, {}, {}
        homes: dict[str, dict[str, int]] = defaultdict(dict)
        for lot in self.book.lots:
            self._offer(lot)
            homes[lot.pool_id].setdefault(lot.lot_id, len(homes[lot.pool_id]))
        self.lots = {pool_id: list(known) for pool_id, known in homes.items()}
        for limit in self.book.limits:
            span = (None,) if limit.from_period is None else range(limit.from_period, limit.to_period or 0)
            for period in span:
                self.rooms[limit.limit_id, period] = limit.amount

    def _offer(self, lot: Lot) -> None:
        for period in range(lot.from_period, lot.to_period):
            self.nodes[lot.lot_id, period] = lot.nodes
            self.asks[lot.lot_id, period] = micro(lot.ask_usd_per_gpu_hour)

    def take(self, order: Order, match: Match) -> None:
        """Take what a match uses."""
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                self.nodes[share.lot_id, period] -= share.nodes
        for use in _find_bid(order, match).uses:
            each = use.amount_per_node_period * match.nodes
            periods = range(match.start_period, match.end_period)
            for cell, amount in (
                ((use.limit_id, None), each * len(periods)),
                *(((use.limit_id, p), each) for p in periods),
            ):
                if cell in self.rooms:
                    self.rooms[cell] -= amount

    def place(self, order: Order) -> Match | None:
        """Return where an order fits into what is left, None where it does not."""
        for size in sorted({order.nodes, *order.sizes}, reverse=True):
            starts = [
                (start, index, bid)
                for index, bid in enumerate(order.bids)
                if bid.sizes is None or size in bid.sizes
                for start in self._list_starts(order, bid, size)[:1]
            ]
            if starts:
                start, _, bid = min(starts, key=lambda found: found[:2])
                return self._build(order, bid, size, start)
        return None

    def _list_starts(self, order: Order, bid: Bid, size: int) -> list[int]:
        last = min(order.start_latest, self.book.periods - order.duration_periods)
        good = [
            self._count_free(bid, period) >= size and self._has_room(bid, size, period)
            for period in range(self.book.periods)
        ]
        sums = [0, *accumulate(int(each) for each in good)]
        length = order.duration_periods
        return [
            start
            for start in range(order.start_earliest, last + 1)
            if sums[start + length] - sums[start] == length and self._has_whole_room(bid, size, length)
        ]

    def _list_open(self, bid: Bid, period: int) -> Iterator[str]:
        """Yield the lots that a bid may use in a period at its price, the cheapest first."""
        limit = micro(bid.value_usd_per_gpu_hour)
        mine = [
            lot_id
            for lot_id in self.lots.get(bid.pool_id, ())
            if (bid.lot_ids is None or lot_id in bid.lot_ids)
            and self.nodes.get((lot_id, period), 0) > 0
            and self.asks[lot_id, period] <= limit
        ]
        return iter(sorted(mine, key=lambda lot_id: self.asks[lot_id, period]))

    def _count_free(self, bid: Bid, period: int) -> int:
        return sum(self.nodes[lot_id, period] for lot_id in self._list_open(bid, period))

    def _has_room(self, bid: Bid, size: int, period: int) -> bool:
        return all(
            self.rooms.get((use.limit_id, period), use.amount_per_node_period * size)
            >= use.amount_per_node_period * size
            for use in bid.uses
        )

    def _has_whole_room(self, bid: Bid, size: int, length: int) -> bool:
        needs = ((use.limit_id, use.amount_per_node_period * size * length) for use in bid.uses)
        return all(self.rooms.get((limit_id, None), need) >= need for limit_id, need in needs)

    def _build(self, order: Order, bid: Bid, size: int, start: int) -> Match:
        end = start + order.duration_periods
        runs: dict[str, list[LotShare]] = defaultdict(list)
        for period in range(start, end):
            missing = size
            for lot_id in self._list_open(bid, period):
                used = min(self.nodes[lot_id, period], missing)
                missing -= used
                if used:
                    _extend(runs[lot_id], LotShare(lot_id, used, period, period + 1))
        gpus = next(pool.gpus_per_node for pool in self.book.pools if pool.pool_id == bid.pool_id)
        hours = size * gpus * order.duration_periods * self.book.period_hours
        price = bid.value_usd_per_gpu_hour
        return Match(
            bid.pool_id,
            bid.mandate_id,
            size,
            start,
            end,
            tuple(share for shares in runs.values() for share in shares),
            price,
            Fraction(price),
            usd(micro(price) * hours),
        )

    def explain(self, order: Order) -> Reason:
        """Return why an order was not served: how much is left for it at most, over its duration in its window."""
        most = max((self._count_most(order, bid) for bid in order.bids), default=0)
        price = _price(order)
        least = min({order.nodes, *order.sizes})
        return Reason(
            "nothing_left",
            f"of what the other orders left, at most {most} nodes ask {say_rate(show(price))} USD per GPU-hour or less"
            f" over {order.duration_periods} periods of its window; it takes {least} or more",
            {"nodes_left": str(most), "nodes_least": str(least), "price_usd_per_gpu_hour": str(price)},
        )

    def _count_most(self, order: Order, bid: Bid) -> int:
        free = [self._count_free(bid, period) for period in range(self.book.periods)]
        last = min(order.start_latest, self.book.periods - order.duration_periods)
        runs = (free[start : start + order.duration_periods] for start in range(order.start_earliest, last + 1))
        return max((min(run) for run in runs), default=0)


def _find_bid(order: Order, match: Match) -> Bid:
    """Return the bid that a match is of; of those that read alike, the one that takes least of its limits together."""
    lots = {share.lot_id for share in match.lots}
    alike = [
        bid
        for bid in order.bids
        if (bid.pool_id, bid.mandate_id, bid.value_usd_per_gpu_hour)
        == (match.pool_id, match.mandate_id, match.value_usd_per_gpu_hour)
        and (bid.sizes is None or match.nodes in bid.sizes)
        and (bid.lot_ids is None or lots <= set(bid.lot_ids))
    ]
    return min(alike, key=lambda bid: sum(use.amount_per_node_period for use in bid.uses))


def _extend(runs: list[LotShare], share: LotShare) -> None:
    """Add a period to the shares of a lot; extend the last share if the nodes are the same."""
    if runs and (runs[-1].to_period, runs[-1].nodes) == (share.from_period, share.nodes):
        share = LotShare(share.lot_id, share.nodes, runs.pop().from_period, share.to_period)
    runs.append(share)
