"""JSON whose decimals have no exponents, as bodies and answers of the API are documented.

msgspec writes a decimal as Python does: ``6.7E-7`` for 0.00000067, and ``0E-12`` for a zero of twelve places.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

_KEPT: Final = (Decimal, msgspec.Raw)


def encode_plain(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as JSON. Texts and raw JSON stay as they are.

    Args:
        value: The value.
        enc_hook: Turns what msgspec does not know into what it knows.
    """
    body = msgspec.json.encode(value, enc_hook=enc_hook)
    if b"E-" in body or b"E+" in body:
        parts = msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=enc_hook)
        body = msgspec.json.encode(_write_plainly(parts))
    return body


def _write_plainly(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {name: _write_plainly(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_write_plainly(one) for one in value]
    return value
