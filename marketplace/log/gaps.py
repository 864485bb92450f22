"""Positions of the log without a message, and the proof that there was one.

A nats-server with a full disk can use up a position without storing anything; the append is then never acknowledged. A
lost event that was acknowledged leaves the same gap. The chain tells them apart if a later event of a subject links to
a hash that no stored event has. If the lost event was the last of its subject, nothing in the log proves the loss
(ADR 20).
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
    """Reads a whole log and collects the events that were provably at an empty position.

    Args:
        sequence: The position.

    Attributes:
        lost: Those events, at most 100 of them.
    """

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self._heads: dict[str, tuple[int, Before]] = {}
        self.lost: list[LostEvent] = []

    def take(self, recorded: Recorded) -> None:
        """Add the next event of the log, beginning with the first."""
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
    """Refuse a position of the log that has a message.

    Raises:
        Refusal: ``position_not_empty``, or ``position_beyond_end`` after the last position.
        Unavailable: The log cannot be read.
    """
    found = await log.find(sequence)
    if found is None:
        last = (await log.health()).last_sequence
        raise Refusal("position_beyond_end", f"the log ends at {last}, before position {sequence}", sequence=sequence)
    if not found.is_empty:
        raise Refusal(
            "position_not_empty",
            f"there is a message at position {sequence}, on {found.subject}; if it is damaged, use "
            "`marketplace log annotate`",
            sequence=sequence,
        )


def require_loss_stated(sequence: int, lost: list[LostEvent], *, event_is_lost: bool) -> None:
    """Refuse an operator's statement about an empty position that differs from the evidence.

    Args:
        sequence: The position.
        lost: The events that were provably there.
        event_is_lost: Whether the operator states that an event is lost.

    Raises:
        Refusal: ``event_lost``: there is proof of a loss, and the operator does not state it. ``event_not_lost``: the
            operator states a loss without proof.
    """
    if lost and not event_is_lost:
        named = "; ".join(f"{one.known_from}, {one.hash or 'hash unknown'} on {one.subject}" for one in lost)
        raise Refusal(
            "event_lost",
            f"an event that was stored is lost at position {sequence}: {named}. Restore a copy of the log that has it; "
            "if there is none, confirm with --event-is-lost",
            sequence=sequence,
        )
    if event_is_lost and not lost:
        raise Refusal(
            "event_not_lost",
            f"nothing in the log proves that an event is lost at position {sequence}; leave out --event-is-lost",
            sequence=sequence,
        )
