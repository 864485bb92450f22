"""The bounds of instants and dates. Others could not be converted to UTC, moved by years, or stored in PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, get_args, get_type_hints

import msgspec

FIRST: Final = datetime(1800, 1, 1, tzinfo=UTC)
"""The first instant of requests and events: companies and their stock may be older than the market."""
REQUESTED_UNTIL: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""The instant after the last one of a request or an import."""
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The last instant of an event. It stands for no end."""
REQUESTED: Final = "must lie between 1800-01-01 and 2199-12-31 in UTC"
STORED: Final = "must lie between 1800-01-01 and 9999-01-01 in UTC"


def is_requested(at: date) -> bool:
    """Return whether a request or an import may state an instant or a date."""
    if isinstance(at, datetime):
        return FIRST <= (at if at.tzinfo else at.replace(tzinfo=UTC)) < REQUESTED_UNTIL
    return FIRST.date() <= at < REQUESTED_UNTIL.date()


def is_stored(at: date) -> bool:
    """Return whether an event may hold an instant or a date."""
    if isinstance(at, datetime):
        return FIRST <= (at if at.tzinfo else at.replace(tzinfo=UTC)) <= FOREVER
    return FIRST.date() <= at <= FOREVER.date()


def find_outside(value: Any, is_inside: Callable[[date], bool]) -> str | None:
    """Return the JSON pointer of the first instant or date that is out of bounds; None if there is none.

    Args:
        value: An event, a request, or a part of one.
        is_inside: Whether one is in bounds: `is_requested` or `is_stored`.
    """
    if isinstance(value, date):
        return None if is_inside(value) else ""
    if isinstance(value, msgspec.Struct):
        for name in _list_members(type(value)):
            item = getattr(value, name)
            below = None if item is None else find_outside(item, is_inside)
            if below is not None:
                return f"/{name}{below}"
    elif isinstance(value, tuple | list | dict):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            below = find_outside(item, is_inside)
            if below is not None:
                return f"/{key}{below}"
    return None


@cache
def _list_members(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the members that may hold instants or dates, so that the others are not visited."""
    return tuple(name for name, hint in get_type_hints(kind).items() if _may_hold(hint, ()))


def _may_hold(hint: Any, above: tuple[Any, ...]) -> bool:
    if hint is Any or hint is object:
        return True
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint not in above and any(_may_hold(one, (*above, hint)) for one in get_type_hints(hint).values())
    if isinstance(hint, type) and issubclass(hint, date):
        return True
    return any(_may_hold(argument, above) for argument in get_args(hint))
