"""The auditor finds money that rounding to whole shares takes or gives too much of."""

import json

import pytest

from marketplace.auditor.rounding import Rounding
from marketplace.auditor.stream import Findings, Message

ISSUED = ("instrument.issued.v1", {"instrument_id": "ins_1", "funding": "paid_at_once"})


def convert(dollars, price, shares, branch="cap"):
    body = {"instrument_id": "ins_1", "amount_exact": dollars, "price_usd_per_share": price, "shares": shares}
    return ("instrument.converted.v1", {**body, "branch": branch})


def allot(dollars, shares, price="1000000/1"):
    allotment = {"holder_id": "pty_1", "amount_usd": dollars, "shares": shares}
    pricing = {"price_exact": price, "allotments": [allotment]}
    return (
        ("issuer.financing_priced.v1", {"financing_id": "fin_1", "pricing": pricing}),
        ("issuer.financing_closed.v1", {"financing_id": "fin_1"}),
    )


def audit(*events):
    part = Rounding(Findings())
    headers = {"ce-time": "2026-01-01T00:00:00Z"}
    part.take([Message(1, "subject", {**headers, "ce-type": name}, json.dumps(body).encode()) for name, body in events])
    return [text for _, _, text in part.findings.kept]


@pytest.mark.parametrize(
    ("events", "verb"),
    [
        ([convert("1000", "10", 100)], None),
        ([convert("1000", "9.95", 100)], None),
        ([convert("1000", "9.8", 100)], "loses"),
        ([convert("1", "1000000", 1)], "gains"),
        ([convert("1", "2", 1)], None),
        ([convert("1", "2.5", 1)], "gains"),
        ([convert("600000", "1000000", 1), convert("400000", "1000000", 0)], None),
        ([ISSUED, convert("1999999", "1000000", 1, "agreed_price")], "loses"),
        ([convert("1999999", "1000000", 1, "agreed_price")], None),
        (allot("1.00", 1), "gains"),
        (allot("1999999.00", 1), None),
        (allot("2000000.00", 2), None),
        ([*allot("1.00", 1), ("issuer.imported.v1", {})], None),
    ],
)
def test_it_finds_what_the_market_refuses_and_nothing_else(events, verb):
    found = audit(*events)
    assert len(found) == (verb is not None)
    assert all(verb in text for text in found)
