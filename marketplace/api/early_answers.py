"""Hears a request out before it is answered, so that an answer that comes early can be read.

A server that answers while a body is still coming closes the connection with unread bytes on it, and TCP then resets
it: the client sees a broken pipe and never why. So what is left of a body is read and thrown away first, within bounds.
"""

import asyncio
import contextlib
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage

BYTES_MAX: Final = 64 * 1024 * 1024
SECONDS_MAX: Final = 10.0


class HearOut:
    """ASGI application around another one.

    Args:
        app: The other one.
        bytes_max: How much is thrown away at most; who sends more may see the connection reset.
        seconds_max: For how long at most.
    """

    def __init__(self, app: ASGIApp, *, bytes_max: int = BYTES_MAX, seconds_max: float = SECONDS_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has a body only once it is read; anything else as it is."""
        if scope["type"] != ScopeType.HTTP or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, waits=(b"expect", b"100-continue") in _lower(scope))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_max):
                        await body.throw_away(self._bytes_max)
            await send(message)

        await self._app(scope, body.receive, answer)


class _Body:
    """What comes of a request; a client that `waits` sends nothing until it is asked for."""

    def __init__(self, receive: Receive, *, waits: bool) -> None:
        self._receive = receive
        self._is_over = waits

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        message = await self._receive()
        self._is_over = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def throw_away(self, bytes_max: int) -> None:
        left = bytes_max
        while not self._is_over and left > 0:
            message = await self.receive()
            left -= len(message["body"]) if message["type"] == "http.request" else 0


def _lower(scope: Scope) -> set[tuple[bytes, bytes]]:
    return {(name.lower(), value.lower()) for name, value in scope["headers"]}


def _has_body(scope: Scope) -> bool:
    headers = dict(_lower(scope))
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
