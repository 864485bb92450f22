"""Two rebuilds of one projection never mix: whichever lost its lock or its place stops, and swaps nothing in."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Limits, Recorded
from marketplace.projections.billing import accounts
from marketplace.projections.engine.automatic_rebuild import renew
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.rebuild import rebuild
from marketplace.projections.engine.verify import verify
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import dump, fill, project
from tests.projections.tales import tell_many

PAGE = 200
STORY = tell_many(1_500)
EVENTS = len(STORY.recorded)


class GatedLog:
    """A log that hands out its pages one by one, when it is let; health, find and load are those of the log behind."""

    def __init__(self, behind: MemoryLog) -> None:
        self._behind = behind
        self._let = asyncio.Semaphore(0)
        self.load = behind.load
        self.find = behind.find
        self.health = behind.health
        self.append = behind.append
        self.close = behind.close
        self.turns = behind.turns

    def let(self, pages: int) -> None:
        """Let so many more pages through."""
        for _ in range(pages):
            self._let.release()

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """Yield the pages of the log behind, each when it is let."""
        pages = self._behind.read(after, follow=follow)
        while True:
            await self._let.acquire()
            page = await anext(pages, None)
            if page is None:
                return
            yield page


@pytest.fixture
def memory_log() -> MemoryLog:
    return MemoryLog(Limits(page_messages_max=PAGE))


async def begin_and_lose_the_lock(engine, memory_log, pages):
    """Begin a rebuild, let it write some pages, and end the session that holds its lock, and that session alone."""
    log = GatedLog(memory_log)
    reached = asyncio.Event()

    def report(step):
        if step.done >= min(pages * PAGE, EVENTS):
            reached.set()

    running = asyncio.create_task(rebuild(accounts.PROJECTION, log, engine, report=report))
    log.let(pages)
    await asyncio.wait_for(reached.wait(), 20)
    async with engine.connect() as connection:
        ended = await connection.execute(
            text(
                "SELECT pg_terminate_backend(l.pid, 20000) FROM pg_locks AS l "
                "JOIN pg_database AS d ON d.oid = l.database "
                "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
            )
        )
        assert ended.scalars().all() == [True]  # it waits for the end of the session, and of its lock
    return log, running


async def check_untouched(engine, memory_log, before):
    """Rows are right, by comparison and by verification, and nothing is left behind."""
    assert await dump(engine) == before
    result = await verify(accounts.PROJECTION, memory_log, engine)
    assert (result.differences, result.position) == ((), EVENTS)
    assert await list_leftovers(engine) == ([], [])


async def list_leftovers(engine):
    async with engine.connect() as connection:
        schemas = await connection.execute(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%'"))
        return list(schemas.scalars()), [at.name for at in await load_positions(connection) if not at.live]


async def prepare(engine, memory_log):
    await fill(memory_log, STORY.recorded)
    await project(engine, memory_log)
    return await dump(engine)


async def test_the_first_goes_on_while_the_second_has_begun(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=4)
    second_log = GatedLog(memory_log)
    written = asyncio.Event()
    second = asyncio.create_task(rebuild(accounts.PROJECTION, second_log, engine, report=lambda _: written.set()))
    second_log.let(1)
    await asyncio.wait_for(written.wait(), 20)
    log.let(1_000)
    with pytest.raises(Conflict, match="another rebuild"):
        await first
    assert await dump(engine) == before
    second_log.let(1_000)
    assert (await second).position == EVENTS
    await check_untouched(engine, memory_log, before)


async def test_the_second_ends_before_the_first_goes_on(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=2)
    assert (await rebuild(accounts.PROJECTION, memory_log, engine)).position == EVENTS
    log.let(1_000)
    with pytest.raises(Conflict, match="another rebuild"):
        await first
    await check_untouched(engine, memory_log, before)


async def test_the_second_begins_as_the_first_is_about_to_swap(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    pages = -(-EVENTS // PAGE)
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=pages)
    second_log = GatedLog(memory_log)
    written = asyncio.Event()
    second = asyncio.create_task(rebuild(accounts.PROJECTION, second_log, engine, report=lambda _: written.set()))
    second_log.let(1)
    await asyncio.wait_for(written.wait(), 20)
    log.let(1_000)
    with pytest.raises(Conflict, match="another rebuild"):
        await first
    second_log.let(1_000)
    await second
    await check_untouched(engine, memory_log, before)


async def test_an_epoch_is_never_used_again(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=2)
    for _ in range(3):
        await rebuild(accounts.PROJECTION, memory_log, engine)
    second_log = GatedLog(memory_log)
    third = asyncio.create_task(rebuild(accounts.PROJECTION, second_log, engine))
    second_log.let(1)
    log.let(1_000)
    with pytest.raises(Conflict, match="another rebuild"):
        await first
    second_log.let(1_000)
    await third
    await check_untouched(engine, memory_log, before)


async def test_a_rebuild_that_lost_its_lock_and_has_no_rival_ends_well(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=2)
    log.let(1_000)
    assert (await first).position == EVENTS
    await check_untouched(engine, memory_log, before)


async def test_the_automatic_rebuild_may_be_the_second(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE projection_positions SET version = 0 WHERE name = 'accounts'"))
    log, first = await begin_and_lose_the_lock(engine, memory_log, pages=3)
    assert await renew(PROJECTIONS, memory_log, engine) == ["accounts"]
    log.let(1_000)
    with pytest.raises(Conflict, match="another rebuild"):
        await first
    await check_untouched(engine, memory_log, before)


async def test_what_a_killed_rebuild_left_is_cleaned_by_whoever_leads(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    _, first = await begin_and_lose_the_lock(engine, memory_log, pages=3)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    schemas, rows = await list_leftovers(engine)
    assert (len(schemas), rows) == (1, ["accounts"])
    assert await renew(PROJECTIONS, memory_log, engine) == []
    await check_untouched(engine, memory_log, before)


async def test_a_rebuild_that_runs_is_not_taken_for_a_leftover(engine: AsyncEngine, memory_log: MemoryLog):
    before = await prepare(engine, memory_log)
    log = GatedLog(memory_log)
    written = asyncio.Event()
    first = asyncio.create_task(rebuild(accounts.PROJECTION, log, engine, report=lambda _: written.set()))
    log.let(1)
    await asyncio.wait_for(written.wait(), 20)
    assert await renew(PROJECTIONS, memory_log, engine) == []
    log.let(1_000)
    assert (await first).position == EVENTS
    await check_untouched(engine, memory_log, before)
