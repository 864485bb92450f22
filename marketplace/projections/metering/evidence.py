"""Readings and machine evidence of a grant in a span, to find contradictions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Text, select, text
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from events.usage import Sample
from marketplace.core.errors import Refusal
from marketplace.domain.metering.contradictions import (
    Contradiction,
    Counted,
    NamedReading,
    find_contradictions,
    list_devices,
)
from marketplace.projections.delivery.grants import grants
from marketplace.projections.engine.queries import load_all
from marketplace.projections.metering.usage import readings, samples
from marketplace.projections.views.delivery import GrantView
from marketplace.projections.views.metering import ReadingView

ROWS_MAX: Final = 10_000


async def load_contradictions(
    connection: AsyncConnection, grant: GrantView, *, start: datetime, end: datetime, party_id: str | None = None
) -> list[Contradiction]:
    """Return the contradictions of a grant in ``[start, end)``, between the provider's readings and all evidence.

    Args:
        connection: Where to read.
        grant: The grant.
        start: First instant.
        end: Instant after the last.
        party_id: Who reads. Readings of other parties' grants are not named. None for the platform.

    Raises:
        Refusal: ``span_too_wide`` if it contains more than 10,000 readings or samples.
    """
    table, seen = readings.c, samples.c
    counted: Any = (
        select(readings)
        .where(table.grant_id == grant.grant_id, table.meter == "provider", ~table.voided)
        .where(table.start < end, table.end > start)
        .order_by(table.start, table.source, table.reading_id)
    )
    looked: Any = (
        select(seen.device, seen.at, seen.gpu_utilisation, seen.energy_kwh, seen.xid_error)
        .where(seen.grant_id == grant.grant_id, seen.at >= start, seen.at < end)
        .order_by(seen.at, seen.device)
    )
    views = await load_all(connection, counted.limit(ROWS_MAX + 1), ReadingView)
    found = await load_all(connection, looked.limit(ROWS_MAX + 1), Sample)
    _require_few(views, found)
    counted = [_count(view, named=True) for view in views]
    elsewhere = await _load_elsewhere(connection, grant, list_devices(counted), start=start, end=end, party_id=party_id)
    return find_contradictions(counted, found, grant.nodes * grant.gpus_per_node, elsewhere)


def _require_few(*rows: Sequence[object]) -> None:
    if max(map(len, rows)) > ROWS_MAX:
        raise Refusal(
            "span_too_wide",
            f"the span holds more than {ROWS_MAX} readings or samples; choose a shorter one",
            pointer="/start",
        )


async def _load_elsewhere(
    connection: AsyncConnection,
    grant: GrantView,
    devices: Collection[str],
    *,
    start: datetime,
    end: datetime,
    party_id: str | None,
) -> list[Counted]:
    """Return the readings of other grants that name these GPUs in a span."""
    if not devices:
        return []
    table = readings.c
    counted: Any = (
        select(readings, grants.c.startup_id, grants.c.provider_id)
        .join(grants, grants.c.grant_id == table.grant_id)
        .where(table.devices != text("'[]'::jsonb"), table.devices.has_any(array(sorted(devices), type_=Text)))
        .where(table.grant_id != grant.grant_id, table.meter == "provider", ~table.voided)
        .where(table.start < end, table.end > start)
        .order_by(table.start, table.source, table.reading_id)
    )
    views = await load_all(connection, counted.limit(ROWS_MAX + 1), _ReadingElsewhere)
    _require_few(views)
    return [_count(view, named=party_id in {None, view.startup_id, view.provider_id}) for view in views]


class _ReadingElsewhere(ReadingView, frozen=True, kw_only=True):
    """A reading of another grant, and that grant's startup and provider."""

    startup_id: str
    provider_id: str


def _count(view: ReadingView, *, named: bool) -> Counted:
    seconds = int((view.end - view.start).total_seconds())
    return Counted(
        start=view.start,
        end=view.end,
        gpus=view.gpu_seconds // seconds,
        devices=view.devices,
        evidence=view.evidence,
        name=NamedReading(grant_id=view.grant_id, source=view.source, reading_id=view.reading_id) if named else None,
    )
