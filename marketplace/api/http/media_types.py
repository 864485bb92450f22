"""Media types of bodies, over HTTP and over NATS, and of answers."""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from marketplace.core.errors import Refusal

JSON: Final = "application/json"
HTML: Final = "text/html"
EVENT_STREAM: Final = "text/event-stream"
_WEIGHT: Final = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*")
_CHARSETS: Final = frozenset({b"", b"utf-8", b"utf8"})


@lru_cache(maxsize=256)
def parse_media_type(header: bytes) -> tuple[bytes, bytes]:
    """Return the media type and the charset: the first other than UTF-8 that is stated, or an empty one."""
    media_type, _, parameters = header.lower().partition(b";")
    stated = (parameter.strip().partition(b"=") for parameter in parameters.split(b";"))
    charsets = (value.strip(b' \t"') for name, _, value in stated if name.rstrip(b" \t*") == b"charset")
    return media_type.strip(), next((charset for charset in charsets if charset not in _CHARSETS), b"")


def require_utf8(charset: bytes) -> None:
    """Refuse a body in another charset than UTF-8.

    Raises:
        Refusal: ``media_type_unsupported``.
    """
    if charset not in _CHARSETS:
        raise Refusal("media_type_unsupported", "bodies are UTF-8; send it so, without another charset")


def prefers(scope: Mapping[str, Any], media_type: str) -> bool:
    """Return whether a request names a media type in `Accept`, and rates it no lower than JSON, which is the default.

    Several headers count as one (RFC 9110, 5.3).
    """
    accepted = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
    return _prefers(accepted, media_type)


@lru_cache(maxsize=256)
def _prefers(accepted: str, media_type: str) -> bool:
    weights: dict[str, Decimal] = {}
    for each in accepted.lower().split(","):
        name, *parameters = each.split(";")
        weighed = [found for parameter in parameters if (found := _WEIGHT.fullmatch(parameter))]
        weights[name.strip()] = Decimal(weighed[0][1]) if weighed else Decimal(1)
    of_json = next((weights[name] for name in (JSON, "application/*", "*/*") if name in weights), Decimal(0))
    return weights.get(media_type, 0) > 0 and weights[media_type] >= of_json
