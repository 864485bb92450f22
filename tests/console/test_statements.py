"""Which acts a statement's page offers."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from marketplace.console.trading.statements import list_acts

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SIDES = ("startup", "holder", "provider", None)
ISSUED = {
    "startup_id": "startup",
    "holder_id": "holder",
    "provider_id": "provider",
    "status": "issued",
    "charges": SimpleNamespace(holder_usd=1),
    "accept_until": NOW + timedelta(days=7),
    "remarks": (),
    "agreed_by": None,
    "awaits": None,
    "answer_until": None,
    "offered_by": None,
}
BY_METERS, BY_HOLDER = (SimpleNamespace(act="disputed", by=by) for by in ("meters", "holder"))
DISPUTED = {"status": "disputed", "remarks": (BY_METERS,), "awaits": "provider", "answer_until": NOW}
FRESH, ARGUED = {"accept", "dispute"}, {"concede", "refer"}


@pytest.mark.parametrize(
    ("changes", "startup", "holder", "provider", "platform"),
    [
        ({}, FRESH, FRESH, set(), set()),
        ({"agreed_by": "startup"}, set(), FRESH, set(), set()),
        ({"charges": SimpleNamespace(holder_usd=0)}, FRESH, set(), set(), set()),
        (DISPUTED, ARGUED | {"dispute"}, FRESH, ARGUED | {"answer", "resolve"}, set()),
        ({**DISPUTED, "accept_until": NOW}, ARGUED, {"accept"}, ARGUED | {"answer", "resolve"}, set()),
        (
            {**DISPUTED, "awaits": "payers", "offered_by": "provider"},
            ARGUED | {"answer", "accept", "dispute"},
            FRESH,
            ARGUED | {"resolve"},
            set(),
        ),
        (
            {
                **DISPUTED,
                "remarks": (BY_METERS, BY_HOLDER),
                "agreed_by": "startup",
                "awaits": "holder",
                "offered_by": "startup",
            },
            ARGUED,
            ARGUED | {"answer", "accept"},
            ARGUED | {"resolve"},
            set(),
        ),
        (
            {**DISPUTED, "remarks": (BY_METERS, BY_HOLDER), "agreed_by": "startup"},
            ARGUED,
            ARGUED,
            ARGUED | {"answer", "resolve"},
            set(),
        ),
        ({**DISPUTED, "agreed_by": "holder"}, ARGUED | {"dispute"}, set(), ARGUED | {"answer", "resolve"}, set()),
        ({**DISPUTED, "awaits": "platform"}, {"concede", "dispute"}, FRESH, {"concede", "resolve"}, {"decide"}),
        ({"status": "accepted", "agreed_by": "startup"}, set(), set(), set(), set()),
    ],
)
def test_only_acts_are_offered_that_the_statements_rules_allow(changes, startup, holder, provider, platform):
    statement = SimpleNamespace(**{**ISSUED, **changes})
    for party_id, expected in zip(SIDES, (startup, holder, provider, platform), strict=True):
        desk = SimpleNamespace(principal=SimpleNamespace(party_id=party_id), may=lambda _: True, now=NOW)
        assert list_acts(desk, statement) == expected
