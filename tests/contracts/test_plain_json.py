"""Decimals in JSON have one form: dollars with two places or more, others with as few as they need, no exponents."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from events.plain_json import encode_event, encode_plain, render_decimal
from events.registry import EVENT_TYPES
from events.types import Ratio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FORMS = {
    "0.00000067": ("0.00000067", "0.00000067"),
    "0E-12": ("0", "0.00"),
    "-0.0": ("0", "0.00"),
    "-1E-9": ("-0.000000001", "-0.000000001"),
    "1E+3": ("1000", "1000.00"),
    "4": ("4", "4.00"),
    "4.6": ("4.6", "4.60"),
    "-3.81": ("-3.81", "-3.81"),
    "2.5000": ("2.5", "2.50"),
    "0.00": ("0", "0.00"),
    "6.1550": ("6.155", "6.155"),
    "100": ("100", "100.00"),
}


class Amount(msgspec.Struct):
    unit: str
    amount: Decimal


class Row(msgspec.Struct):
    cash_usd: Decimal
    usd_per_hour_max: Decimal
    share: Decimal
    steps_usd: tuple[Decimal, ...]
    parts: dict[str, tuple[Decimal, ...]]
    facts: dict[str, str]
    sums: tuple[Amount, ...]
    text: str = "4.0"
    name: str = "1E-7"
    at: datetime = NOON
    more: str | msgspec.UnsetType = msgspec.UNSET


class Stored(Row):
    event: msgspec.Raw = msgspec.Raw(b'{"price_usd": "1"}')


@pytest.mark.parametrize("written", FORMS)
def test_a_decimal_has_one_form_and_texts_and_stored_events_stay(written):
    value, (short, dollars) = Decimal(written), FORMS[written]
    assert (render_decimal(value), render_decimal(value, dollars=True)) == (short, dollars)
    sums = (Amount("USD", value), Amount("GPU-second:H100", value))
    members = (value, value, value, (value,), {"a": (value,)}, {"left_usd": f"{value:f}", "word": "4.0"}, sums)
    expected = (
        f'"cash_usd":"{dollars}","usd_per_hour_max":"{dollars}","share":"{short}","steps_usd":["{dollars}"],'
        f'"parts":{{"a":["{short}"]}},"facts":{{"left_usd":"{dollars}","word":"4.0"}},'
        f'"sums":[{{"unit":"USD","amount":"{dollars}"}},{{"unit":"GPU-second:H100","amount":"{short}"}}],'
        '"text":"4.0","name":"1E-7","at":"2026-01-01T12:00:00Z"'
    )
    assert encode_plain([Stored(*members)]).decode() == f'[{{{expected},"event":{{"price_usd": "1"}}}}]'
    assert encode_event(Row(*members)).decode() == f"{{{expected}}}"
    for member in ("cash_usd", "share"):  # alone, so that none is found by the other
        kind = msgspec.defstruct("Kind", [(member, Decimal)])
        form = dollars if member == "cash_usd" else short
        assert encode_event(kind(value)) == encode_plain(kind(value)) == f'{{"{member}":"{form}"}}'.encode()


def test_texts_that_events_name_as_dollars_are_fractions_so_that_both_encoders_write_the_same():
    fraction = msgspec.json.schema(Ratio)["pattern"]
    _, components = msgspec.json.schema_components(EVENT_TYPES.values(), ref_template="{name}")
    named = [
        (name, member, text)
        for name, component in components.items()
        for member, schema in component["properties"].items()
        if "usd" in member
        for text in list_texts(schema)
    ]
    assert ("GrantIssued", "price_usd_per_gpu_hour") in [found[:2] for found in named]
    assert [found for found in named if found[2].get("pattern") != fraction] == []


def list_texts(schema: dict) -> Iterator[dict]:
    """Yield the schemas of texts that are no decimals, in a member's schema."""
    if schema.get("type") == "string" and schema.get("format") != "decimal":
        yield schema
    parts = [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in [*schema.get("anyOf", ()), *schema.get("prefixItems", ()), *parts]:
        yield from list_texts(part)
