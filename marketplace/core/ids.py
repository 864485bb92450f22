"""Identifiers: a prefix for the kind of thing, and a UUID in Crockford's base 32 (TypeID 0.3).

The ids of what a command creates derive from the command's id, so that a repeated command creates nothing new. The id
of a command derives from its sender and the idempotency key. If the key is a UUIDv7, the id keeps its timestamp, and
ids sort by time; otherwise the id is a UUIDv8 of the hash.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final
from uuid import UUID

_ID: Final = re.compile(r"[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}")
_VARIANT: Final = 0x8000_0000_0000_0000
_VERSION_7: Final = 7
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE: Final = len(_ALPHABET)
_TO_PYTHON: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""From Crockford's digits to those that `int` reads."""
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""All texts of two digits, in order: an id is 13 of these, each of 10 bits. Longer texts would not fit into a cache."""
_BITS: Final = len(_PAIRS) - 1


def is_id(text: str, prefix: str | None = None) -> bool:
    """Return whether `text` is an id, and has the prefix if one is given."""
    return bool(_ID.fullmatch(text)) and (prefix is None or text.startswith(f"{prefix}_"))


def render_id(prefix: str, uuid: UUID) -> str:
    """Return the id of a UUID under a prefix, for example ``ord_01j…``."""
    return _render(prefix, uuid.int)


def _render(prefix: str, number: int) -> str:
    first = f"{_PAIRS[number >> 120]}{_PAIRS[number >> 110 & _BITS]}{_PAIRS[number >> 100 & _BITS]}"
    second = f"{_PAIRS[number >> 90 & _BITS]}{_PAIRS[number >> 80 & _BITS]}{_PAIRS[number >> 70 & _BITS]}"
    third = f"{_PAIRS[number >> 60 & _BITS]}{_PAIRS[number >> 50 & _BITS]}{_PAIRS[number >> 40 & _BITS]}"
    last = f"{_PAIRS[number >> 30 & _BITS]}{_PAIRS[number >> 20 & _BITS]}{_PAIRS[number >> 10 & _BITS]}"
    return f"{prefix}_{first}{second}{third}{last}{_PAIRS[number & _BITS]}"


def parse_uuid(id: str) -> UUID:  # noqa: A002 - the field's word
    """Return the UUID of an id.

    Raises:
        ValueError: It is not an id.
    """
    return UUID(int=_parse(id))


@lru_cache(maxsize=1_024)  # a command's id gives the ids of all that it creates
def _parse(id_: str) -> int:
    if not is_id(id_):
        raise ValueError(f"{id_!r} is not an id of the form abc_ and 26 characters")
    return int(id_[4:].translate(_TO_PYTHON), _BASE)


def derive_command_id(tenant: str, key: str) -> str:
    """Return the id of the command that a tenant sent under an idempotency key."""
    digest = int.from_bytes(hashlib.sha256(f"{tenant}\n{key}".encode()).digest()[:16], "big")
    return _render("cmd", _build(digest, _find_timestamp(key)))


def derive_id(prefix: str, cause: str, salt: str = "") -> str:
    """Return the id, with a prefix, of a thing that another id creates; always the same for the same arguments.

    Args:
        prefix: Three letters, for example ``ord``.
        cause: The id that creates it, usually a command's.
        salt: Distinguishes several things of one prefix and cause.

    Raises:
        ValueError: `cause` is not an id.
    """
    source = _parse(cause)
    digest = int.from_bytes(hashlib.sha256(f"{prefix}\n{cause}\n{salt}".encode()).digest()[:16], "big")
    return _render(prefix, _build(digest, _read_timestamp(source)))


def rename_id(prefix: str, id: str) -> str:  # noqa: A002 - the field's word
    """Return the id with the same UUID under another prefix, for example a party's account."""
    return f"{prefix}{id[3:]}"


def _find_timestamp(key: str) -> int | None:
    try:
        uuid = UUID(key)
    except ValueError:
        return None
    return _read_timestamp(uuid.int)


def _read_timestamp(number: int) -> int | None:
    """Return the milliseconds of a UUIDv7 (RFC 9562); None for any other UUID."""
    return number >> 80 if (number >> 62) & 3 == _VARIANT >> 62 and (number >> 76) & 15 == _VERSION_7 else None


def _build(digest: int, timestamp: int | None) -> int:
    """Return a UUIDv7 of a timestamp and 74 bits of a digest, or a UUIDv8 of 122 bits of it."""
    low = (digest & 0x3FFF_FFFF_FFFF_FFFF) | _VARIANT
    middle = (digest >> 64) & 0x0FFF
    if timestamp is None:
        return ((digest >> 80) << 80) | (8 << 76) | (middle << 64) | low
    return (timestamp << 80) | (7 << 76) | (middle << 64) | low
