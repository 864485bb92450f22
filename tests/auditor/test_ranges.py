"""The auditor computes by itself what a company is worth at the terms of an instrument, against its mandate's range."""

import json
from decimal import Decimal

import pytest

from events.registry import get_tag, render_body
from marketplace.auditor.ranges import Ranges
from marketplace.auditor.stream import Findings, Message
from tests.domain.equity.test_implied_value import BOSS, PROTECTED, WORTH, buy, issued, owed
from tests.domain.issuer_samples import CAPPED, COMPANY, FUND, ISS, UNCAPPED, make_id
from tests.support.market.auditing import CountedVotes

MANDATE, SIGNED = make_id("mnd", 1), make_id("ins", 7)
HEADERS = {"ce-actor": "platform", "ce-time": "2026-03-01T12:00:00Z"}


def tell(name, body):
    return Message(7, "subject", HEADERS | {"ce-type": name}, body)


def audit(events, terms, low=None, high=None, ratio=None, **members):
    """Return what is found of an instrument that a mandate with this range pays for."""
    findings = Findings()
    votes = CountedVotes(findings)
    ranges = Ranges(findings, votes.gains)
    for event in [*COMPANY, *events]:
        votes.take([tell(get_tag(event), render_body(event))])
    limits = {"valuation_cap_usd_min": low, "valuation_cap_usd_max": high}
    granted = {"mandate_id": MANDATE, "terms": {name: usd for name, usd in limits.items() if usd is not None}}
    ranges.take([tell("mandate.granted.v1", json.dumps(granted).encode())])
    body = {"instrument_id": SIGNED, "issuer_id": ISS, "holder_id": FUND, "mandate_id": MANDATE, **members}
    body["terms"] = json.loads(render_body(owed(1, terms)[0]))["terms"]
    messages = [tell("instrument.issued.v1", json.dumps(body).encode())]
    if ratio is not None:
        messages.append(tell("issuer.instrument_signed.v1", json.dumps(body | {"split_ratio": ratio}).encode()))
    ranges.take(messages)
    return [text for rule, _, text in findings.kept if rule == "range"]


@pytest.mark.parametrize(("events", "terms", "usd"), WORTH.values(), ids=WORTH)
def test_it_finds_what_the_market_refuses_and_nothing_else(events, terms, usd):
    worth = terms.valuation_cap_usd if usd is None else Decimal(usd)
    if worth == 10**15:
        assert len(audit(events, terms, high=str(Decimal(10**15) - 1))) == 1
        return
    assert audit(events, terms, low=str(worth), high=str(worth)) == []
    assert len(audit(events, terms, high=str(worth - 1))) == len(audit(events, terms, low=str(worth + 1))) == 1


@pytest.mark.parametrize(("events", "least", "usd"), PROTECTED.values(), ids=PROTECTED)
def test_it_counts_price_protection_at_the_least_cap_of_what_is_paid_at_once(events, least, usd):
    low, high = None if least is None else str(least), str(Decimal(usd) + 1)
    paid = {"funding": "paid_at_once"}
    if least is not None and least > Decimal(usd):
        assert len(audit(events, buy(), low, "60000000", **paid)) == 1
        return
    assert len(audit(events, buy(), low, str(Decimal(usd) - 1), **paid)) == 1
    assert audit(events, buy(), low, high, **paid) == [] or Decimal(usd) == 10**15
    assert audit(events, buy(), low, "15000000") == [], "a drawing was asked as its order was placed and locked"


def test_without_a_range_it_is_a_hundred_million_and_what_has_no_cap_has_none():
    assert audit([], buy(11)) == []
    (text,) = audit([BOSS, issued("boss", 10)], buy(12))
    assert f"{MANDATE} pays for {SIGNED}, at which {ISS} is worth 118000120.00 USD" in text
    assert audit([], UNCAPPED, high="1") == []
    assert len(audit([], CAPPED, high="1")) == 1


def test_a_price_from_before_a_split_is_one_of_the_shares_then():
    assert audit([], buy(1), high="9000000", ratio="1/1") == []
    assert audit([], buy(1), low="4500000", high="4500000", ratio="1/2") == []
