"""A TCP door in front of a server: shut it and the server is away, open it and it is back on the same port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from litestar import Litestar

from marketplace.app import build_server
from marketplace.embedded.process import find_free_port
from tests.log.proxy import Proxy, through
from tests.support.patience import PATIENCE_SECONDS


class Door:
    def __init__(self, url: str) -> None:
        port = urlsplit(url).port
        assert port is not None
        self._proxy = Proxy(port)
        self.url = ""
        self._target = url
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._proxy.serve, "127.0.0.1", self._proxy.port)
        self._proxy.port = self._listener.sockets[0].getsockname()[1]
        scheme, _, rest = self._target.partition("://")
        host, slash, path = rest.partition("/")
        self.url = f"{scheme}://{through(self._proxy, host)}{slash}{path}"

    async def shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._proxy.cut()
            self._listener = None

    async def close(self) -> None:
        await self.shut()
        await self._proxy.close()


@asynccontextmanager
async def open_door(url: str) -> AsyncIterator[Door]:
    door = Door(url)
    await door.open()
    try:
        yield door
    finally:
        await door.close()


@asynccontextmanager
async def serve(application: Litestar) -> AsyncIterator[str]:
    """Yield the address of a real server."""
    port = find_free_port()
    server = build_server(application, "127.0.0.1", port)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        application.state["services"].streams.close()
        server.stop()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)
