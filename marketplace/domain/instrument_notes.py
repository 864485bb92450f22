"""Convertible notes: paid back with their interest when they fall due, or before."""

from collections.abc import Sequence
from fractions import Fraction

from events.instrument import InstrumentEvent, InstrumentRepaid
from events.types import NoteTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, ceil_cents
from marketplace.domain.instrument_commands import RepayNote
from marketplace.domain.instrument_state import Instrument, compute_balance, list_accruals
from marketplace.domain.refusals import refuse_exists


def repay_note(command: RepayNote, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the repayment of a note, unless known; interest stops on the day on which it falls due."""
    if state.repaid is not None:
        if state.repaid.cause == command.cause:
            return []
        raise refuse_exists("repayment", command.instrument_id)
    if not all(isinstance(run.terms, NoteTerms) for run in state.list_runs()) or not isinstance(state.terms, NoteTerms):
        raise Refusal(
            "not_a_note",
            f"instrument {command.instrument_id} is no note and never falls due; it is paid out in a sale only",
            instrument_id=command.instrument_id,
        )
    if state.outstanding_usd == ZERO:
        raise Refusal(
            "nothing_to_repay",
            f"instrument {command.instrument_id} has no outstanding principal",
            instrument_id=command.instrument_id,
        )
    return [
        InstrumentRepaid(
            instrument_id=command.instrument_id,
            issuer_id=state.issued.issuer_id,
            holder_id=state.issued.holder_id,
            cause=command.cause,
            principal_usd=state.outstanding_usd,
            amount_usd=ceil_cents(sum_balance(command, state)),
        )
    ]


def sum_balance(command: RepayNote, state: Instrument) -> Fraction:
    """Return principal and interest of all that is outstanding of a note on a day, exact."""
    total = Fraction(0)
    for run in state.list_runs():
        terms = run.terms
        assert isinstance(terms, NoteTerms), "the runs of a note are notes"
        for accrual in list_accruals(run.tranches):
            day = max(accrual.interest_from, min(command.on_day, terms.matures_on))
            amount, since = accrual.principal_usd, accrual.interest_from
            total += compute_balance(command.instrument_id, amount, since, terms, day)
    return total
