"""The code that makes something of the log, as one hash: what it reaches, and what events it reads.

See `core/code_walk.py`. An event is told by its JSON Schema, so that the words that describe it do not count.
"""

import functools
from collections.abc import Iterable

from events.json_schema import fingerprint, render_schema
from events.registry import EVENT_TYPES
from events.types import Event
from marketplace.core.code_walk import CodeWalk, Describe, describe_nothing, list_members


def walk_code(roots: Iterable[object], describe: Describe = describe_nothing) -> CodeWalk:
    """Return the walk from some functions, classes and values; `describe` as there."""

    def describe_all(value: object) -> Iterable[object] | None:
        if isinstance(value, type) and issubclass(value, Event):
            return _describe_event(value)
        return describe(value)

    return CodeWalk(roots, describe_all)


@functools.cache
def _describe_event(event_class: type[Event]) -> tuple[object, ...]:
    """Return the name of an event class, the hash of its schema, and its methods."""
    tag = event_class.__struct_config__.tag
    schema = fingerprint(render_schema(tag)) if tag in EVENT_TYPES else None
    return (event_class.__qualname__, schema, *list_members(event_class))
