"""The archive in PostgreSQL keeps the newest snapshot of the version that runs, and knows what readings said."""

import msgspec
import pytest

from marketplace.api.http.sql_archive import SqlArchive
from marketplace.core.errors import Unavailable
from marketplace.execution.archive import ReadingName, Snapshot
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.domain.build import GRANT
from tests.support.market.meter import SOURCE, SUBJECT, Process, fold

SNAPSHOT = Snapshot(subject="marketplace.usage.usg_1", version=1, sequence=7, hash="h7", content=b"\x00\xff")


@pytest.fixture
async def engine(database_url):
    built = build_engine(database_url)
    yield built
    await built.dispose()


async def test_the_newest_snapshot_is_kept_and_that_of_another_version_replaced(engine):
    archive = SqlArchive(engine)
    assert await archive.find(SNAPSHOT.subject) is None
    newer = msgspec.structs.replace(SNAPSHOT, sequence=9, content=b"newer")
    other = msgspec.structs.replace(SNAPSHOT, sequence=8, version=2)
    for given, expected in ((SNAPSHOT, SNAPSHOT), (newer, newer), (SNAPSHOT, newer), (other, other)):
        await archive.put(given)
        assert await archive.find(SNAPSHOT.subject) == expected


async def test_a_record_lives_on_through_postgresql_and_readings_are_found_there_or_in_the_log(engine):
    log, archive = MemoryLog(), SqlArchive(engine)
    process = Process(log, archive)
    await process.begin()
    for number in range(100):
        await process.report(number, devices=("GPU-1",))
    await process.keep()
    assert await archive.find(SUBJECT) is not None
    again = Process(log, archive)
    assert await again.load() == await fold(log)
    name = ReadingName(GRANT, "provider", SOURCE, "r3")
    assert await archive.find_reading(name) is None
    await again.correct(3, 2)
    await Projector(log, engine, PROJECTIONS).catch_up()
    assert (await archive.find_reading(name)).nodes == 2
    again.log.loads.clear()
    await again.correct(4, 2)
    await again.correct(4, 1)
    assert [subject for subject, _ in again.log.loads] == [SUBJECT]
    assert await Process(log, archive).load() == await again.load() == await fold(log)


async def test_an_archive_that_is_away_says_so():
    archive = SqlArchive(build_engine("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Unavailable):
        await archive.find(SUBJECT)


async def test_what_a_source_said_long_ago_is_found_in_postgresql_and_believed_where_the_record_knows_it(
    engine, monkeypatch
):
    log, archive = MemoryLog(), SqlArchive(engine)
    process = Process(log, archive)
    await process.begin()
    for number in range(3):
        await process.report(number, nodes=2)
    await Projector(log, engine, PROJECTIONS).catch_up()
    monkeypatch.setattr("marketplace.execution.repeated_content.TAIL_EVENTS", 0)
    assert await process.repeat(1, "new", nodes=2) == ("conflict", "reading_repeated")
    await process.correct(1, 1)
    assert await process.repeat(1, "newer", nodes=2) == ("rejected", "nodes_above_grant")
    await process.void(2)
    assert await process.repeat(2, "newest", nodes=2) == ("accepted", None)
