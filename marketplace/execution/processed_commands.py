"""Which commands of clients took effect, on whatever aggregate: a key names one command for ever.

Each process knows the id of every command in the log, some 30 bytes each: from the index of events in PostgreSQL, where
there is one, and from the log after that; its follower goes on with it. Where PostgreSQL is away the log is read from
its beginning, so that nothing depends on it but time (ADR 15).

Invariants:
    1. Every command up to `position` is known.
    2. What is found is a sequence in the log, where the command's last event is.
"""

import asyncio
from typing import Final

import structlog

from events.envelope import Envelope
from marketplace.core.errors import Unavailable
from marketplace.execution.archive import Archive
from marketplace.execution.command_records import CommandRecord, CommandRecords
from marketplace.log.port import Head, Log, Recorded

MARKS_MASK: Final = (1 << 27) - 1
"""A bit per hash of a command's id, 16 MiB in all, says at once of most new commands that they are new."""
PAGE_ROWS: Final = 20_000
COMMAND_EVENTS_MAX: Final = 1_000
"""A command is one atomic append, which holds no more."""
WORKERS_MARK: Final = "/"
"""Is in the fingerprint of every command of a worker, and in none of a client's, which is a hash in hex."""

log = structlog.get_logger(__name__)


class ProcessedCommands:
    """Finds the last event of a client's command.

    Args:
        events: The log.
        archive: Where commands are listed; None for nowhere but the log.

    Attributes:
        position: Sequence of the last event whose command is known.
    """

    def __init__(self, events: Log, archive: Archive | None) -> None:
        self._log = events
        self._archive = archive
        self._traces = CommandRecords()
        self._marks = bytearray((MARKS_MASK + 1) >> 3)
        self._turn = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self.position = 0

    async def find(self, command_id: str) -> CommandRecord | None:
        """Return what a command left, None where it did not take effect as far as this process knows."""
        if not self._ended:
            await self.read_on()
        place = hash(command_id) & MARKS_MASK
        return self._traces.find(command_id) if self._marks[place >> 3] & (1 << (place & 7)) else None

    async def find_last(self, command_id: str, sequence: int) -> Recorded:
        """Return the last event of a command, of which the event at `sequence` is one.

        Raises:
            Unavailable: The server that was asked does not have it yet.
        """
        last = None
        for number in range(sequence, sequence + COMMAND_EVENTS_MAX):
            recorded = await self._log.find(number)
            if recorded is None or recorded.void or recorded.envelope.causationid != command_id:
                break
            last = recorded
        if last is None:
            raise Unavailable("NATS", f"event {sequence} of command {command_id} is not there yet")
        return last

    async def read_on(self) -> None:
        """Learn of every command that is in the log by now; a reading that begins after the call serves all who wait.

        Raises:
            Unavailable: The log is away.
        """
        begun = self._begun
        async with self._turn:
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
        """Learn of the commands that PostgreSQL knows."""
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
        """Take an event of the log, read here or heard of by the follower, which may be ahead of what is read here."""
        if recorded.sequence <= self.position:
            return
        if recorded.sequence == self.position + 1:
            self.position = recorded.sequence
        envelope: Envelope = recorded.envelope
        if WORKERS_MARK not in envelope.fingerprint and not recorded.void:
            self.put(envelope.causationid, envelope.fingerprint, recorded.sequence)

    def put(self, command_id: str, fingerprint: str, sequence: int) -> None:
        """Keep where a command's event is."""
        place = hash(command_id) & MARKS_MASK
        self._marks[place >> 3] |= 1 << (place & 7)
        self._traces.put(command_id, CommandRecord(fingerprint, Head("", sequence)))
