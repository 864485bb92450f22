"""Ids of the story: the same at every run, sortable by time, of the marketplace's form."""

import hashlib
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_STORY_MILLISECONDS = int(datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp() * 1_000)
_VERSION_7 = 7 << 76
_VARIANT = 2 << 62


def name(prefix: str, word: str) -> str:
    """Return the id of a thing of the story, by what the story calls it."""
    digest = int.from_bytes(hashlib.sha256(f"{prefix}:{word}".encode()).digest(), "big")
    high = (digest >> 200) & 0xFFF
    low = digest & ((1 << 62) - 1)
    number = _STORY_MILLISECONDS << 80 | _VERSION_7 | high << 64 | _VARIANT | low
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
