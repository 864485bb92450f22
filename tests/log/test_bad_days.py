"""Lost acknowledgements, dead servers, closed logs: nothing acknowledged is lost, nothing is stored twice."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import uvloop

from marketplace.core.errors import Conflict, Refusal, Unavailable
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.log.codec import verify_chain
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.pending import Guarded, PendingAppend
from marketplace.log.port import Head, Limits, Log, Write
from tests.log.build import Writers, make_write, make_writes, new_subject, read_hashes
from tests.log.cases import read_all
from tests.log.proxy import Proxy, open_proxy, through
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log


@asynccontextmanager
async def open_through_proxy(
    servers: NatsServers, limits: Limits | None = None
) -> AsyncIterator[tuple[JetStreamLog, JetStreamLog, Proxy]]:
    """Yield a log behind a proxy, the same log without it, and the proxy."""
    async with open_log(servers) as direct, open_proxy(servers) as proxy:
        log = await JetStreamLog.open(through(proxy, servers.url), limits=limits)
        yield log, direct, proxy
        await log.close()


async def lose_the_answers(log: Log, proxy: Proxy, writes: Sequence[Sequence[Write]]) -> list[int]:
    """Append while the server's answers are lost, then cut the connection and let it come back."""
    proxy.deaf = True
    proxy.sent.clear()
    appends = asyncio.gather(*(log.append(group) for group in writes))
    await proxy.sent.wait()
    await asyncio.sleep(0.1)
    proxy.deaf = False
    proxy.cut()
    return await asyncio.wait_for(appends, PATIENCE_SECONDS)


async def test_a_lost_connection_is_logged_once_and_again_when_it_is_back(nats_server: NatsServers) -> None:
    with structlog.testing.capture_logs() as told:
        async with open_through_proxy(nats_server) as (log, _, proxy):
            proxy.target_port, port = 1, proxy.target_port
            proxy.cut()
            await asyncio.sleep(2)
            proxy.target_port = port
            await log.append(make_writes(1))
    said = [line for line in told if line["event"].startswith("nats_")]
    assert [line["event"] for line in said if line["event"] != "nats_unreachable"] == ["nats_lost", "nats_back"]
    reasons = [line["reason"] for line in said if line["event"] == "nats_unreachable"]
    assert len(reasons) == len(set(reasons)) > 0
    assert not any("@" in reason for reason in reasons), "no address with a password"


def test_a_request_on_a_socket_that_just_closed_has_no_answer(nats_server: NatsServers) -> None:
    """nats-py notices a closed socket late. Until then uvloop, on which processes run, raises `RuntimeError`."""

    async def ask() -> None:
        connection = await Connection.open(nats_server.url, "test")
        client = connection.client
        for notices in (client._reading_task, client._flusher_task):
            assert notices is not None
            notices.cancel()
        assert client._transport is not None
        client._transport.close()
        await asyncio.sleep(0.05)
        with pytest.raises(NoAnswer, match="could not be sent"):
            await connection.request("test.nobody", seconds_max=PATIENCE_SECONDS)
        await connection.close()

    uvloop.run(ask())


@pytest.mark.parametrize("count", [1, 2, 1_000])
async def test_an_append_whose_answer_was_lost_is_stored_once(nats_server: NatsServers, count: int) -> None:
    async with open_through_proxy(nats_server) as (log, direct, proxy):
        writes = make_writes(count)
        assert await lose_the_answers(log, proxy, [writes]) == [count]
        assert [event.envelope.hash for event in await read_all(direct)] == read_hashes(writes)
        assert [write.head.sequence for write in writes] == list(range(1, count + 1))


@pytest.mark.parametrize("count", [5, 200])
async def test_appends_of_a_group_whose_answer_was_lost_are_each_stored_once(
    nats_server: NatsServers, count: int
) -> None:
    async with open_through_proxy(nats_server) as (log, direct, proxy):
        writes = make_writes(count)
        answers = await lose_the_answers(log, proxy, [[write] for write in writes])
        assert answers == list(range(1, count + 1))
        assert [event.envelope.hash for event in await read_all(direct)] == read_hashes(writes)


async def test_decisions_on_pending_heads_survive_a_lost_answer(nats_server: NatsServers) -> None:
    async with open_through_proxy(nats_server) as (log, direct, proxy):
        first = make_write(Head(new_subject()))
        second = make_write(first.head)
        await lose_the_answers(log, proxy, [[first], [second]])
        third = make_write(second.head)
        await log.append([third])
        assert [event.envelope.hash for event in await direct.load(first.after.subject)] == read_hashes(
            [first, second, third]
        )


async def test_a_server_that_hangs_is_asked_again(nats_server: NatsServers) -> None:
    async with open_through_proxy(nats_server, Limits(ack_seconds_max=0.2)) as (log, direct, proxy):
        proxy.deaf = True
        writes = make_writes(3)
        append = asyncio.create_task(log.append(writes))
        await asyncio.sleep(0.7)
        proxy.deaf = False
        assert await append == 3
        assert [event.envelope.hash for event in await read_all(direct)] == read_hashes(writes)


async def test_a_rival_that_came_first_while_the_answer_was_lost_is_a_conflict(nats_server: NatsServers) -> None:
    async with open_through_proxy(nats_server) as (log, direct, proxy):
        subject = new_subject()
        proxy.cut()
        late = asyncio.create_task(log.append([make_write(Head(subject))]))
        rival = make_write(Head(subject))
        await direct.append([rival])
        outcome = (await asyncio.gather(late, return_exceptions=True))[0]
        stored = await direct.load(subject)
        assert isinstance(outcome, Conflict)
        assert [event.envelope.hash for event in stored] == read_hashes([rival])


async def test_nobody_says_that_nothing_was_stored_where_an_answer_was_lost(nats_server: NatsServers) -> None:
    limits = Limits(ack_seconds_max=0.2, append_seconds_max=1.0)
    async with open_through_proxy(nats_server, limits) as (log, direct, proxy):
        writes = make_writes(2)
        proxy.deaf = True
        answers = await asyncio.gather(*(log.append([write]) for write in writes), return_exceptions=True)
        proxy.deaf = False
        assert [type(answer) for answer in answers] == [Unavailable] * 2
        assert all("it is not known whether it was stored" in str(answer) for answer in answers)
        assert len(await read_all(direct)) == 2


async def test_an_append_that_is_given_up_does_not_take_its_group_with_it(nats_server: NatsServers) -> None:
    async with open_through_proxy(nats_server, Limits(ack_seconds_max=0.2)) as (log, direct, proxy):
        seconds = {"old": 0.5, "dependent": PATIENCE_SECONDS, "young": PATIENCE_SECONDS}
        old, young = make_writes(2)
        writes = (old, make_write(old.head), young)
        now = time.monotonic()
        group = [
            PendingAppend((write,), 1, 10, now + seconds_max)
            for write, seconds_max in zip(writes, seconds.values(), strict=True)
        ]
        proxy.deaf = True
        storing = asyncio.create_task(log._appender._store(group))
        answers = [append.answer for append in group]
        with pytest.raises(Unavailable, match="it is not known whether it was stored"):
            await answers[0]
        with pytest.raises(Conflict):
            await answers[1]
        assert not answers[2].done()
        proxy.deaf = False
        assert await asyncio.wait_for(answers[2], PATIENCE_SECONDS) == 3
        await storing
        assert len(await read_all(direct)) == 3


async def test_an_append_is_given_up_in_time_and_can_be_repeated(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers, Limits(append_seconds_max=2.0)) as log:
        await log.append(make_writes(1))
        servers.kill(0)
        write = make_write(Head(new_subject()))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="NATS"):
            await log.append([write])
        assert time.monotonic() - began < PATIENCE_SECONDS / 3
        assert write.head.failed
        with pytest.raises(Conflict):
            await log.append([make_write(write.head)])
        with pytest.raises(Unavailable, match="nothing was stored"):
            await log.append(make_writes(1))
        await servers.start(0)
        again = Write(Head(write.after.subject), write.messages, Head(write.after.subject, None, write.head.hash))
        await log.append([again])
        assert len(await log.load(write.after.subject)) == 1


async def test_closing_while_the_server_is_away_fails_what_is_queued_and_ends(tmp_path: Path) -> None:
    limits = Limits(append_seconds_max=0.5)
    async with embedded_nats(tmp_path / "nats") as servers:
        log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url, limits=limits)
        servers.kill(0)
        appends = [asyncio.create_task(log.append([write])) for write in make_writes(3)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await log.close()
        assert time.monotonic() - began < PATIENCE_SECONDS / 3
        answers = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 3


async def test_reads_say_unavailable_while_the_server_is_away(tmp_path: Path) -> None:
    limits = Limits(ack_seconds_max=1.0, append_seconds_max=2.0)
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers, limits) as log:
        await log.append(make_writes(1))
        servers.kill(0)
        await asyncio.sleep(0.1)
        for attempt in (log.health(), log.load("marketplace.order.ord_1"), log.find(1), read_all(log)):
            with pytest.raises(Unavailable):
                await attempt
        await servers.start(0)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                assert (await log.health()).messages == 1
                break
            except Unavailable:
                await asyncio.sleep(0.05)
        assert len(await read_all(log)) == 1


@pytest.mark.parametrize("at_once", [1, 6, 100])
async def test_a_killed_server_loses_no_acknowledged_event_and_stores_none_twice(tmp_path: Path, at_once: int) -> None:
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers) as log:
        writers = Writers(log, at_once)
        for _ in range(4):
            before = len(writers.acknowledged)
            while len(writers.acknowledged) < before + at_once:  # noqa: ASYNC110 - the writers are the ones to wait for
                await asyncio.sleep(0.005)
            servers.kill(0)
            await servers.start(0)
        await writers.stop(PATIENCE_SECONDS)
        events = await read_all(log)
        stored = [event.envelope.hash for event in events]
        assert len(set(stored)) == len(stored)
        assert sorted(stored) == sorted(writers.acknowledged)
        assert verify_chain(events) == len(writers.acknowledged)


async def test_following_goes_on_after_the_server_was_killed_without_gap_or_repeat(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers, open_log(servers) as log:
        seen: list[int] = []

        async def follow() -> None:
            async for page in log.read(follow=True):
                seen.extend(event.sequence for event in page)
                if len(seen) >= 600:
                    return

        follower = asyncio.create_task(follow())
        for _ in range(3):
            await log.append(make_writes(100))
            servers.kill(0)
            await servers.start(0)
            await log.append(make_writes(100))
        await asyncio.wait_for(follower, PATIENCE_SECONDS)
        assert seen == list(range(1, 601))


async def test_a_log_cannot_be_opened_while_no_server_answers(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as servers:
        url = servers.url
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no server accepts connections at 127"):
        await JetStreamLog.open(url)
    assert time.monotonic() - began < PATIENCE_SECONDS / 3


async def test_a_queue_that_is_full_refuses_more(jetstream_log: JetStreamLog, nats_server: NatsServers) -> None:
    log = await JetStreamLog.open(nats_server.url, limits=Limits(queue_appends_max=10))
    answers = await asyncio.gather(*(log.append([write]) for write in make_writes(30)), return_exceptions=True)
    await log.close()
    assert [type(answer) for answer in answers] == [int] * 10 + [Unavailable] * 20
    assert (await jetstream_log.health()).messages == 10


async def test_closing_finishes_what_is_queued_and_takes_no_more(
    jetstream_log: JetStreamLog, nats_server: NatsServers
) -> None:
    log = await JetStreamLog.open(nats_server.url, limits=Limits(append_seconds_max=PATIENCE_SECONDS))
    appends = asyncio.gather(*(log.append([write]) for write in make_writes(2_500)))
    await asyncio.sleep(0)
    await log.close()
    assert await appends == list(range(1, 2_501))
    with pytest.raises(Unavailable, match="closed"):
        await log.append(make_writes(1))


async def test_a_caller_that_leaves_does_not_hold_up_those_who_build_on_it(jetstream_log: JetStreamLog) -> None:
    first = make_write(Head(new_subject()))
    second = make_write(first.head)
    left = asyncio.create_task(jetstream_log.append([first]))
    stayed = asyncio.create_task(jetstream_log.append([second]))
    await asyncio.sleep(0)
    left.cancel()
    assert await stayed == 2
    assert left.cancelled()


async def test_what_was_sent_does_not_wait_for_the_garbage_collector(jetstream_log: JetStreamLog) -> None:
    await jetstream_log.append(make_writes(1))
    gc.collect()
    gc.disable()
    try:
        others = [one for one in gc.get_objects() if type(one) is Guarded]  # other tests of this process keep them
        await jetstream_log.append(make_writes(2))
        left = [one for one in gc.get_objects() if type(one) is Guarded and not any(one is other for other in others)]
        assert not left
    finally:
        gc.enable()


async def test_an_event_above_the_servers_limit_is_refused_before_it_is_sent(jetstream_log: JetStreamLog) -> None:
    large = make_write(Head(new_subject()), b'"%b"' % (b"x" * 9_000_000))
    with pytest.raises(Refusal, match="the log accepts 838"):
        await jetstream_log.append([large])
    await jetstream_log.append(make_writes(1))
