"""States of aggregates in memory, so that a command usually reads nothing.

A cached state may be ahead of the log: it is then the state after appends that are still in flight, and its head is
pending. If such an append fails, the cached state and all built on it are void. The last stored one is kept beside it,
so that only the tail of the subject must be read again.

Invariants:
    1. A cached state is the fold of every event up to its head.
    2. Its command records are complete up to its head, so a repeated command is always found.
    3. An event that is noticed while its aggregate is being read is part of that read, or the read is not cached.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from events.envelope import Envelope
from events.subjects import render_subject
from events.types import Event
from marketplace.core.decider import Decider
from marketplace.core.errors import UnreadableEvent
from marketplace.execution.archive import Archive
from marketplace.execution.command_records import CommandRecord, CommandRecords
from marketplace.execution.snapshots import Snapshots, weigh
from marketplace.log.codec import get_link
from marketplace.log.events import parse_event
from marketplace.log.port import Head, Log, Recorded

AnyDecider = Decider[Any, Any, Any]

HEAVY_BYTES_MAX = 1 << 29
"""The most memory for states of long-lived aggregates, by the estimate of `weigh`."""

READS_MAX = 8
"""How often a read continues while new events of the aggregate arrive. Then the result is used but not cached."""


@dataclass(slots=True, eq=False)
class CachedState:
    """One aggregate: its state after the events up to `head`, and the commands that caused them.

    Successive states of an aggregate share `commands`, which includes those of appends in flight. `chain` is set if the
    head was pending when this state was made. `noticed` is the last event of the subject that is known to be stored;
    while the head is pending, it may be the head's own event. `followed` means that the last event came from a feed,
    which may be behind the log.
    """

    state: Any
    head: Head
    commands: CommandRecords = field(default_factory=CommandRecords)
    chain: "PendingChain | None" = None
    noticed: int = 0
    followed: bool = False

    def is_stored(self) -> bool:
        """Return whether the log is known to hold all events of this state."""
        return self.head.sequence is not None and not self.head.failed

    def is_void(self) -> bool:
        """Return whether this state depends on an append that failed."""
        return self.head.failed or (self.chain is not None and not self.is_stored() and self.chain.advance())


@dataclass(slots=True, eq=False)
class PendingChain:
    """Cached states whose appends are in flight, in order, and the last stored one before them."""

    base: CachedState
    pending: list[CachedState] = field(default_factory=list)
    void: bool = False

    def advance(self) -> bool:
        """Move the base up to the last stored state. Return whether an append of the chain failed."""
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
    """One read of an aggregate, shared by all waiting callers, and the last event noticed meanwhile."""

    task: asyncio.Task[CachedState] | None = None
    noticed: int = 0


class Cache:
    """Loads aggregates once, and keeps the most recently used.

    Args:
        log: Where events are stored.
        entries_max: The most aggregates in memory.
        archive: Where long-lived aggregates are stored between processes; None for nowhere.
        bytes_max: The most memory for the states of long-lived aggregates together. At least one is kept.
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
        self._entries: OrderedDict[str, CachedState] = OrderedDict()
        self._readings: dict[str, _Reading] = {}

    def find(self, subject: str) -> CachedState | None:
        """Return the cached state of a subject; None if there is none, or it is stale or void."""
        entry = self._entries.get(subject)
        if entry is None:
            return None
        head = entry.head
        if head.sequence is None or head.failed:
            return None if entry.is_void() else entry
        return None if head.sequence < entry.noticed else entry

    def get(self, subject: str) -> CachedState | None:
        """Return the state of an aggregate; None if it must be read, or another process has its turn."""
        return None if self._log.turns.find_end(subject) else self._use(subject)

    def _use(self, subject: str) -> CachedState | None:
        entry = self.find(subject)
        if entry is not None:
            self._entries.move_to_end(subject)
            if subject in self._heavy:
                self._heavy.move_to_end(subject)
                self._offer(entry)
        return entry

    async def load(self, decider: AnyDecider, id: str) -> CachedState:  # noqa: A002 - the field's word
        """Return the state of an aggregate, from memory or from the log. It may be ahead of the log.

        Raises:
            Unavailable: The log cannot be reached.
            UnreadableEvent: An event of the aggregate cannot be read.
        """
        subject = render_subject(decider.aggregate, id)
        if self._log.turns.find_end(subject):
            await self._log.turns.wait(subject)
        entry = self._use(subject)
        if entry is not None:
            return entry
        void = self._entries.get(subject)
        base = _find_stored(void) if void is not None else None
        loaded = await asyncio.shield(self._begin(decider, base or CachedState(decider.initial, Head(subject))))
        return self.find(subject) or loaded

    def _offer(self, entry: CachedState) -> None:
        """Offer the last stored state to the archive, which stores it once it has grown enough."""
        stored = _find_stored(entry)
        if stored is not None:
            self.snapshots.offer(stored.state, stored.head, stored.commands)

    def assume_new(self, decider: AnyDecider, subject: str) -> None:
        """Assume that a subject that is not in memory is empty. The guard of the append detects a wrong assumption."""
        if subject not in self._entries and subject not in self._readings:
            self.put(CachedState(decider.initial, Head(subject)))

    def _begin(self, decider: AnyDecider, base: CachedState) -> asyncio.Task[CachedState]:
        """Start reading the events after `base`. Concurrent callers share the same read."""
        subject = base.head.subject
        reading = self._readings.get(subject)
        if reading is None:
            reading = self._readings[subject] = _Reading()
            reading.task = asyncio.create_task(self._read(decider, base, reading))
            reading.task.add_done_callback(lambda task: self._end(subject, task))
        assert reading.task is not None, "a read is registered once it has begun"
        return reading.task

    def _end(self, subject: str, task: asyncio.Task[CachedState]) -> None:
        """Forget a read, even if it failed after all its callers left."""
        self._readings.pop(subject, None)
        if not task.cancelled():
            task.exception()

    async def _read(self, decider: AnyDecider, entry: CachedState, reading: _Reading) -> CachedState:
        if not entry.head.sequence:
            restored = await self.snapshots.restore(decider.initial, entry.head.subject)
            entry = entry if restored is None else CachedState(*restored)
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

    def refresh(
        self, decider: AnyDecider, entry: CachedState, *, to_end: bool = True
    ) -> asyncio.Task[CachedState] | None:
        """Start to read the events after a cached state that may be stale, and return the task that does.

        None if another state is in memory by now, or none that is stored.

        Args:
            decider: The aggregate's decider.
            entry: The cached state that was used.
            to_end: Whether to read to the end of the log even if a feed brought newer events, since a feed may be
                behind.
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

    def put_pending(self, before: CachedState, state: Any, head: Head) -> CachedState:
        """Store the expected state of an aggregate after an append in flight, and return it."""
        if before.is_stored():
            before.chain = None  # Otherwise every state would keep its predecessor alive, back to the first.
        chain = before.chain or PendingChain(before)
        entry = CachedState(state, head, before.commands, chain)
        chain.pending.append(entry)
        chain.advance()
        self.put(entry)
        return entry

    def put(self, entry: CachedState) -> None:
        """Store a state. Evict the least recently used one if there are too many."""
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

    def includes(self, recorded: Recorded) -> bool:
        """Return whether an undamaged event is part of the state in memory, and nothing waits for it.

        Of an own append in flight, its sequence is noted, and the answer is True.
        """
        entry = self._entries.get(recorded.subject)
        if entry is None or recorded.damage is not None or recorded.void or recorded.subject in self._readings:
            return False
        if entry.is_stored():
            return (entry.head.sequence or 0) >= recorded.sequence
        if entry.commands.find(recorded.envelope.causationid) is None:
            return False
        entry.noticed = max(entry.noticed, recorded.sequence)
        return True

    def notice(self, recorded: Recorded) -> None:
        """Notice an event of another process, so that a state that lacks it is refreshed before its next use."""
        self._tell_reading(recorded)
        entry = self._entries.get(recorded.subject)
        if entry is not None:
            entry.noticed = max(entry.noticed, recorded.sequence)

    def forget(self, subject: str) -> None:
        """Discard the state of an aggregate, so that it is read from the log when it is next used."""
        self._entries.pop(subject, None)
        self._heavy_bytes -= self._heavy.pop(subject, 0)

    def forget_at(self, sequence: int, subjects: Collection[str]) -> None:
        """Discard the states of these aggregates, and that of the aggregate whose last event has this sequence."""
        last = [subject for subject, entry in self._entries.items() if entry.head.sequence == sequence]
        for subject in {*last, *subjects}:
            self.forget(subject)

    def apply(self, decider: AnyDecider, recorded: Recorded, event: Event, *, from_first: bool = False) -> None:
        """Apply an event to the cached state of its aggregate, if it follows the last stored state.

        The caller reads the whole log in order. If another process stored an event first, a state whose append is in
        flight is replaced: that append can only be refused, and new decisions must use the stored state.

        Args:
            decider: The aggregate's decider.
            recorded: The event as stored.
            event: The event.
            from_first: Whether the caller began with the first event of the log. The first event of an aggregate that
                is not in memory then starts its cached state; otherwise it is ignored.
        """
        self._tell_reading(recorded)
        entry = self._entries.get(recorded.subject)
        if entry is None:
            if not from_first or recorded.envelope.previoushash:
                return
            entry = CachedState(decider.initial, Head(recorded.subject))
        stored = _find_stored(entry)
        if stored is None or stored.head.sequence is None or stored.head.sequence >= recorded.sequence:
            return
        if stored is not entry:
            own = entry.commands.find(recorded.envelope.causationid)
            if stored.head.hash != recorded.envelope.previoushash or own is not None:
                entry.noticed = max(entry.noticed, recorded.sequence)
                return
            assert entry.chain is not None, "a state that is not stored belongs to a chain"
            for pending in entry.chain.pending:
                pending.head.fail()
        elif stored.head.hash != recorded.envelope.previoushash or _is_orphan(stored, recorded):
            self.forget(recorded.subject)
            return
        entry = _extend_by(decider, stored, recorded, event)
        entry.followed = True
        self.put(entry)

    def _tell_reading(self, recorded: Recorded) -> None:
        reading = self._readings.get(recorded.subject)
        if reading is not None:
            reading.noticed = max(reading.noticed, recorded.sequence)


def _find_stored(entry: CachedState) -> CachedState | None:
    """Return the last state, at or before this one, that is known to be stored; None if none is in memory."""
    if entry.chain is None or entry.is_stored():
        return entry if entry.is_stored() else None
    entry.chain.advance()
    return entry.chain.base


def extend(decider: AnyDecider, entry: CachedState, tail: Iterable[Recorded]) -> CachedState:
    """Return the state after more stored events of its subject; the same object if there are none.

    Raises:
        UnreadableEvent: An event cannot be read, or needs an earlier one that was annotated or is lost.
    """
    for recorded in tail:
        if recorded.void:
            head = Head(recorded.subject, recorded.sequence, get_link(recorded, entry.head.hash))
            entry = CachedState(entry.state, head, entry.commands)
        elif _is_orphan(entry, recorded):
            reason = "the first event of its aggregate was passed over or is lost"
            raise UnreadableEvent(recorded.sequence, recorded.subject, "orphan", reason, recorded.envelope.hash)
        else:
            entry = _extend_by(decider, entry, recorded, parse_event(recorded))
    return entry


def _is_orphan(entry: CachedState, recorded: Recorded) -> bool:
    """Return whether an event follows another one of an aggregate that has no state yet."""
    return entry.state is None and bool(recorded.envelope.previoushash)


def _extend_by(decider: AnyDecider, entry: CachedState, recorded: Recorded, event: Event) -> CachedState:
    envelope: Envelope = recorded.envelope
    head = Head(recorded.subject, recorded.sequence, envelope.hash)
    entry.commands.put(envelope.causationid, CommandRecord(envelope.fingerprint, head))
    return CachedState(decider.evolve(entry.state, event), head, entry.commands)
