"""JSON whose decimals have one form, in events and in the requests and answers of the API.

Dollars, which are the members with ``usd`` in their name and the amounts of the unit ``USD``, have two places, or more
if they need them: ``480.00``, ``3.99``, ``6.155``. Every other decimal has as few places as it needs: ``0.2``, ``4``.
There are no exponents. msgspec writes a decimal as Python does: ``6.7E-7`` for 0.00000067, ``2.5000`` after a rounding.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

_KEPT: Final = (Decimal, msgspec.Raw)
_LEAVES: Final = frozenset({str, int, bool, type(None)})
"""Types that hold no decimal outside of facts."""
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DOLLARS: Final = re.compile(rb'(usd[a-z0-9_]{0,40}":"-?[0-9]+)(\.[0-9]?|\.[0-9]{2,}0)?(?=")')
"""Dollars with fewer than two places, or with zeros after more."""
_ZEROS: Final = re.compile(rb'\.[0-9]*0"')
_OWN: Final = re.compile(rb'usd[a-z0-9_]{0,40}":"-?[0-9]+\.[0-9]*0"')
"""Dollars of their own member that end in a zero, as most do."""
_LIST: Final = re.compile(rb'usd[a-z0-9_]{0,40}":\["')
_RARE: Final = (b"E-", b"E+", b'"-0', b'"unit":"USD"')


def render_decimal(value: Decimal, *, dollars: bool = False) -> str:
    """Return a decimal in its one form, as dollars or as anything else."""
    whole, _, places = f"{abs(value) if value == 0 else value:f}".partition(".")
    places = places.rstrip("0").ljust(2 if dollars else 0, "0")
    return f"{whole}.{places}" if places else whole


def encode_plain(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as JSON whose decimals have their one form. Other texts, and raw JSON in it, are not changed.

    Args:
        value: The value.
        enc_hook: Converts types that msgspec cannot encode, as in `msgspec.json.encode`.
    """
    body = msgspec.json.encode(value, enc_hook=enc_hook)
    if _DOLLARS.search(body) or _is_suspect(body):
        parts = msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=enc_hook)
        body = msgspec.json.encode(_write_plainly(parts))
    return body


def encode_event(value: msgspec.Struct) -> bytes:
    """Return a value without raw JSON as `encode_plain` does, faster where only dollars have not their form.

    A text of a member that is named as dollars would get their form too, if it were a decimal. No event has one: such
    texts are exact fractions.
    """
    body = _DOLLARS.sub(_complete, _ENCODER.encode(value))
    return encode_plain(value) if _is_suspect(body) else body


def _is_suspect(body: bytes) -> bool:
    """Return whether something beside dollars of their own member may have another form; texts may look so too."""
    for rare in _RARE:
        if rare in body:
            return True
    if b'":["' in body and _LIST.search(body):
        return True
    rest = _OWN.sub(b"", body)
    for found in _ZEROS.finditer(rest):
        start = rest.rfind(b'"', 0, found.start())
        if rest[start + 1 : found.start()].lstrip(b"-").isdigit():
            return True
    return False


def _complete(found: re.Match[bytes]) -> bytes:
    return found[1] + b"." + (found[2] or b".")[1:].rstrip(b"0").ljust(2, b"0")


def _write_plainly(value: Any, *, dollars: bool = False, unit: bool = False, facts: bool = False) -> Any:
    """Return a value with texts in place of its decimals.

    Args:
        value: The value.
        dollars: Whether the member that has it is named as dollars.
        unit: Whether its amounts have the unit of dollars.
        facts: Whether it is in facts, whose decimals are texts.
    """
    if isinstance(value, Decimal):
        return render_decimal(value, dollars=dollars or unit)
    if facts and dollars and isinstance(value, str) and _DECIMAL.fullmatch(value):
        return render_decimal(Decimal(value), dollars=True)
    if isinstance(value, dict):
        unit = value["unit"] == "USD" if isinstance(value.get("unit"), str) else unit
        return {
            name: one
            if type(one) in _LEAVES and not facts
            else _write_plainly(one, dollars="usd" in str(name).split("_"), unit=unit, facts=facts or name == "facts")
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_write_plainly(one, dollars=dollars, unit=unit, facts=facts) for one in value]
    return value
