"""What a grant's page makes of its history, and which acts it offers."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from marketplace.console.history import Step
from marketplace.console.trading.deals import list_answers
from marketplace.console.trading.grants import list_acts, list_incidents

START = datetime(2026, 12, 1, tzinfo=UTC)
GRANT = SimpleNamespace(nodes=4, gpus_per_node=8, end=START + timedelta(days=30), ended_at=None)


def hour(hours):
    return START + timedelta(hours=hours)


def step(kind, **data):
    data = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in data.items()}
    return Step(sequence=1, kind=kind, at=START, by="the market", data=data, details=())


def test_incidents_end_with_the_next_report_and_cost_the_hours_of_the_nodes_that_did_not_work():
    steps = [
        step("activated", at=START),
        step("degraded", at=hour(1), until=hour(3), nodes_available=3, reason="a fan"),
        step("degraded", at=hour(5), nodes_available=2, reason="a switch"),
        step("suspended", at=hour(6), reason="the site"),
        step("resumed", at=hour(8)),
        step("withheld", at=hour(10), ends_at=hour(90)),
        step("withholding_ended", at=hour(12), gpu_seconds=7, is_paid=True),
        step("degraded", at=hour(20), nodes_available=3, reason="a disk"),
    ]
    found = list_incidents(GRANT, steps, hour(24))
    assert [(one.kind, one.start, one.end, one.nodes, one.lost, one.reason) for one in found[::-1]] == [
        ("degraded", hour(1), hour(3), 1, 2 * 8 * 3_600, "a fan"),
        ("degraded", hour(5), hour(6), 2, 2 * 8 * 3_600, "a switch"),
        ("suspended", hour(6), hour(8), 4, 2 * 4 * 8 * 3_600, "the site"),
        ("withheld", hour(10), hour(12), 4, 7, "until the stage was paid"),
        ("degraded", hour(20), None, 1, 4 * 8 * 3_600, "a disk"),
    ]


@pytest.mark.parametrize(
    ("changes", "startup", "provider"),
    [
        ({}, {"claim", "terminate", "transfer", "resell"}, {"degrade", "terminate", "propose"}),
        ({"status": "degraded"}, {"claim", "terminate", "transfer"}, {"degrade", "resume", "terminate", "propose"}),
        ({"stages": True}, {"claim", "terminate", "transfer"}, {"degrade", "terminate", "propose"}),
        ({"startup_id": "other"}, {"claim", "terminate"}, {"degrade", "terminate", "propose"}),
        ({"status": "terminated"}, {"claim", "terminate"}, {"degrade", "resume", "terminate"}),
        ({"status": "terminated", "ended_at": START}, {"claim"}, set()),
        ({"status": "completed"}, {"claim"}, set()),
    ],
)
def test_only_acts_are_offered_that_the_grants_rules_allow(changes, startup, provider):
    sides = {"startup_id": "startup", "payer_id": "startup", "provider_id": "provider"}
    terms = {"status": "active", "stage": None, "stages": None, "resale": None}
    grant = SimpleNamespace(**{**vars(GRANT), **sides, **terms, **changes})
    for party_id, expected in (("startup", startup), ("provider", provider)):
        desk = SimpleNamespace(principal=SimpleNamespace(party_id=party_id), may=lambda _: True, now=hour(1))
        assert list_acts(desk, grant) == expected


@pytest.mark.parametrize(
    ("changes", "startup", "holder", "provider"),
    [
        ({}, {"decline"}, {"approve", "decline"}, {"decline"}),
        ({"approved_at": START}, {"agree", "decline"}, {"decline"}, {"decline"}),
        ({"holder_id": None}, {"agree", "decline"}, set(), {"decline"}),
        ({"status": "agreed"}, set(), set(), set()),
    ],
)
def test_a_service_line_is_agreed_on_once_the_holder_that_it_names_approved(changes, startup, holder, provider):
    sides = {"startup_id": "startup", "holder_id": "holder", "provider_id": "provider"}
    line = SimpleNamespace(**{"status": "proposed", "approved_at": None, **sides, **changes})
    for party_id, expected in (("startup", startup), ("holder", holder), ("provider", provider)):
        desk = SimpleNamespace(principal=SimpleNamespace(party_id=party_id), may=lambda _: True)
        assert list_answers(desk, line) == expected
