"""An ordered consumer: a push consumer with flow control, for one connection. The reader opens a new one when it ends.

It is two to three times as fast as direct gets, pull fetches and nats-py's ordered consumer. Events are passed on in
order without a gap. A delivery that does not name the stream and consumer of this feed is dropped, and flow control is
answered only on this consumer's own subject: whoever could publish to the feed's inbox must not make the application
publish elsewhere.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors

from marketplace.core.errors import Corrupt
from marketplace.log.codec import EMPTY_MAX, build_empty, parse_recorded
from marketplace.log.connection import Connection, NoAnswer, call_api
from marketplace.log.headers import parse_block
from marketplace.log.port import Recorded
from marketplace.log.stream import STREAM_NOT_FOUND, read_error

_HEARTBEAT_NANOSECONDS = 10**9
_SILENCE_SECONDS_MAX = 3.0
_INACTIVE_NANOSECONDS = 30 * 10**9
_BUFFERED_PAGES_MAX = 4
_SHORT_REPLY_TOKENS = 9
_STALLED = "Nats-Consumer-Stalled"
_OWN_SECONDS = 0.002
"""How long events wait to be read that this process appended: it knows them, and first answers who waits for them."""


class Feed:
    """The events that one push consumer delivers after a sequence, in order.

    It ends when a delivery is missing, when the connection is lost, or when nothing arrives for three seconds.
    """

    def __init__(self, connection: Connection, stream: str, consumer: str, after: int, page_max: int) -> None:
        self._connection = connection
        self._stream = stream
        self._consumer = consumer
        self._names = [stream.encode(), consumer.encode()]
        self._position = after
        self._consumer_position = 0
        self._page_max = page_max
        self._buffer: list[Recorded] = []
        self.arrived = asyncio.Event()
        self._own_due: asyncio.TimerHandle | None = None
        self._answer_to = ""
        self._broken = False
        self._error: Corrupt | None = None
        self._lost = connection.lost

    def receive(self, subject: bytes, reply: bytes, data: bytes, block: bytes | None) -> None:
        """Handle one delivery as bytes."""
        if self._broken:
            return
        name = subject.decode("utf-8", "replace")
        envelope = self._connection.sent.take(name, block, data) if block else None
        if envelope is None:
            self.arrived.set()
        elif self._own_due is None:
            self._own_due = asyncio.get_running_loop().call_later(_OWN_SECONDS, self._read_own)
        status, headers = parse_block(block or b"") if envelope is None else ("", {})
        if status:
            self._note_status(reply.decode("utf-8", "replace") or headers.get(_STALLED, ""))
            return
        place = _parse_reply(reply, self._names)
        if place is None:
            self._connection.drop(f"feed {self._consumer}", f"{reply!r} is not a delivery of this consumer")
        elif not self._moves_on(*place):
            self._broken = True
        elif envelope is None:
            self._buffer.append(parse_recorded(place[0], name, headers, data))
        else:
            self._buffer.append(Recorded(place[0], name, envelope, data))

    def _read_own(self) -> None:
        self._own_due = None
        if self._buffer or self._broken:
            self.arrived.set()

    def _note_status(self, answer_to: str) -> None:
        """Remember where the server's flow control wants its answer; drop what asks for one elsewhere."""
        if answer_to.startswith(f"$JS.FC.{self._stream}.{self._consumer}."):
            self._answer_to = answer_to
        elif answer_to:
            self._connection.drop(f"feed {self._consumer}", f"flow control asks for an answer to {answer_to!r}")

    def _moves_on(self, sequence: int, consumer_sequence: int) -> bool:
        """Return whether a delivery is the next one, and move on to it, past positions without a message."""
        if consumer_sequence != self._consumer_position + 1:
            return False
        if not 0 < sequence - self._position <= EMPTY_MAX + 1:
            self._error = Corrupt(
                f"the event after sequence {self._position} has sequence {sequence}: the events between are missing; "
                "restore the log"
            )
            return False
        self._buffer += [build_empty(number) for number in range(self._position + 1, sequence)]
        self._position = sequence
        self._consumer_position = consumer_sequence
        return True

    async def _ask_for_more(self) -> None:
        """Answer the server's flow control once there is room. Until then, the server holds the next events back."""
        if self._answer_to and len(self._buffer) < _BUFFERED_PAGES_MAX * self._page_max:
            answer_to, self._answer_to = self._answer_to, ""
            await self._connection.client.publish(answer_to)

    async def pages(self) -> AsyncIterator[list[Recorded]]:
        """Yield the events that have arrived, until the feed ends; an empty page at a heartbeat without events.

        Raises:
            Corrupt: More positions in a row are empty than `EMPTY_MAX`.
        """
        while True:
            await self._ask_for_more()
            if self._buffer:
                page, self._buffer = self._buffer[: self._page_max], self._buffer[self._page_max :]
                yield page
                continue
            if self._error is not None:
                raise self._error
            if self._broken or self._connection.lost != self._lost:
                return
            self.arrived.clear()
            try:
                async with asyncio.timeout(_SILENCE_SECONDS_MAX):
                    await self.arrived.wait()
            except TimeoutError:
                return
            if not self._buffer:
                yield []

    def end(self) -> None:
        """Stop receiving."""
        self._broken = True


@asynccontextmanager
async def open_feed(
    connection: Connection, stream: str, after: int, *, page_max: int, seconds_max: float
) -> AsyncIterator[Feed]:
    """Yield a feed of everything after a sequence, and remove its consumer afterwards.

    Raises:
        NoAnswer: The consumer cannot be made now.
        Corrupt: There is no such stream.
    """
    inbox, name = connection.new_inbox(), f"read-{uuid.uuid4().hex}"
    feed = Feed(connection, stream, name, after, page_max)
    client = connection.client
    connection.watchers.add(feed.arrived)
    try:
        subscription = await client.subscribe_raw(inbox, feed.receive)
        try:
            await _create_consumer(connection, stream, name, inbox, after + 1, seconds_max=seconds_max)
            yield feed
        finally:
            feed.end()
            await client.unsubscribe_raw(subscription)
            if client.is_connected:
                await client.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")
    except nats.errors.Error as error:
        raise NoAnswer(f"stream {stream} cannot be subscribed to: {error}") from error
    finally:
        connection.watchers.discard(feed.arrived)


async def _create_consumer(
    connection: Connection, stream: str, name: str, inbox: str, first: int, *, seconds_max: float
) -> None:
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
    body = {"stream_name": stream, "config": config, "action": "create"}
    subject = f"$JS.API.CONSUMER.CREATE.{stream}.{name}"

    def check(answer: dict[str, object]) -> str:
        made = answer.get("name")
        return "" if made == name else f"it describes consumer {made!r}, not {name}"

    error = read_error(
        await call_api(
            connection, subject, body, seconds_max=seconds_max, answers="consumer_create_response", check=check
        )
    )
    if error is not None and error[0] == STREAM_NOT_FOUND:
        raise Corrupt(f"stream {stream} is gone; restore it")
    if error is not None:
        raise NoAnswer(f"stream {stream} cannot be followed: {error[1]} (error {error[0]})")


def _parse_reply(reply: bytes, stream_and_consumer: list[bytes]) -> tuple[int, int] | None:
    """Return stream and consumer sequence of a delivery; None if it is not one of this consumer.

    Its reply subject is ``$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.…``, or the
    same with domain and account after ``$JS.ACK``.
    """
    tokens = reply.split(b".")
    names = 2 if len(tokens) == _SHORT_REPLY_TOKENS else 4
    if len(tokens) < _SHORT_REPLY_TOKENS or tokens[names : names + 2] != stream_and_consumer:
        return None
    sequence, consumer_sequence = tokens[names + 3 : names + 5]
    return (int(sequence), int(consumer_sequence)) if sequence.isdigit() and consumer_sequence.isdigit() else None
