"""A log that went back, or is another one, on a real server whose store is put back or exchanged."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from marketplace.core.errors import LogChanged
from marketplace.embedded.nats import embedded_nats
from marketplace.log.annotations import AnnotatedLog
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head
from marketplace.log.watched import Mark, WatchedLog
from tests.log.build import make_write, make_writes, new_subject
from tests.support.patience import PATIENCE_SECONDS

STORE = Path("server-1") / "store"


@asynccontextmanager
async def opened(url: str, admin_url: str, *marks: Mark) -> AsyncIterator[WatchedLog]:
    stream = await JetStreamLog.open(url, admin_url=admin_url)

    async def load_marks():
        return marks

    try:
        yield WatchedLog(
            await AnnotatedLog.open(stream), count_reconnections=stream.count_reconnections, load_marks=load_marks
        )
    finally:
        await stream.close()


async def write_and_copy(folder: Path, copy: Path) -> Mark:
    """Leave a store of 714 events in a folder, one of its first 345 in another, and return what was seen last."""
    async with embedded_nats(folder) as servers, opened(servers.url, servers.admin_url) as log:
        await log.append(make_writes(345))
    shutil.copytree(folder, copy)
    async with embedded_nats(folder) as servers, opened(servers.url, servers.admin_url) as log:
        await log.start()
        writes = make_writes(369)
        assert await log.append(writes) == 714
        first = await log.find(1)
        return Mark("PostgreSQL", 714, writes[-1].head.hash, first.envelope.hash)


def put_back(folder: Path, copy: Path) -> None:
    shutil.rmtree(folder / STORE)
    shutil.copytree(copy / STORE, folder / STORE)


async def test_a_store_that_was_put_back_is_found_at_the_start(tmp_path: Path):
    seen = await write_and_copy(tmp_path / "nats", tmp_path / "copy")
    async with embedded_nats(tmp_path / "nats") as servers, opened(servers.url, servers.admin_url, seen) as log:
        await log.start()
    put_back(tmp_path / "nats", tmp_path / "copy")
    async with embedded_nats(tmp_path / "nats") as servers, opened(servers.url, servers.admin_url, seen) as log:
        with pytest.raises(LogChanged, match=r"PostgreSQL has seen event 714 .* it ends at event 345") as caught:
            await log.start()
        assert caught.value.code == "log_rolled_back"
        with pytest.raises(LogChanged):
            await log.append(make_writes(1))


async def test_a_store_that_was_put_back_and_went_on_is_found_by_the_hash(tmp_path: Path):
    seen = await write_and_copy(tmp_path / "nats", tmp_path / "copy")
    put_back(tmp_path / "nats", tmp_path / "copy")
    async with embedded_nats(tmp_path / "nats") as servers, opened(servers.url, servers.admin_url, seen) as log:
        await JetStreamLog.append(log._log.bare, make_writes(500))  # who does not compare
        with pytest.raises(LogChanged, match="event 714 has the hash") as caught:
            await log.start()
        assert caught.value.code == "log_rolled_back"


async def test_another_log_under_the_same_name_is_found(tmp_path: Path):
    seen = await write_and_copy(tmp_path / "nats", tmp_path / "copy")
    async with embedded_nats(tmp_path / "other") as servers, opened(servers.url, servers.admin_url, seen) as log:
        await log._log.append(make_writes(800))
        with pytest.raises(LogChanged, match="this is another log under the same name") as caught:
            await log.start()
        assert caught.value.code == "log_replaced"


@pytest.mark.parametrize("idle", [True, False])
async def test_a_store_that_is_put_back_under_a_running_process_takes_no_append(tmp_path: Path, idle: bool):
    """The server comes back on its port with an old store, as after a disk was restored."""
    await write_and_copy(tmp_path / "nats", tmp_path / "copy")
    async with embedded_nats(tmp_path / "nats") as servers:
        log_of = opened(servers.url, servers.admin_url)
        log = await log_of.__aenter__()
        await log.start()
        held = make_write(Head(new_subject()))
        await log.append([held])
        servers.kill(0)
        put_back(tmp_path / "nats", tmp_path / "copy")
        await servers.start(0)
        if idle:
            with pytest.raises(LogChanged, match="this process has seen event 715"):
                await asyncio.wait_for(log.watch(), PATIENCE_SECONDS)
        else:
            for write in (make_write(Head(new_subject())), make_write(held.head)):
                with pytest.raises(LogChanged, match=r"log_rolled_back.*it ends at event 34[56]"):
                    await asyncio.wait_for(log.append([write]), PATIENCE_SECONDS)
        await log_of.__aexit__(None, None, None)


async def test_an_honest_restart_of_the_server_is_no_change(tmp_path: Path):
    async with embedded_nats(tmp_path / "nats") as servers, opened(servers.url, servers.admin_url) as log:
        await log.start()
        for _ in range(3):
            head = make_write(Head(new_subject()))
            await log.append([head])
            servers.kill(0)
            await servers.start(0)
            await log.append([make_write(head.head)])
            await log.check()
