"""The auditor finds an instrument that the rules of its mandate do not welcome."""

import json

import pytest

from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.welcome import Welcome

NOTE = {"kind": "note", "annual_rate": "0.04", "matures_on": "2029-01-01", "valuation_cap_usd": "100000000"}
SAFE = {"kind": "safe", "valuation_cap_usd": "100000000"}
BOTH = {"instrument_kinds": ["safe", "convertible_note"]}


def audit(rules, terms, *amended):
    part = Welcome(Findings())
    events = [
        ("mandate.granted.v1", {"terms": rules}),
        *(("mandate.amended.v1", {"terms": each}) for each in amended),
        ("instrument.issued.v1", {"terms": terms, "instrument_id": "ins_1"}),
    ]
    for event_type, body in events:
        headers = {"ce-type": event_type, "ce-time": "2026-01-01T00:00:00Z"}
        part.take([Message(1, "subject", headers, json.dumps({"mandate_id": "mnd_1", **body}).encode())])
    return [text for _, _, text in part.findings.kept]


@pytest.mark.parametrize(
    ("rules", "terms", "fault"),
    [
        ({}, NOTE, None),
        ({}, SAFE, None),
        ({"instrument_kinds": ["safe"]}, NOTE, "a note"),
        ({}, {**NOTE, "annual_rate": "0"}, "with 0 of interest a year"),
        ({"note_rate_min": "0"}, {**NOTE, "annual_rate": "0"}, None),
        ({}, {**NOTE, "matures_on": "2029-01-02"}, "which matures on 2029-01-02"),
        ({}, {**NOTE, "matures_on": "2026-12-31"}, "which matures on 2026-12-31"),
        ({"note_days_min": 1}, {**NOTE, "matures_on": "2026-01-02"}, None),
        ({"note_days_max": 3_653}, {**NOTE, "matures_on": "2036-01-01"}, None),
        ({}, {"kind": "safe"}, "which has no cap"),
        ({"uncapped": True}, {"kind": "safe"}, None),
        ({"post_money_only": True}, {**SAFE, "conversion_timing": "post_money"}, None),
        ({"post_money_only": True}, {**SAFE, "conversion_timing": "pre_money"}, "whose cap is pre-money"),
        ({"discount_min": "0.1"}, SAFE, "with a discount of 0"),
        ({"discount_max": "0.1"}, {**SAFE, "discount": "0.2"}, "with a discount of 0.2"),
    ],
)
def test_what_a_mandates_rules_exclude_is_found(rules, terms, fault):
    assert audit({**BOTH, **rules}, terms) == ([] if fault is None else [f"mnd_1 takes ins_1, {fault}"])


@pytest.mark.parametrize(
    ("name", "body", "owed"),
    [
        ("grant.issued.v1", {"price_usd_per_gpu_hour": "30/1"}, None),
        ("grant.issued.v1", {"price_usd_per_gpu_hour": "301/10"}, "25.08 of principal per hour; the most is 25"),
        ("service_line.agreed.v1", {"hours": "2"}, None),
        ("service_line.agreed.v1", {"hours": "1.9"}, "526.32 of principal per hour; the most is 500"),
    ],
)
def test_more_principal_per_hour_than_may_be_is_found(name, body, owed):
    part, equity = Welcome(Findings()), {"principal_share": "5/6", "principal_commitment_usd": "1000"}
    headers = {"ce-type": name, "ce-time": "2026-01-01T00:00:00Z"}
    body = body | {"equity": equity | {"instrument_id": "ins_1"}}
    part.take([Message(1, "subject", headers, json.dumps(body).encode())])
    assert [text for _, _, text in part.findings.kept] == ([] if owed is None else [f"ins_1 has {owed}"])


def test_the_rules_in_force_count():
    assert audit(BOTH, NOTE, {**BOTH, "note_rate_min": "0.05"}) == ["mnd_1 takes ins_1, with 0.04 of interest a year"]
