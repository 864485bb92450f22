"""Commands to issuers; `marketplace.domain.issuer` decides them.

Where a command creates something it carries its id, so that a repeated command creates nothing new. Transfers,
repurchases, splits and exercises create nothing that has an id: a repeated one is known by the id of the command.
"""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from events.financing import Approval, ConvertingInstrument, RoundTerms
from events.issuer import IssuerEvent
from events.types import Instant

StakeholderKind = Literal["founder", "employee", "investor", "provider", "other"]


class FormIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a startup's capitalisation."""

    issuer_id: str
    party_id: str
    legal_name: str
    jurisdiction: str
    formed_on: date


class AddStakeholder(msgspec.Struct, frozen=True, kw_only=True):
    """Let someone hold securities of the issuer."""

    issuer_id: str
    holder_id: str
    name: str
    kind: StakeholderKind


class CreateStockClass(msgspec.Struct, frozen=True, kw_only=True):
    """Create a class of stock; preferred stock states its price and preference, common stock has neither."""

    issuer_id: str
    class_id: str
    kind: Literal["common", "preferred"]
    shares_authorised: int
    price_per_share_usd: Decimal | None = None
    liquidation_multiple: Decimal | None = None
    seniority: int = 0


class AdjustStockPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Set the size of the pool: granted, exercised and available together."""

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


class TransferStock(msgspec.Struct, frozen=True, kw_only=True):
    """Move shares to another stakeholder."""

    issuer_id: str
    holder_id: str
    holder_id_after: str
    class_id: str
    shares: int
    approval: Approval | None = None


class RepurchaseStock(msgspec.Struct, frozen=True, kw_only=True):
    """Buy shares back."""

    issuer_id: str
    holder_id: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    approval: Approval | None = None


class SplitStock(msgspec.Struct, frozen=True, kw_only=True):
    """Multiply every number of shares by `numerator` over `denominator`; prices go the other way."""

    issuer_id: str
    numerator: int
    denominator: int


class GrantOption(msgspec.Struct, frozen=True, kw_only=True):
    """Grant an option on common stock from the pool."""

    issuer_id: str
    option_id: str
    holder_id: str
    shares: int
    exercise_price_usd: Decimal
    approval: Approval | None = None


class ExerciseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Turn an option, or part of it, into shares of a class of common stock."""

    issuer_id: str
    option_id: str
    class_id: str
    shares: int


class IssueWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Issue a right to buy shares."""

    issuer_id: str
    warrant_id: str
    holder_id: str
    class_id: str
    shares: int
    exercise_price_usd: Decimal
    expires_at: Instant
    approval: Approval | None = None


class ExerciseWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Turn a warrant, or part of it, into shares.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        shares: Shares to issue.
        shares_surrendered: Rights given up to pay for them in a net exercise; 0 for cash.
        at: When it is exercised; not after its expiry.
    """

    issuer_id: str
    warrant_id: str
    shares: int
    shares_surrendered: int = 0
    at: Instant


class SignInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Note an instrument that may become equity; it belongs in the batch that issues the instrument."""

    issuer_id: str
    instrument_id: str
    holder_id: str
    commitment_usd: Decimal


class OpenFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a priced round."""

    issuer_id: str
    financing_id: str
    name: str
    terms: RoundTerms


class PriceFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Compute the round's price and every instrument's shares; again replaces what was computed before.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        instruments: Everything outstanding that converts, one value per run of equal terms.
        at: When it is priced; warrants that have expired by then do not count.
    """

    issuer_id: str
    financing_id: str
    instruments: tuple[ConvertingInstrument, ...]
    at: Instant


class NewStakeholder(msgspec.Struct, frozen=True, kw_only=True):
    """What the cap table shows for someone whom a financing brings in."""

    holder_id: str
    name: str
    kind: StakeholderKind


class CloseFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Issue the shares of a priced round.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        instruments: What converts, as it stands now; it has to be what was priced.
        approval: The paper behind it.
        at: When it closes.
        stakeholders: Names of new holders; one who is not named here is shown by id, as an investor.
    """

    issuer_id: str
    financing_id: str
    instruments: tuple[ConvertingInstrument, ...]
    approval: Approval
    at: Instant
    stakeholders: tuple[NewStakeholder, ...] = ()


class AbandonFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Give a round up."""

    issuer_id: str
    financing_id: str
    reason: str


class RecordValuation(msgspec.Struct, frozen=True, kw_only=True):
    """Record what someone says a common share is worth."""

    issuer_id: str
    price_usd_per_share: Decimal
    method: str
    effective_on: date


class DeclareLiquidity(msgspec.Struct, frozen=True, kw_only=True):
    """Say that the issuer is acquired, and compute who gets what.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        proceeds_usd: What there is to share among the holders.
        instruments: Everything outstanding that is not stock, one value per run of equal terms.
        at: When; warrants that have expired by then are paid nothing.
        safe_seniority: Rank of SAFEs among preferred stock, as in its classes; needed where these have several ranks.
        kind: What happens.
    """

    issuer_id: str
    liquidity_id: str
    proceeds_usd: Decimal
    instruments: tuple[ConvertingInstrument, ...]
    at: Instant
    safe_seniority: int | None = None
    kind: Literal["acquisition"] = "acquisition"


class PayDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """Pay the proceeds out, which ends the issuer.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        instruments: What is outstanding, as it stands now; it has to be what shared in the proceeds.
    """

    issuer_id: str
    liquidity_id: str
    instruments: tuple[ConvertingInstrument, ...]


class ImportIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """Take a capitalisation over from elsewhere.

    Attributes:
        issuer_id: The new issuer.
        source: Where it comes from.
        package_hash: SHA-256 of the package.
        acts: What happened there, oldest first, the formation before all; each has to obey the rules for its command.
        origins: What the package calls things that have another id here, by that id.
    """

    issuer_id: str
    source: str
    package_hash: str
    acts: tuple[IssuerEvent, ...]
    origins: dict[str, str] = {}


IssuerCommand = (
    FormIssuer
    | AddStakeholder
    | CreateStockClass
    | AdjustStockPlan
    | IssueStock
    | TransferStock
    | RepurchaseStock
    | SplitStock
    | GrantOption
    | ExerciseOption
    | IssueWarrant
    | ExerciseWarrant
    | SignInstrument
    | OpenFinancing
    | PriceFinancing
    | CloseFinancing
    | AbandonFinancing
    | RecordValuation
    | DeclareLiquidity
    | PayDistribution
    | ImportIssuer
)
