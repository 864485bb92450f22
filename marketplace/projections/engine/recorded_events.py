"""Events as projections see them: decoded once for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.envelope import Envelope
from events.registry import parse_type
from events.subjects import parse_subject
from events.types import Event
from marketplace.core.errors import UnreadableEvent
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One stored event with its decoded body.

    Attributes:
        sequence: Its position in the log.
        aggregate: The noun of its subject, for example ``order``.
        id: The aggregate's id.
        tag: The event type, for example ``order.placed.v1``.
        envelope: The attributes beside the body.
        event: The body.
    """

    sequence: int
    aggregate: str
    id: str
    tag: str
    envelope: Envelope
    event: Event

    @property
    def time(self) -> datetime:
        """When the event occurred."""
        return self.envelope.time


def parse_fact(recorded: Recorded) -> RecordedEvent:
    """Return a stored event decoded.

    Raises:
        UnreadableEvent: Its type is not of this release, or its subject or body cannot be read.
    """
    event = parse_event(recorded)
    aggregate, identity = parse_subject(recorded.subject)
    tag = parse_type(recorded.envelope.type)
    return RecordedEvent(recorded.sequence, aggregate, identity, tag, recorded.envelope, event)


def parse_facts(
    page: Sequence[Recorded], after: int = 0, *, needs: Callable[[Recorded], bool] = lambda _: True
) -> list[RecordedEvent]:
    """Return the events of a page that have an effect, decoded.

    Args:
        page: Messages of the log; those that an annotation voids have no effect.
        after: Position that is passed already.
        needs: Returns whether a message that cannot be read matters to the caller. Others are passed over.

    Raises:
        UnreadableEvent: As `parse_fact`.
    """
    facts = []
    for recorded in page:
        if recorded.sequence <= after or recorded.void:
            continue
        try:
            facts.append(parse_fact(recorded))
        except UnreadableEvent:
            if needs(recorded):
                raise
    return facts
