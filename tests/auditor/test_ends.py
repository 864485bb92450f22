"""The auditor computes what an early end costs by its notice, and finds a fee or a notice that nothing bears."""

import json

import pytest

from marketplace.auditor.ends import Ends
from marketplace.auditor.stream import Findings, Message

DAY, START = "2026-01-{:02}T00:00:00Z", "2026-01-01T00:00:00Z"
FEES = [{"notice_hours_min": 0, "share": "0.1"}, {"notice_hours_min": 48, "share": "0.02"}]
TERMS = {"value_usd_min": "0", "notice_hours_min": 0, "fees": FEES}
ISSUED = {"grant_id": "g", "pool_id": "p", "provider_id": "pty_provider", "startup_account_id": "acc_startup"}
ISSUED |= {
    "nodes": 1,
    "gpus_per_node": 1,
    "price_usd_per_gpu_hour": "2/1",
    "start": DAY.format(2),
    "end": DAY.format(22),
}
ENDING = ISSUED | {"ends": TERMS}
RESALE = {"owed_usd_per_gpu_hour": "1/1"}
DEAL = {"value_usd_min": "1000", "notice_hours_min": 0, "fees": [{"notice_hours_min": 0, "share": "0.5"}]}
LARGE = ENDING | {"notices": [DEAL]}


def issue(**terms):
    return ("grant.issued", {**ENDING, **terms}, 1, "worker:auctioneer")


def end(fee, *, on=10, at=12, by="provider", noticed=None, actor=None, **more):
    """Return an early end on a day, announced then or on another day."""
    body = {"grant_id": "g", "at": DAY.format(at), "by": by, "fee_usd": fee, **more}
    body |= {"noticed_at": DAY.format(noticed or on)}
    return ("grant.terminated", body, on, actor or f"pty_{by}")


def audit(*events):
    part = Ends(Findings())
    for name, body, day, actor in events:
        headers = {"ce-type": f"{name}.v1", "ce-actor": actor, "ce-time": DAY.format(day)}
        part.take([Message(1, "subject", headers, json.dumps(body).encode())])
    return [text for _, _, text in part.findings.kept]


WORKER = "worker:reactor"
SOLD = ("grant.resold", {"grant_id": "g", "start": DAY.format(11), "end": DAY.format(17), "nodes": 1}, 3, "pty_startup")
SHORTER = ("grant.rescheduled", {"grant_id": "g", "start": DAY.format(4), "end": DAY.format(14)}, 2, "pty_startup")
LONGER = ("grant.extended", {"grant_id": "g", "start": DAY.format(22), "end": DAY.format(23)}, 2, "worker:reactor")
MISSED = ("grant.withheld", {"grant_id": "g", "at": DAY.format(7)}, 7, WORKER)


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([issue(), end("9.60")], ["9.59", "9.61", "48.00", "0"]),
        ([issue(), end("48.00", on=11)], ["9.60", "0"]),
        ([issue(ends=None), end("0")], ["9.60"]),
        ([issue(resale=RESALE), end("4.80")], ["9.60"]),
        ([issue(resale=RESALE), end("9.60", by="startup")], ["4.80"]),
        ([issue(), SOLD, end("4.80")], ["9.60"]),
        ([issue(), SHORTER, end("1.92")], ["9.60"]),
        ([issue(), LONGER, end("10.56")], ["9.60"]),
        ([issue(), end("9.60"), end("43.20", on=11, at=11)], ["4.80", "38.40"]),
        ([issue(), end("9.60", actor=WORKER)], ["9.61"]),
        ([issue(), end("0", actor=WORKER)], ["9.61"]),
        ([issue(), end("9.60", on=12, announced_at=DAY.format(1), actor=WORKER)], ["48.00"]),
        ([issue(**LARGE), end("9.60")], ["240.00", "9.61"]),
        ([issue(**LARGE), issue(**LARGE | {"grant_id": "h"}), end("240.00")], ["9.61"]),
        ([issue(**LARGE | {"price_usd_per_gpu_hour": "3/1"}), end("360.00")], ["14.40"]),
        ([issue(), end("0", by="platform", actor="platform")], []),
        ([issue(), end("0", by="startup", for_cause=True)], []),
    ],
)
def test_an_early_end_costs_the_share_of_its_notice(events, wrong):
    assert audit(*events) == []
    *before, (name, body, day, actor) = events
    for fee in wrong:
        [text] = audit(*before, (name, body | {"fee_usd": fee}, day, actor))
        assert "are due" in text


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([issue(), end("9.60", noticed=9)], True),
        ([issue(), end("9.60", on=11, noticed=9, actor=WORKER)], True),
        ([issue(), MISSED, end("9.60", on=9, noticed=7, by="startup", actor=WORKER)], False),
    ],
)
def test_a_notice_that_nobody_gave_is_found(events, found):
    assert any("which nobody gave then" in text for text in audit(*events)) is found
