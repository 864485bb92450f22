"""Verify a projection: build it again from the log and compare it with the live tables, row by row.

One read-only snapshot holds the live rows and their position; the second build goes into temporary tables of the same
transaction, which is rolled back. Nothing stays behind, and no projector and no reader waits.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Table
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.registry import parse_type
from events.subjects import render_subject
from marketplace.core.errors import Corrupt
from marketplace.log.port import Log, Recorded
from marketplace.projections.engine.database import build_engine, reachable
from marketplace.projections.engine.positions import NewerRows, load_positions
from marketplace.projections.engine.prefetch import read_ahead
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.rebuild import Progress, Report, ignore_progress
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.engine.schema import get_origin, get_stamp

DIFFERENCES_MAX: Final = 100
EVENTS_MAX: Final = 20
Row = Mapping[str, Any] | None
_DECODER: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class EventName(msgspec.Struct, frozen=True, kw_only=True):
    """An event behind a row: its sequence and its type."""

    sequence: int
    tag: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that differs from what the log makes.

    Attributes:
        table: The table.
        key: The row's key.
        live: The columns that differ, as they stand in the database; None where the row is missing there.
        rebuilt: The same columns as the log makes them; None where the log makes no such row.
        events: The events behind the row, the last 20 at most.
    """

    table: str
    key: dict[str, Any]
    live: dict[str, Any] | None
    rebuilt: dict[str, Any] | None
    events: tuple[EventName, ...]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    Attributes:
        name: The projection.
        position: The sequence that both were compared at.
        rows: Rows that the log makes.
        differences: The first 100 differences per table; empty if they are equal.
        seconds: How long it took.
    """

    name: str
    position: int
    rows: int
    differences: tuple[Difference, ...]
    seconds: float


async def verify(
    projection: Projection, log: Log, engine: AsyncEngine, *, report: Report = ignore_progress
) -> Verified:
    """Compare the live tables of one projection with the rows that the log gives at the live position.

    Raises:
        NewerRows: A newer release made the live rows.
        Corrupt: The log holds an event that this release cannot read, or a live table is gone.
        Unavailable: PostgreSQL or the log cannot be reached.
    """
    return (await verify_all((projection,), log, engine, report=report))[0]


async def verify_all(
    projections: Sequence[Projection], log: Log, engine: AsyncEngine, *, report: Report = ignore_progress
) -> list[Verified]:
    """Compare several projections with the log, which is read once.

    Raises:
        NewerRows: A newer release made the live rows of one of them.
        Corrupt: The log holds an event that this release cannot read, or a live table is gone.
        Unavailable: PostgreSQL or the log cannot be reached.
    """
    begun = time.monotonic()
    async with reachable(), _snapshot(projections, engine) as (connection, positions):
        for projection in projections:
            await create_temporary(connection, projection)
        await _build(projections, log, connection, positions, report)
        return [
            await _check(projection, log, connection, positions[projection.name], begun) for projection in projections
        ]


async def _check(
    projection: Projection, log: Log, connection: AsyncConnection, position: int, begun: float
) -> Verified:
    differences: list[Difference] = []
    rows = 0
    for table in projection.tables:
        rows += await _count(connection, table)
        for live, rebuilt in await _compare(connection, table):
            events = await _load_events(log, connection, table, rebuilt or live or {})
            differences.append(_describe(table, live, rebuilt, [e for e in events if e.sequence <= position]))
    return Verified(
        name=projection.name,
        position=position,
        rows=rows,
        differences=tuple(differences),
        seconds=time.monotonic() - begun,
    )


@asynccontextmanager
async def _snapshot(
    projections: Sequence[Projection], engine: AsyncEngine
) -> AsyncIterator[tuple[AsyncConnection, dict[str, int]]]:
    """Yield a transaction that sees the live rows and their positions at one moment.

    Raises:
        NewerRows: A newer release made the live rows of one of the projections.
    """
    url = engine.url.render_as_string(hide_password=False)
    aside = build_engine(url, connections_max=1, search_path="pg_temp, public")
    names = ", ".join(f"public.{table.name}" for projection in projections for table in projection.tables)
    try:
        async with aside.connect() as plain:
            connection = await plain.execution_options(isolation_level="REPEATABLE READ")
            await _require_tables(connection, projections)
            await connection.execute(sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE"))
            live = {at.name: at for at in await load_positions(connection) if at.live}
            for projection in projections:
                at = live.get(projection.name)
                if at is not None and at.version > projection.version:
                    raise NewerRows(at, projection.version)
            yield connection, {one.name: live[one.name].position if one.name in live else 0 for one in projections}
            await connection.rollback()
    finally:
        await aside.dispose()


async def _require_tables(connection: AsyncConnection, projections: Sequence[Projection]) -> None:
    owners = {table.name: projection.name for projection in projections for table in projection.tables}
    found = await connection.execute(
        sql("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass('public.' || name) IS NULL"),
        {"names": sorted(owners)},
    )
    missing = found.scalars().first()
    await connection.rollback()
    if missing is not None:
        raise Corrupt(
            f"table {missing} of projection {owners[missing]} is gone; make it anew with "
            f"`marketplace projections rebuild {owners[missing]}`"
        )


async def create_temporary(connection: AsyncConnection, projection: Projection) -> None:
    """Create the projection's tables as temporary ones, which hide the live ones from unqualified names."""
    for table in projection.tables:
        await connection.execute(sql(f"CREATE TEMPORARY TABLE {table.name} (LIKE public.{table.name} INCLUDING ALL)"))


async def _build(
    projections: Sequence[Projection],
    log: Log,
    connection: AsyncConnection,
    positions: Mapping[str, int],
    report: Report,
) -> None:
    begun, last = time.monotonic(), max(positions.values())
    if last == 0:
        return

    def is_needed(recorded: Recorded) -> bool:
        return any(one.needs(recorded) and recorded.sequence <= positions[one.name] for one in projections)

    async for page in read_ahead(log.read(0)):
        facts = parse_facts([recorded for recorded in page if recorded.sequence <= last], needs=is_needed)
        for projection in projections:
            batch = [fact for fact in facts if fact.sequence <= positions[projection.name]]
            if batch:
                await projection.apply(batch, connection)
        report(Progress(min(page[-1].sequence, last), last, time.monotonic() - begun))
        if page[-1].sequence >= last:
            return


async def _count(connection: AsyncConnection, table: Table) -> int:
    return int((await connection.execute(sql(f"SELECT count(*) FROM pg_temp.{table.name}"))).scalar_one())  # noqa: S608


async def _compare(connection: AsyncConnection, table: Table) -> list[tuple[Row, Row]]:
    """Return pairs of rows that differ, live and rebuilt, at most 100."""
    key = [f'"{column.name}"' for column in table.primary_key.columns]
    on = " AND ".join(f"l.{name} = r.{name}" for name in key)
    order = ", ".join(f"coalesce(l.{name}, r.{name})" for name in key)
    query = sql(
        f"SELECT to_jsonb(l)::text AS live, to_jsonb(r)::text AS rebuilt FROM public.{table.name} AS l "  # noqa: S608 - our names
        f"FULL OUTER JOIN pg_temp.{table.name} AS r ON {on} WHERE l IS DISTINCT FROM r ORDER BY {order} LIMIT :limit"
    )
    result = await connection.execute(query, {"limit": DIFFERENCES_MAX})
    return [(_parse(row.live), _parse(row.rebuilt)) for row in result]


def _parse(value: Any) -> Row:
    return None if value is None else _DECODER.decode(value)


def _describe(table: Table, live: Row, rebuilt: Row, events: Sequence[Recorded]) -> Difference:
    row = rebuilt or live or {}
    both = live is not None and rebuilt is not None
    names = [name for name in row if not both or (live or {})[name] != (rebuilt or {})[name]]
    named = [EventName(sequence=event.sequence, tag=parse_type(event.envelope.type)) for event in events]
    return Difference(
        table=table.name,
        key={column.name: row[column.name] for column in table.primary_key.columns},
        live=None if live is None else {name: live[name] for name in names},
        rebuilt=None if rebuilt is None else {name: rebuilt[name] for name in names},
        events=tuple(named[-EVENTS_MAX:]),
    )


async def _load_events(log: Log, connection: AsyncConnection, table: Table, row: Mapping[str, Any]) -> list[Recorded]:
    origin = get_origin(table)
    if origin.sequences is not None:
        result = await connection.execute(origin.sequences(row))
        sequences = sorted({int(sequence) for (sequence,) in result})[-EVENTS_MAX:]
    elif origin.aggregate:
        return await log.load(render_subject(origin.aggregate, row[origin.column]))
    else:
        sequences = [int(row[get_stamp(table).name])]
    found = [await log.find(sequence) for sequence in sequences]
    return [recorded for recorded in found if recorded is not None]
