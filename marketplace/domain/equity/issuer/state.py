"""The state of an issuer, and the company as the equity mathematics sees it.

Shares and prices are those after all splits. The original numbers of the events are kept beside them, so that a command
repeated after a split is still recognised. Maps are persistent, and sorted wherever their order could show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, NamedTuple, get_args

from immutables import Map
from msgspec import structs

from events.financing import Investment, LaterPrincipal, RoundPricing, RoundTerms
from events.issuer import (
    IssuerDilutionLimited,
    IssuerFinancingOpened,
    IssuerFormed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerMilestoneAttested,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionTransferred,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerPurchasesStated,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
    IssuerWarrantTransferred,
)
from events.issuer_dilution import Exposure
from events.issuer_holders import HolderTerms, ProRataOffer
from marketplace.core.ids import is_id
from marketplace.domain.equity.issuer.rights.tranches import Tranche
from marketplace.equity.model import Capitalization, Holding, PreferredClass

SENIORITY_MAX: Final = 100
RUN: Final = "#"
"""Between the id of a security and the number of its part, in a calculation."""
COUNT_WITHIN: Final = timedelta(days=14)
"""How long a proposal counts toward the most that its party may make."""

RowKind = Literal["stock", "option", "warrant", "promised", "pool"]
ROW_KINDS: Final[tuple[str, ...]] = get_args(RowKind)
"""The kinds of rows in the order of a cap table."""
Act = (
    IssuerStockTransferred
    | IssuerStockRepurchased
    | IssuerStockSplit
    | IssuerStockConverted
    | IssuerOptionExercised
    | IssuerOptionTransferred
    | IssuerOptionCancelled
    | IssuerWarrantExercised
    | IssuerWarrantCancelled
    | IssuerWarrantTransferred
)


@dataclass(frozen=True, slots=True)
class StockClass:
    """A class of stock.

    Attributes:
        created: Its creation event.
        shares_authorised: The most shares that may be outstanding.
        shares_outstanding: Shares outstanding.
        price_usd: Original issue price of preferred stock, exact; None for common.
        conversion_price_usd: Price at which it converts into common stock; the issue price until protection lowers it.
    """

    created: IssuerStockClassCreated
    shares_authorised: int
    shares_outstanding: int
    price_usd: Fraction | None
    conversion_price_usd: Fraction | None

    @property
    def conversion_ratio(self) -> Fraction:
        """Common shares into which one share converts now, exact; 1 for common."""
        if self.price_usd is None or self.conversion_price_usd is None:
            return Fraction(1)
        return self.price_usd / self.conversion_price_usd


@dataclass(frozen=True, slots=True)
class Option:
    """An option.

    Attributes:
        granted: Its grant event.
        holder_id: Who holds it.
        shares: Shares granted, less cancelled ones.
        shares_outstanding: Shares neither exercised nor cancelled.
        exercise_price_usd: Price of one share.
        shares_granted: Shares granted, cancelled ones included: the base of its vesting.
        service_ended_on: The day on which its holder's service ended; None: it has not, or the option does not depend
            on it.
    """

    granted: IssuerOptionGranted
    holder_id: str
    shares: int
    shares_outstanding: int
    exercise_price_usd: Fraction
    shares_granted: int
    service_ended_on: date | None = None

    @property
    def exercisable_until(self) -> date | None:
        """Return the last day on which it may be exercised; None: no day is."""
        days = self.granted.termination_exercise_days
        if self.service_ended_on is None or days is None:
            return None
        return self.service_ended_on + timedelta(days=days)

    @property
    def ends_at(self) -> datetime | None:
        """Return the first instant at which it can no longer be exercised; None: there is none."""
        until = self.exercisable_until
        return None if until is None else datetime.combine(until + timedelta(days=1), time.min, UTC)

    def use(self, shares: int) -> "Option":
        """Return it after an exercise."""
        return replace(self, shares_outstanding=self.shares_outstanding - shares)

    def end(self, shares: int, service_ended_on: date | None) -> "Option":
        """Return it after shares of it ended, or after its holder's service did."""
        return replace(
            self,
            shares=self.shares - shares,
            shares_outstanding=self.shares_outstanding - shares,
            service_ended_on=service_ended_on or self.service_ended_on,
        )

    def split(self, ratio: Fraction) -> "Option":
        """Return it after a split; its shares are rounded down."""
        return replace(
            self,
            shares=int(self.shares * ratio),
            shares_outstanding=int(self.shares_outstanding * ratio),
            exercise_price_usd=self.exercise_price_usd / ratio,
            shares_granted=int(self.shares_granted * ratio),
        )


def find_lapse(issued: IssuerWarrantIssued) -> datetime:
    """Return the first instant at which a warrant can no longer be exercised: its last one still counts."""
    return issued.expires_at + timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Warrant:
    """A warrant.

    Attributes:
        issued: Its issue event.
        holder_id: Who holds it now.
        exercise_price_usd: Price of one share, of tranches that state no other.
        tranches: Its tranches in order; one if it states none.
        attested: Milestones that were attested, by name.
        expired: Whether its end was recorded.
        split: The split factor since it was issued.
        joined_id: The party that its first holder, without a key, is; None: it did not pass to it.
    """

    issued: IssuerWarrantIssued
    holder_id: str
    exercise_price_usd: Fraction
    tranches: tuple[Tranche, ...]
    attested: Map[str, IssuerMilestoneAttested] = field(default_factory=Map)
    expired: bool = False
    split: Fraction = Fraction(1)
    joined_id: str | None = None

    @property
    def first_holder_id(self) -> str:
        """The first holder, by the id of its party once it is one."""
        return self.joined_id or self.issued.holder_id

    def is_past(self, at: datetime) -> bool:
        """Return whether its last instant of exercise has passed."""
        return at >= find_lapse(self.issued)

    @property
    def shares(self) -> int:
        """The most shares that it buys."""
        return sum(tranche.shares for tranche in self.tranches)

    @property
    def shares_outstanding(self) -> int:
        """Shares that it may still buy."""
        return sum(tranche.outstanding for tranche in self.tranches)

    @property
    def shares_exercisable(self) -> int:
        """Shares that may be exercised now."""
        return sum(tranche.exercisable for tranche in self.tranches)

    @property
    def vested(self) -> frozenset[int]:
        """Stated tranches that have vested in full."""
        return frozenset(
            index for index, tranche in enumerate(self.tranches) if tranche.is_vested and self.issued.tranches
        )

    @property
    def interested(self) -> frozenset[str]:
        """The present and the first holder, and the affiliates that it names. They attest nothing and make no price."""
        return frozenset({self.holder_id, self.first_holder_id, *self.issued.affiliate_ids})


@dataclass(frozen=True, slots=True)
class Programme:
    """A programme whose purchases count together.

    Attributes:
        opened: Its parties.
        grants: Grants that count, by id.
        stated: Statements of purchases outside this market that count, by id.
    """

    opened: IssuerProgrammeOpened
    grants: Map[str, IssuerProgrammeGrantAdded] = field(default_factory=Map)
    stated: Map[str, IssuerPurchasesStated] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class PriceSource:
    """Recorded prices of a share, after all splits.

    Attributes:
        named: Who records them.
        latest: The latest observation as it was recorded; None: none.
        prices: Price and volume by day, of the last 400 days that it has recorded.
        used: By warrant that vested, was priced or exercised by its means, the last day that it had recorded then.
    """

    named: IssuerPriceSourceNamed
    latest: IssuerPriceObserved | None = None
    prices: Map[date, tuple[Fraction, Fraction]] = field(default_factory=Map)
    used: Map[str, date] = field(default_factory=Map)


@dataclass(frozen=True, slots=True)
class Financing:
    """A priced round.

    Attributes:
        opened: Its terms.
        status: Whether it is open.
        pricing: Its price; None before it is computed.
        basis: The company that was priced; None before, and once somebody takes a part of the round after that.
        close_until: Until when it may close at that price; None before, and for an import.
        answers: The USD that each holder takes by its pro rata right, 0 for nothing.
        offers: What each holder may take by its right.
        outdated: Who had taken a part before an instrument was signed, or got other terms. Unless the investors buy a
            fixed part of the company, that dilutes what they buy.
    """

    opened: IssuerFinancingOpened
    status: Literal["open", "closed", "abandoned"]
    offers: tuple[ProRataOffer, ...]
    pricing: RoundPricing | None = None
    basis: Capitalization | None = None
    close_until: datetime | None = None
    answers: Map[str, Decimal] = field(default_factory=Map)
    outdated: frozenset[str] = frozenset()

    @property
    def priced_on(self) -> date | None:
        """Return the day of its price; None before, and if an import does not state it."""
        until = self.close_until
        return None if until is None else (until - timedelta(days=self.opened.closing_days)).date()

    def find_until(self, offer: ProRataOffer) -> datetime | None:
        """Return until when an offer may be answered."""
        return offer.until or self.opened.pro_rata_until

    @property
    def terms(self) -> RoundTerms:
        """Return its terms, with the investments that holders make by their pro rata rights."""
        terms = self.opened.terms
        invested = {each.holder_id: each.amount_usd for each in terms.investments}
        for holder_id, amount in sorted(self.answers.items()):
            if amount:
                invested[holder_id] = invested.get(holder_id, Decimal(0)) + amount
        investments = tuple(Investment(holder_id=holder, amount_usd=amount) for holder, amount in invested.items())
        return structs.replace(terms, investments=investments) if self.answers else terms


@dataclass(frozen=True, slots=True)
class Offer:
    """Shares offered to the holders of the right of first refusal, and the issuer's split factor at the offer."""

    offered: IssuerStockOffered
    status: Literal["offered", "waived", "exercised", "withdrawn", "transferred"]
    split_ratio: Fraction

    def is_past(self, at: datetime) -> bool:
        """Return whether the last instant at which the right may be exercised has passed."""
        return at > self.offered.decide_until


class Purchase(NamedTuple):
    """Stock that a warrant or an option bought in cash.

    Attributes:
        holder_id: By whom.
        class_id: Of which class.
        shares: How many shares before any split.
        price_usd: The price of one of these.
        is_option: Whether an option bought it.
    """

    holder_id: str
    class_id: str
    shares: Fraction
    price_usd: Fraction
    is_option: bool = False

    @property
    def usd(self) -> Fraction:
        """The dollars of all."""
        return self.shares * self.price_usd


class Exercised(NamedTuple):
    """Rights of an option or a warrant that were exercised while a sale that counts them was declared.

    Attributes:
        right_id: The option or the warrant.
        price_usd: The exercise price of one share.
        rights: How many were exercised, with those that a net exercise surrendered.
        class_id: What was issued.
        shares: How many were issued.
    """

    right_id: str
    price_usd: Fraction
    rights: int
    class_id: str
    shares: int


@dataclass(frozen=True, slots=True)
class Sale:
    """A declared liquidity event; once it is paid, with the payouts that were paid.

    Attributes:
        declared: Its declaration.
        status: What became of it.
        exercised: What was exercised beside it.
        later: Principal that accrued after the declaration and was paid beside the proceeds.
    """

    declared: IssuerLiquidityDeclared
    status: Literal["declared", "withdrawn", "replaced", "paid"]
    exercised: tuple[Exercised, ...] = ()
    later: tuple[LaterPrincipal, ...] = ()


class PriceMark(NamedTuple):
    """A price of one share that was stated, after all splits.

    Attributes:
        price_usd: The price, exact.
        source: The round, or the valuation by its method and day.
        makers: The shares that each party beside the company bought at it in a round, less those that the company
            bought back from it since; None: the platform recorded it.
        effective_on: The day of a valuation, or on which a round was priced; None if an import does not state it.
        company_shares: The shares of the company after the round, fully diluted; 0 for a valuation.
    """

    price_usd: Fraction
    source: str
    makers: Mapping[str, Fraction] | None
    effective_on: date | None = None
    company_shares: Fraction = Fraction(0)

    def split(self, ratio: Fraction) -> "PriceMark":
        """Return the price after a split."""
        return self._replace(
            price_usd=self.price_usd / ratio,
            makers=None if self.makers is None else {each: shares * ratio for each, shares in self.makers.items()},
            company_shares=self.company_shares * ratio,
        )

    def buy_back(self, holder_id: str, shares: int) -> "PriceMark":
        """Return the price without shares that the company bought back from one of its makers."""
        if self.makers is None or holder_id not in self.makers:
            return self
        left = max(self.makers[holder_id] - shares, Fraction(0))
        return self._replace(makers={**self.makers, holder_id: left})


@dataclass(frozen=True, slots=True)
class Importing:
    """An import that has begun; its events follow in the same atomic batch."""

    imported: IssuerImported


@dataclass(frozen=True, slots=True)
class Issuer:
    """A startup's capitalisation.

    Attributes:
        formed: How it began.
        imported: The source, if it was imported.
        stakeholders: By holder id.
        classes: By class id.
        securities: What was issued for money or in a round, by security id.
        holdings: Shares by holder and class; none is 0.
        acts: Transfers, repurchases, splits, conversions, exercises and cancellations, by the id of each.
        programmes: By programme id.
        price_sources: By source id.
        offers: Shares offered before a transfer, by transfer id.
        shares_reserved: Size of the pool: granted, exercised, promised and available.
        promises: Options promised and neither granted nor withdrawn, by promise id.
        promised: Every promise there was, by promise id.
        options: By option id.
        warrants: By warrant id.
        instruments: What may become equity, by instrument id.
        valuations: Oldest first.
        financings: By financing id.
        sales: By liquidity id; the latest declared is the one that counts.
        liquidity_id: The latest declared; None if there is none, or it was withdrawn.
        is_ended: Whether the proceeds of that one were paid out.
        price_marks: Every price of a share that was stated, oldest first.
        proposals: By whom and when each proposal of the last `COUNT_WITHIN` was made, and whether it closes a round or
            concerns a sale, by its id.
        refusals: By party, when it refused each proposal of an issue without a round. A refusal that was taken back is
            left out.
        holder_terms: What the company and its holders agreed on.
        limit: The dilution limit; None if the issuer set none.
        limited: The parties that held something when the limit was agreed on. It permits nothing beside others.
        limited_classes: The classes of stock at that time. It permits no later one that ranks before stock of others.
        bound: The parties that held something when the holder terms were agreed on. Their drag-along binds no others.
        exposures: What may still become equity, by instrument, and by order while there is a limit.
        worth_at_issue: USD that all stock was worth at the price of a security, just after that was issued; of every
            security without a cause, by its id.
        purchases: What warrants and options bought in cash, by the id of the exercise.
        paid_back: USD that the company paid each holder for its stock, and that was clawed back from what bought stock.
        split_ratio: The split factor of all splits.
        split_at_issue: The split factor when a security was issued, by its id.
        shares_at_signing: The company's shares when a note was signed, by the note and the definition that counts them,
            in shares before any split. A cap is divided by no fewer shares, also after repurchases.
        instrument_shares: Shares by class that instruments became and that warrants bought, less clawbacks.
    """

    formed: IssuerFormed
    imported: IssuerImported | None = None
    stakeholders: Map[str, IssuerStakeholderAdded] = field(default_factory=Map)
    classes: Map[str, StockClass] = field(default_factory=Map)
    securities: Map[str, IssuerStockIssued] = field(default_factory=Map)
    holdings: Map[tuple[str, str], int] = field(default_factory=Map)
    acts: Map[str, Act] = field(default_factory=Map)
    offers: Map[str, Offer] = field(default_factory=Map)
    shares_reserved: int = 0
    promises: Map[str, int] = field(default_factory=Map)
    promised: Map[str, IssuerOptionPromised] = field(default_factory=Map)
    options: Map[str, Option] = field(default_factory=Map)
    warrants: Map[str, Warrant] = field(default_factory=Map)
    programmes: Map[str, Programme] = field(default_factory=Map)
    price_sources: Map[str, PriceSource] = field(default_factory=Map)
    instruments: Map[str, IssuerInstrumentSigned] = field(default_factory=Map)
    valuations: tuple[IssuerValuationRecorded, ...] = ()
    financings: Map[str, Financing] = field(default_factory=Map)
    sales: Map[str, Sale] = field(default_factory=Map)
    liquidity_id: str | None = None
    is_ended: bool = False
    price_marks: tuple[PriceMark, ...] = ()
    proposals: Map[str, tuple[str, datetime, bool]] = field(default_factory=Map)
    refusals: Map[str, Map[str, datetime]] = field(default_factory=Map)
    holder_terms: HolderTerms = field(default_factory=HolderTerms)
    limit: IssuerDilutionLimited | None = None
    limited: frozenset[str] = frozenset()
    limited_classes: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    exposures: Map[str, tuple[Exposure, ...]] = field(default_factory=Map)
    worth_at_issue: Map[str, Fraction] = field(default_factory=Map)
    purchases: Map[str, Purchase] = field(default_factory=Map)
    paid_back: Map[str, Fraction] = field(default_factory=Map)
    split_ratio: Fraction = Fraction(1)
    split_at_issue: Map[str, Fraction] = field(default_factory=Map)
    shares_at_signing: Map[tuple[str, str], Fraction] = field(default_factory=Map)
    instrument_shares: Map[str, int] = field(default_factory=Map)

    @property
    def shares_available(self) -> int:
        """Pool that is neither granted nor promised."""
        return self.shares_reserved - self.shares_granted - self.shares_promised

    @property
    def shares_granted(self) -> int:
        """Pool that is granted or was exercised."""
        return sum(option.shares for option in self.options.values())

    @property
    def shares_promised(self) -> int:
        """Pool that is promised and not granted yet."""
        return sum(self.promises.values())

    @property
    def is_changing(self) -> bool:
        """Whether a round is open, or a sale is declared and not paid."""
        return self.find_sale() is not None or self.find_open_financing() is not None

    def find_sale(self) -> Sale | None:
        """Return the sale that is declared and neither paid nor withdrawn; None if there is none."""
        return None if self.liquidity_id is None or self.is_ended else self.sales[self.liquidity_id]

    def find_open_financing(self) -> Financing | None:
        """Return the round that is open; None if none is."""
        return next((financing for financing in self.financings.values() if financing.status == "open"), None)


IssuerState = Issuer | Importing | None


def follow_stock(state: Issuer, rows: Iterable[tuple[str, str]], *, back: bool = False) -> frozenset[tuple[str, str]]:
    """Return holders and classes of stock, and those that it was handed on to and converted into.

    Stock that the company took back is not followed further, unless `back`.

    Args:
        state: The issuer.
        rows: The holders and classes.
        back: Whether to follow it to whom it came from instead.
    """
    moves: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for act in state.acts.values():
        match act:
            case IssuerStockTransferred() if back or state.formed.party_id not in {act.holder_id, act.holder_id_after}:
                move = (act.holder_id, act.class_id), (act.holder_id_after, act.class_id)
            case IssuerStockConverted():
                move = (act.holder_id, act.class_id), (act.holder_id, act.class_id_after)
            case _:
                continue
        giver, taker = reversed(move) if back else move
        moves.setdefault(giver, set()).add(taker)
    found, ahead = set[tuple[str, str]](), {*rows}
    while ahead:
        found |= ahead
        ahead = {taker for each in ahead for taker in moves.get(each, ())} - found
    return frozenset(found)


class Row(NamedTuple):
    """One row of a cap table.

    Attributes:
        kind: The kind of security.
        holder_id: The holder; None for the unissued pool.
        security: The class of stock, the option, the warrant or the promise; ``pool`` for the pool.
        shares: The number of shares.
    """

    kind: RowKind
    holder_id: str | None
    security: str
    shares: int


class Totals(NamedTuple):
    """Shares of an issuer by kind; the first five sum to the last."""

    stock: int
    options: int
    warrants: int
    promised: int
    pool: int
    fully_diluted: int


def list_live_warrants(state: Issuer, at: datetime | None = None) -> list[tuple[str, Warrant]]:
    """Return warrants that still buy shares, by id, without those that expired before `at`."""
    return [
        (warrant_id, warrant)
        for warrant_id, warrant in sorted(state.warrants.items())
        if warrant.shares_outstanding and (at is None or not warrant.is_past(at))
    ]


def count_warrant_shares(state: Issuer, class_id: str, at: datetime) -> int:
    """Return how many shares of a class warrants that have not expired by `at` may still buy."""
    live = (warrant for _, warrant in list_live_warrants(state, at))
    return sum(warrant.shares_outstanding for warrant in live if warrant.issued.class_id == class_id)


def list_rows(state: Issuer, at: datetime | None = None) -> tuple[Row, ...]:
    """Return the cap table: stock by holder and class, options, warrants, promises, and the pool last.

    Args:
        state: The issuer.
        at: Warrants that expired before are left out; None counts every warrant that was not exercised.
    """
    return (
        *(Row("stock", holder, class_id, shares) for (holder, class_id), shares in sorted(state.holdings.items())),
        *(
            Row("option", option.holder_id, option_id, option.shares_outstanding)
            for option_id, option in sorted(state.options.items())
            if option.shares_outstanding
        ),
        *(
            Row("warrant", warrant.holder_id, warrant_id, warrant.shares_outstanding)
            for warrant_id, warrant in list_live_warrants(state, at)
        ),
        *(
            Row("promised", state.promised[promise_id].holder_id, promise_id, shares)
            for promise_id, shares in sorted(state.promises.items())
        ),
        Row("pool", None, "pool", state.shares_available),
    )


def list_holders(state: Issuer) -> frozenset[str]:
    """Return everyone who holds stock, an option, a warrant, a promise or an instrument of the issuer."""
    rows = {row.holder_id for row in list_rows(state) if row.holder_id is not None}
    return frozenset(rows | {signed.holder_id for signed in state.instruments.values()})


def list_parties(state: Issuer) -> frozenset[str]:
    """Return the parties that hold something of the issuer, without the issuer's own."""
    return frozenset(each for each in list_holders(state) if is_id(each, "pty")) - {state.formed.party_id}


def total_shares(state: Issuer, at: datetime | None = None) -> Totals:
    """Return the shares by kind; see `list_rows` for `at`."""
    stock = sum(stock_class.shares_outstanding for stock_class in state.classes.values())
    options = sum(option.shares_outstanding for option in state.options.values())
    warrants = sum(warrant.shares_outstanding for _, warrant in list_live_warrants(state, at))
    promised, pool = state.shares_promised, state.shares_available
    return Totals(stock, options, warrants, promised, pool, stock + options + warrants + promised + pool)


def measure_ownership(state: Issuer, at: datetime | None = None) -> dict[str | None, Fraction]:
    """Return each holder's share of the fully diluted company, the pool under None; the sum is 1 if there are shares.

    `at` is as in `list_rows`.
    """
    rows = list_rows(state, at)
    whole = sum(row.shares for row in rows)
    owned: dict[str | None, Fraction] = {}
    for row in rows:
        if row.shares:
            owned[row.holder_id] = owned.get(row.holder_id, Fraction(0)) + Fraction(row.shares, whole)
    return owned


def capitalization_of(state: Issuer, at: datetime | None = None) -> Capitalization:
    """Return the company as the equity mathematics sees it; see `list_rows` for `at`."""
    totals = total_shares(state, at)
    return Capitalization(
        holdings=tuple(Holding(holder, class_id, n) for (holder, class_id), n in sorted(state.holdings.items())),
        preferred=tuple(
            _render_preferred(stock_class, stock_class.price_usd)
            for _, stock_class in sorted(state.classes.items())
            if stock_class.price_usd is not None
        ),
        options_granted=totals.options,
        options_promised=totals.promised,
        options_available=totals.pool,
        warrants=totals.warrants,
    )


def is_accelerated(warrant: Warrant, proceeds_usd: Decimal) -> bool:
    """Return whether a sale for these proceeds lets all of a warrant vest."""
    terms = warrant.issued.change_of_control
    if terms is None:
        return False
    if terms.proceeds_usd is None:
        return True
    return proceeds_usd < terms.proceeds_usd if terms.when == "below" else proceeds_usd > terms.proceeds_usd


def render_seniority(rank: int) -> int:
    """Convert a rank, where a higher one is paid first, to the equity mathematics, where 1 is paid first."""
    return SENIORITY_MAX + 1 - rank


def _render_preferred(stock_class: StockClass, price_usd: Fraction) -> PreferredClass:
    multiple = stock_class.created.liquidation_multiple
    assert multiple is not None, "preferred stock states its preference"
    created = stock_class.created
    return PreferredClass(
        class_id=created.class_id,
        issue_price_usd=price_usd,
        seniority=render_seniority(created.seniority),
        conversion_price_usd=stock_class.conversion_price_usd,
        liquidation_multiple=multiple,
        participation=created.participation,
        participation_cap_multiple=created.participation_cap_multiple,
        price_protection=created.price_protection,
        protection_basis=created.protection_basis,
    )
