"""Positions of the log at which there is no message, and what proves that there was one.

A nats-server whose disk is full can use up a position and store nothing there: nobody was told that the append is
stored. An event that was acknowledged and is lost leaves the same gap. The chain tells them apart where a later event
of a subject follows a hash that no stored event has; where the lost event was the last of its subject, nothing in the
log does (ADR 20).
"""

import dataclasses
import re
from typing import Final

from events.log import LostEvent
from marketplace.core.errors import Refusal
from marketplace.log.codec import Before, check_link
from marketplace.log.port import Log, Recorded

_LOST_MAX: Final = 100
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class LossEvidence:
    """Walks a whole log and collects the events that are proven to have been at an empty position.

    Args:
        sequence: The position.

    Attributes:
        lost: Those events, at most 100.
    """

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self._heads: dict[str, tuple[int, Before]] = {}
        self.lost: list[LostEvent] = []

    def take(self, recorded: Recorded) -> None:
        """Take the next event of the log, from the first one on."""
        if recorded.is_empty:
            return
        before, hash_before = self._heads.get(recorded.subject, (0, ""))
        if recorded.damage is not None and recorded.damage.kind == "link":
            recorded = dataclasses.replace(recorded, damage=None)
        linked, following = check_link(recorded, hash_before)
        self._heads[recorded.subject] = (recorded.sequence, following)
        hash_lost = recorded.envelope.previoushash
        is_broken = linked.damage is not None and linked.damage.kind == "link" and _HASH.fullmatch(hash_lost)
        if is_broken and before < self._sequence < recorded.sequence and len(self.lost) < _LOST_MAX:
            self.lost.append(
                LostEvent(subject=recorded.subject, hash=hash_lost, known_from=f"event {recorded.sequence} follows it")
            )


async def require_empty(log: Log, sequence: int) -> None:
    """Return where there is no message at a position of the log.

    Raises:
        Refusal: ``position_beyond_end`` · ``position_not_empty``.
        Unavailable: The log cannot be read.
    """
    found = await log.find(sequence)
    if found is None:
        last = (await log.health()).last_sequence
        raise Refusal("position_beyond_end", f"the log ends at {last}, before position {sequence}", sequence=sequence)
    if not found.is_empty:
        raise Refusal(
            "position_not_empty",
            f"there is a message at position {sequence}, on {found.subject}; where it is damaged, use "
            "`marketplace log annotate`",
            sequence=sequence,
        )


def require_told(sequence: int, lost: list[LostEvent], *, event_is_lost: bool) -> None:
    """Return where nothing proves that an event is lost at an empty position, or the operator says that it is.

    Raises:
        Refusal: ``event_lost`` or ``event_not_lost``.
    """
    if lost and not event_is_lost:
        named = "; ".join(f"{one.known_from}, {one.hash or 'hash unknown'} on {one.subject}" for one in lost)
        raise Refusal(
            "event_lost",
            f"an event that was stored is lost at position {sequence}: {named}. Restore a copy of the log that has it; "
            "where there is none, say so with --event-is-lost",
            sequence=sequence,
        )
    if event_is_lost and not lost:
        raise Refusal(
            "event_not_lost",
            f"nothing in the log proves that an event is lost at position {sequence}; leave --event-is-lost out",
            sequence=sequence,
        )
