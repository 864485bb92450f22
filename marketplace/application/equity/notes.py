"""Notes that mature: recorded on the day after their last day of interest, and converted if their terms say so."""

from datetime import date
from fractions import Fraction
from typing import NamedTuple

from events.types import MaturityConversion, NoteTerms
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.ownership import require_owner
from marketplace.application.steps.stock_agreements import PRICE_PLACES, RUNS_MAX, name_holder
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.rounding import round_places, round_whole
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, ConvertInstrument, Instrument, MatureNote
from marketplace.domain.equity.instrument.notes import sum_run
from marketplace.domain.equity.instrument.state import Run
from marketplace.domain.equity.issuer.issuer import ISSUER, Issuer, IssueStock, capitalization_of
from marketplace.domain.equity.issuer.rules import get_class, require_authorised
from marketplace.domain.refusals import refuse_unknown
from marketplace.equity.capitalization import counted_by, existing_shares
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


class _Priced(NamedTuple):
    """The price of a run of a note's principal that converts."""

    class_id: str
    matures_on: date
    price: Fraction
    amount: Fraction
    shares: int


async def mature_note(handler: Handler, context: Context, instrument_id: str, *, strict: bool = False) -> Receipt:
    """Record that a note matured, and convert it if its terms say so.

    If the conversion is not possible (the class does not exist or has too few shares left), the note stays due and can
    be tried again. With `strict`, the command is refused instead.

    Raises:
        Refusal: ``instrument_unknown`` · refusals of the instrument; if strict, ``stock_class_unknown``,
            ``stock_class_over_authorised`` and ``conversion_empty``.
    """

    async def work(unit: UnitOfWork) -> None:
        instrument = await unit.load(INSTRUMENT, instrument_id)
        if instrument is None:
            raise refuse_unknown("instrument", instrument_id)
        issued = instrument.issued
        owners = (issued.holder_id, rename_id("pty", issued.issuer_id))
        require_owner(unit.context, owners, "instrument", instrument_id)
        await unit.decide(INSTRUMENT, instrument_id, MatureNote(instrument_id=instrument_id, at=context.at))
        for _ in range(RUNS_MAX):
            if not await _convert_first(unit, instrument_id, strict=strict):
                break
        await track_instrument(unit, instrument_id, owed=True)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def _convert_first(unit: UnitOfWork, instrument_id: str, *, strict: bool) -> bool:
    """Convert the oldest matured run of a note that is to convert. Return whether there was one."""
    instrument = await unit.get(INSTRUMENT, instrument_id)
    issuer = await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)
    run = next(iter(instrument.list_runs()), None)
    terms = None if run is None else run.terms
    if run is None or not isinstance(terms, NoteTerms) or terms.at_maturity is None or issuer.is_ended:
        return False
    if terms.matures_on >= unit.context.at.date():
        return False
    try:
        price, amount, shares = _price(unit, issuer, instrument_id, run, terms.at_maturity)
    except Refusal:
        if strict:
            raise
        return False
    priced = _Priced(terms.at_maturity.class_id, terms.matures_on, price, amount, shares)
    await _issue(unit, instrument, run, priced)
    return True


def _price(
    unit: UnitOfWork, issuer: Issuer, instrument_id: str, run: Run, become: MaturityConversion
) -> tuple[Fraction, Fraction, int]:
    """Return the price, dollars and shares of a run that converts at its cap."""
    terms = run.terms
    stock_class = get_class(issuer, become.class_id)
    counted = counted_by(become.capitalization_definition, "pre_money")
    company = existing_shares(capitalization_of(issuer, unit.context.at), counted)
    amount = sum_run(instrument_id, run, unit.context.at.date())
    assert isinstance(terms, NoteTerms), "the runs of a note are notes"
    assert terms.valuation_cap_usd is not None, "a note that converts at maturity has a cap"
    price = Fraction(terms.valuation_cap_usd) / company if company else Fraction(0)
    shares = round_whole(amount / price, become.share_rounding) if price else 0
    if not shares:
        raise Refusal(
            "conversion_empty",
            f"{instrument_id} buys no whole share at its cap over {company} shares; it stays due",
            instrument_id=instrument_id,
        )
    require_authorised(stock_class, shares)
    return price, amount, shares


async def _issue(
    unit: UnitOfWork,
    instrument: Instrument,
    run: Run,
    priced: _Priced,
) -> None:
    issued = instrument.issued
    salt = f"maturity {priced.matures_on} {len(instrument.conversions)}"
    security_id = derive_id("sec", issued.instrument_id, salt)
    await name_holder(unit, issued.issuer_id, issued.holder_id)
    issue = IssueStock(
        issuer_id=issued.issuer_id,
        security_id=security_id,
        holder_id=issued.holder_id,
        class_id=priced.class_id,
        shares=priced.shares,
        price_usd_per_share=round_places(priced.price, PRICE_PLACES, "half_even"),
        cause=issued.instrument_id,
    )
    convert = ConvertInstrument(
        instrument_id=issued.instrument_id,
        cause=security_id,
        principal_usd=run.principal_usd,
        amount_exact=priced.amount,
        branch="cap",
        price=priced.price,
        class_id=priced.class_id,
        shares_exact=priced.amount / priced.price,
        shares=priced.shares,
        interest_until=priced.matures_on,
    )
    await unit.decide(INSTRUMENT, issued.instrument_id, convert)
    await track_instrument(unit, issued.instrument_id, owed=True)
    await unit.decide(ISSUER, issued.issuer_id, issue)
