"""A position without a message: readers name it, nothing is written, and an operator's recorded act ends that."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from marketplace.core.errors import Refusal, Unavailable, UnreadableEvent
from marketplace.domain.log import AcceptGap
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.execution.log_record import record
from marketplace.log import direct_get
from marketplace.log.annotations import AnnotatedLog, examine
from marketplace.log.archive import ArchiveWriter, Restored, read_archive, restore
from marketplace.log.codec import EMPTY_HASH, Chain, build_empty
from marketplace.log.connection import Connection
from marketplace.log.events import parse_event
from marketplace.log.gaps import LossEvidence, require_empty, require_loss_stated
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Log, Recorded
from tests.log.build import make_write, new_subject
from tests.log.cases import read_all
from tests.log.test_checks import GOOD, call
from tests.log.test_full_disk import get_pid, open_log
from tests.support.disk import SmallDisk, small_disk
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import delete_streams

LARGE = b'"%b"' % (b"x" * 900_000)
PLENTY = 9
"""Large events that fill one block of the store."""


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between looks at an empty position; the looks are as many as ever."""
    monkeypatch.setattr("marketplace.log.reader._EMPTY_PAUSE_SECONDS", 0.02)


@asynccontextmanager
async def full(folder: Path, *, before: int) -> AsyncIterator[tuple[NatsServers, int]]:
    """Yield servers whose disk was full as an append began a block of the store, and the position that is empty."""
    with small_disk(folder) as disk:
        async with embedded_nats(disk.folder / "nats", free_bytes_min=1) as servers:
            log = await open_log(servers, knows_servers=False)
            try:
                for _ in range(before):
                    await log.append([make_write(Head(new_subject()), LARGE)])
                await lose_an_append(servers, log, disk)
            finally:
                await log.close()
            await servers.restart(0)
            yield servers, before + 1


async def lose_an_append(servers: NatsServers, log: Log, disk) -> None:
    """Let an append find no room; where no disk may be mounted, store and delete it."""
    if isinstance(disk, SmallDisk):
        disk.fill(get_pid(servers))
        with pytest.raises(Unavailable):
            await log.append([make_write(Head(new_subject()), LARGE)])
        disk.free(get_pid(servers))
        return
    admin = await Connection.open(servers.admin_url, "tests-admin")
    await call(admin, "DELETE", {})
    await call(admin, "CREATE", GOOD | {"deny_delete": False})
    for _ in range((await log.health()).last_sequence + 1):
        last = await log.append([make_write(Head(new_subject()), LARGE)])
    await call(admin, "MSG.DELETE", {"seq": last})
    await call(admin, "UPDATE", GOOD)
    await admin.close()


@asynccontextmanager
async def opened(url: str, admin_url: str | None = None) -> AsyncIterator[AnnotatedLog]:
    stream = await JetStreamLog.open(url, admin_url=admin_url)
    try:
        yield await AnnotatedLog.open(stream)
    finally:
        await stream.close()


async def accept(log: Log, sequence: int, *, event_is_lost: bool = False) -> int:
    """Accept a gap as the command line does."""
    await require_empty(log, sequence)
    evidence = LossEvidence(sequence)
    for recorded in await read_all(log):
        evidence.take(recorded)
    require_loss_stated(sequence, evidence.lost, event_is_lost=event_is_lost)
    return await record(log, AcceptGap(sequence=sequence, lost=tuple(evidence.lost), reason="the disk was full"))


async def append_one(log: Log) -> int:
    return await log.append([make_write(Head(new_subject()))])


def list_empty(events: list[Recorded]) -> list[tuple[int, bool]]:
    return [(event.sequence, event.void) for event in events if event.is_empty]


async def export(log: Log, path: Path) -> Path:
    with ArchiveWriter(path, (await log.health()).last_sequence) as archive:
        for event in await read_all(log):
            archive.add(event)
    return path


async def walk(log: Log) -> Chain:
    chain = Chain()
    for event in await read_all(log):
        chain.check(event)
    return chain


@pytest.mark.parametrize("before", [0, PLENTY])
async def test_a_position_that_a_full_disk_used_up_is_named_until_it_is_accepted(tmp_path, before):
    async with full(tmp_path, before=before) as (servers, gap):
        await check_named(servers.url, gap, before, tmp_path)
        await check_everywhere(servers.url, gap, tmp_path)


async def check_named(url: str, gap: int, before: int, folder: Path) -> None:
    async with opened(url) as log:
        health = await log.health()
        assert (health.empty, health.last_sequence, health.messages) == ((gap,), gap, before)
        assert f"`marketplace log accept-gap {gap} --reason" in health.append_failure
        with pytest.raises(Unavailable, match=rf"nothing was stored: position {gap} of the log is empty.*disk.*full"):
            await append_one(log)
        found = await read_all(log)
        assert [event.sequence for event in found] == list(range(1, gap + 1))
        assert list_empty(found) == [(gap, False)]
        with pytest.raises(UnreadableEvent, match=rf"position {gap} of the log is empty.*accept-gap {gap}"):
            parse_event(found[-1])
        with pytest.raises(UnreadableEvent, match=f"accept-gap {gap}"):
            await walk(log)
        with pytest.raises(UnreadableEvent, match=f"accept-gap {gap}"):
            await export(log, folder / "not.gz")
        assert await accept(log, gap) == gap + 1
        assert await append_one(log) == gap + 2
        assert (await log.health()).empty == ()


async def check_everywhere(url: str, gap: int, folder: Path) -> None:
    """Read the log anew, take it away and bring it back: the position stays empty, and all others as they are."""
    async with opened(url) as log:
        whole = await read_all(log)
        assert list_empty(whole) == [(gap, True)]
        assert await read_all(log, gap - 1) == whole[gap - 1 :]
        assert (await log.find(gap)).void
        chain = await walk(log)
        assert (chain.sequence, chain.empty, chain.annotated) == (gap + 2, 1, 0)
        file = await export(log, folder / "log.gz")
    assert list(read_archive(file)) == whole
    async with embedded_nats(folder / "again") as others, opened(others.url, others.admin_url) as again:
        assert await restore(again, file) == Restored(stored=gap + 2, found=0)
        assert await restore(again, file) == Restored(stored=0, found=gap + 2)
        assert await read_all(again) == whole
        assert (await walk(again)).empty == 1
        assert await append_one(again) == gap + 3
        assert list(read_archive(await export(again, folder / "more.gz")))[: gap + 2] == whole


async def test_one_who_follows_is_told_of_an_empty_end_and_of_what_comes_after_its_acceptance(tmp_path):
    async with full(tmp_path, before=0) as (servers, gap), opened(servers.url) as log:
        seen: list[Recorded] = []

        async def follow() -> None:
            async for page in log.read(0, follow=True):
                seen.extend(page)

        following = asyncio.create_task(follow())
        await wait_for(seen, 1)
        assert list_empty(seen) == [(gap, False)]
        await accept(log, gap)
        await append_one(log)
        await wait_for(seen, 3)
        assert [event.sequence for event in seen] == [1, 2, 3]
        following.cancel()


async def wait_for(seen: list[Recorded], count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(seen) < count:  # noqa: ASYNC110 - a list does not tell when it grows
            await asyncio.sleep(0.05)


@asynccontextmanager
async def holed(folder: Path, *sequences: int) -> AsyncIterator[tuple[NatsServers, str]]:
    """Yield servers whose log lacks some events of one subject and nothing of another, and that subject."""
    one, other = new_subject(), new_subject()
    async with embedded_nats(folder) as servers:
        admin = await Connection.open(servers.admin_url, "tests-admin")
        try:
            await call(admin, "CREATE", GOOD | {"deny_delete": False})
            bare = await open_unchecked(servers)
            heads = {one: Head(one), other: Head(other)}
            for number in range(8):
                subject = (one, other)[number % 2]
                write = make_write(heads[subject])
                await bare.append([write])
                heads[subject] = write.head
            await bare.close()
            for sequence in sequences:
                await call(admin, "MSG.DELETE", {"seq": sequence})
            await call(admin, "UPDATE", GOOD)
        finally:
            await admin.close()
        yield servers, one


async def open_unchecked(servers: NatsServers) -> JetStreamLog:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marketplace.log.jetstream.check_stream", lambda *_: None)
        return await JetStreamLog.open(servers.url)


@pytest.mark.parametrize("sequence", [1, 3, 5])
async def test_an_event_that_a_later_one_follows_is_called_lost_and_only_accepted_as_such(tmp_path, sequence):
    async with holed(tmp_path / "nats", sequence) as (servers, subject), opened(servers.url) as log:
        with pytest.raises(Refusal, match=rf"lost at position {sequence}: event {sequence + 2} follows it") as caught:
            await accept(log, sequence)
        assert caught.value.code == "event_lost"
        assert subject in caught.value.message
        await accept(log, sequence, event_is_lost=True)
        told = parse_event((await read_all(log))[-1])
        assert [(one.subject, one.known_from) for one in told.lost] == [(subject, f"event {sequence + 2} follows it")]
        with pytest.raises(UnreadableEvent, match=rf"event {sequence + 2} on {subject} .* it follows"):
            await walk(log)  # what rests on the lost event has to be annotated by itself
        assert await append_one(log) == 10


async def test_the_last_event_of_a_subject_leaves_no_proof(tmp_path):
    async with holed(tmp_path / "nats", 7) as (servers, _), opened(servers.url) as log:
        with pytest.raises(Refusal, match="nothing in the log proves") as caught:
            await accept(log, 7, event_is_lost=True)
        assert caught.value.code == "event_not_lost"
        await accept(log, 7)
        await walk(log)


async def test_what_is_no_gap_is_not_accepted_as_one(tmp_path):
    async with holed(tmp_path / "nats", 7) as (servers, _), opened(servers.url) as log:
        for sequence, code in ((6, "position_not_empty"), (9, "position_beyond_end")):
            with pytest.raises(Refusal) as caught:
                await accept(log, sequence)
            assert caught.value.code == code
        with pytest.raises(Refusal, match=re.escape("`marketplace log accept-gap 7")):
            await examine(log, 7)
        await accept(log, 7)
        with pytest.raises(Refusal) as caught:
            await record(log, AcceptGap(sequence=7, lost=(), reason="another reason"))
        assert caught.value.code == "gap_accepted"
        assert await accept(log, 7) == 9


async def test_several_gaps_are_accepted_one_by_one(tmp_path):
    async with holed(tmp_path / "nats", 1, 7, 8) as (servers, _), opened(servers.url) as log:
        assert (await log.health()).empty == (1, 7, 8)
        assert "2 more are empty: 7, 8" in (await log.health()).append_failure
        await accept(log, 1, event_is_lost=True)
        await accept(log, 7)
        with pytest.raises(Unavailable, match="position 8 of the log is empty"):
            await append_one(log)
        await accept(log, 8)
        assert await append_one(log) == 12


async def test_an_empty_position_is_the_same_for_every_reader(tmp_path):
    async with holed(tmp_path / "nats", 3) as (servers, _), opened(servers.url) as log:
        found = await log.find(3)
        assert found == build_empty(3) == (await read_all(log))[2]
        assert found.damage.hash == EMPTY_HASH
        assert await log.find(9) is None


async def test_a_reader_that_follows_waits_while_the_stream_has_no_leader(nats_server, monkeypatch):
    """A leader that is being chosen answers 10008; a worker that followed the log ended of it once."""
    async with opened(nats_server.url, nats_server.admin_url) as log:
        reader, asked = log.bare._reader, asyncio.Event()
        call_api, load_end = direct_get.call_api, reader._load_end

        async def have_no_leader(*_, check, **__):
            asked.set()
            return {"error": {"err_code": 10008, "description": "JetStream system temporarily unavailable"}}

        async def count_one_more():
            return await load_end() + 1

        found: list[Recorded] = []

        async def follow() -> None:
            async for page in log.read(0, follow=True):
                found.extend(page)

        following = asyncio.create_task(follow())
        try:
            with monkeypatch.context() as patch:
                patch.setattr(direct_get, "call_api", have_no_leader)
                patch.setattr(reader, "_load_end", count_one_more)
                await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
                await asyncio.sleep(0.2)
                assert not following.done()
            assert direct_get.call_api is call_api
            position = await append_one(log)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not found:  # noqa: ASYNC110 - the reader tells by a page
                    await asyncio.sleep(0.05)
            assert [event.sequence for event in found] == [position]
        finally:
            following.cancel()
    await delete_streams(nats_server)
