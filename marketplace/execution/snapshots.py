"""Snapshots: the state of a long-lived aggregate at one of its events, so that a restart need not fold a long life.

A snapshot is used only where its version equals that of this release's codec, and the log has the event with its chain
hash at its sequence: that hash covers every event before it on the subject. Every other aggregate is folded from the
log, and so is one of which an event is annotated, since the annotation changes what its events say. So the archive may
be away, empty, of an older log or of another release, and nothing but time is lost (ADR 5).

Invariants:
    1. An entry that is restored, with the tail of its subject, equals the fold of all events.
    2. A change of what folding makes counts the codec's version up, so that no snapshot of the code before it is used
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
"""So many commands after the last snapshot the next one is due, and one more for each `STEP_BYTES` of it."""
STEP_BYTES: Final = 1 << 18

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Codec:
    """How the state of one kind of aggregate is folded and kept.

    Attributes:
        version: Counted up with every change of what a state or its bytes are.
        decider: Folds the state.
        render: Returns the bytes of a state.
        parse: Returns the state of these bytes.
        weigh: Returns about how many bytes a state takes in memory.
    """

    version: int
    decider: Decider[Any, Any, Any]
    render: Callable[[Any], bytes]
    parse: Callable[[bytes], Any]
    weigh: Callable[[Any], int]


CODECS: Final[Mapping[type, Codec]] = {Usage: Codec(1, USAGE, render_usage, parse_usage, weigh_usage)}
"""What is kept, by the type of its state; every other aggregate has a short life, and is folded."""


class _Content(msgspec.Struct, frozen=True, array_like=True):
    state: bytes
    traces: Parts


class Restored(NamedTuple):
    """What an aggregate was after the event that its head says."""

    state: Any
    head: Head
    traces: CommandRecords


def weigh(state: object) -> int:
    """Return the bytes of a state that may become large, about; 0 of any other."""
    codec = CODECS.get(type(state))
    return 0 if codec is None else codec.weigh(state)


class Snapshots:
    """Restores aggregates from an archive, and keeps them there as they grow.

    Args:
        log: What a snapshot is checked against.
        archive: Where snapshots are; None for nowhere.
    """

    def __init__(self, log: Log, archive: Archive | None) -> None:
        self._log = log
        self._archive = archive
        self._annotations: Annotations | None = getattr(log, "annotations", None)  # what is in memory has none
        self._due: dict[str, Restored] = {}
        self._grown = asyncio.Event()

    async def restore(self, initial: Any, subject: str) -> Restored | None:
        """Return what the archive has of an aggregate, None where it has nothing that can be believed."""
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
        """Keep a stored state soon, where it has grown enough since it was kept last."""
        codec = CODECS.get(type(state))
        if codec is None or self._archive is None or head.sequence is None:
            return
        if len(known) - known.kept < EVENTS_MIN + codec.weigh(state) // STEP_BYTES:
            return
        known.kept = len(known)
        self._due[head.subject] = Restored(state, head, known)
        self._grown.set()

    async def run(self) -> None:
        """Keep what is due, until cancelled."""
        while True:
            await self._grown.wait()
            await self.flush()

    async def flush(self) -> None:
        """Keep all that is due now."""
        assert self._archive is not None or not self._due, "nothing is due where there is no archive"
        self._grown.clear()
        while self._due and self._archive is not None:
            _, restored = self._due.popitem()
            with contextlib.suppress(Unavailable):
                await self._archive.put(render_snapshot(restored))


def render_snapshot(restored: Restored) -> Snapshot:
    """Return the snapshot of an aggregate whose head is stored.

    Traces of later events may be among its own; whoever restores it reads those events next, and finds them there.
    """
    head, codec = restored.head, CODECS[type(restored.state)]
    assert head.sequence is not None, "only what is stored is kept"
    return Snapshot(
        subject=head.subject,
        version=codec.version,
        sequence=head.sequence,
        hash=head.hash,
        content=_render_content(codec, restored.state, restored.traces),
    )


def _render_content(codec: Codec, state: object, known: CommandRecords) -> bytes:
    return msgspec.msgpack.encode(_Content(codec.render(state), known.pack().list_parts()))


def _parse_content(codec: Codec, content: bytes) -> tuple[Any, CommandRecords]:
    """Return the state and the traces that were kept.

    Raises:
        msgspec.DecodeError: These bytes were not made by `_render_content`.
    """
    kept = msgspec.msgpack.decode(content, type=_Content)
    return codec.parse(kept.state), CommandRecords(Packed.restore(FINGERPRINT_BYTES + SEQUENCE_BYTES, kept.traces))
