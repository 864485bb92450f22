"""An issuer sets or lifts its dilution limit."""

from decimal import Decimal

from events.issuer_dilution import CountedInstrument
from marketplace.application.steps.access import load_issuer
from marketplace.application.steps.dilution import list_exposures
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER, LimitDilution
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def limit_dilution(
    handler: Handler, context: Context, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None
) -> Receipt:
    """Set or lift, as the startup, the limit on what the issuer's instruments may convert to.

    Earlier orders are checked against the limit when they are matched.
    """

    async def work(unit: UnitOfWork) -> None:
        issuer = await load_issuer(unit, issuer_id)
        counted = []
        for instrument_id in sorted(issuer.instruments):
            await unit.reload(INSTRUMENT, instrument_id)
            instrument = await unit.get(INSTRUMENT, instrument_id)
            exposures = list_exposures(instrument, context.at.date())
            if exposures:
                counted.append(CountedInstrument(instrument_id=instrument_id, exposures=exposures))
        command = LimitDilution(
            issuer_id=issuer_id,
            dilution_max=dilution_max,
            valuation_usd=valuation_usd,
            instruments=() if dilution_max is None else tuple(counted),
        )
        await unit.decide(ISSUER, issuer_id, command)

    return await handler.run(context, ISSUER, issuer_id, work)
