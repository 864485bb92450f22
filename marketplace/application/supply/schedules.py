"""The schedule: the platform publishes the market's least order value, quotas and fees."""

from events.schedule import ScheduleTerms
from marketplace.application.steps.access import require_platform
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, PublishSchedule
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def publish_schedule(handler: Handler, context: Context, *, terms: ScheduleTerms) -> Receipt:
    """Publish the schedule for what begins from now on. Orders, quotes and grants that exist keep theirs.

    Raises:
        Refusal: ``platform_only`` · refusals of the schedule.
    """
    require_platform(context)

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(SCHEDULE, SCHEDULE_ID, PublishSchedule(schedule_id=SCHEDULE_ID, terms=terms))

    return await handler.run(context, SCHEDULE, SCHEDULE_ID, work)
