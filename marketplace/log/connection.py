"""One NATS connection for the log: it reconnects for ever, and tells at once what a lost connection left unanswered.

nats-py lets a request wait for its full timeout when the server dies under it. Here every waiting request fails the
moment the connection is lost, so that an append is sent again as soon as a server is back.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from marketplace.core.errors import Corrupt, Unavailable

_DEFAULT_PORT = 4222
_CONNECT_SECONDS_MAX = 3
_RECONNECT_SECONDS = 0.1
_PING_SECONDS = 5
_RESPONSES_MAX = 1_001
_NO_RESPONDERS = "503"
_STATUS = "Status"


class NoAnswer(Unavailable):
    """NATS did not answer a request; what it asked for may or may not have been done."""

    def __init__(self, reason: str) -> None:
        super().__init__("NATS", reason)


RawTake = Callable[[bytes, bytes, bytes, bytes | None], None]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits: where it went, what takes an answer, and what is resolved by the last one."""

    subject: str
    receive: Callable[[Msg], None]
    done: asyncio.Future[None]


class _Client(Client):
    """nats-py, without two of its faults.

    Each attempt to reconnect closes the socket of the one before, which nats-py forgets. Leaving while no server is
    there drops what cannot be sent, where nats-py tries to send it and fails half-way. Beside that, a subscription
    may take raw bytes, which is what reading a whole log spends its time on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taps: dict[int, RawTake] = {}

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if not self.is_connected:
            self._pending = []
            self._pending_data_size = 0
        await super()._close(status, do_cbs)

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
        """Send commands of the NATS protocol as they are."""
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()


class Connection:
    """A connection and its open requests.

    Attributes:
        client: The nats-py client, for subscriptions.
        lost: How many times the connection was lost.
        watchers: Events that are set when the connection is lost.
        complaint: The last thing that a server complained about, such as a missing permission.
    """

    def __init__(self, name: str) -> None:
        self.client = _Client()
        self.lost = 0
        self.watchers: set[asyncio.Event] = set()
        self.complaint = ""
        self._name = name
        self._prefix = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Request] = {}
        self._connected = asyncio.Event()

    @classmethod
    async def open(cls, url: str, name: str) -> "Connection":
        """Connect to one of the servers of a comma-separated URL.

        Raises:
            Unavailable: No server accepts connections, or none lets this user in.
        """
        connection = cls(name)
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
                disconnected_cb=connection._on_lost,
                reconnected_cb=connection._on_back,
                error_cb=connection._on_error,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await connection.client.close()
            raise Unavailable("NATS", f"{_describe(servers)} did not let {name} in: {error}") from error
        connection._connected.set()
        connection._prefix = connection.client.new_inbox()
        await connection.client.subscribe(f"{connection._prefix}.*", cb=connection._receive)
        return connection

    async def close(self) -> None:
        """Leave; waiting requests fail."""
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

    async def request(self, subject: str, payload: bytes = b"", *, seconds_max: float) -> Msg:
        """Return the one answer to a message.

        Raises:
            NoAnswer: None came in time, the connection was lost, or nobody listens on the subject.
        """
        answers: list[Msg] = []
        await self._exchange(subject, self._publish(subject, payload), _take_one(answers), seconds_max)
        return answers[0]

    async def request_many(
        self, subject: str, payload: bytes, *, is_last: Callable[[Msg], bool], seconds_max: float
    ) -> list[Msg]:
        """Return all answers to a message up to the one that `is_last`, that one included; at most 1,001.

        Raises:
            NoAnswer: As `request`.
        """
        answers: list[Msg] = []

        def take(answer: Msg) -> bool:
            answers.append(answer)
            return is_last(answer) or len(answers) >= _RESPONSES_MAX

        await self._exchange(subject, self._publish(subject, payload), take, seconds_max)
        return answers

    async def request_wire(self, subject: str, render: Callable[[str], bytes], *, seconds_max: float) -> Msg:
        """Return the one answer to commands of the NATS protocol.

        Args:
            subject: What the commands are about, for messages.
            render: Makes the commands, given the subject to answer to.
            seconds_max: How long to wait.

        Raises:
            NoAnswer: As `request`.
        """
        answers: list[Msg] = []

        async def send(reply: str) -> None:
            await self.client.send(render(reply))

        await self._exchange(subject, send, _take_one(answers), seconds_max)
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
        seconds_max: float,
    ) -> None:
        if not self._connected.is_set():
            raise NoAnswer("no server can be reached")
        token = str(next(self._numbers))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def receive(answer: Msg) -> None:
            if done.done():
                return
            if not answer.data and (answer.headers or {}).get(_STATUS) == _NO_RESPONDERS:
                done.set_exception(NoAnswer(f"nobody listens on {subject}"))
            elif take(answer):
                done.set_result(None)

        self._waiting[token] = _Request(subject, receive, done)
        try:
            async with asyncio.timeout(seconds_max):
                await send(f"{self._prefix}.{token}")
                await done
        except TimeoutError:
            raise NoAnswer(f"no answer on {subject} within {seconds_max:.1f} s {self.complaint}".strip()) from None
        except (nats.errors.Error, OSError) as error:
            raise NoAnswer(f"a request on {subject} could not be sent: {error}") from error
        finally:
            del self._waiting[token]
            done.cancel()

    async def _receive(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None:
            waiting.receive(message)

    async def _on_lost(self) -> None:
        self.lost += 1
        self._connected.clear()
        self._fail_waiting("the connection was lost")
        for watcher in self.watchers:
            watcher.set()

    async def _on_back(self) -> None:
        self._connected.set()

    async def _on_error(self, error: Exception) -> None:
        self.complaint = f"({error})" if str(error) else ""
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
    """Raise at once where no port answers, asked twice: nats-py takes two seconds to find out."""
    for server in [*servers, *servers]:
        address = urlsplit(server if "://" in server else f"nats://{server}")
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                _, writer = await asyncio.open_connection(address.hostname, address.port or _DEFAULT_PORT)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
    raise Unavailable("NATS", f"no server accepts connections at {_describe(servers)}; start one or mend the URL")


def _describe(servers: list[str]) -> str:
    """Return the addresses without user and password."""
    return ", ".join(server.rpartition("@")[2].removeprefix("nats://") for server in servers) or "no address"


async def call_api(
    connection: Connection, subject: str, body: Mapping[str, object] | None, *, seconds_max: float
) -> dict[str, object]:
    """Return the decoded answer of a JetStream API subject; its `error` member is the caller's to read.

    Raises:
        NoAnswer: As `Connection.request`.
        Corrupt: The answer is not JSON.
    """
    payload = b"" if body is None else msgspec.json.encode(body)
    answer = await connection.request(subject, payload, seconds_max=seconds_max)
    try:
        return msgspec.json.decode(answer.data, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise Corrupt(f"{subject} answered what is not JSON: {answer.data[:200]!r}") from error
