"""A migrated database and a projector over a story, for each test."""

from collections.abc import AsyncIterator, Sequence

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.log.port import Recorded
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.projections.story import Heads


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    built = build_engine(database_url)
    yield built
    await built.dispose()


async def fill(log: MemoryLog, recorded: Sequence[Recorded]) -> None:
    """Append a story to a log, or what of it the log does not hold yet."""
    held = (await log.health()).last_sequence
    heads = Heads()
    heads.follow(recorded[:held])
    for begin in range(held, len(recorded), 500):
        await log.append(heads.writes(recorded[begin : begin + 500]))


async def project(engine: AsyncEngine, log: MemoryLog, projections: Sequence[Projection] = PROJECTIONS) -> Projector:
    """Bring the projections to the end of a log."""
    projector = Projector(log, engine, projections)
    await projector.catch_up()
    return projector


async def dump(engine: AsyncEngine, projections: Sequence[Projection] = PROJECTIONS) -> dict[str, list[str]]:
    """Return every row of every table as text, sorted."""
    rows: dict[str, list[str]] = {}
    async with engine.connect() as connection:
        for table in (table for projection in projections for table in projection.tables):
            found = await connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table.name} AS t"))  # noqa: S608
            rows[table.name] = sorted(row[0] for row in found)
    return rows
