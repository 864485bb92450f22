"""Grants: awarded capacity, now and as of any sequence or instant."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Index, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from events import grant as grant_events
from events.statement import StatementCredited
from marketplace.core.errors import Corrupt
from marketplace.domain.billing.stages import compute_funding
from marketplace.domain.delivery.grant import PRIORITY
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.engine.projection import Projection, all_of, tags_of
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
from marketplace.projections.views.billing import EquityView
from marketplace.projections.views.delivery import (
    GRANT_PARTIES,
    GrantAtView,
    GrantView,
    ResaleView,
    ResoldPart,
    StageView,
)

grants: Final = define(
    "grants",
    text("grant_id", key=True),
    text("order_id"),
    text("auction_id", null=True),
    text("startup_id"),
    text("provider_id"),
    text("payer_id"),
    text("holder_id", null=True),
    text("pool_id"),
    text("gpu_class"),
    whole("nodes"),
    whole("gpus_per_node"),
    instant("start"),
    instant("end"),
    document("lots"),
    text("price_usd_per_gpu_hour"),
    text("cash_share"),
    text("startup_account_id"),
    text("provider_account_id"),
    text("hold_id"),
    exact("cash_commitment_usd"),
    document("equity", null=True),
    document("resale", null=True),
    document("resold"),
    document("service_lines"),
    document("service", null=True),
    document("ends", null=True),
    document("stages", null=True),
    document("stage", null=True),
    text("mark", null=True),
    text("status"),
    whole("nodes_available"),
    whole("priority"),
    text("reason", null=True),
    whole("gpu_seconds_accepted", null=True),
    instant("ended_at", null=True),
    instant("issued_at"),
    Index("ix_grants_startup", "startup_id", "grant_id"),
    Index("ix_grants_payer", "payer_id", "grant_id"),
    Index("ix_grants_issued", "issued_at", "grant_id"),
    Index("ix_grants_provider", "provider_id", "grant_id"),
    Index("ix_grants_holder", "holder_id", "grant_id"),
    origin=Origin("grant", "grant_id"),
)
grant_history: Final = define_history(
    "grant_history",
    text("grant_id", key=True),
    whole("sequence", key=True),
    text("status"),
    text("pool_id"),
    text("startup_id"),
    whole("nodes_available"),
    text("reason", null=True),
    instant("occurred_at"),
    origin=Origin("grant", "grant_id"),
)
_FIELDS: Final = grant_events.GrantIssued.__struct_fields__
_CHANGING: Final = ("status", "pool_id", "startup_id", "nodes_available", "reason")


def _remember(changes: WriteBatch, fact: RecordedEvent) -> None:
    row = changes.find(grants, fact.id)
    assert row is not None, "every handler begins with an existing row"
    changes.append(grant_history, fact.id, fact.sequence, *(row[name] for name in _CHANGING), fact.time)


def _change(changes: WriteBatch, fact: RecordedEvent, **values: Any) -> None:
    if changes.find(grants, fact.id) is None:
        raise Corrupt(f"event {fact.sequence} is about grant {fact.id}, which the log never issued")
    changes.update(grants, fact.id, **values)
    _remember(changes, fact)


def _issued(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantIssued) -> None:
    changes.put(
        grants,
        **{name: getattr(event, name) for name in _FIELDS}
        | {
            "equity": show_decimals(EquityView, event.equity, "principal_share"),
            "resale": show_decimals(ResaleView, event.resale, "owed_usd_per_gpu_hour"),
        },
        holder_id=None if event.equity is None else event.equity.holder_id,
        status="issued",
        nodes_available=event.nodes,
        priority=PRIORITY,
        resold=[],
        service_lines=[],
        payer_id=event.startup_id,
        issued_at=fact.time,
        stage=None
        if event.stages is None
        else StageView(stages_paid=1, set_aside_usd=compute_funding(event, 1, event.end)),
    )
    _remember(changes, fact)


def _activated(changes: WriteBatch, fact: RecordedEvent, _: grant_events.GrantActivated) -> None:
    _change(changes, fact, status="active")


def _keep_end(changes: WriteBatch, fact: RecordedEvent, status: str) -> str:
    """Return `status`, or `terminated` once notice of the end was given."""
    row = changes.find(grants, fact.id) or {}
    return "terminated" if row.get("status") == "terminated" else status


def _degraded(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantDegraded) -> None:
    if event.until is not None:
        _change(changes, fact)
        return
    _change(
        changes,
        fact,
        status=_keep_end(changes, fact, "degraded"),
        nodes_available=event.nodes_available,
        reason=event.reason,
    )


def _suspended(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantSuspended) -> None:
    _change(changes, fact, status=_keep_end(changes, fact, "suspended"), nodes_available=0, reason=event.reason)


def _resumed(changes: WriteBatch, fact: RecordedEvent, _: grant_events.GrantResumed) -> None:
    row = changes.find(grants, fact.id) or {}
    _change(changes, fact, status=_keep_end(changes, fact, "active"), nodes_available=row.get("nodes"), reason=None)


def _substituted(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantSubstituted) -> None:
    _change(changes, fact, pool_id=event.pool_id, lots=event.lots, reason=event.reason)


def _extended(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantExtended) -> None:
    row = changes.find(grants, fact.id) or {}
    _change(changes, fact, end=event.end, lots=[*row.get("lots", ()), *event.lots])


def _rescheduled(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantRescheduled) -> None:
    row = changes.find(grants, fact.id) or {}
    span = {"start": event.start, "end": event.end, "lots": event.lots}
    state = {"status": "issued", "nodes_available": row.get("nodes"), "reason": event.reason}
    _change(changes, fact, **span, **state, **_commit(row, event))


def _commit(row: Mapping[str, Any], event: grant_events.GrantRescheduled | grant_events.GrantResold) -> dict[str, Any]:
    """Return what a grant costs from an event on that takes hours off it."""
    commitments: dict[str, Any] = {"cash_commitment_usd": event.cash_commitment_usd}
    if row.get("equity") is not None:
        left = {name: getattr(event, name) for name in ("principal_commitment_usd", "budget_commitment_usd")}
        equity = msgspec.convert(msgspec.to_builtins(row["equity"]), EquityView)
        commitments["equity"] = msgspec.structs.replace(equity, **left)
    return commitments


def _transferred(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantTransferred) -> None:
    _change(changes, fact, startup_id=event.startup_id)


def _prioritised(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantPrioritised) -> None:
    _change(changes, fact, priority=event.priority)


def _marked(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantMarked) -> None:
    _change(changes, fact, mark=event.mark)


def _line_added(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantServiceLineAdded) -> None:
    row = changes.find(grants, fact.id) or {"service_lines": []}
    _change(changes, fact, service_lines=[*row["service_lines"], event.service_line_id])


def _resold(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantResold) -> None:
    row = changes.find(grants, fact.id) or {"resold": []}
    part = show_decimals(ResoldPart, event, "price_usd_per_gpu_hour")
    _change(changes, fact, resold=[*row["resold"], part], **_commit(row, event))


def _change_stage(changes: WriteBatch, fact: RecordedEvent, **values: Any) -> None:
    row = changes.find(grants, fact.id) or {}
    _change(changes, fact, stage=msgspec.structs.replace(_read_stage(row), **values))


def _read_stage(row: Mapping[str, Any]) -> StageView:
    return msgspec.convert(msgspec.to_builtins(row.get("stage") or {}), StageView)


def _stage_paid(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantStagePaid) -> None:
    paid = {"stages_paid": event.stages_paid, "set_aside_usd": event.set_aside_usd}
    _change_stage(changes, fact, **paid, missing_usd=None, cure_until=None)


def _stage_missed(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantStageMissed) -> None:
    _change_stage(changes, fact, missing_usd=event.amount_usd, cure_until=event.cure_until)


def _withheld(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantWithheld) -> None:
    _change_stage(changes, fact, withheld_at=event.at, ends_at=event.ends_at)


def _withholding_ended(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantWithholdingEnded) -> None:
    row = changes.find(grants, fact.id) or {}
    damages_usd = _read_stage(row).damages_usd + event.damages_usd
    _change_stage(changes, fact, damages_usd=damages_usd, withheld_at=None, ends_at=None)


def _completed(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantCompleted) -> None:
    accepted = event.gpu_seconds_accepted
    _change(changes, fact, status="completed", gpu_seconds_accepted=accepted, ended_at=fact.time)


def _terminated(changes: WriteBatch, fact: RecordedEvent, event: grant_events.GrantTerminated) -> None:
    _change(changes, fact, status="terminated", reason=event.reason, ended_at=event.at)


def _credited(changes: WriteBatch, _: RecordedEvent, event: StatementCredited) -> None:
    """Take off a completed grant what is credited after that."""
    row = changes.find(grants, event.grant_id) or {}
    accepted = row.get("gpu_seconds_accepted")
    if accepted is not None and event.service_line_id is None:
        changes.update(grants, event.grant_id, gpu_seconds_accepted=accepted - event.charges.gpu_seconds)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    issued = {fact.id for fact in batch if isinstance(fact.event, grant_events.GrantIssued)}
    ids = {fact.event.grant_id if isinstance(fact.event, StatementCredited) else fact.id for fact in batch}
    await changes.load(connection, grants, {(grant_id,) for grant_id in ids - issued})


PROJECTION: Final = Projection(
    name="grants",
    version=11,
    tables=(grants, grant_history),
    reads=("grant", "statement"),
    handlers={
        grant_events.GrantIssued: _issued,
        grant_events.GrantActivated: _activated,
        grant_events.GrantDegraded: _degraded,
        grant_events.GrantSuspended: _suspended,
        grant_events.GrantResumed: _resumed,
        grant_events.GrantSubstituted: _substituted,
        grant_events.GrantExtended: _extended,
        grant_events.GrantRescheduled: _rescheduled,
        grant_events.GrantTransferred: _transferred,
        grant_events.GrantPrioritised: _prioritised,
        grant_events.GrantResold: _resold,
        grant_events.GrantMarked: _marked,
        grant_events.GrantServiceLineAdded: _line_added,
        grant_events.GrantStagePaid: _stage_paid,
        grant_events.GrantStageMissed: _stage_missed,
        grant_events.GrantWithheld: _withheld,
        grant_events.GrantWithholdingEnded: _withholding_ended,
        grant_events.GrantCompleted: _completed,
        grant_events.GrantTerminated: _terminated,
        StatementCredited: _credited,
    },
    ignores=all_of("statement") - tags_of(StatementCredited),
    load=_load,
)


def _concerns(party_id: str) -> Any:
    return or_(*(grants.c[member] == party_id for member in GRANT_PARTIES))


_FRACTIONS: Final = ("price_usd_per_gpu_hour", "cash_share")
_GRANTS: Final[Any] = select(
    *(column for column in grants.c if column.name not in _FRACTIONS),
    *(as_decimal(grants.c[name]).label(name) for name in _FRACTIONS),
)


async def find_grant(connection: AsyncConnection, grant_id: str) -> GrantView | None:
    """Return a grant, or None."""
    return await find_one(connection, _GRANTS.where(grants.c.grant_id == grant_id), GrantView)


async def find_grants(connection: AsyncConnection, grant_ids: Collection[str]) -> dict[str, GrantView]:
    """Return those of the grants that exist, by id."""
    found = await load_all(connection, _GRANTS.where(grants.c.grant_id.in_(grant_ids)), GrantView)
    return {view.grant_id: view for view in found}


async def list_grants(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[GrantView]:
    """Return grants: those that a party uses, pays, delivers or holds the equity of, or all."""
    query = narrow(_GRANTS, ((grants.c.status, status),))
    if party_id is not None:
        query = query.where(_concerns(party_id))
    return await load_window(connection, query, GrantView, window, grants.c.grant_id, grants.c.issued_at)


async def list_carriers(
    connection: AsyncConnection,
    *,
    startup_id: str,
    provider_id: str,
    gpu_class: str,
    start: datetime,
    end: datetime,
    limit: int,
) -> dict[str, datetime]:
    """Return the first `limit` grants of a class that a startup uses at a provider within a span, oldest first.

    Each id comes with the time of its issue.
    """
    theirs = (grants.c.startup_id == startup_id, grants.c.provider_id == provider_id, grants.c.gpu_class == gpu_class)
    query = (
        select(grants.c.grant_id, grants.c.issued_at)
        .where(*theirs, grants.c.start < end, grants.c.end > start)
        .order_by(grants.c.issued_at, grants.c.grant_id)
        .limit(limit)
    )
    return {row.grant_id: row.issued_at for row in await connection.execute(query)}


async def list_grants_at(
    connection: AsyncConnection, at: At, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[GrantAtView]:
    """Return grants as of `at`, by id above `after`. `party_id` filters by the present parties."""
    history = grant_history
    latest = (
        select(*history.c["grant_id", *_CHANGING], history.c.sequence.label("last_sequence"))
        .where(until(at, history.c.sequence, history.c.occurred_at), history.c.grant_id > after)
        .ext(distinct_on(history.c.grant_id))
        .order_by(history.c.grant_id, history.c.sequence.desc())
    )
    if party_id is not None:
        latest = latest.join(grants, grants.c.grant_id == history.c.grant_id).where(_concerns(party_id))
    return await load_all(connection, page(latest, limit), GrantAtView)


async def find_grant_at(connection: AsyncConnection, grant_id: str, at: At) -> GrantAtView | None:
    """Return a grant as of `at`; None if it was not issued by then."""
    history = grant_history
    query = (
        select(*history.c["grant_id", *_CHANGING], history.c.sequence.label("last_sequence"))
        .where(history.c.grant_id == grant_id, until(at, history.c.sequence, history.c.occurred_at))
        .order_by(history.c.sequence.desc())
    )
    return await find_one(connection, query, GrantAtView)
