"""Operators' annotations of damaged messages and empty positions, and a log whose readers follow them.

A message may be unreadable, differ from what was sealed, or not follow the previous event. It is never edited. An
operator annotates it (`log.annotated.v1`, on the log's own subject). From then on every reader passes over it. If only
its link is broken, the operator may choose that readers treat it as sound (``kept``). Annotations are loaded before
anything else is read. Later ones take effect when they are read.

A position without a message may be a lost event. Until an operator accepts it (`log.gap_accepted.v1`, ADR 20), only
the log's own record is written. Then every reader passes over it.

Invariants:
    1. Only a damaged message can be annotated, or one that may depend on a message that is passed over or lost: an
       earlier one of its subject, one that the same command stored, or the first one of an aggregate that it names. Any
       other readable event cannot be removed.
    2. An annotation names a message by sequence and hash, and applies to no other.
    3. The event after a damaged message may link to the hash that this message states, or to the event before it. The
       event after an empty position links to the previous event of its subject; otherwise it is damaged itself.
    4. An accepted gap does not apply to a message that is found at that position.
"""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, Self

from events.log import LogAnnotated, LogGapAccepted
from events.subjects import LOG_SUBJECT
from events.types import Event
from marketplace.core.errors import Refusal, Unavailable
from marketplace.log.codec import describe_empty
from marketplace.log.events import find_damage, parse_event
from marketplace.log.port import Damage, Health, Log, Recorded, Write

GAP: Final = "a log with an empty position"
RETRY_AFTER_SECONDS: Final = 60
_NAMED_MAX: Final = 10
_PARTS_MAX: Final = 1_000
"""The most events that one command stores."""
Effect = Literal["passed_over", "kept"]


class Annotations:
    """The annotations and accepted gaps of one log, by the sequence of the message or position."""

    def __init__(self) -> None:
        self._known: dict[int, LogAnnotated] = {}
        self._gaps: dict[int, LogGapAccepted] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._gaps)

    def take(self, recorded: Recorded) -> None:
        """Add an annotation or an accepted gap. Events of other subjects, and damaged ones, are ignored.

        The first statement about a sequence stands; later ones about the same sequence are ignored.
        """
        if recorded.subject != LOG_SUBJECT or find_damage(recorded) is not None:
            return
        event = parse_event(recorded)
        if isinstance(event, LogAnnotated):
            self._known.setdefault(event.sequence, event)
        elif isinstance(event, LogGapAccepted):
            self._gaps.setdefault(event.sequence, event)

    def accepts_gap(self, sequence: int) -> bool:
        """Return whether an operator accepted that a position is empty."""
        return sequence in self._gaps

    def find(self, recorded: Recorded) -> LogAnnotated | None:
        """Return the annotation of a message. None if there is none, or if it names another hash."""
        annotation = self._known.get(recorded.sequence)
        return annotation if annotation is not None and annotation.hash == get_hash(recorded) else None

    def list_sequences(self) -> list[int]:
        """Return the sequences of the annotated messages and the accepted gaps."""
        return sorted({*self._known, *self._gaps})

    def touches(self, subject: str) -> bool:
        """Return whether a message of a subject is annotated, or is accepted as lost."""
        lost = (one.subject for gap in self._gaps.values() for one in gap.lost)
        return subject in lost or any(annotation.subject == subject for annotation in self._known.values())

    def apply(self, recorded: Recorded) -> Recorded:
        """Return a message with its annotation applied: `void` if it is passed over, without damage if it is kept.

        An empty position that an operator accepted counts as passed over. A message without an annotation is returned
        unchanged.
        """
        if recorded.is_empty and self.accepts_gap(recorded.sequence):
            return dataclasses.replace(recorded, annotated=True, void=True)
        annotation = self.find(recorded)
        if annotation is None:
            return recorded
        if annotation.effect == "passed_over":
            return dataclasses.replace(recorded, annotated=True, void=True)
        return dataclasses.replace(recorded, annotated=True, damage=None)


def find_annotated(event: Event) -> tuple[int, tuple[str, ...]] | None:
    """Return the sequence that an event annotates or accepts as a gap, and the subjects whose state this changes.

    None if the event is neither an annotation nor an accepted gap.
    """
    match event:
        case LogAnnotated():
            return event.sequence, (event.subject,)
        case LogGapAccepted():
            return event.sequence, tuple(one.subject for one in event.lost)
        case _:
            return None


def get_hash(recorded: Recorded) -> str:
    """Return the chain hash of a stored message, computed from its bytes."""
    return recorded.envelope.hash if recorded.damage is None else recorded.damage.hash


class AnnotatedLog:
    """Implements `Log` on another log, with the annotations applied to its messages.

    Attributes:
        bare: The log without annotations.
        turns: The turns of that log.
        annotations: The annotations read so far.
    """

    def __init__(self, log: Log) -> None:
        self.bare = log
        self.turns = log.turns
        self.annotations = Annotations()
        self._empty: tuple[int, ...] = ()

    @classmethod
    async def open(cls, log: Log) -> Self:
        """Return the log, with its annotations, accepted gaps and empty positions loaded.

        Raises:
            Unavailable: The log cannot be read.
        """
        annotated = cls(log)
        await annotated.load(LOG_SUBJECT)
        await annotated.health()
        return annotated

    def _list_gaps(self) -> tuple[int, ...]:
        """Return the empty positions that no operator accepted."""
        return tuple(sequence for sequence in self._empty if not self.annotations.accepts_gap(sequence))

    async def _find_fault(self) -> str:
        """Return why nothing may be written; empty if every gap is accepted, or there is none."""
        if self._list_gaps():
            await self.load(LOG_SUBJECT)
        gaps = self._list_gaps()
        if not gaps:
            return ""
        more = f"; {len(gaps) - 1} more are empty: {', '.join(map(str, gaps[1:_NAMED_MAX]))}" if len(gaps) > 1 else ""
        return f"position {gaps[0]} of the log is empty: {describe_empty(gaps[0])}{more}"

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`.

        Raises:
            Unavailable: As there, and if the latest `health` listed an empty position that no operator accepted. The
                log's own record can still be written.
        """
        may_fail = self._empty and any(write.after.subject != LOG_SUBJECT for write in writes)
        if may_fail and (fault := await self._find_fault()):
            for write in writes:
                write.head.fail()
            raise Unavailable(GAP, f"nothing was stored: {fault}", RETRY_AFTER_SECONDS)
        return await self.bare.append(writes)

    async def load(self, subject: str, after: int = 0, *, previous_hash: str | None = None) -> list[Recorded]:
        """See `Log.load`."""
        return self._apply(await self.bare.load(subject, after, previous_hash=previous_hash))

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """See `Log.read`."""
        async for page in self.bare.read(after, follow=follow):
            yield self._apply(page)

    async def find(self, sequence: int) -> Recorded | None:
        """See `Log.find`."""
        found = await self.bare.find(sequence)
        return None if found is None else self._apply([found])[0]

    async def health(self) -> Health:
        """See `Log.health`. Only empty positions that are not accepted are listed, and they are an `append_failure`."""
        health = await self.bare.health()
        self._empty = health.empty
        gap = await self._find_fault()
        failure, public = (
            "; ".join(fault for fault in (known, gap) if fault)
            for known in (health.append_failure, health.append_failure_public)
        )
        return dataclasses.replace(
            health, append_failure=failure, append_failure_public=public, empty=self._list_gaps()
        )

    async def close(self) -> None:
        """See `Log.close`."""
        await self.bare.close()

    def _apply(self, page: list[Recorded]) -> list[Recorded]:
        for recorded in page:
            if recorded.subject == LOG_SUBJECT:
                self.annotations.take(recorded)
        if not self.annotations:
            return page
        return [self.annotations.apply(recorded) for recorded in page]


async def examine(log: Log, sequence: int) -> tuple[Recorded, Damage]:
    """Return a stored message and the damage for which it can be annotated.

    The damage may be a broken link to the previous message, or, of kind ``orphan``, that the message may depend on one
    that is passed over or lost.

    Args:
        log: The log. With its annotations, events that depend on a passed-over message can be annotated too.
        sequence: The sequence of the message.

    Raises:
        Refusal: ``event_not_found``: the log ends before it. ``position_empty``: it has no message. ``event_readable``:
            it has no damage.
        Unavailable: The log cannot be read.
    """
    at = await log.find(sequence)
    if at is None:
        raise Refusal("event_not_found", f"the log has no event {sequence}", sequence=sequence)
    if at.is_empty:
        text = f"position {sequence} has no message; use `marketplace log accept-gap {sequence} --reason …`"
        raise Refusal("position_empty", text, sequence=sequence)
    history = [recorded for recorded in await log.load(at.subject) if recorded.sequence <= sequence]
    found = history[-1]
    damage = (
        find_damage(found)
        or _find_orphaning(history)
        or await _find_missing_part(log, found)
        or await _find_missing_aggregate(log, found)
    )
    if damage is None:
        raise Refusal(
            "event_readable",
            f"event {sequence} is readable, unchanged and follows the previous event, so it needs no annotation; only "
            "a damaged event can be annotated, or one that may depend on another: an earlier event of its subject or "
            "the first one of an aggregate that it names is passed over, or one of its command is passed over or lost",
            sequence=sequence,
        )
    return found, damage


def _find_orphaning(history: Sequence[Recorded]) -> Damage | None:
    """Return the damage of the last event if it depends on a passed-over event of its subject, or None."""
    void = next((recorded.sequence for recorded in history if recorded.void), None)
    if void is None:
        return None
    reason = f"it is sound, but event {void} on its subject is passed over, and it may depend on that one"
    return Damage("orphan", reason, history[-1].envelope.hash)


async def _find_missing_part(log: Log, found: Recorded) -> Damage | None:
    """Return the damage of an event if another one of its command is passed over or lost, or None.

    The events of a command are stored at once, side by side. An empty position names no command: it may belong to the
    one before it or after it, and counts only if an event is proven to be lost there.
    """
    lost = {event.sequence for event in await _load_record(log) if isinstance(event, LogGapAccepted) and event.lost}
    for step in (-1, 1):
        at = found.sequence + step
        while abs(at - found.sequence) < _PARTS_MAX and (part := await log.find(at)) is not None:
            is_same = part.envelope.causationid == found.envelope.causationid
            if part.void and (is_same or at in lost):
                said = "passed over, and one command stored" if is_same else "lost, and one command may have stored"
                reason = f"it is sound, but event {at} is {said} both"
                return Damage("orphan", reason, found.envelope.hash)
            if not is_same:
                break
            at += step
    return None


async def _find_missing_aggregate(log: Log, found: Recorded) -> Damage | None:
    """Return the damage of an event if the first event of an aggregate that it names is passed over, or None."""
    for event in await _load_record(log):
        if not isinstance(event, LogAnnotated) or event.effect != "passed_over":
            continue
        id_ = event.subject.rpartition(".")[2]
        if id_.encode() not in found.body:
            continue
        if [first.sequence for first in (await log.load(event.subject))[:1]] == [event.sequence]:
            reason = f"it is sound, but it names {id_}, whose first event {event.sequence} is passed over"
            return Damage("orphan", reason, found.envelope.hash)
    return None


async def _load_record(log: Log) -> list[Event]:
    return [parse_event(one) for one in await log.load(LOG_SUBJECT) if find_damage(one) is None]


def check_annotation(recorded: Recorded, damage: Damage, *, effect: Effect, hash: str, type_is_final: bool) -> None:  # noqa: A002
    """Refuse an annotation that is not allowed.

    Args:
        recorded: The message.
        damage: Its damage, from `examine`.
        effect: ``passed_over`` or ``kept``.
        hash: The message's hash as the operator states it.
        type_is_final: Whether the operator states that no release knows the type.

    Raises:
        Refusal: ``hash_differs``: the operator states another hash than `damage`. ``type_maybe_newer``: only the type
            is unknown, and `type_is_final` is False. ``event_not_keepable``: more than the link is damaged.
    """
    if hash != damage.hash:
        raise Refusal(
            "hash_differs",
            f"event {recorded.sequence} has the hash {damage.hash}, not {hash}; check it again before annotating it",
            pointer="/hash",
            found=damage.hash,
        )
    if damage.kind == "type" and not type_is_final:
        raise Refusal(
            "type_maybe_newer",
            f"event {recorded.sequence} is sound and only its type {recorded.envelope.type!r} is unknown: a newer "
            "release may know it, so upgrade; if no release does, confirm with --no-release-knows-it",
            found=recorded.envelope.type,
        )
    if effect == "kept" and damage.kind != "link":
        raise Refusal(
            "event_not_keepable",
            f"event {recorded.sequence} cannot be kept: {damage.reason}; only an event with no fault but its link can"
            " be",
            damage=damage.kind,
        )
