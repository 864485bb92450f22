"""Where states of long-lived aggregates are kept between processes: a copy of what the log says, never a source of it.

What is not there, too old, of another release or of another log is folded from the log instead (ADR 5).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from events.usage import Meter, Reading


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate as it was after one of its events.

    Attributes:
        subject: Its subject.
        fingerprint: Of the code that folded it.
        sequence: The event, by its sequence in the log.
        hash: Chain hash of that event, and so of all before it.
        content: State and traces, as that code writes them.
    """

    subject: str
    fingerprint: str
    sequence: int
    hash: str
    content: bytes


class ReadingName(NamedTuple):
    """What names one reading: its grant and side, its source, and its id there."""

    grant_id: str
    meter: Meter
    source: str
    reading_id: str


class SourceName(NamedTuple):
    """What names the readings of one source: their grant and side, and the source."""

    grant_id: str
    meter: Meter
    source: str


class Archive(Protocol):
    """Keeps the latest snapshot of each aggregate, and finds commands and readings."""

    async def find(self, subject: str) -> Snapshot | None:
        """Return the snapshot of an aggregate, None where there is none.

        Raises:
            Unavailable: The archive is away.
        """
        ...

    async def put(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless the one that is kept was made by the same code and is as new.

        Raises:
            Unavailable: The archive is away.
        """
        ...

    async def list_commands(self, *, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """Return events of clients' commands above the sequence `after`, in order: sequence, command, fingerprint.

        Raises:
            Unavailable: The archive is away.
        """
        ...

    async def find_reading(self, name: ReadingName) -> Reading | None:
        """Return what a reading said when the archive last heard of it, None where it did not.

        Raises:
            Unavailable: The archive is away.
        """
        ...

    async def list_readings_over(
        self, name: SourceName, spans: Collection[tuple[datetime, datetime]]
    ) -> Sequence[Reading]:
        """Return what a source said of exactly these spans when the archive last heard of it, the oldest first.

        Of readings that say the same one is enough.

        Raises:
            Unavailable: The archive is away.
        """
        ...
