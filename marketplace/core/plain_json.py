"""JSON whose decimals have no exponents, as the API documents its requests and answers.

msgspec writes a decimal as Python does: ``6.7E-7`` for 0.00000067, and ``0E-12`` for a zero of twelve places.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

_KEPT: Final = (Decimal, msgspec.Raw)


def encode_plain(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as JSON whose decimals have no exponents. Texts and raw JSON in it are not changed.

    Args:
        value: The value.
        enc_hook: Converts types that msgspec cannot encode, as in `msgspec.json.encode`.
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
