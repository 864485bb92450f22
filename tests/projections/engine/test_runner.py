"""Position and rows move together, once, and only for the projector that owns them."""

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from events.log import LogAnnotated
from events.registry import AGGREGATES, EVENT_TYPES, get_tag, render_body, render_type
from events.site import SiteRegistered
from events.subjects import LOG_ID, LOG_SUBJECT
from marketplace.core.errors import Conflict, Corrupt, Refusal, Unavailable
from marketplace.domain.log import Annotate
from marketplace.embedded.postgres import PostgresServer
from marketplace.execution.log_record import record
from marketplace.log.annotations import AnnotatedLog, check_annotation, examine
from marketplace.log.codec import seal
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Head, Recorded, Write
from marketplace.projections.access import parties
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.projection import all_of
from marketplace.projections.engine.rebuild import rebuild
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.verify import verify
from marketplace.projections.engine.watch import PositionWatch, watch
from marketplace.projections.feed.visibility import PARTIES, PLATFORM, PUBLIC
from marketplace.projections.registry import PROJECTIONS
from marketplace.projections.supply import inventory
from marketplace.projections.trading import orders
from tests.projections.conftest import dump, fill, project
from tests.projections.story import ALL_TAGS
from tests.projections.tales import tell_everything
from tests.support.patience import PATIENCE_SECONDS


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_every_event_type_of_the_aggregates_that_it_reads_is_handled_or_named_as_ignored(projection):
    assert projection.handles | projection.ignores == all_of(*projection.reads)
    assert not projection.handles & projection.ignores


def test_every_aggregate_is_read_by_a_projection_beside_the_feed():
    read = {aggregate for one in PROJECTIONS if one.name != "feed" for aggregate in one.reads}
    assert set(AGGREGATES) - read == {"clock", "command", "log", "schedule"}


def test_tables_belong_to_one_projection():
    names = [table.name for projection in PROJECTIONS for table in projection.tables]
    assert len(names) == len(set(names))


def test_whom_an_event_concerns_is_decided_for_every_type():
    assert set(EVENT_TYPES) == PUBLIC | PLATFORM | PARTIES
    assert len(PUBLIC) + len(PLATFORM) + len(PARTIES) == len(EVENT_TYPES)


def test_the_story_has_every_event_type():
    assert tell_everything().tags() == ALL_TAGS


async def test_the_rows_do_not_depend_on_where_batches_end(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    at_once = await dump(engine)
    assert all(rows for name, rows in at_once.items()), [name for name, rows in at_once.items() if not rows]
    async with engine.begin() as connection:
        names = ", ".join(at_once)
        await connection.execute(text(f"TRUNCATE projection_positions, {names}"))
    projector = Projector(memory_log, engine, PROJECTIONS)
    await projector.claim()
    pieces, begin = random.Random(7), 0
    while begin < len(story.recorded):
        end = begin + pieces.choice((1, 2, 3, 17))
        await projector.apply(story.recorded[begin:end])
        begin = end
    assert await dump(engine) == at_once


async def test_delivery_twice_equals_once(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    projector = await project(engine, memory_log)
    once = await dump(engine)
    await projector.apply(story.recorded[50:150])
    await projector.apply(story.recorded)
    fresh = Projector(memory_log, engine, PROJECTIONS)
    await fresh.claim()
    await fresh.apply(story.recorded)
    assert await dump(engine) == once
    assert fresh.position == len(story.recorded)


async def load_stopped(engine: AsyncEngine) -> dict[str, tuple[int, int | None]]:
    """Return position and stop of each projection that stopped, by name."""
    async with engine.connect() as connection:
        positions = await load_positions(connection)
    return {at.name: (at.position, at.stopped_at) for at in positions if at.stopped_at is not None}


async def test_an_event_that_nobody_can_read_stops_the_projections_that_need_it_and_no_other(
    engine: AsyncEngine, memory_log: MemoryLog, monkeypatch: pytest.MonkeyPatch
):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    damaged = [each for each in story.recorded if each.subject.split(".")[1] == "mandate"][-1]
    at = damaged.sequence
    memory_log._events[at - 1] = replace(damaged, body=damaged.body.replace(b"fund closed", b"fund open"))
    log = AnnotatedLog(memory_log)
    projector = await project(engine, log)
    needing = {one.name for one in PROJECTIONS if any(tag.startswith("mandate.") for tag in one.handles)}
    assert needing >= {"mandates", "feed"}
    assert not needing & {"parties", "grants", "inventory"}
    assert set(await load_stopped(engine)) == needing == set(projector.stopped)
    assert {stop for _, stop in (await load_stopped(engine)).values()} == {at}
    assert {position for position, _ in (await load_stopped(engine)).values()} == {at - 1}
    assert projector.position == len(story.recorded)

    assert not await projector.revive("mandates")
    found, damage = await examine(memory_log, at)
    note = LogAnnotated(
        log_id=LOG_ID,
        sequence=at,
        subject=found.subject,
        hash=damage.hash,
        damage="hash",
        effect="passed_over",
        reason="a disk",
    )
    head = (await memory_log.load(LOG_SUBJECT))[-1]
    envelope = msgspec.structs.replace(head.envelope, id="note", type=render_type(get_tag(note)))
    message = seal(LOG_SUBJECT, head.envelope.hash, envelope, render_body(note))
    after = Head(LOG_SUBJECT, head.sequence, head.envelope.hash)
    await log.append([Write(after, (message,), Head(LOG_SUBJECT, None, message.envelope.hash))])
    await projector.catch_up()
    assert set(projector.stopped) == needing
    looks, passable, find = [], {}, log.find

    async def look(sequence):
        looks.append(sequence)
        return await find(sequence)

    monkeypatch.setattr(log, "find", look)
    for name in needing:
        assert await projector.revive(name, passable)
    assert looks == [at]  # the log takes a second to confirm an empty position
    assert await load_stopped(engine) == {}
    incremental = await dump(engine)
    for projection in PROJECTIONS:
        await rebuild(projection, log, engine)
    assert await dump(engine) == incremental


@pytest.mark.parametrize(
    "aggregate", ["mandate", "order", "lot", "instrument", "account", "issuer", "auction", "grant", "pool"]
)
async def test_a_projection_that_stops_at_what_rests_on_a_passed_over_event_has_a_way_out(
    engine: AsyncEngine, memory_log: MemoryLog, aggregate: str
):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    damaged = next(each for each in story.recorded if each.subject.split(".")[1] == aggregate)
    at = damaged.sequence
    memory_log._events[at - 1] = replace(damaged, body=damaged.body.replace(b"{", b"{ ", 1))
    log = AnnotatedLog(memory_log)
    projector = await project(engine, log)
    depending = list_depending(story.recorded, damaged)
    if depending:
        with pytest.raises(Refusal, match="only a damaged event"):
            await examine(log, depending[0])
    stops: set[int] = set()
    for _ in range(len(depending) + 2):
        stopped = {stop for _, stop in (await load_stopped(engine)).values() if stop is not None}
        if not stopped:
            break
        for sequence in sorted(stopped):
            await pass_over(log, sequence)
        stops |= stopped
        await projector.catch_up()
        for name in list(projector.stopped):
            await projector.revive(name)
    assert await load_stopped(engine) == {}
    assert stops <= {at, *depending}


def list_depending(events: Sequence[Recorded], damaged: Recorded) -> list[int]:
    """Return the sequences of later events of its aggregate, or of events that name one which depends on it."""
    lost = {damaged.subject.rpartition(".")[2]}
    depending = []
    for one in events[damaged.sequence :]:
        id_ = one.subject.rpartition(".")[2]
        if id_ in lost or any(each.encode() in one.body for each in lost):
            depending.append(one.sequence)
            if not one.envelope.previoushash:
                lost.add(id_)
    return depending


async def pass_over(log: AnnotatedLog, sequence: int) -> None:
    found, damage = await examine(log, sequence)
    check_annotation(found, damage, effect="passed_over", hash=damage.hash, type_is_final=False)
    command = Annotate(
        sequence=sequence,
        subject=found.subject,
        hash=damage.hash,
        damage=damage.kind,
        effect="passed_over",
        reason="a disk",
    )
    await record(log, command)


async def test_a_projection_whose_rows_are_damaged_stops_alone_at_the_event_and_goes_on_after_a_rebuild(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    projector = Projector(memory_log, engine, PROJECTIONS)
    await projector.claim()
    await projector.apply(story.until(100))
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE orders DROP COLUMN status CASCADE"))
    await projector.apply(story.recorded[100:])
    ((name, (position, stopped_at)),) = (await load_stopped(engine)).items()
    assert name == "orders"
    assert stopped_at is not None
    assert stopped_at > position >= 100
    assert projector.position == len(story.recorded)
    await rebuild(orders.PROJECTION, memory_log, engine)
    assert await projector.revive("orders")
    whole = await dump(engine)
    await rebuild(orders.PROJECTION, memory_log, engine)
    assert await dump(engine) == whole


async def test_a_type_that_a_projection_does_not_name_stops_it(engine: AsyncEngine):
    story = tell_everything()
    only_sites = {known: handler for known, handler in inventory.PROJECTION.handlers.items() if known is SiteRegistered}
    others = {tag for tag in inventory.PROJECTION.handles if not tag.startswith("site.")} | inventory.PROJECTION.ignores
    forgetful = replace(inventory.PROJECTION, handlers=only_sites, ignores=frozenset(others))
    async with engine.begin() as connection:
        with pytest.raises(Corrupt, match="inventory neither handles nor ignores site"):
            await forgetful.apply(parse_facts(story.recorded), connection)


async def test_events_of_aggregates_that_it_does_not_read_pass_it_by(engine: AsyncEngine):
    facts = parse_facts(tell_everything().recorded)
    async with engine.begin() as connection:
        await parties.PROJECTION.apply([fact for fact in facts if not fact.tag.startswith("party.")], connection)
        rows = await connection.execute(text("SELECT count(*) FROM parties"))
        assert rows.scalar_one() == 0
        await parties.PROJECTION.apply(facts, connection)
        rows = await connection.execute(text("SELECT count(*) FROM parties"))
        assert rows.scalar_one() > 0


def test_what_a_projection_reads_is_what_it_names():
    for reads in ((), ("party", "order")):
        with pytest.raises(AssertionError, match="parties names event types of"):
            replace(parties.PROJECTION, reads=reads)


async def test_a_second_projector_fences_the_first(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.until(100))
    first = await project(engine, memory_log)
    second = await project(engine, memory_log)
    before = await dump(engine)
    with pytest.raises(Conflict, match="another writer changed projection parties first"):
        await first.apply(story.recorded[100:150])
    assert await dump(engine) == before
    await second.apply(story.recorded[100:150])
    assert second.position == 150


async def test_a_projector_that_falls_behind_one_projection_brings_it_up(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, PROJECTIONS[:3])
    await project(engine, memory_log)
    async with engine.connect() as connection:
        positions = await load_positions(connection)
    assert {position.position for position in positions} == {len(story.recorded)}
    assert len(positions) == len(PROJECTIONS)


async def test_commits_that_a_crash_undid_are_made_again(engine: AsyncEngine, memory_log: MemoryLog):
    """PostgreSQL answers before its commits are on disk; a crash takes rows and positions back together."""
    story = tell_everything()
    await fill(memory_log, story.until(120))
    await project(engine, memory_log)
    projector = await project(engine, memory_log)
    await fill(memory_log, story.recorded)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE projection_positions SET position = 0, epoch = 1"))
        await connection.execute(text(f"TRUNCATE {', '.join(await dump(engine))}"))
    earlier = Projector(MemoryLog(), engine, PROJECTIONS)
    await earlier.claim()
    await earlier.apply(story.until(70))
    await projector.apply(story.recorded[120:150])
    assert projector.position == 150
    for projection in PROJECTIONS:
        assert (await verify(projection, memory_log, engine)).differences == ()


async def test_a_reader_waits_for_its_own_write(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.until(50))
    projector = Projector(memory_log, engine, PROJECTIONS)
    running = asyncio.create_task(projector.run())
    async with watch(engine, PROJECTIONS) as followed:
        await followed.wait_for(50, PATIENCE_SECONDS)
        with pytest.raises(Unavailable, match=r"did not reach 51 within 0\.2"):
            await followed.wait_for(51, 0.2)
        waiting = asyncio.create_task(followed.wait_for(len(story.recorded), PATIENCE_SECONDS))
        await fill(memory_log, story.recorded)
        await waiting
        assert followed.position == len(story.recorded)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_projector_outlives_a_restart_of_postgresql(
    memory_log: MemoryLog, postgres_server: PostgresServer, database_url: str
):
    engine = build_engine(database_url)
    story = tell_everything()
    await fill(memory_log, story.until(60))
    projector = Projector(memory_log, engine, PROJECTIONS)
    running = asyncio.create_task(projector.run())
    async with watch(engine, PROJECTIONS) as followed:
        await followed.wait_for(60, PATIENCE_SECONDS)
        admin = await postgres_server.connect()
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1"
        assert await admin.fetchval(ended, engine.url.database) >= 1
        await admin.close()
        await fill(memory_log, story.recorded)
        await asyncio.sleep(0.1)
        await _wait_through(followed, len(story.recorded))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await engine.dispose()


async def test_without_postgresql_the_projector_waits_and_reads_say_so(memory_log: MemoryLog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = build_engine(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing")
        running = asyncio.create_task(Projector(memory_log, engine, PROJECTIONS).run())
        with pytest.raises(Unavailable, match="PostgreSQL is unavailable"):
            await PositionWatch(engine, PROJECTIONS).wait_for(1, 5)
        await asyncio.sleep(0.3)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.dispose()


async def _wait_through(followed, position):
    for _ in range(20):
        try:
            return await followed.wait_for(position, PATIENCE_SECONDS)
        except Unavailable:
            await asyncio.sleep(0.1)
    raise AssertionError(f"the projections stayed at {followed.position}")
