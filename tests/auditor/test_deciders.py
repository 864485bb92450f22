"""The auditor finds who decides in place of the party whose decision it is, or proposes in place of the company."""

import json
from dataclasses import replace

import pytest

from marketplace.auditor.deciders import BY_COMPANY, Deciders
from marketplace.auditor.equity import Equity
from marketplace.auditor.stream import Findings, Message
from tests.auditor.test_disputes import argued  # noqa: F401

pytestmark = pytest.mark.xdist_group("auditor")
CO, BUYER, SELLER, FUND, HEIR, JUDGE, STRANGER = (
    f"pty_{name}" for name in ("co", "buyer", "seller", "fund", "heir", "judge", "stranger")
)
PLATFORM, TIMER = "platform", "worker:timer"
ISSUER, GRANT, NOTE, STATEMENT = ({f"{kind}_id": kind} for kind in ("issuer", "grant", "instrument", "statement"))
OF_GRANT = GRANT | STATEMENT
WARRANT = ISSUER | {"warrant_id": "wrt", "shares": 5}
ACCOUNT = {"account_id": "acc_buyer", "amount_usd": "1"}
WORLD = [
    ("issuer.formed", ISSUER | {"party_id": CO}),
    ("grant.issued", GRANT | {"startup_id": BUYER, "provider_id": SELLER, "equity": {"holder_id": FUND}}),
    ("service_line.proposed", GRANT | {"service_line_id": "svl", "holder_id": FUND}),
    ("instrument.issued", NOTE | {"holder_id": FUND}),
    ("issuer.price_source_named", ISSUER | {"source_id": "src", "recorder_id": JUDGE}),
    ("issuer.price_source_named", ISSUER | {"source_id": "own", "recorder_id": None}),
    ("issuer.warrant_issued", WARRANT | {"holder_id": FUND}),
    ("issuer.warrant_transferred", WARRANT | {"holder_id": FUND, "holder_id_after": HEIR}),
    ("mandate.granted", {"mandate_id": "mnd", "holder_id": FUND}),
    ("order.placed", {"order_id": "ord", "startup_id": BUYER}),
    ("quote.held", {"quote_id": "quo", "startup_id": BUYER}),
    ("lot.listed", {"lot_id": "lot", "provider_id": SELLER}),
    ("bond.claimed", {"bond_id": "bnd", "claim_id": "clm", "party_id": SELLER} | GRANT),
    ("bond.posted", {"bond_id": "bnd", "party_id": SELLER}),
]
ROWS = [
    ("account.approval_given", ACCOUNT, (BUYER, PLATFORM)),
    ("account.deposited", ACCOUNT | {"party_id": BUYER}, (PLATFORM,)),
    ("account.limit_set", ACCOUNT, (BUYER, PLATFORM)),
    ("account.withdrawn", ACCOUNT | {"party_id": BUYER}, (BUYER, PLATFORM)),
    ("bond.answered", {"bond_id": "bnd", "claim_id": "clm", "outcome": "conceded"}, (SELLER, PLATFORM, TIMER)),
    ("bond.claimed", {"bond_id": "bnd", "claim_id": "clm", "party_id": SELLER} | GRANT, (BUYER,)),
    ("bond.released", {"bond_id": "bnd"}, (SELLER, PLATFORM)),
    ("grant.rescheduled", GRANT, (BUYER, PLATFORM)),
    ("grant.substituted", GRANT, (SELLER, PLATFORM, TIMER)),
    ("grant.terminated", GRANT | {"by": "startup"}, (BUYER, PLATFORM, TIMER)),
    ("grant.terminated", GRANT | {"by": "provider"}, (SELLER, PLATFORM, TIMER)),
    ("account.credit_limited", ACCOUNT | {"provider_id": SELLER}, (SELLER, PLATFORM)),
    ("instrument.debt_paid", NOTE, (FUND, PLATFORM)),
    ("instrument.mfn_elected", NOTE, (FUND, PLATFORM)),
    ("issuer.price_observed", ISSUER | {"source_id": "src"}, (JUDGE, PLATFORM)),
    ("issuer.price_observed", ISSUER | {"source_id": "own"}, (PLATFORM,)),
    ("issuer.pro_rata_answered", ISSUER | {"holder_id": FUND}, (FUND, PLATFORM)),
    ("issuer.milestone_attested", WARRANT | {"attester_id": JUDGE}, (JUDGE, PLATFORM)),
    ("issuer.milestone_attested", WARRANT | {"attester_id": None}, (PLATFORM,)),
    ("issuer.valuation_recorded", ISSUER | {"recorded_by": "platform"}, (PLATFORM,)),
    ("issuer.valuation_recorded", ISSUER | {"recorded_by": "company"}, (CO, PLATFORM)),
    ("issuer.warrant_exercised", WARRANT | {"holder_id": FUND}, (HEIR, CO, PLATFORM)),
    ("lot.repriced", {"lot_id": "lot"}, (SELLER, PLATFORM)),
    ("mandate.amended", {"mandate_id": "mnd"}, (FUND, PLATFORM)),
    ("mandate.order_approved", {"mandate_id": "mnd", "order_id": "ord"}, (FUND, PLATFORM)),
    ("mandate.order_refused", {"mandate_id": "mnd", "order_id": "ord"}, (FUND, PLATFORM)),
    ("mandate.revoked", {"mandate_id": "mnd"}, (FUND, PLATFORM)),
    ("order.amended", {"order_id": "ord"}, (BUYER, PLATFORM)),
    ("order.cancelled", {"order_id": "ord"}, (BUYER, PLATFORM, TIMER)),
    ("quote.taken", {"quote_id": "quo", "order_id": "ord"}, (BUYER, PLATFORM)),
    ("party.cleared", {"party_id": BUYER}, (PLATFORM,)),
    ("party.suspended", {"party_id": BUYER}, (PLATFORM,)),
    ("register.relation_found", {"party_id": BUYER}, (PLATFORM,)),
    ("register.relation_stated", {"party_id": BUYER}, (BUYER,)),
    ("schedule.published", {}, (PLATFORM,)),
    ("service_line.agreed", GRANT | {"service_line_id": "svl"}, (BUYER, PLATFORM)),
    ("service_line.approved", GRANT | {"service_line_id": "svl"}, (FUND, PLATFORM)),
    ("statement.accepted", OF_GRANT | {"by": "acceptance"}, (BUYER, FUND, PLATFORM)),
    ("statement.accepted", OF_GRANT | {"by": "silence"}, (BUYER, FUND, PLATFORM, TIMER)),
    ("statement.agreed", OF_GRANT | {"by": "holder"}, (FUND, PLATFORM)),
    ("statement.answered", OF_GRANT | {"by": "startup"}, (BUYER, PLATFORM)),
    ("statement.conceded", OF_GRANT | {"by": "provider"}, (SELLER, PLATFORM)),
    ("statement.disputed", OF_GRANT | {"by": "startup"}, (BUYER, PLATFORM)),
    ("statement.referred", OF_GRANT | {"by": "provider"}, (SELLER, PLATFORM)),
    ("statement.resolved", OF_GRANT | {"by": "platform"}, (PLATFORM,)),
    ("statement.resolved", OF_GRANT | {"by": "concession"}, (BUYER, SELLER, FUND, PLATFORM)),
    ("usage.voided", GRANT | {"meter": "provider"}, (SELLER, PLATFORM)),
    ("usage.reported", GRANT | {"meter": "startup"}, (BUYER, PLATFORM)),
    ("instrument.transferred", ISSUER | {"instrument_id": "passed", "holder_id_after": HEIR}, (CO, PLATFORM)),
    *(
        (name, ISSUER, (CO, PLATFORM))
        for name in sorted(
            BY_COMPANY - {"instrument.transferred", "issuer.warrant_issued", "issuer.price_source_named"}
        )
    ),
]


def build(name, body, actor):
    return Message(1, "subject", {"ce-type": f"{name}.v1", "ce-actor": actor}, json.dumps(body).encode())


def audit(*decisions):
    """Return what is found of decisions of events with their actors, in a world where each party is in one role."""
    findings = Findings()
    part = Deciders(findings)
    for name, body in WORLD:
        part.take([build(name, body, PLATFORM)])
    findings.kept.clear()
    for decision in decisions:
        part.take([build(*each) for each in decision])
    return [text for _, _, text in findings.kept]


@pytest.mark.parametrize(("name", "body", "right"), ROWS)
def test_only_whose_decision_it_is_decides(name, body, right):
    for actor in (CO, BUYER, SELLER, FUND, HEIR, JUDGE, STRANGER, PLATFORM, TIMER):
        texts = audit([(name, body, actor)])
        assert (texts == []) == (actor in right), (actor, texts)


def propose(proposer, act, actor=None):
    made = {"proposal_id": "p", "proposer_id": proposer, "effects": [{"type": f"{act}.v1"}]}
    return [("proposal.made", ISSUER | made, actor or proposer)]


CARRIED = ("proposal.carried_out", {"proposal_id": "p"}, BUYER)


@pytest.mark.parametrize(
    ("decisions", "wrong"),
    [
        ([propose(CO, "issuer.stock_split")], None),
        ([propose(FUND, "issuer.stock_transferred")], None),
        ([propose(CO, "instrument.principal_reversed", TIMER)], None),
        ([propose(CO, "issuer.stock_split", FUND)], "proposes p as pty_co"),
        ([propose(FUND, "issuer.stock_split")], "is not the company"),
        ([propose(FUND, "issuer.financing_opened")], "is not the company"),
        ([propose(FUND, "issuer.instrument_signed")], "is not the company"),
        ([propose(CO, "issuer.stock_split"), [("proposal.agreed", {"proposal_id": "p"}, BUYER), CARRIED]], None),
        ([propose(CO, "issuer.stock_split"), [CARRIED]], "nobody agrees"),
        ([propose(CO, "x"), [("proposal.ended", {"proposal_id": "p", "outcome": "withdrawn"}, CO)]], None),
        ([propose(CO, "x"), [("proposal.ended", {"proposal_id": "p", "outcome": "withdrawn"}, FUND)]], "did not make"),
        ([propose(CO, "x"), [("proposal.ended", {"proposal_id": "p", "outcome": "refused"}, FUND)]], None),
    ],
)
def test_a_proposal_is_made_and_withdrawn_by_its_proposer_and_takes_effect_by_an_agreement(decisions, wrong):
    texts = audit(*decisions)
    assert (texts == []) if wrong is None else any(wrong in text for text in texts), texts


async def test_in_a_dispute_nobody_answers_for_another(argued):  # noqa: F811
    def find(log):
        part = Deciders(Findings())
        for message in log:
            part.take([message])
        return [text for _, _, text in part.findings.kept]

    assert find(argued) == []
    acts = [index for index, each in enumerate(argued) if each.event_type.split(".")[1] in {"conceded", "answered"}]
    assert len(acts) == 3
    for index in acts:
        forged = replace(argued[index], headers=argued[index].headers | {"ce-actor": STRANGER})
        assert len(find([*argued[:index], forged, *argued[index + 1 :]])) == 1


def test_a_warrant_is_exercised_by_who_got_it():
    equity = Equity(Findings())
    for number, (name, body) in enumerate(
        [
            ("warrant_issued", WARRANT | {"holder_id": FUND}),
            ("warrant_transferred", WARRANT | {"holder_id": FUND, "holder_id_after": HEIR}),
            ("warrant_exercised", WARRANT | {"holder_id": HEIR, "class_id": "common"}),
        ]
    ):
        equity.take([replace(build(f"issuer.{name}", body, HEIR), sequence=number)])
    assert equity.findings.kept == []
    assert equity.issuers["issuer"].holdings["stock", HEIR, "common"] == 5


def test_a_holder_has_a_sale_paid_also_to_those_without_a_key():
    paid = ("issuer.distribution_paid", ISSUER | {"liquidity_id": "liq_1"}, FUND)
    outside = ACCOUNT | {"reference": "liq_1/stk_1"}
    assert audit([paid, ("account.withdrawn", outside, FUND)]) == []
    (text,) = audit([paid, ("account.withdrawn", outside | {"reference": "rent"}, FUND)])
    assert "decides account.withdrawn" in text
