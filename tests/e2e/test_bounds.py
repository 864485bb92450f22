"""An API process beside thousands of silent connections, slow ones and event streams: it answers all the same."""

import asyncio
import re
import resource
import subprocess
import sys
import time
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api_processes import running_apis
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

SILENT, SLOW, STREAMS = 2_000, 200, 150
STREAMS_MAX, PER_ADDRESS_MAX = 64, 512
ANSWER_SECONDS_MAX = 5.0
SECONDS_MAX = 500
FILES = 4_096
SHARE_MIN = 0.35
"""Of the rate of orders: on a quiet machine 0.8 is left. A crowd whose sockets cost time leaves almost nothing."""
pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture
def _files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(FILES, hard) if hard != resource.RLIM_INFINITY else FILES, hard)
        )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Connections of one address that do not behave."""

    def __init__(self, url: str) -> None:
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.writers: list[asyncio.StreamWriter] = []
        self.readers: list[asyncio.StreamReader] = []

    async def open(self, count: int, sent: bytes = b"") -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.write(sent)
            self.writers.append(writer)
            self.readers.append(reader)

    async def drip(self) -> None:
        while True:
            for writer in self.writers[SILENT:]:
                with suppress(ConnectionError):
                    writer.write(b"a")
            await asyncio.sleep(0.5)

    def count_open(self) -> int:
        return sum(not reader.at_eof() and reader.exception() is None for reader in self.readers)

    def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


async def register(client: httpx.AsyncClient, name: str) -> float:
    began = time.monotonic()
    body = {"name": name, "roles": ["startup"], "jurisdiction": "US"}
    answer = await client.post("/v1/parties", json=body, headers={"Idempotency-Key": name})
    assert answer.status_code == 201, answer.text
    return time.monotonic() - began


@pytest.mark.usefixtures("_files")
async def test_health_answers_and_commands_go_on_beside_a_crowd(tmp_path, nats_server, database_url):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_log(nats_server))
        apis = await stack.enter_async_context(running_apis(tmp_path, nats_server, database_url))
        client = await stack.enter_async_context(apis.open_client(0))
        crowd = Crowd(apis.urls[0])
        stack.callback(crowd.close)
        await crowd.open(SILENT)
        await crowd.open(SLOW // 2, b"GET /health/live HTTP/1.1\r\nHost: a\r\nx-slow: ")
        head = (
            f"POST /v1/parties HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {apis.admin_key}\r\nIdempotency-Key: k\r\n"
        )
        await crowd.open(SLOW // 2, f"{head}Content-Type: application/json\r\nContent-Length: 900\r\n\r\n".encode())
        dripping = asyncio.create_task(crowd.drip())
        stack.callback(dripping.cancel)
        streams = await open_streams(stack, apis.open_client(0, limits=httpx.Limits(max_connections=STREAMS)))
        for number in range(20):
            began = time.monotonic()
            async with apis.open_client(0) as stranger:
                assert (await stranger.get("/health/live")).status_code == 200
            assert time.monotonic() - began < ANSWER_SECONDS_MAX
            assert await register(client, f"party-{number}") < ANSWER_SECONDS_MAX
        assert crowd.count_open() <= PER_ADDRESS_MAX
        for stream in streams:
            assert b"id: 1\n" in await asyncio.wait_for(anext(stream), PATIENCE_SECONDS)
        metrics = (await client.get("/metrics")).text
        assert f"marketplace_event_streams {STREAMS_MAX:.1f}" in metrics
        assert "marketplace_http_connections_refused 0.0" in metrics


@pytest.mark.timeout(600)
def test_orders_go_on_at_their_rate_beside_sockets_and_streams_that_are_all_held():
    options = ("--rounds", "2", "--seconds", "2")
    command = [sys.executable, "-m", "benchmarks.crowd", *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert ran.returncode == 0, ran.stderr
    for kind, count in (("idle", SILENT), ("slow", SLOW)):
        found = re.findall(rf"^{kind}: (\d+) of {count} were open at the end", ran.stdout, re.MULTILINE)
        assert all(int(each) >= count * 0.9 for each in found), "some are being opened again"
        assert len(found) == 2, ran.stdout
    assert ran.stdout.count("stream: 500 of 500 were held to the end") == 2, ran.stdout
    arrived = re.findall(r"^(\d+) deposits arrived at streams", ran.stdout, re.MULTILINE)
    assert len(arrived) == 2
    (share,) = re.findall(r"^ratio: ([\d.]+)$", ran.stdout, re.MULTILINE)
    assert float(share) >= SHARE_MIN, ran.stdout


async def open_streams(stack: AsyncExitStack, client: httpx.AsyncClient) -> list:
    """Open more streams of one key than it may have, and return those that were let in."""
    await stack.enter_async_context(client)
    opened = []
    for number in range(STREAMS):
        stream = client.stream("GET", "/v1/events", headers={"Accept": "text/event-stream"})
        answer = await stack.enter_async_context(stream)
        if number < STREAMS_MAX:
            assert answer.status_code == 200, number
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"retry: 1000\n\n"
            opened.append(chunks)
        else:
            assert answer.status_code == 429, number
            assert answer.headers["retry-after"] == "5"
            assert b'"code":"streams_exhausted"' in await answer.aread()
    return opened
