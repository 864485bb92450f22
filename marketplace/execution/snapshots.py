"""Snapshots: the state of a long-lived aggregate after one of its events, so that a restart need not fold them all.

A snapshot is used only if its version is that of this release's codec, and the log has an event with its chain hash at
its sequence. That hash covers every earlier event of the subject. An aggregate without such a snapshot is folded from
the log. So is one with an annotated event, because an annotation changes the effect of events. If the archive is
unavailable, empty, or belongs to an older log or another release, only time is lost (ADR 5).

Invariants:
    1. A restored state, with the later events of its subject, equals the fold of all events.
    2. A change of what folding produces increases the codec's version, so that no snapshot of earlier code is used
       (`tests/architecture/test_versions.py` demands it).
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from marketplace.core.decider import Decider
from marketplace.core.errors import Unavailable
from marketplace.core.packed import Packed, Parts
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.metering.usage_record import Usage
from marketplace.domain.metering.usage_snapshot import parse_usage, render_usage, weigh_usage
from marketplace.execution.archive import Archive, Snapshot
from marketplace.execution.command_records import FINGERPRINT_BYTES, SEQUENCE_BYTES, CommandRecords
from marketplace.log.annotations import Annotations
from marketplace.log.port import Head, Log

EVENTS_MIN: Final = 16
"""The next snapshot is due after this many commands, and one more for each `STEP_BYTES` of the state."""
STEP_BYTES: Final = 1 << 18

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Codec:
    """How the state of one kind of aggregate is folded and stored.

    Attributes:
        version: Increased with every change of the state or of its bytes.
        decider: Folds the state.
        render: Returns the bytes of a state.
        parse: Returns the state of these bytes.
        weigh: Estimates the bytes that a state takes in memory.
    """

    version: int
    decider: Decider[Any, Any, Any]
    render: Callable[[Any], bytes]
    parse: Callable[[bytes], Any]
    weigh: Callable[[Any], int]


CODECS: Final[Mapping[type, Codec]] = {Usage: Codec(2, USAGE, render_usage, parse_usage, weigh_usage)}
"""By type of state. Aggregates of other types have few events, and are always folded."""


class _Content(msgspec.Struct, frozen=True, array_like=True):
    state: bytes
    records: Parts


class Restored(NamedTuple):
    """An aggregate as of the event that its head names."""

    state: Any
    head: Head
    records: CommandRecords


def weigh(state: object) -> int:
    """Return the approximate bytes of a state that can become large; 0 for any other."""
    codec = CODECS.get(type(state))
    return 0 if codec is None else codec.weigh(state)


class Snapshots:
    """Restores aggregates from an archive, and stores them there as they grow.

    Args:
        log: The log that a snapshot is checked against.
        archive: Where snapshots are stored; None for nowhere.
    """

    def __init__(self, log: Log, archive: Archive | None) -> None:
        self._log = log
        self._archive = archive
        self._annotations: Annotations | None = getattr(log, "annotations", None)  # a log in memory has none
        self._due: dict[str, Restored] = {}
        self._grown = asyncio.Event()

    async def restore(self, initial: Any, subject: str) -> Restored | None:
        """Return an aggregate from its snapshot; None if the archive has no valid one.

        Raises:
            Unavailable: The log cannot be read.
        """
        codec = CODECS.get(type(initial))
        if codec is None or self._archive is None or (self._annotations and self._annotations.touches(subject)):
            return None
        try:
            snapshot = await self._archive.find(subject)
        except Unavailable as error:
            log.warning("archive_away", subject=subject, reason=str(error))
            return None
        if snapshot is None or snapshot.version != codec.version:
            return None
        recorded = await self._log.find(snapshot.sequence)
        if recorded is None or recorded.damage is not None:
            return None
        if (recorded.subject, recorded.envelope.hash) != (subject, snapshot.hash):
            return None
        try:
            state, known = _parse_content(codec, snapshot.content)
        except msgspec.DecodeError as error:
            log.warning("snapshot_damaged", subject=subject, reason=str(error))
            return None
        return Restored(state, Head(subject, snapshot.sequence, snapshot.hash), known)

    def offer(self, state: object, head: Head, known: CommandRecords) -> None:
        """Queue a stored state for the archive if it has grown enough since its last snapshot."""
        codec = CODECS.get(type(state))
        if codec is None or self._archive is None or head.sequence is None:
            return
        if len(known) - known.kept < EVENTS_MIN + codec.weigh(state) // STEP_BYTES:
            return
        known.kept = len(known)
        self._due[head.subject] = Restored(state, head, known)
        self._grown.set()

    async def run(self) -> None:
        """Store the snapshots that are due, until cancelled."""
        while True:
            await self._grown.wait()
            await self.flush()

    async def flush(self) -> None:
        """Store all snapshots that are due now. Those that the archive cannot take are dropped."""
        assert self._archive is not None or not self._due, "nothing is due where there is no archive"
        self._grown.clear()
        while self._due and self._archive is not None:
            _, restored = self._due.popitem()
            with contextlib.suppress(Unavailable):
                await self._archive.put(render_snapshot(restored))


def render_snapshot(restored: Restored) -> Snapshot:
    """Return the snapshot of an aggregate whose head is stored.

    It may contain records of later commands. Whoever restores it reads their events next, and puts the same records.
    """
    head, codec = restored.head, CODECS[type(restored.state)]
    assert head.sequence is not None, "only what is stored is kept"
    return Snapshot(
        subject=head.subject,
        version=codec.version,
        sequence=head.sequence,
        hash=head.hash,
        content=_render_content(codec, restored.state, restored.records),
    )


def _render_content(codec: Codec, state: object, known: CommandRecords) -> bytes:
    return msgspec.msgpack.encode(_Content(codec.render(state), known.pack().list_parts()))


def _parse_content(codec: Codec, content: bytes) -> tuple[Any, CommandRecords]:
    """Return the stored state and command records.

    Raises:
        msgspec.DecodeError: These bytes were not made by `_render_content`.
    """
    kept = msgspec.msgpack.decode(content, type=_Content)
    return codec.parse(kept.state), CommandRecords(Packed.restore(FINGERPRINT_BYTES + SEQUENCE_BYTES, kept.records))
