"""Holds: money set aside, what was paid from it, its expiry and its credit; beside them the reserves."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, Column, ColumnElement, Index, and_, case, exists, func, not_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from events import account as account_events
from marketplace.core.errors import Corrupt
from marketplace.domain.trading.order import ORDER
from marketplace.domain.trading.quote import QUOTE
from marketplace.projections.billing.approvals import approvals
from marketplace.projections.engine.projection import Projection, tags_of
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, load_all, load_window, narrow, page
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, exact, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.billing import CreditView, HoldView

holds: Final = define(
    "holds",
    text("account_id", key=True),
    text("hold_id", key=True),
    text("party_id"),
    text("purpose"),
    exact("left_usd"),
    exact("captured_usd"),
    exact("credit_usd"),
    text("lender_id", null=True),
    instant("expires_at", null=True),
    Column("expired", Boolean, nullable=False),
    instant("placed_at"),
    Index("ix_holds_party", "party_id", "hold_id"),
    Index("ix_holds_purpose", "purpose", "hold_id"),
    origin=Origin("account", "account_id"),
)
account_reserves: Final = define(
    "account_reserves",
    text("account_id", key=True),
    text("cause", key=True),
    exact("amount_usd"),
    instant("kept_until"),
    Index("ix_account_reserves_until", "account_id", "kept_until"),
    origin=Origin("account", "account_id"),
)
account_credits: Final = define(
    "account_credits",
    text("account_id", key=True),
    text("provider_id", key=True),
    text("startup_id"),
    exact("limit_usd"),
    Index("ix_account_credits_provider", "provider_id", "account_id"),
    Index("ix_account_credits_startup", "startup_id", "account_id"),
    origin=Origin("account", "account_id"),
)


def _placed(changes: WriteBatch, fact: RecordedEvent, event: account_events.AccountHoldPlaced) -> None:
    row = changes.find(holds, event.account_id, event.hold_id)
    if row is not None:
        changes.update(holds, event.account_id, event.hold_id, left_usd=row["left_usd"] + event.amount_usd)
        return
    changes.put(
        holds,
        account_id=event.account_id,
        hold_id=event.hold_id,
        party_id=event.party_id,
        purpose=event.purpose,
        left_usd=event.amount_usd,
        captured_usd=Decimal(0),
        credit_usd=Decimal(0),
        expires_at=event.expires_at,
        expired=False,
        placed_at=fact.time,
    )


def _lower(changes: WriteBatch, fact: RecordedEvent, event: Any, **values: Any) -> None:
    row = changes.find(holds, event.account_id, event.hold_id)
    if row is None:
        raise Corrupt(f"event {fact.sequence} is about hold {event.hold_id}, which the log never placed")
    captured = event.amount_usd if isinstance(event, account_events.AccountHoldCaptured) else Decimal(0)
    sums = {"left_usd": row["left_usd"] - event.amount_usd, "captured_usd": row["captured_usd"] + captured}
    changes.update(holds, event.account_id, event.hold_id, **sums, **values)


def _expired(changes: WriteBatch, fact: RecordedEvent, event: account_events.AccountHoldExpired) -> None:
    _lower(changes, fact, event, expired=True)


def _reserved(changes: WriteBatch, _: RecordedEvent, event: account_events.AccountReserved) -> None:
    changes.put(
        account_reserves,
        account_id=event.account_id,
        cause=event.cause,
        amount_usd=event.amount_usd,
        kept_until=event.until,
    )


def _limited(changes: WriteBatch, _: RecordedEvent, event: account_events.AccountCreditLimited) -> None:
    changes.put(
        account_credits,
        account_id=event.account_id,
        provider_id=event.provider_id,
        startup_id=event.party_id,
        limit_usd=event.limit_usd,
    )


def _committed(changes: WriteBatch, _: RecordedEvent, event: account_events.AccountCreditCommitted) -> None:
    changes.update(holds, event.account_id, event.hold_id, credit_usd=event.amount_usd, lender_id=event.lender_id)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    events: list[Any] = [fact.event for fact in batch]
    named = [event for event in events if hasattr(event, "hold_id")]
    await changes.load(connection, holds, {(event.account_id, event.hold_id) for event in named})


PROJECTION: Final = Projection(
    name="holds",
    version=3,
    tables=(holds, account_reserves, account_credits),
    reads=("account",),
    handlers={
        account_events.AccountHoldPlaced: _placed,
        account_events.AccountHoldCaptured: _lower,
        account_events.AccountHoldReleased: _lower,
        account_events.AccountHoldExpired: _expired,
        account_events.AccountReserved: _reserved,
        account_events.AccountCreditLimited: _limited,
        account_events.AccountCreditCommitted: _committed,
    },
    ignores=tags_of(
        account_events.AccountOpened,
        account_events.AccountClosed,
        account_events.AccountDeposited,
        account_events.AccountWithdrawn,
        account_events.AccountDebited,
        account_events.AccountCredited,
        account_events.AccountLimitSet,
        account_events.AccountLimitUsed,
        account_events.AccountApprovalRequested,
        account_events.AccountApprovalGiven,
        account_events.AccountApprovalEnded,
    ),
    load=_load,
)


def tells_no_offer() -> ColumnElement[bool]:
    """Return the condition that a hold tells no sealed offer: it is for no order, no quote and no order to approve."""
    named = and_(*(not_(holds.c.purpose.startswith(f"{prefix}_")) for prefix in (ORDER.prefix, QUOTE.prefix, "apv")))
    mine = approvals.c.account_id == holds.c.account_id, approvals.c.approval_id == holds.c.purpose
    return or_(named, exists().where(*mine, approvals.c.act["kind"].astext != "order"))


async def list_holds(
    connection: AsyncConnection,
    account_id: str,
    *,
    purpose: Filter = None,
    sealed: bool = True,
    window: Window = WINDOW,
) -> Rows[HoldView]:
    """Return the holds of an account, optionally for one purpose; without `sealed`, none that tells a sealed offer."""
    query = narrow(select(holds), ((holds.c.account_id, account_id), (holds.c.purpose, purpose)))
    if not sealed:
        query = query.where(tells_no_offer())
    return await load_window(connection, query, HoldView, window, holds.c.hold_id, holds.c.placed_at)


async def list_credits(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    reader_id: str | None = None,
    sealed: bool = True,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[CreditView]:
    """Return credits by account and provider above `after`, optionally those of one party on either side.

    A reader learns what is taken of the credit that it uses, not of the credit that it gives. The platform, None,
    learns both with `sealed`, and otherwise neither.
    """
    taken: Any = (
        select(func.coalesce(func.sum(holds.c.credit_usd), 0))
        .where(holds.c.account_id == account_credits.c.account_id, holds.c.lender_id == account_credits.c.provider_id)
        .scalar_subquery()
    )
    if reader_id is not None or not sealed:
        taken = case((account_credits.c.startup_id == reader_id, taken))
    query = select(account_credits, taken.label("taken_usd")).order_by(
        account_credits.c.account_id, account_credits.c.provider_id
    )
    query = query.where(tuple_(account_credits.c.account_id, account_credits.c.provider_id) > after)
    if party_id is not None:
        query = query.where(or_(account_credits.c.startup_id == party_id, account_credits.c.provider_id == party_id))
    return await load_all(connection, page(query, limit), CreditView)
