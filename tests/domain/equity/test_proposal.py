"""Proposals: who is asked agrees, in time, for more than half of each electorate."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from events.proposal import (
    Consent,
    ProposalAgreed,
    ProposalCarriedOut,
    ProposalConsentWithdrawn,
    ProposalEnded,
    ProposalMade,
    ProposalRefused,
    ProposedEvent,
    Voter,
)
from events.registry import render_body
from marketplace.auditor.consents import Proposal as Audited
from marketplace.core.errors import Refusal
from marketplace.domain.equity.proposal import (
    EFFECTS_BYTES_MAX,
    PROPOSAL,
    AgreeToProposal,
    CarryOutProposal,
    EndProposal,
    LapseProposal,
    MakeProposal,
    RefuseProposal,
    WithdrawConsent,
    list_acts,
)
from tests.domain import build
from tests.domain.build import Row, builder, hour, id_of
from tests.support.spec import Given

PROPOSED, UNTIL = hour(0), hour(0) + timedelta(days=14)
FUND, BANK, ANGEL = id_of("pty", 2), id_of("pty", 3), id_of("pty", 4)
TERMS = {
    "proposal_id": id_of("prp"),
    "issuer_id": id_of("iss"),
    "proposer_id": id_of("pty"),
    "split_ratio": "1/1",
    "proposed_at": PROPOSED,
    "effects": (ProposedEvent(aggregate_id=id_of("iss"), type="issuer.stock_repurchased.v1", body_json="{}"),),
    "consents": (
        Consent(electorate=f"holder/{FUND}", right="repurchase", voters=(Voter(party_id=FUND, weight=1),)),
        Consent(
            electorate="class/seed",
            right="sale",
            voters=(
                Voter(party_id=FUND, weight=40),
                Voter(party_id=BANK, weight=30),
                Voter(party_id=ANGEL, weight=30),
            ),
        ),
    ),
    "decide_until": UNTIL,
}
LARGE = ProposedEvent(
    aggregate_id=id_of("iss"), type="issuer.liquidity_declared.v1", body_json='"' * (EFFECTS_BYTES_MAX // 2)
)
MADE = ProposalMade(**TERMS)
make = builder(MakeProposal(**TERMS))
agree = builder(AgreeToProposal(proposal_id=id_of("prp"), party_id=FUND, at=PROPOSED))
refuse = builder(RefuseProposal(proposal_id=id_of("prp"), party_id=FUND, reason="too cheap", at=PROPOSED))
take_back = builder(WithdrawConsent(proposal_id=id_of("prp"), party_id=FUND, reason="second thoughts", at=PROPOSED))
carry_out = builder(CarryOutProposal(proposal_id=id_of("prp"), at=PROPOSED))
end = builder(EndProposal(proposal_id=id_of("prp"), outcome="withdrawn", reason="no buyer"))
lapse = builder(LapseProposal(proposal_id=id_of("prp"), at=UNTIL))


def agreed(party_id):
    return ProposalAgreed(proposal_id=id_of("prp"), party_id=party_id)


def refused(party_id):
    return ProposalRefused(proposal_id=id_of("prp"), party_id=party_id, reason="too cheap")


def ended(outcome):
    return ProposalEnded(proposal_id=id_of("prp"), outcome=outcome, reason="so it is")


EFFECTIVE = ProposalCarriedOut(proposal_id=id_of("prp"))
REFUSALS = [
    Row("proposal_exists", (MADE,), make(proposer_id=id_of("pty", 5))),
    Row("effects_too_large", (), make(effects=(LARGE,))),
    Row("proposal_unknown", (), agree()),
    Row("proposal_effective", (MADE, agreed(FUND), agreed(BANK), EFFECTIVE), agree()),
    Row("proposal_refused", (MADE, refused(FUND), ended("refused")), agree()),
    Row("proposal_withdrawn", (MADE, ended("withdrawn")), agree()),
    Row("proposal_lapsed", (MADE, ended("lapsed")), end()),
    Row("proposal_void", (MADE, ended("void")), lapse()),
    Row("proposal_not_due", (MADE,), lapse(at=UNTIL - timedelta(microseconds=1))),
    Row("not_proposer", (MADE,), end(party_id=FUND)),
    Row("deadline_passed", (MADE,), agree(at=UNTIL)),
    Row("consents_missing", (MADE, agreed(FUND)), carry_out()),
    Row("not_asked", (MADE,), agree(party_id=id_of("pty", 5))),
    Row("not_agreed", (MADE,), take_back()),
]
PRECEDENCE = [
    Row("proposal_void", (MADE, ended("void")), agree(at=UNTIL)),
    Row("deadline_passed", (MADE,), agree(party_id=id_of("pty", 5), at=UNTIL)),
    Row("not_asked", (MADE,), take_back(party_id=id_of("pty", 5))),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(PROPOSAL, row)


VOTES = {
    "asked": (),
    "agreed": (agreed(FUND),),
    "refused": (refused(FUND),),
    "withdrawn": (agreed(FUND), ProposalConsentWithdrawn(proposal_id=id_of("prp"), party_id=FUND, reason="later")),
}


def changes(command, state):
    try:
        return bool(PROPOSAL.decide(command, state))
    except Refusal:
        return False


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("over", [(), (ended("void"),)], ids=["open", "void"])
@pytest.mark.parametrize("at", [PROPOSED, UNTIL])
def test_the_acts_that_are_listed_are_those_that_change_it(vote, over, at):
    state = PROPOSAL.fold((MADE, *VOTES[vote], *over))
    for party_id, own in ((FUND, vote), (MADE.proposer_id, None), (id_of("pty", 5), None)):
        commands = {
            "agree": agree(party_id=party_id, at=at),
            "refuse": refuse(party_id=party_id, at=at),
            "withdraw_consent": take_back(party_id=party_id, at=at),
            "withdraw": end(party_id=party_id),
        }
        is_proposer = party_id == MADE.proposer_id
        listed = list_acts(state.status, MADE.decide_until, vote=own, is_proposer=is_proposer, at=at)
        assert set(listed) == {name for name, command in commands.items() if changes(command, state)}


def test_is_made_agreed_to_and_ended_once():
    Given(PROPOSAL).when(make()).then(MADE)
    Given(PROPOSAL, MADE).when(make()).then_nothing()
    Given(PROPOSAL, MADE).when(agree()).then(agreed(FUND))
    Given(PROPOSAL, MADE, agreed(FUND)).when(agree()).then_nothing()
    Given(PROPOSAL, MADE, ended("withdrawn")).when(end()).then_nothing()
    Given(PROPOSAL, MADE, ended("lapsed")).when(lapse()).then_nothing()
    Given(PROPOSAL, MADE, refused(BANK)).when(refuse(party_id=BANK)).then_nothing()


def test_takes_effect_with_more_than_half_of_every_electorate():
    half = ProposalMade(
        **{
            **TERMS,
            "consents": (
                Consent(
                    electorate="class/seed",
                    right="sale",
                    voters=(Voter(party_id=FUND, weight=50), Voter(party_id=BANK, weight=50)),
                ),
            ),
        }
    )
    with pytest.raises(Exception, match="still needs the agreement of class/seed"):
        PROPOSAL.decide(carry_out(), PROPOSAL.fold([half, agreed(FUND)]))
    Given(PROPOSAL, half, agreed(FUND), agreed(BANK)).when(carry_out()).then(EFFECTIVE)
    Given(PROPOSAL, MADE, agreed(FUND), agreed(ANGEL)).when(carry_out()).then(EFFECTIVE)


def test_a_consent_that_was_taken_back_does_not_count():
    back = ProposalConsentWithdrawn(proposal_id=id_of("prp"), party_id=ANGEL, reason="second thoughts")
    given = (MADE, agreed(FUND), agreed(ANGEL))
    Given(PROPOSAL, *given).when(take_back(party_id=ANGEL, reason="second thoughts")).then(back)
    assert [each.electorate for each in PROPOSAL.fold([*given, back]).list_missing(PROPOSED)] == ["class/seed"]


def test_is_refused_once_an_electorate_can_no_longer_agree():
    alone = PROPOSAL.decide(refuse(party_id=BANK), PROPOSAL.fold([MADE]))
    assert alone == [refused(BANK)]
    both = PROPOSAL.decide(refuse(party_id=ANGEL), PROPOSAL.fold([MADE, refused(BANK)]))
    assert [type(event) for event in both] == [ProposalRefused, ProposalEnded]
    assert both[1].outcome == "refused"
    holder = PROPOSAL.decide(refuse(), PROPOSAL.fold([MADE]))
    assert [type(event) for event in holder] == [ProposalRefused, ProposalEnded]


def test_its_proposer_agrees_by_proposing_where_it_is_asked():
    own = ProposalMade(**{**TERMS, "proposer_id": FUND})
    assert PROPOSAL.fold([own]).agreed == {FUND}
    assert PROPOSAL.fold([MADE]).agreed == frozenset()


WAIVED = PROPOSED + timedelta(days=7)


def waiving(share=None):
    """Return a proposal that the company has agreed to and two investors may refuse, one bearing nine tenths."""
    voters = (Voter(party_id=FUND, weight=10), Voter(party_id=BANK, weight=90))
    asked = Consent(electorate="pro_rata", right="issue", voters=voters, share_needed=share, waived_at=WAIVED)
    return ProposalMade(**{**TERMS, "consents": (asked,)})


@pytest.mark.parametrize("at", [PROPOSED, WAIVED, UNTIL - timedelta(microseconds=1)])
def test_a_refusal_of_who_might_be_silent_counts_until_the_effect(at):
    """After the seven days a refusal was recorded, and changed nothing."""
    only = PROPOSAL.fold([waiving(Decimal(1))])
    assert [type(each) for each in PROPOSAL.decide(refuse(at=at), only)] == [ProposalRefused, ProposalEnded]
    overcome = PROPOSAL.fold([waiving(Decimal("0.9"))])
    assert PROPOSAL.decide(refuse(at=at), overcome) == [refused(FUND)]
    both = PROPOSAL.decide(refuse(party_id=BANK, at=at), overcome)
    assert [type(each) for each in both] == [ProposalRefused, ProposalEnded]


@pytest.mark.parametrize("votes", [(), (refused(FUND),), (agreed(BANK),), (agreed(BANK), refused(FUND))])
def test_silence_agrees_from_its_instant_on_for_who_does_not_refuse(votes):
    state = PROPOSAL.fold([waiving(Decimal("0.9")), *votes])
    assert state.list_missing(WAIVED) == audit(state).list_missing(WAIVED) == []
    answered = len(votes) == 2
    assert (state.list_missing(WAIVED - timedelta(microseconds=1)) == []) is answered, "all have answered"


@pytest.mark.parametrize("votes", [(refused(BANK),), (agreed(FUND), refused(BANK)), (agreed(BANK), refused(BANK))])
def test_neither_the_market_nor_its_auditor_takes_a_refusal_for_a_silence(votes):
    state = PROPOSAL.fold([waiving(Decimal("0.9")), *votes])
    assert [each.electorate for each in state.list_missing(WAIVED)] == audit(state).list_missing(WAIVED) == ["pro_rata"]


def audit(state):
    """Return a proposal as the auditor folds it."""
    return Audited(json.loads(render_body(state.made)), set(state.agreed), refused=set(state.refused))


def test_a_vote_may_change_until_it_counts():
    changed = PROPOSAL.fold([MADE, refused(BANK), agreed(BANK)])
    assert (changed.agreed, changed.refused) == ({BANK}, frozenset())
    again = PROPOSAL.fold([MADE, agreed(BANK), refused(BANK)])
    assert (again.agreed, again.refused) == (frozenset(), {BANK})
