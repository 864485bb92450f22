"""Last chapter: what Quillwork and its holders agree on, and a round that a holder may join."""

from decimal import Decimal

from events.financing import Approval
from events.issuer import (
    IssuerFinancingAbandoned,
    IssuerFinancingOpened,
    IssuerHolderTermsAgreed,
    IssuerProposalCounted,
    IssuerProRataAnswered,
    IssuerRefusalCounted,
)
from events.issuer_holders import DragAlong, HolderTerms, ProRataOffer
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.equity import build_terms
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import QUILLWORK, TIDEWATER, at
from tests.contracts.story.teller import Teller

_OF = {"issuer_id": QUILLWORK_ISSUER}
_HEIR = name("stk", "Tidewater's heir")


def tell_holders(teller: Teller) -> None:
    """Agree on a drag-along and on pro rata rights; the heir declines its part of a round."""
    counted = IssuerProposalCounted(
        **_OF, proposal_id=name("prp", "holder terms"), proposer_id=QUILLWORK, proposed_at=at("2031-02-02T10:00")
    )
    teller.tell("2031-02-02T10:00", QUILLWORK, counted)
    terms = HolderTerms(
        sale_share_needed=Decimal("0.6"),
        directors=(TIDEWATER,),
        drag_along=DragAlong(share_needed=Decimal("0.75"), classes=("common",)),
        pro_rata=(_HEIR,),
        depths={"common": "own"},
    )
    paper = Approval(document="agreements/stockholders-2031-02.pdf")
    teller.tell("2031-02-02T11:00", QUILLWORK, IssuerHolderTermsAgreed(**_OF, terms=terms, approval=paper))
    bridge = {**_OF, "financing_id": name("fin", "Quillwork's bridge")}
    opened = IssuerFinancingOpened(
        **bridge,
        name="Bridge",
        terms=build_terms("12000000.00", "1500000.00"),
        pro_rata=(ProRataOffer(holder_id=_HEIR, amount_max_usd=Decimal("150000.00")),),
        pro_rata_until=at("2031-02-12T12:00"),
    )
    teller.tell("2031-02-02T12:00", QUILLWORK, opened)
    teller.tell("2031-02-02T13:00", QUILLWORK, IssuerProRataAnswered(**bridge, holder_id=_HEIR, amount_usd=Decimal(0)))
    teller.tell("2031-02-02T14:00", QUILLWORK, IssuerFinancingAbandoned(**bridge, reason="a buyer came"))


def tell_refusal(teller: Teller) -> None:
    """A holder refuses an issue without a round."""
    counted = IssuerRefusalCounted(
        **_OF, proposal_id=name("prp", "a cheap issue"), party_id=TIDEWATER, refused_at=at("2031-12-30T15:00")
    )
    teller.tell("2031-12-30T15:00", TIDEWATER, counted)
