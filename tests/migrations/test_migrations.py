"""Every migration goes up, down and up again, and together they make exactly the tables of the release."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Refusal
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import build_config, downgrade, is_current, migrate, require_current
from marketplace.projections.registry import OPERATIONAL_TABLES, PROJECTIONS, SCHEMA


@pytest_asyncio.fixture
async def empty(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = build_engine(empty_database_url)
    yield engine
    await engine.dispose()


async def _tables(engine: AsyncEngine) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    async with engine.connect() as connection:
        return {row[0] for row in await connection.execute(text(query))}


async def test_the_stairway_goes_up_and_down_at_every_step(empty: AsyncEngine):
    revisions = [script.revision for script in ScriptDirectory.from_config(build_config()).walk_revisions()]
    assert revisions
    for revision in reversed(revisions):
        await migrate(empty, revision)
        await downgrade(empty, "-1")
        await migrate(empty, revision)
    assert await is_current(empty)
    await downgrade(empty)
    assert await _tables(empty) == set()
    await migrate(empty)
    assert await _tables(empty) == set(SCHEMA.tables)


async def test_the_migrated_database_is_what_the_release_expects(empty: AsyncEngine):
    await migrate(empty)
    async with empty.begin() as connection:
        await connection.run_sync(lambda sync: command.check(build_config(sync)))


async def test_migrating_twice_changes_nothing(empty: AsyncEngine):
    with pytest.raises(Refusal, match="does not have the tables of this release"):
        await require_current(empty)
    await migrate(empty)
    await migrate(empty)
    await require_current(empty)


def test_every_table_belongs_to_a_projection_or_to_operations():
    projected = {table.name for projection in PROJECTIONS for table in projection.tables}
    assert set(SCHEMA.tables) == projected | {table.name for table in OPERATIONAL_TABLES}
