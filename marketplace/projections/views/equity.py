"""Views of instruments, cap tables, proposals and rights."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from events.draw import PriceSource
from events.financing import Allotment, Approval, ConvertingInstrument, Forfeit, LaterPrincipal, Payout, RoundTerms
from events.issuer_holders import HolderTerms, ProRataOffer
from events.issuer_programmes import IssuerPurchasesStated
from events.issuer_rights import IssuerWarrantIssued
from events.proposal import Consent, ProposedEvent
from events.types import PrincipalTerms, Ratio, SafeTerms
from events.vesting import VestingSchedule


class ConversionView(msgspec.Struct, frozen=True, kw_only=True):
    """What the principal became: shares, and the pricing rule that applied. The price has at most 12 places.

    Attributes:
        cause: The financing, or the security that was issued for it.
    """

    cause: str
    branch: str
    price_usd_per_share: Decimal
    class_id: str
    shares: int


class DrawView(msgspec.Struct, frozen=True, kw_only=True):
    """The signed terms of a drawdown. Prices have at most 12 places; the event states the exact fractions.

    Attributes:
        start: First instant of the window.
        end: Instant after the last.
        gpu_class: Class of the GPUs whose hours are counted, or beside which a service line is worked.
        unit: The unit of the prices: ``gpu_hour`` or ``service_hour``.
        price_usd_per_gpu_hour: The price of a unit.
        cash_usd_per_gpu_hour: The part that the startup pays in cash.
        principal_usd_per_gpu_hour: Principal that accrues.
        acceptance_hours: How long the startup may dispute a statement before silence accepts it.
        source: What set the prices.
    """

    start: datetime
    end: datetime
    gpu_class: str
    unit: str
    price_usd_per_gpu_hour: Decimal
    cash_usd_per_gpu_hour: Decimal
    principal_usd_per_gpu_hour: Decimal
    acceptance_hours: int
    source: PriceSource


class InstrumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as it is now.

    Attributes:
        terms: Its terms as amended or elected last. Once elected, they have no most-favoured clause.
        terms_version: Their number, from 1.
        draw: The signed terms of a drawdown; an extension or an early end is shown on its grant.
        status: ``active`` (also if it converted and may still draw), ``suspended``, ``lapsed`` (no more will accrue),
            ``converted`` (all of it), ``repaid`` or ``cancelled``.
        principal_usd: Principal that accrued and is neither converted nor repaid.
        repaid_usd: Principal that was paid back.
        debt_usd: The holder's debt to the issuer for principal that was reversed after it became shares or money.
        repayment_usd: What was paid back with its interest; None: nothing.
        matured_on: When a note matured, until it is extended by amendment, repaid or converted (`mature`, by holder or
            company); else None.
        due_usd: What is due since then; else None.
    """

    instrument_id: str
    issuer_id: str
    holder_id: str
    terms: PrincipalTerms
    terms_version: int
    commitment_usd: Decimal
    funding: str
    grant_id: str | None
    mandate_id: str | None
    draw: DrawView | None
    status: str
    principal_usd: Decimal
    lapsed_usd: Decimal
    converted_usd: Decimal
    repaid_usd: Decimal
    debt_usd: Decimal
    conversion: ConversionView | None
    repayment_usd: Decimal | None
    matured_on: date | None
    due_usd: Decimal | None
    reason: str | None
    issued_at: datetime
    last_sequence: int


class MfnNoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """Later terms that the holder of a most-favoured SAFE may elect.

    Attributes:
        later_instrument_id: The SAFE or note.
        terms: Those offered.
        elect_until: When the choice ends.
        elected: Whether they were taken; null: not decided.
    """

    later_instrument_id: str
    terms: SafeTerms
    elect_until: datetime
    elected: bool | None
    noticed_at: datetime


class MovementView(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of principal.

    Attributes:
        kind: ``accrued``, ``reversed``, ``converted``, ``repaid`` or ``transferred``.
        amount_usd: The signed change of the outstanding principal.
        settled_usd: Of a reversal, minus the principal that had become shares or money already; else 0.
    """

    sequence: int
    instrument_id: str
    issuer_id: str
    holder_id: str
    kind: str
    tranche_id: str | None
    statement_id: str | None
    terms_version: int | None
    amount_usd: Decimal
    settled_usd: Decimal
    occurred_at: datetime


class PrincipalView(msgspec.Struct, frozen=True, kw_only=True):
    """Principal of one instrument that was outstanding at a point in time."""

    instrument_id: str
    holder_id: str
    principal_usd: Decimal
    last_sequence: int


class IssuerView(msgspec.Struct, frozen=True, kw_only=True):
    """A startup's capitalisation.

    Attributes:
        status: ``active`` or ``ended``.
        dilution_max: The most of the fully diluted company that instruments may become, from 0 to 1; None: no limit.
        dilution_valuation_usd: The company value at which an instrument without a cap counts; None: none is set.
        holder_terms: What it and its holders agreed on; None: the defaults.
        source: Where it was imported from, for example the name of an OCF package; None: it was not.
    """

    issuer_id: str
    party_id: str
    legal_name: str
    jurisdiction: str
    formed_on: date
    status: str
    plan_shares_reserved: int
    dilution_max: Decimal | None
    dilution_valuation_usd: Decimal | None
    holder_terms: HolderTerms | None
    source: str | None
    package_hash: str | None
    last_sequence: int


class StakeholderView(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may hold securities of an issuer."""

    issuer_id: str
    holder_id: str
    name: str
    kind: str
    last_sequence: int


class StockClassView(msgspec.Struct, frozen=True, kw_only=True):
    """A class of stock after all splits. Issue price and conversion price have at most 12 places.

    One preferred share converts into `price_per_share_usd` over `conversion_price_usd` common shares.

    Attributes:
        kind: ``common`` or ``preferred``.
        shares_outstanding: Shares that are held; None for a holder that sees its own rows alone.
        preference_usd: What a share gets before common stock.
    """

    issuer_id: str
    class_id: str
    kind: str
    shares_authorised: int
    shares_outstanding: int | None
    price_per_share_usd: Decimal | None
    liquidation_multiple: Decimal | None
    seniority: int
    conversion_price_usd: Decimal | None
    participation: str
    participation_cap_multiple: Decimal | None
    price_protection: str | None
    protection_basis: str | None
    first_refusal: bool
    last_sequence: int
    preference_usd: Decimal = Decimal(0)


class OfferView(msgspec.Struct, frozen=True, kw_only=True):
    """Shares offered under a right of first refusal.

    Attributes:
        holder_id: The seller.
        holder_id_after: The buyer.
        decide_until: Until when the right may be exercised; silence waives it.
        status: ``offered``, ``waived``, ``exercised``, ``withdrawn`` or ``transferred``.
    """

    transfer_id: str
    issuer_id: str
    holder_id: str
    holder_id_after: str
    class_id: str
    shares: int
    price_usd_per_share: Decimal
    decide_until: datetime
    status: str
    last_sequence: int


class CapTableRow(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one holder in one security.

    Attributes:
        kind: ``stock``, ``option``, ``warrant``, ``promised`` or ``pool``.
        holder_id: Who holds it; empty for the pool; the issuer for the sum of the other holders.
        name: What the cap table shows; None for the pool, for sums, and for holders that were never named.
        security: The class of stock, or the id of the option, warrant or promise, or ``pool``.
        class_id: Class of the shares, or of the shares that a warrant buys.
        shares: How many.
        last_sequence: Its last event.
    """

    kind: str
    holder_id: str
    name: str | None
    security: str
    class_id: str | None
    shares: int
    last_sequence: int


class OptionView(msgspec.Struct, frozen=True, kw_only=True):
    """What an option costs, and how much of it has vested today.

    Attributes:
        exercise_price_usd: Price of a share.
        vesting: When it vests; None: at once.
        shares_granted: Ended ones included.
        shares_vested: Exercised ones included.
        shares_exercisable: Now.
        termination_exercise_days: Days to exercise after the holder's service; None: it needs none.
        service_ended_on: When that ended.
        exercisable_until: The last day.
    """

    exercise_price_usd: Decimal
    vesting: VestingSchedule | None
    shares_granted: int
    shares_vested: int
    shares_exercisable: int
    termination_exercise_days: int | None
    service_ended_on: date | None
    exercisable_until: date | None


class CapTableView(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns what of an issuer.

    Invariants: the stock rows sum to `outstanding_shares`, all rows to `fully_diluted_shares`.

    Attributes:
        issuer_id: The issuer.
        rows: Stock, options, warrants, promises and the pool; none is zero.
        outstanding_shares: Stock.
        fully_diluted_shares: Everything. Unconverted principal is no share yet: see `list_principal`.
        last_sequence: Its last event.
    """

    issuer_id: str
    rows: tuple[CapTableRow, ...]
    outstanding_shares: int
    fully_diluted_shares: int
    last_sequence: int


class RoundConversionView(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument becomes in a round. Amounts and prices have at most 12 places.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        branch: The price that it took.
        amount_usd: Dollars that convert: principal, and interest of a note.
        amount_exact: The same, exact.
        price_usd_per_share: That price.
        price_exact: The same, exact.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        alternatives: Every branch that was open to it with its price.
        price_rounded_usd: The price that divides its amount, where the round rounds prices before shares.
    """

    instrument_id: str
    holder_id: str
    branch: str
    amount_usd: Decimal
    amount_exact: Ratio
    price_usd_per_share: Decimal
    price_exact: Ratio
    shares_exact: Ratio
    shares: int
    alternatives: dict[str, Decimal]
    price_rounded_usd: Decimal | None = None


class PriceAdjustmentView(msgspec.Struct, frozen=True, kw_only=True):
    """What price protection does to one class in a round. Prices have at most 12 places, shares at most 6.

    Attributes:
        class_id: The class.
        triggered: Whether the round is cheaper than its conversion price.
        conversion_price_usd_before: Conversion price before.
        conversion_price_usd: Conversion price after.
        conversion_price_exact: The same, exact.
        as_converted_before: Common shares that the class converts into before.
        as_converted: Common shares that it converts into after.
    """

    class_id: str
    triggered: bool
    conversion_price_usd_before: Decimal
    conversion_price_usd: Decimal
    conversion_price_exact: Ratio
    as_converted_before: Decimal
    as_converted: Decimal


class PricingView(msgspec.Struct, frozen=True, kw_only=True):
    """A priced round. The certificate states every input and result exactly.

    Attributes:
        engine_version: Release that computed it.
        capitalization_shares: Fully diluted shares before the round, as converted, with at most 6 places.
        capitalization_exact: The same, exact.
        instruments: What converts.
        price_usd_per_share: Price, rounded as agreed.
        price_exact: Price before rounding, exact.
        conversions: One per instrument.
        allotments: One per investment.
        adjustments: One per class with price protection.
        forfeits: What becomes common stock by pay-to-play before the round is priced.
        pool_increase_shares: Shares added to the pool.
        pool_increase_exact: The same before rounding, exact.
        post_money_shares: Fully diluted shares after the round, as converted.
        post_money_exact: The same before rounding, exact.
        certificate_json: What `marketplace equity verify` checks, canonical JSON; empty below the depth ``full``.
    """

    engine_version: str
    capitalization_shares: Decimal
    capitalization_exact: Ratio
    instruments: tuple[ConvertingInstrument, ...]
    price_usd_per_share: Decimal
    price_exact: Ratio
    conversions: tuple[RoundConversionView, ...]
    allotments: tuple[Allotment, ...]
    adjustments: tuple[PriceAdjustmentView, ...]
    forfeits: tuple[Forfeit, ...]
    pool_increase_shares: int
    pool_increase_exact: Ratio
    post_money_shares: int
    post_money_exact: Ratio
    certificate_json: str


class ConsiderationView(msgspec.Struct, frozen=True, kw_only=True):
    """The buyer's stock that a sale is paid in.

    Attributes:
        buyer: Name of the buyer.
        price_usd_per_share: Agreed value of one share of the buyer.
        exchange_ratio: Shares of the buyer for one common share, with at most 12 places.
        exchange_ratio_exact: The same, exact.
        buyer_issuer_id: The buyer, where it is here. Its shares are issued in the append that pays the sale.
        class_id: The class of the buyer's stock.
        buyer_shares: The buyer's fully diluted shares at the declaration, as converted and rounded up.
        buyer_principal_usd: Principal and commitments of its instruments at the declaration.
        buyer_preference_usd: Preference of its preferred stock at the declaration, with at most 12 places.
    """

    buyer: str
    price_usd_per_share: Decimal
    exchange_ratio: Decimal
    exchange_ratio_exact: Ratio
    buyer_issuer_id: str | None
    class_id: str | None
    buyer_shares: int | None
    buyer_principal_usd: Decimal | None
    buyer_preference_usd: Decimal | None


class WaterfallView(msgspec.Struct, frozen=True, kw_only=True):
    """How the proceeds of a sale are shared. The certificate states every input and result exactly.

    Attributes:
        engine_version: Release that computed it.
        proceeds_usd: What there is to share.
        instruments: Principal that takes part.
        price_per_common_share_usd: Dollars of one common share, with at most 12 places.
        price_per_common_share_exact: The same, exact.
        payouts: Who gets what; they sum to the proceeds.
        certificate_json: What `marketplace equity verify` checks, canonical JSON; empty below the depth ``full``.
        safe_seniority: Rank of SAFEs among preferred stock, where the sale stated one.
        stock: The buyer's stock, in a sale that is paid in it; None: cash.
    """

    engine_version: str
    proceeds_usd: Decimal
    instruments: tuple[ConvertingInstrument, ...]
    price_per_common_share_usd: Decimal
    price_per_common_share_exact: Ratio
    payouts: tuple[Payout, ...]
    certificate_json: str
    safe_seniority: int | None
    stock: ConsiderationView | None


class FinancingView(msgspec.Struct, frozen=True, kw_only=True):
    """A priced round.

    Attributes:
        status: ``open``, ``priced``, ``closed`` or ``abandoned``.
        pro_rata: What holders may take by their right.
        pro_rata_taken: What they took, in USD by holder.
        closed_at: When it was closed; None: it was not.
    """

    financing_id: str
    issuer_id: str
    name: str
    status: str
    terms: RoundTerms
    pro_rata: tuple[ProRataOffer, ...]
    pro_rata_until: datetime | None
    open_until: datetime | None
    pro_rata_taken: dict[str, Decimal]
    pricing: PricingView | None
    priced_sequence: int | None
    approval: Approval | None
    reason: str | None
    opened_at: datetime
    closed_at: datetime | None
    last_sequence: int


class LiquidityView(msgspec.Struct, frozen=True, kw_only=True):
    """A sale of the issuer with its waterfall.

    Attributes:
        status: ``declared``, ``withdrawn``, ``replaced`` or ``paid``.
        paid_usd: What was paid; None: nothing yet.
        payouts: Who was paid what, where it differs from the waterfall; None: as declared, or not paid.
        later: Principal of after the declaration, paid in cash beside the proceeds.
        reason: Why it was withdrawn.
    """

    liquidity_id: str
    issuer_id: str
    kind: str
    status: str
    waterfall: WaterfallView
    paid_usd: Decimal | None
    payouts: tuple[Payout, ...] | None
    later: tuple[LaterPrincipal, ...]
    reason: str | None
    declared_at: datetime
    pay_until: datetime
    paid_at: datetime | None
    last_sequence: int


class ValuationView(msgspec.Struct, frozen=True, kw_only=True):
    """Someone's valuation of one common share."""

    issuer_id: str
    recorded_sequence: int
    price_usd_per_share: Decimal
    method: str
    effective_on: date
    recorded_at: datetime
    last_sequence: int


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """The vote of one party that is asked, or that invests by its mandate.

    Attributes:
        vote: ``asked``: not voted yet; ``agreed``, ``refused``, or ``withdrawn``: it took its agreement back;
            ``mandated``: its mandate agreed, and it is not asked.
    """

    party_id: str
    vote: str
    reason: str | None


class SaleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a sale that is proposed pays, before it is voted on.

    Attributes:
        proceeds_usd: The proceeds.
        yours: The reader's payouts, by security.
        yours_usd: The sum of these, in cash or in the buyer's stock at its price.
        by_security: The sums of all holders, by class of stock, and of all instruments, options and warrants.
    """

    proceeds_usd: Decimal
    yours: tuple[Payout, ...]
    yours_usd: Decimal
    by_security: dict[str, Decimal]


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. Others' amounts in it are shown as far as the reader may see the company.

    Attributes:
        status: ``open``, ``effective``, ``refused``, ``withdrawn``, ``lapsed`` or ``void``.
        effects: The events that it records once every consent is given.
        votes: How each party that is asked voted so far.
        reason: Why it ended without effect.
        sale: What it pays, if it is a sale.
        may: What the reader may do with it now: ``agree``, ``refuse``, ``withdraw_consent`` or ``withdraw``.
        classes: The classes that its effects name, as they are or will be.
    """

    proposal_id: str
    issuer_id: str
    proposer_id: str
    status: str
    effects: tuple[ProposedEvent, ...]
    consents: tuple[Consent, ...]
    votes: tuple[VoteView, ...]
    proposed_at: datetime
    decide_until: datetime
    reason: str | None
    last_sequence: int
    sale: SaleSummary | None = None
    may: tuple[str, ...] = ()
    classes: tuple[StockClassView, ...] = ()


class RightView(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of rights.

    Attributes:
        name: Its name in consents.
        act: What is done.
        proposes: Who may propose it.
        agrees: Who must agree.
        unless: When they need not.
        silence: How long it may wait, and what silence means.
        told: Whom the feed tells, and who may see it.
    """

    name: str
    act: str
    proposes: str
    agrees: str
    unless: str
    silence: str
    told: str


class RightsView(msgspec.Struct, frozen=True, kw_only=True):
    """The table of rights.

    Attributes:
        rights: Its rows.
        decide_within_days: A proposal that waits for so many days lapses.
    """

    rights: tuple[RightView, ...]
    decide_within_days: int


class TrancheView(msgspec.Struct, frozen=True, kw_only=True):
    """A tranche of a warrant as it is now, after all splits.

    Attributes:
        shares: Shares that it buys or has bought.
        shares_outstanding: Shares that it still buys.
        shares_unvested: Those of them that have not vested.
        shares_exercisable: Those of them that may be exercised now.
        is_vested: Whether all has vested.
        is_released: Whether its conditions of exercise hold.
        exercise_price_usd: Price of one share, with at most 12 places; None until it is fixed.
        vested_on: The day on which all had vested.
    """

    shares: int
    shares_outstanding: int
    shares_unvested: int
    shares_exercisable: int
    is_vested: bool
    is_released: bool
    exercise_price_usd: Decimal | None
    vested_on: date | None


class WarrantView(msgspec.Struct, frozen=True, kw_only=True):
    """A warrant as it is now.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it now.
        class_id: Class of the shares.
        status: ``open``, ``used`` (all is exercised or cancelled) or ``expired``.
        expires_at: Last instant of exercise.
        exercise_price_usd: Price of one share, with at most 12 places, of tranches that have no other.
        terms: Its terms as issued, in shares and prices of then.
        attested: Names of milestones that were attested.
        tranches: In order; one if the terms state none.
        last_sequence: The event that last changed it.
    """

    issuer_id: str
    warrant_id: str
    holder_id: str
    class_id: str
    status: str
    expires_at: datetime
    exercise_price_usd: Decimal
    terms: IssuerWarrantIssued
    attested: tuple[str, ...]
    tranches: tuple[TrancheView, ...]
    last_sequence: int


class ProgrammeView(msgspec.Struct, frozen=True, kw_only=True):
    """A programme: customers and vendors, their grants that count together, and purchases outside the market."""

    issuer_id: str
    programme_id: str
    name: str
    customer_ids: tuple[str, ...]
    vendor_ids: tuple[str, ...]
    counts_outside: bool
    grant_ids: tuple[str, ...]
    purchases: tuple[IssuerPurchasesStated, ...]
    last_sequence: int


class PriceSourceView(msgspec.Struct, frozen=True, kw_only=True):
    """Who records the price of a share; without a recorder, the platform."""

    issuer_id: str
    source_id: str
    name: str
    recorder_id: str | None
    last_sequence: int


class PriceObservationView(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a share on a day and its volume, of shares as they were when it was recorded."""

    day: date
    price_usd_per_share: Decimal
    volume: int
    last_sequence: int
