"""The auditor counts the votes on an act again: by group, and without those who are related to the company."""

import json

import pytest

from marketplace.auditor.stream import Findings, Message
from tests.support.market.auditing import CountedVotes

CO, BUYER, BIG, SMALL, TINY = (f"pty_{name}" for name in ("co", "buyer", "big", "small", "tiny"))
ISSUER, OTHER = "iss_co", "iss_buyer"
OF = {"issuer_id": ISSUER}
NOTE = {"instrument_id": "ins_1", "issuer_id": ISSUER, "holder_id": BIG}
SHARES = {"class_id": "common", "shares": 1}
SALE = {"waterfall": {"proceeds_usd": "1", "payouts": []}}


def stock(holder, shares, issuer=ISSUER):
    body = {"issuer_id": issuer, "class_id": "common", "holder_id": holder, "shares": shares, "security_id": holder}
    body |= {"price_usd_per_share": "1"}
    return ("issuer.stock_issued", body | {"cause": "imported"})


BASE = [
    *(("party.registered", {"party_id": each}) for each in (CO, BUYER, BIG, SMALL, TINY)),
    ("issuer.formed", OF | {"party_id": CO}),
    ("issuer.formed", {"issuer_id": OTHER, "party_id": BUYER}),
    ("issuer.stock_class_created", OF | {"class_id": "common", "kind": "common", "shares_authorised": 1_000}),
    stock(BIG, 60),
    stock(SMALL, 30),
    stock(TINY, 10),
    stock(TINY, 10, OTHER),
    ("issuer.dilution_limited", OF | {"dilution_max": "0.2", "valuation_usd": "9"}),
]
TERMS = [("issuer.holder_terms_agreed", OF | {"terms": {"sale_share_needed": "0.9"}})]
DRAG = [("issuer.holder_terms_agreed", OF | {"terms": {"drag_along": {"share_needed": "0.6", "classes": []}}})]
ABSENT, FAR = [stock("stk_1", 50)], [stock("stk_1", 500)]
STATED = SALE | {"agreed": [{"holder_id": "stk_1"}]}
HALVED = {"class_id": "common", "conversion_price_usd_before": "2/1", "conversion_price_usd": "1/1"}
LATE = [("issuer.stock_class_created", OF | {"class_id": "b", "kind": "common", "shares_authorised": 99})]
LATE += [(name, body | {"class_id": "b"}) for name, body in [stock(BUYER, 30)]]
CHEAPER = [("issuer.conversion_price_adjusted", OF | HALVED)]
RELATED = [("register.relation_found", {"relation_id": "r", "party_id": BIG, "related_id": CO})]
OF_BUYER = [("register.relation_found", {"relation_id": "r", "party_id": SMALL, "related_id": BUYER})]
FAMILY = [("register.relation_found", {"relation_id": "f", "party_id": BIG, "related_id": SMALL})]
EVEN = [stock(SMALL, 20)]
ENDED = [("register.relation_ended", {"relation_id": "r", "at": "2025-01-01T00:00:00Z"})]
WARRANT = {"warrant_id": "wrt_1", "holder_id": SMALL, "expires_at": "2027-01-01T00:00:00Z", "programme_id": "prg_1"}
WARRANT |= {"settlement": "net"}
WARRANTED = [("issuer.warrant_issued", OF | WARRANT | SHARES | {"shares": 5, "cause": "imported"})]
FREE_RIGHTS = OF | WARRANT | {"warrant_id": "wrt_3", "holder_id": BIG, "class_id": "common", "cause": "imported"}
DEAR = [*WARRANTED, ("issuer.warrant_issued", FREE_RIGHTS | {"shares": 50, "exercise_price_usd": "1000000"})]
NEVER = {"shares": 50, "conditions": [[{"kind": "date", "day": "2999-01-01"}]]}
TO_VEST = [*WARRANTED, ("issuer.warrant_issued", FREE_RIGHTS | {"shares": 50, "tranches": [NEVER]})]
PAPER = [("instrument.issued", NOTE | {"commitment_usd": "100", "funding": "drawdown"})]
DRAWN = [*PAPER, ("instrument.principal_accrued", NOTE | {"tranche_id": "t", "principal_usd": "100"})]
GONE = [*DRAWN, ("instrument.converted", NOTE | {"principal_usd": "100"})]
ACTS = [
    ("issuer.stock_issued", SHARES | {"holder_id": CO, "security_id": "s", "price_usd_per_share": "1"}),
    ("issuer.warrant_issued", SHARES | WARRANT | {"warrant_id": "wrt_2", "holder_id": CO}),
    ("issuer.option_granted", SHARES | {"holder_id": TINY, "option_id": "opt_1"}),
    ("issuer.stock_class_created", {"class_id": "a", "kind": "preferred", "shares_authorised": 1}),
    ("issuer.stock_plan_adjusted", {"shares_reserved": 5}),
    ("issuer.authorised_shares_adjusted", {"class_id": "common", "shares_authorised": 999}),
    ("issuer.stock_split", {"numerator": 1, "denominator": 2, "split_id": "spl_1"}),
    ("issuer.stock_transferred", SHARES | {"holder_id": "stk_1", "holder_id_after": TINY, "transfer_id": "t"}),
    ("issuer.stock_repurchased", SHARES | {"holder_id": "stk_1", "price_usd_per_share": "1"}),
    ("issuer.dilution_limited", {"dilution_max": "0.3", "valuation_usd": "9"}),
    ("issuer.dilution_limited", {"dilution_max": "0.2", "valuation_usd": "8"}),
    ("issuer.dilution_limited", {}),
    ("issuer.price_source_named", {}),
    ("issuer.financing_closed", {"financing_id": "fin_1"}),
    ("issuer.liquidity_withdrawn", {"cause": "agreed"}),
    ("issuer.liquidity_declared", SALE),
    ("issuer.holder_terms_agreed", {"terms": {}}),
]
HIDDEN = {"issuer.stock_issued", "issuer.warrant_issued", "issuer.stock_plan_adjusted", "issuer.stock_repurchased"}
HIDDEN |= {"issuer.dilution_limited"}
"""Acts of them by which somebody gains that does not vote, or anybody may."""
NAMED = ("issuer.price_source_named", {})
FREE = [
    ("issuer.stock_class_created", {"class_id": "c", "kind": "common", "shares_authorised": 1}),
    ("issuer.authorised_shares_adjusted", {"class_id": "common", "shares_authorised": 1_001}),
    ("issuer.stock_split", {"numerator": 2, "denominator": 1, "split_id": "spl_1"}),
    ("issuer.dilution_limited", {"dilution_max": "0.1", "valuation_usd": "9"}),
    ("issuer.liquidity_withdrawn", {"cause": "overdue"}),
    ("issuer.purchases_stated", {"programme_id": "prg_2"}),
]


def audit(before, act, agreed):
    """Return what is found of the votes on an act that the company proposes and these parties agree to.

    What is found of the company's own groups is named without the act.
    """
    consents = [{"electorate": "company", "voters": [{"party_id": CO, "weight": 1}]}]
    made = {
        "proposal_id": "p",
        "proposer_id": CO,
        "consents": consents,
        "effects": [],
        "proposed_at": "2026-01-01T00:00:00Z",
        "decide_until": "2027-01-01T00:00:00Z",
    }
    votes = CountedVotes(Findings())
    history = [*BASE, *before, ("proposal.made", made)]
    history += [("proposal.agreed", {"proposal_id": "p", "party_id": party}) for party in agreed]
    for event in history:
        votes.take([build(event, "platform")])
    votes.take([build(("proposal.carried_out", {"proposal_id": "p"}), CO), *(build(event, CO) for event in act)])
    return [text.removeprefix(f"{act[0][0]} of {ISSUER}: ") for rule, _, text in votes.findings.kept if rule == "vote"]


def build(event, actor):
    name, body = event
    headers = {"ce-type": f"{name}.v1", "ce-actor": actor, "ce-time": "2026-01-01T00:00:00Z"}
    return Message(1, "subject", headers, json.dumps(body).encode())


@pytest.mark.parametrize(("name", "body"), [*ACTS, *FREE])
def test_each_act_on_which_the_table_lets_holders_vote_is_counted(name, body):
    act = [(name, OF | body)]
    is_hidden = name in HIDDEN and (name, body) not in FREE
    assert audit([], act, [BIG]) == (["0 of 40 disinterested stock common agreed"] if is_hidden else [])
    assert audit([], act, [BIG, SMALL]) == []
    apart = ["30 of 90 disinterested stock common agreed"] if TINY in body.values() else []
    assert audit([], act, [SMALL, TINY]) == ([] if (name, body) in FREE else ["40 of 100 stock common agreed", *apart])


@pytest.mark.parametrize(
    ("before", "act", "agreed", "wrong"),
    [
        (RELATED, ACTS[0], [BIG, SMALL], []),
        (RELATED, ACTS[0], [BIG, TINY], ["10 of 40 unrelated stock common agreed"]),
        ([*RELATED, *ENDED], NAMED, [BIG], []),
        (OF_BUYER, NAMED, [BIG], []),
        (OF_BUYER, ACTS[0], [BIG, TINY], ["10 of 40 disinterested stock common agreed"]),
        (EVEN, ACTS[0], [BIG, TINY], []),
        (FAMILY, ACTS[0], [BIG, SMALL], ["0 of 10 disinterested stock common agreed"]),
        (OF_BUYER, ("issuer.liquidity_declared", SALE | {"assumed": {"issuer_id": OTHER}}), [BIG], []),
        (OF_BUYER, ("issuer.liquidity_declared", SALE | {"assumed": {"issuer_id": OTHER}}), [SMALL, BIG], []),
        (
            RELATED,
            ("issuer.liquidity_declared", {"waterfall": SALE["waterfall"] | {"stock": {"buyer_issuer_id": OTHER}}}),
            [BIG, SMALL],
            ["issuer.liquidity_declared of iss_buyer: 0 of 10 stock common agreed"],
        ),
        (TERMS, ("issuer.liquidity_declared", SALE), [BIG, TINY], ["70 of 100 stock common agreed"]),
        (TERMS, ("issuer.liquidity_declared", SALE), [BIG, SMALL], []),
        (TERMS, ("issuer.holder_terms_agreed", {"terms": {}}), [BIG, TINY], ["70 of 100 stock common agreed"]),
        (DRAG, ("issuer.liquidity_declared", SALE), [BIG], []),
        (DRAG, ("issuer.liquidity_declared", SALE), [SMALL, TINY], ["40 of 100 holders agreed"]),
        ([*DRAG, *LATE], ("issuer.liquidity_declared", SALE), [BIG, SMALL], ["0 of 30 stock b agreed"]),
        ([*LATE, *DRAG], ("issuer.liquidity_declared", SALE), [BIG, SMALL], []),
        ([*DRAG, *RELATED], ("issuer.liquidity_declared", SALE), [BIG, TINY], ["10 of 40 holders here agreed"]),
        ([*DRAG, *ABSENT], ("issuer.liquidity_declared", SALE), [BIG], ["60 of 150 holders agreed"]),
        ([*DRAG, *ABSENT], ("issuer.liquidity_declared", STATED), [SMALL, TINY], ["40 of 100 holders here agreed"]),
        ([*DRAG, *ABSENT], ("issuer.liquidity_declared", STATED), [BIG], []),
        ([*DRAG, *FAR], ("issuer.liquidity_declared", SALE), [SMALL], ["30 of 100 stock common agreed"]),
        ([*DRAG, *CHEAPER], ("issuer.liquidity_declared", SALE), [SMALL], ["60 of 200 holders agreed"]),
        (
            [*DRAG, *DRAWN],
            ("issuer.liquidity_declared", SALE),
            [SMALL, TINY],
            ["40 of 100 holders agreed", "0 of 10000 instruments agreed"],
        ),
        (
            DRAWN,
            ("instrument.amended", NOTE | {"terms": {}}),
            [SMALL, TINY],
            ["40 of 100 stock common agreed", "0 of 10000 instruments agreed"],
        ),
        (
            PAPER,
            ("instrument.amended", NOTE | {"terms": {}}),
            [SMALL, TINY],
            ["40 of 100 stock common agreed", "0 of 10000 commitments agreed"],
        ),
        (GONE, NAMED, [BIG], []),
        (WARRANTED, ("issuer.purchases_stated", {"programme_id": "prg_1"}), [BIG], ["0 of 5 warrants agreed"]),
        (WARRANTED, ("issuer.programme_grant_added", {"programme_id": "prg_1", "delivered_before": False}), [], []),
        (DEAR, NAMED, [BIG], ["1 of 6 warrants agreed"]),
        (DEAR, NAMED, [BIG, SMALL], []),
        (TO_VEST, NAMED, [BIG], ["0 of 5 warrants agreed"]),
        (TO_VEST, NAMED, [SMALL, TINY, BIG], []),
    ],
)
def test_the_groups_are_those_of_the_log(before, act, agreed, wrong):
    assert audit(before, [(act[0], OF | act[1])], agreed) == wrong


WORKS = {"kind": "attested", "name": "works", "attester_id": TINY}
ATTESTED = OF | SHARES | WARRANT | {"holder_id": CO, "tranches": [{"shares": 1, "exercise_conditions": [[WORKS]]}]}
ENTITLED = [("issuer.holder_terms_agreed", OF | {"terms": {"pro_rata": [TINY, BUYER], "directors": [SMALL]}})]
OF_OTHER = [("issuer.holder_terms_agreed", {"issuer_id": OTHER, "terms": {"pro_rata": [TINY]}})]
GIVEN = [("issuer.stock_issued", OF | SHARES | {"holder_id": CO, "security_id": "s", "price_usd_per_share": "1"})]
NINE = {"kind": "stock", "class_id": "common", "price_usd_per_share": "9"}
SIGNED = [
    (
        "issuer.instrument_signed",
        OF | {"instrument_id": "ins_2", "holder_id": CO, "terms": NINE, "commitment_usd": "9"},
    ),
    ("instrument.principal_accrued", {"instrument_id": "ins_2"}),
]
ITSELF = ["pty_tiny did not agree itself"]
GUARD = {"class_id": "guard", "kind": "preferred", "shares_authorised": 9, "price_per_share_usd": "2"}
GUARD |= {"liquidation_multiple": "1", "price_protection": "full_ratchet"}
GUARDED = [("issuer.stock_class_created", OF | GUARD)]
GUARDED += [(name, body | {"class_id": "guard"}) for name, body in [stock(TINY, 1)]]
STRUCK = [("issuer.warrant_issued", OF | SHARES | WARRANT | {"holder_id": CO, "exercise_price_usd": "1"})]
NINE_EACH = [(GIVEN[0][0], GIVEN[0][1] | {"price_usd_per_share": "9"})]
BOUGHT = {"waterfall": SALE["waterfall"] | {"stock": {"buyer_issuer_id": OTHER}}}
FILLED = [
    ("issuer.stock_split", OF | {"numerator": 1, "denominator": 2, "split_id": "spl_1"}),
    ("issuer.stock_issued", GIVEN[0][1] | {"holder_id": BIG, "cause": "spl_1"}),
]


@pytest.mark.parametrize(
    ("before", "act", "agreed", "wrong"),
    [
        ([], GIVEN, [BIG], []),
        (ENTITLED, GIVEN, [BIG], ITSELF),
        (ENTITLED, GIVEN, [BIG, TINY], []),
        (ENTITLED, [("issuer.stock_issued", GIVEN[0][1] | {"cause": "fin_1"})], [], []),
        (ENTITLED, [("issuer.warrant_issued", OF | SHARES | WARRANT | {"holder_id": CO})], [BIG], ITSELF),
        (ENTITLED, [("issuer.option_promised", OF | SHARES | {"promise_id": "p", "holder_id": "stk_1"})], [], []),
        (ENTITLED, [("issuer.option_promised", OF | SHARES | {"promise_id": "p", "holder_id": BUYER})], [BIG], ITSELF),
        (ENTITLED, [("issuer.holder_terms_agreed", OF | {"terms": {"directors": []}})], [BIG, SMALL], ITSELF),
        (ENTITLED, [("issuer.holder_terms_agreed", OF | {"terms": {"pro_rata": [TINY]}})], [BIG, SMALL], []),
        (
            ENTITLED,
            [("issuer.holder_terms_agreed", OF | {"terms": {"pro_rata": [TINY], "pro_rata_days": 9}})],
            [BIG, SMALL],
            ITSELF,
        ),
        (
            ENTITLED,
            [("issuer.holder_terms_agreed", OF | {"terms": {"pro_rata": [TINY]}})],
            [BIG, TINY],
            ["0 of 1 directors agreed"],
        ),
        (ENTITLED, [("issuer.liquidity_declared", OF | SALE)], [BIG, TINY], ["0 of 1 directors agreed"]),
        ([], [("issuer.holder_terms_agreed", OF | {"terms": {"directors": [TINY]}})], [BIG, SMALL], ITSELF),
        ([], [("issuer.holder_terms_agreed", OF | {"terms": {"directors": [TINY, CO]}})], [BIG, TINY], []),
        ([], [("issuer.warrant_issued", ATTESTED)], [BIG, SMALL], ITSELF),
        ([], [("issuer.warrant_issued", ATTESTED)], [BIG, SMALL, TINY], []),
        (ENTITLED, [("issuer.liquidity_declared", OF | SALE)], [BIG, SMALL], []),
        ([], FILLED, [BIG, SMALL], ITSELF),
        (GUARDED, GIVEN, [BIG, SMALL], ITSELF),
        (GUARDED, NINE_EACH, [BIG, SMALL], []),
        (GUARDED, STRUCK, [BIG, SMALL], ITSELF),
        (GUARDED, STRUCK, [BIG, SMALL, TINY], []),
        ([], FILLED, [BIG, SMALL, TINY], []),
    ],
)
def test_who_is_passed_over_and_the_directors_agree_themselves(before, act, agreed, wrong):
    found = audit(before, act, agreed)
    assert [
        text for text in found if text in {*ITSELF, "pty_small, pty_tiny did not agree itself"} or "dir" in text
    ] == wrong


def test_a_buyer_in_stock_needs_the_agreement_of_its_own_holders_with_a_right():
    act = [("issuer.liquidity_declared", OF | BOUGHT)]
    assert ITSELF[0] in audit(OF_OTHER, act, [BIG, SMALL])
    assert ITSELF[0] not in audit(OF_OTHER, act, [BIG, SMALL, TINY])


def test_priced_stock_of_a_direct_investment_needs_those_with_a_right():
    assert ITSELF[0] in audit(ENTITLED, SIGNED, [BIG])
    assert ITSELF[0] not in audit(ENTITLED, [SIGNED[0]], [BIG]), "an order within the limit asks nobody"


TOP = {"class_id": "top", "kind": "preferred", "shares_authorised": 99, "price_per_share_usd": "2", "seniority": 1}
RANKED = [("issuer.stock_class_created", OF | TOP | {"liquidation_multiple": "1"})]
RANKED += [(name, body | {"class_id": "top"}) for name, body in [stock(TINY, 1)]]
RIGHTS = {"warrant_id": "wrt_9", "holder_id": TINY, "class_id": "top", "shares": 6, "exercise_price_usd": "0.5"}
RIGHTS |= {"expires_at": "2027-01-01T00:00:00Z", "settlement": "cash", "cause": "imported"}
LATER = {"shares": 6, "conditions": [[{"kind": "date", "day": "2999-01-01"}]]}
SAFE_RUN = {"instrument_id": "ins_1", "holder_id": TINY, "principal_usd": "5", "terms": {"kind": "safe"}}
NOTE_RUN = SAFE_RUN | {"terms": {"kind": "note"}}


def pay(*rows, **more):
    """Return a sale that pays the small holder these USD for securities."""
    payouts = [
        {"holder_id": TINY, "security": name, "amount_usd": usd, "cash_usd": cash, "amount_exact": usd}
        for name, usd, cash in rows
    ]
    return {"waterfall": {"proceeds_usd": "100", "payouts": payouts} | more}


LOSSES = [
    ([], pay(("ins_1", "5", "5"), ("common", "1", "1"), instruments=[SAFE_RUN]), False),
    ([], pay(("ins_1", "4.99", "4.99"), instruments=[SAFE_RUN]), True),
    ([], pay(("ins_1", "5", "4.99"), instruments=[SAFE_RUN]), True),
    ([], pay(("ins_1", "9", "9"), ("common", "1", "1"), instruments=[NOTE_RUN]), False),
    ([], pay(("ins_1", "9", "9"), instruments=[NOTE_RUN]), True),
    (RANKED, pay(safe_seniority=1), False),
    (RANKED, pay(safe_seniority=2), True),
    ([*RANKED, ("issuer.warrant_issued", OF | RIGHTS)], pay(("wrt_9", "9", "9")), False),
    ([*RANKED, ("issuer.warrant_issued", OF | RIGHTS)], pay(("wrt_9", "8.99", "8.99")), True),
    ([*RANKED, ("issuer.warrant_issued", OF | RIGHTS | {"expires_at": "2025-01-01T00:00:00Z"})], pay(), False),
    ([*RANKED, ("issuer.warrant_issued", OF | RIGHTS | {"class_id": "common"})], pay(), False),
    ([*RANKED, ("issuer.warrant_issued", OF | RIGHTS | {"tranches": [LATER]})], pay(), False),
    (
        [
            *RANKED,
            ("issuer.warrant_issued", OF | RIGHTS | {"tranches": [LATER], "change_of_control": {"when": "always"}}),
        ],
        pay(),
        True,
    ),
]


@pytest.mark.parametrize(("before", "sale", "loses"), LOSSES)
def test_who_loses_by_a_sale_what_no_vote_takes_agrees_itself(before, sale, loses):
    act = [("issuer.liquidity_declared", OF | sale)]
    assert (ITSELF[0] in audit(before, act, [BIG, SMALL])) is loses
    assert ITSELF[0] not in audit(before, act, [BIG, SMALL, TINY])
