"""States of aggregates in memory, so that a command on the happy path reads nothing.

An entry may be ahead of the log: it is what the state will be once appends in flight are answered. Its head is then
pending. An entry built on an append that failed is void, and so is all that was built on it; what was stored before is
kept beside it, so that only the tail has to be read.

Invariants:
    1. An entry is the fold of every event up to its head.
    2. What an entry says of command ids is complete up to its head: a repeated command is always found.
    3. An event that is noticed while its aggregate is being read is in what is read, or the reading is not kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from events.envelope import Envelope
from events.subjects import render_subject
from events.types import Event
from marketplace.core.decider import Decider
from marketplace.execution.archive import Archive
from marketplace.execution.command_records import CommandRecord, CommandRecords
from marketplace.execution.snapshots import Snapshots, weigh
from marketplace.log.codec import get_link
from marketplace.log.events import parse_event
from marketplace.log.port import Head, Log, Recorded

AnyDecider = Decider[Any, Any, Any]

HEAVY_BYTES_MAX = 1 << 29

READS_MAX = 8
"""How often an aggregate is read on while events of it arrive; what is read then is used and not kept."""


@dataclass(slots=True, eq=False)
class Entry:
    """One aggregate: its state after the events up to `head`, and the commands that caused them.

    All entries that follow one another share `commands`; those of appends in flight are in it too. `line` is set where
    the head was pending when the entry was made. `noticed` is the last event of the subject that the log is known to
    hold; it may be noticed while the head is pending, whose own event it may be. `followed` says that the last
    event came from a feed, which may be behind: the log may have held more when it came.
    """

    state: Any
    head: Head
    commands: CommandRecords = field(default_factory=CommandRecords)
    line: "Line | None" = None
    noticed: int = 0
    followed: bool = False

    def is_stored(self) -> bool:
        """Tell whether the log has said that it has all of this."""
        return self.head.sequence is not None and not self.head.failed

    def is_stale(self) -> bool:
        """Tell whether the log is known to have more than this."""
        return self.head.sequence is not None and self.head.sequence < self.noticed

    def is_void(self) -> bool:
        """Tell whether this rests on an append that failed."""
        return self.head.failed or (self.line is not None and not self.is_stored() and self.line.advance())


@dataclass(slots=True, eq=False)
class Line:
    """Entries built one on another while their appends are in flight, and the last one before them that is stored."""

    base: Entry
    pending: list[Entry] = field(default_factory=list)
    void: bool = False

    def advance(self) -> bool:
        """Move the base up to what was stored meanwhile; return whether an append of the line failed."""
        stored = 0
        while stored < len(self.pending) and self.pending[stored].is_stored():
            stored += 1
        if stored:
            self.base = self.pending[stored - 1]
            del self.pending[:stored]
        if self.pending and self.pending[0].head.failed:
            self.void = True
        return self.void


@dataclass(slots=True, eq=False)
class _Reading:
    """One read of an aggregate, shared by all who wait for it, and the last event of it that was noticed since."""

    task: asyncio.Task[Entry] | None = None
    noticed: int = 0


class Cache:
    """Loads aggregates once and keeps the most recently used.

    Args:
        log: Where events are.
        entries_max: How many aggregates are kept.
        archive: Where long lives are kept between processes; None for nowhere.
        bytes_max: How much memory the states of long lives take together; at least one is kept.
    """

    def __init__(
        self, log: Log, entries_max: int = 200_000, *, archive: Archive | None = None, bytes_max: int = HEAVY_BYTES_MAX
    ) -> None:
        self._log = log
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._heavy: OrderedDict[str, int] = OrderedDict()
        self._heavy_bytes = 0
        self.snapshots = Snapshots(log, archive)
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._readings: dict[str, _Reading] = {}

    def find(self, subject: str) -> Entry | None:
        """Return the entry of a subject if it is in memory and not built on a failed append."""
        entry = self._entries.get(subject)
        return None if entry is None or entry.is_stale() or entry.is_void() else entry

    async def load(self, decider: AnyDecider, id: str) -> Entry:  # noqa: A002 - the field's word
        """Return the entry of an aggregate, from memory or from the log."""
        subject = render_subject(decider.aggregate, id)
        if self._log.turns.find_end(subject):
            await self._log.turns.wait(subject)
        entry = self.find(subject)
        if entry is not None:
            self._entries.move_to_end(subject)
            if subject in self._heavy:
                self._heavy.move_to_end(subject)
                self._offer(entry)
            return entry
        void = self._entries.get(subject)
        base = _find_stored(void) if void is not None else None
        loaded = await asyncio.shield(self._begin(decider, base or Entry(decider.initial, Head(subject))))
        return self.find(subject) or loaded

    def _offer(self, entry: Entry) -> None:
        """Let what is stored of an entry be kept in the archive, where it has grown enough."""
        stored = _find_stored(entry)
        if stored is not None:
            self.snapshots.offer(stored.state, stored.head, stored.commands)

    def assume_new(self, decider: AnyDecider, subject: str) -> None:
        """Take a subject that is not in memory for empty; the guard of the append finds out if it is not."""
        if subject not in self._entries and subject not in self._readings:
            self.put(Entry(decider.initial, Head(subject)))

    def _begin(self, decider: AnyDecider, base: Entry) -> asyncio.Task[Entry]:
        """Return the reading of the events that follow `base`; who asks meanwhile gets the same one."""
        subject = base.head.subject
        reading = self._readings.get(subject)
        if reading is None:
            reading = self._readings[subject] = _Reading()
            reading.task = asyncio.create_task(self._read(decider, base, reading))
            reading.task.add_done_callback(lambda task: self._end(subject, task))
        assert reading.task is not None, "a reading is known once it has begun"
        return reading.task

    def _end(self, subject: str, task: asyncio.Task[Entry]) -> None:
        """Forget a reading, also one that failed after all who waited for it left."""
        self._readings.pop(subject, None)
        if not task.cancelled():
            task.exception()

    async def _read(self, decider: AnyDecider, entry: Entry, reading: _Reading) -> Entry:
        if not entry.head.sequence:
            restored = await self.snapshots.restore(decider.initial, entry.head.subject)
            entry = entry if restored is None else Entry(*restored)
        for _ in range(READS_MAX):
            head = entry.head
            tail = await self._log.load(head.subject, after=head.sequence or 0, previous_hash=head.hash)
            entry = extend(decider, entry, tail)
            if (entry.head.sequence or 0) >= reading.noticed:
                entry.noticed, entry.followed = 0, False
                if self.find(entry.head.subject) is None:
                    self.put(entry)
                break
        return entry

    def refresh(self, decider: AnyDecider, entry: Entry, *, to_end: bool = True) -> asyncio.Task[Entry] | None:
        """Begin to bring an entry that may be stale up to date, by the tail of its subject.

        Args:
            decider: Of the aggregate.
            entry: What was looked at.
            to_end: Whether what a feed brought meanwhile does not do, since the log may hold more.
        """
        subject = entry.head.subject
        current = self.find(subject)
        if to_end and current is not None and current.followed:
            entry = current
        stored = _find_stored(entry)
        if stored is None or (current is not None and current is not entry):
            return None
        self._entries.pop(subject, None)
        return self._begin(decider, stored)

    def put_pending(self, before: Entry, state: Any, head: Head) -> Entry:
        """Keep what an aggregate will be once an append is stored, and return it."""
        if before.is_stored():
            before.line = None  # else every entry would keep the one before it, back to the first
        line = before.line or Line(before)
        entry = Entry(state, head, before.commands, line)
        line.pending.append(entry)
        line.advance()
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep an entry, and forget the one that was used the longest ago when there are too many."""
        subject = entry.head.subject
        self._entries[subject] = entry
        self._entries.move_to_end(subject)
        if len(self._entries) > self._entries_max:
            forgotten, _ = self._entries.popitem(last=False)
            self._heavy_bytes -= self._heavy.pop(forgotten, 0)
        size = weigh(entry.state)
        if size:
            self._heavy_bytes += size - self._heavy.get(subject, 0)
            self._heavy[subject] = size
            self._heavy.move_to_end(subject)
            while self._heavy_bytes > self._bytes_max and len(self._heavy) > 1:
                forgotten, lighter = self._heavy.popitem(last=False)
                self._heavy_bytes -= lighter
                self._entries.pop(forgotten, None)

    def notice(self, recorded: Recorded) -> None:
        """Let an entry that misses an event which another process stored be brought up to date before its next use."""
        self._tell_reading(recorded)
        entry = self._entries.get(recorded.subject)
        if entry is not None:
            entry.noticed = max(entry.noticed, recorded.sequence)

    def forget(self, subject: str) -> None:
        """Let an aggregate be read anew before its next use: what its events mean has changed."""
        self._entries.pop(subject, None)
        self._heavy_bytes -= self._heavy.pop(subject, 0)

    def apply(self, decider: AnyDecider, recorded: Recorded, event: Event, *, from_first: bool = False) -> None:
        """Take the next event that a reader of the whole log brings into its entry, where it follows what is stored.

        An entry whose append is in flight gives way to what another process stored before it: that append can only
        be refused, and what is decided now rests on what the log holds.

        Args:
            decider: Of the aggregate.
            recorded: The event as it is stored.
            event: The event.
            from_first: Whether the reader began with the first event of the log, so that it knows aggregates that
                nobody asked for.
        """
        self._tell_reading(recorded)
        entry = self._entries.get(recorded.subject)
        if entry is None:
            if not from_first or recorded.envelope.previoushash:
                return
            entry = Entry(decider.initial, Head(recorded.subject))
        stored = _find_stored(entry)
        if stored is None or stored.head.sequence is None or stored.head.sequence >= recorded.sequence:
            return
        if stored is not entry:
            own = entry.commands.find(recorded.envelope.causationid)
            if stored.head.hash != recorded.envelope.previoushash or own is not None:
                entry.noticed = max(entry.noticed, recorded.sequence)
                return
            assert entry.line is not None, "an entry that is not stored is in a line"
            for pending in entry.line.pending:
                pending.head.failed = True
        elif stored.head.hash != recorded.envelope.previoushash:
            self.forget(recorded.subject)
            return
        entry = _extend_by(decider, stored, recorded, event)
        entry.followed = True
        self.put(entry)

    def _tell_reading(self, recorded: Recorded) -> None:
        reading = self._readings.get(recorded.subject)
        if reading is not None:
            reading.noticed = max(reading.noticed, recorded.sequence)


def _find_stored(entry: Entry) -> Entry | None:
    """Return the last entry at or before this one that is known to be stored, None where none is in memory."""
    if entry.line is None or entry.is_stored():
        return entry if entry.is_stored() else None
    entry.line.advance()
    return entry.line.base


def extend(decider: AnyDecider, entry: Entry, tail: Iterable[Recorded]) -> Entry:
    """Return the entry after more stored events of its subject; the same one where there are none."""
    for recorded in tail:
        if recorded.void:
            head = Head(recorded.subject, recorded.sequence, get_link(recorded, entry.head.hash))
            entry = Entry(entry.state, head, entry.commands)
        else:
            entry = _extend_by(decider, entry, recorded, parse_event(recorded))
    return entry


def _extend_by(decider: AnyDecider, entry: Entry, recorded: Recorded, event: Event) -> Entry:
    envelope: Envelope = recorded.envelope
    head = Head(recorded.subject, recorded.sequence, envelope.hash)
    entry.commands.put(envelope.causationid, CommandRecord(envelope.fingerprint, head))
    return Entry(decider.evolve(entry.state, event), head, entry.commands)
