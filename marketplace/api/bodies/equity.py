"""Bodies of instruments and issuers."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from events.financing import Approval, ClassId, RoundTerms
from events.types import Country, Id, Instant, Name, SafeTerms, Text, Usd
from marketplace.api.bodies import Body
from marketplace.captable.plots import Range

ShareCount = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Seniority = Annotated[int, Meta(ge=0, le=100)]
Multiplier = Annotated[int, Meta(ge=1, le=1_000_000)]


class InvestBody(Body, frozen=True, kw_only=True):
    """Cash for an instrument; the startup asks, the mandate's rules and budget are the holder's consent.

    Attributes:
        startup_id: Who is paid.
        mandate_id: Who pays, by its mandate.
        amount_usd: How much; all of it accrues as principal at once.
        terms: The instrument's terms.
    """

    startup_id: Id
    mandate_id: Id
    amount_usd: Usd
    terms: SafeTerms


class AmendInstrumentBody(Body, frozen=True, kw_only=True):
    """New terms that both sides agreed on.

    Attributes:
        terms: The terms from now on.
        applies_to_earlier: Whether tranches born before follow them as well.
    """

    terms: SafeTerms
    applies_to_earlier: bool


class ReversePrincipalBody(Body, frozen=True, kw_only=True):
    """A tranche, or part of it, to take back.

    Attributes:
        tranche_id: The tranche.
        principal_usd: How much of it.
        reason: Why.
    """

    tranche_id: Id
    principal_usd: Usd
    reason: Text


class FormIssuerBody(Body, frozen=True, kw_only=True):
    """A startup's capitalisation; see the event `issuer.formed`."""

    party_id: Id
    legal_name: Name
    jurisdiction: Country
    formed_on: date


class ImportIssuerBody(Body, frozen=True, kw_only=True):
    """An OCF package to take an issuer over from.

    Attributes:
        party_id: The startup, which has no issuer yet.
        source: What the package is called.
        package_base64: The package, a zip.
    """

    party_id: Id
    source: Text
    package_base64: str


class AddStakeholderBody(Body, frozen=True, kw_only=True):
    """Someone who may hold securities.

    Attributes:
        name: What the cap table shows.
        kind: What it is.
        holder_id: The party's own id where it is a party; None: a new id.
    """

    name: Name
    kind: Literal["founder", "employee", "investor", "provider", "other"]
    holder_id: Id | None = None


class CreateStockClassBody(Body, frozen=True, kw_only=True):
    """A class of stock; see the event `issuer.stock_class_created`."""

    class_id: ClassId
    kind: Literal["common", "preferred"]
    shares_authorised: ShareCount
    price_per_share_usd: Usd | None = None
    liquidation_multiple: Usd | None = None
    seniority: Seniority = 0


class AdjustStockPlanBody(Body, frozen=True, kw_only=True):
    """The size of the pool.

    Attributes:
        shares_reserved: Granted, exercised and available together.
        approval: The paper behind it.
    """

    shares_reserved: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    approval: Approval | None = None


class IssueStockBody(Body, frozen=True, kw_only=True):
    """Shares to issue; see the event `issuer.stock_issued`."""

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    price_usd_per_share: Usd
    approval: Approval | None = None


class TransferStockBody(Body, frozen=True, kw_only=True):
    """Shares to change hands; see the event `issuer.stock_transferred`."""

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
    """New shares for old ones.

    Attributes:
        numerator: New shares.
        denominator: For so many old ones.
    """

    numerator: Multiplier
    denominator: Multiplier


class GrantOptionBody(Body, frozen=True, kw_only=True):
    """An option on common stock; see the event `issuer.option_granted`."""

    holder_id: Id
    shares: ShareCount
    exercise_price_usd: Usd
    approval: Approval | None = None


class ExerciseOptionBody(Body, frozen=True, kw_only=True):
    """Shares to take from an option.

    Attributes:
        class_id: Class of the shares.
        shares: How many.
    """

    class_id: ClassId
    shares: ShareCount


class IssueWarrantBody(Body, frozen=True, kw_only=True):
    """A right to buy shares; see the event `issuer.warrant_issued`."""

    holder_id: Id
    class_id: ClassId
    shares: ShareCount
    exercise_price_usd: Usd
    expires_at: Instant
    approval: Approval | None = None


class ExerciseWarrantBody(Body, frozen=True, kw_only=True):
    """Shares to take from a warrant.

    Attributes:
        shares: Shares to issue.
        shares_surrendered: Rights given up to pay for them in a net exercise; 0 for cash.
    """

    shares: ShareCount
    shares_surrendered: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0


class RecordValuationBody(Body, frozen=True, kw_only=True):
    """What a common share is worth; see the event `issuer.valuation_recorded`."""

    price_usd_per_share: Usd
    method: Name
    effective_on: date


class OpenFinancingBody(Body, frozen=True, kw_only=True):
    """A priced round.

    Attributes:
        name: What it is called.
        terms: Its terms.
    """

    name: Name
    terms: RoundTerms


class CloseFinancingBody(Body, frozen=True, kw_only=True):
    """The paper behind a closing.

    Attributes:
        approval: The paper.
    """

    approval: Approval


class DeclareLiquidityBody(Body, frozen=True, kw_only=True):
    """An acquisition.

    Attributes:
        proceeds_usd: What there is to share among the holders.
        safe_seniority: Rank of SAFEs among preferred stock; needed where its classes have several ranks.
    """

    proceeds_usd: Usd
    safe_seniority: Seniority | None = None


class PlotRoundsBody(Body, frozen=True, kw_only=True):
    """A round to play at several prices, on a branch of the issuer's events.

    Attributes:
        terms: The round; its pre-money is replaced by each price.
        range: The pre-moneys.
        format: ``json``, or ``csv`` with a line per price and holder.
    """

    terms: RoundTerms
    range: Range
    format: Literal["json", "csv"] = "json"


class PlotExitsBody(Body, frozen=True, kw_only=True):
    """A sale to play at several prices, on a branch of the issuer's events.

    Attributes:
        range: The proceeds.
        rounds: Rounds to close on the branch first.
        safe_seniority: Rank of SAFEs among preferred stock; needed where its classes have several ranks.
        format: ``json``, or ``csv`` with a line per price and holder.
    """

    range: Range
    rounds: Annotated[tuple[RoundTerms, ...], Meta(max_length=5)] = ()
    safe_seniority: Seniority | None = None
    format: Literal["json", "csv"] = "json"


class AskRecoveryBody(Body, frozen=True, kw_only=True):
    """What is assumed of a programme.

    Attributes:
        success_part: Chance of one company's success, from 0 to 1.
        multiple: What a success returns per dollar granted.
        cost_per_granted_usd: What a granted dollar cost the holder itself.
        grants: Companies, each granted the same.
        trials: Portfolios to draw.
        seed: The same seed draws the same portfolios.
        multiples: Rows of the table.
        costs_per_granted_usd: Columns of the table.
    """

    success_part: Usd
    multiple: Usd
    cost_per_granted_usd: Usd
    grants: Annotated[int, Meta(ge=1, le=1_000)]
    trials: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 1
    multiples: tuple[Usd, ...] = (Decimal(2), Decimal(5), Decimal(10), Decimal(20), Decimal(50))
    costs_per_granted_usd: tuple[Usd, ...] = (Decimal(1), Decimal("0.5"), Decimal("0.25"))
