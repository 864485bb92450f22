"""Orders: the book, now and as of any sequence or instant, with what auctions decided."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Index, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from events import order as order_events
from marketplace.core.errors import Corrupt
from marketplace.domain.trading.order import WAITING
from marketplace.domain.trading.order_terms import find_end
from marketplace.projections.delivery.grants import grants
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import (
    WINDOW,
    At,
    Filter,
    Rows,
    Window,
    as_decimal,
    find_one,
    load_all,
    load_window,
    narrow,
    page,
    until,
)
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, define_history, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.trading import BookOrderView, OrderView

orders: Final = define(
    "orders",
    text("order_id", key=True),
    text("startup_id"),
    text("issuer_id"),
    text("account_id"),
    text("hold_id"),
    text("status"),
    document("terms"),
    instant("ends_at"),
    exact("cash_hold_usd"),
    document("budget_holds"),
    text("auction_id", null=True),
    text("grant_id", null=True),
    document("reasons", null=True),
    exact("price_to_win_usd_per_gpu_hour", null=True),
    text("cancel_reason", null=True),
    instant("placed_at"),
    Index("ix_orders_startup", "startup_id", "order_id"),
    Index("ix_orders_startup_placed", "startup_id", "placed_at", "order_id"),
    Index("ix_orders_placed", "placed_at", "order_id"),
    Index("ix_orders_status", "status", "order_id"),
    Index("ix_orders_auction", "auction_id", "order_id"),
    origin=Origin("order", "order_id"),
)
order_history: Final = define_history(
    "order_history",
    text("order_id", key=True),
    whole("sequence", key=True),
    text("status"),
    document("terms", null=True),
    instant("occurred_at"),
    origin=Origin("order", "order_id"),
)


def _placed(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderPlaced) -> None:
    changes.put(
        orders,
        order_id=event.order_id,
        startup_id=event.startup_id,
        issuer_id=event.issuer_id,
        account_id=event.account_id,
        hold_id=event.hold_id,
        status="open",
        terms=event.terms,
        ends_at=find_end(event.terms),
        cash_hold_usd=event.cash_hold_usd,
        budget_holds=event.budget_holds,
        placed_at=fact.time,
    )
    changes.append(order_history, event.order_id, fact.sequence, "open", event.terms, fact.time)


def _amended(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderAmended) -> None:
    changes.update(
        orders,
        event.order_id,
        hold_id=event.hold_id,
        terms=event.terms,
        ends_at=find_end(event.terms),
        cash_hold_usd=event.cash_hold_usd,
        budget_holds=event.budget_holds,
    )
    changes.append(order_history, event.order_id, fact.sequence, "open", event.terms, fact.time)


def _change(changes: WriteBatch, fact: RecordedEvent, order_id: str, status: str, **values: Any) -> None:
    changes.update(orders, order_id, status=status, **values)
    changes.append(order_history, order_id, fact.sequence, status, None, fact.time)


def _approved(changes: WriteBatch, _: RecordedEvent, event: order_events.OrderMandateApproved) -> None:
    holds = [
        {**hold, "needs_approval": False} if hold["mandate_id"] == event.mandate_id else hold
        for hold in _read_holds(changes, event.order_id)
    ]
    changes.update(orders, event.order_id, budget_holds=holds)


def _mandate_ended(changes: WriteBatch, _: RecordedEvent, event: order_events.OrderMandateEnded) -> None:
    left = [hold for hold in _read_holds(changes, event.order_id) if hold["mandate_id"] != event.mandate_id]
    changes.update(orders, event.order_id, budget_holds=left)


def _cancelled(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderCancelled) -> None:
    _change(changes, fact, event.order_id, "cancelled", cancel_reason=event.reason)


def _expired(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderExpired) -> None:
    _change(changes, fact, event.order_id, "expired")


def _locked(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderLocked) -> None:
    _change(changes, fact, event.order_id, "locked", auction_id=event.auction_id)


def _matched(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderMatched) -> None:
    decided = {"reasons": (), "price_to_win_usd_per_gpu_hour": None}
    _change(changes, fact, event.order_id, "matched", auction_id=event.auction_id, grant_id=event.grant_id, **decided)


def _unmatched(changes: WriteBatch, fact: RecordedEvent, event: order_events.OrderUnmatched) -> None:
    _change(
        changes,
        fact,
        event.order_id,
        "open" if event.open_again else "unmatched",
        auction_id=event.auction_id,
        reasons=event.reasons,
        price_to_win_usd_per_gpu_hour=event.price_to_win_usd_per_gpu_hour,
    )


def _read_holds(changes: WriteBatch, order_id: str) -> list[dict[str, Any]]:
    """Return the budget that an order holds, as plain values.

    Raises:
        Corrupt: The order was never placed.
    """
    row = changes.find(orders, order_id)
    if row is None:
        raise Corrupt(f"order {order_id} changes its mandates and was never placed")
    holds: list[dict[str, Any]] = msgspec.to_builtins(row["budget_holds"])
    return holds


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    needing = (order_events.OrderMandateApproved, order_events.OrderMandateEnded)
    await changes.load(
        connection, orders, {(fact.event.order_id,) for fact in batch if isinstance(fact.event, needing)}
    )


PROJECTION: Final = Projection(
    name="orders",
    version=5,
    tables=(orders, order_history),
    reads=("order",),
    handlers={
        order_events.OrderPlaced: _placed,
        order_events.OrderAmended: _amended,
        order_events.OrderCancelled: _cancelled,
        order_events.OrderExpired: _expired,
        order_events.OrderLocked: _locked,
        order_events.OrderMatched: _matched,
        order_events.OrderUnmatched: _unmatched,
        order_events.OrderMandateApproved: _approved,
        order_events.OrderMandateEnded: _mandate_ended,
    },
    load=_load,
)


_ORDERS: Final[Any] = select(
    orders, as_decimal(grants.c.price_usd_per_gpu_hour).label("price_usd_per_gpu_hour"), grants.c.start
).select_from(orders.outerjoin(grants, grants.c.grant_id == orders.c.grant_id))


async def find_order(connection: AsyncConnection, order_id: str) -> OrderView | None:
    """Return an order, or None."""
    return await find_one(connection, _ORDERS.where(orders.c.order_id == order_id), OrderView)


async def list_orders(
    connection: AsyncConnection,
    *,
    startup_id: str | None = None,
    status: Filter = None,
    auction_id: str | None = None,
    window: Window = WINDOW,
) -> Rows[OrderView]:
    """Return orders, optionally of a startup, of statuses, or those that an auction locked or decided last."""
    query = narrow(
        _ORDERS,
        ((orders.c.startup_id, startup_id), (orders.c.status, status), (orders.c.auction_id, auction_id)),
    )
    return await load_window(connection, query, OrderView, window, orders.c.order_id, orders.c.placed_at)


async def list_book(
    connection: AsyncConnection,
    *,
    startup_id: str | None = None,
    at: At = None,
    after: str = "",
    limit: int = 100,
) -> list[BookOrderView]:
    """Return the open or locked orders by id above `after`, now or as of `at`."""
    history = order_history
    happened = until(at, history.c.sequence, history.c.occurred_at)
    own = select(orders.c.order_id).where(orders.c.startup_id == startup_id)
    theirs = () if startup_id is None else (history.c.order_id.in_(own),)
    latest = (
        select(history.c.order_id, history.c.status, history.c.sequence.label("last_sequence"))
        .where(happened, history.c.order_id > after, *theirs)
        .ext(distinct_on(history.c.order_id))
        .order_by(history.c.order_id, history.c.sequence.desc())
        .subquery()
    )
    terms = (
        select(history.c.terms)
        .where(history.c.order_id == latest.c.order_id, history.c.terms.is_not(None), happened)
        .order_by(history.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(latest, orders.c.startup_id, terms.label("terms"))
        .join(orders, orders.c.order_id == latest.c.order_id)
        .where(latest.c.status.in_(WAITING))
        .order_by(latest.c.order_id)
    )
    return await load_all(connection, page(query, limit), BookOrderView)
