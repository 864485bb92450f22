"""The schedule: the platform publishes the market's least order value, quotas and fees."""

from events.schedule import ScheduleTerms
from marketplace.application.steps.access import require_decider, require_platform
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, PublishSchedule
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def publish_schedule(handler: Handler, context: Context, *, terms: ScheduleTerms) -> Receipt:
    """Publish the schedule, as the platform, for what begins from now on. Orders, quotes and grants keep theirs.

    It sets fees, and what one person of the platform alone may deposit.

    Raises:
        Refusal: ``platform_only`` · ``scope_missing`` for a key that may not decide · ``account_unknown``,
            ``party_not_cleared`` or ``role_missing`` if the account of the fee is not the platform's · refusals of the
            schedule.
    """
    require_platform(context)
    require_decider(context)

    async def work(unit: UnitOfWork) -> None:
        if terms.platform_fee is not None:
            await _require_account(unit, terms.platform_fee.account_id)
        await unit.decide(SCHEDULE, SCHEDULE_ID, PublishSchedule(schedule_id=SCHEDULE_ID, terms=terms))

    return await handler.run(context, SCHEDULE, SCHEDULE_ID, work)


async def _require_account(unit: UnitOfWork, account_id: str) -> None:
    account = require_found("account", account_id, await unit.load(ACCOUNT, account_id))
    require_trader(await unit.load(PARTY, account.party_id), account.party_id, "platform")
