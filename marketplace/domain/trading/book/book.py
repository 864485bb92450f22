"""Build the book that the engine sees from the market, and convert the engine's answer for events.

A period is sold whole: in each period, a lot offers the fewest nodes that are unsold at any instant of it. An order
takes part in an auction whose periods divide its duration and whose horizon contains a start of its window. Backstop
orders are kept apart, at most the oldest `BACKSTOPS_MAX` of them.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import msgspec

from events.auction import AuctionOpened, MatchTerms
from events.book import Book, BookLimit, BookLot, BookOrder, BookPool
from events.lot import AskStep
from events.order import OrderTerms
from events.types import LotShare
from marketplace.clearing.book import BACKSTOPS_MAX
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.trading.book.bidding import build_bids, name_step
from marketplace.domain.trading.book.horizon import Horizon, build_horizon, count_least
from marketplace.domain.trading.book.infeasibility import find_conflict
from marketplace.domain.trading.book.market_snapshot import Offered, Supply, build_limits, build_offered
from marketplace.domain.trading.order import Order
from marketplace.domain.trading.order_terms import list_sizes, name_group


def find_window(terms: OrderTerms, horizon: Horizon) -> tuple[int, int, int] | None:
    """Return an order's duration, earliest and latest start in periods; None if it does not take part."""
    duration = timedelta(hours=terms.duration_hours)
    if duration % horizon.period:
        return None
    length = duration // horizon.period
    earliest = max(horizon.ceil(terms.start_earliest), 0)
    latest = min(horizon.floor(terms.start_latest), horizon.periods - length)
    return (length, earliest, latest) if earliest <= latest else None


@dataclass(frozen=True, slots=True)
class KnownRows:
    """An earlier book of the same auction and supply, and the orders that it was built from, by id."""

    book: Book
    orders: Mapping[str, Order]

    def find(self, limits: tuple[BookLimit, ...]) -> dict[str, BookOrder]:
        """Return the rows by order; none if other limits were stated."""
        if {limit.limit_id for limit in self.book.limits} != {limit.limit_id for limit in limits}:
            return {}
        return {row.order_id: row for row in (*self.book.orders, *self.book.backstops)}


def build_book(
    opened: AuctionOpened,
    supply: Supply,
    orders: Iterable[Order],
    served: AbstractSet[str] = frozenset(),
    known: KnownRows | None = None,
) -> Book:
    """Return the book of an auction, with its orders in the given order, without those that do not take part.

    An order whose parent neither takes part nor was matched before does not take part.

    Args:
        opened: The auction.
        supply: What is for sale.
        orders: The orders that were locked.
        served: Parents of orders that were matched before.
        known: Rows of an earlier book that can be reused.
    """
    horizon = build_horizon(opened)
    lots = (
        [lot for pool_id in sorted(supply.pools) for lot in _build_lots(supply, pool_id, horizon)]
        if known is None
        else list(known.book.lots)
    )
    used = sorted({lot.pool_id for lot in lots})
    ordered = _keep_linked([order for order in orders if find_window(order.terms, horizon) is not None], served)
    limits = build_limits(supply, ordered, horizon)
    firm = [order for order in ordered if not order.terms.backstop]
    backstops = [order for order in ordered if order.terms.backstop][:BACKSTOPS_MAX]
    book = Book(
        period_hours=opened.period_hours,
        periods=opened.periods,
        pools=tuple(_build_pool(supply.pools[pool_id]) for pool_id in used),
        lots=tuple(lots),
        orders=(),
        limits=limits,
    )
    listed = {pool_id: list_lots(supply, pool_id) for pool_id in used}
    names = {order.placed.order_id for order in ordered}
    offered = build_offered(supply, listed, book)
    ready = _list_ready(known, limits, ordered)
    rows, spare = (
        tuple(
            row
            for order in part
            if (row := ready.get(order.placed.order_id) or _build_order(order, offered, book, horizon, names))
            is not None
        )
        for part in (firm, backstops)
    )
    return msgspec.structs.replace(book, orders=rows, backstops=spare)


def _list_ready(
    known: KnownRows | None, limits: tuple[BookLimit, ...], orders: Iterable[Order]
) -> dict[str, BookOrder]:
    """Return the rows of unchanged orders. The row of an order with a parent also depends on who else takes part."""
    if known is None:
        return {}
    rows = known.find(limits)
    return {
        order_id: rows[order_id]
        for order in orders
        if (order_id := order.placed.order_id) in rows
        and order is known.orders.get(order_id)
        and order.terms.parent_order_id is None
    }


def _keep_linked(orders: list[Order], served: AbstractSet[str]) -> list[Order]:
    """Return the orders, in order, whose parent is among them or was matched before."""
    kept = {order.placed.order_id: order for order in orders}
    while True:
        gone = [
            order_id
            for order_id, order in kept.items()
            if order.terms.parent_order_id not in {None, *served} and order.terms.parent_order_id not in kept
        ]
        if not gone:
            return list(kept.values())
        for order_id in gone:
            del kept[order_id]


def build_order(order: Order, supply: Supply, book: Book, horizon: Horizon) -> BookOrder | None:
    """Return an order as it would appear in an existing book; None if it would not take part."""
    listed = {pool.pool_id: list_lots(supply, pool.pool_id) for pool in book.pools}
    offered = build_offered(supply, listed, book)
    return _build_order(order, offered, book, horizon, {row.order_id for row in book.orders})


def _build_order(
    order: Order, offered: Offered, book: Book, horizon: Horizon, names: AbstractSet[str]
) -> BookOrder | None:
    window = find_window(order.terms, horizon)
    if window is None:
        return None
    length, earliest, latest = window
    terms, limits = order.terms, {limit.limit_id for limit in book.limits}
    conflict, remedies = find_conflict(order, window, offered, horizon)
    return BookOrder(
        order_id=order.placed.order_id,
        nodes=terms.nodes,
        duration_periods=length,
        start_earliest=earliest,
        start_latest=latest,
        bids=tuple(
            bid
            for pool_id, lots in offered.listed.items()
            for bid in build_bids(order, offered.supply, pool_id, lots, limits, period_hours=book.period_hours)
        ),
        sizes=tuple(list_sizes(terms)[:-1]),
        group_id=name_group(order.placed.startup_id, terms),
        parent_id=terms.parent_order_id if terms.parent_order_id in names else None,
        conflict=conflict,
        remedies=remedies,
    )


def _build_pool(pool: Pool) -> BookPool:
    return BookPool(
        pool_id=pool.opened.pool_id,
        gpus_per_node=pool.opened.gpus_per_node,
        gpu_class=pool.opened.gpu_class,
        region=pool.opened.region,
    )


def list_lots(supply: Supply, pool_id: str) -> list[Lot]:
    """Return the lots of a pool that take orders, cheapest first."""
    lots = (lot for lot in supply.lots.values() if lot.listed.pool_id == pool_id and lot.status == "listed")
    return sorted(lots, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))


def _build_lots(supply: Supply, pool_id: str, horizon: Horizon) -> list[BookLot]:
    """Return what is unsold. Nodes that a grant resells are reserved, so failed nodes reduce only the others."""
    pool, lots = supply.pools[pool_id], list_lots(supply, pool_id)
    steps: list[tuple[BookLot, list[int]]] = []
    fresh: list[tuple[Decimal, list[int]]] = []
    for lot in lots:
        free = count_least(pool.unsold(lot.listed.lot_id, horizon.start, horizon.end), horizon)
        parts = [list(column) for column in zip(*(lot.split_free(nodes) for nodes in free), strict=True)]
        for index, (step, nodes) in enumerate(zip(lot.list_steps(), parts, strict=True)):
            steps.append((_build_step(lot, index, step), nodes))
            if lot.listed.grant_id is None:
                fresh.append((step.ask_usd_per_gpu_hour, nodes))
    _cut_to_working(pool, [nodes for _, nodes in sorted(fresh, key=lambda known: known[0])], horizon)
    return [row for step, nodes in steps for row in _build_runs(step, nodes)]


def _build_step(lot: Lot, index: int, step: AskStep) -> BookLot:
    lot_id = lot.listed.lot_id
    return BookLot(
        lot_id=name_step(lot_id, index),
        pool_id=lot.listed.pool_id,
        nodes=step.nodes,
        from_period=0,
        to_period=0,
        ask_usd_per_gpu_hour=step.ask_usd_per_gpu_hour,
        step_of=lot_id if index else None,
    )


def map_steps(book: Book) -> dict[str, str]:
    """Return the lot of each row that is a further step of one, by the row's id."""
    return {row.lot_id: row.step_of for row in book.lots if row.step_of is not None}


def merge_steps(match: MatchTerms, homes: Mapping[str, str]) -> MatchTerms:
    """Return a match by lot: steps of one lot that carry the same nodes become one share."""
    if not any(share.lot_id in homes for share in match.lots):
        return match
    loads: dict[str, list[Load]] = {}
    for share in match.lots:
        loads.setdefault(homes.get(share.lot_id, share.lot_id), []).append(Load(share.start, share.end, share.nodes))
    lots = (
        LotShare(lot_id=lot_id, nodes=run.amount, start=run.start, end=run.end)
        for lot_id, known in loads.items()
        for run in build_steps(known, match.start, match.end)
        if run.amount
    )
    return msgspec.structs.replace(match, lots=tuple(lots))


def _cut_to_working(pool: Pool, unsold: list[list[int]], horizon: Horizon) -> None:
    """Remove failed nodes from the most expensive steps, which come last, so that only working nodes are sold."""
    failed = pool.failed()
    if not failed:
        return
    taken = build_steps([*failed, *pool.reserved()], horizon.start, horizon.end)
    for period in range(horizon.periods):
        start, end = horizon.at(period), horizon.at(period + 1)
        peak = max(run.amount for run in taken if run.start < end and start < run.end)
        excess = sum(nodes[period] for nodes in unsold) - max(pool.opened.nodes - peak, 0)
        for nodes in reversed(unsold):
            cut = min(max(excess, 0), nodes[period])
            nodes[period] -= cut
            excess -= cut


def _build_runs(step: BookLot, nodes: list[int]) -> list[BookLot]:
    rows: list[BookLot] = []
    start = 0
    for period in range(1, len(nodes) + 1):
        if period == len(nodes) or nodes[period] != nodes[start]:
            if nodes[start]:
                rows.append(msgspec.structs.replace(step, nodes=nodes[start], from_period=start, to_period=period))
            start = period
    return rows
