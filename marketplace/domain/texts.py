"""Which texts people can read and which names they can tell apart, and how long a text of an event may be."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

import idna
import msgspec

from events.types import Name, Text
from marketplace.core.errors import Refusal

TEXT_MAX: Final[int] = get_args(Text)[1].max_length
"""The most characters of a reason."""
_ITEMS: Final = "*"
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


def shorten(text: str) -> str:
    """Return a text cut to `TEXT_MAX` characters."""
    return text[:TEXT_MAX]


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


def list_unreadable(decoded: Any) -> Iterator[Refusal]:
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
        Refusal: ``text_unprintable`` · ``text_blank``.
    """
    if _LOOSE.search(name):
        text = f"{pointer} has spaces other than single plain ones between words; write one plain space"
        raise Refusal("text_unprintable", text, pointer=pointer)
    if name.isascii():
        return
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise Refusal("text_blank", f"{pointer} holds no letter, digit or sign; send text", pointer=pointer)
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


def list_names(annotation: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield where a type has names: members' names, and `_ITEMS` for each item of a list or an object."""
    if annotation == Name:
        yield path
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        hints = get_type_hints(annotation, include_extras=True)
        for field in msgspec.structs.fields(annotation):
            yield from list_names(hints[field.name], (*path, field.encode_name))
    else:
        within = get_origin(annotation) in (tuple, list, dict)
        for argument in get_args(annotation):
            yield from list_names(argument, (*path, _ITEMS) if within else path)


def list_misnamed(path: tuple[str, ...], value: Any, pointer: str = "") -> Iterator[Refusal]:
    """Yield the refusals of the names that a body has at a path, by `require_name`."""
    if not path and isinstance(value, str):
        try:
            require_name(value, pointer)
        except Refusal as refusal:
            yield refusal
    elif path and path[0] == _ITEMS and isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from list_misnamed(path[1:], item, f"{pointer}/{key}")
    elif path and isinstance(value, dict) and path[0] in value:
        yield from list_misnamed(path[1:], value[path[0]], f"{pointer}/{path[0]}")
