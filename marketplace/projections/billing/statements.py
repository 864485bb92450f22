"""Statements: each period's priced usage, and whether it was accepted."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Index, select, union_all
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from events import statement as statement_events
from marketplace.domain.billing.dispute import PAYERS, find_payer
from marketplace.projections.delivery.grants import grants
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, find_one, load_all, load_window, narrow
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.billing import Act, DisputeRemark, ServiceResultView, StatementView

statements: Final = define(
    "statements",
    text("statement_id", key=True),
    text("grant_id"),
    text("startup_id"),
    text("provider_id"),
    text("reseller_id", null=True),
    instant("period_start"),
    instant("period_end"),
    document("charges_issued"),
    document("charges"),
    text("status"),
    text("accepted_by", null=True),
    whole("gpu_seconds_counted", null=True),
    text("service_line_id", null=True),
    exact("hours_counted", null=True),
    text("reason", null=True),
    text("disputed_by", null=True),
    text("agreed_by", null=True),
    whole("startup_gpu_seconds", null=True),
    document("adjustment", null=True),
    document("service", null=True),
    document("service_credit", null=True),
    document("settled", null=True),
    text("awaits", null=True),
    instant("answer_until", null=True),
    text("offered_by", null=True),
    whole("gpu_seconds_offered", null=True),
    exact("hours_offered", null=True),
    document("evidence", null=True),
    text("resolved_by", null=True),
    document("remarks"),
    instant("accept_until"),
    instant("issued_at"),
    instant("accepted_at", null=True),
    Index("ix_statements_grant", "grant_id", "statement_id"),
    Index("ix_statements_startup", "startup_id", "statement_id"),
    Index("ix_statements_provider", "provider_id", "statement_id"),
    Index("ix_statements_reseller", "reseller_id", "statement_id"),
    Index("ix_statements_issued", "issued_at", "statement_id"),
    Index("ix_statements_due", "status", "accept_until"),
    Index("ix_statements_line", "service_line_id", "statement_id"),
    origin=Origin("statement", "statement_id"),
)
statement_parts: Final = define(
    "statement_parts",
    text("part_id", key=True),
    text("statement_id"),
    origin=Origin("statement", "statement_id"),
)
"""The causes of payments before a statement is settled."""
_NO_OFFER: Final = {"offered_by": None, "gpu_seconds_offered": None, "hours_offered": None}
_Said = (
    statement_events.StatementDisputed
    | statement_events.StatementAnswered
    | statement_events.StatementConceded
    | statement_events.StatementReferred
    | statement_events.StatementResolved
)


def _issued(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementIssued) -> None:
    counted = None if event.metering is None else event.metering.startup_gpu_seconds
    own = {"status": "issued", "startup_gpu_seconds": counted, "accept_until": event.accept_until}
    changes.put(statements, **_describe(event), **own, issued_at=fact.time)


def _credited(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementCredited) -> None:
    own = {"status": "credited", "service_credit": event.service_credit}
    times = dict.fromkeys(("issued_at", "accept_until", "accepted_at"), fact.time)
    changes.put(statements, **_describe(event), **own, **times)


def _describe(event: statement_events.StatementIssued | statement_events.StatementCredited) -> dict[str, Any]:
    return {
        "statement_id": event.statement_id,
        "grant_id": event.grant_id,
        "startup_id": event.startup_id,
        "provider_id": event.provider_id,
        "reseller_id": event.reseller_id,
        "period_start": event.period_start,
        "period_end": event.period_end,
        "charges_issued": event.charges,
        "charges": event.charges,
        "adjustment": event.adjustment,
        "service_line_id": event.service_line_id,
        "service": show_decimals(ServiceResultView, event.service, "availability"),
        "remarks": [],
    }


def _agreed(changes: WriteBatch, _: RecordedEvent, event: statement_events.StatementAgreed) -> None:
    if event.answer_until is None:
        changes.update(statements, event.statement_id, agreed_by=event.by)
    else:
        changes.update(statements, event.statement_id, awaits="provider", answer_until=event.answer_until)


def _accepted(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementAccepted) -> None:
    settled = {"status": "accepted", "charges": event.charges, "accepted_by": event.by, "accepted_at": fact.time}
    changes.update(
        statements,
        event.statement_id,
        **settled,
        service=show_decimals(ServiceResultView, event.service, "availability"),
    )


def _service_credited(changes: WriteBatch, _: RecordedEvent, event: statement_events.StatementServiceCredited) -> None:
    changes.update(statements, event.statement_id, service_credit=event.credit)


def _add_remark(
    changes: WriteBatch, fact: RecordedEvent, act: Act, evidence: tuple[statement_events.Reference, ...] = ()
) -> list[Any]:
    """Return a statement's remarks with what an event says. Of its claims, each payer's latest one remains."""
    event: Any = fact.event
    row = changes.find(statements, event.statement_id) or {"remarks": []}
    known = msgspec.convert(msgspec.to_builtins(row["remarks"]), list[DisputeRemark])
    kept = [one for one in known if act != "disputed" or (one.act, one.by) != (act, event.by)]
    return [*kept, DisputeRemark(by=event.by, act=act, reason=event.reason, at=fact.time, evidence=evidence)]


def _disputed(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementDisputed) -> None:
    disputed = {"status": "disputed", "reason": event.reason, "disputed_by": event.by}
    gpu_seconds = event.gpu_seconds_counted if event.hours_counted is None else None
    counts = {"gpu_seconds_counted": gpu_seconds, "hours_counted": event.hours_counted}
    row = changes.find(statements, event.statement_id)
    heard = set() if row is None else {row["agreed_by"], row["disputed_by"] and find_payer(row["disputed_by"])}
    agreed_by = next(iter(heard - {None, find_payer(event.by)}), None)
    due = {"awaits": "provider", "answer_until": event.answer_until, "evidence": event.evidence}
    due["remarks"] = _add_remark(changes, fact, "disputed", event.evidence)
    offer = _NO_OFFER if row is not None and row["offered_by"] != "provider" else {}
    changes.update(statements, event.statement_id, **disputed, **counts, **due, **offer, agreed_by=agreed_by)


def _answered(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementAnswered) -> None:
    awaits = event.awaits or ("payers" if event.by == "provider" else "provider")
    offer: dict[str, Any] = {
        "offered_by": None if event.gpu_seconds_offered is None and event.hours_offered is None else event.by,
        "gpu_seconds_offered": event.gpu_seconds_offered,
        "hours_offered": event.hours_offered,
    }
    if event.by == "reseller":
        row = changes.find(statements, event.statement_id)
        offer = _NO_OFFER if row is not None and row["awaits"] != awaits else {}
    changes.update(
        statements,
        event.statement_id,
        awaits=awaits,
        answer_until=event.answer_until,
        **offer,
        reason=event.reason,
        evidence=event.evidence,
        remarks=_add_remark(changes, fact, "answered", event.evidence),
    )


def _conceded(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementConceded) -> None:
    gpu_seconds = event.gpu_seconds_counted if event.hours_counted is None else None
    counts = {"gpu_seconds_counted": gpu_seconds, "hours_counted": event.hours_counted}
    said = {"reason": event.reason, "remarks": _add_remark(changes, fact, "conceded"), "disputed_by": event.counted_by}
    said |= _drop_offer(changes.find(statements, event.statement_id), event)
    changes.update(statements, event.statement_id, charges=event.charges, **said, **counts)


def _drop_offer(row: Mapping[str, Any] | None, event: statement_events.StatementConceded) -> dict[str, Any]:
    """Return the changes of an offer that a concession passed: none stands, and both payers may answer again."""
    if row is None or row["offered_by"] is None:
        return {}
    in_hours = event.hours_counted is not None
    offered = row["hours_offered"] if in_hours else row["gpu_seconds_offered"]
    count, position = (
        (event.hours_counted, event.charges.service_hours)
        if in_hours
        else (event.gpu_seconds_counted, event.charges.gpu_seconds)
    )
    if count < offered < position:
        return {}
    return _NO_OFFER | ({"awaits": "payers"} if row["awaits"] in PAYERS else {})


def _referred(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementReferred) -> None:
    due = {"awaits": "platform", "answer_until": event.decide_until}
    due["remarks"] = _add_remark(changes, fact, "referred", event.evidence)
    changes.update(statements, event.statement_id, **due, reason=event.reason, evidence=event.evidence)


def _part_settled(changes: WriteBatch, _: RecordedEvent, event: statement_events.StatementPartSettled) -> None:
    given = {} if event.credit is None else {"service_credit": event.credit}
    changes.update(statements, event.statement_id, settled=event.charges, **given)
    changes.put(statement_parts, part_id=event.part_id, statement_id=event.statement_id)


def _resolved(changes: WriteBatch, fact: RecordedEvent, event: statement_events.StatementResolved) -> None:
    ended = {"status": "resolved", "awaits": None, "answer_until": None, "resolved_by": event.by}
    remarks = _add_remark(changes, fact, "resolved")
    changes.update(statements, event.statement_id, **ended, charges=event.charges, reason=event.reason, remarks=remarks)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    said = (fact.event for fact in batch if isinstance(fact.event, _Said))
    await changes.load(connection, statements, {(event.statement_id,) for event in said})


PROJECTION: Final = Projection(
    name="statements",
    version=10,
    tables=(statements, statement_parts),
    reads=("statement",),
    handlers={
        statement_events.StatementIssued: _issued,
        statement_events.StatementCredited: _credited,
        statement_events.StatementAgreed: _agreed,
        statement_events.StatementAccepted: _accepted,
        statement_events.StatementServiceCredited: _service_credited,
        statement_events.StatementDisputed: _disputed,
        statement_events.StatementAnswered: _answered,
        statement_events.StatementConceded: _conceded,
        statement_events.StatementReferred: _referred,
        statement_events.StatementPartSettled: _part_settled,
        statement_events.StatementResolved: _resolved,
    },
    load=_load,
)


_STATEMENTS: Final[Any] = select(statements, grants.c.holder_id).select_from(
    statements.outerjoin(grants, grants.c.grant_id == statements.c.grant_id)
)


async def find_statement(connection: AsyncConnection, statement_id: str) -> StatementView | None:
    """Return a statement, or None."""
    return await find_one(connection, _STATEMENTS.where(statements.c.statement_id == statement_id), StatementView)


async def find_latest_statements(connection: AsyncConnection, grant_ids: Collection[str]) -> dict[str, StatementView]:
    """Return the latest statement of the usage of each grant, by grant."""
    query = (
        _STATEMENTS.where(statements.c.grant_id.in_(grant_ids), statements.c.service_line_id.is_(None))
        .ext(distinct_on(statements.c.grant_id))
        .order_by(statements.c.grant_id, statements.c.issued_at.desc(), statements.c.statement_id.desc())
    )
    return {view.grant_id: view for view in await load_all(connection, query, StatementView)}


def _select_of(party_id: str) -> Any:
    """Return the statements that a party accepts, is paid by or pays for, each part by an index of its own."""
    of_holder = select(statements.c.statement_id).join(grants, grants.c.grant_id == statements.c.grant_id)
    sides = (statements.c.startup_id, statements.c.provider_id, statements.c.reseller_id)
    return union_all(
        *(select(statements.c.statement_id).where(side == party_id) for side in sides),
        of_holder.where(grants.c.holder_id == party_id),
    )


async def find_part(connection: AsyncConnection, part_id: str) -> str | None:
    """Return the id of the statement of a settled part; None if there is no such part.

    Payments of a part name the part's id as their cause.
    """
    query = select(statement_parts.c.statement_id).where(statement_parts.c.part_id == part_id)
    return (await connection.execute(query)).scalar_one_or_none()


async def list_statements(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    grant_id: Filter = None,
    service_line_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[StatementView]:
    """Return statements: those that a party accepts, is paid by or pays for, or all."""
    query = narrow(
        _STATEMENTS,
        (
            (statements.c.grant_id, grant_id),
            (statements.c.service_line_id, service_line_id),
            (statements.c.status, status),
        ),
    )
    if party_id is not None:
        query = query.where(statements.c.statement_id.in_(_select_of(party_id)))
    return await load_window(
        connection, query, StatementView, window, statements.c.statement_id, statements.c.issued_at
    )
