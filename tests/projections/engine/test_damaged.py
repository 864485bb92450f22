"""A projection whose tables are damaged stops alone, and is rebuilt beside a market that goes on."""

import asyncio
import contextlib

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Corrupt
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.rebuild import rebuild
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.verify import verify, verify_all
from marketplace.projections.registry import PROJECTIONS, get_projection
from tests.projections.conftest import fill, project
from tests.projections.tales import tell_many
from tests.support.patience import PATIENCE_SECONDS

DAMAGES = {
    "a table is gone": "DROP TABLE entries",
    "a column is gone": "ALTER TABLE balances DROP COLUMN amount",
    "a constraint refuses rows": "ALTER TABLE entries ADD CONSTRAINT wrong CHECK (false) NOT VALID",
}


async def load_live(engine):
    async with engine.connect() as connection:
        return {at.name: at for at in await load_positions(connection) if at.live}


async def wait_until(engine, condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition(live := await load_live(engine)):  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.05)
    return live


@contextlib.asynccontextmanager
async def projecting(engine, log):
    projector = Projector(log, engine, PROJECTIONS)
    running = asyncio.create_task(projector.run())
    try:
        yield running
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_it_stops_alone_and_goes_live_again_without_a_restart(engine: AsyncEngine, memory_log: MemoryLog, damage):
    story = tell_many(900)
    third, last = len(story.recorded) // 3, len(story.recorded)
    await fill(memory_log, story.until(third))
    await project(engine, memory_log)
    async with projecting(engine, memory_log) as running:
        async with engine.begin() as connection:
            await connection.execute(text(damage))
        await fill(memory_log, story.until(2 * third))
        live = await wait_until(
            engine, lambda at: at["accounts"].stopped_at is not None and at["feed"].position == 2 * third
        )
        assert {name for name, at in live.items() if at.stopped_at is not None} == {"accounts"}
        assert live["accounts"].stopped_because
        assert {at.position for name, at in live.items() if name != "accounts"} == {2 * third}
        rebuilding = asyncio.create_task(rebuild(get_projection("accounts"), memory_log, engine))
        await fill(memory_log, story.recorded)
        await rebuilding
        await wait_until(engine, lambda at: {one.position for one in at.values()} == {last})
        await wait_until(engine, lambda at: all(one.stopped_at is None for one in at.values()))
        assert not running.done()
    results = await verify_all(PROJECTIONS, memory_log, engine)
    assert {result.name: result.differences for result in results if result.differences} == {}


async def test_verification_of_a_table_that_is_gone_names_it_and_the_remedy(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_many(60).recorded)
    await project(engine, memory_log)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE entries"))
    with pytest.raises(Corrupt, match=r"entries of projection accounts is gone; .*projections rebuild accounts"):
        await verify(get_projection("accounts"), memory_log, engine)
    assert (await verify(get_projection("feed"), memory_log, engine)).differences == ()
