"""No position of a party falls without its consent or a right that is cited, and consent precedes effect."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from events import issuer as events
from events.proposal import Consent, Voter
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import list_rows
from marketplace.domain.equity.proposal import (
    PROPOSAL,
    AgreeToProposal,
    CarryOutProposal,
    MakeProposal,
    RefuseProposal,
    WithdrawConsent,
)
from marketplace.domain.equity.rights import Setting, list_consents
from tests.domain.build import NOW, id_of, usd
from tests.domain.equity.test_rights import COMPANY, FOUNDER, FUND, GIVEN, ISSUER_ID, SPLIT, VALUED, issue, repurchase

OTHER = id_of("pty", 9)
OF = {"issuer_id": ISSUER_ID}
WARRANT = events.IssuerWarrantIssued(
    **OF,
    warrant_id=id_of("wrt", 1),
    holder_id=FUND,
    class_id="common",
    shares=50,
    exercise_price_usd=usd(1),
    expires_at=NOW + timedelta(days=900),
    settlement="either",
)
OPTION = events.IssuerOptionGranted(
    **OF, option_id=id_of("opt", 1), holder_id=FUND, shares=40, exercise_price_usd=usd(1)
)
COMPANY_WITH_RIGHTS = (
    *GIVEN,
    events.IssuerStockPlanAdjusted(**OF, shares_reserved=500),
    OPTION,
    WARRANT,
)


def transfer(shares):
    return events.IssuerStockTransferred(
        **OF,
        transfer_id=id_of("trf", 1),
        holder_id=FUND,
        holder_id_after=COMPANY,
        class_id="common",
        shares=shares,
    )


def convert(shares):
    return events.IssuerStockConverted(
        **OF,
        conversion_id=id_of("cnv", 1),
        holder_id=FUND,
        class_id="seed",
        shares=shares,
        class_id_after="common",
        shares_exact=f"{shares}/1",
        shares_after=shares,
        reason="voluntary",
    )


def cancel_option(shares):
    return events.IssuerOptionCancelled(
        **OF,
        cancellation_id=id_of("can", 1),
        option_id=id_of("opt", 1),
        holder_id=FUND,
        shares=shares,
        kind="cancelled",
        reason="agreed",
    )


def cancel_warrant(shares):
    return events.IssuerWarrantCancelled(
        **OF,
        cancellation_id=id_of("can", 2),
        warrant_id=id_of("wrt", 1),
        holder_id=FUND,
        shares=shares,
        cause=id_of("ins", 1),
    )


ACTS = st.one_of(
    st.builds(repurchase, st.just(FUND), st.integers(1, 100), st.integers(0, 9)),
    st.builds(transfer, st.integers(1, 100)),
    st.builds(convert, st.integers(1, 60)),
    st.builds(cancel_option, st.integers(1, 40)),
    st.builds(cancel_warrant, st.integers(1, 50)),
)


def count(state):
    """Return the shares of each row of a party, as a part of the class or security at one split."""
    return {
        (row.holder_id, row.security): Fraction(row.shares) / state.split_ratio
        for row in list_rows(state)
        if row.holder_id is not None and row.holder_id.startswith("pty_")
    }


@given(st.lists(ACTS, min_size=1, max_size=3, unique_by=type), st.sampled_from([COMPANY, OTHER]))
def test_no_position_of_a_party_falls_unless_it_is_asked(acts, proposer):
    before = ISSUER.fold(COMPANY_WITH_RIGHTS)
    after = ISSUER.fold(acts, before)
    asked = {
        voter.party_id
        for consent in list_consents(Setting(before, COMPANY, acts, NOW), proposer)
        if consent.electorate.startswith("holder/")
        for voter in consent.voters
    }
    left = count(after)
    fallen = {key[0] for key, shares in count(before).items() if left.get(key, 0) < shares}
    assert fallen - {proposer} <= asked


@given(st.integers(0, 9), st.integers(1, 100), st.sampled_from([8_000, 99_900]))
def test_a_consolidation_that_takes_shares_asks_unless_it_pays_a_fair_price_for_a_thousandth(price, shares, others):
    before = ISSUER.fold((*GIVEN, issue(FOUNDER, others, number=77), VALUED))
    acts = [repurchase(FUND, shares, price, cause=SPLIT.split_id), SPLIT]
    asked = {consent.electorate for consent in list_consents(Setting(before, COMPANY, acts, NOW), COMPANY)}
    is_fair = price >= 3 and shares * 1_000 <= before.classes["common"].shares_outstanding
    assert (f"holder/{FUND}" in asked) is not is_fair


VOTERS = [id_of("pty", number) for number in range(1, 5)]
ELECTORATES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(VOTERS), st.integers(1, 10), min_size=1),
        st.sampled_from([None, usd("0.6"), usd(1)]),
    ),
    min_size=1,
    max_size=3,
)
VOTES = st.lists(st.tuples(st.sampled_from(["agree", "refuse", "withdraw"]), st.sampled_from(VOTERS)), max_size=12)
UNTIL = NOW + timedelta(days=14)


def build_vote(kind, party_id):
    named = {"proposal_id": id_of("prp", 1), "party_id": party_id, "at": NOW}
    if kind == "agree":
        return AgreeToProposal(**named)
    return (RefuseProposal if kind == "refuse" else WithdrawConsent)(**named, reason="no")


@given(ELECTORATES, VOTES, st.booleans())
def test_a_proposal_takes_effect_only_after_enough_agreed_in_time(electorates, votes, late):
    consents = tuple(
        Consent(
            electorate=f"class/c{number}",
            right="issue",
            voters=tuple(Voter(party_id=party_id, weight=weight) for party_id, weight in sorted(weights.items())),
            share_needed=share,
        )
        for number, (weights, share) in enumerate(electorates)
    )
    make = MakeProposal(
        proposal_id=id_of("prp", 1),
        issuer_id=ISSUER_ID,
        proposer_id=OTHER,
        split_ratio="1/1",
        proposed_at=NOW,
        effects=(),
        consents=consents,
        decide_until=UNTIL,
    )
    state = PROPOSAL.fold(PROPOSAL.decide(make, None))
    agreed = set()
    for kind, party_id in votes:
        try:
            decided = PROPOSAL.decide(build_vote(kind, party_id), state)
        except Refusal:
            continue
        state = PROPOSAL.fold(decided, state)
        agreed = agreed | {party_id} if kind == "agree" else agreed - {party_id}
    enough = all(
        Fraction(sum(weight for party_id, weight in weights.items() if party_id in agreed), sum(weights.values()))
        >= (Fraction(share) if share is not None else Fraction(1, 2))
        and (share is not None or 2 * sum(w for p, w in weights.items() if p in agreed) > sum(weights.values()))
        for weights, share in electorates
    )
    at = UNTIL if late else NOW
    try:
        effect = PROPOSAL.decide(CarryOutProposal(proposal_id=id_of("prp", 1), at=at), state)
    except Refusal:
        effect = ()
    assert bool(effect) is (enough and not late and state.status == "open")
