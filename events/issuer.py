"""Issuers: a startup's capitalisation, every act that changed it, its financings and its sale."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from events import issuer_import
from events.financing import Approval, ClassId, RoundPricing, RoundTerms, Waterfall
from events.types import Country, Event, Id, Instant, Multiple, Name, Shares, Text, Usd


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
    kind: Literal["founder", "employee", "investor", "provider", "other"]


class IssuerStockClassCreated(Event, frozen=True, kw_only=True, tag="issuer.stock_class_created.v1"):
    """A class of stock exists.

    Attributes:
        issuer_id: The issuer.
        class_id: Short name of the class.
        kind: Common or preferred.
        shares_authorised: The most that may be issued.
        price_per_share_usd: Original issue price of preferred stock; None for common.
        liquidation_multiple: Preference per dollar of original issue price; None for common.
        seniority: Rank of the preference; a higher rank is paid first.
    """

    issuer_id: Id
    class_id: ClassId
    kind: Literal["common", "preferred"]
    shares_authorised: Shares
    price_per_share_usd: Usd | None = None
    liquidation_multiple: Multiple | None = None
    seniority: Annotated[int, Meta(ge=0, le=100)] = 0


class IssuerStockPlanAdjusted(Event, frozen=True, kw_only=True, tag="issuer.stock_plan_adjusted.v1"):
    """The pool for employees has a new size.

    Attributes:
        issuer_id: The issuer.
        shares_reserved: Shares of the plan in all: granted, exercised and available.
        cause: The financing that asked for it, where one did.
        approval: The paper behind it.
    """

    issuer_id: Id
    shares_reserved: Shares
    cause: Id | None = None
    approval: Approval | None = None


class IssuerStockIssued(Event, frozen=True, kw_only=True, tag="issuer.stock_issued.v1"):
    """Shares were issued.

    Attributes:
        issuer_id: The issuer.
        security_id: The new security.
        holder_id: Who holds it.
        class_id: Class of stock.
        shares: How many.
        price_usd_per_share: What was paid for one.
        cause: The financing, instrument or grant behind it, where there is one.
        approval: The paper behind it.
    """

    issuer_id: Id
    security_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    price_usd_per_share: Usd
    cause: Id | None = None
    approval: Approval | None = None


class IssuerStockTransferred(Event, frozen=True, kw_only=True, tag="issuer.stock_transferred.v1"):
    """Shares changed hands.

    Attributes:
        issuer_id: The issuer.
        holder_id: Who held them.
        holder_id_after: Who holds them now.
        class_id: Class of stock.
        shares: How many.
        approval: The paper behind it.
    """

    issuer_id: Id
    holder_id: Id
    holder_id_after: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    approval: Approval | None = None


class IssuerStockRepurchased(Event, frozen=True, kw_only=True, tag="issuer.stock_repurchased.v1"):
    """The issuer bought shares back; they are no longer outstanding.

    Attributes:
        issuer_id: The issuer.
        holder_id: Who sold.
        class_id: Class of stock.
        shares: How many.
        price_usd_per_share: What was paid for one.
        approval: The paper behind it.
    """

    issuer_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    price_usd_per_share: Usd
    approval: Approval | None = None


class IssuerStockSplit(Event, frozen=True, kw_only=True, tag="issuer.stock_split.v1"):
    """Every share, option and authorised number was multiplied.

    Attributes:
        issuer_id: The issuer.
        numerator: New shares.
        denominator: For so many old ones.
    """

    issuer_id: Id
    numerator: Annotated[int, Meta(ge=1, le=1_000_000)]
    denominator: Annotated[int, Meta(ge=1, le=1_000_000)]


class IssuerOptionGranted(Event, frozen=True, kw_only=True, tag="issuer.option_granted.v1"):
    """An option on common stock was granted from the pool.

    Attributes:
        issuer_id: The issuer.
        option_id: The option.
        holder_id: Who holds it.
        shares: How many.
        exercise_price_usd: Price of one share.
        approval: The paper behind it.
    """

    issuer_id: Id
    option_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]
    exercise_price_usd: Usd
    approval: Approval | None = None


class IssuerOptionExercised(Event, frozen=True, kw_only=True, tag="issuer.option_exercised.v1"):
    """An option became common stock, in whole or in part.

    Attributes:
        issuer_id: The issuer.
        option_id: The option.
        holder_id: Who held it.
        class_id: Class of the shares.
        shares: How many.
    """

    issuer_id: Id
    option_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]


class IssuerWarrantIssued(Event, frozen=True, kw_only=True, tag="issuer.warrant_issued.v1"):
    """A right to buy shares was issued.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        class_id: Class of the shares.
        shares: How many it buys at most.
        exercise_price_usd: Price of one share.
        expires_at: Last instant of exercise.
        approval: The paper behind it.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    exercise_price_usd: Usd
    expires_at: Instant
    approval: Approval | None = None


class IssuerWarrantExercised(Event, frozen=True, kw_only=True, tag="issuer.warrant_exercised.v1"):
    """A warrant became shares.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who held it.
        class_id: Class of the shares.
        shares: Shares issued.
        shares_surrendered: Rights given up to pay for them in a net exercise; 0 for cash.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    shares_surrendered: Shares = 0


class IssuerInstrumentSigned(Event, frozen=True, kw_only=True, tag="issuer.instrument_signed.v1"):
    """An instrument may become equity of the issuer; every financing and sale has to look at it.

    Attributes:
        issuer_id: The issuer.
        instrument_id: The instrument.
        holder_id: Who holds it.
        commitment_usd: The most principal that can ever accrue.
    """

    issuer_id: Id
    instrument_id: Id
    holder_id: Id
    commitment_usd: Usd


class IssuerFinancingOpened(Event, frozen=True, kw_only=True, tag="issuer.financing_opened.v1"):
    """A priced round began; no other may begin before it is closed.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        name: What it is called, for example ``Series A``.
        terms: Its terms.
    """

    issuer_id: Id
    financing_id: Id
    name: Name
    terms: RoundTerms


class IssuerFinancingPriced(Event, frozen=True, kw_only=True, tag="issuer.financing_priced.v1"):
    """The round has a price and every instrument its shares; pricing again replaces it.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        pricing: Inputs, results, certificate.
    """

    issuer_id: Id
    financing_id: Id
    pricing: RoundPricing


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
    """The round will not close; nothing changed.

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
    """

    issuer_id: Id
    price_usd_per_share: Usd
    method: Name
    effective_on: date


class IssuerLiquidityDeclared(Event, frozen=True, kw_only=True, tag="issuer.liquidity_declared.v1"):
    """The issuer is acquired; the waterfall says who gets what.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        kind: What happened.
        waterfall: Inputs, payouts, certificate.
    """

    issuer_id: Id
    liquidity_id: Id
    kind: Literal["acquisition"]
    waterfall: Waterfall


class IssuerDistributionPaid(Event, frozen=True, kw_only=True, tag="issuer.distribution_paid.v1"):
    """The proceeds were paid out; the issuer has ended.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        amount_usd: What was paid in all.
    """

    issuer_id: Id
    liquidity_id: Id
    amount_usd: Usd


IssuerImported = issuer_import.IssuerImported
IssuerEvent = (
    IssuerFormed
    | IssuerStakeholderAdded
    | IssuerStockClassCreated
    | IssuerStockPlanAdjusted
    | IssuerStockIssued
    | IssuerStockTransferred
    | IssuerStockRepurchased
    | IssuerStockSplit
    | IssuerOptionGranted
    | IssuerOptionExercised
    | IssuerWarrantIssued
    | IssuerWarrantExercised
    | IssuerInstrumentSigned
    | IssuerFinancingOpened
    | IssuerFinancingPriced
    | IssuerFinancingClosed
    | IssuerFinancingAbandoned
    | IssuerValuationRecorded
    | IssuerLiquidityDeclared
    | IssuerDistributionPaid
    | IssuerImported
)
