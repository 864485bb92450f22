"""Refuses bodies with members that are repeated, and text that a person cannot read.

Both checks cost little where there is nothing to refuse: a body is decoded a second time only if its bytes hold a
character that may be refused.
"""

import json
import re
from itertools import islice
from typing import Any, Final, NoReturn

import msgspec

from marketplace.api.http.body_faults import FAULTS_MAX
from marketplace.api.http.known_values import NAME_CHARACTERS_MAX
from marketplace.core.errors import Refusal, join_refusals
from marketplace.domain.texts import list_unreadable

_SUSPECT: Final = re.compile(
    rb'"\s+"|\\[bfnrtu]|\x7f|\xc2[\x80-\xa0\xad]|\xcd\x8f|\xd8\x9c|\xe1\x85[\x9f\xa0]|\xe1\x9a\x80|\xe1\x9e[\xb4\xb5]|\xe1\xa0[\x8b-\x8f]'
    rb"|\xe2\x80[\x80-\xaf]|\xe2\x81[\x9f-\xaf]|\xe2\xa0\x80|\xe3\x80\x80|\xe3\x85\xa4|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xef\xbe\xa0"
    rb"|\xef\xb7[\x90-\xaf]|\xef\xbf[\xb9-\xbb\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]|\xf0\x9b\xb2[\xa0-\xa3]|\xf0\x9d\x85[\xb3-\xba]|\xf3\xa0[\x80-\x87]"
)
"""The bytes of characters that `list_unreadable` may refuse, as UTF-8 or escaped."""
_BLANK_TEXT: Final = re.compile(rb'"\s+"')


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
        refusals = [*islice(list_unreadable(decoded), FAULTS_MAX)]
        if refusals:
            raise join_refusals(refusals)
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
