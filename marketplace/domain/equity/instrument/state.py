"""The state of an instrument: its draw, its terms by version, its tranches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Literal, NamedTuple

from msgspec import structs

from events.financing import ConvertingInstrument, DatedPrincipal
from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentCommitmentReduced,
    InstrumentConverted,
    InstrumentDebtPaid,
    InstrumentEvent,
    InstrumentIssued,
    InstrumentLapsed,
    InstrumentMatured,
    InstrumentMfnElected,
    InstrumentMfnNoticed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentResumed,
    InstrumentSuspended,
    InstrumentTransferred,
    TakenShares,
)
from events.issuer_dilution import Exposure
from events.service import ServiceResult
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms
from marketplace.core.money import ZERO
from marketplace.equity import model
from marketplace.equity.notes import balance

DrawStatus = Literal["active", "suspended", "lapsed", "cancelled", "repaid"]


class TermsVersion(NamedTuple):
    """Terms, and whether they also apply to earlier tranches."""

    terms: PrincipalTerms
    applies_to_earlier: bool


@dataclass(frozen=True, slots=True)
class Tranche:
    """The principal of a part of a statement or of the payment, and what it became, in dollars.

    Attributes:
        tranche_id: The tranche.
        statement_id: The accepted statement; None for a payment.
        accrued_usd: Principal that accrued.
        terms_version: The terms under which it accrued.
        interest_from: Day from which a note earns interest.
        service: The service result of the statement's period; None if nothing was promised.
        reversals: By reason.
        converted_usd: Principal that became shares and was not reversed since.
        repaid_usd: Principal that became money and was not reversed since.
        conversion: Index in `Instrument.conversions` of the one in which it became shares; None if it did not.
        dollars_per_principal: Dollars with which one dollar of its principal converted, with a note's interest.
    """

    tranche_id: str
    statement_id: str | None
    accrued_usd: Decimal
    terms_version: int
    interest_from: date
    service: ServiceResult | None = None
    reversals: Mapping[str, InstrumentPrincipalReversed] = field(default_factory=dict)
    converted_usd: Decimal = ZERO
    repaid_usd: Decimal = ZERO
    conversion: int | None = None
    dollars_per_principal: Fraction = Fraction(1)

    @property
    def principal_usd(self) -> Decimal:
        """USD that accrued, less reversed ones; converted and repaid ones are included."""
        return self.accrued_usd - sum((each.principal_usd for each in self.reversals.values()), ZERO)

    @property
    def outstanding_usd(self) -> Decimal:
        """Principal that is neither converted nor repaid."""
        return self.principal_usd - self.converted_usd - self.repaid_usd


class Run(NamedTuple):
    """Outstanding principal of consecutive tranches with equal terms. It converts at one price."""

    terms: PrincipalTerms
    principal_usd: Decimal
    tranches: tuple[Tranche, ...]


class ClawedBack(NamedTuple):
    """What clawbacks have taken back of one conversion. Shares are counted as at the conversion, before later splits.

    Attributes:
        principal_usd: Principal.
        amount: The exact dollars with which it had converted, a note's interest included.
        shares: Shares that were to be returned: whole ones, or a fraction if a split came between.
    """

    principal_usd: Decimal = ZERO
    amount: Fraction = Fraction(0)
    shares: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A signed agreement.

    Attributes:
        issued: The signed terms.
        status: Principal may accrue only while it is `active`.
        versions: Terms, version 1 first.
        tranches: Oldest first.
        conversions: Oldest first.
        repaid: How it was repaid; None if it was not.
        notices: Later instruments of which the holder of a most-favoured SAFE was notified, by id.
        first_windows: When the window of each ended before the startup extended it, by id.
        election: That holder's decision; None before it.
        reductions: Reductions of the commitment, by cause.
        takings: What was clawed back of conversions, by their position in `conversions`.
        debts_paid: What the holder paid of its debt, by payment.
        matured: Maturity dates on which part of a note fell due.
        transferred: How it passed to the party that its first holder is; None: it did not.
    """

    issued: InstrumentIssued
    status: DrawStatus
    versions: tuple[TermsVersion, ...]
    tranches: tuple[Tranche, ...] = ()
    conversions: tuple[InstrumentConverted, ...] = ()
    repaid: InstrumentRepaid | None = None
    notices: Mapping[str, InstrumentMfnNoticed] = field(default_factory=dict)
    first_windows: Mapping[str, datetime] = field(default_factory=dict)
    election: InstrumentMfnElected | None = None
    reductions: Mapping[str, Decimal] = field(default_factory=dict)
    takings: Mapping[int, ClawedBack] = field(default_factory=dict)
    debts_paid: Mapping[str, Decimal] = field(default_factory=dict)
    matured: frozenset[date] = frozenset()
    transferred: InstrumentTransferred | None = None

    @property
    def holder_id(self) -> str:
        """Who holds it."""
        return self.issued.holder_id if self.transferred is None else self.transferred.holder_id_after

    @property
    def debt_usd(self) -> Decimal:
        """What the holder still owes the issuer for principal that was clawed back."""
        owed = (each.debt_usd for tranche in self.tranches for each in tranche.reversals.values())
        return sum(owed, ZERO) - sum(self.debts_paid.values(), ZERO)

    @property
    def principal_usd(self) -> Decimal:
        """Principal accrued so far, less what was reversed. It includes what was converted or repaid since."""
        return sum((tranche.principal_usd for tranche in self.tranches), ZERO)

    @property
    def converted_usd(self) -> Decimal:
        """Principal that became shares and was not reversed since."""
        return sum((tranche.converted_usd for tranche in self.tranches), ZERO)

    @property
    def outstanding_usd(self) -> Decimal:
        """Principal that is neither converted nor repaid."""
        return sum((tranche.outstanding_usd for tranche in self.tranches), ZERO)

    @property
    def commitment_usd(self) -> Decimal:
        """The signed commitment less reductions."""
        return self.issued.commitment_usd - sum(self.reductions.values(), ZERO)

    @property
    def undrawn_usd(self) -> Decimal:
        """The part of the commitment that may still accrue."""
        return self.commitment_usd - self.principal_usd

    @property
    def is_open(self) -> bool:
        """Whether the rest of the commitment may still accrue, now or once it is resumed."""
        return self.status in {"active", "suspended"}

    @property
    def open_usd(self) -> Decimal:
        """The undrawn commitment; 0 once the draw has ended."""
        return self.undrawn_usd if self.is_open else ZERO

    @property
    def terms(self) -> PrincipalTerms:
        """The terms of the next tranche."""
        return self.versions[-1].terms

    def find_tranche(self, tranche_id: str) -> Tranche | None:
        """Return a tranche by its id; None if there is none."""
        return next((tranche for tranche in self.tranches if tranche.tranche_id == tranche_id), None)

    def get_terms(self, tranche: Tranche) -> PrincipalTerms:
        """Return the current terms of a tranche: those under which it accrued, or the latest that apply to it."""
        later = self.versions[tranche.terms_version :]
        applicable = (version.terms for version in reversed(later) if version.applies_to_earlier)
        return next(applicable, self.versions[tranche.terms_version - 1].terms)

    def list_runs(self) -> tuple[Run, ...]:
        """Return the outstanding principal by terms, oldest first; runs convert in this order."""
        outstanding = [tranche for tranche in self.tranches if tranche.outstanding_usd > ZERO]
        return tuple(
            Run(terms, sum((tranche.outstanding_usd for tranche in tranches), ZERO), tranches)
            for terms, tranches in ((terms, tuple(group)) for terms, group in groupby(outstanding, key=self.get_terms))
        )

    def list_converting(self, at: datetime | None = None) -> tuple[ConvertingInstrument, ...]:
        """Return each run of outstanding principal that a financing converts; priced stock and warrants are left out.

        Args:
            at: When it is priced, which says whose silence declined a most-favoured election; None: nobody's.
        """
        return tuple(
            ConvertingInstrument(
                instrument_id=self.issued.instrument_id,
                holder_id=self.holder_id,
                principal_usd=run.principal_usd,
                terms=run.terms,
                mfn_election=self._find_election(run.terms, at),
                accruals=list_accruals(run.tranches) if isinstance(run.terms, NoteTerms) else (),
            )
            for run in self.list_runs()
            if not isinstance(run.terms, PricedTerms)
        )

    def list_exposures(self, today: date) -> tuple[Exposure, ...]:
        """Return the USD that may still become equity, outstanding or yet to accrue, one value for each set of terms.

        What may still accrue to a note earns interest from `today`.
        """
        parts = [
            (self._find_conversion(run.terms), run.principal_usd, min(each.interest_from for each in run.tranches))
            for run in self.list_runs()
        ]
        parts.append((self._find_conversion(self.terms), self.open_usd, today))
        amounts: dict[PrincipalTerms, tuple[Decimal, date]] = {}
        for terms, amount_usd, since in parts:
            known_usd, known_since = amounts.get(terms, (ZERO, since))
            amounts[terms] = (known_usd + amount_usd, min(since, known_since))
        return tuple(
            Exposure(
                terms=terms,
                amount_usd=amount_usd,
                interest_from=since if isinstance(terms, NoteTerms) else None,
                **self._find_offers(terms),
            )
            for terms, (amount_usd, since) in amounts.items()
            if amount_usd
        )

    def _find_conversion(self, terms: PrincipalTerms) -> PrincipalTerms:
        """Return the terms on which principal converts: those that a most-favoured SAFE elected, its clause used up."""
        if not isinstance(terms, SafeTerms) or self.election is None:
            return terms
        elected = self._find_election(terms, None)
        return structs.replace(elected if isinstance(elected, SafeTerms) else terms, most_favoured_nation=False)

    def _find_offers(self, terms: PrincipalTerms) -> dict[str, Decimal | None]:
        """Return the best of each term that a most-favoured SAFE was ever offered, until it has elected.

        A closed window does not end an offer, because the next notice opens it again.
        """
        if not isinstance(terms, SafeTerms) or not terms.most_favoured_nation or self.election is not None:
            return {}
        offers = [each.terms for each in self.notices.values()]
        caps = {
            timing: min(
                (
                    each.valuation_cap_usd
                    for each in offers
                    if each.valuation_cap_usd is not None and each.conversion_timing == timing
                ),
                default=None,
            )
            for timing in ("post_money", "pre_money")
        }
        return {
            "offered_cap_usd": caps["post_money"],
            "offered_pre_money_cap_usd": caps["pre_money"],
            "offered_discount": max((each.discount for each in offers if each.discount is not None), default=None),
        }

    def has_open_notice(self, at: datetime | None) -> bool:
        """Return whether a later instrument's terms may be elected at `at`, the last instant included; None: ever."""
        return any(at is None or at <= notice.elect_until for notice in self.notices.values())

    def _find_election(self, terms: PrincipalTerms, at: datetime | None) -> SafeTerms | Literal["declined"] | None:
        if not isinstance(terms, SafeTerms) or not terms.most_favoured_nation:
            return None
        if self.election is None:
            return None if self.has_open_notice(at) else "declined"
        return "declined" if self.election.later_instrument_id is None else self.election.terms


def find_maturity(matures_on: date) -> datetime:
    """Return when a note is due: at the end of its last day of interest."""
    return datetime.combine(matures_on + timedelta(days=1), time(), UTC)


def list_accruals(tranches: Sequence[Tranche]) -> tuple[DatedPrincipal, ...]:
    """Return outstanding principal by the day from which it earns interest, oldest first."""
    by_day: dict[date, Decimal] = {}
    for tranche in tranches:
        if tranche.outstanding_usd:
            by_day[tranche.interest_from] = by_day.get(tranche.interest_from, ZERO) + tranche.outstanding_usd
    return tuple(DatedPrincipal(interest_from=day, principal_usd=amount) for day, amount in sorted(by_day.items()))


InstrumentState = Instrument | None


def evolve(state: InstrumentState, event: InstrumentEvent) -> InstrumentState:
    """Return the state after an event."""
    if isinstance(event, InstrumentIssued):
        return Instrument(event, "active", (TermsVersion(event.terms, applies_to_earlier=False),))
    assert state is not None, "an instrument is issued first"
    match event:
        case InstrumentAmended():
            version = TermsVersion(event.terms, event.applies_to_earlier)
            return replace(state, versions=(*state.versions, version))
        case InstrumentMfnNoticed():
            return _notice(state, event)
        case InstrumentMfnElected():
            return replace(state, election=event)
        case InstrumentSuspended():
            return replace(state, status="suspended")
        case InstrumentResumed():
            return replace(state, status="active")
        case InstrumentLapsed():
            return replace(state, status="lapsed")
        case InstrumentCommitmentReduced():
            return replace(state, reductions={**state.reductions, event.cause: event.amount_usd})
        case InstrumentCancelled():
            return replace(state, status="cancelled")
        case _:
            return _evolve_principal(state, event)


def _notice(state: Instrument, event: InstrumentMfnNoticed) -> Instrument:
    """Return the state after a notice. One of the terms that the holder was notified of extends its window."""
    later_id = event.later_instrument_id
    known = state.notices.get(later_id)
    first = state.first_windows
    if known is None or known.terms != event.terms:
        first = {**first, later_id: event.elect_until}
    return replace(state, notices={**state.notices, later_id: event}, first_windows=first)


def _list_matured(state: Instrument, until: date) -> frozenset[date]:
    """Return the maturity dates, up to `until`, of outstanding notes."""
    days = (run.terms.matures_on for run in state.list_runs() if isinstance(run.terms, NoteTerms))
    return frozenset(day for day in days if day <= until)


def _evolve_principal(
    state: Instrument,
    event: InstrumentPrincipalAccrued
    | InstrumentPrincipalReversed
    | InstrumentMatured
    | InstrumentDebtPaid
    | InstrumentConverted
    | InstrumentRepaid
    | InstrumentTransferred,
) -> Instrument:
    match event:
        case InstrumentTransferred():
            return replace(state, transferred=event)
        case InstrumentPrincipalAccrued():
            born = Tranche(
                event.tranche_id,
                event.statement_id,
                event.principal_usd,
                event.terms_version,
                event.interest_from,
                event.service,
            )
            return replace(state, tranches=(*state.tranches, born))
        case InstrumentPrincipalReversed():
            tranches = tuple(_reverse(tranche, event) for tranche in state.tranches)
            return replace(state, tranches=tranches, takings=_take(state, event))
        case InstrumentMatured():
            return replace(state, matured=state.matured | _list_matured(state, event.matures_on))
        case InstrumentDebtPaid():
            return replace(state, debts_paid={**state.debts_paid, event.cause: event.amount_usd})
        case InstrumentConverted():
            return replace(state, tranches=_convert(state, event), conversions=(*state.conversions, event))
        case InstrumentRepaid():
            tranches = tuple(
                replace(tranche, repaid_usd=tranche.repaid_usd + tranche.outstanding_usd) for tranche in state.tranches
            )
            return replace(state, status="repaid", tranches=tranches, repaid=event)


def _reverse(tranche: Tranche, event: InstrumentPrincipalReversed) -> Tranche:
    if tranche.tranche_id != event.tranche_id:
        return tranche
    return replace(
        tranche,
        reversals={**tranche.reversals, event.reason: event},
        converted_usd=tranche.converted_usd - (event.principal_usd if event.became == "shares" else ZERO),
        repaid_usd=tranche.repaid_usd - (event.principal_usd if event.became == "money" else ZERO),
    )


def _take(state: Instrument, event: InstrumentPrincipalReversed) -> Mapping[int, ClawedBack]:
    """Return what clawbacks have cancelled of each conversion. A debt cancels nothing."""
    tranche = state.find_tranche(event.tranche_id)
    if event.taken is None or event.reduction == "debt" or tranche is None or tranche.conversion is None:
        return state.takings
    before = state.takings.get(tranche.conversion, ClawedBack())
    split = find_split(state.conversions[tranche.conversion], event.taken)
    after = ClawedBack(
        before.principal_usd + event.principal_usd,
        before.amount + Fraction(event.taken.amount_exact),
        before.shares + event.taken.shares_due / split,
    )
    return {**state.takings, tranche.conversion: after}


def find_split(conversion: InstrumentConverted, taken: TakenShares) -> Fraction:
    """Return how many shares one share of a conversion had become by splits when it was clawed back."""
    return Fraction(conversion.price_usd_per_share) / Fraction(taken.price_usd_per_share)


def _convert(state: Instrument, event: InstrumentConverted) -> tuple[Tranche, ...]:
    """Return all tranches after a conversion, which takes its principal from the oldest tranche first."""
    left, after = event.principal_usd, []
    for tranche in state.tranches:
        part = min(left, tranche.outstanding_usd)
        left -= part
        if part:
            rate = _measure_interest(tranche, state.get_terms(tranche), event)
            converted = tranche.converted_usd + part
            place = len(state.conversions)
            after.append(replace(tranche, converted_usd=converted, conversion=place, dollars_per_principal=rate))
        else:
            after.append(tranche)
    return tuple(after)


def _measure_interest(tranche: Tranche, terms: PrincipalTerms, event: InstrumentConverted) -> Fraction:
    """Return how many dollars each dollar of a tranche's principal converted with."""
    if not isinstance(terms, NoteTerms) or event.interest_until is None:
        return Fraction(event.amount_exact) / Fraction(event.principal_usd)
    return compute_balance(event.instrument_id, Decimal(1), tranche.interest_from, terms, event.interest_until)


def compute_balance(instrument_id: str, principal_usd: Decimal, since: date, terms: NoteTerms, until: date) -> Fraction:
    """Return the exact USD of principal and interest of a note on the day `until`.

    Args:
        instrument_id: The note.
        principal_usd: Its principal.
        since: Since when it earns interest.
        terms: Its terms.
        until: The day.
    """
    engine_terms = model.NoteTerms(
        annual_rate=terms.annual_rate, interest=terms.interest, day_count=terms.day_count, issued_on=since
    )
    return balance(model.Note(instrument_id, "", principal_usd, engine_terms), until)
