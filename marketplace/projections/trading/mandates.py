"""Mandates: the terms of equity holders, and how much of each budget is free, held and committed.

What an open order holds tells its sealed offer. Queries state it only if they are asked to (`sealed`). Otherwise all
open orders of an issuer count together as the most that the mandate allows it, as in `Mandate.used_usd_max`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from msgspec import structs
from sqlalchemy import ColumnElement, Index, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events import mandate as mandate_events
from marketplace.core.errors import Corrupt
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import (
    WINDOW,
    Filter,
    Rows,
    Window,
    find_one,
    load_all,
    load_window,
    narrow,
    page,
)
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.trading import BudgetHoldView, MandateView

mandates: Final = define(
    "mandates",
    text("mandate_id", key=True),
    text("holder_id"),
    text("funding"),
    document("terms"),
    text("status"),
    exact("held_usd"),
    exact("captured_usd"),
    text("reason", null=True),
    instant("granted_at"),
    Index("ix_mandates_holder", "holder_id", "mandate_id"),
    origin=Origin("mandate", "mandate_id"),
)
budget_holds: Final = define(
    "mandate_holds",
    text("mandate_id", key=True),
    text("hold_id", key=True),
    text("order_id"),
    text("issuer_id"),
    text("grant_id", null=True),
    exact("held_usd"),
    exact("captured_usd"),
    text("approval", null=True),
    document("instrument", null=True),
    instant("until", null=True),
    document("gpu_classes"),
    exact("amount_usd_max", null=True),
    Index("ix_mandate_holds_issuer", "mandate_id", "issuer_id"),
    origin=Origin("mandate", "mandate_id"),
)


def _granted(changes: WriteBatch, fact: RecordedEvent, event: mandate_events.MandateGranted) -> None:
    changes.put(
        mandates,
        mandate_id=event.mandate_id,
        holder_id=event.holder_id,
        funding=event.funding,
        terms=event.terms,
        status="granted",
        held_usd=Decimal(0),
        captured_usd=Decimal(0),
        granted_at=fact.time,
    )


def _amended(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateAmended) -> None:
    changes.update(mandates, event.mandate_id, terms=event.terms)


def _revoked(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateRevoked) -> None:
    changes.update(mandates, event.mandate_id, status="revoked", reason=event.reason)
    for hold in event.ended:
        _move(changes, event.mandate_id, hold.hold_id, held=-hold.amount_usd)


def _held(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateBudgetHeld) -> None:
    changes.put(
        budget_holds,
        mandate_id=event.mandate_id,
        hold_id=event.hold_id,
        order_id=event.order_id,
        issuer_id=event.issuer_id,
        held_usd=Decimal(0),
        captured_usd=Decimal(0),
        approval="needed" if event.needs_approval else None,
        instrument=event.instrument,
        until=event.until,
        gpu_classes=event.gpu_classes,
        amount_usd_max=event.amount_usd_max,
    )
    _move(changes, event.mandate_id, event.hold_id, held=event.amount_usd)


def _approved(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateOrderApproved) -> None:
    changes.update(budget_holds, event.mandate_id, event.hold_id, approval="given")
    changes.update(mandates, event.mandate_id)


def _refused(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateOrderRefused) -> None:
    changes.update(budget_holds, event.mandate_id, event.hold_id, approval="refused")
    _move(changes, event.mandate_id, event.hold_id, held=-event.amount_usd)


def _captured(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateBudgetCaptured) -> None:
    won = {} if event.gpu_class is None else {"gpu_classes": (event.gpu_class,)}
    changes.update(budget_holds, event.mandate_id, event.hold_id, grant_id=event.grant_id, **won)
    _move(changes, event.mandate_id, event.hold_id, held=-event.amount_usd, captured=event.amount_usd)


def _released(changes: WriteBatch, _: RecordedEvent, event: mandate_events.MandateBudgetReleased) -> None:
    """Free first what is still held, then what was committed and is not delivered."""
    hold = changes.find(budget_holds, event.mandate_id, event.hold_id)
    from_hold = min(event.amount_usd, Decimal(0) if hold is None else hold["held_usd"])
    _move(changes, event.mandate_id, event.hold_id, held=-from_hold, captured=from_hold - event.amount_usd)


def _move(changes: WriteBatch, mandate_id: str, hold_id: str, *, held: Decimal, captured: Decimal = Decimal(0)) -> None:
    for table, key in ((budget_holds, (mandate_id, hold_id)), (mandates, (mandate_id,))):
        row = changes.find(table, *key)
        if row is None:
            raise Corrupt(f"hold {hold_id} of mandate {mandate_id} moves budget that the log never set aside")
        sums = {"held_usd": row["held_usd"] + held, "captured_usd": row["captured_usd"] + captured}
        changes.update(table, *key, **sums)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    moving = [fact.event for fact in batch if isinstance(fact.event, _MOVING)]
    revoked = [fact.event for fact in batch if isinstance(fact.event, mandate_events.MandateRevoked)]
    ended = {(event.mandate_id, hold.hold_id) for event in revoked for hold in event.ended}
    await changes.load(connection, mandates, {(event.mandate_id,) for event in (*moving, *revoked)})
    await changes.load(connection, budget_holds, {(event.mandate_id, event.hold_id) for event in moving} | ended)


_MOVING: Final = (
    mandate_events.MandateBudgetHeld,
    mandate_events.MandateOrderRefused,
    mandate_events.MandateBudgetCaptured,
    mandate_events.MandateBudgetReleased,
)
PROJECTION: Final = Projection(
    name="mandates",
    version=6,
    tables=(mandates, budget_holds),
    reads=("mandate",),
    handlers={
        mandate_events.MandateGranted: _granted,
        mandate_events.MandateAmended: _amended,
        mandate_events.MandateRevoked: _revoked,
        mandate_events.MandateBudgetHeld: _held,
        mandate_events.MandateOrderApproved: _approved,
        mandate_events.MandateOrderRefused: _refused,
        mandate_events.MandateBudgetCaptured: _captured,
        mandate_events.MandateBudgetReleased: _released,
    },
    load=_load,
)


async def find_mandate(connection: AsyncConnection, mandate_id: str) -> MandateView | None:
    """Return a mandate, or None."""
    return await find_one(connection, select(mandates).where(mandates.c.mandate_id == mandate_id), MandateView)


async def list_mandates(
    connection: AsyncConnection,
    *,
    holder_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[MandateView]:
    """Return mandates, optionally of one holder or of statuses."""
    query = narrow(select(mandates), ((mandates.c.holder_id, holder_id), (mandates.c.status, status)))
    return await load_window(connection, query, MandateView, window, mandates.c.mandate_id, mandates.c.granted_at)


_OPEN: Final[ColumnElement[bool]] = (
    budget_holds.c.amount_usd_max.is_not(None) & budget_holds.c.grant_id.is_(None) & (budget_holds.c.held_usd > 0)
)
"""Whether a hold is that of an order that is not matched."""


async def limit_held(connection: AsyncConnection, views: Sequence[MandateView]) -> list[MandateView]:
    """Return mandates, each with the most that it holds in place of what it holds."""
    ids = [view.mandate_id for view in views]
    query = sum_holds(budget_holds.c.mandate_id, where=budget_holds.c.mandate_id.in_(ids))
    most = {row.mandate_id: row.held_usd for row in await connection.execute(query.limit(len(ids) + 1))}
    return [
        structs.replace(
            view,
            held_usd=min(
                most.get(view.mandate_id, view.held_usd),
                view.terms.budget_usd + (view.terms.direct_budget_usd or 0) - view.captured_usd,
            ),
        )
        for view in views
    ]


def sum_holds(*keys: Any, where: ColumnElement[bool], sealed: bool = False) -> Select[Any]:
    """Return the query that sums `held_usd` and `captured_usd` of holds by columns of the holds and their mandates.

    With `sealed`, `held_usd` is what orders hold; without, the most that they may hold.
    """
    both = budget_holds.c.mandate_id == mandates.c.mandate_id
    captured = func.sum(budget_holds.c.captured_usd)
    if sealed:
        sums = func.sum(budget_holds.c.held_usd).label("held_usd"), captured.label("captured_usd")
        return select(*keys, *sums).join_from(budget_holds, mandates, both).where(where).group_by(*keys)
    of_issuer = (*keys, budget_holds.c.mandate_id.label("of"), budget_holds.c.issuer_id)
    known = func.sum(case((_OPEN, 0), else_=budget_holds.c.held_usd))
    most = func.max(case((_OPEN, budget_holds.c.amount_usd_max), else_=0))
    inner = select(*of_issuer, (known + most).label("held_usd"), captured.label("captured_usd"))
    rows = inner.join_from(budget_holds, mandates, both).where(where).group_by(*of_issuer).subquery()
    named = [rows.c[key.name] for key in keys]
    sums = func.sum(rows.c.held_usd).label("held_usd"), func.sum(rows.c.captured_usd).label("captured_usd")
    return select(*named, *sums).group_by(*named)


async def list_budget_holds(
    connection: AsyncConnection, mandate_id: str, *, sealed: bool = False, after: str = "", limit: int = 100
) -> list[BudgetHoldView]:
    """Return the holds on one mandate's budget by hold id above `after`."""
    held = (
        budget_holds.c.held_usd
        if sealed
        else case((_OPEN, budget_holds.c.amount_usd_max), else_=budget_holds.c.held_usd)
    )
    others = [column for column in budget_holds.c if column.name != "held_usd"]
    query = select(*others, held.label("held_usd")).where(
        budget_holds.c.mandate_id == mandate_id, budget_holds.c.hold_id > after
    )
    return await load_all(connection, page(query.order_by(budget_holds.c.hold_id), limit), BudgetHoldView)
