"""What a grant's page makes of its history."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from marketplace.console.history import Step
from marketplace.console.trading.grants import list_incidents

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
