"""The archive: a durable copy of the states of long-lived aggregates. The log stays the only source of truth.

If a snapshot is missing, outdated, from another release or from another log, the state is folded from the log (ADR 5).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from events.usage import Meter, Reading


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an aggregate after one of its events.

    Attributes:
        subject: The aggregate's subject.
        version: Version of the codec that wrote the content.
        sequence: Stream sequence of that event.
        hash: Chain hash of that event. It covers all earlier events of the subject.
        content: State and command records, as that version of the codec writes them.
    """

    subject: str
    version: int
    sequence: int
    hash: str
    content: bytes


class ReadingName(NamedTuple):
    """The key of one reading: its grant and side, its source, and its id at the source."""

    grant_id: str
    meter: Meter
    source: str
    reading_id: str


class SourceName(NamedTuple):
    """The key of a source: its grant and side, and the source's name."""

    grant_id: str
    meter: Meter
    source: str


class Archive(Protocol):
    """Stores the latest snapshot of each aggregate, and looks up commands and readings."""

    async def find(self, subject: str) -> Snapshot | None:
        """Return the latest snapshot of an aggregate; None if the archive has none.

        Raises:
            Unavailable: The archive cannot be reached.
        """
        ...

    async def put(self, snapshot: Snapshot) -> None:
        """Store a snapshot, unless the stored one has the same version and is at least as new.

        Raises:
            Unavailable: The archive cannot be reached.
        """
        ...

    async def list_commands(self, *, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """Return sequence, command id and fingerprint of events of clients' commands, in the order of the log.

        Args:
            after: Only events with a higher sequence.
            limit: The most rows; an empty answer means that there are no more.

        Raises:
            Unavailable: The archive cannot be reached.
        """
        ...

    async def find_reading(self, name: ReadingName) -> Reading | None:
        """Return a reading as the archive last saw it, which may be outdated; None if the archive does not have it.

        Raises:
            Unavailable: The archive cannot be reached.
        """
        ...

    async def list_readings_over(
        self, name: SourceName, spans: Collection[tuple[datetime, datetime]]
    ) -> Sequence[Reading]:
        """Return the readings of a source over exactly these spans as the archive last saw them, oldest first.

        Readings with the same content may be represented by one of them.

        Raises:
            Unavailable: The archive cannot be reached.
        """
        ...
