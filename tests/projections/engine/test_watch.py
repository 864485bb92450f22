"""Read your writes through a crash of PostgreSQL that takes back rows which were announced."""

import pytest

from marketplace.core.errors import Unavailable
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.postgres import embedded_postgres
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.positions import load_reached
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.watch import PositionWatch
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import fill
from tests.projections.tales import tell_everything

CRASHES_MAX = 10
"""A crash loses a commit only where it comes before the next flush of the write-ahead log, within 200 ms."""


async def test_a_position_that_a_crash_took_back_is_not_believed(memory_log: MemoryLog):
    story = tell_everything()
    with temporary_folder("marketplace-crash-") as folder:
        async with embedded_postgres(folder, settings={"wal_writer_delay": "10s"}) as server:
            engine = build_engine(server.url)
            await migrate(engine)
            watch = PositionWatch(engine, PROJECTIONS)
            await fill(memory_log, story.recorded)
            projector = Projector(memory_log, engine, PROJECTIONS)
            await projector.claim()
            lost = 0
            for end in range(20, 20 + CRASHES_MAX * 10, 10):
                admin = await server.connect()
                await admin.execute("CHECKPOINT")  # what came before is on disk
                await admin.close()
                await projector.apply(story.until(end))
                assert await watch.refresh() == end
                server.kill()
                await server.restart()
                await engine.dispose()
                async with engine.connect() as connection:
                    reached = (await load_reached(connection, PROJECTIONS)).position
                if reached < end:
                    lost += 1
                    assert watch.position == end  # it was announced, and nobody told that it is gone
                    with pytest.raises(Unavailable, match=f"they are at {reached} and did not reach {end}"):
                        async with watch.connect(end, 0.3):
                            raise AssertionError("rows that a crash took back were read as if they were there")
                    fresh = Projector(memory_log, engine, PROJECTIONS)
                    await fresh.claim()
                    await fresh.apply(story.until(end))
                    projector = fresh
                async with watch.connect(end) as connection:
                    assert (await load_reached(connection, PROJECTIONS)).position >= end
            assert lost, "no crash lost a commit, so that nothing was tried"
            await engine.dispose()


async def test_a_standstill_counts_while_the_log_has_more_and_ends_as_soon_as_an_event_is_passed(
    memory_log: MemoryLog, database_url: str
):
    """A worker that ended again and again on one event was nowhere told."""
    story = tell_everything()
    engine = build_engine(database_url)
    await migrate(engine)
    await fill(memory_log, story.recorded)
    projector, watch = Projector(memory_log, engine, PROJECTIONS), PositionWatch(engine, PROJECTIONS)
    await projector.claim()
    await projector.apply(story.until(10))
    await watch.refresh()
    calls = ((10, 100), (10, 400), (11, 410), (12, 430))  # the first event after an idle hour is no standstill
    assert [watch.count_standstill(end, now) for end, now in calls] == [0, 0, 0, 20]
    await projector.apply(story.until(11))
    await watch.refresh()
    assert [watch.count_standstill(12, now) for now in (431, 440)] == [0, 9]
    await engine.dispose()
