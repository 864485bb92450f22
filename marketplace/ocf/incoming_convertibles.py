"""Convertibles of another system's package; see `incoming`."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

from msgspec import UNSET

from events import instrument as instruments
from events import issuer as issuers
from events.types import NoteTerms, PrincipalTerms, SafeTerms
from marketplace.ocf import transactions as tx
from marketplace.ocf.import_context import ImportContext, at_midnight
from marketplace.ocf.intake import ImportedAct
from marketplace.ocf.parsing import Located
from marketplace.ocf.values import NoteMechanism, SafeMechanism

_COMPOUND: Final = {
    "ANNUAL": "compound_annual",
    "SEMI_ANNUAL": "compound_semiannual",
    "QUARTERLY": "compound_quarterly",
    "MONTHLY": "compound_monthly",
}


def take_convertible(context: ImportContext, located: Located, item: tx.ConvertibleIssuance) -> None:
    """Import an outstanding convertible as an instrument that was paid in full on its day."""
    ended = _find_end(context, item.security_id)
    if ended is not None:
        reason = f"it ended by {ended.__struct_config__.tag} {ended.id}; only what it became is kept"
        context.report_loss(located, "ended_convertible_not_kept", reason)
        return
    found = _find_terms(context, located, item)
    amount = context.find_usd(located, item.investment_amount)
    if found is None or amount is None:
        return
    terms, interest_from = found
    instrument_id, holder_id = context.name("ins", item.security_id), context.name_holder(item.stakeholder_id)
    of: dict[str, Any] = {"instrument_id": instrument_id, "issuer_id": context.issuer_id, "holder_id": holder_id}
    issued = instruments.InstrumentIssued(**of, terms=terms, commitment_usd=amount, funding="paid_at_once", draw=None)
    accrued = instruments.InstrumentPrincipalAccrued(
        instrument_id=instrument_id,
        issuer_id=context.issuer_id,
        holder_id=holder_id,
        tranche_id=context.name("trn", item.security_id),
        principal_usd=amount,
        statement_id=None,
        terms_version=1,
        interest_from=interest_from or item.date,
    )
    time = at_midnight(item.date)
    context.instruments[instrument_id] = tuple(
        ImportedAct(event, time, located.file, located.label) for event in (issued, accrued)
    )
    context.add(located, item.date, issuers.IssuerInstrumentSigned(**of, commitment_usd=amount, terms=terms))


def _find_end(context: ImportContext, security_id: str) -> tx.Transaction | None:
    ends = (tx.ConvertibleConversion, tx.ConvertibleTransfer, tx.ConvertibleCancellation, tx.Retraction)
    return next(
        (item for item in context.transactions if isinstance(item, ends) and item.security_id == security_id), None
    )


def _find_terms(
    context: ImportContext, located: Located, item: tx.ConvertibleIssuance
) -> tuple[PrincipalTerms, date | None] | None:
    """Return the terms of a convertible, and a note's first day of interest; None if they are refused."""
    mechanisms = [trigger.conversion_right.conversion_mechanism for trigger in item.conversion_triggers]
    kind: type[SafeMechanism | NoteMechanism] = SafeMechanism if item.convertible_type == "SAFE" else NoteMechanism
    found = list(dict.fromkeys(mechanism for mechanism in mechanisms if isinstance(mechanism, kind)))
    if item.convertible_type not in {"SAFE", "NOTE"} or len(found) != 1:
        reason = (
            f"a {item.convertible_type} with {len(found)} mechanisms of its kind; the marketplace keeps SAFEs and "
            "notes with exactly one"
        )
        context.report_problem(located, "convertible_not_kept", reason)
        return None
    mechanism = found[0]
    if mechanism.exit_multiple is not UNSET:
        context.report_loss(
            located, "member_not_kept", f"the marketplace keeps no exit_multiple of a {item.convertible_type}"
        )
    if isinstance(mechanism, SafeMechanism):
        safe = _read_safe(context, located, mechanism)
        return None if safe is None else (safe, None)
    return _read_note(context, located, mechanism)


def _read_safe(context: ImportContext, located: Located, safe: SafeMechanism) -> SafeTerms | None:
    if safe.conversion_timing is UNSET:
        reason = "conversion_timing is absent: whether the cap is on pre- or post-money capitalisation is not guessed"
        context.report_problem(located, "conversion_timing_missing", reason)
        return None
    return SafeTerms(
        conversion_timing="post_money" if safe.conversion_timing == "POST_MONEY" else "pre_money",
        valuation_cap_usd=context.find_usd(located, safe.conversion_valuation_cap),
        discount=_read_discount(safe),
        most_favoured_nation=safe.conversion_mfn,
    )


def _read_discount(mechanism: SafeMechanism | NoteMechanism) -> Decimal | None:
    return None if mechanism.conversion_discount is UNSET else Decimal(mechanism.conversion_discount or "0")


def _read_note(context: ImportContext, located: Located, note: NoteMechanism) -> tuple[NoteTerms, date] | None:
    """Return a note with one interest rate, paid with the principal, and a maturity; any other is refused."""
    rate = note.interest_rates[0] if note.interest_rates else None
    interest = "simple" if note.compounding_type == "SIMPLE" else _COMPOUND.get(note.interest_accrual_period)
    problems = (
        ("note_rates_not_one", rate is None or len(note.interest_rates) != 1, "the marketplace keeps one rate"),
        ("note_interest_paid_out", note.interest_payout != "DEFERRED", "interest is paid with the principal here"),
        ("note_compounds_daily", interest is None, "interest compounds by the month, quarter, half-year or year here"),
        (
            "note_maturity_missing",
            rate is not None and rate.accrual_end_date is UNSET,
            "accrual_end_date is absent: when the note falls due is not guessed",
        ),
    )
    for code, wrong, reason in problems:
        if wrong:
            context.report_problem(located, code, reason)
            return None
    assert rate is not None, "a note without a rate is refused"
    if note.conversion_mfn not in (UNSET, False):
        context.report_loss(located, "member_not_kept", "the marketplace keeps no conversion_mfn of a note")
    known: dict[str, Any] = {
        "interest": interest,
        "day_count": "actual_365" if note.day_count_convention == "ACTUAL_365" else "thirty_360",
        "matures_on": rate.accrual_end_date,
    }
    terms = NoteTerms(
        annual_rate=Decimal(rate.rate),
        valuation_cap_usd=context.find_usd(located, note.conversion_valuation_cap),
        discount=_read_discount(note),
        **known,
    )
    return terms, rate.accrual_start_date
