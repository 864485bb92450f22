"""Events for the log's tests: real envelopes, sealed into the chain."""

import asyncio
import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from events.envelope import Envelope
from events.subjects import render_subject
from marketplace.log.codec import seal
from marketplace.log.port import Head, Log, Write

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def new_subject(aggregate: str = "order") -> str:
    return render_subject(aggregate, f"ord_{uuid.uuid4().hex}")


def make_envelope(subject: str, name: str | None = None) -> Envelope:
    number = next(_numbers)
    _, aggregate, aggregate_id = subject.split(".")
    name = name or f"cmd_{uuid.uuid4().hex}/0"
    return Envelope(
        id=name,
        source="/marketplaces/tests",
        type=f"marketplace.{aggregate}.placed.v1",
        subject=f"{aggregate}/{aggregate_id}",
        time=_BEGIN + timedelta(microseconds=number),
        dataschema=f"/schemas/{aggregate}.placed.v1.json",
        correlationid=name.split("/")[0],
        causationid=name.split("/")[0],
        actor="pty_tests",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def make_write(after: Head, *bodies: bytes) -> Write:
    """Return a write of one event per body (one event where there is none), after a head."""
    previous = after.hash
    messages = []
    for body in bodies or (b'{"nodes":4}',):
        message = seal(after.subject, previous, make_envelope(after.subject), body)
        previous = message.envelope.hash
        messages.append(message)
    return Write(after, tuple(messages), Head(after.subject, sequence=None, hash=previous))


def make_writes(count: int) -> list[Write]:
    """Return writes of one event each, to new subjects."""
    return [make_write(Head(new_subject())) for _ in range(count)]


def read_hashes(writes: Sequence[Write]) -> list[str]:
    return [message.envelope.hash for write in writes for message in write.messages]


class Writers:
    """Chains of events, each written on and on after its own head, until they are stopped.

    `acknowledged` holds the hashes of what the log said is stored.
    """

    def __init__(self, log: Log, at_once: int) -> None:
        self._log = log
        self._stop = asyncio.Event()
        self.acknowledged: list[str] = []
        self._writing = asyncio.gather(*(self._write_on() for _ in range(at_once)))

    async def _write_on(self) -> None:
        head = Head(new_subject())
        while not self._stop.is_set():
            write = make_write(head)
            await self._log.append([write])
            self.acknowledged.append(write.head.hash)
            head = write.head

    async def stop(self, seconds_max: float) -> None:
        self._stop.set()
        await asyncio.wait_for(self._writing, seconds_max)
