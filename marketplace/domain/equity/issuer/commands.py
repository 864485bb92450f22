"""Commands to issuers; `marketplace.domain.equity.issuer.issuer` decides them.

Everything that a command creates or does carries an id, so that a repeated command does nothing new. Commands on stock
(`stock_commands`), on options and warrants (`rights_commands`), on what warrants are measured by (`programme_commands`)
and on terms with holders (`holder_commands`) are exported here too.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from events.financing import Approval, AssumedGrants, ConvertingInstrument, LaterPrincipal, RoundTerms
from events.issuer import IssuerEvent
from events.issuer_dilution import CountedInstrument, Exposure
from events.issuer_holders import StatedAgreement
from events.types import Instant, PrincipalTerms, StakeholderKind
from marketplace.domain.equity.issuer.holder_commands import (
    HolderCommand,
)
from marketplace.domain.equity.issuer.rights_commands import (
    Delivery,
    RightsCommand,
)
from marketplace.domain.equity.issuer.stock_commands import (
    StockCommand,
)
from marketplace.domain.equity.issuer.terms import RoundDraft


class FormIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a startup's capitalisation."""

    issuer_id: str
    party_id: str
    legal_name: str
    jurisdiction: str
    formed_on: date


class AddStakeholder(msgspec.Struct, frozen=True, kw_only=True):
    """Register someone who may hold securities of the issuer."""

    issuer_id: str
    holder_id: str
    name: str
    kind: StakeholderKind


class SignInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Register an instrument that may become equity, in the batch that issues the instrument.

    `split_ratio` is the issuer's split factor when a price per share was agreed; None: now. `by_limit` says that the
    other holders agree by the dilution limit, not by a vote; `related_ids` are then the parties related to its holder.
    `is_bound` says that it fulfils an order that the limit counted when it was placed, so that a later limit does not
    refuse it. `invested_on` is the day of a cash investment, without compute.
    """

    issuer_id: str
    instrument_id: str
    holder_id: str
    commitment_usd: Decimal
    terms: PrincipalTerms
    split_ratio: str | None = None
    by_limit: bool = False
    related_ids: frozenset[str] = frozenset()
    is_bound: bool = False
    invested_on: date | None = None


class LimitDilution(msgspec.Struct, frozen=True, kw_only=True):
    """Set the largest share of the issuer that all instruments together may become; None lifts the limit.

    Attributes:
        issuer_id: The issuer.
        dilution_max: The limit, as a share of the fully diluted company.
        valuation_usd: Company value at which an instrument without a cap is counted.
        instruments: What may still become equity under each instrument.
    """

    issuer_id: str
    dilution_max: Decimal | None
    valuation_usd: Decimal | None
    instruments: tuple[CountedInstrument, ...] = ()


class RecordExposure(msgspec.Struct, frozen=True, kw_only=True):
    """Count what may become equity under an order or an instrument. Orders count only under a limit.

    Attributes:
        issuer_id: The issuer.
        subject_id: The order or the instrument.
        exposures: What may become equity.
        owed: Whether a holder has a right to it, so that the limit cannot refuse it.
        offered_to: The holders that may take what an order offers, each with the parties related to it.
        outweighed: The investors to whom that is large; see `marketplace.domain.equity.preemption`.
        split_ratio: The issuer's split factor when an order agreed a price per share; None: now.
        binds: Whether an auction binds the order by it. Then it is recorded though nothing changes, so that no sale or
            growth that is decided at the same time misses it.
        holder_id: Who holds the instrument; None for an order.
    """

    issuer_id: str
    subject_id: str
    exposures: tuple[Exposure, ...]
    owed: bool = False
    offered_to: tuple[frozenset[str], ...] = ()
    outweighed: frozenset[str] = frozenset()
    split_ratio: str | None = None
    binds: bool = False
    holder_id: str | None = None


class OpenFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Open a priced round. Terms that leave a convention open are refused, naming it.

    It may be priced for `open_days`, and close for `closing_days` after that. `at` is now.
    """

    issuer_id: str
    financing_id: str
    name: str
    terms: RoundTerms | RoundDraft
    at: Instant
    closing_days: int = 30
    open_days: int = 120


class PriceFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Compute the round's price and every instrument's shares. Later prices replace earlier ones.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        instruments: All outstanding instruments that convert, one value per run of equal terms.
        at: Now. Warrants that have expired do not count.
        again: Whether it is priced once more as it closes: then nobody is offered a part, and it may be overdue.
    """

    issuer_id: str
    financing_id: str
    instruments: tuple[ConvertingInstrument, ...]
    at: Instant
    again: bool = False


class NewStakeholder(msgspec.Struct, frozen=True, kw_only=True):
    """How the cap table shows a holder whom a financing brings in."""

    holder_id: str
    name: str
    kind: StakeholderKind


class CloseFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """Issue the shares of a priced round.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        instruments: The converting instruments as they are now. They must equal the priced ones.
        approval: The document behind it.
        at: Now.
        stakeholders: Names of new holders. A holder not named here is shown by id, as an investor.
    """

    issuer_id: str
    financing_id: str
    instruments: tuple[ConvertingInstrument, ...]
    approval: Approval
    at: Instant
    stakeholders: tuple[NewStakeholder, ...] = ()


class AbandonFinancing(msgspec.Struct, frozen=True, kw_only=True):
    """End an open round without issuing its shares.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        reason: Why.
        overdue_at: Now, if it ends because its time has passed; None: the company ends it.
    """

    issuer_id: str
    financing_id: str
    reason: str
    overdue_at: Instant | None = None


class RecordValuation(msgspec.Struct, frozen=True, kw_only=True):
    """Record a valuation of a common share by its company or the platform, as of a day.

    `on_day` is the day of the command, after which no valuation is dated; None: any day is taken.
    """

    issuer_id: str
    price_usd_per_share: Decimal
    method: str
    effective_on: date
    recorded_by: Literal["company", "platform"] = "company"
    on_day: date | None = None


class BuyerStock(msgspec.Struct, frozen=True, kw_only=True):
    """The buyer's stock that a sale is paid in, at an agreed price.

    Attributes:
        buyer: The buyer's name.
        price_usd_per_share: The price of one of its shares.
        buyer_issuer_id: The buyer, if it is an issuer of this market; the members below are stated only then.
        class_id: The class of its stock.
        buyer_split_ratio: Its split factor now.
        buyer_shares: Its fully diluted shares now, as converted and rounded up.
        buyer_principal_usd: Dollars for which its instruments may still become equity.
        buyer_claims_exact: Which part of it these ask for, as `measure_claims` counts them, as a ratio.
        buyer_preference_exact: Dollars of preference of its preferred stock now, as a ratio.
        buyer_repurchased_usd: Dollars for which it has ever bought back its stock.
    """

    buyer: str
    price_usd_per_share: Decimal
    buyer_issuer_id: str | None = None
    class_id: str | None = None
    buyer_split_ratio: str | None = None
    buyer_shares: int | None = None
    buyer_principal_usd: Decimal | None = None
    buyer_claims_exact: str | None = None
    buyer_preference_exact: str | None = None
    buyer_repurchased_usd: Decimal | None = None


class DeclareLiquidity(msgspec.Struct, frozen=True, kw_only=True):
    """Record that the issuer is acquired, and compute the waterfall.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        proceeds_usd: The proceeds to share among the holders.
        instruments: All outstanding instruments other than stock, one value per run of equal terms.
        at: Now. Warrants that have expired are paid nothing, and notes earn interest until now.
        safe_seniority: Rank of SAFEs among preferred stock, as in its classes; needed if these have several ranks.
        stock: The buyer's stock, if paid in stock; None for cash.
        agreed: Stockholders that are no parties of this market and agreed, as the company states.
        pay_days: For how many days after `at` it may be agreed to and paid. What vests of warrants by date until then,
            or until they end, counts as vested.
        delivered: As in `VestWarrants`; None counts what has vested already.
        interested: As in `VestWarrants`.
        assumed: The grants that a buyer of this market takes over; None for none.
    """

    issuer_id: str
    liquidity_id: str
    proceeds_usd: Decimal
    instruments: tuple[ConvertingInstrument, ...]
    at: Instant
    safe_seniority: int | None = None
    stock: BuyerStock | None = None
    agreed: tuple[StatedAgreement, ...] = ()
    assumed: AssumedGrants | None = None
    pay_days: int = 60
    delivered: Mapping[str, Delivery] | None = None
    interested: Mapping[str, frozenset[str]] = {}


class WithdrawLiquidity(msgspec.Struct, frozen=True, kw_only=True):
    """End a declared sale that is not paid.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        cause: ``overdue`` once the time to pay has passed; ``agreed`` before.
        reason: Why.
        at: Now.
    """

    issuer_id: str
    liquidity_id: str
    cause: Literal["agreed", "overdue"]
    reason: str
    at: Instant


class PayDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """Pay the proceeds out, which ends the issuer.

    Attributes:
        issuer_id: The issuer.
        liquidity_id: The liquidity event.
        outstanding: All outstanding principal, by instrument.
        at: Now, before the end of the time to pay.
        delivered: As in `VestWarrants`; None counts what has vested already.
        interested: As in `VestWarrants`.
    """

    issuer_id: str
    liquidity_id: str
    outstanding: tuple[LaterPrincipal, ...]
    at: Instant
    delivered: Mapping[str, Delivery] | None = None
    interested: Mapping[str, frozenset[str]] = {}


class ImportIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """Import a capitalisation.

    Attributes:
        issuer_id: The new issuer.
        source: Where it comes from.
        package_hash: SHA-256 of the package.
        acts: Its history, oldest first, beginning with the formation. Each event must obey the rules of its command.
        origins: The package's own ids, by the id that the same thing has here.
    """

    issuer_id: str
    source: str
    package_hash: str
    acts: tuple[IssuerEvent, ...]
    origins: dict[str, str] = {}


IssuerCommand = (
    FormIssuer
    | AddStakeholder
    | StockCommand
    | RightsCommand
    | HolderCommand
    | SignInstrument
    | LimitDilution
    | RecordExposure
    | OpenFinancing
    | PriceFinancing
    | CloseFinancing
    | AbandonFinancing
    | RecordValuation
    | DeclareLiquidity
    | WithdrawLiquidity
    | PayDistribution
    | ImportIssuer
)
