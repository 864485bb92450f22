"""A rebuild equals the incremental rows, runs beside the live projection, and swaps while reads go on."""

import asyncio
import contextlib
from dataclasses import replace

import msgspec
import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict, Corrupt
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing import accounts
from marketplace.projections.engine.migrate import build_config
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.rebuild import Progress, rebuild
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import dump, fill, project
from tests.projections.tales import tell_everything, tell_many


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
async def test_a_rebuild_makes_the_same_rows(projection, engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    before = await dump(engine)
    steps: list[Progress] = []
    done = await rebuild(projection, memory_log, engine, report=steps.append)
    assert await dump(engine) == before
    assert (done.name, done.position) == (projection.name, len(story.recorded))
    assert (steps[-1].done, steps[-1].total) == (done.position, done.position)


async def test_a_rebuild_mends_rows_that_were_changed_by_hand(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    before = await dump(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE balances SET amount = amount + 1"))
        await connection.execute(text("DELETE FROM entries WHERE line = 0"))
    await rebuild(accounts.PROJECTION, memory_log, engine)
    assert await dump(engine) == before


async def test_the_tables_are_those_of_the_migrations_after_a_swap(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    for projection in PROJECTIONS:
        await rebuild(projection, memory_log, engine)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.check(build_config(sync)))
        left = await connection.execute(
            text("SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'rebuild%'")
        )
        assert left.scalar_one() == 0
        assert all(position.live for position in await load_positions(connection))


async def test_the_live_projector_goes_on_through_a_rebuild(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_many(4_000)
    half = len(story.recorded) // 2
    await fill(memory_log, story.until(half))
    projector = await project(engine, memory_log)

    async def trickle() -> None:
        for begin in range(half, len(story.recorded), 50):
            await fill(memory_log, story.until(begin + 50))
            await projector.catch_up()

    live = asyncio.create_task(trickle())
    for _ in range(3):
        await rebuild(accounts.PROJECTION, memory_log, engine)
    await live
    assert projector.position == len(story.recorded)
    swapped = await dump(engine)
    for projection in PROJECTIONS:
        await rebuild(projection, memory_log, engine)
    assert await dump(engine) == swapped


async def test_a_rebuild_that_passes_a_stopped_projector_is_taken_over(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.until(60))
    projector = await project(engine, memory_log)
    await fill(memory_log, story.recorded)
    done = await rebuild(accounts.PROJECTION, memory_log, engine)
    assert done.position == len(story.recorded)
    await projector.catch_up()
    assert projector.position == len(story.recorded)
    incremental = await dump(engine)
    await rebuild(accounts.PROJECTION, memory_log, engine)
    assert await dump(engine) == incremental


async def test_readers_see_whole_tables_through_every_swap(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_many(1_500)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        expected = await _read(connection)
    stopped = asyncio.Event()
    reads = 0

    async def reader() -> None:
        nonlocal reads
        while not stopped.is_set():
            async with engine.connect() as connection:
                for _ in range(5):
                    assert await _read(connection) == expected
                    reads += 1
                    await connection.commit()

    readers = [asyncio.create_task(reader()) for _ in range(4)]
    for _ in range(5):
        await rebuild(accounts.PROJECTION, memory_log, engine)
    stopped.set()
    await asyncio.gather(*readers)
    assert reads > 50


async def _read(connection) -> tuple[int, int]:
    row = await connection.execute(text("SELECT count(*), count(DISTINCT account) FROM entries"))
    return tuple(row.one())


async def test_only_one_rebuild_of_a_projection_runs(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_many(3_000).recorded)
    await project(engine, memory_log)
    results = await asyncio.gather(
        *(rebuild(accounts.PROJECTION, memory_log, engine) for _ in range(2)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], Conflict)


async def test_a_rebuild_that_was_killed_leaves_the_live_tables_and_can_be_begun_again(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await fill(memory_log, tell_many(3_000).recorded)
    await project(engine, memory_log)
    before = await dump(engine)
    seen = asyncio.Event()
    running = asyncio.create_task(rebuild(accounts.PROJECTION, memory_log, engine, report=lambda _: seen.set()))
    await seen.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert await dump(engine) == before
    await rebuild(accounts.PROJECTION, memory_log, engine)
    assert await dump(engine) == before


async def test_a_rebuild_over_a_log_it_cannot_read_leaves_the_live_tables(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    projector = Projector(memory_log, engine, PROJECTIONS)
    await projector.catch_up()
    before = await dump(engine)
    events = memory_log._events
    at = next(index for index, known in enumerate(events) if known.subject.startswith("marketplace.account."))
    events[at] = _of_another_type(events[at])
    memory_log._checked.clear()
    with pytest.raises(Corrupt, match=f"event {at + 1}"):
        await rebuild(accounts.PROJECTION, memory_log, engine)
    assert await dump(engine) == before


def _of_another_type(recorded):
    envelope = msgspec.structs.replace(recorded.envelope, type="marketplace.account.teleported.v1")
    return replace(recorded, envelope=envelope)
