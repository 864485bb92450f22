"""The HTTP server bounds what a connection costs: raw sockets against a small application on the real server."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from marketplace.api.http.connections import Connections
from marketplace.api.http.errors import load_errors
from marketplace.api.http.server import ApiServer
from marketplace.api.http.services import ApiSettings
from marketplace.core.errors import Refusal
from marketplace.embedded.process import find_free_port
from tests.support.patience import PATIENCE_SECONDS

GET = b"GET /now HTTP/1.1\r\nHost: test\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nHost: test\r\n\r\n"


async def app(scope, receive, send) -> None:
    """Answer at once, when told to, or with more than a client wants to read."""
    while (await receive()).get("more_body"):
        pass
    assert (b"x", b"y") not in scope["headers"], "a field of the trailer"
    if scope["path"] == "/later":
        await asyncio.sleep(PATIENCE_SECONDS)
    body = b"x" * (50_000_000 if scope["path"] == "/much" else 3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    for begin in range(0, len(body), 1_000_000):
        await send({"type": "http.response.body", "body": body[begin : begin + 1_000_000], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def serving(connections_max: int = 100, per_address_max: int = 100, **bounds: int) -> AsyncIterator["Clients"]:
    settings = ApiSettings(**({"head_seconds_max": 60, "idle_seconds_max": 60} | bounds))
    table, port = Connections(connections_max, per_address_max), find_free_port()
    server = ApiServer(app, settings, table, "127.0.0.1", port)
    task = asyncio.create_task(server.serve())
    clients = Clients(port, table)
    try:
        while not server.started:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        yield clients
    finally:
        clients.close()
        server.stop()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


class Clients:
    def __init__(self, port: int, table: Connections) -> None:
        self.port, self.table = port, table
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self, sent: bytes = b"", host: str = "127.0.0.1") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(host, 0))
        writer.write(sent)
        self.writers.append(writer)
        return reader

    async def ask(self, host: str = "127.0.0.1") -> bytes:
        return await self.read_head(await self.open(GET, host))

    @staticmethod
    async def read_head(reader: asyncio.StreamReader) -> bytes:
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)

    async def read_problem(self, reader: asyncio.StreamReader, status: int, code: str) -> bytes:
        head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert b"content-type: application/problem+json" in head
        assert b"cache-control: no-store" in head
        assert b"x-content-type-options: nosniff" in head
        assert load_errors()[code].status == status
        assert json.loads(body)["code"] == code
        return head

    async def is_closed(self, reader: asyncio.StreamReader) -> bool:
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        return True

    async def wait_until_none(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.table.count():  # noqa: ASYNC110 - the table tells nobody
                await asyncio.sleep(0.05)

    def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


async def test_the_connection_that_was_waited_for_longest_makes_room():
    async with serving(per_address_max=3) as clients:
        silent = [
            await clients.open(sent)
            for sent in (b"", b"GET /n", b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        ]
        await asyncio.sleep(0.2)
        for number in range(3):
            assert (await clients.ask()).startswith(b"HTTP/1.1 200")
            assert await clients.is_closed(silent[number]), number
        assert (clients.table.count(), clients.table.displaced, clients.table.refused) == (3, 3, 0)


async def test_where_every_connection_of_an_address_is_answered_a_new_one_is_told_to_wait():
    async with serving(per_address_max=2) as clients:
        for _ in range(2):
            await clients.open(LATER)
        await asyncio.sleep(0.2)
        head = await clients.read_problem(await clients.open(GET), 503, "connections_exhausted")
        assert b"retry-after: 2" in head
        assert b"connection: close" in head
        assert (await clients.ask("127.0.0.2")).startswith(b"HTTP/1.1 200"), "another address has its own bound"


async def test_the_process_has_a_bound_over_all_addresses():
    async with serving(connections_max=4) as clients:
        silent = [await clients.open(host=f"127.0.0.{number}") for number in range(1, 5)]
        await asyncio.sleep(0.1)
        assert (await clients.ask("127.0.0.9")).startswith(b"HTTP/1.1 200")
        assert await clients.is_closed(silent[0])
        assert clients.table.count() == 4


async def test_silent_slow_and_idle_connections_end_in_time():
    async with serving(head_seconds_max=1, idle_seconds_max=2) as clients:
        began = time.monotonic()
        silent, slow = await clients.open(), await clients.open(b"GET /now HTTP/1.1\r\n")
        idle = await clients.open(GET)
        assert (await clients.read_head(idle)).startswith(b"HTTP/1.1 200")
        await clients.read_problem(slow, 408, "head_too_slow")
        assert await clients.is_closed(silent)
        assert time.monotonic() - began >= 1
        assert clients.table.count() >= 1
        assert await clients.is_closed(idle)
        assert time.monotonic() - began >= 2
        await clients.wait_until_none()


async def test_a_head_that_drips_is_not_waited_for_longer_than_a_silent_one():
    async with serving(head_seconds_max=1) as clients:
        reader = await clients.open(b"GET /now HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip(clients.writers[-1]))
        await clients.read_problem(reader, 408, "head_too_slow")
        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        for _ in range(1_000):
            writer.write(b"a: b\r\n")
            await asyncio.sleep(0.1)


async def test_a_slow_body_ends_the_request_and_the_connection():
    async with serving(body_seconds_max=1) as clients:
        reader = await clients.open(b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        began = time.monotonic()
        assert await clients.is_closed(reader)
        assert time.monotonic() - began >= 1
        assert (await clients.ask()).startswith(b"HTTP/1.1 200")


async def test_an_answer_that_nobody_reads_ends(monkeypatch):
    monkeypatch.setattr("marketplace.api.http.server.UNSENT_BYTES_PER_SECOND", 10**9)
    async with serving(write_seconds_max=1, idle_seconds_max=3_600) as clients:
        await clients.open(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        clients.writers[-1].transport.pause_reading()
        await asyncio.sleep(0.2)
        assert clients.table.count() == 1
        await clients.wait_until_none()


async def test_an_answer_that_is_read_slowly_is_read_whole():
    async with serving(write_seconds_max=1) as clients:
        reader = await clients.open(b"GET /much HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        count, began = 0, time.monotonic()
        while part := await asyncio.wait_for(reader.read(1_000_000), PATIENCE_SECONDS):
            count += len(part)
            await asyncio.sleep(0.02)
        assert count > 50_000_000
        assert time.monotonic() - began > 2  # longer than an answer may be left unread


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"a" * 65_535 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_coding_or_target_that_is_not_read_is_refused_with_a_status(sent):
    async with serving(head_bytes_max=100_000) as clients:
        head = await clients.read_problem(await clients.open(sent), 400, "request_malformed")
        assert b"request-id" in head
        chunked = b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        assert (await clients.read_head(await clients.open(chunked))).startswith(b"HTTP/1.1 200")


async def test_a_refused_request_for_a_head_gets_no_body():
    async with serving() as clients:
        reader = await clients.open(b"HEAD /now HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
        assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 400")
        assert await reader.read() == b""


async def test_a_head_has_a_bound_and_what_is_not_http_is_refused(caplog):
    async with serving(head_bytes_max=2_000) as clients:
        reader = await clients.open(b"GET /now HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 3_000)
        await clients.read_problem(reader, 431, "head_too_large")
        reader = await clients.open(GET[:-4] + b"\r\nx: " + b"y" * 3_000 + b"\r\n\r\n")
        await clients.read_problem(reader, 431, "head_too_large")
        reader = await clients.open(GET + b"x" * 3_000)
        assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(3) == b"xxx"
        await clients.read_problem(reader, 400, "request_malformed")
        await clients.read_problem(await clients.open(b"\x16\x03\x01 hello\r\n\r\n"), 400, "request_malformed")
        for method in (b"FOO", b"get", b"M-NEW"):
            reader = await clients.open(method + b" /now HTTP/1.1\r\nHost: a\r\n\r\n")
            await clients.read_problem(reader, 501, "method_unsupported")
        heads = (b"Content-Length: 1\r\nContent-Length: 2", b"Host: a\r\n b", b"Accept: */*", b"Host: a\r\nHost: a")
        for head in heads:
            await clients.read_problem(
                await clients.open(b"GET /now HTTP/1.1\r\n" + head + b"\r\n\r\n"), 400, "request_malformed"
            )
        reader = await clients.open(b"GET /now HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200"), "HTTP/1.0 needs no host"
        await clients.read_problem(await clients.open(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400, "request_malformed")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_head_is_counted_where_it_begins():
    body = b"b" * 9_000
    head = b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
    async with serving(head_bytes_max=2_000) as clients:
        for first, second, third in (
            (head[:-1], head[-1:] + body, GET),
            (head[:-3], head[-3:] + body + GET, b""),
            (head + body[:10], body[10:] + GET[:11], GET[11:]),
        ):
            reader = await clients.open(first)
            for sent in (second, third):
                await asyncio.sleep(0.1)
                clients.writers[-1].write(sent)
            for _ in range(2):
                assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(3) == b"xxx"
        reader = await clients.open(head + body[:10])
        await asyncio.sleep(0.1)
        clients.writers[-1].write(body[10:] + GET[:-4] + b"\r\nx: " + b"y" * 3_000 + b"\r\n\r\n")
        assert b"HTTP/1.1 431 " in await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)


@pytest.mark.parametrize("line", [b"2\r\nab\r\n0\r\nx: ", b"2;", b"2\r\nab\r\n0;", b"2\r\nab\r\n2;x="])
async def test_a_body_in_chunks_has_a_bound_on_all_that_is_not_content(line):
    """Of the trailer's line, or a chunk's extension, that never ends; the parser joins its parts at quadratic cost."""
    head = b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(head_bytes_max=2_000) as clients:
        reader = await clients.open(head + line + b"y" * 3_000)
        await clients.read_problem(reader, 431, "head_too_large")
        reader = await clients.open(head + line)
        for _ in range(30):
            await asyncio.sleep(0.01)
            clients.writers[-1].write(b"y" * 100)
        await clients.read_problem(reader, 431, "head_too_large")


async def test_a_body_in_many_chunks_with_a_short_trailer_is_answered():
    head = b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(head_bytes_max=2_000) as clients:
        reader = await clients.open(head + b"1\r\na\r\n" * 5_000 + b"0\r\nx: y\r\n\r\n" + GET)
        for _ in range(2):
            assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(3) == b"xxx"


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nabc\r\n", b"-1\r\nabc\r\n", b"3\r\nabcdef\r\n", b"3\nabc\n0\n\n", b"f" * 17 + b"\r\n"]
)
async def test_a_body_in_malformed_chunks_is_refused(chunk):
    head = b"POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as clients:
        at_once = await clients.read_problem(await clients.open(head + chunk), 400, "request_malformed")
        assert b"request-id: " in at_once
        reader = await clients.open(head)
        await asyncio.sleep(0)
        clients.writers[-1].write(chunk)
        await clients.read_problem(reader, 400, "request_malformed")


async def test_pipelined_requests_are_answered_in_order():
    async with serving() as clients:
        reader = await clients.open(GET * 3)
        for _ in range(3):
            assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(3) == b"xxx"


CHUNKED = b"POST /now HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x00\x01\r\n\r\n", 400, "request_malformed"),
        (b"GET /now HTTP/1.1\r\n\r\n", 400, "request_malformed"),
        (CHUNKED + b"zz\r\n", 400, "request_malformed"),
        (GET[:-4] + b"\r\nx: " + b"y" * 3_000, 431, "head_too_large"),
    ],
    ids=["no HTTP", "no host", "chunk", "head"],
)
async def test_what_is_malformed_harms_no_request_before_it(sent, status, code):
    """Its answer came first, and the connection was closed, so that the first client took it for its own answer."""
    async with serving(head_bytes_max=2_000) as clients:
        for good in (GET, CHUNKED + b"1\r\nx\r\n0\r\n\r\n"):
            for parts in ([good * 3 + sent + GET], [good * 3, sent]):
                reader = await clients.open(parts[0])
                for later in parts[1:]:
                    clients.writers[-1].write(later)
                for _ in range(3):
                    assert (await clients.read_head(reader)).startswith(b"HTTP/1.1 200")
                    assert await reader.readexactly(3) == b"xxx"
                await clients.read_problem(reader, status, code)
                assert await reader.read() == b"", "it is closed, and what came after is not answered"


async def test_what_is_malformed_waits_for_the_answer_before_it():
    async with serving() as clients:
        reader = await clients.open(LATER + b"\x00\x01\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1)
        assert clients.table.count() == 1


async def test_an_address_that_is_taken_is_told():
    async with serving() as clients:
        table = Connections(1, 1)
        with pytest.raises(Refusal) as caught:
            await ApiServer(app, ApiSettings(), table, "127.0.0.1", clients.port).serve()
        assert caught.value.code == "address_unavailable"


@pytest.mark.parametrize(("soft", "hard", "room", "told"), [(512, 512, 256, True), (512, 8_192, 4_096, False)])
def test_the_limit_of_open_files_is_raised_or_told(soft, hard, room, told):
    code = "from marketplace.api.http.server import bound_connections; print('room', bound_connections(4_096))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit)
    assert f"room {room}\n" in done.stdout
    assert ("open_files_few" in done.stdout) == told
