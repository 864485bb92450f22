"""The test clock of the embedded mode."""

from marketplace.application.steps.access import require_platform
from marketplace.domain.clock import CLOCK, CLOCK_ID, AdvanceClock, Clock, require_forward
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def advance_clock(handler: Handler, context: Context, *, seconds: int) -> Receipt:
    """Move market time forward by seconds: at once here, and soon after in every process that follows this log.

    Raises:
        Refusal: ``platform_only`` · ``clock_runs_forward`` · ``clock_too_far``.
    """
    require_platform(context)
    require_forward(seconds)

    async def work(unit: UnitOfWork) -> None:
        clock = await unit.load(CLOCK, CLOCK_ID)
        command = AdvanceClock(clock_id=CLOCK_ID, offset_seconds=clock.offset_seconds + seconds)
        await unit.decide(CLOCK, CLOCK_ID, command)

    receipt = await handler.run(context, CLOCK, CLOCK_ID, work)
    clock: Clock = (await handler.cache.load(CLOCK, CLOCK_ID)).state
    handler.clock.offset_seconds = max(handler.clock.offset_seconds, clock.offset_seconds)
    return receipt
