"""The auditor finds what stands beside an open round, what duties take too much of, and SAFEs that leave no round."""

import pytest

from marketplace.auditor.stream import Findings
from tests.auditor.test_votes import BASE, BIG, OF, SMALL, TINY, build, stock
from tests.support.market.auditing import CountedRounds

SPLIT = ("issuer.stock_split", OF | {"numerator": 2, "denominator": 1, "split_id": "spl_1"})
SOLD = ("issuer.liquidity_declared", OF | {"waterfall": {"proceeds_usd": "1", "payouts": []}})
ROUND = OF | {"financing_id": "fin_1"}
OPENED = ("issuer.financing_opened", ROUND | {"terms": {"investments": []}})
SECOND = ("issuer.financing_opened", OF | {"financing_id": "fin_2", "terms": {"investments": []}})
ABANDONED = ("issuer.financing_abandoned", ROUND)
PREFERRED = [
    (
        "issuer.stock_class_created",
        OF
        | {"class_id": "pref", "kind": "preferred", "shares_authorised": 900}
        | {"price_per_share_usd": "1", "liquidation_multiple": "1"},
    ),
    (stock(TINY, 100)[0], stock(TINY, 100)[1] | {"class_id": "pref", "security_id": "p"}),
    (
        "issuer.conversion_price_adjusted",
        OF | {"class_id": "pref", "conversion_price_usd_before": "3/1", "conversion_price_usd": "1/1"},
    ),
]


def audit(*decisions):
    """Return what is found of these decisions, each a list of events."""
    part = CountedRounds(Findings())
    for events in ([event] for event in BASE):
        part.take([build(event, "platform") for event in events])
    for events in decisions:
        part.take([build(event, "platform") for event in events])
    return [text for rule, _, text in part.findings.kept if rule == "round"]


@pytest.mark.parametrize("act", [SPLIT, SOLD, SECOND], ids=["split", "sale", "round"])
def test_nothing_begins_beside_an_open_round(act):
    [text] = audit([OPENED], [act])
    assert text.endswith("['fin_1'] is open")
    assert audit([OPENED], [ABANDONED], [act]) == []
    assert audit([act], [OPENED]) == [] or act is SECOND
    assert audit([OPENED], [("issuer.imported", OF), act]) == []


def sign(name, usd, cap="10", **terms):
    """Return the signing of a SAFE."""
    body = {"instrument_id": name, "holder_id": SMALL, "commitment_usd": usd}
    return ("issuer.instrument_signed", OF | body | {"terms": offer(cap, **terms)})


def offer(cap="10", **terms):
    return {"kind": "safe", "conversion_timing": "post_money", "valuation_cap_usd": cap} | terms


def expose(name, usd, cap="10", offered=None, **terms):
    exposure = {"terms": offer(cap, **terms), "amount_usd": usd, "offered_cap_usd": offered}
    return ("issuer.exposure_recorded", OF | {"subject_id": name, "exposures": [exposure]})


MFN = {"most_favoured_nation": True}
STACKS = [
    ([sign("ins_1", "6"), sign("ins_2", "3.9")], False),
    ([sign("ins_1", "6"), sign("ins_2", "4")], True),
    ([sign("ins_1", "6"), sign("ins_2", "6", conversion_timing="pre_money")], False),
    ([sign("ins_1", "6"), expose("ord_1", "4")], True),
    ([expose("ord_1", "6"), expose("ord_1", "5"), sign("ins_1", "5")], True),
    ([expose("ord_1", "6"), expose("ord_1", "5"), sign("ins_1", "4")], False),
    ([sign("ins_1", "6", "20", **MFN), expose("ins_1", "6", "20", "10", **MFN), sign("ins_2", "4")], True),
    ([sign("ins_1", "6", "20", **MFN), expose("ins_1", "6", "20", "10"), sign("ins_2", "4")], False),
    ([sign("ins_1", "6"), expose("ins_1", "6", "5")], False),
    ([sign("ins_1", "6"), expose("ins_1", "6", "5"), expose("ord_1", "0")], False),
    ([sign("ins_1", "6"), expose("ins_1", "6", "5"), expose("ord_1", "0.1")], True),
]


@pytest.mark.parametrize(("events", "found"), STACKS)
def test_safes_that_together_reach_their_caps_are_found(events, found):
    assert bool(audit(*([event] for event in events))) is found


def close(shares, after, *, paid=(), adjusted=(), left_out=()):
    """Return a round in which a holder of 100 preferred shares owes 10 USD, and its closing; some get no share."""
    duties = [{"holder_id": TINY, "class_id": "pref", "obligation_usd": "10", "paid_by": [SMALL]}]
    play = {"duties": duties, "class_id_after": "common", "common_per_preferred": "0.1"}
    money = [{"holder_id": holder_id, "amount_usd": usd, "shares": 1} for holder_id, usd in ((BIG, "90"), *paid)]
    terms = {"investments": money, "pay_to_play": play}
    allotted = [each for each in money if each["holder_id"] not in left_out]
    pricing = {"allotments": allotted, "conversions": [], "forfeits": [], "price_usd_per_share": "1"}
    turned = {"holder_id": TINY, "class_id": "pref", "class_id_after": "common", "reason": "pay_to_play"}
    turned |= {"shares": shares, "shares_after": after, "cause": "fin_1"}
    return audit(
        PREFERRED,
        [("issuer.financing_opened", ROUND | {"terms": terms})],
        [("issuer.financing_priced", ROUND | {"pricing": pricing | {"post_money_shares": 200}})],
        [
            *([("issuer.stock_converted", OF | turned)] if shares else []),
            *adjusted,
            ("issuer.financing_closed", ROUND),
        ],
    )


LOWER = ("issuer.conversion_price_adjusted", PREFERRED[-1][1] | {"conversion_price_usd_before": "2/1"})


def test_a_duty_takes_what_was_not_paid_for_and_no_more():
    assert close(100, 30) == []
    assert close(100, 30, adjusted=[LOWER]) == [], "stock turns at the ratio before the round"
    assert close(75, 22, paid=[(TINY, "2.5")]) == []
    assert close(50, 15, paid=[(TINY, "2.5"), (SMALL, "2.5")]) == []
    assert close(0, 0, paid=[(TINY, "10")]) == []
    assert close(0, 0, paid=[(TINY, "10")], left_out={TINY}) == [], "money that buys no share meets the duty"
    assert close(100, 30, paid=[(TINY, "10")], left_out={TINY})
    for shares, after in ((100, 29), (100, 31), (99, 29), (0, 0)):
        assert "its duties" in close(shares, after)[0]
    assert close(100, 30, paid=[(TINY, "2.5")])
