"""Credit: how much of its delivery a provider lets a startup pay by accepted statements alone."""

from decimal import Decimal

from marketplace.application.steps.access import require_decider, require_tenant, require_unfrozen
from marketplace.application.steps.two_persons import use_limit
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import LimitCredit
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def limit_credit(
    handler: Handler, context: Context, provider_id: str, *, startup_id: str, limit_usd: Decimal
) -> Receipt:
    """Set, as a provider, how much of its delivery a startup's new orders may take on credit; 0 ends it for these.

    What one person alone raises counts toward the limit of the provider's account. The version that the command states
    and is answered is that of the provider's account, so that it does not show when the startup's account changes.
    Whether the startup is cleared is not asked, so that nobody learns it.

    Raises:
        Refusal: ``scope_missing`` · ``party_unknown``, also of a party without the role startup ·
            ``party_suspended`` · refusals of the provider · ``limit_exceeded`` · refusals of the startup's account.
    """
    require_decider(context)
    account_id = rename_id("acc", startup_id)

    async def work(unit: UnitOfWork) -> None:
        require_tenant(context, provider_id)
        await require_unfrozen(unit)
        require_trader(await unit.load(PARTY, provider_id), provider_id, "provider")
        startup = await unit.load(PARTY, startup_id)
        if startup is None or not startup.has_role("startup"):
            raise refuse_unknown("party", startup_id)
        unit.answers = account_id
        before = (await unit.get(ACCOUNT, account_id)).credits.get(provider_id, ZERO)
        command = LimitCredit(account_id=account_id, provider_id=provider_id, limit_usd=limit_usd)
        await unit.decide(ACCOUNT, account_id, command)
        await use_limit(unit, max(limit_usd - before, ZERO), context.command_id)

    return await handler.run(context, ACCOUNT, rename_id("acc", provider_id), work)
