"""What a completed grant shows as accepted: what its statements charge, less what was credited since."""

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from events.grant import GrantCompleted
from events.statement import Adjustment, StatementCredited
from marketplace.log.memory import MemoryLog
from marketplace.projections.delivery import grants
from tests.projections import market
from tests.projections.conftest import fill, project
from tests.projections.market import START
from tests.projections.story import Story, make_id

FULL = market.GPU_SECONDS
GRANT = make_id("grt", 1)


def credit(number, gpu_seconds, line_id=None):
    return StatementCredited(
        statement_id=make_id("stm", number),
        grant_id=GRANT,
        startup_id=market.STARTUP,
        provider_id=market.PROVIDER,
        period_start=START,
        period_end=START + 24 * market.HOUR,
        charges=msgspec.structs.replace(market.CHARGES, gpu_seconds=gpu_seconds),
        adjustment=Adjustment(
            statement_id=make_id("stm", 1), gpu_seconds_before=FULL, gpu_seconds_after=FULL - gpu_seconds
        ),
        service_line_id=line_id,
    )


async def test_credits_after_its_completion_lower_what_is_accepted_of_a_grant(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = Story()
    market.issue_grant(story, 1)
    story.tell(credit(11, 7))
    story.tell(GrantCompleted(grant_id=GRANT, gpu_seconds_accepted=FULL - 7))
    story.tell(credit(12, 100))
    story.tell(credit(13, 0, make_id("svl", 1)))
    story.tell(credit(14, 20))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, [grants.PROJECTION])
    async with engine.connect() as connection:
        view = await grants.find_grant(connection, GRANT)
    assert view is not None
    assert view.gpu_seconds_accepted == FULL - 7 - 100 - 20
