"""A row that was changed by hand is found and named, with the events behind it."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.verify import EventName, verify, verify_all
from marketplace.projections.registry import PROJECTIONS, get_projection
from tests.projections.conftest import dump, fill, project
from tests.projections.market import CASH
from tests.projections.story import make_id, usd
from tests.projections.tales import tell_everything, tell_many


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
async def test_what_was_projected_is_equal(projection, engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    before = await dump(engine)
    result = await verify(projection, memory_log, engine)
    assert result.differences == ()
    assert result.rows == sum(len(before[table.name]) for table in projection.tables)
    assert result.position == (await memory_log.health()).last_sequence
    assert await dump(engine) == before


async def test_a_changed_value_is_named_with_its_events(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    order_id = make_id("ord", 7)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET status = 'open' WHERE order_id = :id"), {"id": order_id})
    (difference,) = (await verify(get_projection("orders"), memory_log, engine)).differences
    assert (difference.table, difference.key) == ("orders", {"order_id": order_id})
    assert (difference.live, difference.rebuilt) == ({"status": "open"}, {"status": "cancelled"})
    assert [event.tag for event in difference.events] == ["order.placed.v1", "order.cancelled.v1"]


async def test_a_changed_balance_is_named_with_the_events_that_posted_to_it(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE balances SET amount = amount + 0.01 WHERE account = :account"),
            {"account": f"{CASH}/held"},
        )
    (difference,) = (await verify(get_projection("accounts"), memory_log, engine)).differences
    assert difference.key == {"account": f"{CASH}/held"}
    assert difference.live is not None
    assert difference.rebuilt is not None
    assert difference.live["amount"] - difference.rebuilt["amount"] == usd("0.01")
    assert difference.live.keys() == difference.rebuilt.keys() == {"amount"}
    assert {event.tag for event in difference.events} == {
        "account.hold_placed.v1",
        "account.hold_released.v1",
        "account.hold_captured.v1",
        "account.hold_expired.v1",
    }


async def test_a_missing_and_an_invented_row_are_named(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    gone, made = make_id("pol", 1), make_id("pol", 9)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO pools (pool_id, provider_id, site_id, region, gpu_class, interconnect, gpus_per_node, "
                "nodes, power_per_node_kw, last_sequence) SELECT :made, provider_id, site_id, region, gpu_class, "
                "interconnect, gpus_per_node, nodes, power_per_node_kw, last_sequence FROM pools "
                "WHERE pool_id = :gone"
            ),
            {"made": made, "gone": gone},
        )
        await connection.execute(text("DELETE FROM pools WHERE pool_id = :gone"), {"gone": gone})
    missing, invented = (await verify(get_projection("inventory"), memory_log, engine)).differences
    assert (missing.key, missing.live) == ({"pool_id": gone}, None)
    assert missing.events[0].tag == "pool.opened.v1"
    assert (invented.key, invented.rebuilt, invented.events) == ({"pool_id": made}, None, ())


async def test_a_projection_that_lags_is_compared_where_it_stands(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_many(2_500)
    await fill(memory_log, story.until(1_234))
    await project(engine, memory_log)
    await fill(memory_log, story.recorded)
    result = await verify(get_projection("accounts"), memory_log, engine)
    assert (result.differences, result.position) == ((), 1_234)


async def test_a_row_of_the_index_names_its_own_event(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_index SET tag = 'x' WHERE sequence = 3"))
    (difference,) = (await verify(get_projection("feed"), memory_log, engine)).differences
    assert difference.events == (EventName(sequence=3, tag=memory_log._events[2].envelope.type[12:]),)


async def test_all_are_compared_in_one_walk_each_where_it_stands(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_many(2_500)
    await fill(memory_log, story.until(700))
    await project(engine, memory_log, PROJECTIONS[:5])
    await fill(memory_log, story.until(1_300))
    await project(engine, memory_log, PROJECTIONS[5:9])
    results = await verify_all(PROJECTIONS, memory_log, engine)
    assert [result.position for result in results] == [700] * 5 + [1_300] * 4 + [0] * (len(PROJECTIONS) - 9)
    assert all(result.differences == () for result in results)
    assert [result.rows > 0 for result in results][-1] is False
