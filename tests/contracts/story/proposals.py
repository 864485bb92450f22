"""Two proposals on Quillwork's book: one that its company agrees to and that takes effect, one that is refused."""

from datetime import datetime, timedelta

from events.issuer import IssuerStakeholderAdded
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
from events.registry import get_tag, render_body
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import QUILLWORK, TIDEWATER, at
from tests.contracts.story.teller import Teller

_AGREED, _REFUSED = name("prp", "a new stakeholder"), name("prp", "another stakeholder")


def tell_proposals(teller: Teller) -> None:
    """Propose twice, as a fund; the company agrees to one and refuses the other."""
    heir = IssuerStakeholderAdded(
        issuer_id=QUILLWORK_ISSUER, holder_id=name("stk", "Tidewater's heir"), name="Tidewater II LP", kind="investor"
    )
    teller.tell("2031-02-01T09:00", TIDEWATER, _propose(_AGREED, heir, "2031-02-01T09:00"))
    teller.tell(
        "2031-02-02T09:00",
        QUILLWORK,
        ProposalAgreed(proposal_id=_AGREED, party_id=QUILLWORK),
        ProposalCarriedOut(proposal_id=_AGREED),
        heir,
    )
    other = IssuerStakeholderAdded(
        issuer_id=QUILLWORK_ISSUER, holder_id=name("stk", "a stranger"), name="A stranger", kind="other"
    )
    teller.tell("2031-02-03T09:00", TIDEWATER, _propose(_REFUSED, other, "2031-02-03T09:00"))
    teller.tell("2031-02-04T09:00", QUILLWORK, ProposalAgreed(proposal_id=_REFUSED, party_id=QUILLWORK))
    teller.tell(
        "2031-02-04T10:00",
        QUILLWORK,
        ProposalConsentWithdrawn(proposal_id=_REFUSED, party_id=QUILLWORK, reason="we do not know who that is"),
    )
    teller.tell(
        "2031-02-05T09:00",
        QUILLWORK,
        ProposalRefused(proposal_id=_REFUSED, party_id=QUILLWORK, reason="nobody could say who that is"),
        ProposalEnded(proposal_id=_REFUSED, outcome="refused", reason="company can no longer agree"),
    )


def _propose(proposal_id: str, event: IssuerStakeholderAdded, when: str) -> ProposalMade:
    proposed_at: datetime = at(when)
    return ProposalMade(
        proposal_id=proposal_id,
        issuer_id=QUILLWORK_ISSUER,
        proposer_id=TIDEWATER,
        split_ratio="1/1",
        proposed_at=proposed_at,
        effects=(
            ProposedEvent(aggregate_id=QUILLWORK_ISSUER, type=get_tag(event), body_json=render_body(event).decode()),
        ),
        consents=(Consent(electorate="company", right="company_act", voters=(Voter(party_id=QUILLWORK, weight=1),)),),
        decide_until=proposed_at + timedelta(days=14),
    )
