"""Every event type there is, by its tag, and how to read and write a body.

A tag such as ``order.placed.v1`` is permanent: it is never edited and never used for something else. The body has it as
``type``; the CloudEvents type is the tag with the prefix ``marketplace.``.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, get_args

import msgspec

import events
from events.envelope import TYPE_PREFIX
from events.instants import STORED, find_outside, is_stored
from events.plain_json import encode_event
from events.types import Event


def _list_unions() -> Iterator[Any]:
    """Yield the union of each module of this package that has one, as ``events.order`` has `OrderEvent`."""
    for module in pkgutil.iter_modules(events.__path__):
        name = f"{module.name.title().replace('_', '')}Event"
        if not module.ispkg and hasattr(import_module(f"events.{module.name}"), name):
            yield getattr(import_module(f"events.{module.name}"), name)


def _tag(event_class: type[Event]) -> str:
    tag = event_class.__struct_config__.tag
    assert isinstance(tag, str), f"{event_class.__name__} has no tag"
    return tag


EVENT_TYPES: Final[dict[str, type[Event]]] = {
    _tag(event_class): event_class for union in _list_unions() for event_class in get_args(union) or (union,)
}
AGGREGATES: Final = tuple(dict.fromkeys(tag.partition(".")[0] for tag in EVENT_TYPES))
_DECODERS: Final = {tag: msgspec.json.Decoder(event_class) for tag, event_class in EVENT_TYPES.items()}


class UnknownEventType(ValueError):  # noqa: N818 - named for what it tells
    """The log holds an event type that this release does not know; upgrade before reading on."""


def get_tag(event: Event) -> str:
    """Return the tag of an event, for example ``order.placed.v1``."""
    return _tag(type(event))


def list_tags(aggregate: str) -> list[str]:
    """Return the tags of one aggregate, in the order of its union."""
    return [tag for tag in EVENT_TYPES if tag.partition(".")[0] == aggregate]


def render_type(tag: str) -> str:
    """Return the CloudEvents type of a tag."""
    return TYPE_PREFIX + tag


def parse_type(cloudevents_type: str) -> str:
    """Return the tag of a CloudEvents type.

    Raises:
        UnknownEventType: It is not an event type of this release.
    """
    tag = cloudevents_type.removeprefix(TYPE_PREFIX)
    if tag not in EVENT_TYPES or not cloudevents_type.startswith(TYPE_PREFIX):
        raise UnknownEventType(f"{cloudevents_type!r} is not an event type of this release")
    return tag


def render_schema_name(tag: str) -> str:
    """Return the file name of the JSON Schema of a tag, which is also its ``dataschema`` reference."""
    return f"{tag}.json"


def render_body(event: Event) -> bytes:
    """Return the JSON body of an event."""
    return encode_event(event)


def parse_body(tag: str, body: bytes) -> Event:
    """Return the event in a JSON body.

    Raises:
        UnknownEventType: The tag is not of this release.
        msgspec.ValidationError: The body is not what its tag says, or holds an instant or a date out of bounds.
    """
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise UnknownEventType(f"{tag!r} is not an event type of this release")
    event = decoder.decode(body)
    outside = find_outside(event, is_stored)
    if outside is not None:
        raise msgspec.ValidationError(f"{outside} {STORED}")
    return event
