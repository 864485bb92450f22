"""Decode the event in a stored message; if it cannot be read, name the message, its damage and the remedy."""

import msgspec

from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import parse_subject
from events.types import Event
from marketplace.core.errors import UnreadableEvent
from marketplace.log.port import Damage, Recorded


def parse_event(recorded: Recorded) -> Event:
    """Return the event in a stored message.

    Raises:
        UnreadableEvent: It is damaged, or this release does not know its type or cannot read its body.
    """
    damage = recorded.damage
    try:
        if damage is None:
            parse_subject(recorded.subject)
            return parse_body(parse_type(recorded.envelope.type), recorded.body)
    except UnknownEventType as error:
        damage = Damage("type", str(error), recorded.envelope.hash)
    except msgspec.DecodeError as error:
        damage = Damage("body", f"its body is not a valid {recorded.envelope.type}: {error}", recorded.envelope.hash)
    except ValueError as error:
        damage = Damage("subject", str(error), recorded.envelope.hash)
    raise UnreadableEvent(recorded.sequence, recorded.subject, damage.kind, damage.reason, damage.hash)


def find_damage(recorded: Recorded) -> Damage | None:
    """Return the damage that makes a stored message unreadable to this release, or None."""
    try:
        parse_event(recorded)
    except UnreadableEvent as error:
        return Damage(error.kind, error.reason, error.hash)
    return None
