"""Terms between a company and its holders: thresholds of a sale, drag-along, pro rata rights, and what holders see.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from events.issuer import IssuerEvent, IssuerHolderTermsAgreed, IssuerProposalCounted, IssuerRefusalCounted
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.instants import render_instant
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms, CountProposal, CountRefusal
from marketplace.domain.equity.issuer.rules import get_class, require_stakeholder
from marketplace.domain.equity.issuer.state import COUNT_WITHIN, Issuer, list_parties
from marketplace.domain.refusals import refuse_unknown

PROPOSALS_MAX: Final = 100
"""The most proposals of one party to one issuer within `COUNT_WITHIN`.

Those that close a round or sell the company are counted by themselves, so that others do not hold them up.
"""
_HALF: Final = Decimal("0.5")


def agree_terms(command: AgreeHolderTerms, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the terms; nothing if they are in force and bind every party that holds something."""
    terms = command.terms
    if terms == state.holder_terms and list_parties(state) <= state.bound:
        return []
    if terms.sale_share_needed is not None:
        _require_majority(terms.sale_share_needed, "/terms/sale_share_needed")
    if terms.drag_along is not None:
        _require_majority(terms.drag_along.share_needed, "/terms/drag_along/share_needed")
    for class_id in (*(terms.drag_along.classes if terms.drag_along else ()), *terms.depths):
        get_class(state, class_id)
    for name in ("directors", "pro_rata", "pro_rata_waived"):
        named: tuple[str, ...] = getattr(terms, name)
        if len(set(named)) < len(named):
            raise Refusal("party_repeated", f"{name} names a party twice; name each once", pointer=f"/terms/{name}")
    outside = next((director_id for director_id in terms.directors if not is_id(director_id, "pty")), None)
    if outside is not None:
        raise refuse_unknown("party", outside)
    for name in ("pro_rata", "pro_rata_waived"):
        for index, holder_id in enumerate(getattr(terms, name)):
            require_stakeholder(state, holder_id, f"/terms/{name}/{index}")
    bound = tuple(sorted(list_parties(state)))
    return [IssuerHolderTermsAgreed(issuer_id=command.issuer_id, terms=terms, approval=command.approval, bound=bound)]


def count_proposal(command: CountProposal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the count of a proposal; nothing if it is recorded."""
    if command.proposal_id in state.proposals:
        return []
    since = command.at - COUNT_WITHIN
    like = (command.proposer_id, command.concludes)
    own = [
        at for proposer_id, at, concludes in state.proposals.values() if (proposer_id, concludes) == like and at > since
    ]
    if len(own) >= PROPOSALS_MAX:
        due = min(own) + COUNT_WITHIN
        raise Refusal(
            "proposals_too_many",
            f"{command.proposer_id} made {len(own)} proposals to {command.issuer_id} in {COUNT_WITHIN.days} days; it"
            f" may make the next one at {render_instant(due)}",
            proposals_max=PROPOSALS_MAX,
            due=render_instant(due),
        )
    return [
        IssuerProposalCounted(
            issuer_id=command.issuer_id,
            proposal_id=command.proposal_id,
            proposer_id=command.proposer_id,
            proposed_at=command.at,
            concludes=command.concludes,
        )
    ]


def count_refusal(command: CountRefusal, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the count of a refusal, or its end; nothing if that is recorded, or the company was sold."""
    is_counted = command.proposal_id in state.refusals.get(command.party_id, ())
    if state.is_ended or is_counted == command.stands:
        return []
    return [
        IssuerRefusalCounted(
            issuer_id=command.issuer_id,
            proposal_id=command.proposal_id,
            party_id=command.party_id,
            refused_at=command.at,
            stands=command.stands,
        )
    ]


def _require_majority(share: Decimal, pointer: str) -> None:
    if not _HALF < share <= 1:
        raise Refusal(
            "share_not_majority",
            f"{pointer} is {share}; state a share above 0.5, up to 1",
            pointer=pointer,
            share=str(share),
        )
