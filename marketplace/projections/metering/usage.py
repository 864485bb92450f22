"""Usage: the readings of each grant's meters, as corrected and voided."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, Column, Date, Index, cast, func, or_, select, tuple_
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from events import usage as usage_events
from events.usage import Meter, Reading
from marketplace.projections.delivery.grants import grants
from marketplace.projections.engine.projection import Projection, tags_of
from marketplace.projections.engine.queries import find_one, load_all, page
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.metering import AllocationView, ReadingView, UsageDay, UsageView

ALIKE_MAX: Final = 10_000

readings: Final = define(
    "readings",
    text("grant_id", key=True),
    text("meter", key=True),
    text("source", key=True),
    text("reading_id", key=True),
    text("usage_id"),
    whole("reported_sequence"),
    instant("start"),
    instant("end"),
    whole("nodes"),
    whole("gpus", null=True),
    whole("gpu_seconds"),
    document("devices"),
    document("evidence", null=True),
    whole("corrections"),
    Column("voided", Boolean, nullable=False),
    text("reason", null=True),
    Index("ix_readings_grant", "grant_id", "reported_sequence"),
    Index("ix_readings_start", "grant_id", "start"),
    Index("ix_readings_devices", "devices", postgresql_using="gin", postgresql_where=sql("devices <> '[]'::jsonb")),
    origin=Origin("usage", "usage_id"),
)


samples: Final = define(
    "evidence_samples",
    text("grant_id", key=True),
    text("meter", key=True),
    text("source", key=True),
    text("device", key=True),
    instant("at", key=True),
    text("usage_id"),
    exact("gpu_utilisation", null=True),
    exact("energy_kwh", null=True),
    whole("xid_error", null=True),
    origin=Origin("usage", "usage_id"),
)


allocations: Final = define(
    "allocations",
    text("usage_id", key=True),
    text("source", key=True),
    text("reading_id", key=True),
    text("startup_id"),
    text("provider_id"),
    text("gpu_class"),
    whole("reported_sequence"),
    instant("start"),
    instant("end"),
    whole("gpus"),
    document("ranks"),
    document("parts"),
    whole("corrections"),
    Column("voided", Boolean, nullable=False),
    text("reason", null=True),
    Index("ix_allocations_startup", "startup_id", "reported_sequence"),
    Index("ix_allocations_provider", "provider_id", "reported_sequence"),
    origin=Origin("usage", "usage_id"),
)


def _allocate(changes: WriteBatch, fact: RecordedEvent, event: usage_events.UsageAllocated) -> None:
    changes.put(
        allocations,
        usage_id=event.usage_id,
        source=event.source,
        reading_id=event.reading_id,
        startup_id=event.startup_id,
        provider_id=event.provider_id,
        gpu_class=event.gpu_class,
        reported_sequence=fact.sequence,
        corrections=0,
        voided=False,
        reason=None,
        **_lay_out(event.allocation),
    )


def _reallocate(changes: WriteBatch, _: RecordedEvent, event: usage_events.UsageReallocated) -> None:
    key = (event.usage_id, event.source, event.reading_id)
    if event.after is None:
        changes.update(allocations, *key, voided=True, reason=event.reason, parts=())
        return
    row = changes.find(allocations, *key)
    corrections = 1 if row is None else row["corrections"] + 1
    changes.update(allocations, *key, **_lay_out(event.after), corrections=corrections, reason=event.reason)


def _lay_out(allocation: usage_events.Allocation) -> dict[str, Any]:
    names = ("start", "end", "gpus", "ranks", "parts")
    return {name: getattr(allocation, name) for name in names}


def _evidenced(changes: WriteBatch, _: RecordedEvent, event: usage_events.UsageEvidenced) -> None:
    for sample in event.samples:
        changes.put(
            samples,
            grant_id=event.grant_id,
            meter=event.meter,
            source=event.source,
            device=sample.device,
            at=sample.at,
            usage_id=event.usage_id,
            gpu_utilisation=sample.gpu_utilisation,
            energy_kwh=sample.energy_kwh,
            xid_error=sample.xid_error,
        )


def _reported(changes: WriteBatch, fact: RecordedEvent, event: usage_events.UsageReported) -> None:
    for reading in event.readings:
        changes.put(
            readings,
            grant_id=event.grant_id,
            meter=event.meter,
            source=event.source,
            reading_id=reading.reading_id,
            usage_id=event.usage_id,
            reported_sequence=fact.sequence,
            corrections=0,
            voided=False,
            **_measure(reading),
        )


def _measure(reading: Reading) -> dict[str, Any]:
    return {
        "start": reading.start,
        "end": reading.end,
        "nodes": reading.nodes,
        "gpus": reading.gpus,
        "gpu_seconds": reading.gpu_seconds,
        "devices": reading.devices,
        "evidence": reading.evidence,
    }


def _corrected(changes: WriteBatch, _: RecordedEvent, event: usage_events.UsageCorrected) -> None:
    key = (event.grant_id, event.meter, event.source, event.after.reading_id)
    before = changes.find(readings, *key)
    corrections = 1 if before is None else before["corrections"] + 1
    changes.update(readings, *key, **_measure(event.after), corrections=corrections, reason=event.reason)


def _voided(changes: WriteBatch, _: RecordedEvent, event: usage_events.UsageVoided) -> None:
    key = (event.grant_id, event.meter, event.source, event.reading.reading_id)
    changes.update(readings, *key, voided=True, reason=event.reason)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    corrected = [fact.event for fact in batch if isinstance(fact.event, usage_events.UsageCorrected)]
    await changes.load(connection, readings, {(e.grant_id, e.meter, e.source, e.after.reading_id) for e in corrected})
    changed = [fact.event for fact in batch if isinstance(fact.event, usage_events.UsageReallocated)]
    await changes.load(connection, allocations, {(e.usage_id, e.source, e.reading_id) for e in changed})


PROJECTION: Final = Projection(
    name="usage",
    version=2,
    tables=(readings, samples, allocations),
    reads=("usage",),
    handlers={
        usage_events.UsageReported: _reported,
        usage_events.UsageEvidenced: _evidenced,
        usage_events.UsageCorrected: _corrected,
        usage_events.UsageVoided: _voided,
        usage_events.UsageAllocated: _allocate,
        usage_events.UsageReallocated: _reallocate,
    },
    ignores=tags_of(usage_events.UsageIdentified, usage_events.UsageClosed, usage_events.UsageLimited),
    load=_load,
)


async def find_reading(
    connection: AsyncConnection, grant_id: str, source: str, reading_id: str, meter: Meter = "provider"
) -> ReadingView | None:
    """Return a reading; None if its meter never reported it."""
    key = tuple_(readings.c.grant_id, readings.c.meter, readings.c.source, readings.c.reading_id)
    query = select(readings).where(key == tuple_(grant_id, meter, source, reading_id))
    return await find_one(connection, query, ReadingView)


async def list_readings_over(
    connection: AsyncConnection,
    grant_id: str,
    source: str,
    spans: Collection[tuple[datetime, datetime]],
    meter: Meter = "provider",
) -> list[ReadingView]:
    """Return a source's readings over exactly these spans, one of each content, oldest first."""
    table = readings.c
    said = (table.start, table.end, table.gpu_seconds, table.devices)
    starts = {start for start, _ in spans}
    query: Any = (
        select(readings)
        .where(table.grant_id == grant_id, table.start.in_(starts), tuple_(table.start, table.end).in_(spans))
        .where(table.meter == meter, table.source == source, ~table.voided)
        .ext(distinct_on(*said))
        .order_by(*said, table.reported_sequence, table.reading_id)
        .limit(ALIKE_MAX)
    )
    views = await load_all(connection, query, ReadingView)
    return sorted(views, key=lambda view: (view.reported_sequence, view.reading_id))


async def list_readings(
    connection: AsyncConnection,
    *,
    grant_id: str | None = None,
    party_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: tuple[int, str, str] = (0, "", ""),
    limit: int = 100,
) -> list[ReadingView]:
    """Return readings above the cursor ``(reported_sequence, source, reading_id)``, oldest report first.

    Args:
        connection: Where to read.
        grant_id: Only of this grant.
        party_id: Only of grants that this party uses or delivers.
        start: Only those that begin at this instant or later.
        end: Only those that begin before this instant.
        after: Cursor of the last row of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    key = (readings.c.reported_sequence, readings.c.source, readings.c.reading_id)
    query: Any = select(readings).where(tuple_(*key) > tuple_(*after)).order_by(*key)
    if grant_id is not None:
        query = query.where(readings.c.grant_id == grant_id)
    if start is not None:
        query = query.where(readings.c.start >= start)
    if end is not None:
        query = query.where(readings.c.start < end)
    if party_id is not None:
        query = query.join(grants, grants.c.grant_id == readings.c.grant_id)
        query = query.where(or_(grants.c.startup_id == party_id, grants.c.provider_id == party_id))
    return await load_all(connection, page(query, limit), ReadingView)


_SUMS: Final = tuple(
    func.coalesce(func.sum(readings.c.gpu_seconds).filter(readings.c.meter == meter), 0).label(name)
    for meter, name in (("provider", "gpu_seconds"), ("startup", "gpu_seconds_startup"))
)


async def load_usage(
    connection: AsyncConnection, grant_id: str, *, start: datetime | None = None, end: datetime | None = None
) -> UsageView:
    """Return the sum of a grant's readings that begin in ``[start, end)``; of all if no span is given.

    Voided readings do not count. Without a reading, `start` and `end` of the sum are None.
    """
    columns = (
        func.count().label("readings"),
        *_SUMS,
        func.min(readings.c.start).label("start"),
        func.max(readings.c.end).label("end"),
    )
    query = select(*columns).where(readings.c.grant_id == grant_id, ~readings.c.voided)
    if start is not None:
        query = query.where(readings.c.start >= start)
    if end is not None:
        query = query.where(readings.c.start < end)
    row = (await connection.execute(query)).mappings().one()
    return UsageView(
        grant_id=grant_id,
        readings=row["readings"],
        gpu_seconds=Decimal(row["gpu_seconds"]),
        gpu_seconds_startup=Decimal(row["gpu_seconds_startup"]),
        start=row["start"],
        end=row["end"],
    )


async def list_usage_days(connection: AsyncConnection, grant_id: str) -> list[UsageDay]:
    """Return the days in UTC on which readings of a grant begin, in order, with their sums; without voided readings."""
    day = cast(func.timezone("UTC", readings.c.start), Date).label("day")
    query: Any = select(day, *_SUMS).where(readings.c.grant_id == grant_id, ~readings.c.voided)
    return await load_all(connection, query.group_by(day).order_by(day), UsageDay)


async def list_allocations(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    after: tuple[int, str, str] = (0, "", ""),
    limit: int = 100,
) -> list[AllocationView]:
    """Return allocated readings above the cursor ``(reported_sequence, source, reading_id)``, oldest first.

    Args:
        connection: Where to read.
        party_id: Only those that this party used or delivered.
        after: Cursor of the last row of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    key = (allocations.c.reported_sequence, allocations.c.source, allocations.c.reading_id)
    query: Any = select(allocations).where(tuple_(*key) > tuple_(*after)).order_by(*key)
    if party_id is not None:
        query = query.where(or_(allocations.c.startup_id == party_id, allocations.c.provider_id == party_id))
    return await load_all(connection, page(query, limit), AllocationView)
