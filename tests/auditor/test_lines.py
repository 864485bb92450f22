"""The auditor finds hours of a service line that nobody agreed to or could work, and charges beyond them."""

import json

import pytest

from marketplace.auditor.lines import Lines
from marketplace.auditor.stream import Findings, Message


def read(number, hours, start="09", end="11"):
    return {
        "reading_id": f"r{number}",
        "start": f"2026-01-01T{start}:00:00Z",
        "end": f"2026-01-01T{end}:00:00Z",
        "hours": hours,
    }


def report(*readings, at=12):
    return ("service_line.reported.v1", at, {"source": "sheet", "readings": readings})


def state(name, hours, number=1):
    span = {"period_start": "2026-01-01T08:00:00Z", "period_end": "2026-01-01T20:00:00Z"}
    more = {} if name == "accepted" else span
    return (f"statement.{name}.v1", 21, {"statement_id": f"s{number}", "charges": {"service_hours": hours}, **more})


def audit(*events):
    part = Lines(Findings())
    agreed = {"hours": "20", "at": "2026-01-01T08:00:00Z"}
    whole = [("service_line.proposed.v1", 8, {"workers": 2}), ("service_line.agreed.v1", 8, agreed), *events]
    for event_type, hour, body in whole:
        headers = {"ce-type": event_type, "ce-time": f"2026-01-01T{hour:02}:00:00Z"}
        part.take([Message(1, "subject", headers, json.dumps({"service_line_id": "svl_1", **body}).encode())])
    return [text for _, _, text in part.findings.kept]


VOIDED = ("service_line.voided.v1", 13, {"source": "sheet", "reading": read(1, "4")})
LOWERED = ("service_line.corrected.v1", 13, {"source": "sheet", "before": read(1, "4"), "after": read(1, "3")})


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([report(read(1, "4"))], None),
        ([report(read(1, "4.0001"))], "svl_1 counts 4.0001 hours of r1, 4.0001 of 20"),
        ([report(read(1, "4"), read(2, "4"))], None),
        ([report(read(1, "4"), read(2, "2"), at=11)], None),
        ([report(read(1, "4"), read(2, "2.0001"), at=11)], "svl_1 counts 2.0001 hours of r2, 6.0001 of 20"),
        (
            [report(read(1, "4"), read(2, "4"), read(3, "4"), read(4, "1"), at=14)],
            "svl_1 counts 1 hours of r4, 13 of 20",
        ),
        ([report(*(read(each, "4") for each in range(6)), at=20)], "svl_1 counts 4 hours of r5, 24 of 20"),
        ([report(read(1, "4")), state("issued", "4")], None),
        (
            [report(read(1, "4")), state("issued", "5")],
            "charges 5 hours from 2026-01-01T08:00:00Z on, and 4 were worked",
        ),
        ([report(read(1, "4")), VOIDED, state("issued", "4")], "charges 4 hours"),
        ([report(read(1, "4")), LOWERED, state("issued", "4")], "charges 4 hours"),
        ([report(read(1, "4")), LOWERED, state("issued", "3")], None),
        (
            [report(read(1, "4")), state("issued", "4"), state("accepted", "4"), state("issued", "1", 2)],
            "charges 5 hours",
        ),
        (
            [
                report(read(1, "4")),
                state("issued", "4"),
                state("accepted", "4"),
                LOWERED,
                state("credited", "1", 2),
                report(read(2, "1"), at=14),
                state("issued", "1", 3),
            ],
            None,
        ),
    ],
)
def test_hours_beyond_what_was_agreed_worked_or_reported_are_found(events, fault):
    found = audit(*events)
    assert (found == []) if fault is None else (len(found) == 1 and fault in found[0]), found
