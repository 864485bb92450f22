"""A load generator for benchmarks: prepared requests over kept connections, as little work per request as can be."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import cast

_LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """One connection: a request is sent, its answer awaited, and only the status looked at."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        begin = head.lower().index(_LENGTH) + len(_LENGTH)
        if len(body) >= int(head[begin:].partition(b"\r\n")[0]):
            answer, self._buffer = self._buffer, b""
            assert self._answer is not None
            self._answer.set_result(answer)

    async def send(self, request: bytes) -> bytes:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def build_request(path: str, key: str, body: bytes, numbers: Iterator[int]) -> Callable[[], bytes]:
    """Return what makes the next request: the same body each time under a new idempotency key."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: "
    ).encode()
    return lambda: b"%bbench-%d\r\n\r\n%b" % (head, next(numbers), body)


async def measure(port: int, requests: list[Callable[[], bytes]], seconds: float) -> tuple[float, list[float]]:
    """Send requests as fast as they are answered, one client each; return answers a second and their times.

    Raises:
        AssertionError: One was refused.
    """
    connections = [await connect(port) for _ in requests]
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def call(connection: Connection, make: Callable[[], bytes]) -> None:
        while (began := time.perf_counter()) < end:
            answer = await connection.send(make())
            times.append(time.perf_counter() - began)
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer[:2_000]

    began = time.perf_counter()
    await asyncio.gather(*(call(one, make) for one, make in zip(connections, requests, strict=True)))
    rate = len(times) / (time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return rate, times


def number_from(start: int) -> Iterator[int]:
    return itertools.count(start)
