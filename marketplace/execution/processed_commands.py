"""Index of clients' commands that took effect, on any aggregate. An idempotency key names one command for ever.

Each process knows the id of every client's command in the log, at 26 bytes each. It loads them from the event index in
PostgreSQL, reads later ones from the log, and its follower adds new ones. If PostgreSQL cannot be reached, the process
reads the log from its beginning, which only takes longer (ADR 15).

Invariants:
    1. Every command up to `position` is known.
    2. A lookup returns the sequence of the command's last event in the log.
"""

import asyncio
import mmap
from typing import Final

import structlog

from events.envelope import Envelope
from marketplace.core.errors import Unavailable
from marketplace.execution.archive import Archive
from marketplace.execution.command_records import CommandRecord, CommandRecords
from marketplace.log.port import Head, Log, Recorded

MARKS_MASK: Final = (1 << 27) - 1
"""Mask of a bit set of hashed command ids (16 MiB). It shows at once that most new commands are new.

Its memory is mapped: the system clears a page when a command is first put there.
"""
PAGE_ROWS: Final = 20_000
COMMAND_EVENTS_MAX: Final = 1_000
"""A command is one atomic append, which holds at most this many events."""
WORKERS_MARK: Final = "/"
"""This mark is in the fingerprint of every worker's command. A client's fingerprint is a hex hash and never has it."""

log = structlog.get_logger(__name__)


class ProcessedCommands:
    """Finds the last event of a client's command.

    Args:
        events: The log.
        archive: Where commands are listed; None to use the log alone.

    Attributes:
        position: Sequence of the last event whose command is known.
    """

    def __init__(self, events: Log, archive: Archive | None) -> None:
        self._log = events
        self._archive = archive
        self._traces = CommandRecords()
        self._marks = mmap.mmap(-1, (MARKS_MASK + 1) >> 3, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._lock = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self.position = 0

    async def find(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command; None if this process does not know that it took effect.

        Raises:
            Unavailable: This process has not read the log yet, and cannot.
        """
        if not self._ended:
            await self.read_on()
        place = hash(command_id) & MARKS_MASK
        return self._traces.find(command_id) if self._marks[place >> 3] & (1 << (place & 7)) else None

    async def find_last(self, command_id: str, sequence: int) -> Recorded:
        """Return the last event of a command, given the sequence of one of its events.

        Raises:
            Unavailable: The server that was asked does not have the event yet.
        """
        last = None
        for number in range(sequence, sequence + COMMAND_EVENTS_MAX):
            recorded = await self._log.find(number)
            if recorded is None or recorded.void or recorded.envelope.causationid != command_id:
                break
            last = recorded
        if last is None:
            raise Unavailable("NATS", f"event {sequence} of command {command_id} is not on this server yet")
        return last

    async def read_on(self) -> None:
        """Learn every command that is in the log by now. Concurrent callers share a read that begins after their call.

        Raises:
            Unavailable: The log cannot be reached.
        """
        begun = self._begun
        async with self._lock:
            if self._ended > begun:
                return
            self._begun += 1
            await self._read_on()
            self._ended = self._begun

    async def _read_on(self) -> None:
        if not self._ended:
            await self._load()
        async for page in self._log.read(self.position):
            for recorded in page:
                self.notice(recorded)

    async def _load(self) -> None:
        """Load the commands that PostgreSQL knows."""
        if self._archive is None:
            return
        try:
            while rows := await self._archive.list_commands(after=self.position, limit=PAGE_ROWS):
                for sequence, command_id, fingerprint in rows:
                    self.put(command_id, fingerprint, sequence)
                self.position = rows[-1][0]
        except Unavailable as error:
            log.warning("archive_away", reason=str(error), position=self.position)

    def notice(self, recorded: Recorded) -> None:
        """Add the command of an event, unless it is a worker's. Events may come twice, and before earlier ones."""
        if recorded.sequence <= self.position:
            return
        if recorded.sequence == self.position + 1:
            self.position = recorded.sequence
        envelope: Envelope = recorded.envelope
        if WORKERS_MARK not in envelope.fingerprint and not recorded.void:
            self.put(envelope.causationid, envelope.fingerprint, recorded.sequence)

    def put(self, command_id: str, fingerprint: str, sequence: int) -> None:
        """Remember the sequence of a command's event, in place of an earlier one of the same command."""
        if self._traces.is_recent(command_id, sequence):
            return  # The follower brings what this process stored itself.
        place = hash(command_id) & MARKS_MASK
        self._marks[place >> 3] |= 1 << (place & 7)
        self._traces.put(command_id, CommandRecord(fingerprint, Head("", sequence)))
