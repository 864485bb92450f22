"""Issuers: a startup's capitalisation, every act that changed it, its financings and its sale.

Stock is in `issuer_stock`, options and warrants in `issuer_rights`, what warrants are measured by in
`issuer_programmes`, the dilution limit in `issuer_dilution`, terms with holders in `issuer_holders`, and imports in
`issuer_import`. All are named here too.
"""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from events import issuer_import
from events.financing import (
    Approval,
    AssumedGrants,
    LaterPrincipal,
    Payout,
    RoundPricing,
    RoundTerms,
    Waterfall,
)
from events.issuer_dilution import IssuerDilutionLimited, IssuerExposureRecorded
from events.issuer_holders import IssuerHolderTermsAgreed, IssuerProRataAnswered, ProRataOffer, StatedAgreement
from events.issuer_programmes import (
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerPurchasesStated,
)
from events.issuer_rights import (
    IssuerMilestoneAttested,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantTransferred,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.issuer_stock import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
)
from events.types import Country, Event, Id, Instant, Name, PrincipalTerms, Ratio, StakeholderKind, Text, Usd

__all__ = [
    "IssuerAuthorisedSharesAdjusted",
    "IssuerConversionPriceAdjusted",
    "IssuerDilutionLimited",
    "IssuerDistributionPaid",
    "IssuerEvent",
    "IssuerExposureRecorded",
    "IssuerFinancingAbandoned",
    "IssuerFinancingClosed",
    "IssuerFinancingOpened",
    "IssuerFinancingPriced",
    "IssuerFirstRefusalExercised",
    "IssuerFirstRefusalWaived",
    "IssuerFormed",
    "IssuerHolderTermsAgreed",
    "IssuerImported",
    "IssuerInstrumentSigned",
    "IssuerLiquidityDeclared",
    "IssuerLiquidityWithdrawn",
    "IssuerMilestoneAttested",
    "IssuerOptionCancelled",
    "IssuerOptionExercised",
    "IssuerOptionGranted",
    "IssuerOptionPromiseWithdrawn",
    "IssuerOptionPromised",
    "IssuerOptionTransferred",
    "IssuerPriceCorrected",
    "IssuerPriceObserved",
    "IssuerPriceSourceNamed",
    "IssuerProRataAnswered",
    "IssuerProgrammeGrantAdded",
    "IssuerProgrammeOpened",
    "IssuerProposalCounted",
    "IssuerPurchasesStated",
    "IssuerRefusalCounted",
    "IssuerStakeholderAdded",
    "IssuerStockClassCreated",
    "IssuerStockConverted",
    "IssuerStockIssued",
    "IssuerStockOfferWithdrawn",
    "IssuerStockOffered",
    "IssuerStockPlanAdjusted",
    "IssuerStockRepurchased",
    "IssuerStockSplit",
    "IssuerStockTransferred",
    "IssuerValuationRecorded",
    "IssuerWarrantCancelled",
    "IssuerWarrantExercised",
    "IssuerWarrantExpired",
    "IssuerWarrantIssued",
    "IssuerWarrantPriced",
    "IssuerWarrantReleased",
    "IssuerWarrantTransferred",
    "IssuerWarrantVested",
    "IssuerWarrantVestingReversed",
]


class IssuerFormed(Event, frozen=True, kw_only=True, tag="issuer.formed.v1"):
    """A startup's capitalisation begins.

    Attributes:
        issuer_id: The issuer.
        party_id: The startup.
        legal_name: Its name.
        jurisdiction: Country of incorporation.
        formed_on: Day of formation.
    """

    issuer_id: Id
    party_id: Id
    legal_name: Name
    jurisdiction: Country
    formed_on: date


class IssuerStakeholderAdded(Event, frozen=True, kw_only=True, tag="issuer.stakeholder_added.v1"):
    """Someone may hold securities of the issuer.

    Attributes:
        issuer_id: The issuer.
        holder_id: The stakeholder; a party's own id where it is a party.
        name: What the cap table shows.
        kind: What it is.
    """

    issuer_id: Id
    holder_id: Id
    name: Name
    kind: StakeholderKind


class IssuerInstrumentSigned(Event, frozen=True, kw_only=True, tag="issuer.instrument_signed.v1"):
    """An instrument that may become equity of the issuer was signed. Every financing and sale must consider it.

    Attributes:
        issuer_id: The issuer.
        instrument_id: The instrument.
        holder_id: Who holds it.
        commitment_usd: The most principal that can ever accrue.
        terms: Its terms, version 1.
        split_ratio: The split factor when a price per share in them was agreed; None: now.
        invested_on: The day on which all of it was paid in cash, without compute; None: it accrues, or an import.
    """

    issuer_id: Id
    instrument_id: Id
    holder_id: Id
    commitment_usd: Usd
    terms: PrincipalTerms
    split_ratio: Ratio | None = None
    invested_on: date | None = None


class IssuerFinancingOpened(Event, frozen=True, kw_only=True, tag="issuer.financing_opened.v1"):
    """A priced round began; no other may begin before it is closed.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        name: What it is called, for example ``Series A``.
        terms: Its terms.
        pro_rata: What holders may buy of the round by their right, besides the investments of the terms.
        pro_rata_until: Until when they may. Silence declines.
        closing_days: For how many days after its pricing it may close at that price.
        open_until: Until when it may be priced. Then it ends, once no price lets it close any more; None: an import.
    """

    issuer_id: Id
    financing_id: Id
    name: Name
    terms: RoundTerms
    pro_rata: Annotated[tuple[ProRataOffer, ...], Meta(max_length=50)] = ()
    pro_rata_until: Instant | None = None
    closing_days: Annotated[int, Meta(ge=1, le=92)] = 30
    open_until: Instant | None = None


class IssuerFinancingPriced(Event, frozen=True, kw_only=True, tag="issuer.financing_priced.v1"):
    """The round has a price and every instrument its shares; pricing again replaces it.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        pricing: Inputs, results, certificate.
        close_until: Until when the round may close at this price; None: an import, which does not tell.
        pro_rata: All offers of the round, if holders that joined since are offered their part now; empty: as before.
    """

    issuer_id: Id
    financing_id: Id
    pricing: RoundPricing
    close_until: Instant | None = None
    pro_rata: Annotated[tuple[ProRataOffer, ...], Meta(max_length=50)] = ()


class IssuerFinancingClosed(Event, frozen=True, kw_only=True, tag="issuer.financing_closed.v1"):
    """The money is in and the shares are issued.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        approval: The paper behind it.
    """

    issuer_id: Id
    financing_id: Id
    approval: Approval


class IssuerFinancingAbandoned(Event, frozen=True, kw_only=True, tag="issuer.financing_abandoned.v1"):
    """The round will not close. The capitalisation is unchanged.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        reason: Why.
    """

    issuer_id: Id
    financing_id: Id
    reason: Text


class IssuerValuationRecorded(Event, frozen=True, kw_only=True, tag="issuer.valuation_recorded.v1"):
    """Someone valued the common stock.

    Attributes:
        issuer_id: The issuer.
        price_usd_per_share: Value of one common share.
        method: How, for example ``409A``.
        effective_on: From which day.
        recorded_by: Who recorded it: the company about itself, or the platform.
    """

    issuer_id: Id
    price_usd_per_share: Usd
    method: Name
    effective_on: date
    recorded_by: Literal["company", "platform"] = "company"


class IssuerLiquidityDeclared(Event, frozen=True, kw_only=True, tag="issuer.liquidity_declared.v1"):
    """The issuer is acquired. The waterfall states what each holder gets.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        kind: Whether it is paid in cash or in the buyer's stock.
        waterfall: Inputs, payouts, certificate.
        pay_until: Until when the proceeds may be paid. The sale ends if they are not.
        agreed: Stockholders that are not parties here and agreed, as the company states; they count in a drag-along.
        replaces: The unpaid sale that was declared before; None: there was none. A proposal of a sale is void once
            another one was declared.
        assumed: The capacity that a buyer which is here takes over; None: all that is paid for in equity ends.
    """

    issuer_id: Id
    liquidity_id: Id
    kind: Literal["acquisition", "stock_acquisition"]
    waterfall: Waterfall
    pay_until: Instant
    agreed: Annotated[tuple[StatedAgreement, ...], Meta(max_length=500)] = ()
    replaces: Id | None = None
    assumed: AssumedGrants | None = None


class IssuerLiquidityWithdrawn(Event, frozen=True, kw_only=True, tag="issuer.liquidity_withdrawn.v1"):
    """A declared sale ends unpaid. The issuer continues.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        cause: ``agreed`` by the company and its security holders; ``overdue``: not paid in time.
        reason: Why.
    """

    issuer_id: Id
    liquidity_id: Id
    cause: Literal["agreed", "overdue"]
    reason: Text


class IssuerDistributionPaid(Event, frozen=True, kw_only=True, tag="issuer.distribution_paid.v1"):
    """The proceeds were paid out; the issuer has ended.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        amount_usd: Dollars that were paid in all; in a sale for stock, those for fractions of a share.
        payouts: Who was paid what, where that differs from the declared waterfall, because stock changed hands, a
            warrant was exercised or principal was reversed since; None: as declared.
        later: Principal that accrued after the declaration, and was paid in cash beside the proceeds.
    """

    issuer_id: Id
    liquidity_id: Id
    amount_usd: Usd
    payouts: tuple[Payout, ...] | None = None
    later: tuple[LaterPrincipal, ...] = ()


class IssuerProposalCounted(Event, frozen=True, kw_only=True, tag="issuer.proposal_counted.v1"):
    """A party proposed an act on the issuer; the number of its proposals is limited.

    Attributes:
        issuer_id: The issuer.
        proposal_id: The proposal.
        proposer_id: Who made it.
        proposed_at: When.
        concludes: Whether it closes a round, or declares or withdraws a sale. These are counted by themselves.
    """

    issuer_id: Id
    proposal_id: Id
    proposer_id: Id
    proposed_at: Instant
    concludes: bool = False


class IssuerRefusalCounted(Event, frozen=True, kw_only=True, tag="issuer.refusal_counted.v1"):
    """An investor refused that others get stock or rights to it without a round, or took its refusal back.

    Attributes:
        issuer_id: The issuer.
        proposal_id: What it refused.
        party_id: The investor.
        refused_at: When.
        stands: Whether it stands for 180 days; false: it is taken back.
    """

    issuer_id: Id
    proposal_id: Id
    party_id: Id
    refused_at: Instant
    stands: bool = True


IssuerImported = issuer_import.IssuerImported
IssuerEvent = (
    IssuerFormed
    | IssuerStakeholderAdded
    | IssuerStockClassCreated
    | IssuerAuthorisedSharesAdjusted
    | IssuerStockPlanAdjusted
    | IssuerStockIssued
    | IssuerStockOffered
    | IssuerFirstRefusalWaived
    | IssuerFirstRefusalExercised
    | IssuerStockOfferWithdrawn
    | IssuerStockTransferred
    | IssuerStockRepurchased
    | IssuerStockSplit
    | IssuerStockConverted
    | IssuerConversionPriceAdjusted
    | IssuerOptionPromised
    | IssuerOptionPromiseWithdrawn
    | IssuerOptionGranted
    | IssuerOptionExercised
    | IssuerOptionTransferred
    | IssuerOptionCancelled
    | IssuerWarrantIssued
    | IssuerWarrantVested
    | IssuerWarrantReleased
    | IssuerWarrantPriced
    | IssuerWarrantVestingReversed
    | IssuerWarrantTransferred
    | IssuerWarrantExercised
    | IssuerWarrantExpired
    | IssuerWarrantCancelled
    | IssuerMilestoneAttested
    | IssuerProgrammeOpened
    | IssuerProgrammeGrantAdded
    | IssuerPurchasesStated
    | IssuerPriceSourceNamed
    | IssuerPriceObserved
    | IssuerPriceCorrected
    | IssuerInstrumentSigned
    | IssuerDilutionLimited
    | IssuerExposureRecorded
    | IssuerProposalCounted
    | IssuerRefusalCounted
    | IssuerHolderTermsAgreed
    | IssuerFinancingOpened
    | IssuerProRataAnswered
    | IssuerFinancingPriced
    | IssuerFinancingClosed
    | IssuerFinancingAbandoned
    | IssuerValuationRecorded
    | IssuerLiquidityDeclared
    | IssuerLiquidityWithdrawn
    | IssuerDistributionPaid
    | IssuerImported
)
