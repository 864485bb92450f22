"""What meters counted and machines said of a grant in a span, for whoever looks for contradictions."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from events.usage import Sample
from marketplace.core.errors import Refusal
from marketplace.domain.contradictions import Contradiction, Counted, find_contradictions
from marketplace.projections.grants import GrantView
from marketplace.projections.reading import load_all
from marketplace.projections.usage import ReadingView, readings, samples

ROWS_MAX: Final = 10_000


async def load_contradictions(
    connection: AsyncConnection, grant: GrantView, *, start: datetime, end: datetime
) -> list[Contradiction]:
    """Return the contradictions of a grant in ``[start, end)``, between the provider's readings and all evidence.

    Raises:
        Refusal: ``span_too_wide`` where it holds more than 10,000 readings or samples.
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
    if max(len(views), len(found)) > ROWS_MAX:
        raise Refusal(
            "span_too_wide", f"the span holds more than {ROWS_MAX} readings or samples; ask for less", pointer="/start"
        )
    return find_contradictions([_count(view) for view in views], found, grant.nodes * grant.gpus_per_node)


def _count(view: ReadingView) -> Counted:
    seconds = int((view.end - view.start).total_seconds())
    return Counted(
        start=view.start,
        end=view.end,
        gpus=view.gpu_seconds // seconds,
        devices=view.devices,
        evidence=view.evidence,
    )
