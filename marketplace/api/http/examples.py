"""Examples of request bodies: `examples.json`, which `scripts/request_examples.py` writes.

The API accepted each of them in the story of `tests/api`. Their ids name nothing, so that a request with ids of another
market is accepted in that market's state only. In the file today is `DAY`; the document counts from the market's day,
whenever it is asked for.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

DAY: Final = datetime(2027, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_FILE: Final = files("marketplace.api.http").joinpath("examples.json")


def load_examples(now: datetime) -> dict[str, Any]:
    """Return an example for each operation with a body, by the operation's id."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    examples: dict[str, Any] = map_texts(_read(), lambda text: move_day(text, DAY, today))
    return examples


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with every text in it changed."""
    if isinstance(value, dict):
        return {name: map_texts(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [map_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def move_day(text: str, day: datetime, to: datetime) -> str:
    """Return an instant, or the date of `day`, as far from `to` as it is from `day`; another text as it is."""
    if _INSTANT.fullmatch(text):
        return (datetime.fromisoformat(text) + (to - day)).isoformat().replace("+00:00", "Z")
    return to.date().isoformat() if text == day.date().isoformat() else text


@cache
def _read() -> dict[str, Any]:
    examples: dict[str, Any] = msgspec.json.decode(_FILE.read_bytes())
    return examples
