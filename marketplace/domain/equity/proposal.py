"""Proposals: acts that wait for the agreement of those whose equity, money or promises they change.

Subject: ``marketplace.proposal.<proposal_id>``.

Invariants:
    1. A proposal takes effect only if in each of its electorates voters of more than half of the weight, or of the
       share that it states, agree at that moment. Who might buy a part by a pro rata right, or whose service ended,
       agrees by its silence, from the instant that the electorate states, while it does not refuse: it may until the
       proposal takes effect. The investors of a buyer have `WAIVED_AFTER` from the buyer's own agreement, so that no
       stranger sets them a term.
    2. A voter speaks for itself only, and may change its mind until the proposal takes effect or ends. Who refused an
       issue, and ended the proposal by that, may still take its refusal back, so that it does not stand.
    3. A proposal takes effect or ends once, and never after its deadline.

Refusals in order: proposal_exists · effects_too_large · proposal_unknown · proposal_<status> · proposal_not_due ·
not_proposer · deadline_passed · consents_missing · not_asked · not_agreed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from events.proposal import (
    Consent,
    ProposalAgreed,
    ProposalCarriedOut,
    ProposalConsentWithdrawn,
    ProposalEnded,
    ProposalEvent,
    ProposalMade,
    ProposalRefused,
    ProposedEvent,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown
from marketplace.domain.texts import shorten

Act = Literal["agree", "refuse", "withdraw_consent", "withdraw"]
Status = Literal["open", "effective", "refused", "withdrawn", "lapsed", "void"]

DECIDE_WITHIN: Final = timedelta(days=14)
"""A proposal that waits for so long lapses. A voter who stays silent does not agree."""
WAIVED_AFTER: Final = timedelta(days=7)
"""How long an investor may refuse that others get stock without an offer of its part; then its silence waives it."""
PRO_RATA: Final = "pro_rata"
"""The electorate of those who might buy their part of what is issued."""
BUYER: Final = "buyer"
"""The electorate of a buyer's company."""
_OF_BUYER: Final = f"{BUYER}_{PRO_RATA}"
EFFECTS_BYTES_MAX: Final = 7 * 2**20
"""The largest size of a proposal's effects and consents together; with more it would not fit a message of 8 MB."""


class MakeProposal(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the agreements that an act needs.

    Attributes:
        proposal_id: The proposal.
        issuer_id: The issuer.
        proposer_id: Who proposes; it agrees by that.
        split_ratio: The issuer's split factor now.
        proposed_at: Now.
        effects: The events that it will record.
        consents: The agreements that it needs.
        decide_until: When it lapses.
        company_exact: The company's shares and rights now, as `measure_rights` counts them, as a ratio.
        preference_exact: Dollars of preference of its preferred stock now, as a ratio.
        principal_usd: Dollars for which its instruments may still become equity, as `sum_principal` counts them.
        claims_exact: Which part of the company they ask for, as `measure_claims` counts them, as a ratio.
        worth_exact: From which value of the company on, in USD, instruments count in neither, as a ratio; None: all do.
    """

    proposal_id: str
    issuer_id: str
    proposer_id: str
    split_ratio: str
    proposed_at: datetime
    effects: tuple[ProposedEvent, ...]
    consents: tuple[Consent, ...]
    decide_until: datetime
    company_exact: str = "0/1"
    preference_exact: str = "0/1"
    principal_usd: Decimal = Decimal(0)
    claims_exact: str = "0/1"
    worth_exact: str | None = None


class AgreeToProposal(msgspec.Struct, frozen=True, kw_only=True):
    """Agree, as a voter. `at` is now."""

    proposal_id: str
    party_id: str
    at: datetime


class WithdrawConsent(msgspec.Struct, frozen=True, kw_only=True):
    """Take one's agreement back, as a voter, while the proposal is open."""

    proposal_id: str
    party_id: str
    reason: str
    at: datetime


class RefuseProposal(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse, as a voter. The proposal ends once those who refuse make an agreement impossible."""

    proposal_id: str
    party_id: str
    reason: str
    at: datetime


class CarryOutProposal(msgspec.Struct, frozen=True, kw_only=True):
    """Record, in the append that holds its effects, that the proposal took effect.

    Attributes:
        proposal_id: The proposal.
        at: Now.
        covered: Whose agreement covers effects that were computed again and differ; None: they do not differ.
    """

    proposal_id: str
    at: datetime
    covered: frozenset[str] | None = None


class EndProposal(msgspec.Struct, frozen=True, kw_only=True):
    """End a proposal that will not take effect.

    Attributes:
        proposal_id: The proposal.
        outcome: ``withdrawn`` by its proposer or the platform; ``void``: the company changed since it was proposed.
        reason: Why.
        party_id: Who withdraws it; None for the platform.
    """

    proposal_id: str
    outcome: Literal["withdrawn", "void"]
    reason: str
    party_id: str | None = None


class LapseProposal(msgspec.Struct, frozen=True, kw_only=True):
    """End a proposal whose deadline has passed."""

    proposal_id: str
    at: datetime


ProposalCommand = (
    MakeProposal | AgreeToProposal | WithdrawConsent | RefuseProposal | CarryOutProposal | EndProposal | LapseProposal
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal, open or ended.

    Attributes:
        made: What is proposed, and who is asked.
        agreed: Voters that agree now, the proposer among them if it votes.
        refused: Voters that refuse now.
        silent_again: Voters that took an agreement back and have not voted since.
        status: ``open`` until it takes effect or ends.
        buyer_waived_at: From when the silence of a buyer's investors agrees; None: the buyer does not agree.
    """

    made: ProposalMade
    agreed: frozenset[str]
    refused: frozenset[str] = frozenset()
    silent_again: frozenset[str] = frozenset()
    status: Status = "open"
    buyer_waived_at: datetime | None = None

    @property
    def voters(self) -> frozenset[str]:
        """Return every party that is asked."""
        return frozenset(voter.party_id for consent in self.made.consents for voter in consent.voters)

    def list_missing(self, at: datetime, covered: frozenset[str] | None = None) -> list[Consent]:
        """Return the agreements that it still needs, if only those of `covered` count; None: all do."""
        agreed = self.agreed if covered is None else self.agreed & covered
        waived_at = self.buyer_waived_at or self.made.decide_until
        consents = [
            msgspec.structs.replace(each, waived_at=waived_at) if each.electorate == _OF_BUYER else each
            for each in self.made.consents
        ]
        return list_missing(consents, agreed, self.refused, at)

    def buys(self, party_id: str) -> bool:
        """Return whether a party is the company of a buyer."""
        return _asks(self.made.consents, BUYER, party_id)

    def counts_refusal(self, party_id: str) -> bool:
        """Return whether a refusal stands: an investor's, of what its own company proposed or agrees to."""
        return stands(self.made.consents, party_id, self.made.issuer_id, {self.made.proposer_id, *self.agreed})

    def takes_back(self, party_id: str) -> bool:
        """Return whether a party that agrees now takes back a refusal that may stand."""
        return party_id in self.refused and self.counts_refusal(party_id)

    def list_offered(self) -> frozenset[str]:
        """Return the investors that may refuse that others buy what they might buy a part of."""
        offered = (each for each in self.made.consents if each.electorate in {PRO_RATA, _OF_BUYER})
        return frozenset(voter.party_id for each in offered for voter in each.voters)

    def is_ready(self, party_id: str, at: datetime) -> bool:
        """Return whether a party made it and nobody else is missing, so that it takes effect as the party agrees."""
        return party_id == self.made.proposer_id and not self.list_missing(at)

    def find_impossible(self) -> Consent | None:
        """Return an agreement that those who refuse make impossible; None if each may still be given."""
        rest = self.voters - self.refused
        return next((each for each in self.made.consents if not has_majority(each, rest)), None)


ProposalState = Proposal | None


def stands(consents: Sequence[Consent], party_id: str, issuer_id: str, willing: Collection[str]) -> bool:
    """Return whether an investor's refusal stands, since its company is among who proposes the act or agrees.

    Its company is the issuer or, of a sale for stock, the buyer.
    """
    if any(_asks(consents, BUYER, each) for each in willing) and _asks(consents, _OF_BUYER, party_id):
        return True
    return rename_id("pty", issuer_id) in willing and _asks(consents, PRO_RATA, party_id)


def _asks(consents: Iterable[Consent], electorate: str, party_id: str) -> bool:
    asked = (each for each in consents if each.electorate == electorate)
    return any(voter.party_id == party_id for each in asked for voter in each.voters)


def list_missing(
    consents: Iterable[Consent], agreed: frozenset[str], refused: frozenset[str], at: datetime
) -> list[Consent]:
    """Return the agreements that are neither given by these parties nor by a silence that waives.

    Where silence waives, everybody has that time to answer: the needed majority overcomes a refusal, but not a silence.
    From then on who does not refuse agrees.
    """
    return [each for each in consents if not _is_given(each, agreed, refused, at)]


def _is_given(consent: Consent, agreed: frozenset[str], refused: frozenset[str], at: datetime) -> bool:
    silent = frozenset(voter.party_id for voter in consent.voters) - agreed - refused
    if consent.waived_at is None or not silent:
        return has_majority(consent, agreed)
    return at >= consent.waived_at and has_majority(consent, agreed | silent)


def has_majority(consent: Consent, parties: frozenset[str]) -> bool:
    """Return whether these parties have more than half of an electorate's weight or, if it states one, its share.

    The whole includes the weight of holders for whom nobody votes.
    """
    weight = sum(voter.weight for voter in consent.voters if voter.party_id in parties)
    whole = sum(voter.weight for voter in consent.voters) + consent.weight_absent
    return 2 * weight > whole if consent.share_needed is None else weight >= whole * Fraction(consent.share_needed)


def was_decided_with(consent: Consent, asked: Iterable[Consent]) -> bool:
    """Return whether a group of warrants arose since a proposal, out of one that it asks, as warrants vested or fell.

    Who held them had no group of its own then, and the group of which they were a part has decided.
    """
    name = consent.electorate
    other = name.replace("unvested_", "") if "unvested_" in name else name.replace("warrants", "unvested_warrants")
    voters = {
        each.electorate: {voter.party_id for voter in each.voters} for each in asked if "/" not in each.electorate
    }
    own = {voter.party_id for voter in consent.voters}
    return name not in voters and other != name and own <= voters.get(other, set())


def find_side(consent: Consent, party_id: str) -> bool | None:
    """Return whether a party votes in an electorate as a holder of the buyer, not of the company; None if it does not.

    Who is asked alone, about its own position or as the company or the buyer, does not vote. An investor that may
    refuse an issue does.
    """
    if party_id not in {voter.party_id for voter in consent.voters}:
        return None
    side = consent.electorate.removeprefix("buyer_")
    if side.startswith("holder/") or side in {"company", "buyer"}:
        return None
    return side != consent.electorate


def decide(command: ProposalCommand, state: ProposalState) -> Sequence[ProposalEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, MakeProposal):
        return _make(command, state)
    if state is None:
        raise refuse_unknown("proposal", command.proposal_id)
    if state.status != "open":
        return _decide_ended(command, state)
    if isinstance(command, LapseProposal):
        return _lapse(command, state)
    if isinstance(command, EndProposal):
        _require_proposer(command, state)
        return [_end(state, command.outcome, command.reason)]
    _require_time(command.at, state)
    if isinstance(command, CarryOutProposal):
        return _carry_out(command, state)
    if isinstance(command, AgreeToProposal) and state.is_ready(command.party_id, command.at):
        return []
    if command.party_id not in state.voters:
        raise Refusal(
            "not_asked",
            f"proposal {command.proposal_id} does not need the agreement of {command.party_id}",
            proposal_id=command.proposal_id,
            party_id=command.party_id,
        )
    return _vote(command, state)


def _make(command: MakeProposal, state: ProposalState) -> Sequence[ProposalEvent]:
    event = ProposalMade(
        proposal_id=command.proposal_id,
        issuer_id=command.issuer_id,
        proposer_id=command.proposer_id,
        split_ratio=command.split_ratio,
        proposed_at=command.proposed_at,
        effects=command.effects,
        consents=command.consents,
        decide_until=command.decide_until,
        company_exact=command.company_exact,
        preference_exact=command.preference_exact,
        principal_usd=command.principal_usd,
        claims_exact=command.claims_exact,
        worth_exact=command.worth_exact,
    )
    if state is not None:
        if state.made == event:
            return []
        raise refuse_exists("proposal", command.proposal_id)
    size = len(msgspec.json.encode((event.effects, event.consents)))
    if size > EFFECTS_BYTES_MAX:
        raise Refusal(
            "effects_too_large",
            f"the events of this act have {size:,} bytes, and a proposal stores at most {EFFECTS_BYTES_MAX:,}; ask the"
            " platform to do the act, and give it the document in which the others agree",
            bytes=size,
            bytes_max=EFFECTS_BYTES_MAX,
        )
    return [event]


def _decide_ended(command: ProposalCommand, state: Proposal) -> Sequence[ProposalEvent]:
    """Return no events if the proposal already ended as the command asks; refuse the command otherwise."""
    ended_so = isinstance(command, EndProposal) and command.outcome == state.status
    lapsed = isinstance(command, LapseProposal) and state.status == "lapsed"
    done = isinstance(command, CarryOutProposal) and state.status == "effective"
    if ended_so or lapsed or done:
        return []
    raise refuse_status("proposal", state.made.proposal_id, state.status, "open")


def _require_proposer(command: EndProposal, state: Proposal) -> None:
    if command.party_id not in {None, state.made.proposer_id}:
        raise Refusal(
            "not_proposer",
            f"proposal {command.proposal_id} may be withdrawn only by {state.made.proposer_id}, who made it; refuse it",
            proposal_id=command.proposal_id,
        )


def _lapse(command: LapseProposal, state: Proposal) -> Sequence[ProposalEvent]:
    until = state.made.decide_until
    if command.at < until:
        raise Refusal(
            "proposal_not_due",
            f"proposal {command.proposal_id} may be decided until {render_instant(until)}",
            proposal_id=command.proposal_id,
        )
    missing = ", ".join(consent.electorate for consent in state.list_missing(command.at))
    text = f"by {render_instant(until)} these had not agreed: {missing or 'its proposer, after the others'}"
    return [_end(state, "lapsed", shorten(text))]


def _require_time(at: datetime, state: Proposal) -> None:
    if at >= state.made.decide_until:
        raise Refusal(
            "deadline_passed",
            f"proposal {state.made.proposal_id} could be decided until {render_instant(state.made.decide_until)}; its"
            " proposer may propose it again",
            proposal_id=state.made.proposal_id,
        )


def _carry_out(command: CarryOutProposal, state: Proposal) -> Sequence[ProposalEvent]:
    missing = state.list_missing(command.at, command.covered)
    if missing:
        electorates = [consent.electorate for consent in missing]
        raise Refusal(
            "consents_missing",
            f"proposal {state.made.proposal_id} still needs the agreement of {', '.join(electorates)}",
            proposal_id=state.made.proposal_id,
            electorates=electorates,
        )
    return [ProposalCarriedOut(proposal_id=state.made.proposal_id, recomputed=command.covered is not None)]


def _vote(command: AgreeToProposal | WithdrawConsent | RefuseProposal, state: Proposal) -> Sequence[ProposalEvent]:
    proposal_id, party_id = command.proposal_id, command.party_id
    if isinstance(command, AgreeToProposal):
        if party_id in state.agreed:
            return []
        is_issuing = state.buys(party_id) and any(each.electorate == _OF_BUYER for each in state.made.consents)
        waived_at = command.at + WAIVED_AFTER if is_issuing else None
        return [ProposalAgreed(proposal_id=proposal_id, party_id=party_id, waived_at=waived_at)]
    if isinstance(command, WithdrawConsent):
        if party_id in state.silent_again:
            return []
        if party_id not in state.agreed:
            raise Refusal(
                "not_agreed",
                f"{party_id} has not agreed to proposal {proposal_id}, so there is nothing to take back",
                proposal_id=proposal_id,
                party_id=party_id,
            )
        return [ProposalConsentWithdrawn(proposal_id=proposal_id, party_id=party_id, reason=command.reason)]
    if party_id in state.refused:
        return []
    refused = ProposalRefused(proposal_id=proposal_id, party_id=party_id, reason=command.reason)
    after = _evolve_open(state, refused)
    impossible = after.find_impossible()
    if impossible is None:
        return [refused]
    return [refused, _end(after, "refused", f"{impossible.electorate} can no longer agree")]


def list_acts(
    status: str, decide_until: datetime, *, vote: str | None, is_proposer: bool, at: datetime, is_ready: bool = False
) -> tuple[Act, ...]:
    """Return the acts of a party that would change a proposal now.

    Args:
        status: The proposal's status.
        decide_until: When it lapses.
        vote: The party's vote: ``asked``, ``agreed``, ``refused`` or ``withdrawn``; None: it is not asked.
        is_proposer: Whether it made the proposal.
        at: Now.
        is_ready: Whether nobody is missing, so that it takes effect once its proposer agrees again.
    """
    if status != "open":
        return ()
    acts: list[Act] = []
    if vote is not None and at < decide_until:
        acts += ["agree"] if vote != "agreed" else ["withdraw_consent"]
        acts += ["refuse"] if vote != "refused" else []
    if is_ready and is_proposer and at < decide_until and "agree" not in acts:
        acts += ["agree"]
    return (*acts, "withdraw") if is_proposer else tuple(acts)


def _end(state: Proposal, outcome: Literal["refused", "withdrawn", "lapsed", "void"], reason: str) -> ProposalEnded:
    return ProposalEnded(proposal_id=state.made.proposal_id, outcome=outcome, reason=reason)


def evolve(state: ProposalState, event: ProposalEvent) -> ProposalState:
    """Return the state after an event."""
    if isinstance(event, ProposalMade):
        asked = {voter.party_id for consent in event.consents for voter in consent.voters}
        return Proposal(event, frozenset(asked & {event.proposer_id}))
    assert state is not None, "a proposal is made first"
    return _evolve_open(state, event)


def _evolve_open(state: Proposal, event: ProposalEvent) -> Proposal:
    match event:
        case ProposalAgreed() | ProposalRefused() | ProposalConsentWithdrawn():
            voter = {event.party_id}
            waived_at = event.waived_at if isinstance(event, ProposalAgreed) else None
            return replace(
                state,
                buyer_waived_at=waived_at if state.buys(event.party_id) else state.buyer_waived_at,
                agreed=state.agreed | voter if isinstance(event, ProposalAgreed) else state.agreed - voter,
                refused=state.refused | voter if isinstance(event, ProposalRefused) else state.refused - voter,
                silent_again=state.silent_again | voter
                if isinstance(event, ProposalConsentWithdrawn)
                else state.silent_again - voter,
            )
        case ProposalEnded(outcome=outcome):
            return replace(state, status=outcome)
        case _:
            return replace(state, status="effective")


PROPOSAL: Decider[ProposalCommand, ProposalEvent, ProposalState] = Decider("proposal", "prp", None, decide, evolve)
