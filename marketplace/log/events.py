"""The event in a stored message, decoded; or which message cannot be read, what is wrong with it, and the remedy."""

import msgspec

from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import parse_subject
from events.types import Event
from marketplace.core.errors import Unreadable
from marketplace.log.codec import refuse_damaged
from marketplace.log.port import Damage, Recorded


def parse_event(recorded: Recorded) -> Event:
    """Return the event in a stored message.

    Raises:
        Unreadable: It is damaged, or this release does not know its type or cannot read its body.
    """
    if recorded.damage is not None:
        raise refuse_damaged(recorded, recorded.damage)
    try:
        return parse_body(parse_type(recorded.envelope.type), recorded.body)
    except UnknownEventType as error:
        raise refuse_damaged(recorded, Damage("type", str(error))) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise refuse_damaged(recorded, Damage("body", f"its body is no {recorded.envelope.type}: {error}")) from error


def find_damage(recorded: Recorded) -> Damage | None:
    """Return what makes a stored message unreadable to this release, None where it can be read."""
    try:
        parse_subject(recorded.subject)
    except ValueError as error:
        return Damage("subject", str(error))
    try:
        parse_event(recorded)
    except Unreadable as error:
        return Damage(error.kind, error.reason)
    return None
