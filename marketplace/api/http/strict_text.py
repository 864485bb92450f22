"""Refuses bodies with members that are repeated, and text that a person cannot read.

Both checks cost little where there is nothing to refuse: a body is decoded a second time only if its bytes hold a
character that may be refused.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NoReturn

import idna
import msgspec

from marketplace.api.http.body_faults import FAULTS_MAX
from marketplace.api.http.known_values import NAME_CHARACTERS_MAX
from marketplace.core.errors import Refusal

_SUSPECT: Final = re.compile(
    rb'"\s+"|\\[bfnrtu]|\x7f|\xc2[\x80-\xa0\xad]|\xcd\x8f|\xd8\x9c|\xe1\x85[\x9f\xa0]|\xe1\x9a\x80|\xe1\x9e[\xb4\xb5]|\xe1\xa0[\x8b-\x8f]'
    rb"|\xe2\x80[\x80-\xaf]|\xe2\x81[\x9f-\xaf]|\xe2\xa0\x80|\xe3\x80\x80|\xe3\x85\xa4|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xef\xbe\xa0"
    rb"|\xef\xb7[\x90-\xaf]|\xef\xbf[\xb9-\xbb\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]|\xf0\x9b\xb2[\xa0-\xa3]|\xf0\x9d\x85[\xb3-\xba]|\xf3\xa0[\x80-\x87]"
)
"""The bytes of characters that `_list_unreadable` may refuse, as UTF-8 or escaped."""
_BLANK_TEXT: Final = re.compile(rb'"\s+"')
_OF_LINES: Final = "\t\n\r"
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BLANK: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: fillers, joiners and variation selectors."""
_IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that Unicode lets a display ignore (Default_Ignorable_Code_Point), blank Braille, marks of notes."""
_JOINERS: Final = "\u200c\u200d"
_LOOSE: Final = re.compile(r"^\s|\s\s|\s$|[^\S \u3000]")
MARKS_MAX: Final = 4
"""Marks in a row on one letter of a name, as UTS 39 allows."""
_MARKS: Final = frozenset({"Mn", "Me"})
_NONCHARACTERS: Final = range(0xFDD0, 0xFDF0)
"""Beside the last two of each plane, the code points that are for ever no characters."""
_UNPRINTABLE: Final = frozenset({"Cc", "Zl", "Zp"})


def require_readable(body: bytes) -> Any:
    """Return the body in JSON's own types; refuse repeated members, blank text, and control characters in it.

    Tabs and line breaks are allowed. Overrides of the direction of text, which show another text than is stored,
    Unicode's separators of lines, and its noncharacters count as control characters.

    Raises:
        Refusal: ``member_repeated`` · ``text_blank`` · ``text_unprintable``, with those of other texts as `others`.
        msgspec.ValidationError: A number is beyond those that Python reads.
        msgspec.DecodeError: The body is not JSON.
    """
    decoded = msgspec.json.decode(body)
    if msgspec.json.encode(decoded) != msgspec.json.format(body, indent=-1):
        _require_unique(body)
    if (b"\\" in body or b"\x7f" in body or _BLANK_TEXT.search(body)) if body.isascii() else _SUSPECT.search(body):
        refusals = [*islice(_list_unreadable(decoded), FAULTS_MAX)]
        if refusals:
            refusals[0].others = tuple(refusals[1:])
            raise refusals[0]
    return decoded


def _require_unique(body: bytes) -> None:
    """Refuse repeated members, which msgspec does not show."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            _refuse_repeated(pairs)

    json.loads(body, object_pairs_hook=check)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> NoReturn:
    names = [name for name, _ in pairs]
    name = next(name for name in names if names.count(name) > 1)
    shown = name if len(name) <= NAME_CHARACTERS_MAX else f"{name[:20]}…"
    raise Refusal("member_repeated", f"the member {shown!r} stands twice in one object of the body; send it once")


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


def _list_unreadable(decoded: Any) -> Iterator[Refusal]:
    """Yield the refusal of each text that a person cannot read."""
    for pointer, text in _list_texts(decoded, ""):
        unprintable = next((character for character in text if _is_no_text(character)), None)
        if text and all(unicodedata.category(character) in _BLANK for character in _INVISIBLE.sub("", text)):
            where = pointer or "a name in the body"
            yield Refusal("text_blank", f"{where} holds white space alone; send text, or leave it out", pointer=pointer)
        elif unprintable is not None:
            yield refuse_unprintable(f"U+{ord(unprintable):04X}", pointer)


def _is_no_text(character: str) -> bool:
    if character in _OVERRIDES or (unicodedata.category(character) in _UNPRINTABLE and character not in _OF_LINES):
        return True
    return ord(character) in _NONCHARACTERS or ord(character) & 0xFFFE == 0xFFFE  # noqa: PLR2004 - the last of a plane


def refuse_unprintable(name: str, pointer: str) -> Refusal:
    """Return the refusal of a character that is not text, by its name."""
    where = pointer or "a name in the body"
    return Refusal("text_unprintable", f"{where} holds {name}, which is not text; leave it out", pointer=pointer)


def require_name(name: str, pointer: str) -> None:
    """Refuse a name that looks like another one although it differs.

    It has no character that shows nothing, but joiners where a script needs them (RFC 5892, as in domain names). It has
    at most `MARKS_MAX` marks on a letter, none twice in a row (UTS 39), and single spaces between words.

    Raises:
        Refusal: ``text_unprintable``.
    """
    if _LOOSE.search(name):
        text = f"{pointer} has spaces other than single plain ones between words; write one plain space"
        raise Refusal("text_unprintable", text, pointer=pointer)
    if name.isascii():
        return
    for found in _IGNORABLE.finditer(name):
        if found[0] not in _JOINERS or not _is_joined(name, found.start()):
            text = f"{pointer} holds U+{ord(found[0]):04X}, which shows nothing here; leave it out"
            raise Refusal("text_unprintable", text, pointer=pointer)
    if _has_flood(name):
        text = f"{pointer} has a mark twice on one letter, or more than {MARKS_MAX}; leave them out"
        raise Refusal("text_unprintable", text, pointer=pointer)


def _has_flood(name: str) -> bool:
    row: list[str] = []
    for character in unicodedata.normalize("NFD", name):
        row = [*row, character] if unicodedata.category(character) in _MARKS else []
        if len(row) > MARKS_MAX or row[-2:] == [character] * 2:
            return True
    return False


def _is_joined(name: str, position: int) -> bool:
    """Return whether a joiner stands where the letters beside it need it."""
    try:
        return idna.valid_contextj(name, position)
    except ValueError:  # beside a character that has no name
        return False
