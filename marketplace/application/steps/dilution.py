"""An issuer's limit of dilution: what is counted of orders and instruments, kept up to date in their own appends.

What may become equity under an instrument is counted from its signing until it converts, lapses or is paid out, and,
while the issuer has a limit, under an order from its placing to its match or its end. Every change is an event of the
issuer, so that two who would dilute it at once meet there, and so do one that sets a limit and one that changes what is
counted under it.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from events.issuer_dilution import Exposure
from events.order import OrderTerms
from events.types import NoteTerms, PrincipalTerms, SafeTerms
from marketplace.core.money import ZERO
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, Instrument
from marketplace.domain.equity.issuer.issuer import ISSUER, Issuer, RecordExposure
from marketplace.domain.trading.offer import compute_principal_max
from marketplace.execution.unit_of_work import UnitOfWork


def list_exposures(instrument: Instrument, today: date) -> tuple[Exposure, ...]:
    """Return what may still become equity under an instrument: what is outstanding, and what may still accrue."""
    amounts: dict[PrincipalTerms, tuple[Decimal, date]] = {}
    for terms, amount_usd, since in _list_parts(instrument, today):
        known_usd, known_since = amounts.get(terms, (ZERO, since))
        amounts[terms] = (known_usd + amount_usd, min(since, known_since))
    return tuple(
        Exposure(terms=terms, amount_usd=amount_usd, interest_from=since if isinstance(terms, NoteTerms) else None)
        for terms, (amount_usd, since) in amounts.items()
        if amount_usd
    )


def _list_parts(instrument: Instrument, today: date) -> Iterator[tuple[PrincipalTerms, Decimal, date]]:
    for run in instrument.list_runs():
        since = min(tranche.interest_from for tranche in run.tranches)
        yield _find_terms(instrument, run.terms), run.principal_usd, since
    if instrument.status in {"drawing", "suspended"}:
        yield _find_terms(instrument, instrument.terms), instrument.undrawn_usd, today


def _find_terms(instrument: Instrument, terms: PrincipalTerms) -> PrincipalTerms:
    """Return the terms on which principal converts: those that its holder elected, where it is most favoured."""
    election = instrument.election
    if isinstance(terms, SafeTerms) and terms.most_favoured_nation and election and election.later_instrument_id:
        return election.terms
    return terms


async def track_instrument(unit: UnitOfWork, instrument_id: str, *, owed: bool = False) -> None:
    """Let the issuer of an instrument count what may become equity under it by now.

    Args:
        unit: The decision.
        instrument_id: The instrument, as the decision leaves it.
        owed: Whether its holder has a right to what changed, so that the limit does not refuse it.
    """
    instrument: Instrument = await unit.load(INSTRUMENT, instrument_id)
    exposures = list_exposures(instrument, unit.context.at.date())
    await _record(unit, instrument.issued.issuer_id, instrument_id, exposures, owed=owed)


async def count_order(unit: UnitOfWork, issuer_id: str, order_id: str, terms: OrderTerms) -> None:
    """Let an issuer count what an order may come to owe: the principal of its dearest offer in full.

    Raises:
        Refusal: ``dilution_exceeded`` or ``missing_convention`` of the issuer's limit.
    """
    if terms.instrument is None:
        return
    since = unit.context.at.date() if isinstance(terms.instrument, NoteTerms) else None
    amount_usd = compute_principal_max(terms)
    exposure = Exposure(terms=terms.instrument, amount_usd=amount_usd, interest_from=since)
    await _record(unit, issuer_id, order_id, (exposure,) if amount_usd else ())


async def free_order(unit: UnitOfWork, issuer_id: str, order_id: str) -> None:
    """Let an issuer count nothing any more of an order that offers an instrument; one for cash was never counted."""
    await _record(unit, issuer_id, order_id, ())


async def _record(
    unit: UnitOfWork, issuer_id: str, subject_id: str, exposures: tuple[Exposure, ...], *, owed: bool = False
) -> None:
    """Let an issuer count; what changes nothing there is guarded by nothing, and asked of what the log says instead."""
    command = RecordExposure(issuer_id=issuer_id, subject_id=subject_id, exposures=exposures, owed=owed)
    for load in (unit.load, unit.reload):
        issuer = await load(ISSUER, issuer_id)
        if isinstance(issuer, Issuer) and not issuer.is_ended:
            await unit.decide(ISSUER, issuer_id, command)
        if unit.list_events(ISSUER, issuer_id):
            return
