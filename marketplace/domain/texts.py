"""How long a text of an event may be."""

from typing import Final, get_args

from events.types import Text

TEXT_MAX: Final[int] = get_args(Text)[1].max_length
"""The most characters of a reason."""


def shorten(text: str) -> str:
    """Return a text cut to `TEXT_MAX` characters."""
    return text[:TEXT_MAX]
