"""Notes that mature: recorded on the day after their last day of interest, and converted if their terms say so."""

from events.types import NoteTerms
from marketplace.application.steps.access import require_owner
from marketplace.application.steps.binding import require_offers_kept
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.stock_agreements import RUNS_MAX, name_holder
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import SHARE_PRICE_PLACES
from marketplace.core.rounding import round_places
from marketplace.domain.equity.instrument.commands import ConvertInstrument, MatureNote
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument, Run
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.note_conversion import MaturedRun, price_matured
from marketplace.domain.equity.issuer.rules import raise_authorised
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.stock_commands import IssueStock
from marketplace.domain.equity.issuer.takeover import build_command
from marketplace.domain.refusals import require_found
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def mature_note(handler: Handler, context: Context, instrument_id: str, *, strict: bool = False) -> Receipt:
    """Record that a note matured, and convert it if its terms say so, as the holder or the company.

    If the conversion is not possible (the note buys too few whole shares), the note stays due and can be tried again.
    With `strict`, the command is refused instead.

    Raises:
        Refusal: ``instrument_unknown`` · refusals of the instrument · ``sale_declared`` if it is to convert ·
            ``market_deciding`` if the shares would undo a bound order; if strict, ``conversion_empty`` and
            ``conversion_coarse``.
    """

    async def work(unit: UnitOfWork) -> None:
        instrument = require_found("instrument", instrument_id, await unit.load(INSTRUMENT, instrument_id))
        issued = instrument.issued
        owners = (instrument.holder_id, rename_id("pty", issued.issuer_id))
        require_owner(unit.context, owners, "instrument", instrument_id)
        await unit.decide(INSTRUMENT, instrument_id, MatureNote(instrument_id=instrument_id, at=context.at))
        for _ in range(RUNS_MAX):
            if not await _convert_first(unit, instrument_id, strict=strict):
                break
        await track_instrument(unit, instrument_id, owed=True)
        await require_offers_kept(unit, issued.issuer_id)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def _convert_first(unit: UnitOfWork, instrument_id: str, *, strict: bool) -> bool:
    """Convert the oldest run of a note if it has matured and is to convert. Return whether it did.

    Raises:
        Refusal: ``sale_declared``; if `strict`, what else `price_matured` refuses.
    """
    instrument = await unit.get(INSTRUMENT, instrument_id)
    issuer = await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)
    run = next(iter(instrument.list_runs()), None)
    terms = None if run is None else run.terms
    if run is None or not isinstance(terms, NoteTerms) or terms.at_maturity is None or issuer.is_ended:
        return False
    if terms.matures_on >= unit.context.at.date():
        return False
    try:
        priced = price_matured(issuer, instrument_id, run, unit.context.at)
    except Refusal as refusal:
        if strict or refusal.code == "sale_declared":
            raise
        return False
    await _issue(unit, instrument, run, priced)
    return True


async def _issue(
    unit: UnitOfWork,
    instrument: Instrument,
    run: Run,
    priced: MaturedRun,
) -> None:
    issued = instrument.issued
    salt = f"maturity {priced.matures_on} {len(instrument.conversions)}"
    security_id = derive_id("sec", issued.instrument_id, salt)
    await name_holder(unit, issued.issuer_id, instrument.holder_id)
    issue = IssueStock(
        issuer_id=issued.issuer_id,
        security_id=security_id,
        holder_id=instrument.holder_id,
        class_id=priced.class_id,
        shares=priced.shares,
        price_usd_per_share=round_places(priced.price, SHARE_PRICE_PLACES, "half_even"),
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
    issuer = await unit.get(ISSUER, issued.issuer_id, Issuer)
    for raised in raise_authorised(issuer, priced.class_id, priced.shares, issued.instrument_id):
        await unit.decide(ISSUER, issued.issuer_id, build_command(raised, unit.context.at))
    await unit.decide(ISSUER, issued.issuer_id, issue)
