"""One NATS connection for the log. It reconnects for ever, and fails waiting requests when the connection is lost.

nats-py lets a request wait for its full timeout when its server dies. Here every waiting request fails when the
connection is lost, so that an append is sent again as soon as a server is back.

Whoever may publish to an inbox can forge an answer, and the server itself publishes to every reply subject that a user
names. Three measures prevent forged answers (ADR 13): each NATS user has its own inbox prefix, which no other user may
subscribe or publish to; each request has a random token of 128 bits, used once; and an answer that does not match its
request is dropped, counted and logged, while the true answer is still awaited.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from marketplace.core.errors import Corrupt, Unavailable
from marketplace.log.headers import parse_block
from marketplace.log.inboxes import derive_inbox_prefix
from marketplace.log.sent import Sent

_DEFAULT_PORT = 4222
_CONNECT_SECONDS_MAX = 3
_RECONNECT_SECONDS = 0.1
_PING_SECONDS = 5
_RESPONSES_MAX = 1_001
_NO_RESPONDERS = "503"
_STATUS = "Status"
_STATUS_LENGTH = 3
_API_TYPE = "io.nats.jetstream.api.v1."
_TOKEN_BYTES = 16

log = structlog.get_logger(__name__)


class NoAnswer(Unavailable):
    """NATS did not answer a request. Its effect may or may not have happened."""

    def __init__(self, reason: str) -> None:
        super().__init__("NATS", reason)


RawTake = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Handles a message, given its subject, reply subject, body and header block."""
Check = Callable[[Msg], str]
"""Returns why an answer does not match its request; empty if it does."""


def _take_any(_: Msg) -> str:
    return ""


@dataclass(slots=True)
class _Request:
    """A waiting request. It holds what was sent, so nothing that it holds may refer to it: it would stay in memory.

    Attributes:
        subject: Where it was sent.
        check: Recognises an answer.
        take: Takes an answer, and returns whether it is the last one.
        done: Resolved by the last answer.
        dropped: Why the latest mismatched answer was dropped.
    """

    subject: str
    check: Check
    take: Callable[[Msg], bool]
    done: asyncio.Future[None]
    dropped: str = ""


class _Client(Client):
    """nats-py, without three of its faults.

    Each attempt to reconnect closes the previous socket, which nats-py forgets. Closing without a server drops unsent
    data, which nats-py would try to send, and fail half-way. Sending on a socket that was just closed raises
    ``ConnectionClosedError``, where nats-py lets uvloop's `RuntimeError` pass. In addition, a subscription can receive
    raw bytes, because reading a whole log spends its time on message objects.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taps: dict[int, RawTake] = {}

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        gone = not self.is_connected or self._transport is None
        if gone or self._transport._io_writer.is_closing():  # type: ignore[union-attr] # noqa: SLF001 - of its streams
            self.drop_pending()
        await super()._close(status, do_cbs)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        try:
            return await super()._flush_pending(force_flush)
        except RuntimeError as error:
            raise nats.errors.ConnectionClosedError from error

    def drop_pending(self) -> None:
        """Drop unsent data. nats-py would send it to the next server after its caller got an error."""
        self._pending = []
        self._pending_data_size = 0

    async def subscribe_raw(self, subject: str, take: RawTake) -> Subscription:
        """Subscribe with a function that gets the bytes of each message, before nats-py makes objects of them."""
        subscription = await self.subscribe(subject)
        self._taps[subscription._id] = take  # noqa: SLF001 - what the protocol parser knows it by
        return subscription

    async def unsubscribe_raw(self, subscription: Subscription) -> None:
        """End a raw subscription."""
        self._taps.pop(subscription._id, None)  # noqa: SLF001
        if self.is_connected:
            await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        take = self._taps.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            take(subject, reply, data, headers)

    async def send(self, commands: bytes) -> None:
        """Send commands of the NATS protocol unchanged; at once if nothing is waiting to be sent."""
        if self.is_connected and self._transport is not None and not self._pending:
            try:
                self._transport.write(commands)
            except RuntimeError as error:
                raise nats.errors.ConnectionClosedError from error
            return
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()


class Connection:
    """A connection and its open requests.

    Attributes:
        client: The nats-py client, for subscriptions.
        lost: How many times the connection was lost.
        watchers: Events that are set when the connection is lost.
        complaint: The last error that a server reported, such as a missing permission.
        dropped: How many answers were dropped because they did not match their request.
        sent: The events that were sent over it last.
    """

    def __init__(self, name: str, inbox_prefix: str) -> None:
        self.client = _Client()
        self.lost = 0
        self.watchers: set[asyncio.Event] = set()
        self.complaint = ""
        self.dropped = 0
        self.sent = Sent()
        self._name = name
        self._inbox = f"{inbox_prefix}.{secrets.token_hex(_TOKEN_BYTES)}"
        self._waiting: dict[str, _Request] = {}
        self._connected = asyncio.Event()
        self._closing = False
        self._told: set[str] = set()

    @classmethod
    async def open(cls, url: str, name: str, *, inbox_prefix: str | None = None) -> "Connection":
        """Connect to one of the servers of a comma-separated URL.

        Args:
            url: The servers and the user.
            name: This connection's name on the servers.
            inbox_prefix: Where this user receives answers; by default derived from the URL by `derive_inbox_prefix`.

        Raises:
            Unavailable: No server accepts connections, or none accepts this user.
            Corrupt: The user may not subscribe to its inbox.
        """
        inbox_prefix = inbox_prefix or derive_inbox_prefix(url)
        connection = cls(name, inbox_prefix)
        servers = [part.strip() for part in url.split(",") if part.strip()]
        await _wait_for_socket(servers)
        try:
            await connection.client.connect(
                servers=servers,
                name=name,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type] # only slept for
                connect_timeout=_CONNECT_SECONDS_MAX,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=2,
                inbox_prefix=inbox_prefix,
                disconnected_cb=connection._on_lost,
                reconnected_cb=connection._on_back,
                error_cb=connection._on_error,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await connection.client.close()
            raise Unavailable("NATS", f"{_describe(servers)} refused the connection of {name}: {error}") from error
        connection._connected.set()
        try:
            await connection._hear_answers(inbox_prefix)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _hear_answers(self, inbox_prefix: str) -> None:
        await self.client.subscribe_raw(f"{self._inbox}.*", self._receive)
        try:
            await self.client.flush(_CONNECT_SECONDS_MAX)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("NATS", f"the connection was lost while it was being made: {error}") from error
        if self._inbox.lower() in self.complaint:
            raise Corrupt(
                f"this NATS user may not subscribe to {inbox_prefix}.>; give it that right, or set "
                "MARKETPLACE_NATS_INBOX_PREFIX to its inbox prefix"
            )

    async def close(self) -> None:
        """Close the connection. Waiting requests fail."""
        self._closing = True
        self._fail_waiting("the connection was closed")
        with contextlib.suppress(OSError):
            await self.client.close()

    @property
    def is_connected(self) -> bool:
        """Whether a server can be reached at this moment."""
        return self._connected.is_set()

    async def wait_connected(self, deadline: float) -> None:
        """Wait until connected, or raise `NoAnswer` at the deadline (of `time.monotonic`)."""
        if self._connected.is_set():
            return
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._connected.wait()
        except TimeoutError:
            raise NoAnswer("no server can be reached") from None

    async def tell(self, subject: str, payload: bytes) -> None:
        """Publish a message without confirmation. It is lost, without an error, if the connection is."""
        if self._connected.is_set():
            with contextlib.suppress(nats.errors.Error, OSError):
                await self.client.publish(subject, payload)

    def new_inbox(self) -> str:
        """Return a subject in this user's inbox that nobody can guess."""
        return f"{self._inbox.rpartition('.')[0]}.{secrets.token_hex(_TOKEN_BYTES)}"

    async def request(self, subject: str, payload: bytes = b"", *, check: Check = _take_any, seconds_max: float) -> Msg:
        """Return the one answer to a message that passes `check`; others are dropped.

        Raises:
            NoAnswer: None came in time, the connection was lost, or the subject has no subscriber.
        """
        answers: list[Msg] = []
        await self._exchange(subject, self._publish(subject, payload), _take_one(answers), check, seconds_max)
        return answers[0]

    async def request_many(
        self, subject: str, payload: bytes, *, check: Check, is_last: Callable[[Msg], bool], seconds_max: float
    ) -> list[Msg]:
        """Return all answers, up to and including the first for which `is_last` is true; at most 1,001.

        An answer that does not pass `check` is dropped.

        Raises:
            NoAnswer: As `request`.
        """
        answers: list[Msg] = []

        def take(answer: Msg) -> bool:
            answers.append(answer)
            return is_last(answer) or len(answers) >= _RESPONSES_MAX

        await self._exchange(subject, self._publish(subject, payload), take, check, seconds_max)
        return answers

    async def request_wire(
        self, subject: str, render: Callable[[str], bytes], *, check: Check, seconds_max: float
    ) -> Msg:
        """Return the one answer to commands of the NATS protocol that passes `check`; others are dropped.

        Args:
            subject: What the commands are about, for messages.
            render: Makes the commands, given the subject to answer to.
            check: Recognises the answer.
            seconds_max: How long to wait.

        Raises:
            NoAnswer: As `request`.
        """
        answers: list[Msg] = []

        async def send(reply: str) -> None:
            await self.client.send(render(reply))

        await self._exchange(subject, send, _take_one(answers), check, seconds_max)
        return answers[0]

    def _publish(self, subject: str, payload: bytes) -> Callable[[str], Awaitable[None]]:
        async def send(reply: str) -> None:
            await self.client.publish(subject, payload, reply=reply)

        return send

    async def _exchange(
        self,
        subject: str,
        send: Callable[[str], Awaitable[None]],
        take: Callable[[Msg], bool],
        check: Check,
        seconds_max: float,
    ) -> None:
        if not self._connected.is_set():
            raise NoAnswer("no server can be reached")
        token = secrets.token_hex(_TOKEN_BYTES)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[token] = _Request(subject, check, take, done)
        try:
            async with asyncio.timeout(seconds_max):
                await send(f"{self._inbox}.{token}")
                await done
        except TimeoutError:
            said = " ".join(part for part in (waiting.dropped, self.complaint) if part)
            raise NoAnswer(f"no answer on {subject} within {seconds_max:.1f} s {said}".strip()) from None
        except (nats.errors.Error, OSError) as error:
            raise NoAnswer(f"a request on {subject} could not be sent: {error}") from error
        finally:
            del self._waiting[token]
            done.cancel()

    def drop(self, subject: str, fault: str) -> None:
        """Count a message that is dropped because it does not match its request. Log the 1st, 2nd, 4th, 8th and so on.

        Whoever reads the log can make the servers send any number here, which must not fill the disk.
        """
        self.dropped += 1
        if self.dropped.bit_count() == 1:
            log.warning("answer_dropped", subject=subject, reason=fault, dropped=self.dropped)

    def _receive(self, subject: bytes, reply: bytes, data: bytes, block: bytes | None) -> None:
        """Take an answer as it arrives, before any task that other messages of the same packet woke."""
        name = subject.decode("utf-8", "replace")
        waiting = self._waiting.get(name.rpartition(".")[2])
        if waiting is None or waiting.done.done():
            return
        status, headers = parse_block(block) if block else ("", {})
        if not data and status.startswith(_NO_RESPONDERS):
            waiting.done.set_exception(NoAnswer(f"nobody listens on {waiting.subject}"))
            return
        if status:
            headers[_STATUS] = status[:_STATUS_LENGTH]
        message = Msg(self.client, name, reply.decode("utf-8", "replace"), data, headers)
        try:
            fault = waiting.check(message)
        except Exception as error:  # noqa: BLE001 - a forged answer must not end the reading of the connection
            fault = repr(error)
        if fault:
            waiting.dropped = f"(an answer was dropped: {fault})"
            self.drop(waiting.subject, fault)
        elif waiting.take(message):
            waiting.done.set_result(None)

    async def _on_lost(self) -> None:
        self.client.drop_pending()
        self.lost += 1
        self._connected.clear()
        self._fail_waiting("the connection was lost")
        for watcher in self.watchers:
            watcher.set()
        self._told.clear()
        if not self._closing:
            log.warning("nats_lost", connection=self._name)

    async def _on_back(self) -> None:
        self._connected.set()
        log.warning("nats_back", connection=self._name)

    async def _on_error(self, error: Exception) -> None:
        self.complaint = f"({error})" if str(error) else ""
        if self.lost and not self.is_connected and self.complaint not in self._told:
            self._told.add(self.complaint)
            log.warning("nats_unreachable", connection=self._name, reason=str(error))
        if "permissions violation" in self.complaint.lower():
            refused = [waiting for waiting in self._waiting.values() if waiting.subject.lower() in self.complaint]
            _fail(refused, self.complaint)

    def _fail_waiting(self, reason: str) -> None:
        _fail(list(self._waiting.values()), reason)


def _take_one(answers: list[Msg]) -> Callable[[Msg], bool]:
    def take(answer: Msg) -> bool:
        answers.append(answer)
        return True

    return take


def _fail(requests: list[_Request], reason: str) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(NoAnswer(reason))


async def _wait_for_socket(servers: list[str]) -> None:
    """Return once an address accepts a connection. Each is tried twice: nats-py needs two seconds to find none.

    Raises:
        Unavailable: None answered.
    """
    for server in [*servers, *servers]:
        address = urlsplit(server if "://" in server else f"nats://{server}")
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                _, writer = await asyncio.open_connection(address.hostname, address.port or _DEFAULT_PORT)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
    raise Unavailable("NATS", f"no server accepts connections at {_describe(servers)}; start one or correct the URL")


def _describe(servers: list[str]) -> str:
    """Return the addresses without user and password."""
    return ", ".join(server.rpartition("@")[2].removeprefix("nats://") for server in servers) or "no address"


async def call_api(
    connection: Connection,
    subject: str,
    body: Mapping[str, object] | None,
    *,
    seconds_max: float,
    answers: str = "",
    check: Callable[[dict[str, object]], str] = lambda _: "",
) -> dict[str, object]:
    """Return the decoded answer of a JetStream API subject. The caller reads its `error` member.

    Args:
        connection: Where to ask.
        subject: The API subject.
        body: The request body, or None.
        seconds_max: How long to wait.
        answers: The end of the answer's `type`, such as ``stream_info_response``; empty for any.
        check: Returns why an answer without an error does not match the request; empty if it does.

    Raises:
        NoAnswer: As `Connection.request`.
    """
    decoded: dict[str, object] = {}

    def check_answer(message: Msg) -> str:
        nonlocal decoded
        try:
            decoded = msgspec.json.decode(message.data, type=dict[str, object])
        except msgspec.DecodeError:
            return f"it is no JSON object: {message.data[:200]!r}"
        kind = decoded.get("type")
        if not isinstance(kind, str) or not (
            kind == _API_TYPE + answers or (not answers and kind.startswith(_API_TYPE))
        ):
            return f"its type is {kind!r}, expected {_API_TYPE}{answers}"
        error = decoded.get("error")
        if error is None:
            return check(decoded)
        return "" if isinstance(error, dict) else f"its error is {error!r}"

    payload = b"" if body is None else msgspec.json.encode(body)
    await connection.request(subject, payload, check=check_answer, seconds_max=seconds_max)
    return decoded
