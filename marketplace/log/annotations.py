"""What operators stated about damaged messages, and a log whose readers abide by it.

A message that cannot be read, is not what was sealed, or does not follow the event before it is never edited. An
operator annotates it (`log.annotated.v1`, on the log's own subject); from then on every reader passes over it, or
counts it where only its link is broken. Annotations are loaded before anything is read, and later ones take effect as
they are read.

Invariants:
    1. Only what is damaged can be annotated; a readable event that follows the one before it cannot vanish.
    2. An annotation names the message by sequence and hash; it says nothing about any other.
    3. The event after a damaged message may follow that message, by the hash that it states, or the event before it.
"""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, Self

from events.log import LogAnnotated
from events.subjects import LOG_ID, render_subject
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.log.events import find_damage, parse_event
from marketplace.log.port import Damage, Health, Log, Recorded, Write

LOG_SUBJECT: Final = render_subject("log", LOG_ID)
Effect = Literal["passed_over", "kept"]


class Annotations:
    """The annotations of one log, by the sequence of the message."""

    def __init__(self) -> None:
        self._known: dict[int, LogAnnotated] = {}

    def __len__(self) -> int:
        return len(self._known)

    def take(self, recorded: Recorded) -> LogAnnotated | None:
        """Take an event of the log's own subject; return the annotation in it, None where it is none."""
        if recorded.subject != LOG_SUBJECT or find_damage(recorded) is not None:
            return None
        event = parse_event(recorded)
        if not isinstance(event, LogAnnotated):
            return None
        self._known.setdefault(event.sequence, event)
        return event

    def find(self, recorded: Recorded) -> LogAnnotated | None:
        """Return the annotation of a message, None where there is none."""
        annotation = self._known.get(recorded.sequence)
        return annotation if annotation is not None and annotation.hash == get_hash(recorded) else None

    def list_sequences(self) -> list[int]:
        """Return the sequences of the messages that are annotated."""
        return sorted(self._known)

    def touches(self, subject: str) -> bool:
        """Tell whether a message of a subject is annotated."""
        return any(annotation.subject == subject for annotation in self._known.values())

    def apply(self, recorded: Recorded) -> Recorded:
        """Return a message as its annotation says that it is to be taken."""
        annotation = self.find(recorded)
        if annotation is None:
            return recorded
        if annotation.effect == "passed_over":
            return dataclasses.replace(recorded, annotated=True, void=True)
        return dataclasses.replace(recorded, annotated=True, damage=None)


def read_annotation(event: Event) -> LogAnnotated | None:
    """Return the annotation that an event is, None where it is another event."""
    return event if isinstance(event, LogAnnotated) else None


def get_hash(recorded: Recorded) -> str:
    """Return the chain hash of a stored message as its bytes have it."""
    return recorded.envelope.hash if recorded.damage is None else recorded.damage.hash


class AnnotatedLog:
    """Implements `Log` on another one: messages are as their annotations say.

    Attributes:
        annotations: Those that were read so far.
    """

    def __init__(self, log: Log) -> None:
        self.bare = log
        self.turns = log.turns
        self.annotations = Annotations()

    @classmethod
    async def open(cls, log: Log) -> Self:
        """Return the log with the annotations that it holds.

        Raises:
            Unavailable: The log cannot be read.
        """
        annotated = cls(log)
        await annotated.load(LOG_SUBJECT)
        return annotated

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`."""
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
        return None if found is None else self.annotations.apply(found)

    async def health(self) -> Health:
        """See `Log.health`."""
        return await self.bare.health()

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
    """Return a stored message and what is wrong with it, its link to the message before it included.

    Args:
        log: The log without its annotations.
        sequence: Of the message.

    Raises:
        Refusal: ``event_not_found``; ``event_readable``: nothing is wrong with it.
        Unavailable: The log cannot be read.
    """
    at = await log.find(sequence)
    if at is None:
        raise Refusal("event_not_found", f"the log has no event {sequence}", sequence=sequence)
    found = next(recorded for recorded in await log.load(at.subject) if recorded.sequence == sequence)
    damage = find_damage(found)
    if damage is None:
        raise Refusal(
            "event_readable",
            f"event {sequence} is readable, is what was sealed and follows the event before it; only a damaged message "
            "can be annotated",
            sequence=sequence,
        )
    return found, damage


def check_annotation(recorded: Recorded, damage: Damage, *, effect: Effect, hash: str, type_is_final: bool) -> None:  # noqa: A002
    """Check that an annotation may be made.

    Args:
        recorded: The message.
        damage: What is wrong with it.
        effect: What the annotation says.
        hash: What the operator takes the message's hash for.
        type_is_final: The operator vouches that no release knows the type.

    Raises:
        Refusal: ``hash_differs`` · ``type_maybe_newer`` · ``event_not_keepable``.
    """
    if hash != damage.hash:
        raise Refusal(
            "hash_differs",
            f"event {recorded.sequence} has the hash {damage.hash}, not {hash}; look at it again before annotating it",
            pointer="/hash",
            found=damage.hash,
        )
    if damage.kind == "type" and not type_is_final:
        raise Refusal(
            "type_maybe_newer",
            f"event {recorded.sequence} is sound and only its type {recorded.envelope.type!r} is unknown: a newer "
            "release may know it, so upgrade; where no release does, say so with --no-release-knows-it",
            found=recorded.envelope.type,
        )
    if effect == "kept" and damage.kind != "link":
        raise Refusal(
            "event_not_keepable",
            f"event {recorded.sequence} cannot be read ({damage.reason}); only an event whose link alone is broken can "
            "be kept",
            damage=damage.kind,
        )
