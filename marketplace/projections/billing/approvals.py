"""Approvals: acts that wait, or waited, for the approval of a second person of a party."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Index, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events import account as account_events
from events.registry import list_tags
from events.types import Event
from marketplace.projections.engine.projection import Handler, Projection, tags_of
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, load_window, narrow
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.billing import ApprovalView

approvals: Final = define(
    "account_approvals",
    text("account_id", key=True),
    text("approval_id", key=True),
    text("party_id"),
    document("act"),
    text("status"),
    text("person"),
    text("decided_by", null=True),
    text("reason", null=True),
    text("hold_id", null=True),
    instant("requested_at"),
    instant("approve_until"),
    Index("ix_account_approvals_party", "party_id", "approval_id"),
    Index("ix_account_approvals_approval", "approval_id"),
    Index("ix_account_approvals_requested", "requested_at", "approval_id"),
    origin=Origin("account", "account_id"),
)


def _requested(changes: WriteBatch, fact: RecordedEvent, event: account_events.AccountApprovalRequested) -> None:
    changes.put(
        approvals,
        account_id=event.account_id,
        approval_id=event.approval_id,
        party_id=event.party_id,
        act=event.act,
        status="open",
        person=event.person,
        hold_id=event.hold_id,
        requested_at=fact.time,
        approve_until=event.approve_until,
    )


def _given(changes: WriteBatch, _: RecordedEvent, event: account_events.AccountApprovalGiven) -> None:
    changes.update(approvals, event.account_id, event.approval_id, status="approved", decided_by=event.person)


def _ended(changes: WriteBatch, _: RecordedEvent, event: account_events.AccountApprovalEnded) -> None:
    decided = {"status": event.outcome, "decided_by": event.person, "reason": event.reason}
    changes.update(approvals, event.account_id, event.approval_id, **decided)


_HANDLERS: Final[dict[type[Event], Handler]] = {
    account_events.AccountApprovalRequested: _requested,
    account_events.AccountApprovalGiven: _given,
    account_events.AccountApprovalEnded: _ended,
}
PROJECTION: Final = Projection(
    name="approvals",
    version=4,
    tables=(approvals,),
    reads=("account",),
    handlers=_HANDLERS,
    ignores=frozenset(list_tags("account")) - tags_of(*_HANDLERS),
)


async def list_approvals(
    connection: AsyncConnection,
    *,
    account_id: str | None = None,
    party_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
    hidden: Collection[str] = (),
) -> Rows[ApprovalView]:
    """Return the requests for approval of an account, of a party or of all, optionally of statuses.

    Those for acts of the `hidden` kinds are left out.
    """
    given = ((approvals.c.account_id, account_id), (approvals.c.party_id, party_id), (approvals.c.status, status))
    query = narrow(select(approvals), given)
    if hidden:
        query = query.where(approvals.c.act["kind"].astext.not_in(sorted(hidden)))
    return await load_window(connection, query, ApprovalView, window, approvals.c.approval_id, approvals.c.requested_at)
