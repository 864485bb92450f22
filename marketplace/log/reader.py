"""Reading the stream: one aggregate by direct get, everything by an ordered consumer of our own.

A page of events costs one message each either way; the push consumer with flow control measured two to three times
as fast as direct gets, nats-py's own ordered consumer and pull fetches. Losing it costs nothing: it is made anew from
the next sequence, and a sequence that does not follow is never let through.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import nats.errors
from nats.aio.msg import Msg

from events.envelope import parse_headers
from marketplace.core.errors import Corrupt, Unavailable
from marketplace.log.connection import Connection, NoAnswer, call_api
from marketplace.log.port import Recorded
from marketplace.log.stream import read_error

_HEARTBEAT_NANOSECONDS = 10**9
_SILENCE_SECONDS_MAX = 3.0
_INACTIVE_NANOSECONDS = 30 * 10**9
_RESTART_SECONDS = 0.1
_ATTEMPT_SECONDS_MAX = 1.0
_BUFFERED_PAGES_MAX = 4
_SHORT_REPLY_TOKENS = 9
_MESSAGE_NOT_FOUND = 10037

_Answer = TypeVar("_Answer")


class Feed:
    """One life of a push consumer: events in order from one sequence on, until it ends or falls silent."""

    def __init__(self, connection: Connection, after: int, page_max: int) -> None:
        self._connection = connection
        self._position = after
        self._consumer_position = 0
        self._page_max = page_max
        self._buffer: list[Recorded] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._broken = False
        self._error: Corrupt | None = None
        self._lost = connection.lost

    async def receive(self, message: Msg) -> None:
        """Take one delivery; wait where the reader is far behind, which holds the server back."""
        if self._broken:
            return
        headers = message.headers
        if headers is not None and "Status" in headers:
            await self._receive_status(message, headers)
            return
        try:
            self._take(message, headers or {})
        except Corrupt as error:
            self._error = error
            self._broken = True
        self._arrived.set()
        if len(self._buffer) >= _BUFFERED_PAGES_MAX * self._page_max:
            self._room.clear()
            await self._room.wait()

    async def _receive_status(self, message: Msg, headers: Mapping[str, str]) -> None:
        answer_to = message.reply or headers.get("Nats-Consumer-Stalled", "")
        if answer_to:
            await self._connection.client.publish(answer_to)
        self._arrived.set()

    def _take(self, message: Msg, headers: Mapping[str, str]) -> None:
        sequence, consumer_sequence = _parse_reply(message.reply)
        if consumer_sequence != self._consumer_position + 1:
            self._broken = True
            return
        if sequence != self._position + 1:
            raise Corrupt(
                f"the event after sequence {self._position} has sequence {sequence}: the events between are missing; "
                "restore the log"
            )
        self._buffer.append(parse_recorded(sequence, message.subject, headers, message.data))
        self._position = sequence
        self._consumer_position = consumer_sequence

    async def pages(self) -> AsyncIterator[list[Recorded]]:
        """Yield what has arrived, until the consumer is lost."""
        while True:
            if self._buffer:
                page, self._buffer = self._buffer[: self._page_max], self._buffer[self._page_max :]
                self._room.set()
                yield page
                continue
            if self._error is not None:
                raise self._error
            if self._broken or self._connection.lost != self._lost:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(_SILENCE_SECONDS_MAX):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def end(self) -> None:
        """Let go of a delivery that waits for room."""
        self._broken = True
        self._room.set()


class Reader:
    """Reads one stream.

    Args:
        connection: Where from.
        stream: Its name.
        page_max: Messages in a page.
        seconds_max: How long to wait for one answer.
        patience_seconds: How long a read that ends may stand still, long enough for an election.
        replicated: Whether a direct get may be answered by a replica that is behind.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        *,
        page_max: int,
        seconds_max: float,
        patience_seconds: float,
        replicated: bool,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._page_max = page_max
        self._seconds_max = seconds_max
        self._patience_seconds = patience_seconds
        self._replicated = replicated

    async def load(self, subject: str, after: int) -> list[Recorded]:
        """Return the events of one subject after a sequence, up to the leader's last one.

        Raises:
            Unavailable: No answer.
            Corrupt: What is stored there is not an event.
        """
        events: list[Recorded] = []
        end = asyncio.ensure_future(self._find_last(subject)) if self._replicated else None
        try:
            more = True
            while more:
                page, more = await self._load_page(subject, events[-1].sequence if events else after)
                events += page
        finally:
            last = await end if end is not None else 0
        while (events[-1].sequence if events else after) < last:
            following = await self._get(
                {"seq": (events[-1].sequence if events else after) + 1, "next_by_subj": subject}
            )
            if following is None:
                break
            events.append(following)
        return events

    async def _load_page(self, subject: str, after: int) -> tuple[list[Recorded], bool]:
        """Return a page by one direct get, and whether there is more."""
        request = {"seq": after + 1, "next_by_subj": subject, "batch": self._page_max}

        async def ask(seconds_max: float) -> list[Msg]:
            return await self._connection.request_many(
                f"$JS.API.DIRECT.GET.{self._stream}",
                msgspec.json.encode(request),
                is_last=_is_status,
                seconds_max=seconds_max,
            )

        *found, end = await self._ask_again(ask)
        headers = end.headers or {}
        return [_parse_direct(answer) for answer in found], int(headers.get("Nats-Num-Pending", "0")) > 0

    async def _find_last(self, subject: str) -> int:
        last = await self._get({"last_by_subj": subject})
        return last.sequence if last is not None else 0

    async def find(self, sequence: int) -> Recorded | None:
        """Return the event at a sequence, as the leader knows it."""
        return await self._get({"seq": sequence}) if sequence > 0 else None

    async def _get(self, request: Mapping[str, object]) -> Recorded | None:
        """Ask the leader for one message."""

        async def ask(seconds_max: float) -> dict[str, object]:
            return await call_api(
                self._connection, f"$JS.API.STREAM.MSG.GET.{self._stream}", request, seconds_max=seconds_max
            )

        answer = await self._ask_again(ask)
        error = read_error(answer)
        if error is None:
            return _parse_stored(answer)
        if error[0] == _MESSAGE_NOT_FOUND:
            return None
        raise Unavailable("NATS", f"stream {self._stream} cannot be read: {error[1]} (error {error[0]})")

    async def _ask_again(self, ask: Callable[[float], Awaitable[_Answer]]) -> _Answer:
        """Return an answer; where none comes, ask again for as long as one may take: a leader may be in election."""
        deadline = time.monotonic() + self._seconds_max
        while True:
            try:
                return await ask(min(_ATTEMPT_SECONDS_MAX, self._seconds_max))
            except NoAnswer:
                if time.monotonic() + _RESTART_SECONDS > deadline:
                    raise
            await asyncio.sleep(_RESTART_SECONDS)

    async def read(self, after: int, end: int | None) -> AsyncIterator[list[Recorded]]:
        """Yield pages after a sequence: up to `end`, or for ever where it is None.

        Raises:
            Unavailable: With an end, when no event came for as long as its patience lasts.
            Corrupt: A sequence is missing, or a message is not an event.
        """
        position = after
        progress = time.monotonic()
        while end is None or position < end:
            try:
                await self._connection.wait_connected(time.monotonic() + self._seconds_max)
                async with self._open_feed(position) as feed:
                    async for page in feed.pages():
                        wanted = page if end is None else page[: end - position]
                        position = wanted[-1].sequence
                        yield wanted
                        progress = time.monotonic()
                        if position == end:
                            return
            except NoAnswer:
                if end is not None and time.monotonic() - progress > self._patience_seconds:
                    raise
            await asyncio.sleep(_RESTART_SECONDS)

    @asynccontextmanager
    async def _open_feed(self, after: int) -> AsyncIterator[Feed]:
        feed = Feed(self._connection, after, self._page_max)
        client = self._connection.client
        inbox = client.new_inbox()
        try:
            subscription = await client.subscribe(inbox, cb=feed.receive)
        except nats.errors.Error as error:
            raise NoAnswer(f"the stream cannot be subscribed to: {error}") from error
        try:
            await self._create_consumer(inbox, after + 1)
            yield feed
        finally:
            feed.end()
            if client.is_connected:
                await subscription.unsubscribe()

    async def _create_consumer(self, inbox: str, first: int) -> None:
        name = f"read-{uuid.uuid4().hex}"
        config = {
            "name": name,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": first,
            "ack_policy": "none",
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": _HEARTBEAT_NANOSECONDS,
            "inactive_threshold": _INACTIVE_NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}"
        error = read_error(await call_api(self._connection, subject, body, seconds_max=self._seconds_max))
        if error is not None:
            raise NoAnswer(f"stream {self._stream} cannot be followed: {error[1]} (error {error[0]})")


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


def parse_recorded(sequence: int, subject: str, headers: Mapping[str, str], body: bytes) -> Recorded:
    """Return a stored message as an event.

    Raises:
        Corrupt: It is none.
    """
    try:
        return Recorded(sequence, subject, parse_headers(headers), body)
    except ValueError as error:
        raise Corrupt(f"message {sequence} on {subject} is not a marketplace event: {error}") from error


def _parse_reply(reply: str) -> tuple[int, int]:
    """Return stream and consumer sequence from ``$JS.ACK.<stream>.<consumer>.<delivered>.<stream>.<consumer>…``."""
    tokens = reply.split(".")
    shift = 0 if len(tokens) == _SHORT_REPLY_TOKENS else 2
    return int(tokens[5 + shift]), int(tokens[6 + shift])


def _parse_direct(message: Msg) -> Recorded:
    headers = message.headers or {}
    return parse_recorded(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, message.data)


def _parse_stored(answer: Mapping[str, object]) -> Recorded:
    stored = msgspec.convert(answer["message"], _StoredMessage)
    lines = stored.hdrs.decode(errors="replace").split("\r\n")[1:]
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    return parse_recorded(stored.seq, stored.subject, headers, stored.data)


def _is_status(message: Msg) -> bool:
    return not message.data and "Status" in (message.headers or {})
