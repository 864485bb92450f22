"""The auditor finds a most-favoured election of worse terms that nobody counted."""

import json

import pytest

from marketplace.auditor.alone import Alone
from marketplace.auditor.stream import Findings, Message

FUND = "pty_fund"


def terms(cap, discount, timing="post_money"):
    return {"kind": "safe", "conversion_timing": timing, "valuation_cap_usd": cap, "discount": discount}


def audit(own, elected, *, beside=None, counted=False, day=2):
    """Return what is found of an election, by a fund with a limit, among the elected terms and others beside them."""
    noticed = [elected] if beside is None else [elected, beside]
    decisions = [
        ("account.limit_set.v1", {"account_id": "acc_fund", "limit_usd": "5"}),
        ("instrument.issued.v1", {"holder_id": FUND, "terms": own}),
        *(
            ("instrument.mfn_noticed.v1", {"later_instrument_id": str(number), "terms": each} | UNTIL)
            for number, each in enumerate(noticed)
        ),
    ]
    findings = Findings()
    part = Alone(findings)
    election = [("instrument.mfn_elected.v1", {"terms": elected})]
    if counted:
        election.append(("account.limit_used.v1", {"account_id": "acc_fund", "amount_usd": "5"}))
    for decision in (*([each] for each in decisions), election):
        part.take([build(event_type, body, day) for event_type, body in decision])
    return [text for _, _, text in findings.kept]


UNTIL = {"elect_until": "2026-01-11T00:00:00Z"}


def build(event_type, body, day):
    headers = {"ce-type": event_type, "ce-actor": FUND, "ce-time": f"2026-01-{day:02}T00:00:00Z"}
    return Message(1, "subject", headers, json.dumps({"instrument_id": "ins_1"} | body).encode())


@pytest.mark.parametrize(
    ("own", "elected", "more", "wrong"),
    [
        (terms(None, None), terms("9", None), {}, None),
        (terms("9", None), terms("10", None), {}, "only worse"),
        (terms("9", None), terms("9", None, "pre_money"), {"counted": True}, "only worse"),
        (terms("9", None), terms("10", "0.2"), {}, "nothing counts"),
        (terms("9", None), terms("10", "0.2"), {"counted": True}, None),
        (terms("9", None), terms("8", None), {"beside": terms("7", None)}, "nothing counts"),
        (terms("9", None), terms("8", None), {"beside": terms("7", None), "day": 12}, None),
    ],
)
def test_an_election_of_worse_terms_counts(own, elected, more, wrong):
    texts = audit(own, elected, **more)
    assert (texts == []) if wrong is None else any(wrong in text for text in texts), texts
