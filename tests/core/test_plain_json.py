"""Decimals in JSON are written without exponents."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from marketplace.core.plain_json import encode_plain

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class View(msgspec.Struct):
    price: Decimal
    name: str = "1E-7"
    parts: dict[str, tuple[Decimal, ...]] = {}
    event: msgspec.Raw = msgspec.Raw(b'{"price": "1E-7"}')
    at: datetime = NOON
    more: str | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("price", "written"),
    [("0.00000067", "0.00000067"), ("0E-12", "0.000000000000"), ("-1E-9", "-0.000000001"), ("1E+3", "1000")],
)
def test_a_decimal_has_no_exponent_and_texts_and_stored_events_stay(price, written):
    view = View(Decimal(price), parts={"a": (Decimal(price), Decimal("2.50"))})
    assert encode_plain([view]).decode() == (
        f'[{{"price":"{written}","name":"1E-7","parts":{{"a":["{written}","2.50"]}},"event":{{"price": "1E-7"}},'
        '"at":"2026-01-01T12:00:00Z"}]'
    )
