"""Instruments: agreements, the principal that accrued under them, and what it became."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Boolean, Column, Date, Index, Select, func, or_, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from events import instrument as instrument_events
from events.types import NoteTerms
from marketplace.core.errors import Corrupt
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import (
    WINDOW,
    At,
    Filter,
    Rows,
    Window,
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
from marketplace.projections.views.equity import (
    ConversionView,
    DrawView,
    InstrumentView,
    MfnNoticeView,
    MovementView,
    PrincipalView,
)

instruments: Final = define(
    "instruments",
    text("instrument_id", key=True),
    text("issuer_id"),
    text("holder_id"),
    document("terms"),
    whole("terms_version"),
    exact("commitment_usd"),
    text("funding"),
    text("grant_id", null=True),
    text("mandate_id", null=True),
    document("draw", null=True),
    text("status"),
    exact("principal_usd"),
    exact("lapsed_usd"),
    exact("converted_usd"),
    exact("repaid_usd"),
    exact("debt_usd"),
    document("conversion", null=True),
    exact("repayment_usd", null=True),
    Column("matured_on", Date, nullable=True),
    exact("due_usd", null=True),
    text("reason", null=True),
    instant("issued_at"),
    Index("ix_instruments_issuer", "issuer_id", "instrument_id"),
    Index("ix_instruments_holder", "holder_id", "instrument_id"),
    origin=Origin("instrument", "instrument_id"),
)
principal: Final = define_history(
    "principal_movements",
    whole("sequence", key=True),
    text("instrument_id"),
    text("issuer_id"),
    text("holder_id"),
    text("kind"),
    text("tranche_id", null=True),
    text("statement_id", null=True),
    whole("terms_version", null=True),
    exact("amount_usd"),
    exact("settled_usd"),
    instant("occurred_at"),
    Index("ix_principal_movements_instrument", "instrument_id", "sequence"),
    Index("ix_principal_movements_issuer", "issuer_id", "sequence"),
    origin=Origin("instrument", "instrument_id"),
)
mfn_notices: Final = define(
    "mfn_notices",
    text("instrument_id", key=True),
    text("later_instrument_id", key=True),
    document("terms"),
    instant("elect_until"),
    Column("elected", Boolean, nullable=True),
    instant("noticed_at"),
    origin=Origin("instrument", "instrument_id"),
)
_ZERO: Final = Decimal(0)
_ENDED: Final = frozenset({"lapsed", "repaid", "cancelled"})
_NOT_DUE: Final = {"matured_on": None, "due_usd": None}

_DRAW_PRICES: Final = ("price_usd_per_gpu_hour", "cash_usd_per_gpu_hour", "principal_usd_per_gpu_hour")


def _issued(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentIssued) -> None:
    sums = dict.fromkeys(("principal_usd", "lapsed_usd", "converted_usd", "repaid_usd", "debt_usd"), _ZERO)
    changes.put(
        instruments,
        instrument_id=event.instrument_id,
        issuer_id=event.issuer_id,
        holder_id=event.holder_id,
        terms=event.terms,
        terms_version=1,
        commitment_usd=event.commitment_usd,
        funding=event.funding,
        grant_id=event.grant_id,
        mandate_id=event.mandate_id,
        draw=show_decimals(DrawView, event.draw, *_DRAW_PRICES),
        status="active",
        issued_at=fact.time,
        **sums,
    )


def _get(changes: WriteBatch, fact: RecordedEvent) -> dict[str, Any]:
    row = changes.find(instruments, fact.id)
    if row is None:
        raise Corrupt(f"event {fact.sequence} is about instrument {fact.id}, which the log never issued")
    return dict(row)


def _move(
    changes: WriteBatch,
    fact: RecordedEvent,
    kind: str,
    amount: Decimal,
    *,
    tranche_id: str | None = None,
    statement_id: str | None = None,
    terms_version: int | None = None,
    settled: Decimal = _ZERO,
    **values: Any,
) -> None:
    row = _get(changes, fact)
    changes.update(instruments, fact.id, principal_usd=row["principal_usd"] + amount, **values)
    names = (row["issuer_id"], row["holder_id"], kind, tranche_id, statement_id, terms_version)
    changes.append(principal, fact.sequence, fact.id, *names, amount, settled, fact.time)


def _accrued(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentPrincipalAccrued) -> None:
    _move(
        changes,
        fact,
        "accrued",
        event.principal_usd,
        tranche_id=event.tranche_id,
        statement_id=event.statement_id,
        terms_version=event.terms_version,
    )


def _reversed(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentPrincipalReversed) -> None:
    if event.became == "outstanding":
        _move(changes, fact, "reversed", -event.principal_usd, tranche_id=event.tranche_id)
        return
    row, column = _get(changes, fact), "converted_usd" if event.became == "shares" else "repaid_usd"
    values = {column: row[column] - event.principal_usd, "debt_usd": row["debt_usd"] + event.debt_usd}
    values["status"] = _choose_status(row, **values)
    settled = -event.principal_usd
    _move(changes, fact, "reversed", _ZERO, tranche_id=event.tranche_id, settled=settled, **values)


def _debt_paid(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentDebtPaid) -> None:
    left = _get(changes, fact)["debt_usd"] - event.amount_usd
    changes.update(instruments, event.instrument_id, debt_usd=left)


def _choose_status(row: dict[str, Any], **values: Any) -> str:
    """Return the status of an instrument whose draw has not ended, once `values` replace those of its row.

    It is `converted` once it became shares, and nothing of it is outstanding or may still accrue.
    """
    after = {**row, **values}
    if row["status"] in _ENDED:
        return str(row["status"])
    accrued = after["principal_usd"] + after["converted_usd"] + after["repaid_usd"]
    if after["converted_usd"] and not after["principal_usd"] and accrued >= after["commitment_usd"]:
        return "converted"
    return "suspended" if after["reason"] is not None else "active"


def _paused(
    changes: WriteBatch,
    fact: RecordedEvent,
    event: instrument_events.InstrumentSuspended | instrument_events.InstrumentResumed,
) -> None:
    reason = event.reason if isinstance(event, instrument_events.InstrumentSuspended) else None
    status = _choose_status(_get(changes, fact), reason=reason)
    changes.update(instruments, event.instrument_id, status=status, reason=reason)


def _lapsed(changes: WriteBatch, _: RecordedEvent, event: instrument_events.InstrumentLapsed) -> None:
    undrawn = event.undrawn_usd
    changes.update(instruments, event.instrument_id, status="lapsed", lapsed_usd=undrawn, reason=event.reason)


def _commitment_reduced(
    changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentCommitmentReduced
) -> None:
    row = _get(changes, fact)
    left = row["commitment_usd"] - event.amount_usd
    status = _choose_status(row, commitment_usd=left)
    changes.update(instruments, event.instrument_id, commitment_usd=left, status=status)


def _amended(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentAmended) -> None:
    changes.update(instruments, event.instrument_id, terms=event.terms, terms_version=event.terms_version)
    if isinstance(event.terms, NoteTerms) and event.applies_to_earlier:
        matured_on = _get(changes, fact)["matured_on"]
        if matured_on is not None and matured_on < event.terms.matures_on:
            changes.update(instruments, event.instrument_id, **_NOT_DUE)


def _transferred(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentTransferred) -> None:
    """Show the new holder, whose the principal is from this movement on."""
    changes.update(instruments, event.instrument_id, holder_id=event.holder_id_after)
    names = (event.issuer_id, event.holder_id_after, "transferred", None, None, None)
    changes.append(principal, fact.sequence, fact.id, *names, _ZERO, _ZERO, fact.time)


def _matured(changes: WriteBatch, _: RecordedEvent, event: instrument_events.InstrumentMatured) -> None:
    changes.update(instruments, event.instrument_id, matured_on=event.matures_on, due_usd=event.amount_usd)


def _converted(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentConverted) -> None:
    conversion = show_decimals(ConversionView, event, "price_usd_per_share")
    row = _get(changes, fact)
    left, total = row["principal_usd"] - event.principal_usd, row["converted_usd"] + event.principal_usd
    status = _choose_status(row, principal_usd=left, converted_usd=total)
    settled = {"status": status, "converted_usd": total, "conversion": conversion, **_NOT_DUE}
    _move(changes, fact, "converted", -event.principal_usd, **settled)


def _cancelled(changes: WriteBatch, _: RecordedEvent, event: instrument_events.InstrumentCancelled) -> None:
    changes.update(instruments, event.instrument_id, status="cancelled", reason=event.reason)


def _repaid(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentRepaid) -> None:
    total = _get(changes, fact)["repaid_usd"] + event.principal_usd
    ended = {"status": "repaid", "repaid_usd": total, "repayment_usd": event.amount_usd, **_NOT_DUE}
    _move(changes, fact, "repaid", -event.principal_usd, **ended)


def _noticed(changes: WriteBatch, fact: RecordedEvent, event: instrument_events.InstrumentMfnNoticed) -> None:
    """Keep the notice, in place of an earlier one of the same instrument."""
    changes.update(instruments, event.instrument_id)
    changes.put(
        mfn_notices,
        instrument_id=event.instrument_id,
        later_instrument_id=event.later_instrument_id,
        terms=event.terms,
        elect_until=event.elect_until,
        elected=None,
        noticed_at=fact.time,
    )


def _elected(changes: WriteBatch, _: RecordedEvent, event: instrument_events.InstrumentMfnElected) -> None:
    """Show the terms that were elected, with the clause used up, and which notice they are from."""
    changes.update(instruments, event.instrument_id, terms=replace(event.terms, most_favoured_nation=False))
    for row in changes.rows(mfn_notices):
        if row["instrument_id"] == event.instrument_id:
            later_id = row["later_instrument_id"]
            elected = later_id == event.later_instrument_id
            changes.update(mfn_notices, event.instrument_id, later_id, elected=elected)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    await changes.load(connection, instruments, {(fact.id,) for fact in batch})
    favoured = {fact.id for fact in batch if isinstance(fact.event, instrument_events.InstrumentMfnElected)}
    await changes.load_where(connection, mfn_notices, "instrument_id", favoured)


PROJECTION: Final = Projection(
    name="instruments",
    version=7,
    tables=(instruments, principal, mfn_notices),
    reads=("instrument",),
    handlers={
        instrument_events.InstrumentIssued: _issued,
        instrument_events.InstrumentPrincipalAccrued: _accrued,
        instrument_events.InstrumentPrincipalReversed: _reversed,
        instrument_events.InstrumentDebtPaid: _debt_paid,
        instrument_events.InstrumentSuspended: _paused,
        instrument_events.InstrumentResumed: _paused,
        instrument_events.InstrumentLapsed: _lapsed,
        instrument_events.InstrumentCommitmentReduced: _commitment_reduced,
        instrument_events.InstrumentAmended: _amended,
        instrument_events.InstrumentTransferred: _transferred,
        instrument_events.InstrumentConverted: _converted,
        instrument_events.InstrumentCancelled: _cancelled,
        instrument_events.InstrumentMatured: _matured,
        instrument_events.InstrumentRepaid: _repaid,
        instrument_events.InstrumentMfnNoticed: _noticed,
        instrument_events.InstrumentMfnElected: _elected,
    },
    load=_load,
)


async def holds_principal(connection: AsyncConnection, issuer_id: str, holder_id: str) -> bool:
    """Return whether a holder has principal of an issuer that is not settled, or that may still accrue."""
    accrued = instruments.c.principal_usd + instruments.c.converted_usd + instruments.c.repaid_usd
    may_accrue = instruments.c.status.in_(("active", "suspended")) & (instruments.c.commitment_usd > accrued)
    is_live = (instruments.c.principal_usd > 0) | may_accrue
    query = select(instruments.c.instrument_id).where(
        instruments.c.issuer_id == issuer_id, instruments.c.holder_id == holder_id, is_live
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def find_instrument(connection: AsyncConnection, instrument_id: str) -> InstrumentView | None:
    """Return an instrument, or None."""
    query = select(instruments).where(instruments.c.instrument_id == instrument_id)
    return await find_one(connection, query, InstrumentView)


async def list_instruments(
    connection: AsyncConnection,
    *,
    issuer_id: str | None = None,
    holder_id: str | None = None,
    party: tuple[str, str] | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[InstrumentView]:
    """Return instruments.

    Args:
        connection: Where to read.
        issuer_id: Only of this issuer.
        holder_id: Only held by this party.
        party: ``(party_id, issuer_id)``: only held by this party or issued by its issuer.
        status: Only in these statuses.
        window: Which of them, and in which order.
    """
    query = narrow(
        select(instruments),
        ((instruments.c.issuer_id, issuer_id), (instruments.c.holder_id, holder_id), (instruments.c.status, status)),
    )
    if party is not None:
        query = query.where(or_(instruments.c.holder_id == party[0], instruments.c.issuer_id == party[1]))
    return await load_window(
        connection, query, InstrumentView, window, instruments.c.instrument_id, instruments.c.issued_at
    )


async def list_movements(
    connection: AsyncConnection,
    instrument_id: str,
    *,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    newest: bool = False,
    after: int | None = None,
    limit: int = 100,
) -> list[MovementView]:
    """Return the movements of an instrument's principal beyond the sequence `after`, oldest first, or newest first.

    `created_from` and `created_before` bound when they occurred.
    """
    query, key = select(principal).where(principal.c.instrument_id == instrument_id), principal.c.sequence
    if after is not None:
        query = query.where(key < after if newest else key > after)
    if created_from is not None:
        query = query.where(principal.c.occurred_at >= created_from)
    if created_before is not None:
        query = query.where(principal.c.occurred_at < created_before)
    return await load_all(connection, page(query.order_by(key.desc() if newest else key), limit), MovementView)


async def list_mfn_notices(
    connection: AsyncConnection, instrument_id: str, *, after: str = "", limit: int = 100
) -> list[MfnNoticeView]:
    """Return the notices of a most-favoured SAFE by the id of the later instrument above `after`."""
    key = mfn_notices.c.later_instrument_id
    columns = (each for each in mfn_notices.c if each.name not in ("instrument_id", "last_sequence"))
    query = select(*columns).where(mfn_notices.c.instrument_id == instrument_id, key > after).order_by(key)
    return await load_all(connection, page(query, limit), MfnNoticeView)


async def list_principal(
    connection: AsyncConnection,
    issuer_id: str,
    *,
    holder_id: str | None = None,
    at: At = None,
    after: str = "",
    limit: int = 1_000,
) -> list[PrincipalView]:
    """Return the unconverted principal, of all or of one holder, by instrument id above `after`, now or as of `at`.

    The last movement states whose it is.
    """
    key = principal.c.instrument_id
    total = func.sum(principal.c.amount_usd)
    holder = func.array_agg(aggregate_order_by(principal.c.holder_id, principal.c.sequence.desc()))[1]
    query: Select[Any] = select(
        key,
        holder.label("holder_id"),
        total.label("principal_usd"),
        func.max(principal.c.sequence).label("last_sequence"),
    )
    query = query.where(principal.c.issuer_id == issuer_id, principal.c.instrument_id > after)
    query = query.where(until(at, principal.c.sequence, principal.c.occurred_at))
    query = query.group_by(key).having(total != 0).order_by(key)
    query = query if holder_id is None else query.having(holder == holder_id)
    return await load_all(connection, page(query, limit), PrincipalView)
