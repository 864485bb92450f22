"""An issuer sets or lifts its dilution limit."""

from decimal import Decimal

from marketplace.application.equity.consents import carry_out
from marketplace.application.steps.dilution import set_limit
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def limit_dilution(
    handler: Handler, context: Context, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None
) -> Receipt:
    """Set or lift the limit on what the issuer's instruments may convert to. The holders vote on a higher one.

    Earlier orders are checked against the limit when they are matched.
    """

    async def work(unit: UnitOfWork) -> None:
        await set_limit(unit, issuer_id, dilution_max=dilution_max, valuation_usd=valuation_usd, at=context.at)

    return await carry_out(handler, context, issuer_id, work)
