"""What another release made is built anew by itself, beside the live rows."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.automatic_rebuild import list_outdated, renew
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.registry import PROJECTIONS, get_projection
from tests.projections.conftest import dump, fill, project
from tests.projections.tales import tell_everything

OLDER = ("statements", "reliability")


async def make_older(engine):
    """Leave rows as a release left them that knew less."""
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE statements SET charges = charges - 'service_hours', service = NULL"))
        await connection.execute(text("DELETE FROM reliability"))
        await connection.execute(
            text("UPDATE projection_positions SET version = 0 WHERE name = ANY(:names)"), {"names": list(OLDER)}
        )


async def list_made_here(engine):
    async with engine.connect() as connection:
        positions = await load_positions(connection)
    return {at.name for at in positions if at.version == get_projection(at.name).version}


async def test_what_another_release_made_is_built_anew_once(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    right = await dump(engine)
    assert await renew(PROJECTIONS, memory_log, engine) == []
    await make_older(engine)
    assert await dump(engine) != right
    assert {one.name for one in await list_outdated(engine, PROJECTIONS)} == set(OLDER)
    assert sorted(await renew(PROJECTIONS, memory_log, engine)) == sorted(OLDER)
    assert await dump(engine) == right
    assert await list_made_here(engine) == {projection.name for projection in PROJECTIONS}
    assert await renew(PROJECTIONS, memory_log, engine) == []


async def test_a_projector_keeps_the_version_of_who_made_the_rows(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    half = len(story.recorded) // 2
    await fill(memory_log, story.until(half))
    await project(engine, memory_log)
    await make_older(engine)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    assert {one.name for one in await list_outdated(engine, PROJECTIONS)} == set(OLDER)


async def test_a_projection_without_rows_needs_no_renewal(engine: AsyncEngine, memory_log: MemoryLog):
    await project(engine, memory_log)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE projection_positions SET version = 0"))
    assert await list_outdated(engine, PROJECTIONS) == []
    await project(engine, memory_log)
    assert await list_made_here(engine) == {projection.name for projection in PROJECTIONS}


async def test_it_waits_for_a_rebuild_that_an_operator_runs(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    await make_older(engine)
    key = {"key": "rebuild statements"}
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key)
        renewing = asyncio.create_task(renew(PROJECTIONS, memory_log, engine, retry_seconds=0.01))
        await asyncio.sleep(0.2)
        assert not renewing.done()
        await connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)
        assert sorted(await renewing) == sorted(OLDER)
