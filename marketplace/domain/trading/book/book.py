"""Build the book that the engine sees from the market, and convert the engine's answer for events.

Orders come in the given order, without those that do not take part. Backstop orders are kept apart, at most the oldest
`BACKSTOPS_MAX` of them. A startup's limit on principal counts each bid at its full offer; the price never exceeds it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from events.auction import AuctionOpened, Decision, MatchTerms
from events.book import Book, BookLimit, BookOrder
from events.types import LotShare
from marketplace.clearing.book import BACKSTOPS_MAX
from marketplace.core.horizon import Horizon, build_horizon
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.trading.book.bidding import PRINCIPAL, build_row
from marketplace.domain.trading.book.market_snapshot import (
    Supply,
    build_lots,
    build_pools,
    limit_power,
    read_offered,
)
from marketplace.domain.trading.order import Order
from marketplace.domain.trading.order_terms import Window, find_window, limit_principal


@dataclass(frozen=True, slots=True)
class KnownRows:
    """An earlier book of the same auction and supply, and the orders that it was built from, by id."""

    book: Book
    orders: Mapping[str, Order]

    def find(self, limits: tuple[BookLimit, ...], orders: Iterable[Order]) -> dict[str, BookOrder]:
        """Return the rows of unchanged orders without a parent, by id; none if the limits are others."""
        if {limit.limit_id for limit in self.book.limits} != {limit.limit_id for limit in limits}:
            return {}
        rows = {row.order_id: row for row in (*self.book.orders, *self.book.backstops)}
        return {
            order_id: rows[order_id]
            for order in orders
            if (order_id := order.placed.order_id) in rows
            and order is self.orders.get(order_id)
            and order.terms.parent_order_id is None
        }


def build_book(
    opened: AuctionOpened,
    supply: Supply,
    orders: Iterable[Order],
    served: AbstractSet[str] = frozenset(),
    known: KnownRows | None = None,
) -> Book:
    """Return the book of an auction.

    An order with a parent takes part only if the parent takes part too, or was matched before.

    Args:
        opened: The auction.
        supply: What is for sale.
        orders: The orders that may take part.
        served: Ids of parents that were matched before.
        known: An earlier book of the same auction and supply, whose rows are used again; None if there is none.
    """
    horizon = build_horizon(opened)
    ordered = _choose_orders(orders, horizon, served)
    principals = limit_principal((order.placed.startup_id, order.terms) for order, _ in ordered)
    lots = build_lots(supply, horizon) if known is None else known.book.lots
    book = Book(
        period_hours=opened.period_hours,
        periods=opened.periods,
        pools=build_pools(supply, lots),
        lots=lots,
        orders=(),
        limits=(
            *limit_power(supply, horizon),
            *(BookLimit(limit_id=f"{PRINCIPAL}/{startup_id}", amount=most) for startup_id, most in principals),
        ),
    )
    offered = read_offered(supply, book, horizon)
    names = {order.placed.order_id for order, _ in ordered}
    ready = {} if known is None else known.find(book.limits, (order for order, _ in ordered))
    firm: list[BookOrder] = []
    backstops: list[BookOrder] = []
    for order, window in ordered:
        part = backstops if order.terms.backstop else firm
        if part is firm or len(part) < BACKSTOPS_MAX:
            part.append(ready.get(order.placed.order_id) or build_row(order, window, offered, names))
    return msgspec.structs.replace(book, orders=tuple(firm), backstops=tuple(backstops))


def _choose_orders(orders: Iterable[Order], horizon: Horizon, served: AbstractSet[str]) -> list[tuple[Order, Window]]:
    """Return the orders that fit the horizon, in order, if their parent is among them or was matched before."""
    windows = [(order, find_window(order.terms, horizon)) for order in orders]
    kept = {order.placed.order_id: (order, window) for order, window in windows if window is not None}
    while True:
        gone = [
            order_id
            for order_id, (order, _) in kept.items()
            if order.terms.parent_order_id not in {None, *served} and order.terms.parent_order_id not in kept
        ]
        if not gone:
            return list(kept.values())
        for order_id in gone:
            del kept[order_id]


def build_order(order: Order, supply: Supply, book: Book, horizon: Horizon) -> BookOrder | None:
    """Return an order as it would appear in an existing book; None if it would not take part."""
    window = find_window(order.terms, horizon)
    if window is None:
        return None
    offered = read_offered(supply, book, horizon)
    return build_row(order, window, offered, {row.order_id for row in book.orders})


def map_steps(book: Book) -> dict[str, str]:
    """Return the lot of each row that stands for a further ask of a lot, by the row's id."""
    return {row.lot_id: row.step_of for row in book.lots if row.step_of is not None}


def list_waves(book: Book, decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Return decisions in groups to carry out one after the other: each order in a later group than its parent.

    Matches name lots, no longer the book's rows for further asks.
    """
    parents = {order.order_id: order.parent_id for order in book.orders}
    homes = map_steps(book)
    waves: dict[int, list[Decision]] = defaultdict(list)
    for decision in decisions:
        depth, parent_id = 0, parents.get(decision.order_id)
        while parent_id is not None:
            depth, parent_id = depth + 1, parents.get(parent_id)
        match = None if decision.match is None else _merge_steps(decision.match, homes)
        waves[depth].append(msgspec.structs.replace(decision, match=match))
    return [waves[depth] for depth in sorted(waves)]


def _merge_steps(match: MatchTerms, homes: Mapping[str, str]) -> MatchTerms:
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
