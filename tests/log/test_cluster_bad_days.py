"""Leaders that change and members that die while the log is written and followed, on a cluster of three."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from marketplace.core.errors import LogChanged, Unavailable
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.log.annotations import AnnotatedLog
from marketplace.log.codec import verify_chain
from marketplace.log.connection import Connection, call_api
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Limits
from marketplace.log.watched import Mark, WatchedLog
from tests.log.build import Writers, make_write, make_writes, new_subject
from tests.log.cases import read_all
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

pytestmark = pytest.mark.xdist_group("nats-cluster")


@pytest_asyncio.fixture
async def admin(nats_cluster: NatsServers) -> AsyncIterator[Connection]:
    connection = await Connection.open(nats_cluster.admin_url, "tests-admin")
    yield connection
    await connection.close()


async def find_leader(admin: Connection) -> str:
    """Return the name of the leader, once there is one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Unavailable):
                info = await call_api(admin, "$JS.API.STREAM.INFO.MARKETPLACE", None, seconds_max=5)
                cluster = info.get("cluster")
                if isinstance(cluster, dict) and (leader := cluster.get("leader")):
                    return str(leader)
            await asyncio.sleep(0.05)


async def change_leader(admin: Connection) -> None:
    with contextlib.suppress(Unavailable):
        await call_api(admin, "$JS.API.STREAM.LEADER.STEPDOWN.MARKETPLACE", {}, seconds_max=2)


async def write_while(log: JetStreamLog, at_once: int, disturb: Callable[[], Awaitable[None]]) -> list[str]:
    """Write chains of events until the disturbance is over, and return the hashes that were acknowledged."""
    writers = Writers(log, at_once)
    await asyncio.sleep(0.2)
    await disturb()
    await asyncio.sleep(0.2)
    await writers.stop(PATIENCE_SECONDS)
    return writers.acknowledged


async def check_exactly_once(log: JetStreamLog, acknowledged: list[str]) -> None:
    events = await read_all(log)
    stored = [event.envelope.hash for event in events]
    assert len(set(stored)) == len(stored)
    assert sorted(stored) == sorted(acknowledged)
    assert verify_chain(events) == len(acknowledged)


async def wait_for_warnings(log: JetStreamLog) -> tuple[str, ...]:
    """Return what the health warns of, once a leader was elected (four to nine seconds) and has missed a member."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Unavailable):
                if warnings := (await log.health()).warnings:
                    return warnings
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("at_once", [1, 50])
async def test_nothing_is_lost_or_doubled_while_leaders_change(
    jetstream_cluster_log: JetStreamLog, admin: Connection, at_once: int
) -> None:
    leaders: set[str] = set()

    async def disturb() -> None:
        changes = 0
        while changes < 6 or len(leaders) == 1:
            await change_leader(admin)
            await asyncio.sleep(0.3)
            leaders.add(await find_leader(admin))
            changes += 1

    acknowledged = await write_while(jetstream_cluster_log, at_once, disturb)
    await check_exactly_once(jetstream_cluster_log, acknowledged)


async def test_guards_hold_while_leaders_change(
    jetstream_cluster_log: JetStreamLog, nats_cluster: NatsServers, admin: Connection
) -> None:
    patient = Limits(append_seconds_max=PATIENCE_SECONDS)
    logs = [await JetStreamLog.open(nats_cluster.url, replicas=3, limits=patient) for _ in range(2)]
    subject, stop = new_subject(), asyncio.Event()
    won: list[int] = []

    async def rival(log: JetStreamLog) -> None:
        while not stop.is_set():
            try:
                events = await log.load(subject)
            except Unavailable:
                continue
            head = Head(subject, events[-1].sequence, events[-1].envelope.hash) if events else Head(subject)
            outcome = (await asyncio.gather(log.append([make_write(head)]), return_exceptions=True))[0]
            if isinstance(outcome, int):
                won.append(outcome)

    rivals = asyncio.gather(*(rival(log) for log in logs for _ in range(3)))
    for _ in range(4):
        await asyncio.sleep(0.3)
        await change_leader(admin)
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.wait_for(rivals, PATIENCE_SECONDS)
    for log in logs:
        await log.close()
    events = await jetstream_cluster_log.load(subject)
    assert sorted(won) == [event.sequence for event in events]
    assert verify_chain(events) == len(won)


async def test_following_goes_on_while_leaders_change(jetstream_cluster_log: JetStreamLog, admin: Connection) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for page in jetstream_cluster_log.read(follow=True):
            seen.extend(event.sequence for event in page)
            if len(seen) >= 500:
                return

    follower = asyncio.create_task(follow())
    for _ in range(5):
        await jetstream_cluster_log.append(make_writes(100))
        await change_leader(admin)
    await asyncio.wait_for(follower, PATIENCE_SECONDS)
    assert seen == list(range(1, 501))


async def test_the_loss_of_one_of_three_is_survived_and_told(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats", servers=3) as servers, open_log(servers) as log:
        admin = await Connection.open(servers.admin_url, "tests-admin")
        names = [member.name for member in servers.members]

        async def disturb() -> None:
            leader = names.index(await find_leader(admin))
            servers.kill(leader)
            assert await wait_for_warnings(log) == (f"replica {names[leader]} is behind or missing",)
            await servers.start(leader)

        acknowledged = await write_while(log, 10, disturb)
        await check_exactly_once(log, acknowledged)
        await admin.close()


async def test_without_a_majority_nothing_is_acknowledged_and_all_is_well_after(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats", servers=3) as servers, open_log(servers) as log:
        await log.append(make_writes(10))
        for index in (0, 1):
            servers.kill(index)
        append = asyncio.create_task(log.append(make_writes(5)))
        await asyncio.sleep(1)
        assert not append.done()
        for index in (0, 1):
            await servers.start(index)
        assert await asyncio.wait_for(append, PATIENCE_SECONDS) == 15
        assert [event.sequence for event in await read_all(log)] == list(range(1, 16))


async def test_a_log_that_needs_more_servers_than_have_found_each_other_waits_for_them(tmp_path: Path) -> None:
    limits = Limits(append_seconds_max=1)
    async with embedded_nats(tmp_path / "nats", servers=3) as servers:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="WIDE cannot be created now: no suitable peers"):
            await JetStreamLog.open(servers.url, stream="WIDE", replicas=5, admin_url=servers.admin_url, limits=limits)
        assert time.monotonic() - began >= limits.append_seconds_max


async def check_patiently(log: WatchedLog) -> None:
    """Compare the log once a leader answers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Unavailable):
                return await log.check()


async def test_a_leader_that_lost_its_majority_is_no_evidence_that_the_log_went_back(
    nats_cluster: NatsServers, admin: Connection, jetstream_cluster_log: JetStreamLog
) -> None:
    """It goes on answering for some 20 s, and does not have what the others store meanwhile."""
    await jetstream_cluster_log.append(make_writes(3))
    leader = await find_leader(admin)
    names = [member.name for member in nats_cluster.members]
    others = [member.child.pid for member in nats_cluster.members if member.name != leader and member.child is not None]
    later = make_write(Head(new_subject()))
    marks = [Mark("PostgreSQL", 4, "")]

    async def load_marks() -> list[Mark]:
        return marks

    bare = await JetStreamLog.open(nats_cluster.url.split(",")[names.index(leader)], replicas=3)
    log = WatchedLog(await AnnotatedLog.open(bare), load_marks=load_marks)
    try:
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2)
        assert (await bare.health()).silence_seconds > 1
        with contextlib.suppress(Unavailable, TimeoutError):
            await asyncio.wait_for(log.check(), 6)
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    await jetstream_cluster_log.append([later])
    marks[:] = [Mark("PostgreSQL", 4, later.head.hash)]
    await check_patiently(log)
    marks[:] = [Mark("PostgreSQL", 5, later.head.hash)]
    with pytest.raises(LogChanged, match="it ends at event 4"):
        await check_patiently(log)
    await bare.close()
