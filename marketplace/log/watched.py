"""Detect a log that was replaced or rolled back (ADR 14).

A restored disk, an old copy or another server under the same name answers normally. But its next appends get positions
that other events had before, and what was read from them is wrong. A process therefore keeps marks: the last event that
it read or appended, and the last events that projections and snapshots have applied, from PostgreSQL. It compares them
with the log at the start, after every reconnection, every second, and before it answers an append whose position it
already knows.

Invariants:
    1. No append is acknowledged by a log that contradicts a mark.
    2. Once the log is found to be another one, every further call raises the same `LogChanged`.
    3. A damaged message is no evidence; it is handled separately (`annotations.py`). An empty position is evidence if
       an event was seen at it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from marketplace.core.errors import Conflict, LogChanged, Refusal, Unavailable
from marketplace.log.annotations import AnnotatedLog, get_hash
from marketplace.log.port import Health, Log, Recorded, Write

CHECK_SECONDS: Final = 1.0
"""How often a process compares its marks with the log while it runs."""

_MISSING_TRIES: Final = 15
"""How often in a row an event must be missing: a new leader may not have applied it yet."""
_PAUSE_SECONDS: Final = 0.2
_LEADERLESS_SECONDS_MAX: Final = 60.0
"""How long to wait for a leader that hears a majority; one that does not resigns after some 20 s."""
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """An event that a process, a projection or a snapshot has seen, and that the log must therefore hold.

    Attributes:
        seen_by: The observer, in words.
        sequence: The event's position; 0 if nothing was seen.
        hash: Its chain hash.
        log_id: Chain hash of the first event of the log that it was seen in; empty where that is not known.
    """

    seen_by: str
    sequence: int
    hash: str
    log_id: str = ""


LoadMarks = Callable[[], Awaitable[Sequence[Mark]]]
"""Returns the marks of all other observers. Raises `Unavailable` if they cannot be read."""


async def load_no_marks() -> Sequence[Mark]:
    """Return no marks, where no other observer is known."""
    return ()


class WatchedLog:
    """Implements `Log` on an annotated one, and keeps marks of what was seen.

    Args:
        log: The log.
        count_reconnections: Returns how often its connection was lost and made anew.
        load_marks: Returns what others have seen. It is asked at every comparison.

    Attributes:
        turns: The turns of the log.
        annotations: The annotations of the log.
        end: The last sequence that is known to be stored.
    """

    def __init__(
        self,
        log: AnnotatedLog,
        *,
        count_reconnections: Callable[[], int] = lambda: 0,
        load_marks: LoadMarks = load_no_marks,
    ) -> None:
        self._log = log
        self.turns = log.turns
        self.annotations = log.annotations
        self._count_reconnections = count_reconnections
        self._load_marks = load_marks
        self._mark = Mark("this process", 0, "")
        self._checked = count_reconnections()
        self._checking = asyncio.Lock()
        self._changed: LogChanged | None = None
        self.end = 0

    async def start(self) -> None:
        """Compare the log with what others have seen, and make its last event the first mark.

        If PostgreSQL cannot be reached, the marks in it are compared later.

        Raises:
            LogChanged: It is another log, or it went back.
            Unavailable: It cannot be read.
        """
        try:
            marks = await self._load_marks()
        except Unavailable as error:
            _logger.warning("log_not_compared_yet", reason=str(error))
            marks = ()
        for mark in marks:
            await self._compare(mark)
        last = (await self._log.health()).last_sequence
        recorded = await self._log.find(last)
        if recorded is not None:
            self._see(recorded.sequence, get_hash(recorded))

    async def watch(self) -> None:
        """Compare repeatedly, until cancelled.

        Raises:
            LogChanged: It is another log, or it went back.
        """
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            with contextlib.suppress(Unavailable):
                await self.check()

    async def check(self) -> None:
        """Compare the log with the marks of this process and, if PostgreSQL can be reached, of others.

        Raises:
            LogChanged: It is another log, or it went back.
            Unavailable: It cannot be read.
        """
        async with self._checking:
            self._require_same()
            reconnections = self._count_reconnections()
            await self._compare(self._mark)
            marks: Sequence[Mark] = ()
            with contextlib.suppress(Unavailable):  # PostgreSQL may be unavailable; the process has marks of its own.
                marks = await self._load_marks()
            for mark in marks:
                await self._compare(mark)
            self.end = max(self.end, (await self._log.health()).last_sequence)
            self._checked = reconnections

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`.

        Raises:
            LogChanged: The log is another one, or it went back. The append must not be reported as stored.
        """
        self._require_same()
        seen = self.end
        try:
            sequence = await self._log.append(writes)
        except Conflict as conflict:
            if conflict.actual is not None and conflict.actual < (conflict.expected or 0):
                await self.check()
            raise
        if sequence <= seen or self._count_reconnections() != self._checked:
            await self.check()
        head = writes[-1].head
        if head.sequence is not None:
            self._see(head.sequence, head.hash)
        return sequence

    async def load(self, subject: str, after: int = 0, *, previous_hash: str | None = None) -> list[Recorded]:
        """See `Log.load`."""
        self._require_same()
        return await self._log.load(subject, after, previous_hash=previous_hash)

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """See `Log.read`."""
        self._require_same()
        async for page in self._log.read(after, follow=follow):
            self._require_same()
            self._see(page[-1].sequence, get_hash(page[-1]))
            yield page

    async def find(self, sequence: int) -> Recorded | None:
        """See `Log.find`."""
        self._require_same()
        return await self._log.find(sequence)

    async def health(self) -> Health:
        """See `Log.health`."""
        self._require_same()
        return await self._log.health()

    async def close(self) -> None:
        """See `Log.close`."""
        await self._log.close()

    def _see(self, sequence: int, hash: str) -> None:  # noqa: A002 - the field's word
        if sequence > self._mark.sequence:
            self._mark = Mark("this process", sequence, hash, self._mark.log_id)
        self.end = max(self.end, sequence)

    def _require_same(self) -> None:
        if self._changed is not None:
            raise self._changed

    async def _compare(self, mark: Mark) -> None:
        if not mark.sequence:
            return
        found = await self._log.find(mark.sequence) or await self._find_again(mark.sequence)
        if found is not None and (_is_unclear(found) or get_hash(found) == mark.hash):
            return
        first = await self._log.find(1)
        last = (await self._log.health()).last_sequence
        self._changed = describe_change(mark, found, first, last)
        _logger.error("log_changed", code=self._changed.code, reason=str(self._changed))
        raise self._changed

    async def _find_again(self, sequence: int) -> Recorded | None:
        """Return the event at a position, or None if a certain leader reports repeatedly that it has none.

        A leader that was parted from the others still answers, without what they store meanwhile. So an answer counts
        only if its leader has heard of a majority since this began.

        Raises:
            Unavailable: No leader answers that hears a majority.
        """
        began, missing = time.monotonic(), 0
        while missing < _MISSING_TRIES:
            await asyncio.sleep(_PAUSE_SECONDS)
            found = await self._log.find(sequence)
            if found is not None:
                return found
            elapsed = time.monotonic() - began
            silence = (await self._log.health()).silence_seconds
            missing = missing + 1 if silence < elapsed else 0
            if elapsed > _LEADERLESS_SECONDS_MAX and not missing:
                raise Unavailable("NATS", f"the leader of the stream has heard of no majority for {silence:.0f} s")
        return None


async def find_lost(log: Log, marks: Sequence[Mark]) -> Mark:
    """Return the mark with the highest sequence that a log contradicts.

    Raises:
        Refusal: ``log_not_changed``: it holds all that was seen.
        Unavailable: The log cannot be read.
    """
    for mark in sorted(marks, key=lambda each: -each.sequence):
        found = await log.find(mark.sequence)
        if found is None or not (_is_unclear(found) or get_hash(found) == mark.hash):
            return mark
    raise Refusal("log_not_changed", "the log holds everything that the database has seen; nothing is lost")


def _is_unclear(found: Recorded) -> bool:
    """Return whether what is at a position is no evidence of what was there before."""
    return found.damage is not None and not found.is_empty


def describe_change(mark: Mark, found: Recorded | None, first: Recorded | None, last: int) -> LogChanged:
    """Return the error with the expected and the found event, and the remedy.

    Args:
        mark: What an observer has seen.
        found: What the log has there.
        first: The first event of the log.
        last: Its last sequence.
    """
    there = f"it ends at event {last}" if found is None else f"event {found.sequence} has the hash {get_hash(found)}"
    if found is not None and found.is_empty:
        there = f"position {found.sequence} is empty"
    facts = f"{mark.seen_by} has seen event {mark.sequence} with the hash {mark.hash}, and in this log {there}"
    if mark.log_id and first is not None and first.damage is None and get_hash(first) != mark.log_id:
        return LogChanged(
            "log_replaced",
            f"this is another log under the same name: it begins with {get_hash(first)}, the earlier one began with "
            f"{mark.log_id} ({facts}). Stop every process, and give them the right NATS servers or the right "
            "database; `marketplace log accept-loss` makes a database begin anew on this log",
        )
    return LogChanged(
        "log_rolled_back",
        f"the log went back: {facts}. Stop every process. Restore the newest copy of the log, from a replica or with "
        "`marketplace log import`; or accept the loss of the later events with `marketplace log accept-loss`, which "
        "resets the projections",
    )
