"""The HTTP server: uvicorn, with limits on the cost of a connection (ADR 18).

uvicorn reads HTTP/1.1. This module adds the limits that it lacks: connections in all and by address, the bytes of a
head, and the seconds that a client may be silent, take for a head, or leave an answer unread. `drain.py` refuses bodies
that take too long.
"""

import asyncio
import contextlib
import re
import resource
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
import structlog
import uvicorn
from httptools.parser.errors import HttpParserError, HttpParserInvalidMethodError, HttpParserInvalidURLError
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from marketplace.api.http.connections import Connections
from marketplace.api.http.drain import WHOLE, DrainRequestBody
from marketplace.api.http.envelope import NOT_STORED, REQUEST_ID, SAFE, build_request_id
from marketplace.api.http.problems import MEDIA_TYPE, build_problem
from marketplace.api.http.services import ApiSettings
from marketplace.core.errors import Refusal

BACKLOG: Final = 2_048
STOP_SECONDS_MAX: Final = 5
FILES_RESERVED: Final = 256
CONNECTIONS_MIN: Final = 64
RETRY_SECONDS: Final = 2
REFUSED_SECONDS_MAX: Final = 2.0
UNSENT_BYTES_PER_SECOND: Final = 16_384
_HEAD_PARTS: Final = 16
_BODY_SLACK_SECONDS: Final = 15.0
_TICKS_PER_SWEEP: Final = 5
_REQUEST_LINE: Final = re.compile(
    rb"(?!(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT) )[A-Za-z-]{1,20} \S+ HTTP/1\.[01]\r?\n"
)
"""Of a request with a method that is none of HTTP's. TLS and HTTP/2 begin otherwise."""
_log = structlog.get_logger(__name__)


class _Config(uvicorn.Config):
    """uvicorn's configuration, with the limits that its protocol class needs."""

    def __init__(self, app: Any, settings: ApiSettings, connections: Connections, **options: Any) -> None:
        super().__init__(app, http=BoundedConnection, **options)
        self.bounds = settings
        self.table = connections


class _HeadInvalid(Exception):  # noqa: N818 - named for what it tells
    """A head that the parser reads and HTTP forbids, with a sentence about it."""


class BoundedConnection(HttpToolsProtocol):
    """One connection. It ends if its client takes too long, or sends too large a head."""

    config: _Config
    address = "unknown"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or refuse it if there is no room."""
        super().connection_made(transport)
        if self.client is not None:
            self.address = self.client[0]
        self._reading: Literal["nothing", "head", "body"] = "nothing"
        self._since = time.monotonic()
        self._head_bytes, self._part = 0, b""
        self._is_used = False
        self._unsent_deadline: float | None = None
        self._ending_since: float | None = None
        self._refusal: tuple[int, str, str, str] | None = None
        self._is_counted = self.config.table.admit(self)
        if self._is_counted:
            return
        if self.config.table.linger(self):
            text = (
                f"all connections that {self.address} may have here are in use; reuse them, or wait {RETRY_SECONDS} s"
            )
            self._answer(503, "connections_exhausted", text, f"retry-after: {RETRY_SECONDS}\r\n")
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        if self._is_counted:
            self.config.table.remove(self)
        self._is_counted = False
        self.config.table.end_lingering(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """End the connection at once; it is no longer counted."""
        self._is_counted = False
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read the client's data in parts, unless it already got its final answer.

        The bound is for the bytes of a head, and for those of a body in chunks that are not content: the parser joins
        the parts of a line at quadratic cost. It does not say where in a part a head begins. The part in which it
        begins is not counted, nor the one in which it ends, so a head may exceed its bound by an eighth.
        """
        bytes_max = self.config.bounds.head_bytes_max
        step = bytes_max // _HEAD_PARTS
        for begin in range(0, len(data), step):
            if self._ending_since is not None or self._refusal is not None:
                return
            part = data[begin : begin + step]
            self._part = part
            self._head_bytes += len(part)
            super().data_received(part)
            if self._head_bytes <= bytes_max or self._ending_since is not None:
                continue
            if self._reading == "head":
                text = f"the head of a request may have {bytes_max} bytes; send fewer headers"
                self._answer(431, "head_too_large", text)
            elif self._reading == "body":
                text = (
                    f"the length of a chunk and what follows the last one may have {bytes_max} bytes; send less there"
                )
                self._answer(431, "head_too_large", text)

    def on_message_begin(self) -> None:
        """Start to count a head's bytes and seconds."""
        self._reading, self._since, self._head_bytes = "head", time.monotonic(), 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start to count a body's seconds.

        A request is refused that does not name one host (RFC 9112, 3.2), codes its body other than in chunks (6.1), or
        has a target that cannot be read.
        """
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise _HeadInvalid("a request has one Host header; send it once")
        is_coded = b"transfer-encoding" in names
        if is_coded and [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"] != [
            b"chunked"
        ]:
            raise _HeadInvalid("bodies are read with Transfer-Encoding: chunked alone; use Content-Encoding for gzip")
        try:
            super().on_headers_complete()
        except HttpParserInvalidURLError:
            text = "the target of a request is a path of at most 65,535 bytes with its query; send a shorter one"
            raise _HeadInvalid(text) from None
        self._reading, self._since, self._head_bytes = "body", time.monotonic(), 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head. What follows a body in chunks is no part of it (RFC 9110, 6.5.1): leave it out."""
        if self._reading == "head":
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, and count the bytes without content anew."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Protect the connection from being displaced while its request is answered."""
        self._reading, self._since, self._is_used = "nothing", time.monotonic(), True
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        if self._is_counted and self._is_answering():
            self.config.table.answer(self)

    def on_response_complete(self) -> None:
        """Wait for the next request, or end the connection where it was malformed."""
        is_last = not self.pipeline
        super().on_response_complete()
        if self._refusal is not None:
            if is_last and not self.transport.is_closing():
                self._end(*self._refusal)
            return
        if self._is_counted and not self._is_answering():
            self._since = time.monotonic() if self._reading == "nothing" else self._since
            self.config.table.wait(self)

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or self._get_unanswered() is not None

    def _get_unanswered(self) -> RequestResponseCycle | None:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first head is complete.
        return None if cycle is None or cycle.response_complete else cycle

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has a method that is none of HTTP's."""
        fault = sys.exception()
        if isinstance(fault, HttpParserInvalidMethodError) and _REQUEST_LINE.match(self._part):
            text = "HTTP has no such method; send GET, POST, PUT or DELETE, in capitals"
            self._answer(501, "method_unsupported", text)
            return
        if fault is not None and isinstance(fault.__context__, _HeadInvalid):
            self._answer(400, "request_malformed", str(fault.__context__))
            return
        what = f" {fault}." if isinstance(fault, HttpParserError) else ""
        self._answer(400, "request_malformed", f"{msg}{what} Send HTTP/1.1.")

    def _answer(self, status: int, code: str, detail: str, headers: str = "") -> None:
        """Answer a request that never reached the application, and end the connection once it is read.

        Requests that were sent before it are answered first.
        """
        if self._refusal is not None:
            return
        is_queued = bool(self.pipeline) and self.pipeline[0][0] is self.cycle
        if self._reading == "body" and is_queued:
            self.pipeline.popleft()
        if self._is_answering() and (self._reading != "body" or is_queued):
            self._refusal, self._reading = (status, code, detail, headers), "nothing"
            return
        self._end(status, code, detail, headers)

    def _end(self, status: int, code: str, detail: str, headers: str) -> None:
        """Answer the last request. One that was answered before its body was whole gets no second answer."""
        self._ending_since = time.monotonic()
        unanswered = self._get_unanswered()
        if unanswered is None and self._reading == "body":
            self.transport.abort()
            return
        if unanswered is not None:
            unanswered.disconnected = True
            unanswered.message_event.set()
            if unanswered.response_started:
                self.transport.abort()
                return
        problem = build_problem(status, code, detail)
        body = msgspec.json.encode(problem)
        sent = b"" if self.parser.get_method() == b"HEAD" else body
        head = f"HTTP/1.1 {status} {problem.title}\r\ncontent-type: {MEDIA_TYPE}\r\n{headers}"
        safe = [(REQUEST_ID, build_request_id().encode()), NOT_STORED, *SAFE]
        head += "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in safe)
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + sent)
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def resume_writing(self) -> None:
        """Restart the client's time limit: it has read most of what was sent."""
        self._unsent_deadline = None
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """End the connection if its client has exceeded its time."""
        bounds = self.config.bounds
        if self._ending_since is not None:
            is_over = now - self._ending_since > REFUSED_SECONDS_MAX
        elif unsent := self.transport.get_write_buffer_size():
            if self._unsent_deadline is None:
                self._unsent_deadline = now + bounds.write_seconds_max + unsent / UNSENT_BYTES_PER_SECOND
            is_over = now > self._unsent_deadline
        elif self._reading == "body":
            is_over = now - self._since > bounds.body_seconds_max + _BODY_SLACK_SECONDS
        else:
            is_over = False
            self._sweep_waiting(now - self._since, bounds)
        if not self.transport.get_write_buffer_size():
            self._unsent_deadline = None
        if is_over:
            self.transport.abort()

    def _sweep_waiting(self, seconds: float, bounds: ApiSettings) -> None:
        if self._reading == "head":
            if seconds > bounds.head_seconds_max:
                text = f"the head of a request was not complete after {bounds.head_seconds_max} s; send it at once"
                self._answer(408, "head_too_slow", text)
        elif not self._is_answering():
            seconds_max = bounds.idle_seconds_max if self._is_used else bounds.head_seconds_max
            if seconds > seconds_max:
                self.transport.close()


class ApiServer(uvicorn.Server):
    """Serves one application on one address until it is stopped.

    Args:
        application: The application.
        settings: The limits.
        connections: Where connections are counted.
        host: An address or a name of this machine.
        port: The port.
    """

    def __init__(
        self, application: ASGIApp, settings: ApiSettings, connections: Connections, host: str, port: int
    ) -> None:
        super().__init__(
            _Config(
                DrainRequestBody(application, body_seconds_max=settings.body_seconds_max),
                settings,
                connections,
                host=host,
                port=port,
                backlog=BACKLOG,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.idle_seconds_max,
                timeout_graceful_shutdown=STOP_SECONDS_MAX,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until `stop` is called.

        Raises:
            Refusal: ``address_unavailable``: another process has the port, or the host is not of this machine.
        """
        if sockets is None:
            sockets = await asyncio.to_thread(_listen, self.config.host, self.config.port)
        await super().serve(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command line, which closes the event streams first."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """End the connections whose clients have exceeded their time, twice a second."""
        if counter % _TICKS_PER_SWEEP == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedConnection):
                    connection.sweep(now)
        return await super().on_tick(counter)

    def stop(self) -> None:
        """Let `serve` return once running requests are answered, after at most `STOP_SECONDS_MAX`."""
        self.should_exit = True


def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [
            socket.create_server(address[:2], family=family, backlog=BACKLOG)
            for family, *_, address in dict.fromkeys(found)
        ]
    except OSError as error:
        raise Refusal("address_unavailable", f"cannot listen on {host}:{port}: {error}; choose another") from error


def bound_connections(connections_max: int) -> int:
    """Raise the process's limit of open files for so many connections, and return how many fit then.

    If the limit stays too low, this is logged with the remedy.
    """
    needed = connections_max + FILES_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections_max
    room = max(CONNECTIONS_MIN, soft - FILES_RESERVED)
    remedy = f"raise the hard limit of open files (ulimit -Hn) to {needed}, or set MARKETPLACE_CONNECTIONS_MAX"
    _log.warning("open_files_few", limit=soft, needed=needed, connections_max=room, remedy=remedy)
    return room
