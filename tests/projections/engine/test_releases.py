"""Two releases beside each other: each leaves alone the rows that a newer one made, and says so."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict, Unavailable
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.automatic_rebuild import list_outdated, renew
from marketplace.projections.engine.positions import NewerRows, load_positions
from marketplace.projections.engine.rebuild import rebuild
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.verify import verify
from marketplace.projections.engine.watch import watch
from marketplace.projections.registry import PROJECTIONS, get_projection
from marketplace.projections.trading.orders import list_orders
from tests.projections.conftest import dump, fill, project
from tests.projections.tales import tell_everything
from tests.support.patience import PATIENCE_SECONDS

OLDER = PROJECTIONS
ORDERS = get_projection("orders")
NEWER_ORDERS = replace(ORDERS, version=ORDERS.version + 1)
NEWER = tuple(NEWER_ORDERS if one is ORDERS else one for one in PROJECTIONS)
STORY = tell_everything()
HALF, END = len(STORY.recorded) // 2, len(STORY.recorded)
ORDER_TABLES = [table.name for table in ORDERS.tables]


async def load_live(engine):
    async with engine.connect() as connection:
        return {at.name: at for at in await load_positions(connection) if at.live}


async def begin(engine, log, projections):
    """Project half of the story with one release."""
    await fill(log, STORY.until(HALF))
    await project(engine, log, projections)


async def test_rows_of_a_lower_version_are_rebuilt_once_and_by_the_newer_release_only(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await begin(engine, memory_log, OLDER)
    before = await dump(engine)
    assert await list_outdated(engine, NEWER) == [NEWER_ORDERS]
    assert await renew(NEWER, memory_log, engine) == ["orders"]
    assert await dump(engine) == before
    live = await load_live(engine)
    assert {name: at.version for name, at in live.items()} == {one.name: one.version for one in NEWER}
    for release in (OLDER, NEWER, OLDER, NEWER):
        await project(engine, memory_log, release)
        assert await renew(release, memory_log, engine) == []
    assert (await load_live(engine))["orders"].version == NEWER_ORDERS.version


async def test_an_older_release_does_not_project_over_newer_rows_and_says_so(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await begin(engine, memory_log, NEWER)
    before = await dump(engine)
    await fill(memory_log, STORY.recorded)
    older = await project(engine, memory_log, OLDER)
    live = await load_live(engine)
    assert {name: at.position for name, at in live.items()} == {
        one.name: HALF if one is ORDERS else END for one in OLDER
    }
    after = await dump(engine)
    assert {name: after[name] for name in ORDER_TABLES} == {name: before[name] for name in ORDER_TABLES}
    assert live["orders"].version == NEWER_ORDERS.version
    reason = live["orders"].stopped_because
    assert f"rows of projection orders are of version {NEWER_ORDERS.version}" in reason
    assert f"this release makes version {ORDERS.version} and leaves them alone" in reason
    assert "--replace-newer" in reason
    assert set(older.stopped) == {"orders"}
    assert not await older.revive("orders"), "the event that it stopped at is readable, and still it stays"
    newer = await project(engine, memory_log, NEWER)
    assert newer.stopped == {}
    assert (await load_live(engine))["orders"].position == END
    assert (await verify(NEWER_ORDERS, memory_log, engine)).differences == ()


async def test_an_older_projector_that_runs_lets_go_of_rows_that_a_newer_release_swaps_in(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await begin(engine, memory_log, OLDER)
    older = Projector(memory_log, engine, OLDER)
    running = asyncio.create_task(older.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await rebuild(NEWER_ORDERS, memory_log, engine)
            await fill(memory_log, STORY.recorded)
            while older.position < END:  # noqa: ASYNC110 - another task moves it
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    live = await load_live(engine)
    assert (live["orders"].position, live["orders"].version) == (HALF, NEWER_ORDERS.version)
    assert set(older.stopped) == {"orders"}
    assert (await verify(NEWER_ORDERS, memory_log, engine)).differences == ()


async def test_a_swap_at_the_same_position_is_seen_by_the_fence(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, STORY.until(HALF))
    older = await project(engine, memory_log, OLDER)
    await rebuild(NEWER_ORDERS, memory_log, engine)
    await older.apply(STORY.recorded[HALF:])
    assert (await load_live(engine))["orders"].position == HALF
    assert older.position == END


async def test_readers_wait_for_the_other_projections_only(engine: AsyncEngine, memory_log: MemoryLog):
    await begin(engine, memory_log, NEWER)
    await fill(memory_log, STORY.recorded)
    await project(engine, memory_log, OLDER)
    async with watch(engine, OLDER) as followed, followed.connect(END) as connection:
        await connection.execute(text("SELECT count(*) FROM grants"))
        with pytest.raises(Unavailable, match="orders stopped"):
            await list_orders(connection)
        with pytest.raises(Unavailable, match="orders stopped"):
            await connection.execute(text("SELECT count(*) FROM order_history"))


async def test_an_older_release_refuses_to_rebuild_or_verify_newer_rows(engine: AsyncEngine, memory_log: MemoryLog):
    await begin(engine, memory_log, NEWER)
    before = await dump(engine)
    for attempt in (rebuild, verify):
        with pytest.raises(NewerRows, match=f"are of version {NEWER_ORDERS.version}"):
            await attempt(ORDERS, memory_log, engine)
    assert await dump(engine) == before
    async with engine.connect() as connection:
        assert all(at.live for at in await load_positions(connection))
        schemas = await connection.execute(text("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rebuild%'"))
        assert schemas.scalar_one() == 0


async def test_rows_that_became_newer_during_a_rebuild_are_not_replaced(engine: AsyncEngine, memory_log: MemoryLog):
    await begin(engine, memory_log, OLDER)

    class Late(MemoryLog):
        """Its pages come after a newer release has swapped its rows in."""

        async def read(self, after=0, *, follow=False):
            async with engine.begin() as connection:
                await connection.execute(
                    text("UPDATE projection_positions SET version = :newer WHERE live"), {"newer": NEWER_ORDERS.version}
                )
            async for page in memory_log.read(after, follow=follow):
                yield page

    late = Late()
    late.health = memory_log.health
    with pytest.raises(NewerRows):
        await rebuild(ORDERS, late, engine)
    assert (await load_live(engine))["orders"].version == NEWER_ORDERS.version


async def test_an_operator_goes_back_to_the_older_release(engine: AsyncEngine, memory_log: MemoryLog):
    await begin(engine, memory_log, NEWER)
    newer = Projector(memory_log, engine, NEWER)
    await newer.claim()
    older = await project(engine, memory_log, OLDER)
    await fill(memory_log, STORY.recorded)
    await older.catch_up()
    await rebuild(ORDERS, memory_log, engine, replace_newer=True)
    assert await older.revive("orders")
    live = await load_live(engine)
    assert (live["orders"].version, live["orders"].position) == (ORDERS.version, END)
    assert (live["orders"].stopped_at, older.stopped) == (None, {})
    assert (await verify(ORDERS, memory_log, engine)).differences == ()
    with pytest.raises(Conflict):
        await newer.apply(STORY.recorded[HALF:])
