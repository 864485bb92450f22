"""The market's depth tells each step of a lot at its own ask; what is sold of it are its cheapest nodes."""

from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncEngine

from events.lot import AskStep, LotRepriced
from marketplace.log.memory import MemoryLog
from marketplace.projections.supply import capacity, inventory
from tests.projections import market
from tests.projections.conftest import fill, project
from tests.projections.market import LOT, START
from tests.projections.story import HOUR, Story, usd
from tests.projections.tales import begin

STEPS = (AskStep(nodes=1, ask_usd_per_gpu_hour=usd("2.00")), AskStep(nodes=20, ask_usd_per_gpu_hour=usd("3.00")))


async def test_the_depth_tells_each_step_that_is_left(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    begin(story)
    market.open_auction(story)
    story.tell(LotRepriced(lot_id=LOT, ask_usd_per_gpu_hour=usd("1.00"), further_asks=STEPS))
    market.place_order(story, 1)
    market.issue_grant(story, 1)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    hours = Decimal((market.END - START) // HOUR)
    async with engine.connect() as connection:
        lot = await inventory.find_lot(connection, LOT)
        levels = await capacity.load_depth(connection, "H100_SXM", now=START)
    assert lot is not None
    assert (lot.ask_usd_per_gpu_hour, lot.further_asks) == (usd("1.00"), STEPS)
    first = lot.nodes - 21
    found = {level.price_usd_per_gpu_hour: level.node_hours for level in levels}
    assert found[usd("1.00")] == first * hours - 2 * 24
    assert (found[usd("2.00")], found[usd("3.00")]) == (hours, 20 * hours)
    assert [level.price_usd_per_gpu_hour for level in levels] == sorted(found)
