"""Refuses bodies with members that are repeated, and text that a person cannot read.

Both checks cost little where there is nothing to refuse: a body is decoded a second time only if its bytes hold a
character that may be refused.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import msgspec

from marketplace.core.errors import Refusal

_SUSPECT: Final = re.compile(
    rb'"\s+"|\\[bfnrtu]|\x7f|\xc2[\x80-\xa0]|\xe2\x80[\x80-\xaf]|\xe2\x81[\x9f-\xaf]|\xe1\x9a\x80|\xe3\x80\x80|\xef\xbb\xbf'
)
_OF_LINES: Final = "\t\n\r"
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BLANK: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


def require_readable(body: bytes) -> None:
    """Refuse repeated members, blank text, and control characters other than tabs and line breaks.

    Overrides of the direction of text count as control characters: they show another text than is stored.

    Raises:
        Refusal: ``member_repeated`` · ``text_blank`` · ``text_unprintable``.
        msgspec.DecodeError: The body is not JSON.
    """
    decoded = msgspec.json.decode(body)
    if msgspec.json.encode(decoded) != msgspec.json.format(body, indent=-1):
        _require_unique(body)
    if _SUSPECT.search(body):
        for pointer, text in _list_texts(decoded, ""):
            _require_text(text, pointer)


def _require_unique(body: bytes) -> None:
    """Refuse repeated members, which msgspec does not show."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            _refuse_repeated(pairs)

    json.loads(body, object_pairs_hook=check)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> NoReturn:
    names = [name for name, _ in pairs]
    name = next(name for name in names if names.count(name) > 1)
    raise Refusal("member_repeated", f"the member {name!r} stands twice in one object of the body; send it once")


def _list_texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _list_texts(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield pointer, name
            yield from _list_texts(item, f"{pointer}/{name}")


def _require_text(text: str, pointer: str) -> None:
    if text and all(unicodedata.category(character) in _BLANK for character in text):
        raise Refusal("text_blank", f"{pointer} holds white space alone; send text, or leave it out", pointer=pointer)
    for character in text:
        if character in _OVERRIDES or (unicodedata.category(character) == "Cc" and character not in _OF_LINES):
            raise refuse_unprintable(f"U+{ord(character):04X}", pointer)


def refuse_unprintable(name: str, pointer: str) -> Refusal:
    """Return the refusal of a character that is not text, by its name."""
    return Refusal("text_unprintable", f"{pointer} holds {name}, which is not text; leave it out", pointer=pointer)
