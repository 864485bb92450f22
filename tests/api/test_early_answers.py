"""An answer that is ready before the request is whole reaches whoever sends it, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from marketplace.api.http.drain import DrainRequestBody
from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.meters import BATCH
from tests.api.stage import ADMIN_KEY, open_stage
from tests.api.test_commands import assert_problem

LARGE = b" " * (16 * 1024 * 1024)
KNOWN = {"Authorization": f"Bearer {ADMIN_KEY}"}
AT_ONCE = 8


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as served:
        yield served


async def stream(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 65_536):
        yield body[begin : begin + 65_536]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/usage", KNOWN | BATCH, 413, "body_too_large"),
        ("/v1/parties", KNOWN | {"Content-Type": "application/json", "Idempotency-Key": "k"}, 413, "body_too_large"),
        ("/v1/usage", BATCH, 401, "credentials_missing"),
        ("/v1/usage", KNOWN | {"Content-Type": "text/plain"}, 415, "media_type_unsupported"),
        ("/v1/nothing", KNOWN, 404, "route_unknown"),
    ],
)
async def test_a_body_that_is_not_wanted_is_heard_out(address: str, path, headers, status, code, announced):
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        bodies = (LARGE if announced else stream(LARGE) for _ in range(AT_ONCE))
        answers = await asyncio.gather(*(client.post(path, content=body, headers=headers) for body in bodies))
    for answer in answers:
        assert_problem(answer, status, code)
        assert status != 413 or " bytes; split the request" in answer.json()["detail"]


async def test_who_waits_to_be_asked_for_a_body_is_answered_without_it(address: str):
    host, port = urlsplit(address).hostname, urlsplit(address).port
    reader, writer = await asyncio.open_connection(host, port)
    headers = {**KNOWN, **BATCH, "Host": "test", "Content-Length": str(len(LARGE)), "Expect": "100-continue"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /v1/usage HTTP/1.1\r\n{lines}\r\n".encode())
    assert (await reader.readline()).split()[1] == b"413"
    writer.close()


def post(**headers: str):
    return {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


async def answer_at_once(scope, receive, send):
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


class Flow:
    """A body without end, piece by piece."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.pieces, self.sent = 0, []

    async def receive(self):
        await asyncio.sleep(self._seconds)
        self.pieces += 1
        return {"type": "http.request", "body": b" " * 100, "more_body": True}

    async def send(self, message):
        self.sent.append(message["type"])


@pytest.mark.parametrize(("seconds", "pieces"), [(0, 10), (0.02, 3)])
async def test_a_body_without_end_is_given_up(seconds, pieces):
    flow = Flow(seconds)
    app = DrainRequestBody(answer_at_once, bytes_max=1_000, seconds_max=0.07)
    await app(post(**{"transfer-encoding": "chunked"}), flow.receive, flow.send)
    assert flow.sent == ["http.response.start", "http.response.body"]
    assert 1 <= flow.pieces <= pieces


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
async def test_a_request_without_a_body_is_not_waited_for(headers):
    flow = Flow(3_600)
    await DrainRequestBody(answer_at_once)(post(**headers), flow.receive, flow.send)
    assert (flow.pieces, len(flow.sent)) == (0, 2)


async def test_a_body_that_was_read_is_not_waited_for():
    messages = [{"type": "http.request", "body": b"[]", "more_body": False}]
    flow = Flow(0)

    async def receive():
        return messages.pop()

    async def app(scope, receive, send):
        await receive()
        await answer_at_once(scope, receive, send)

    await DrainRequestBody(app)(post(**{"content-length": "2"}), receive, flow.send)
    assert (messages, len(flow.sent)) == ([], 2)


async def test_a_client_that_leaves_ends_it():
    flow = Flow(0)

    async def receive():
        flow.pieces += 1
        return {"type": "http.disconnect"}

    await DrainRequestBody(answer_at_once)(post(**{"content-length": "9"}), receive, flow.send)
    assert (flow.pieces, len(flow.sent)) == (1, 2)


async def test_a_body_that_takes_too_long_is_refused_and_its_connection_closed():
    async with open_stage(MemoryLog(), body_seconds_max=1) as stage, serve(stage.application) as served:
        reader, writer = await asyncio.open_connection(urlsplit(served).hostname, urlsplit(served).port)
        headers = {**KNOWN, **BATCH, "Host": "test", "Content-Length": "100"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"POST /v1/usage HTTP/1.1\r\n{lines}\r\n[".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head
        assert b'"code":"body_too_slow"' in body
        writer.close()


async def test_a_client_that_leaves_before_its_body_is_read_is_no_error_of_the_server(capsys):
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as served:
        for _ in range(3):
            _, writer = await asyncio.open_connection(urlsplit(served).hostname, urlsplit(served).port)
            headers = {**KNOWN, **BATCH, "Host": "test", "Content-Length": "100"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"POST /v1/usage HTTP/1.1\r\n{lines}\r\n[".encode())
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await asyncio.sleep(0.2)
    assert "rror" not in "".join(capsys.readouterr())
