"""Keyset pages: an opaque cursor encodes the key of the last row."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar.params import QueryParameter

from marketplace.api.http.bodies.answers import Page, T
from marketplace.core.errors import Refusal

LIMIT_MAX: Final = 500
CURSOR_CHARACTERS_MAX: Final = 400
INT_MAX: Final = 2**63 - 1
Key = TypeVar("Key")

Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="Rows of a page")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=CURSOR_CHARACTERS_MAX, description="`next_cursor` of the previous page")
]


def render_cursor(key: Any) -> str:
    """Return the cursor of a row's key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def parse_cursor(cursor: str | None, first: Key) -> Key:
    """Return the key in a cursor, or `first` if there is none.

    Raises:
        Refusal: ``cursor_invalid``.
    """
    if cursor is None:
        return first
    annotation: Any = tuple[tuple(type(part) for part in first)] if isinstance(first, tuple) else type(first)  # type: ignore[misc]
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key: Key = msgspec.json.decode(decoded, type=annotation)
        _require_storable(key if isinstance(key, tuple) else (key,))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refusal(
            "cursor_invalid", "this route did not give this cursor; begin again without it", pointer="/cursor"
        ) from None
    return key


def _require_storable(key: tuple[Any, ...]) -> None:
    """Refuse what no column holds: NUL in text, and numbers beyond 64 bits.

    Raises:
        ValueError: A part of the key is one of these.
    """
    for part in key:
        if (isinstance(part, str) and "\0" in part) or (isinstance(part, int) and not -INT_MAX <= part <= INT_MAX):
            raise ValueError(part)


def build_page(rows: Sequence[T], limit: int, key: Callable[[T], Any]) -> Page[T]:
    """Return the page of at most `limit` rows, given one row more."""
    shown = list(rows[:limit])
    return Page(items=shown, next_cursor=render_cursor(key(shown[-1])) if len(rows) > limit else None)
