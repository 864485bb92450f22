"""Cursors of lists: the key of the last row, bound to the list that it was given in.

A list is a path with its order and its filters. A cursor begins with a short hash of these, so that it is refused
elsewhere, where it would leave out rows without a word. The hash is no secret: a cursor shows nothing but rows that the
key may read in any case.
"""

import base64
import binascii
import hashlib
from contextvars import ContextVar
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from marketplace.core.errors import Refusal

INT_MAX: Final = 2**63 - 1
REQUEST: Final[ContextVar[tuple[str, bytes]]] = ContextVar("request", default=("", b""))
"""Path and query of the request that is answered."""
_FREE: Final = frozenset({"cursor", "limit", "count", "expand"})
"""Parameters that may differ from page to page."""
_MARK_BYTES: Final = 6
_MARK_CHARACTERS: Final = 8
Key = TypeVar("Key")


def compute_mark(path: str, query: bytes) -> str:
    """Return the first characters of all cursors of a list."""
    steps = [step for step in path.split("/") if step]
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    content = msgspec.json.encode([steps, sorted(pair for pair in pairs if pair[0] not in _FREE)])
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:_MARK_BYTES]).decode()


def render_cursor(key: Any) -> str:
    """Return the cursor of a row's key in the list that the request asks for."""
    return compute_mark(*REQUEST.get()) + base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def parse_cursor(cursor: str | None, first: Key) -> Key:
    """Return the key in a cursor of the list that the request asks for, or `first` if there is none.

    Raises:
        Refusal: ``cursor_invalid``.
    """
    if cursor is None:
        return first
    annotation: Any = tuple[tuple(type(part) for part in first)] if isinstance(first, tuple) else type(first)  # type: ignore[misc]
    mark, text = cursor[:_MARK_CHARACTERS], cursor[_MARK_CHARACTERS:]
    if mark != compute_mark(*REQUEST.get()):
        raise refuse_cursor()
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        key: Key = msgspec.json.decode(decoded, type=annotation)
        _require_storable(key if isinstance(key, tuple) else (key,))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise refuse_cursor() from None
    return key


def refuse_cursor() -> Refusal:
    """Return the refusal of a cursor that no list gave, or another one."""
    text = (
        "this route did not give this cursor with this order and these filters; repeat them as they were on the first "
        "page, or begin again without the cursor"
    )
    return Refusal("cursor_invalid", text, pointer="/cursor")


def _require_storable(key: tuple[Any, ...]) -> None:
    """Refuse what no column holds: NUL in text, and numbers beyond 64 bits.

    Raises:
        ValueError: A part of the key is one of these.
    """
    for part in key:
        if (isinstance(part, str) and "\0" in part) or (isinstance(part, int) and not -INT_MAX <= part <= INT_MAX):
            raise ValueError(part)
