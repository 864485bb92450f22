"""Rebuild a projection beside the live one, and swap the two in one transaction while reads go on.

The new tables have the names of the live ones in a schema of their own, ``rebuild_<name>``, so that one setting,
`search_path`, points every statement of a projection at them. When the rebuild has come as far as the live one, a
short transaction stops the live projector at its fence, applies the last page, drops the old tables and moves the new
ones in. Readers wait for that moment and never see half of it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from marketplace.core.errors import Conflict, Unavailable
from marketplace.log.port import Log, Recorded
from marketplace.projections.ahead import read_ahead
from marketplace.projections.database import build_engine, reachable
from marketplace.projections.facts import parse_facts
from marketplace.projections.fingerprint import compute_fingerprint
from marketplace.projections.projection import Projection
from marketplace.projections.schema import METADATA

SWAP_TRIES_MAX: Final = 60
_LOCK_WAIT: Final = "500ms"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LAST_EVENTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild or a verification has come.

    Attributes:
        done: Events applied, or looked at.
        total: Events there are.
        seconds: Since it began.
    """

    done: int
    total: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Return the mean rate so far."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Return how long it will take at that rate; None before the first event."""
        return (self.total - self.done) / self.events_per_second if self.done else None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: the position of the new tables, the events applied and the time it took."""

    name: str
    position: int
    events: int
    seconds: float


Report = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """Report nothing."""


async def rebuild(
    projection: Projection, log: Log, engine: AsyncEngine, *, report: Report = ignore_progress
) -> Rebuilt:
    """Build the tables anew from the whole log and swap them in.

    The live projector may go on meanwhile, here or in another process.

    Raises:
        Conflict: Another rebuild of the projection runs.
        Corrupt: The log holds an event that this release cannot read.
        Unavailable: PostgreSQL or the log is away, or readers held the old tables for longer than 30 seconds; the
            live tables are as they were.
    """
    schema = f"rebuild_{projection.name}"
    aside = build_engine(
        engine.url.render_as_string(hide_password=False), connections_max=1, search_path=f"{schema}, public"
    )
    begun = time.monotonic()
    try:
        async with _alone(engine, projection), reachable():
            await _create(engine, projection, schema)
            position = await _catch_up(projection, log, aside, schema, report)
            position = await _swap(projection, log, aside, schema, position)
    finally:
        await aside.dispose()
    return Rebuilt(projection.name, position, position, time.monotonic() - begun)


@contextlib.asynccontextmanager
async def _alone(engine: AsyncEngine, projection: Projection) -> AsyncIterator[None]:
    """Hold the projection's lock, which ends with its session whatever happens to this process."""
    key = {"key": f"rebuild {projection.name}"}
    async with reachable(), engine.connect() as connection:
        taken = await connection.execute(sql("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key)
        if not taken.scalar_one():
            raise Conflict(f"the rebuild of projection {projection.name}")
        await connection.commit()
        try:
            yield
        finally:
            with contextlib.suppress(DBAPIError):
                await connection.execute(sql("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)
                await connection.commit()


async def _create(engine: AsyncEngine, projection: Projection, schema: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        await connection.execute(sql(f"CREATE SCHEMA {schema}"))
        await connection.execute(sql(f"SET LOCAL search_path TO {schema}"))
        await create_tables(connection, projection.tables)
        await _note(connection, projection, 0, 0)


async def create_tables(connection: AsyncConnection, tables: Sequence[Table]) -> None:
    """Create tables with their indexes in the first schema of the search path."""
    await connection.run_sync(lambda sync: METADATA.create_all(sync, tables=tables, checkfirst=False))


async def _note(connection: AsyncConnection, projection: Projection, position: int, target: int) -> None:
    """Keep the rebuild's own position, which the command line lists beside the live one."""
    values = {
        "name": projection.name,
        "version": projection.version,
        "position": position,
        "target": target,
        "fingerprint": compute_fingerprint(projection),
    }
    await connection.execute(
        sql(
            "INSERT INTO public.projection_positions "
            "(name, version, live, position, epoch, target, fingerprint, updated_at) "
            "VALUES (:name, :version, false, :position, 0, :target, :fingerprint, now()) "
            "ON CONFLICT (name, version, live) DO UPDATE SET position = EXCLUDED.position, target = EXCLUDED.target, "
            "fingerprint = EXCLUDED.fingerprint, updated_at = now()"
        ),
        values,
    )


async def _catch_up(projection: Projection, log: Log, aside: AsyncEngine, schema: str, report: Report) -> int:
    """Apply the log up to its end as it was when this began."""
    total = (await log.health()).last_sequence
    begun, position = time.monotonic(), 0
    async for page in read_ahead(log.read(0)):
        async with aside.begin() as connection:
            await _apply(projection, connection, page, position)
            position = page[-1].sequence
            await _note(connection, projection, position, max(total, position))
        report(Progress(position, max(total, position), time.monotonic() - begun))
    async with aside.connect() as connection:
        settled = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in projection.tables:
            await settled.execute(sql(f"ANALYZE {schema}.{table.name}"))
    return position


async def _apply(projection: Projection, connection: AsyncConnection, page: Sequence[Recorded], after: int) -> None:
    facts = parse_facts(page, after)
    if facts:
        await projection.apply(facts, connection)


async def _swap(projection: Projection, log: Log, aside: AsyncEngine, schema: str, position: int) -> int:
    for _ in range(SWAP_TRIES_MAX):
        try:
            async with aside.begin() as connection:
                live = await _stop_live(connection, projection)
                if live - position <= _LAST_EVENTS_MAX:
                    position = await _apply_until(projection, log, connection, position, live)
                    await _exchange(connection, projection, schema)
                    await _hand_over(connection, projection, position)
                    return position
            position = await _follow(projection, log, aside, position)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            await asyncio.sleep(0.05)
    raise Unavailable(
        "PostgreSQL",
        f"projection {projection.name} was rebuilt, but transactions that read the old tables did not end; "
        "end them and rebuild again",
    )


async def _stop_live(connection: AsyncConnection, projection: Projection) -> int:
    """Lock the live position, so that its projector waits at its fence, and return it."""
    await connection.execute(sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
    row = await connection.execute(
        sql(
            "SELECT position FROM public.projection_positions "
            "WHERE name = :name AND version = :version AND live FOR UPDATE"
        ),
        {"name": projection.name, "version": projection.version},
    )
    return int(row.scalar() or 0)


async def _apply_until(
    projection: Projection, log: Log, connection: AsyncConnection, position: int, target: int
) -> int:
    if target <= position:
        return position
    async for page in log.read(position):
        wanted = [recorded for recorded in page if recorded.sequence <= target]
        if wanted:
            await _apply(projection, connection, wanted, position)
            position = wanted[-1].sequence
        if page[-1].sequence >= target:
            break
    return position


async def _follow(projection: Projection, log: Log, aside: AsyncEngine, position: int) -> int:
    async for page in log.read(position):
        async with aside.begin() as connection:
            await _apply(projection, connection, page, position)
        position = page[-1].sequence
    return position


async def _exchange(connection: AsyncConnection, projection: Projection, schema: str) -> None:
    names = ", ".join(f"public.{table.name}" for table in projection.tables)
    await connection.execute(sql(f"DROP TABLE IF EXISTS {names}"))
    for table in projection.tables:
        await connection.execute(sql(f"ALTER TABLE {schema}.{table.name} SET SCHEMA public"))
    await connection.execute(sql(f"DROP SCHEMA {schema} CASCADE"))


async def _hand_over(connection: AsyncConnection, projection: Projection, position: int) -> None:
    """Give the live position its new value; its owner keeps its epoch and finds the position moved."""
    values = {
        "name": projection.name,
        "version": projection.version,
        "position": position,
        "fingerprint": compute_fingerprint(projection),
    }
    await connection.execute(
        sql(
            "INSERT INTO public.projection_positions (name, version, live, position, epoch, fingerprint, updated_at) "
            "VALUES (:name, :version, true, :position, 0, :fingerprint, now()) ON CONFLICT (name, version, live) "
            "DO UPDATE SET position = EXCLUDED.position, fingerprint = EXCLUDED.fingerprint, updated_at = now()"
        ),
        values,
    )
    await connection.execute(
        sql("DELETE FROM public.projection_positions WHERE name = :name AND version = :version AND NOT live"), values
    )
