"""Commands on what a company and its holders agree on: terms, and answers to pro rata offers."""

from decimal import Decimal

import msgspec

from events.financing import Approval
from events.issuer_holders import HolderTerms
from events.types import Instant


class AgreeHolderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Record terms between the company and its holders; they replace earlier ones."""

    issuer_id: str
    terms: HolderTerms
    approval: Approval


class AnswerProRata(msgspec.Struct, frozen=True, kw_only=True):
    """Take a part of a round by a pro rata right, or decline with an amount of 0."""

    issuer_id: str
    financing_id: str
    holder_id: str
    amount_usd: Decimal
    at: Instant


class CountProposal(msgspec.Struct, frozen=True, kw_only=True):
    """Count a proposal of a party toward the most that it may make, in the append that makes it.

    `concludes`: whether it closes a round, or declares or withdraws a sale; these are counted by themselves.
    """

    issuer_id: str
    proposal_id: str
    proposer_id: str
    at: Instant
    concludes: bool = False


class CountRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Count the refusal of an investor that might buy its part of an issue, in the append that refuses it.

    Or, unless it `stands`, let the investor take its refusal back.
    """

    issuer_id: str
    proposal_id: str
    party_id: str
    at: Instant
    stands: bool = True


HolderCommand = AgreeHolderTerms | AnswerProRata | CountProposal | CountRefusal
