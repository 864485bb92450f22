"""The log as its users see it, and the values that cross the port.

One stream holds every event in one order; one aggregate is one subject. A `Head` is the last known event of a subject.
A write names the head that it follows and carries the head that it makes. Heads may be pending: a decision may build on
another one that is still in flight, and the log resolves the true sequences as acknowledgements arrive. Decisions on
one busy aggregate can therefore share a group commit.

Invariants:
    1. A write is stored only if its `after` head is the last event of its subject at that moment.
    2. All writes of one append are stored, or none.
    3. An acknowledged append is never lost. A retry never stores it twice.
    4. A write after a head that failed fails as a `Conflict`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from events.envelope import Envelope
from marketplace.log.turns import Turns


class Head:
    """The last event of a subject: known, or pending until its append is answered.

    Attributes:
        subject: The literal NATS subject.
        sequence: Stream sequence of the event; 0 where the subject is empty; None while pending. Set by `settle`.
        hash: Chain hash of that event; empty where the subject is empty.
        failed: The append that should have made this head failed. Set by `fail`.
    """

    __slots__ = ("_answered", "failed", "hash", "sequence", "subject")

    def __init__(self, subject: str, sequence: int | None = 0, hash: str = "", *, failed: bool = False) -> None:  # noqa: A002
        self.subject = subject
        self.hash = hash
        self.sequence = sequence
        self.failed = failed
        self._answered: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"Head({self.subject!r}, {self.sequence!r}, {self.hash!r}, failed={self.failed!r})"

    def settle(self, sequence: int) -> None:
        """Record that the event was stored, and wake who waits for that."""
        self.sequence = sequence
        self._wake()

    def fail(self) -> None:
        """Record that the append failed, and wake who waits for it."""
        self.failed = True
        self._wake()

    def _wake(self) -> None:
        if self._answered is not None:
            self._answered.set()

    async def wait(self) -> bool:
        """Wait until the append is answered; False if it failed."""
        while self.sequence is None and not self.failed:
            if self._answered is None:
                self._answered = asyncio.Event()
            await self._answered.wait()
        return not self.failed


@dataclass(frozen=True, slots=True)
class Message:
    """One event as bytes: sealed envelope (with hash) and JSON body.

    Attributes:
        envelope: With the hash.
        body: JSON.
        once: A name under which the log stores at most one append while it remembers the name (at least two minutes). A
            second one is a `Conflict`, on any subject. Only an append's first message may have one; empty otherwise.
        headers: The headers of a damaged message that is stored again unchanged; None for every sealed event.
        rendered: The headers of the envelope, if they were rendered to seal it; None to render them when it is sent.
    """

    envelope: Envelope
    body: bytes
    once: str = ""
    headers: Mapping[str, str] | None = None
    rendered: Mapping[str, str] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Write:
    """Events for one subject, after one head.

    Attributes:
        after: The head that must still be the last when the events are stored.
        messages: At least one event, in order.
        head: The pending head that the last message makes; the log sets its sequence or its `failed`.
    """

    after: Head
    messages: tuple[Message, ...]
    head: Head


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a stored message is not a valid event at its position.

    Attributes:
        kind: ``headers``, ``subject``, ``hash``, ``link``, ``type`` or ``body``; ``empty`` if there is no message;
            ``orphan`` if the message is sound but may depend on one that is passed over or lost.
        reason: The same in words, with the values.
        hash: Chain hash of what is stored, computed from its bytes, whatever hash the message states.
        headers: The message's own headers, if its envelope does not contain all of them.
    """

    kind: str
    reason: str
    hash: str
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stored event: the position, the subject and the bytes.

    Attributes:
        sequence: Position in the log.
        subject: The literal NATS subject.
        envelope: The attributes; for damaged headers, the readable ones.
        body: The bytes.
        damage: Why it is no valid event; None if it is, or if an annotation keeps it. The log does not check whether
            this release knows its type and can read its body: `log.events.parse_event` does, and raises.
        annotated: Whether an operator annotated it, or accepted its position as empty.
        void: Whether every reader passes over it, because the operator stated so. It then has no effect.
    """

    sequence: int
    subject: str
    envelope: Envelope
    body: bytes
    damage: Damage | None = None
    annotated: bool = False
    void: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is no message at this position."""
        return self.damage is not None and self.damage.kind == "empty"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the log.

    Attributes:
        batch_messages_max: Events in one append, and in one atomic batch.
        page_messages_max: Events in one page of a reader.
        attempts_max: How often an append is sent.
        queue_appends_max: Appends that wait to be sent. Further ones are refused as `Unavailable`.
        ack_seconds_max: How long one request waits for its answer.
        append_seconds_max: How long an append may take in all, with its repetitions.
    """

    batch_messages_max: int = 1_000
    page_messages_max: int = 1_000
    attempts_max: int = 64
    queue_appends_max: int = 10_000
    ack_seconds_max: float = 5.0
    append_seconds_max: float = 20.0


@dataclass(frozen=True, slots=True)
class Health:
    """The server's description of the stream.

    Attributes:
        first_sequence: Position of the first message; 0 if there is none.
        last_sequence: The last position, with or without a message; 0 if the log is new.
        messages: How many messages it holds.
        replicas: How many servers hold a replica.
        warnings: What an operator should mend although the log works, in words.
        append_failure: Why appends fail now, for example which disk is full; empty if they do not.
        append_failure_public: The same without servers and folders, for callers without a key.
        empty: The positions up to the last sequence without a message, in order.
        silence_seconds: How long ago the leader that answers last heard from a majority of the servers. A leader that
            is cut off from the others still answers for some 20 s.
    """

    first_sequence: int
    last_sequence: int
    messages: int
    replicas: int
    warnings: tuple[str, ...] = field(default=())
    append_failure: str = ""
    append_failure_public: str = ""
    empty: tuple[int, ...] = ()
    silence_seconds: float = 0.0


class Log(Protocol):
    """Append, load and read events."""

    @property
    def turns(self) -> Turns:
        """The turns, by which processes that write to one aggregate let each other go first."""
        ...

    async def append(self, writes: Sequence[Write]) -> int:
        """Store all writes atomically and return the stream sequence of the last event.

        The call returns once the events are durable. Appends of one process are sent in call order. If exactly these
        events (by chain hash) are already stored, the append succeeds again and stores nothing.

        Raises:
            Refusal: ``append_too_large`` above `Limits.batch_messages_max` events, ``event_too_large`` above what the
                servers accept.
            Conflict: A guard was refused, and nothing was stored. Or an earlier head that a write builds on failed; if
                that append's outcome is unknown, both may be stored yet.
            Unavailable: The servers did not store it within `Limits.append_seconds_max`. The text says whether it is
                certain that nothing was stored, or unknown. If unknown, send the same command again to find out;
                nothing is stored twice.
        """
        ...

    async def load(self, subject: str, after: int = 0, *, previous_hash: str | None = None) -> list[Recorded]:
        """Return the events of one subject with a sequence above `after`, in order.

        Each is checked: its hash is recomputed, and it must follow the previous event. One that fails has `damage`.
        Whether the first one follows the event at `after` is checked only if the caller gives that event's hash as
        `previous_hash`.

        Raises:
            Unavailable: The servers do not answer.
        """
        ...

    def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """Yield pages of all events above `after` in stream order, at most `page_messages_max` each.

        Without `follow` it ends at the last event that was stored when it began. With `follow` it continues for ever
        and survives reconnects without a gap or a repeat. Each event is checked as by `load`. Its link to the previous
        event is checked if that one was read among the events of the last tens of thousands of subjects. A position
        without a message is yielded as an event with damage of kind ``empty``.

        Raises:
            Corrupt: More positions in a row are empty than `codec.EMPTY_MAX`.
            Unavailable: Without `follow`, when the servers do not answer.
        """
        ...

    async def find(self, sequence: int) -> Recorded | None:
        """Return the event at a sequence, its hash checked; None before the first position and after the last.

        A position without a message is returned as an event with damage of kind ``empty``. The link to the previous
        event is not checked.

        Raises:
            Unavailable: The servers do not answer.
        """
        ...

    async def health(self) -> Health:
        """Return how far the log reaches, and whether it can store events now.

        Raises:
            Unavailable: The servers do not answer.
        """
        ...

    async def close(self) -> None:
        """Finish queued appends and close."""
        ...
