"""What an instrument is at one point of its log: its draw, its terms by version, its tranches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Literal, NamedTuple

from events.financing import ConvertingInstrument, DatedPrincipal
from events.instrument import (
    InstrumentAmended,
    InstrumentCancelled,
    InstrumentCommitmentReduced,
    InstrumentConverted,
    InstrumentEvent,
    InstrumentIssued,
    InstrumentLapsed,
    InstrumentMfnElected,
    InstrumentMfnNoticed,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    InstrumentRepaid,
    InstrumentResumed,
    InstrumentSuspended,
)
from events.types import NoteTerms, PrincipalTerms, SafeTerms
from marketplace.core.money import ZERO

DrawStatus = Literal["drawing", "suspended", "lapsed", "cancelled", "repaid"]


class TermsVersion(NamedTuple):
    """Terms and whether tranches born before follow them as well."""

    terms: PrincipalTerms
    applies_to_earlier: bool


@dataclass(frozen=True, slots=True)
class Tranche:
    """What one accepted statement, or the payment, gave birth to, and what became of it, in dollars."""

    tranche_id: str
    statement_id: str | None
    accrued_usd: Decimal
    terms_version: int
    interest_from: date
    reversals: Mapping[str, Decimal] = field(default_factory=dict)
    converted_usd: Decimal = ZERO
    repaid_usd: Decimal = ZERO

    @property
    def principal_usd(self) -> Decimal:
        """Accrued less reversed."""
        return self.accrued_usd - sum(self.reversals.values(), ZERO)

    @property
    def outstanding_usd(self) -> Decimal:
        """Principal that is neither converted nor repaid."""
        return self.principal_usd - self.converted_usd - self.repaid_usd


class Run(NamedTuple):
    """Outstanding principal of tranches that follow each other under equal terms; it converts at one price."""

    terms: PrincipalTerms
    principal_usd: Decimal
    tranches: tuple[Tranche, ...]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A signed agreement.

    Attributes:
        issued: As it was signed.
        status: Whether principal may still accrue; `drawing` alone lets it.
        versions: Terms, version 1 first.
        tranches: Oldest first.
        conversions: Oldest first.
        repaid: How it was paid out, if it was.
        notices: Later SAFEs that the holder of a most-favoured one was told of, by id.
        election: What that holder decided, if it did.
        reductions: What was taken off the commitment, by cause.
    """

    issued: InstrumentIssued
    status: DrawStatus
    versions: tuple[TermsVersion, ...]
    tranches: tuple[Tranche, ...] = ()
    conversions: tuple[InstrumentConverted, ...] = ()
    repaid: InstrumentRepaid | None = None
    notices: Mapping[str, InstrumentMfnNoticed] = field(default_factory=dict)
    election: InstrumentMfnElected | None = None
    reductions: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def principal_usd(self) -> Decimal:
        """Accrued less reversed."""
        return sum((tranche.principal_usd for tranche in self.tranches), ZERO)

    @property
    def converted_usd(self) -> Decimal:
        """Principal that became shares."""
        return sum((tranche.converted_usd for tranche in self.tranches), ZERO)

    @property
    def outstanding_usd(self) -> Decimal:
        """Principal that is neither converted nor repaid."""
        return sum((tranche.outstanding_usd for tranche in self.tranches), ZERO)

    @property
    def commitment_usd(self) -> Decimal:
        """Commitment as signed, less what was taken off."""
        return self.issued.commitment_usd - sum(self.reductions.values(), ZERO)

    @property
    def undrawn_usd(self) -> Decimal:
        """Commitment that principal may still grow into."""
        return self.commitment_usd - self.principal_usd

    @property
    def terms(self) -> PrincipalTerms:
        """Terms of the next tranche."""
        return self.versions[-1].terms

    def find_tranche(self, tranche_id: str) -> Tranche | None:
        """Return a tranche by its id."""
        return next((tranche for tranche in self.tranches if tranche.tranche_id == tranche_id), None)

    def get_terms(self, tranche: Tranche) -> PrincipalTerms:
        """Return the terms that a tranche follows now: those it was born under, or the latest that apply to it."""
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

    def list_converting(self) -> tuple[ConvertingInstrument, ...]:
        """Return what a financing prices: one value per run, none where nothing is outstanding."""
        return tuple(
            ConvertingInstrument(
                instrument_id=self.issued.instrument_id,
                holder_id=self.issued.holder_id,
                principal_usd=run.principal_usd,
                terms=run.terms,
                mfn_election=self._find_election(run.terms),
                accruals=list_accruals(run.tranches) if isinstance(run.terms, NoteTerms) else (),
            )
            for run in self.list_runs()
        )

    def _find_election(self, terms: PrincipalTerms) -> SafeTerms | Literal["declined"] | None:
        if not isinstance(terms, SafeTerms) or not terms.most_favoured_nation or self.election is None:
            return None
        return "declined" if self.election.later_instrument_id is None else self.election.terms


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
        return Instrument(event, "drawing", (TermsVersion(event.terms, applies_to_earlier=False),))
    assert state is not None, "an instrument is issued first"
    match event:
        case InstrumentAmended():
            version = TermsVersion(event.terms, event.applies_to_earlier)
            return replace(state, versions=(*state.versions, version))
        case InstrumentMfnNoticed():
            return replace(state, notices={**state.notices, event.later_instrument_id: event})
        case InstrumentMfnElected():
            return replace(state, election=event)
        case InstrumentSuspended():
            return replace(state, status="suspended")
        case InstrumentResumed():
            return replace(state, status="drawing")
        case InstrumentLapsed():
            return replace(state, status="lapsed")
        case InstrumentCommitmentReduced():
            return replace(state, reductions={**state.reductions, event.cause: event.amount_usd})
        case InstrumentCancelled():
            return replace(state, status="cancelled")
        case _:
            return _evolve_principal(state, event)


def _evolve_principal(
    state: Instrument,
    event: InstrumentPrincipalAccrued | InstrumentPrincipalReversed | InstrumentConverted | InstrumentRepaid,
) -> Instrument:
    match event:
        case InstrumentPrincipalAccrued():
            born = Tranche(
                event.tranche_id,
                event.statement_id,
                event.principal_usd,
                event.terms_version,
                event.interest_from,
            )
            return replace(state, tranches=(*state.tranches, born))
        case InstrumentPrincipalReversed():
            return replace(state, tranches=tuple(_reverse(tranche, event) for tranche in state.tranches))
        case InstrumentConverted():
            tranches = _convert(state.tranches, event.principal_usd)
            return replace(state, tranches=tranches, conversions=(*state.conversions, event))
        case InstrumentRepaid():
            tranches = tuple(
                replace(tranche, repaid_usd=tranche.repaid_usd + tranche.outstanding_usd) for tranche in state.tranches
            )
            return replace(state, status="repaid", tranches=tranches, repaid=event)


def _reverse(tranche: Tranche, event: InstrumentPrincipalReversed) -> Tranche:
    if tranche.tranche_id != event.tranche_id:
        return tranche
    return replace(tranche, reversals={**tranche.reversals, event.reason: event.principal_usd})


def _convert(tranches: tuple[Tranche, ...], principal_usd: Decimal) -> tuple[Tranche, ...]:
    """Return the tranches after `principal_usd` of them converted, oldest first."""
    left, after = principal_usd, []
    for tranche in tranches:
        part = min(left, tranche.outstanding_usd)
        after.append(replace(tranche, converted_usd=tranche.converted_usd + part))
        left -= part
    return tuple(after)
