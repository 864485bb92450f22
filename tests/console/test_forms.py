"""Forms and formats of the console."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from events.order import OrderTerms
from events.stages import StageTerms
from events.types import SafeTerms, StockTerms
from marketplace.client import ProblemError
from marketplace.console.formats import FILTERS
from marketplace.console.forms import name_field, parse_form
from marketplace.console.trading.orders import select_fields

FIELDS = [
    ("_csrf_token", "t"),
    ("nodes", "2"),
    ("duration_hours", "24"),
    ("start_earliest", "2026-12-01T10:00"),
    ("start_latest", "2026-12-01T10:00:30"),
    ("offers.0.gpu_class", "H100_SXM"),
    ("offers.0.cash_usd_per_gpu_hour", " 2.50 "),
    ("offers.0.equity_usd_per_gpu_hour", "0"),
    ("offers.1.gpu_class", ""),
    ("regions[]", "us-east"),
    ("regions[]", "eu-north"),
    ("standing", "true"),
]


def test_a_form_becomes_the_body_that_its_fields_name():
    terms = parse_form(FIELDS, OrderTerms)
    assert terms.nodes == 2
    assert terms.start_earliest == datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert terms.start_latest.second == 30
    assert [offer.cash_usd_per_gpu_hour for offer in terms.offers] == [Decimal("2.50")]
    assert terms.regions == ("us-east", "eu-north")
    assert terms.standing


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("safe", SafeTerms(conversion_timing="pre_money", discount=Decimal("0.2"))),
        ("stock", StockTerms(class_id="common", price_usd_per_share=Decimal("1.5"))),
        ("", None),
    ],
)
def test_an_order_takes_the_fields_of_its_instrument_from_a_form_that_has_those_of_every_kind(kind, terms):
    fields = {
        "kind": kind,
        "conversion_timing": "pre_money",
        "discount": "0.2",
        "class_id": "common",
        "price_usd_per_share": "1.5",
        "interest": "simple",
        "day_count": "actual_365",
    }
    given = [*FIELDS, *((f"instrument.{name}", text) for name, text in fields.items()), ("order_id", ""), ("key", "k")]
    stages = [("stages.hours", "240"), ("stages.security_hours", "72")]
    found = parse_form(select_fields([*given, *stages]), OrderTerms)
    assert (found.instrument, found.stages) == (terms, StageTerms(hours=240, security_hours=72))


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("nodes", "many", "Nodes: Expected a whole number, got text"),
        (
            "offers.0.cash_usd_per_gpu_hour",
            "1,000",
            "Cash USD per GPU hour: must be a decimal such as 1.50, without commas",
        ),
        ("start_latest", "tomorrow", "Start latest: must be an RFC 3339 instant"),
        ("nodes.0.x", "1", "Nodes: Expected a whole number, got a list"),
        ("duration_hours", "", "Duration hours: state it"),
    ],
)
def test_a_wrong_field_is_named(name, text, named):
    with pytest.raises(ProblemError, match=named) as caught:
        parse_form(
            [one for one in FIELDS if one[0] != name and not name.startswith(f"{one[0]}.")] + [(name, text)], OrderTerms
        )
    (fault,) = caught.value.problem["errors"]
    assert name_field(fault["pointer"]) == name.removesuffix(".0.x")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("usd", Decimal("-1234.5"), "\u2212$1,234.50"),
        ("usd", None, "\u2013"),
        ("rate", "7/3", "$2.333333"),
        ("rate", Decimal("2.5"), "$2.50"),
        ("number", 1234567, "1,234,567"),
        ("share", "1/8", "12.50%"),
        ("gpu_hours", 4_443_000, "1,234.2"),
        ("instant", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02 03:04 Z"),
        ("duration", timedelta(days=3, hours=4, minutes=5), "3 d 4 h"),
        ("duration", -61, "\u22121 min 1 s"),
        ("short", "ord_01jdm5v5tze1xa6a4sbz1gk3c4", "ord_\u20261gk3c4"),
        ("word", "no_cancel", "no cancel"),
    ],
)
def test_values_are_written_for_people(name, value, shown):
    assert FILTERS[name](value) == shown
