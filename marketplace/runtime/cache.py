"""States of aggregates in memory, so that a command on the happy path reads nothing.

An entry may be ahead of the log: it is what the state will be once appends in flight are answered. Its head is then
pending. An entry built on an append that failed is dropped, and so is all that was built on it.

Invariants:
    1. An entry is the fold of every event up to its head.
    2. What an entry says of command ids is complete up to its head: a repeated command is always found.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from events.envelope import Envelope
from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import render_subject
from events.types import Event
from marketplace.core.decider import Decider
from marketplace.core.errors import Corrupt
from marketplace.log.port import Head, Log, Recorded

AnyDecider = Decider[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a command left on an aggregate: its fingerprint and the head that its last event made there."""

    fingerprint: str
    head: Head


@dataclass(slots=True, eq=False)
class Entry:
    """One aggregate: its state after the events up to `head`, and the commands that caused them."""

    state: Any
    head: Head
    commands: dict[str, Trace] = field(default_factory=dict)


def parse_event(recorded: Recorded) -> Event:
    """Return the event in a stored message.

    Raises:
        Corrupt: This release does not know its type or cannot read its body.
    """
    try:
        return parse_body(parse_type(recorded.envelope.type), recorded.body)
    except (UnknownEventType, ValueError) as error:
        raise Corrupt(f"event {recorded.sequence} on {recorded.subject} cannot be read: {error}") from error


class Cache:
    """Loads aggregates once and keeps the most recently used.

    Args:
        log: Where events are.
        entries_max: How many aggregates are kept.
    """

    def __init__(self, log: Log, entries_max: int = 200_000) -> None:
        self._log = log
        self._entries_max = entries_max
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Entry]] = {}

    def find(self, subject: str) -> Entry | None:
        """Return the entry of a subject if it is in memory and not built on a failed append."""
        entry = self._entries.get(subject)
        if entry is not None and entry.head.failed:
            del self._entries[subject]
            return None
        return entry

    async def load(self, decider: AnyDecider, id: str) -> Entry:  # noqa: A002 - the field's word
        """Return the entry of an aggregate, from memory or from the log."""
        subject = render_subject(decider.aggregate, id)
        entry = self.find(subject)
        if entry is not None:
            self._entries.move_to_end(subject)
            return entry
        task = self._loading.get(subject)
        if task is None:
            task = asyncio.create_task(self._read(decider, subject))
            self._loading[subject] = task
            task.add_done_callback(lambda _: self._loading.pop(subject, None))
        loaded = await asyncio.shield(task)
        return self.find(subject) or loaded

    async def _read(self, decider: AnyDecider, subject: str) -> Entry:
        entry = extend(decider, Entry(decider.initial, Head(subject)), await self._log.load(subject))
        if self.find(subject) is None:
            self.put(entry)
        return entry

    async def refresh(self, decider: AnyDecider, entry: Entry) -> None:
        """Replace an entry that a conflict proved stale, by the tail of its subject where its head is known."""
        subject = entry.head.subject
        self._entries.pop(subject, None)
        if entry.head.sequence is None or entry.head.failed:
            return
        tail = await self._log.load(subject, after=entry.head.sequence)
        if self.find(subject) is None:
            self.put(extend(decider, entry, tail))

    def put(self, entry: Entry) -> None:
        """Keep an entry, and forget the one that was used the longest ago when there are too many."""
        self._entries[entry.head.subject] = entry
        self._entries.move_to_end(entry.head.subject)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def notice(self, recorded: Recorded) -> None:
        """Drop an entry that misses an event which another process stored."""
        entry = self._entries.get(recorded.subject)
        if entry is not None and entry.head.sequence is not None and entry.head.sequence < recorded.sequence:
            del self._entries[recorded.subject]

    def absorb(self, decider: AnyDecider, recorded: Recorded) -> None:
        """Take an event into its entry, for a reader that began with the first event of the log."""
        entry = self._entries.get(recorded.subject)
        if entry is None:
            if recorded.envelope.previoushash:
                return
            entry = Entry(decider.initial, Head(recorded.subject))
        elif entry.head.sequence is None or entry.head.sequence >= recorded.sequence:
            return
        self.put(extend(decider, entry, (recorded,), keep=True))

    def drop(self, subjects: Iterable[str]) -> None:
        """Forget entries."""
        for subject in subjects:
            self._entries.pop(subject, None)


def extend(decider: AnyDecider, entry: Entry, tail: Iterable[Recorded], *, keep: bool = False) -> Entry:
    """Return the entry after more stored events of its subject; `keep` lets both share what is known of commands."""
    state, head, commands = entry.state, entry.head, entry.commands if keep else dict(entry.commands)
    for recorded in tail:
        state = decider.evolve(state, parse_event(recorded))
        envelope: Envelope = recorded.envelope
        head = Head(recorded.subject, recorded.sequence, envelope.hash)
        commands[envelope.causationid] = Trace(envelope.fingerprint, head)
    return Entry(state, head, commands)
