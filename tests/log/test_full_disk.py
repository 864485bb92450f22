"""A disk without room: appends fail soon and say which disk, reads go on, and a restart of the server ends it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from marketplace.core.errors import Unavailable
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Limits
from tests.log.build import make_write, new_subject
from tests.support.disk import LimitedFiles, SmallDisk, small_disk
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import delete_streams

LIMITS = Limits(ack_seconds_max=2.0, append_seconds_max=20.0)
BOUND_SECONDS = 12.0
"""Far below the time after which an append is given up; a loaded machine polls late."""


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | LimitedFiles]:
    if request.param == "limited":
        (tmp_path / "disk").mkdir()
        yield LimitedFiles(tmp_path / "disk")
        return
    with small_disk(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def servers(disk: SmallDisk | LimitedFiles) -> AsyncIterator[NatsServers]:
    async with embedded_nats(disk.folder / "nats", free_bytes_min=1) as running:
        yield running


async def open_log(servers: NatsServers, *, knows_servers: bool = True) -> JetStreamLog:
    system_url = servers.system_url if knows_servers else None
    limits = LIMITS if knows_servers else replace(LIMITS, append_seconds_max=3.0)
    return await JetStreamLog.open(servers.url, admin_url=servers.admin_url, system_url=system_url, limits=limits)


def get_pid(servers: NatsServers) -> int:
    child = servers.members[0].child
    assert child is not None
    return child.pid


async def append_until_it_fails(log: JetStreamLog) -> tuple[str, float]:
    """Return the text of the first append that fails, and how long it took."""
    for _ in range(2_000):
        begun = time.monotonic()
        try:
            await log.append([make_write(Head(new_subject()))])
        except Unavailable as error:
            return str(error), time.monotonic() - begun
    raise AssertionError("every append was acknowledged")


async def test_an_append_to_a_full_disk_fails_soon_and_names_the_disk(servers, disk):
    log = await open_log(servers)
    try:
        first = make_write(Head(new_subject()), b"1", b"2", b"3")
        await log.append([first])
        disk.fill(get_pid(servers))
        said, seconds = await append_until_it_fails(log)
        assert seconds < BOUND_SECONDS
        assert str(servers.members[0].folder / "store") in said
        assert ("marketplace-1 is full" if disk.is_mounted else "marketplace-1 cannot write") in said
        assert "bytes are free" in said
        begun = time.monotonic()
        refused = make_write(Head(new_subject()))
        with pytest.raises(
            Unavailable, match=r"nothing was stored: .*nats-server marketplace-1 (is full|cannot write)"
        ):
            await log.append([refused])
        assert refused.head.failed
        assert time.monotonic() - begun < 1
        assert "marketplace-1" in (await log.health()).append_failure
        assert [event.sequence for event in await log.load(first.after.subject)] == [1, 2, 3]
    finally:
        await log.close()


async def test_once_there_is_room_and_the_server_was_restarted_appends_are_stored(servers, disk):
    log = await open_log(servers)
    try:
        disk.fill(get_pid(servers))
        await append_until_it_fails(log)
        disk.free(get_pid(servers))
        child = servers.members[0].child
        await servers.restart(0)
        assert servers.members[0].child is not child
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await log.health()).append_failure:  # noqa: ASYNC110 - the watch asks once a second
                await asyncio.sleep(0.1)
        stored = make_write(Head(new_subject()), b"1", b"2")
        position = await log.append([stored])
        assert [event.sequence for event in await log.load(stored.after.subject)] == [position - 1, position]
    finally:
        await log.close()


async def test_room_that_is_made_before_a_write_failed_needs_no_restart(nats_server, monkeypatch):
    log = await open_log(nats_server)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("marketplace.log.storage.FREE_BYTES_LEAST", 10**18)
            said, _ = await append_until_it_fails(log)
        assert "is full" in said
        assert f"and {10**18} are needed" in said
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await log.health()).append_failure:  # noqa: ASYNC110 - the watch asks once a second
                await asyncio.sleep(0.1)
        await log.append([make_write(Head(new_subject()))])
    finally:
        await log.close()
        await delete_streams(nats_server)


async def test_without_a_user_of_the_system_account_failures_are_still_seen(servers, disk):
    log = await open_log(servers, knows_servers=False)
    try:
        assert not (await log.health()).append_failure
        disk.fill(get_pid(servers))
        await append_until_it_fails(log)
        assert "no answer to an append" in (await log.health()).append_failure
    finally:
        await log.close()


async def test_a_log_that_may_grow_no_more_says_so_while_room_is_left_for_the_servers_own_files(tmp_path, monkeypatch):
    monkeypatch.setattr("marketplace.embedded.nats._measure_room", lambda *_: 100_000)
    async with embedded_nats(tmp_path / "nats") as servers:
        log = await open_log(servers)
        try:
            said, seconds = await append_until_it_fails(log)
            assert seconds < BOUND_SECONDS
            assert "insufficient resources" in said
            assert "of the 100000 bytes that it may store in" in said
            assert "insufficient resources" in (await log.health()).append_failure
        finally:
            await log.close()
