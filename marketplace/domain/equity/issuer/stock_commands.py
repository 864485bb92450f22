"""Commands to issuers on their stock; `marketplace.domain.equity.issuer.issuer` decides them."""

from decimal import Decimal
from typing import Literal

import msgspec

from events.financing import Approval, Participation, PriceProtection, ProtectionBasis
from events.types import Instant


class CreateStockClass(msgspec.Struct, frozen=True, kw_only=True):
    """Create a class of stock; preferred stock states its price and preference, common stock has neither."""

    issuer_id: str
    class_id: str
    kind: Literal["common", "preferred"]
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
    """Set the most that may be issued of a class; it may fall to what is outstanding."""

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
    """Issue shares for money or services."""

    issuer_id: str
    security_id: str
    holder_id: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    cause: str | None = None
    approval: Approval | None = None


class OfferStock(msgspec.Struct, frozen=True, kw_only=True):
    """Offer shares to those with the right of first refusal before they go to a buyer."""

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
    """Let the shares go to the buyer."""

    issuer_id: str
    transfer_id: str
    approval: Approval | None = None


class ExerciseFirstRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Take all offered shares at the buyer's price: another stakeholder, or, where none is named, the issuer itself."""

    issuer_id: str
    transfer_id: str
    at: Instant
    holder_id: str | None = None
    approval: Approval | None = None


class WithdrawOffer(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the shares after all."""

    issuer_id: str
    transfer_id: str
    reason: str


class TransferStock(msgspec.Struct, frozen=True, kw_only=True):
    """Move shares to another stakeholder; of a class with a right of first refusal, only as they were offered."""

    issuer_id: str
    transfer_id: str
    holder_id: str
    holder_id_after: str
    class_id: str
    shares: int
    at: Instant
    approval: Approval | None = None


class RepurchaseStock(msgspec.Struct, frozen=True, kw_only=True):
    """Buy shares back."""

    issuer_id: str
    repurchase_id: str
    holder_id: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    cause: str | None = None
    approval: Approval | None = None


class SplitStock(msgspec.Struct, frozen=True, kw_only=True):
    """Multiply every number of shares by `numerator` over `denominator`; prices go the other way.

    Attributes:
        issuer_id: The issuer.
        split_id: The split.
        numerator: New shares.
        denominator: For so many old ones.
        fractions: What happens to shares that would become a fraction; needed where there are some.
        cash_usd_per_share: What is paid for one of them, as it is before the split; needed with cash in lieu.
        approval: The paper behind it.
    """

    issuer_id: str
    split_id: str
    numerator: int
    denominator: int
    fractions: Literal["cash_in_lieu", "give_up", "round_up"] | None = None
    cash_usd_per_share: Decimal | None = None
    approval: Approval | None = None


class ConvertStock(msgspec.Struct, frozen=True, kw_only=True):
    """Turn preferred stock into common stock at its conversion price, fractions of a share rounded down."""

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
