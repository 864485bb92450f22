"""Events as projections see them: decoded once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from events.envelope import Envelope
from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import parse_subject
from events.types import Event
from marketplace.core.errors import Corrupt
from marketplace.log.port import Recorded


@dataclass(frozen=True, slots=True)
class Fact:
    """One stored event with its decoded body.

    Attributes:
        sequence: Its position in the log.
        aggregate: The noun of its subject, for example ``order``.
        id: The aggregate's id.
        tag: The event type, for example ``order.placed.v1``.
        envelope: What is said beside the body.
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


def parse_fact(recorded: Recorded) -> Fact:
    """Return a stored event decoded.

    Raises:
        Corrupt: Its type is not of this release, or its subject or body cannot be read.
    """
    try:
        tag = parse_type(recorded.envelope.type)
        aggregate, identity = parse_subject(recorded.subject)
        event = parse_body(tag, recorded.body)
    except UnknownEventType as error:
        raise Corrupt(f"event {recorded.sequence}: {error}; upgrade this process before it reads on") from error
    except (ValueError, msgspec.DecodeError) as error:
        raise Corrupt(f"event {recorded.sequence} of {recorded.subject} cannot be read: {error}") from error
    return Fact(recorded.sequence, aggregate, identity, tag, recorded.envelope, event)


def parse_facts(page: Sequence[Recorded], after: int = 0) -> list[Fact]:
    """Return the events of a page that lie above the position `after`, decoded.

    Raises:
        Corrupt: As `parse_fact`.
    """
    return [parse_fact(recorded) for recorded in page if recorded.sequence > after]
