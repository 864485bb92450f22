"""Commands to issuers on their stock; `marketplace.domain.equity.issuer.issuer` decides them."""

from decimal import Decimal

import msgspec

from events.financing import Approval, Participation, PriceProtection, ProtectionBasis
from events.types import FractionRule, Instant, StockKind


class CreateStockClass(msgspec.Struct, frozen=True, kw_only=True):
    """Create a class of stock; preferred stock states its price and preference, common stock has neither."""

    issuer_id: str
    class_id: str
    kind: StockKind
    shares_authorised: int
    price_per_share_usd: Decimal | None = None
    liquidation_multiple: Decimal | None = None
    seniority: int = 0
    participation: Participation = "none"
    participation_cap_multiple: Decimal | None = None
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None
    first_refusal: bool = False


class AdjustAuthorisedShares(msgspec.Struct, frozen=True, kw_only=True):
    """Set the authorised shares of a class, at least those outstanding."""

    issuer_id: str
    class_id: str
    shares_authorised: int
    cause: str | None = None
    approval: Approval | None = None


class AdjustStockPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Set the size of the pool: granted, exercised, promised and available together."""

    issuer_id: str
    shares_reserved: int
    cause: str | None = None
    approval: Approval | None = None


class IssueStock(msgspec.Struct, frozen=True, kw_only=True):
    """Issue shares to a stakeholder. Without a `cause`, a party of this market pays the company for them."""

    issuer_id: str
    security_id: str
    holder_id: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    cause: str | None = None
    approval: Approval | None = None


class OfferStock(msgspec.Struct, frozen=True, kw_only=True):
    """Offer shares to those with the right of first refusal before they go to a buyer.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The offer, and the later transfer.
        holder_id: Who sells.
        holder_id_after: The buyer.
        class_id: The class of stock.
        shares: How many.
        price_usd_per_share: The buyer's price.
        decide_until: The last instant at which the right may be exercised.
        at: Now.
    """

    issuer_id: str
    transfer_id: str
    holder_id: str
    holder_id_after: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    decide_until: Instant
    at: Instant


class WaiveFirstRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Waive the right, so that the shares may go to the buyer."""

    issuer_id: str
    transfer_id: str
    approval: Approval | None = None


class ExerciseFirstRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Buy all offered shares at the buyer's price, as another stakeholder or, if none is named, as the issuer."""

    issuer_id: str
    transfer_id: str
    at: Instant
    holder_id: str | None = None
    approval: Approval | None = None


class WithdrawOffer(msgspec.Struct, frozen=True, kw_only=True):
    """Withdraw the offer and keep the shares."""

    issuer_id: str
    transfer_id: str
    reason: str


class TransferStock(msgspec.Struct, frozen=True, kw_only=True):
    """Transfer shares to another stakeholder; in a class with a right of first refusal, only as offered."""

    issuer_id: str
    transfer_id: str
    holder_id: str
    holder_id_after: str
    class_id: str
    shares: int
    at: Instant
    approval: Approval | None = None


class RepurchaseStock(msgspec.Struct, frozen=True, kw_only=True):
    """Buy shares back, as the company."""

    issuer_id: str
    repurchase_id: str
    holder_id: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    cause: str | None = None
    approval: Approval | None = None


class SplitStock(msgspec.Struct, frozen=True, kw_only=True):
    """Multiply every number of shares by `numerator` over `denominator`, and divide prices by it.

    Attributes:
        issuer_id: The issuer.
        split_id: The split.
        numerator: New shares.
        denominator: The old shares that they replace.
        fractions: How shares that would become a fraction are handled; needed if there are any.
        cash_usd_per_share: The price of one such share before the split; needed with cash in lieu.
        approval: The document behind it.
    """

    issuer_id: str
    split_id: str
    numerator: int
    denominator: int
    fractions: FractionRule | None = None
    cash_usd_per_share: Decimal | None = None
    approval: Approval | None = None


class ConvertStock(msgspec.Struct, frozen=True, kw_only=True):
    """Convert preferred into common stock at its conversion price. Fractions of a share are rounded down."""

    issuer_id: str
    conversion_id: str
    holder_id: str
    class_id: str
    shares: int
    class_id_after: str


StockCommand = (
    CreateStockClass
    | AdjustAuthorisedShares
    | AdjustStockPlan
    | IssueStock
    | OfferStock
    | WaiveFirstRefusal
    | ExerciseFirstRefusal
    | WithdrawOffer
    | TransferStock
    | RepurchaseStock
    | SplitStock
    | ConvertStock
)
