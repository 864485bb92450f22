"""An issuer sets or lifts its dilution limit."""

from decimal import Decimal

from marketplace.application.equity.consents import carry_out
from marketplace.application.steps.dilution import set_limit
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.rights import require_company
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def limit_dilution(
    handler: Handler, context: Context, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None
) -> Receipt:
    """Set or lift the dilution limit of an issuer, or propose it: holders vote on the first and on a higher one.

    Args:
        handler: Runs the command.
        context: Who asks.
        issuer_id: The issuer.
        dilution_max: The limit, as a share of the fully diluted company; None lifts it.
        valuation_usd: The company value at which an instrument without a cap is counted; None: it is not stated.

    Raises:
        Refusal: As `carry_out`, among them refusals of the issuer.
    """

    async def work(unit: UnitOfWork) -> None:
        require_company(await unit.get(ISSUER, issuer_id, Issuer), context.party_id)
        await set_limit(unit, issuer_id, dilution_max=dilution_max, valuation_usd=valuation_usd, at=context.at)

    return await carry_out(handler, context, issuer_id, work)
