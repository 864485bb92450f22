"""Service lines: what was proposed and agreed for each grant, and the hours worked."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Boolean, Column, Index, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from events import service_line as line_events
from events.service_line import HoursReading
from marketplace.projections.engine.decimals import show_decimals
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
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.billing import EquityView, HoursReadingView, ServiceLineView

service_lines: Final = define(
    "service_lines",
    text("service_line_id", key=True),
    text("grant_id"),
    text("startup_id"),
    text("provider_id"),
    text("holder_id", null=True),
    text("name"),
    exact("price_usd_per_hour"),
    exact("hours"),
    whole("workers"),
    text("status"),
    text("declined_by", null=True),
    text("reason", null=True),
    instant("proposed_at"),
    instant("approved_at", null=True),
    instant("agreed_at", null=True),
    exact("cash_commitment_usd", null=True),
    document("equity", null=True),
    Index("ix_service_lines_grant", "grant_id", "service_line_id"),
    Index("ix_service_lines_startup", "startup_id", "service_line_id"),
    Index("ix_service_lines_provider", "provider_id", "service_line_id"),
    Index("ix_service_lines_holder", "holder_id", "service_line_id"),
    origin=Origin("service_line", "service_line_id"),
)
hours_readings: Final = define(
    "hours_readings",
    text("service_line_id", key=True),
    text("source", key=True),
    text("reading_id", key=True),
    whole("reported_sequence"),
    instant("start"),
    instant("end"),
    exact("hours"),
    Column("voided", Boolean, nullable=False),
    text("reason", null=True),
    origin=Origin("service_line", "service_line_id"),
)
_FIELDS: Final = line_events.ServiceLineProposed.__struct_fields__


def _proposed(changes: WriteBatch, fact: RecordedEvent, event: line_events.ServiceLineProposed) -> None:
    changes.put(
        service_lines, **{name: getattr(event, name) for name in _FIELDS}, status="proposed", proposed_at=fact.time
    )


def _approved(changes: WriteBatch, fact: RecordedEvent, event: line_events.ServiceLineApproved) -> None:
    changes.update(service_lines, event.service_line_id, approved_at=fact.time)


def _declined(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineDeclined) -> None:
    line_id = event.service_line_id
    changes.update(service_lines, line_id, status="declined", declined_by=event.by, reason=event.reason)


def _agreed(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineAgreed) -> None:
    equity = show_decimals(EquityView, event.equity, "principal_share")
    agreed = {"agreed_at": event.at, "cash_commitment_usd": event.cash_commitment_usd, "equity": equity}
    changes.update(service_lines, event.service_line_id, status="agreed", **agreed)


def _reported(changes: WriteBatch, fact: RecordedEvent, event: line_events.ServiceLineReported) -> None:
    for reading in event.readings:
        changes.put(
            hours_readings,
            service_line_id=event.service_line_id,
            source=event.source,
            reading_id=reading.reading_id,
            reported_sequence=fact.sequence,
            voided=False,
            **_measure(reading),
        )
    changes.update(service_lines, event.service_line_id)


def _measure(reading: HoursReading) -> dict[str, Any]:
    return {"start": reading.start, "end": reading.end, "hours": reading.hours}


def _corrected(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineCorrected) -> None:
    key = (event.service_line_id, event.source, event.after.reading_id)
    changes.update(hours_readings, *key, **_measure(event.after), reason=event.reason)
    changes.update(service_lines, event.service_line_id)


def _voided(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineVoided) -> None:
    key = (event.service_line_id, event.source, event.reading.reading_id)
    changes.update(hours_readings, *key, voided=True, reason=event.reason)
    changes.update(service_lines, event.service_line_id)


def _limited(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineLimited) -> None:
    """Update only the version. The grant shows when hours may be worked."""
    changes.update(service_lines, event.service_line_id)


def _closed(changes: WriteBatch, _: RecordedEvent, event: line_events.ServiceLineClosed) -> None:
    changes.update(service_lines, event.service_line_id, status="closed")


PROJECTION: Final = Projection(
    name="service_lines",
    version=4,
    tables=(service_lines, hours_readings),
    reads=("service_line",),
    handlers={
        line_events.ServiceLineProposed: _proposed,
        line_events.ServiceLineApproved: _approved,
        line_events.ServiceLineDeclined: _declined,
        line_events.ServiceLineAgreed: _agreed,
        line_events.ServiceLineReported: _reported,
        line_events.ServiceLineCorrected: _corrected,
        line_events.ServiceLineVoided: _voided,
        line_events.ServiceLineClosed: _closed,
        line_events.ServiceLineLimited: _limited,
    },
)


_WORKED: Final[Any] = (
    select(func.coalesce(func.sum(hours_readings.c.hours), 0))
    .where(hours_readings.c.service_line_id == service_lines.c.service_line_id, ~hours_readings.c.voided)
    .scalar_subquery()
    .label("hours_worked")
)
_LINES: Final[Any] = select(service_lines, _WORKED)


async def find_service_line(connection: AsyncConnection, line_id: str) -> ServiceLineView | None:
    """Return a service line, or None."""
    return await find_one(connection, _LINES.where(service_lines.c.service_line_id == line_id), ServiceLineView)


async def list_service_lines(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    grant_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[ServiceLineView]:
    """Return service lines: those that a party pays, works or approves, or all."""
    query = narrow(_LINES, ((service_lines.c.grant_id, grant_id), (service_lines.c.status, status)))
    if party_id is not None:
        mine = (service_lines.c.startup_id, service_lines.c.provider_id, service_lines.c.holder_id)
        query = query.where(or_(*(column == party_id for column in mine)))
    keys = (service_lines.c.service_line_id, service_lines.c.proposed_at)
    return await load_window(connection, query, ServiceLineView, window, *keys)


async def list_hours(
    connection: AsyncConnection,
    line_id: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    after: tuple[int, str, str] = (0, "", ""),
    limit: int = 100,
) -> list[HoursReadingView]:
    """Return readings of a service line above the cursor ``(reported_sequence, source, reading_id)``, oldest first.

    Args:
        connection: Where to read.
        line_id: The service line.
        start: Only those that end after this instant.
        end: Only those that end by this instant.
        after: Cursor of the last row of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    table = hours_readings.c
    key = (table.reported_sequence, table.source, table.reading_id)
    query: Any = select(hours_readings).where(table.service_line_id == line_id, tuple_(*key) > tuple_(*after))
    if start is not None:
        query = query.where(table.end > start)
    if end is not None:
        query = query.where(table.end <= end)
    return await load_all(connection, page(query.order_by(*key), limit), HoursReadingView)
