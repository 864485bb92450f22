"""The log on a cluster of three that has never seen it: many processes begin at once, on any of the servers."""

import asyncio
from pathlib import Path

import pytest

from marketplace.embedded import embedded_nats
from marketplace.log.jetstream import JetStreamLog

pytestmark = pytest.mark.xdist_group("nats-cluster")


async def test_processes_that_begin_at_once_make_one_stream(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats", servers=3) as servers:
        urls = servers.admin_url.split(",")
        opening = (JetStreamLog.open(urls[at % 3], replicas=3) for at in range(9))
        logs = await asyncio.gather(*opening)
        assert {(await log.health()).replicas for log in logs} == {3}
        for log in logs:
            await log.close()
