"""The log on a cluster of three that has never seen it: many processes begin at once, on any of the servers."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from marketplace.embedded.nats import embedded_nats
from marketplace.log.jetstream import JetStreamLog

pytestmark = pytest.mark.xdist_group("nats-cluster")


async def test_processes_that_begin_at_once_make_one_stream(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats", servers=3) as servers:
        urls = servers.admin_url.split(",")
        async with AsyncExitStack() as stack:

            async def open_log(url: str) -> JetStreamLog:
                log = await JetStreamLog.open(url, replicas=3)
                stack.push_async_callback(log.close)
                return log

            async with asyncio.TaskGroup() as tasks:
                opened = [tasks.create_task(open_log(urls[at % 3])) for at in range(9)]
            assert {(await task.result().health()).replicas for task in opened} == {3}
