"""The database says of reliability what the fold in memory says; without a history the score is 1."""

from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.money import round_ratio
from marketplace.domain.delivery.reliability import ReliabilityState, compute_reliability, evolve
from marketplace.log.memory import MemoryLog
from marketplace.projections.delivery.reliability import list_reliability, load_reliability
from marketplace.projections.engine.recorded_events import parse_facts
from tests.projections.conftest import fill, project
from tests.projections.market import PROVIDER, STRANGER
from tests.projections.tales import tell_everything


async def test_the_rows_are_what_the_fold_in_memory_gives(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    state = ReliabilityState()
    for fact in parse_facts(story.recorded):
        state = evolve(state, fact.event)
    record = state.records[PROVIDER]
    async with engine.connect() as connection:
        view = await load_reliability(connection, PROVIDER)
        everybody = [await load_reliability(connection, provider_id) for provider_id in sorted(state.records)]
        assert view in everybody
        assert await list_reliability(connection) == everybody
        assert await list_reliability(connection, after=everybody[-1].provider_id) == []
    assert view.score == round_ratio(compute_reliability(record).score)
    assert (view.grants_completed, view.grants_broken) == (record.grants_completed, record.grants_broken)
    assert view.gpu_seconds_due >= view.gpu_seconds_lost
    assert view.grants_broken == 2


async def test_a_provider_without_a_history_stands_at_one(engine: AsyncEngine):
    async with engine.connect() as connection:
        view = await load_reliability(connection, STRANGER)
    assert (view.score, view.last_sequence) == (1, 0)
