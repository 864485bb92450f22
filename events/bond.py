"""Bonds: money that a provider sets apart, and what startups claim from it when capacity is not delivered."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Event, GpuSeconds, Id, Instant, Text, Usd

Remedy = Literal["replacement", "damages", "make_whole", "broken_match"]
Outcome = Literal["conceded", "contested", "lapsed", "decided", "undecided", "lowered"]
"""What a claim is for.

``replacement``: what capacity bought instead costs more; ``damages``: a share of the price of hours that failed;
``make_whole``: a share of the price of what an early end leaves undelivered;
``broken_match``: what a match costs that became no grant, because its provider no longer had the capacity. It is paid
after the others, from a bond at most a tenth of its money.
"""
REPLACEMENTS_MAX = 8
LOTS_MAX = 1_000


class HolderPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder of equity, or a reseller, gets of a claim, because its money pays a part of the price.

    Attributes:
        party_id: The holder, or the reseller.
        account_id: Which account is paid.
        amount_usd: Its part of what is claimed; it gets the same share of what is paid.
    """

    party_id: Id
    account_id: Id
    amount_usd: Usd


class ClaimItem(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a claim.

    Attributes:
        remedy: What it is for.
        gpu_seconds: The undelivered GPU-seconds that it covers. No two parts cover the same ones.
        amount_usd: What it comes to.
        replacement_id: The grant that was bought instead; None for the other remedies.
    """

    remedy: Remedy
    gpu_seconds: GpuSeconds
    amount_usd: Usd
    replacement_id: Id | None = None


class BondPosted(Event, frozen=True, kw_only=True, tag="bond.posted.v1"):
    """A provider set money apart for those to whom it does not deliver. The money is held on its account.

    Attributes:
        bond_id: The bond of the provider.
        party_id: The provider.
        account_id: Whose money it is.
        posting_id: This posting, which counts once.
        lot_id: The lot whose grants it covers; None: all of the provider's.
        hold_id: The hold on the account.
        amount_usd: How much more.
        stands_until: It is not released before; claims may be made for 30 days after that. The money for a lot that
            is withdrawn stands until the last grant of the lot is over.
    """

    bond_id: Id
    party_id: Id
    account_id: Id
    posting_id: Id
    lot_id: Id | None
    hold_id: Id
    amount_usd: Usd
    stands_until: Instant


class BondClaimed(Event, frozen=True, kw_only=True, tag="bond.claimed.v1"):
    """A payer of a grant claims what the schedule grants for undelivered hours. The amount follows from the log alone.

    Attributes:
        bond_id: The bond.
        party_id: The provider.
        claim_id: The claim: of one statement period of a grant, or of its early ends since the last such claim. The
            market claims for the startup of an order whose match its provider broke after the lock.
        startup_id: The startup that pays for the grant.
        startup_account_id: Which account is paid, except for the parts of holders.
        grant_id: What was not delivered; of a broken match, the grant that was not issued.
        statement_id: The statement of the period; None: what the early end of the grant leaves undelivered.
        lot_ids: The lots that carry the grant; their bonds pay first, then the one for all of the provider's grants.
        items: Its parts, in the order of the remedies.
        credited_usd: What was credited or paid for the same hours already; the claim is less by it.
        amount_usd: What is claimed.
        made_at: When it was made.
        answer_until: The provider may answer until then; silence concedes the claim. Nothing is paid before.
        holders: The parts of others than the startup: of hours without a replacement, what the grant's holder and its
            reseller bear of their price; of a replacement, what its holder bears.
        holder_id: The holder of the grant's equity that bears a part of its price, or else the reseller that adds to
            it; None: nobody does.
        reach_usd: The most that the seller of resold hours may still owe for them: what it posted and earned by their
            resale. None: the claim is against the provider, without a limit.
        by: Who claims. The holder may once the startup has not, in the last days of the time to claim.
    """

    bond_id: Id
    party_id: Id
    claim_id: Id
    startup_id: Id
    startup_account_id: Id
    grant_id: Id
    statement_id: Id | None
    lot_ids: Annotated[tuple[Id, ...], Meta(max_length=LOTS_MAX)]
    items: Annotated[tuple[ClaimItem, ...], Meta(max_length=REPLACEMENTS_MAX + 1)]
    credited_usd: Usd
    amount_usd: Usd
    made_at: Instant
    answer_until: Instant
    holders: Annotated[tuple[HolderPart, ...], Meta(max_length=REPLACEMENTS_MAX + 2)] = ()
    holder_id: Id | None = None
    reach_usd: Usd | None = None
    by: Literal["startup", "holder"] = "startup"


class BondAnswered(Event, frozen=True, kw_only=True, tag="bond.answered.v1"):
    """A claim was answered.

    Attributes:
        bond_id: The bond.
        party_id: The provider.
        claim_id: The claim.
        startup_id: The startup that pays for the grant.
        holder_id: The holder of the grant's equity that bears a part of its price, or else the reseller that adds to
            it; None: nobody does.
        outcome: ``conceded`` or ``contested`` by the provider, ``lapsed`` by its silence, ``decided`` by the platform,
            or ``undecided`` by its silence: the middle of what is claimed and conceded; ``lowered``, once it was
            settled, by what a replacement charges less, or the hours themselves are charged, since.
        amount_usd: What is owed in all: what is conceded or decided. It is less than the claim
            if readings, outages or credits changed since.
        reason: Why.
        decide_until: The platform may decide a contested claim until then; None for the other outcomes.
    """

    bond_id: Id
    party_id: Id
    claim_id: Id
    startup_id: Id
    outcome: Outcome
    amount_usd: Usd
    reason: Text
    decide_until: Instant | None = None
    holder_id: Id | None = None


class BondPaid(Event, frozen=True, kw_only=True, tag="bond.paid.v1"):
    """A claim was paid, in full or in part, from the bond or else by its provider; the payment is in the same batch.

    Attributes:
        bond_id: The bond.
        party_id: The provider.
        claim_id: The claim.
        startup_id: The startup that pays for the grant.
        holder_id: The holder of equity, or the reseller, whose part is paid; None: the startup is paid.
        lot_id: The lot whose bond pays; None: the one for all of the provider's grants, or the provider itself.
        hold_id: The hold that pays; None: the money that the provider has available, which was kept for the claim.
        grant_id: What was not delivered.
        payee_account_id: Which account is paid.
        payment_id: The cause of the payment.
        amount_usd: How much.
        owed_usd: What is still owed, and paid once there is more.
    """

    bond_id: Id
    party_id: Id
    claim_id: Id
    startup_id: Id
    holder_id: Id | None = None
    lot_id: Id | None
    hold_id: Id | None
    grant_id: Id
    payee_account_id: Id
    payment_id: Id
    amount_usd: Usd
    owed_usd: Usd


class BondReturned(Event, frozen=True, kw_only=True, tag="bond.returned.v1"):
    """A payee of a claim returns what it got too much; paid in the same batch.

    A replacement charges less, or hours that were not metered are charged after all.

    Attributes:
        bond_id: The bond.
        party_id: The provider, which gets it.
        claim_id: The claim.
        startup_id: The startup that pays for the grant.
        holder_id: The holder of equity that returns its part; None: the startup does.
        grant_id: What was not delivered.
        replacement_id: The replacement of which less is charged now; None: the hours themselves are charged.
        payer_account_id: Which account pays: from the credit that it got, or from what was set aside for it; of hours
            that are charged, from what it has.
        payee_account_id: Which account is paid.
        payment_id: The cause of the payment.
        amount_usd: How much.
    """

    bond_id: Id
    party_id: Id
    claim_id: Id
    startup_id: Id
    holder_id: Id | None = None
    grant_id: Id
    replacement_id: Id | None = None
    payer_account_id: Id
    payee_account_id: Id
    payment_id: Id
    amount_usd: Usd


class BondReleased(Event, frozen=True, kw_only=True, tag="bond.released.v1"):
    """A bond's money is its provider's again.

    Attributes:
        bond_id: The bond.
        party_id: The provider.
        lot_id: The lot whose bond it was; None: the one for all of the provider's grants.
        hold_id: The hold that is released.
        amount_usd: How much.
    """

    bond_id: Id
    party_id: Id
    lot_id: Id | None
    hold_id: Id
    amount_usd: Usd


BondEvent = BondPosted | BondClaimed | BondAnswered | BondPaid | BondReturned | BondReleased
