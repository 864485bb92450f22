"""How long a text of an event may be."""

from typing import Final, get_args

from events.types import Text

TEXT_MAX: Final[int] = get_args(Text)[1].max_length
"""Characters of a reason at most."""


def shorten(text: str) -> str:
    """Return the beginning of a reason that is put together, so that it fits."""
    return text[:TEXT_MAX]
