"""Convertible notes: maturity, repayment with interest at or before it, and conversion."""

from collections.abc import Iterable, Sequence
from datetime import date
from fractions import Fraction

from events.instrument import InstrumentEvent, InstrumentMatured, InstrumentRepaid
from events.types import NoteTerms, PrincipalTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, ceil_cents, render_ratio
from marketplace.domain.equity.instrument.commands import MatureNote, RepayNote
from marketplace.domain.equity.instrument.principal import require_outstanding
from marketplace.domain.equity.instrument.state import Instrument, Run, compute_balance, find_maturity, list_accruals
from marketplace.domain.refusals import refuse_exists


def repay_note(command: RepayNote, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the repayment of a note with interest, in USD rounded up to a cent; nothing if it is recorded.

    Raises:
        Refusal: ``repayment_exists`` · ``not_a_note`` · ``nothing_to_repay``.
    """
    if state.repaid is not None:
        if state.repaid.cause == command.cause:
            return []
        raise refuse_exists("repayment", command.instrument_id)
    if not all(isinstance(run.terms, NoteTerms) for run in state.list_runs()) or not isinstance(state.terms, NoteTerms):
        raise _refuse_kind(command.instrument_id)
    require_outstanding(state)
    runs = state.list_runs()
    owed = sum((sum_run(command.instrument_id, run, command.on_day) for run in runs), Fraction(0))
    return [
        InstrumentRepaid(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            cause=command.cause,
            principal_usd=state.outstanding_usd,
            amount_usd=ceil_cents(owed),
            early=command.converts or any(_is_early(run.terms, command.on_day) for run in runs),
        )
    ]


def _is_early(terms: PrincipalTerms, on_day: date) -> bool:
    return isinstance(terms, NoteTerms) and (on_day < terms.matures_on or terms.at_maturity is not None)


def hastens_repayment(terms: PrincipalTerms, before: Iterable[PrincipalTerms]) -> bool:
    """Return whether a note on these terms is repaid in cash sooner, or where it became stock `before`."""
    if not isinstance(terms, NoteTerms) or terms.at_maturity is not None:
        return False
    notes = [each for each in before if isinstance(each, NoteTerms)]
    return any(each.at_maturity is not None or terms.matures_on < each.matures_on for each in notes)


def mature_note(command: MatureNote, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the maturity of the outstanding part of a note that is due; nothing if none is, or it is recorded.

    Raises:
        Refusal: ``time_naive`` · ``not_a_note`` · ``note_runs``.
    """
    require_aware(command.at, "/at")
    runs = [(run, run.terms) for run in state.list_runs() if isinstance(run.terms, NoteTerms)]
    if not runs and not isinstance(state.terms, NoteTerms):
        raise _refuse_kind(command.instrument_id)
    today = command.at.date()
    due = [(run, terms) for run, terms in runs if terms.matures_on < today and terms.matures_on not in state.matured]
    if not due:
        running = [terms.matures_on for _, terms in runs if terms.matures_on >= today]
        if running and not state.matured:
            raise Refusal(
                "note_runs",
                f"note {command.instrument_id} runs until {min(running)}; wait, or repay it",
                pointer="/at",
                matures_on=min(running).isoformat(),
                due=render_instant(find_maturity(min(running))),
            )
        return []
    amount = sum((sum_run(command.instrument_id, run, today) for run, _ in due), Fraction(0))
    return [
        InstrumentMatured(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.holder_id,
            matures_on=max(terms.matures_on for _, terms in due),
            principal_usd=sum((run.principal_usd for run, _ in due), ZERO),
            amount_exact=render_ratio(amount),
            amount_usd=ceil_cents(amount),
        )
    ]


def _refuse_kind(instrument_id: str) -> Refusal:
    return Refusal(
        "not_a_note",
        f"instrument {instrument_id} is not a note and has no maturity; it is paid out only in a sale",
        instrument_id=instrument_id,
    )


def sum_run(instrument_id: str, run: Run, on_day: date) -> Fraction:
    """Return the exact USD of principal and interest of a note's run on a day, or at maturity if that is earlier."""
    terms = run.terms
    assert isinstance(terms, NoteTerms), "the runs of a note are notes"
    total = Fraction(0)
    for accrual in list_accruals(run.tranches):
        day = max(accrual.interest_from, min(on_day, terms.matures_on))
        total += compute_balance(instrument_id, accrual.principal_usd, accrual.interest_from, terms, day)
    return total
