"""A TCP proxy in front of nats-server that loses, delays or rewrites what the server says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from marketplace.embedded.nats import NatsServers


class Proxy:
    """Passes bytes on, until told otherwise.

    Attributes:
        deaf: While true, what the server says is thrown away.
        rewrite: Applied to what the server says.
        sent: Set by the next bytes that a client sends.
        target_port: Where new connections lead.
    """

    def __init__(self, target_port: int) -> None:
        self.deaf = False
        self.rewrite: Callable[[bytes], bytes] = lambda data: data
        self.sent = asyncio.Event()
        self.port = 0
        self.target_port = target_port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Break every connection, as a failing network would."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, upstream_writer]
        for source, sink, is_answer in ((reader, upstream_writer, False), (upstream_reader, writer, True)):
            task = asyncio.create_task(self._pass(source, sink, is_answer=is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if not is_answer:
                    self.sent.set()
                elif self.deaf:
                    continue
                else:
                    data = self.rewrite(data)
                sink.write(data)
                await sink.drain()
        sink.transport.abort()

    async def close(self) -> None:
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def open_proxy(servers: NatsServers) -> AsyncIterator[Proxy]:
    """Yield a proxy in front of the first server."""
    proxy = Proxy(servers.members[0].port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.close()
        await listener.wait_closed()


def through(proxy: Proxy, url: str) -> str:
    """Return the URL with the proxy's port."""
    return f"{url.rpartition(':')[0]}:{proxy.port}"
