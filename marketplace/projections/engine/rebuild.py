"""Rebuild a projection beside the live one, and swap the two in one transaction while reads go on.

The new tables have the names of the live ones in a schema of their own, ``rebuild_<name>_<epoch>``. The setting
`search_path` points every statement of a projection at them. Once the new tables reach the live position, a short
transaction swaps them: it locks the live position's row, so that the live projector waits; applies the last events;
drops the old tables; and moves the new ones in. Reads wait until it ends, and never see a part of it.

Invariants:
    1. The first transaction of a rebuild takes its epoch, in the rebuild's own row of `projection_positions`. Every
       later one, the swap included, begins with ``UPDATE … WHERE epoch = :mine`` on that row. A transaction whose epoch
       is over raises `Conflict` and writes nothing.
    2. An epoch is the id of the transaction that took it, so it names one rebuild for ever. Tables of two rebuilds
       are never the same, and tables are dropped only by a transaction that holds their rebuild's row.
    3. Rows of a higher version than the release makes are replaced only if an operator demands it.

An advisory lock refuses a second rebuild while a first one runs, to save its work. Correct rows do not depend on it:
PostgreSQL may end the session that holds the lock while the rebuild continues. If a second rebuild then begins,
invariant 1 stops the first.
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
from marketplace.projections.engine.database import build_engine, reachable
from marketplace.projections.engine.positions import NewerRows, load_positions
from marketplace.projections.engine.prefetch import read_ahead
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.engine.schema import METADATA

SWAP_TRIES_MAX: Final = 60
_LOCK_WAIT: Final = "500ms"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LAST_EVENTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild or a verification has come.

    Attributes:
        done: Events applied, or looked at.
        total: All events.
        seconds: Since it began.
    """

    done: int
    total: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Return the mean rate so far."""
        return self.done / self.seconds if self.seconds else 0.0


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


class AnotherRebuild(Conflict):
    """Another rebuild of the projection runs, or took over.

    Args:
        projection: Name of the projection.
        message: What happened, and the remedy.
    """

    def __init__(self, projection: str, message: str) -> None:
        super().__init__(f"the rebuild of projection {projection}")
        self.args = (message,)


@dataclass(frozen=True, slots=True)
class _Draft:
    """The tables that one rebuild makes.

    Attributes:
        projection: Whose tables they are.
        epoch: Of this rebuild.
        engine: Connections whose unqualified names mean these tables.
    """

    projection: Projection
    epoch: int
    engine: AsyncEngine

    @property
    def schema(self) -> str:
        """The schema of PostgreSQL in which the tables are made."""
        return f"{_name_prefix(self.projection)}{self.epoch}"

    @contextlib.asynccontextmanager
    async def write(self, position: int, target: int | None = None) -> AsyncIterator[AsyncConnection]:
        """Yield a transaction that holds the rebuild's row, moved to `position`, until it ends.

        Raises:
            AnotherRebuild: Another rebuild took over.
        """
        async with self.engine.begin() as connection:
            moved = await connection.execute(
                sql(
                    "UPDATE public.projection_positions SET position = :position, "
                    "target = coalesce(:target, target), updated_at = now() "
                    "WHERE name = :name AND NOT live AND epoch = :epoch"
                ),
                {"name": self.projection.name, "epoch": self.epoch, "position": position, "target": target},
            )
            if moved.rowcount == 0:
                name = self.projection.name
                raise AnotherRebuild(
                    name,
                    f"another rebuild of projection {name} took over from this one (epoch {self.epoch}), which stopped "
                    "and swapped nothing in; see `marketplace projections list`",
                )
            yield connection


async def rebuild(
    projection: Projection,
    log: Log,
    engine: AsyncEngine,
    *,
    report: Report = ignore_progress,
    replace_newer: bool = False,
) -> Rebuilt:
    """Build the tables anew from the whole log and swap them in.

    The live projector may continue meanwhile, here or in another process.

    Args:
        projection: What to build.
        log: Where its events are.
        engine: Where its tables are.
        report: Called after each page.
        replace_newer: Replace also rows of a higher version than this release makes.

    Raises:
        Conflict: Another rebuild of the projection runs, or took over; nothing was swapped in.
        NewerRows: The live rows are of a higher version, and `replace_newer` is false.
        Corrupt: The log holds an event that the projection needs and this release cannot read.
        Unavailable: PostgreSQL or the log cannot be reached, or readers held the old tables for longer than 30 seconds.
            The live tables are as they were.
    """
    begun = time.monotonic()
    async with (
        _alone(engine, projection),
        reachable(),
        _draft(engine, projection, replace_newer=replace_newer) as draft,
    ):
        position = await _catch_up(draft, log, report)
        position = await _swap(draft, log, position, replace_newer=replace_newer)
    return Rebuilt(projection.name, position, position, time.monotonic() - begun)


async def discard_abandoned(engine: AsyncEngine, projections: Sequence[Projection]) -> list[str]:
    """Drop the tables of rebuilds that ended before their swap, and return the names of their projections.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    discarded: list[str] = []
    for projection in projections:
        async with reachable(), engine.connect() as connection:
            found = await _list_schemas(connection, projection)
        if found:
            with contextlib.suppress(Conflict):
                async with _alone(engine, projection), reachable(), engine.begin() as connection:
                    await _discard(connection, projection)
                    discarded.append(projection.name)
    return discarded


@contextlib.asynccontextmanager
async def _alone(engine: AsyncEngine, projection: Projection) -> AsyncIterator[None]:
    """Hold the projection's lock, which ends with its session whatever happens to this process.

    Raises:
        AnotherRebuild: Another session holds it.
    """
    key = {"key": f"rebuild {projection.name}"}
    async with reachable(), engine.connect() as connection:
        taken = await connection.execute(sql("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key)
        if not taken.scalar_one():
            raise AnotherRebuild(
                projection.name,
                f"another rebuild of projection {projection.name} runs; wait until `marketplace projections list` no "
                "longer shows it",
            )
        await connection.commit()
        try:
            yield
        finally:
            with contextlib.suppress(DBAPIError):
                await connection.execute(sql("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)
                await connection.commit()


@contextlib.asynccontextmanager
async def _draft(engine: AsyncEngine, projection: Projection, *, replace_newer: bool) -> AsyncIterator[_Draft]:
    """Take a new epoch, drop what earlier rebuilds left, and yield empty tables."""
    async with engine.begin() as connection:
        await _load_live(connection, projection, replace_newer=replace_newer)
        await connection.execute(sql("SET LOCAL synchronous_commit TO on"))
        epoch = await _take_epoch(connection, projection)
        schema = f"{_name_prefix(projection)}{epoch}"
        await connection.execute(sql(f"CREATE SCHEMA {schema}"))
        await connection.execute(sql(f"SET LOCAL search_path TO {schema}"))
        await create_tables(connection, projection.tables)
    url = engine.url.render_as_string(hide_password=False)
    aside = build_engine(url, connections_max=1, search_path=f"{schema}, public")
    try:
        yield _Draft(projection, epoch, aside)
    finally:
        await aside.dispose()


async def _take_epoch(connection: AsyncConnection, projection: Projection) -> int:
    """Fence off the previous rebuild, wait for its last transaction, drop its tables, and return the new epoch."""
    taken = await connection.execute(
        sql(
            "INSERT INTO public.projection_positions "
            "(name, version, live, position, epoch, target, updated_at) VALUES "
            "(:name, :version, false, 0, CAST(CAST(pg_current_xact_id() AS text) AS bigint), 0, now()) "
            "ON CONFLICT (name, live) DO UPDATE SET position = 0, epoch = EXCLUDED.epoch, target = 0, "
            "version = EXCLUDED.version, updated_at = now() RETURNING epoch"
        ),
        {"name": projection.name, "version": projection.version},
    )
    epoch = int(taken.scalar_one())
    for schema in await _list_schemas(connection, projection):
        await connection.execute(sql(f"DROP SCHEMA {schema} CASCADE"))
    return epoch


async def _discard(connection: AsyncConnection, projection: Projection) -> None:
    await _take_epoch(connection, projection)
    await _delete_row(connection, projection)


async def _delete_row(connection: AsyncConnection, projection: Projection) -> None:
    await connection.execute(
        sql("DELETE FROM public.projection_positions WHERE name = :name AND NOT live"), {"name": projection.name}
    )


async def _list_schemas(connection: AsyncConnection, projection: Projection) -> list[str]:
    """Return the schemas of rebuilds of a projection."""
    found = await connection.execute(
        sql("SELECT nspname FROM pg_namespace WHERE nspname ~ :pattern ORDER BY nspname"),
        {"pattern": f"^{_name_prefix(projection)}[0-9]+$"},
    )
    return list(found.scalars())


def _name_prefix(projection: Projection) -> str:
    return f"rebuild_{projection.name}_"


async def create_tables(connection: AsyncConnection, tables: Sequence[Table]) -> None:
    """Create tables with their indexes in the first schema of the search path."""
    await connection.run_sync(lambda sync: METADATA.create_all(sync, tables=tables, checkfirst=False))


async def _catch_up(draft: _Draft, log: Log, report: Report) -> int:
    """Apply the log up to its end as it was when this began."""
    total = (await log.health()).last_sequence
    begun, position = time.monotonic(), 0
    async for page in read_ahead(log.read(0)):
        last = page[-1].sequence
        async with draft.write(last, max(total, last)) as connection:
            await _apply(draft.projection, connection, page, position)
        position = last
        report(Progress(position, max(total, position), time.monotonic() - begun))
    async with draft.write(position) as connection:
        for table in draft.projection.tables:
            await connection.execute(sql(f"ANALYZE {draft.schema}.{table.name}"))
    return position


async def _apply(projection: Projection, connection: AsyncConnection, page: Sequence[Recorded], after: int) -> None:
    facts = parse_facts(page, after, needs=projection.needs)
    if facts:
        await projection.apply(facts, connection)


async def _swap(draft: _Draft, log: Log, position: int, *, replace_newer: bool) -> int:
    for _ in range(SWAP_TRIES_MAX):
        try:
            async with draft.write(position) as connection:
                await _lock_live(connection, draft.projection)
                live = await _load_live(connection, draft.projection, replace_newer=replace_newer)
                if live - position <= _LAST_EVENTS_MAX:
                    position = await _apply_until(draft.projection, log, connection, position, live)
                    await _exchange(connection, draft)
                    await _hand_over(connection, draft.projection, position)
                    return position
            position = await _follow(draft, log, position)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            await asyncio.sleep(0.05)
    raise Unavailable(
        "PostgreSQL",
        f"projection {draft.projection.name} was rebuilt, but transactions that read the old tables did not end; "
        "end them and rebuild again",
    )


async def _lock_live(connection: AsyncConnection, projection: Projection) -> None:
    """Lock the live position's row until the transaction ends, so that the live projector waits for it."""
    await connection.execute(sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
    await connection.execute(
        sql("SELECT FROM public.projection_positions WHERE name = :name AND live FOR UPDATE"), {"name": projection.name}
    )


async def _load_live(connection: AsyncConnection, projection: Projection, *, replace_newer: bool) -> int:
    """Return the live position; 0 where there is none.

    Raises:
        NewerRows: The live rows are of a higher version, and are not to be replaced.
    """
    for at in await load_positions(connection):
        if at.live and at.name == projection.name:
            if at.version > projection.version and not replace_newer:
                raise NewerRows(at, projection.version)
            return at.position
    return 0


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


async def _follow(draft: _Draft, log: Log, position: int) -> int:
    async for page in log.read(position):
        async with draft.write(page[-1].sequence) as connection:
            await _apply(draft.projection, connection, page, position)
        position = page[-1].sequence
    return position


async def _exchange(connection: AsyncConnection, draft: _Draft) -> None:
    names = ", ".join(f"public.{table.name}" for table in draft.projection.tables)
    await connection.execute(sql(f"DROP TABLE IF EXISTS {names}"))
    for table in draft.projection.tables:
        await connection.execute(sql(f"ALTER TABLE {draft.schema}.{table.name} SET SCHEMA public"))
    await connection.execute(sql(f"DROP SCHEMA {draft.schema} CASCADE"))


async def _hand_over(connection: AsyncConnection, projection: Projection, position: int) -> None:
    """Give the live position its new value; its owner keeps its epoch and finds the position moved."""
    await connection.execute(
        sql(
            "INSERT INTO public.projection_positions (name, version, live, position, epoch, updated_at) "
            "VALUES (:name, :version, true, :position, 0, now()) ON CONFLICT (name, live) "
            "DO UPDATE SET position = EXCLUDED.position, version = EXCLUDED.version, stopped_at = NULL, "
            "stopped_because = NULL, updated_at = now()"
        ),
        {"name": projection.name, "version": projection.version, "position": position},
    )
    await _delete_row(connection, projection)
