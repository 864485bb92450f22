"""Drain a request's body before an early answer, so that the client can read the answer.

If a server answers while a body is still arriving, it closes the connection with unread bytes, and TCP resets it: the
client sees a broken pipe but not the reason. The rest of a body is therefore read and discarded first, within bounds. A
body that takes too long is refused, and its connection closed.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage

from marketplace.core.errors import Refusal

BYTES_MAX: Final = 64 * 1024 * 1024
SECONDS_MAX: Final = 10.0
BODY_SECONDS_MAX: Final = 30.0
WHOLE: Final = "marketplace.whole"
"""The member of a request's scope by which the server says that it has the whole body."""


class DrainRequestBody:
    """ASGI application that reads the rest of a request's body before an early answer, so that the client hears it.

    A body that the application reads takes at most `body_seconds_max`; then it raises ``body_too_slow``.

    Args:
        app: The other application.
        bytes_max: The most bytes discarded. A client that sends more may see the connection reset.
        seconds_max: The longest time for that.
        body_seconds_max: The longest time for a body that the application reads.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        bytes_max: int = BYTES_MAX,
        seconds_max: float = SECONDS_MAX,
        body_seconds_max: float = BODY_SECONDS_MAX,
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._body_seconds_max = body_seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body still arrives only once the body is read; any other request at once."""
        if WHOLE in scope:
            await self._app(scope, receive, send)
            return
        headers = {name: value.lower() for name, value in scope["headers"]}
        if scope["type"] != ScopeType.HTTP or not has_body(headers):
            await self._app(scope, receive, send)
            return
        waits = headers.get(b"expect") == b"100-continue"
        body = _Body(receive, self._body_seconds_max, waits=waits)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.is_over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_max):
                        await body.throw_away(self._bytes_max)
                if not body.is_over:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, body.receive, answer)


class _Body:
    """The incoming messages of a request. A client that `waits` sends nothing before it is asked.

    Attributes:
        is_over: Whether nothing more arrives.
    """

    def __init__(self, receive: Receive, seconds_max: float, *, waits: bool) -> None:
        self._receive = receive
        self._seconds_max = seconds_max
        self._deadline: float | None = None
        self._is_given_up = False
        self.is_over = waits

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Return the next part.

        Raises:
            Refusal: ``body_too_slow``.
        """
        if self.is_over and self._deadline is not None:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._seconds_max
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._take()
        except TimeoutError:
            self._is_given_up = True
            text = f"the body was not complete after {self._seconds_max} s; send it faster, or in parts"
            raise Refusal("body_too_slow", text) from None

    async def _take(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        message = await self._receive()
        self.is_over = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def throw_away(self, bytes_max: int) -> None:
        """Read and discard the rest, up to a bound; nothing if the body was given up."""
        left = bytes_max
        while not (self.is_over or self._is_given_up) and left > 0:
            message = await self._take()
            left -= len(message["body"]) if message["type"] == "http.request" else 0


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request's headers announce a body."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
