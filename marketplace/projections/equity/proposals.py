"""Proposals with their votes, and which party may see which."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Index, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from events import proposal
from events.proposal import Consent, ProposedEvent
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, find_one, load_all, load_window, narrow
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.equity import ProposalView, VoteView

_SIGNED: Final = "instrument.issued.v1"
_RECEIVED: Final = {
    _SIGNED: "holder_id",
    "issuer.stock_issued.v1": "holder_id",
    "issuer.stock_transferred.v1": "holder_id_after",
    "issuer.first_refusal_exercised.v1": "holder_id",
    "issuer.warrant_issued.v1": "holder_id",
    "issuer.warrant_transferred.v1": "holder_id_after",
}
"""The member of an event that names who gets stock, or a right to it, which may cost money."""
proposals: Final = define(
    "proposals",
    text("proposal_id", key=True),
    text("issuer_id"),
    text("proposer_id"),
    text("status"),
    document("effects"),
    document("consents"),
    instant("proposed_at"),
    instant("decide_until"),
    text("reason", null=True),
    Index("ix_proposals_issuer", "issuer_id", "proposal_id"),
    Index("ix_proposals_proposer", "proposer_id", "proposal_id"),
    origin=Origin("proposal", "proposal_id"),
)
proposal_votes: Final = define(
    "proposal_votes",
    text("proposal_id", key=True),
    text("party_id", key=True),
    text("vote"),
    text("reason", null=True),
    Index("ix_proposal_votes_party", "party_id", "proposal_id"),
    origin=Origin("proposal", "proposal_id"),
)


def list_investors(effects: Iterable[ProposedEvent]) -> set[str]:
    """Return the holders of the instruments that these effects sign. Who is not asked agrees by its mandate."""
    signed = (each.body_json for each in effects if each.type == _SIGNED)
    return {msgspec.json.decode(body)["holder_id"] for body in signed}


def _made(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalMade) -> None:
    changes.put(
        proposals,
        proposal_id=event.proposal_id,
        issuer_id=event.issuer_id,
        proposer_id=event.proposer_id,
        status="open",
        effects=event.effects,
        consents=event.consents,
        proposed_at=event.proposed_at,
        decide_until=event.decide_until,
    )
    asked = {voter.party_id for consent in event.consents for voter in consent.voters}
    for party_id in sorted(asked):
        vote = "agreed" if party_id == event.proposer_id else "asked"
        changes.put(proposal_votes, proposal_id=event.proposal_id, party_id=party_id, vote=vote)
    for party_id in sorted(list_investors(event.effects) - asked):
        changes.put(proposal_votes, proposal_id=event.proposal_id, party_id=party_id, vote="mandated")


def _agreed(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalAgreed) -> None:
    changes.update(proposal_votes, event.proposal_id, event.party_id, vote="agreed", reason=None)


def _withdrawn(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalConsentWithdrawn) -> None:
    changes.update(proposal_votes, event.proposal_id, event.party_id, vote="withdrawn", reason=event.reason)


def _refused(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalRefused) -> None:
    changes.update(proposal_votes, event.proposal_id, event.party_id, vote="refused", reason=event.reason)


def _carried_out(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalCarriedOut) -> None:
    changes.update(proposals, event.proposal_id, status="effective")


def _ended(changes: WriteBatch, _: RecordedEvent, event: proposal.ProposalEnded) -> None:
    changes.update(proposals, event.proposal_id, status=event.outcome, reason=event.reason)


PROJECTION: Final = Projection(
    name="proposals",
    version=5,
    tables=(proposals, proposal_votes),
    reads=("proposal",),
    handlers={
        proposal.ProposalMade: _made,
        proposal.ProposalAgreed: _agreed,
        proposal.ProposalConsentWithdrawn: _withdrawn,
        proposal.ProposalRefused: _refused,
        proposal.ProposalCarriedOut: _carried_out,
        proposal.ProposalEnded: _ended,
    },
)


class _Proposed(msgspec.Struct, frozen=True, kw_only=True):
    proposal_id: str
    issuer_id: str
    proposer_id: str
    status: str
    effects: tuple[ProposedEvent, ...]
    consents: tuple[Consent, ...]
    proposed_at: datetime
    decide_until: datetime
    reason: str | None
    last_sequence: int


class _Vote(msgspec.Struct, frozen=True, kw_only=True):
    proposal_id: str
    party_id: str
    vote: str
    reason: str | None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    proposer_id: str
    consents: tuple[Consent, ...]
    effects: tuple[ProposedEvent, ...]


class Concerned(NamedTuple):
    """Whose proposals to list: those that a party made, votes on, or that concern its own issuer."""

    party_id: str
    issuer_id: str


async def find_proposal(connection: AsyncConnection, proposal_id: str) -> ProposalView | None:
    """Return a proposal with its votes, or None."""
    found = await find_one(connection, select(proposals).where(proposals.c.proposal_id == proposal_id), _Proposed)
    return None if found is None else (await _add_votes(connection, [found]))[0]


async def list_selling(connection: AsyncConnection, issuer_id: str, party_id: str) -> set[str]:
    """Return who proposed the open proposals by which a party would get stock of an issuer, or rights to stock."""
    theirs = select(proposal_votes.c.proposal_id).where(proposal_votes.c.party_id == party_id)
    query = select(proposals.c.proposer_id, proposals.c.consents, proposals.c.effects).where(
        proposals.c.issuer_id == issuer_id, proposals.c.status == "open", proposals.c.proposal_id.in_(theirs)
    )
    asked = await load_all(connection, query, _Asked)
    return {each.proposer_id for each in asked if _signs_round(each, party_id) or _receives(each, party_id)}


def _signs_round(asked: _Asked, party_id: str) -> bool:
    signed = (each for each in asked.consents if each.right == "round")
    return any(voter.party_id == party_id for each in signed for voter in each.voters)


def _receives(asked: _Asked, party_id: str) -> bool:
    given = ((_RECEIVED.get(each.type), each.body_json) for each in asked.effects)
    return any(member and msgspec.json.decode(body)[member] == party_id for member, body in given)


async def list_proposals(
    connection: AsyncConnection,
    *,
    concerned: Concerned | None = None,
    issuer_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[ProposalView]:
    """Return proposals, optionally those that concern a party, of one issuer or of statuses."""
    query = narrow(select(proposals), ((proposals.c.issuer_id, issuer_id), (proposals.c.status, status)))
    if concerned is not None:
        theirs = union(
            select(proposals.c.proposal_id).where(proposals.c.proposer_id == concerned.party_id),
            select(proposals.c.proposal_id).where(proposals.c.issuer_id == concerned.issuer_id),
            select(proposal_votes.c.proposal_id).where(proposal_votes.c.party_id == concerned.party_id),
        )
        query = query.where(proposals.c.proposal_id.in_(theirs))
    found = await load_window(connection, query, _Proposed, window, proposals.c.proposal_id, proposals.c.proposed_at)
    rows = Rows(await _add_votes(connection, found))
    rows.total = found.total
    return rows


async def _add_votes(connection: AsyncConnection, found: list[_Proposed]) -> list[ProposalView]:
    ids = [one.proposal_id for one in found]
    query = select(proposal_votes).where(proposal_votes.c.proposal_id.in_(ids)).order_by(proposal_votes.c.party_id)
    votes: dict[str, list[VoteView]] = {}
    for vote in await load_all(connection, query, _Vote):
        view = VoteView(party_id=vote.party_id, vote=vote.vote, reason=vote.reason)
        votes.setdefault(vote.proposal_id, []).append(view)
    return [ProposalView(**msgspec.structs.asdict(one), votes=tuple(votes.get(one.proposal_id, ()))) for one in found]
