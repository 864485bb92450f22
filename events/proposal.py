"""Proposals: acts that take effect once those whose equity, money or promises they change have agreed."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Event, Id, Instant, Ratio, Share, Text, Usd

Tag = Annotated[str, Meta(pattern=r"^[a-z_]+\.[a-z_]+\.v[0-9]+(?!\n)$", max_length=100, description="An event type")]
Electorate = Annotated[
    str,
    Meta(
        pattern=r"^[a-z_]+(/[a-z0-9][a-z0-9_-]{0,39})?(?!\n)$",
    ),
]


class ProposedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a proposal will record.

    Attributes:
        aggregate_id: The aggregate that it will belong to.
        type: Its event type.
        body_json: Its body, as it will be stored.
    """

    aggregate_id: Id
    type: Tag
    body_json: str


class Voter(msgspec.Struct, frozen=True, kw_only=True):
    """A party that is asked.

    Attributes:
        party_id: The party.
        weight: Its shares or rights, cents of principal or commitments, scaled by what they buy, or millionths of what
            investors bear; 1 where it is asked alone.
    """

    party_id: Id
    weight: Annotated[int, Meta(ge=1)]


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement that a proposal needs, of more than half of the weight of its voters unless it states a share.

    Attributes:
        electorate: Who is asked: ``holder/`` and a party, alone; ``company``; ``class/`` and a class of stock;
            ``instruments``, by their outstanding principal, and ``commitments``, by what may still be drawn, as far as
            these buy a part of the company; ``options``; ``warrants``; of a sale ``directors``, all ``holders`` whose
            share binds the rest, those of them that are parties here (``holders_here``), and of a buyer that pays in
            its stock the same groups behind ``buyer_``; ``pro_rata``: investors who may refuse what dilutes them.
            Behind ``unrelated_`` are those whom no firm relation connects with the company, where others are connected.
        right: The row of the table of rights that asks for it.
        voters: The parties, each once, by id.
        share_needed: The least share of the weight that agrees; None: more than half.
        weight_absent: Weight of holders without a key that have not agreed; the company votes for those that have.
        waived_at: From when silence agrees; None: never.
    """

    electorate: Electorate
    right: Annotated[str, Meta(pattern=r"^[a-z_]{1,40}(?!\n)$")]
    voters: tuple[Voter, ...]
    share_needed: Share | None = None
    weight_absent: Annotated[int, Meta(ge=0)] = 0
    waived_at: Instant | None = None


class ProposalMade(Event, frozen=True, kw_only=True, tag="proposal.made.v1"):
    """An act needs the agreement of others. No effect has happened yet.

    Attributes:
        proposal_id: The proposal.
        issuer_id: The issuer whose equity or promises it changes.
        proposer_id: Who proposes it. Where it is a voter too, it has agreed.
        split_ratio: The issuer's split factor when it was proposed. After another split the proposal is void, because
            it counts shares from before.
        proposed_at: When. What depends on the day, such as interest, is computed for this one.
        effects: The events that will be recorded, in order, once all who are asked have agreed.
        consents: The agreements that it needs.
        decide_until: When it lapses. Silence does not agree, except from `waived_at` on.
        company_exact: Shares and rights of the company as converted, without its unissued pool, when it was proposed;
            exact. With more of them, what is computed from the company is void; with as many or fewer, a sale or a
            closing is computed again at the last agreement.
        preference_exact: Dollars of preference of all preferred stock then, exact. With `company_exact` and
            `principal_usd` it is the ground of an act by which somebody takes a number of shares or rights: with more
            of any of them by more than a thousandth, or of `claims_exact` by a thousandth of the company, it is void.
        principal_usd: Principal and commitments of the company's instruments then, raised by their discounts, a year's
            interest and what a sale repays beyond the principal.
        claims_exact: The part of the company that they asked for then, exact: principal over its cap, and shares at a
            price over `company_exact`.
        worth_exact: The value of the company in USD, exact, at the offer's price or, where that is higher, at the
            highest cap or price of its holders then. Instruments on usual terms that value it no lower count neither
            in `principal_usd` nor in `claims_exact`, because they make the offer no worse; None: all count.
    """

    proposal_id: Id
    issuer_id: Id
    proposer_id: Id
    split_ratio: Ratio
    proposed_at: Instant
    effects: tuple[ProposedEvent, ...]
    consents: tuple[Consent, ...]
    decide_until: Instant
    company_exact: Ratio = "0/1"
    preference_exact: Ratio = "0/1"
    principal_usd: Usd = Decimal(0)
    claims_exact: Ratio = "0/1"
    worth_exact: Ratio | None = None


class ProposalAgreed(Event, frozen=True, kw_only=True, tag="proposal.agreed.v1"):
    """A voter agreed.

    Attributes:
        proposal_id: The proposal.
        party_id: The voter.
        waived_at: From when the silence of its investors agrees, if it is a buyer that pays in its stock; else None.
    """

    proposal_id: Id
    party_id: Id
    waived_at: Instant | None = None


class ProposalConsentWithdrawn(Event, frozen=True, kw_only=True, tag="proposal.consent_withdrawn.v1"):
    """A voter took its agreement back before the proposal took effect.

    Attributes:
        proposal_id: The proposal.
        party_id: The voter.
        reason: Why.
    """

    proposal_id: Id
    party_id: Id
    reason: Text


class ProposalRefused(Event, frozen=True, kw_only=True, tag="proposal.refused.v1"):
    """A voter refused.

    Attributes:
        proposal_id: The proposal.
        party_id: The voter.
        reason: Why.
    """

    proposal_id: Id
    party_id: Id
    reason: Text


class ProposalCarriedOut(Event, frozen=True, kw_only=True, tag="proposal.carried_out.v1"):
    """All needed agreements were given. The effects are in the same atomic batch.

    Attributes:
        proposal_id: The proposal.
        recomputed: Whether the effects were computed again and differ from the proposed ones, within the tolerance.
    """

    proposal_id: Id
    recomputed: bool = False


class ProposalEnded(Event, frozen=True, kw_only=True, tag="proposal.ended.v1"):
    """The proposal will not take effect.

    Attributes:
        proposal_id: The proposal.
        outcome: ``refused``: an electorate can no longer agree; ``withdrawn`` by its proposer; ``lapsed``: not all had
            agreed in time; ``void``: what it rests on changed after it was made.
        reason: Why, in a sentence.
    """

    proposal_id: Id
    outcome: Literal["refused", "withdrawn", "lapsed", "void"]
    reason: Text


ProposalEvent = (
    ProposalMade | ProposalAgreed | ProposalConsentWithdrawn | ProposalRefused | ProposalCarriedOut | ProposalEnded
)
