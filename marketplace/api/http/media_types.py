"""Media types of bodies, over HTTP and over NATS."""

from functools import lru_cache
from typing import Final

from marketplace.core.errors import Refusal

_CHARSETS: Final = frozenset({b"", b"utf-8", b"utf8"})


@lru_cache(maxsize=256)
def parse_media_type(header: bytes) -> tuple[bytes, bytes]:
    """Return the media type and the charset, which is empty where none is stated."""
    media_type, _, parameters = header.lower().partition(b";")
    stated = (parameter.strip().partition(b"=") for parameter in parameters.split(b";"))
    charsets = [value.strip(b' "') for name, _, value in stated if name == b"charset"]
    return media_type.strip(), charsets[0] if charsets else b""


def require_utf8(charset: bytes) -> None:
    """Refuse a body in another charset than UTF-8.

    Raises:
        Refusal: ``media_type_unsupported``.
    """
    if charset not in _CHARSETS:
        raise Refusal("media_type_unsupported", "bodies are UTF-8; send it so, without another charset")
