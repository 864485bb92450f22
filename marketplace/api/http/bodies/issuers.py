"""Bodies of issuers: a company's stakeholders, stock, options and warrants."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from events.financing import Approval, ClassId, Participation, PriceProtection, ProtectionBasis
from events.types import (
    Cancellation,
    Country,
    FractionRule,
    GpuSeconds,
    Id,
    Instant,
    Name,
    Settlement,
    Share,
    StakeholderKind,
    StockKind,
    TerminationDays,
    Text,
    Usd,
    WarrantReduction,
    WarrantTransfer,
)
from events.vesting import ChangeOfControl, MilestoneName, PriceAverage, VestingSchedule, WarrantTranche
from marketplace.api.http.bodies import Body

ShareCount = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Seniority = Annotated[int, Meta(ge=0, le=100)]
Multiplier = Annotated[int, Meta(ge=1, le=1_000_000)]


class FormIssuerBody(Body, frozen=True, kw_only=True):
    """A startup's capitalisation; see the event `issuer.formed`."""

    party_id: Id
    legal_name: Name
    jurisdiction: Country
    formed_on: date


class AddStakeholderBody(Body, frozen=True, kw_only=True):
    """Someone who may hold securities.

    Attributes:
        name: What the cap table shows.
        kind: What it is.
        holder_id: The party's id, if it is a party; None: a new id.
    """

    name: Name
    kind: StakeholderKind
    holder_id: Id | None = None


class CreateStockClassBody(Body, frozen=True, kw_only=True):
    """A class of stock; see the event `issuer.stock_class_created`."""

    class_id: ClassId
    kind: StockKind
    shares_authorised: ShareCount
    price_per_share_usd: Usd | None = None
    liquidation_multiple: Usd | None = None
    seniority: Seniority = 0
    participation: Participation = "none"
    participation_cap_multiple: Usd | None = None
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None
    first_refusal: bool = False


class AdjustAuthorisedBody(Body, frozen=True, kw_only=True):
    """The authorised shares of a class.

    Attributes:
        class_id: The class.
        shares_authorised: The most shares of the class that may be issued.
        approval: The document that approves it.
    """

    class_id: ClassId
    shares_authorised: ShareCount
    approval: Approval | None = None


class AdjustStockPlanBody(Body, frozen=True, kw_only=True):
    """The size of the option pool.

    Attributes:
        shares_reserved: Its shares: granted, exercised and available together.
        approval: The document that approves it.
    """

    shares_reserved: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    approval: Approval | None = None


class LimitDilutionBody(Body, frozen=True, kw_only=True):
    """The largest share of the company that all instruments together may become.

    Attributes:
        dilution_max: The limit, as a fraction of the fully diluted company; None removes it.
        valuation_usd: Company value by which an instrument without a cap is counted; needed if there is one.
    """

    dilution_max: Share | None
    valuation_usd: Usd | None = None


class IssueStockBody(Body, frozen=True, kw_only=True):
    """Shares to issue; see the event `issuer.stock_issued`."""

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    price_usd_per_share: Usd
    approval: Approval | None = None


class OfferStockBody(Body, frozen=True, kw_only=True):
    """Shares to offer before a transfer; see the event `issuer.stock_offered`."""

    holder_id: Id
    holder_id_after: Id
    class_id: ClassId
    shares: ShareCount
    price_usd_per_share: Usd
    decide_until: Instant


class WaiveFirstRefusalBody(Body, frozen=True, kw_only=True):
    """A waiver of the right of first refusal.

    Attributes:
        approval: The document that approves it.
    """

    approval: Approval | None = None


class ExerciseFirstRefusalBody(Body, frozen=True, kw_only=True):
    """Who takes offered shares.

    Attributes:
        holder_id: The stakeholder; None: the issuer buys them back.
        approval: The document that approves it.
    """

    holder_id: Id | None = None
    approval: Approval | None = None


class ConvertStockBody(Body, frozen=True, kw_only=True):
    """Preferred stock to convert.

    Attributes:
        holder_id: Whose.
        class_id: Class of preferred stock.
        shares: How many shares of that class.
        class_id_after: Class of common stock.
    """

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    class_id_after: ClassId


class TransferStockBody(Body, frozen=True, kw_only=True):
    """Shares to change hands; see the event `issuer.stock_transferred`.

    Attributes:
        transfer_id: The offer that was made before; None: a new transfer.
    """

    transfer_id: Id | None = None
    holder_id: Id
    holder_id_after: Id
    class_id: ClassId
    shares: ShareCount
    approval: Approval | None = None


class RepurchaseStockBody(Body, frozen=True, kw_only=True):
    """Shares to buy back; see the event `issuer.stock_repurchased`."""

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    price_usd_per_share: Usd
    approval: Approval | None = None


class SplitStockBody(Body, frozen=True, kw_only=True):
    """A split or consolidation.

    Attributes:
        numerator: New shares.
        denominator: The old shares that they replace.
        fractions: How shares that would become a fraction are handled: bought back, cancelled, or rounded up to a whole
            share; needed if there are any.
        cash_usd_per_share: The price of one such share before the split; needed with cash in lieu.
        approval: The document behind it.
    """

    numerator: Multiplier
    denominator: Multiplier
    fractions: FractionRule | None = None
    cash_usd_per_share: Usd | None = None
    approval: Approval | None = None


class PromiseOptionBody(Body, frozen=True, kw_only=True):
    """An option to promise; see the event `issuer.option_promised`."""

    holder_id: Id
    shares: ShareCount


class CancelOptionBody(Body, frozen=True, kw_only=True):
    """Shares of an option to cancel; see the event `issuer.option_cancelled`."""

    shares: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    kind: Cancellation
    reason: Text


class GrantOptionBody(Body, frozen=True, kw_only=True):
    """An option on common stock; see the event `issuer.option_granted`."""

    holder_id: Id
    shares: ShareCount
    exercise_price_usd: Usd
    vesting: VestingSchedule | None = None
    promise_id: Id | None = None
    approval: Approval | None = None
    termination_exercise_days: TerminationDays | None = None


class ExerciseOptionBody(Body, frozen=True, kw_only=True):
    """Shares to take from an option.

    Attributes:
        class_id: Class of the shares.
        shares: How many.
    """

    class_id: ClassId
    shares: ShareCount


class IssueWarrantBody(Body, frozen=True, kw_only=True):
    """A right to buy shares; see the event `issuer.warrant_issued`.

    `on_reduction` must be stated if a tranche counts what was purchased, and is ``keep`` otherwise.
    """

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    exercise_price_usd: Usd
    expires_at: Instant
    settlement: Settlement
    tranches: Annotated[tuple[WarrantTranche, ...], Meta(max_length=100)] = ()
    grant_ids: Annotated[tuple[Id, ...], Meta(max_length=64)] = ()
    programme_id: Id | None = None
    on_reduction: WarrantReduction | None = None
    transfer: WarrantTransfer = "none"
    affiliate_ids: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()
    change_of_control: ChangeOfControl | None = None
    fair_value: PriceAverage | None = None
    approval: Approval | None = None


class ExerciseWarrantBody(Body, frozen=True, kw_only=True):
    """Shares to take from a warrant.

    Attributes:
        shares: Rights to use.
        settlement: ``cash``: the price is paid from the holder's account; ``net``: by giving up rights, each share at
            the average price that the warrant defines, or else at the latest that holder and company did not make
            alone.
        tranche: Only this tranche; needed if tranches of several prices may be exercised.
    """

    shares: ShareCount
    settlement: Literal["cash", "net"] = "cash"
    tranche: Annotated[int, Meta(ge=0, le=99)] | None = None


class TransferRightBody(Body, frozen=True, kw_only=True):
    """A right to transfer.

    Attributes:
        holder_id: Who holds it.
        holder_id_after: Who gets it.
    """

    holder_id: Id
    holder_id_after: Id


class AttestMilestoneBody(Body, frozen=True, kw_only=True):
    """An attestation.

    Attributes:
        milestone: The milestone's name in the warrant.
        document: The document that approves it.
    """

    milestone: MilestoneName
    document: Text


class OpenProgrammeBody(Body, frozen=True, kw_only=True):
    """A programme of purchases; see the event `issuer.programme_opened`."""

    name: Name
    customer_ids: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=20)]
    vendor_ids: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=20)]
    counts_outside: bool = False


class AddProgrammeGrantBody(Body, frozen=True, kw_only=True):
    """A grant to count.

    Attributes:
        grant_id: The grant.
    """

    grant_id: Id


class StatePurchasesBody(Body, frozen=True, kw_only=True):
    """Purchases outside this market; see the event `issuer.purchases_stated`."""

    customer_id: Id
    vendor_id: Id
    starts_on: date
    ends_on: date
    gpu_seconds: GpuSeconds = 0
    kilowatts: Annotated[int, Meta(ge=0)] = 0
    purchased_usd: Usd
    paid_usd: Usd
    document: Text
    excludes_market: bool
    replaces: Id | None = None


class NamePriceSourceBody(Body, frozen=True, kw_only=True):
    """A price source; see the event `issuer.price_source_named`."""

    name: Name
    recorder_id: Id | None = None


class ObservePriceBody(Body, frozen=True, kw_only=True):
    """The price of a share on a day; see the event `issuer.price_observed`."""

    day: date
    price_usd_per_share: Usd
    volume: ShareCount


class CorrectPriceBody(Body, frozen=True, kw_only=True):
    """Another price of a day that is recorded; see the event `issuer.price_corrected`."""

    day: date
    price_usd_per_share: Usd
    volume: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    reason: Text


class RecordValuationBody(Body, frozen=True, kw_only=True):
    """A valuation of a common share; see the event `issuer.valuation_recorded`."""

    price_usd_per_share: Usd
    method: Name
    effective_on: date
