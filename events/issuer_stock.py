"""Issuers' stock: classes, the plan, shares issued, transferred, bought back, split and converted."""

from typing import Annotated, Literal

from msgspec import Meta

from events.financing import Approval, ClassId, Participation, PriceProtection, ProtectionBasis
from events.types import Event, FractionRule, Id, Instant, Multiple, Ratio, Shares, StockKind, Text, Usd


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
        participation: What preferred stock takes beside its preference: nothing, its part of the rest, or that up to a
            cap.
        participation_cap_multiple: The cap per dollar of original issue price, preference included.
        price_protection: What a cheaper round does to the conversion price; None: nothing. Each holder agrees to
            cheaper stock beside rounds.
        protection_basis: What a weighted average counts before the issue; stated with one.
        first_refusal: Whether shares may be transferred only after they were offered and the right was waived.
    """

    issuer_id: Id
    class_id: ClassId
    kind: StockKind
    shares_authorised: Shares
    price_per_share_usd: Usd | None = None
    liquidation_multiple: Multiple | None = None
    seniority: Annotated[int, Meta(ge=0, le=100)] = 0
    participation: Participation = "none"
    participation_cap_multiple: Multiple | None = None
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None
    first_refusal: bool = False


class IssuerAuthorisedSharesAdjusted(Event, frozen=True, kw_only=True, tag="issuer.authorised_shares_adjusted.v1"):
    """The charter allows another number of shares of a class.

    Attributes:
        issuer_id: The issuer.
        class_id: Class of stock.
        shares_authorised: The most that may be issued from now on.
        cause: The consolidation, exercise or conversion that needs it, where one does.
        approval: The paper behind it.
    """

    issuer_id: Id
    class_id: ClassId
    shares_authorised: Shares
    cause: Id | None = None
    approval: Approval | None = None


class IssuerStockPlanAdjusted(Event, frozen=True, kw_only=True, tag="issuer.stock_plan_adjusted.v1"):
    """The pool for employees has a new size.

    Attributes:
        issuer_id: The issuer.
        shares_reserved: Shares of the plan in all: granted, exercised, promised and available.
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
        cause: The financing, the instrument, the sale that it pays, or the split behind it; None: none of these.
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


class IssuerStockOffered(Event, frozen=True, kw_only=True, tag="issuer.stock_offered.v1"):
    """A holder wants to sell; those with the right of first refusal may take the shares at the same price.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer that it may become.
        holder_id: Who holds the shares.
        holder_id_after: Who wants them.
        class_id: Class of stock.
        shares: How many.
        price_usd_per_share: What the buyer pays for one.
        decide_until: Until when the right may be exercised; silence waives it.
    """

    issuer_id: Id
    transfer_id: Id
    holder_id: Id
    holder_id_after: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    price_usd_per_share: Usd
    decide_until: Instant


class IssuerFirstRefusalWaived(Event, frozen=True, kw_only=True, tag="issuer.first_refusal_waived.v1"):
    """The right of first refusal was waived; the shares may go to the buyer.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        approval: The paper behind it.
    """

    issuer_id: Id
    transfer_id: Id
    approval: Approval | None = None


class IssuerFirstRefusalExercised(Event, frozen=True, kw_only=True, tag="issuer.first_refusal_exercised.v1"):
    """The right of first refusal was exercised. The transfer or repurchase is in the same atomic batch.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        holder_id: Who takes the shares; None: the issuer buys them back.
        approval: The paper behind it.
    """

    issuer_id: Id
    transfer_id: Id
    holder_id: Id | None = None
    approval: Approval | None = None


class IssuerStockOfferWithdrawn(Event, frozen=True, kw_only=True, tag="issuer.stock_offer_withdrawn.v1"):
    """The holder keeps the shares after all.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer that will not happen.
        reason: Why.
    """

    issuer_id: Id
    transfer_id: Id
    reason: Text


class IssuerStockTransferred(Event, frozen=True, kw_only=True, tag="issuer.stock_transferred.v1"):
    """Shares changed hands.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        holder_id: Who held them.
        holder_id_after: Who holds them now.
        class_id: Class of stock.
        shares: How many.
        approval: The paper behind it.
    """

    issuer_id: Id
    transfer_id: Id
    holder_id: Id
    holder_id_after: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    approval: Approval | None = None


class IssuerStockRepurchased(Event, frozen=True, kw_only=True, tag="issuer.stock_repurchased.v1"):
    """The issuer bought shares back; they are no longer outstanding.

    Attributes:
        issuer_id: The issuer.
        repurchase_id: The repurchase.
        holder_id: Who sold.
        class_id: Class of stock.
        shares: How many.
        price_usd_per_share: What was paid for one.
        cause: The instrument whose converted tranche was clawed back, the offer that the company took, or the split;
            None: none of these.
        approval: The paper behind it.
    """

    issuer_id: Id
    repurchase_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    price_usd_per_share: Usd
    cause: Id | None = None
    approval: Approval | None = None


class IssuerStockSplit(Event, frozen=True, kw_only=True, tag="issuer.stock_split.v1"):
    """Every share, option and authorised number was multiplied; every price was divided.

    Shares that would have become a fraction were bought back, cancelled or rounded up just before, in the same atomic
    batch, with the split as their cause. If `fractions` is stated, shares under options, warrants and promises, and the
    pool, are rounded down to whole shares without payment, so that every number is whole.

    Attributes:
        issuer_id: The issuer.
        split_id: The split.
        numerator: New shares.
        denominator: The old shares that they replace.
        fractions: What happened to shares that would have become a fraction; None where there could be none.
        pool_shares_available: The pool that is neither granted nor promised after it; None if all numbers were whole.
    """

    issuer_id: Id
    split_id: Id
    numerator: Annotated[int, Meta(ge=1, le=1_000_000)]
    denominator: Annotated[int, Meta(ge=1, le=1_000_000)]
    fractions: FractionRule | None = None
    pool_shares_available: Shares | None = None


class IssuerStockConverted(Event, frozen=True, kw_only=True, tag="issuer.stock_converted.v1"):
    """Preferred stock became common stock.

    Attributes:
        issuer_id: The issuer.
        conversion_id: The conversion.
        holder_id: Who holds it.
        class_id: Class that it was.
        shares: How many shares of that class.
        class_id_after: Class that it is now.
        shares_exact: Shares of that before rounding, exact.
        shares_after: Shares of that.
        reason: ``voluntary``: the holder chose to; ``pay_to_play``: it did not pay its part of a round.
        cause: The financing, where there is one.
    """

    issuer_id: Id
    conversion_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    class_id_after: ClassId
    shares_exact: Ratio
    shares_after: Shares
    reason: Literal["voluntary", "pay_to_play"]
    cause: Id | None = None


class IssuerConversionPriceAdjusted(Event, frozen=True, kw_only=True, tag="issuer.conversion_price_adjusted.v1"):
    """A cheaper round lowered the price at which a protected class converts into common stock.

    Attributes:
        issuer_id: The issuer.
        class_id: The protected class.
        conversion_price_usd_before: Price before, exact.
        conversion_price_usd: Price from now on, exact.
        cause: The financing that was cheaper.
    """

    issuer_id: Id
    class_id: ClassId
    conversion_price_usd_before: Ratio
    conversion_price_usd: Ratio
    cause: Id
