"""The source that a projection's version stands for holds whatever code its handlers run."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import fill, project
from tests.projections.tales import tell_everything
from tests.support.code_versions import walk_projection
from tests.support.running import recording

DOORS = ("projections/engine/write_batch.py", "projections/engine/recorded_events.py")


async def test_it_covers_whatever_code_a_handler_runs(engine: AsyncEngine, memory_log: MemoryLog):
    """Whatever a handler calls, however deep, for a story of every event; but for the doors that it is given."""
    ran = {projection.name: set() for projection in PROJECTIONS}

    def record(name, handler):
        def run(*arguments):
            with recording(ran[name]):
                handler(*arguments)

        return run

    recorded = [
        replace(one, handlers={known: record(one.name, handler) for known, handler in one.handlers.items()})
        for one in PROJECTIONS
    ]
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log, recorded)
    for projection in PROJECTIONS:
        walk = walk_projection(projection)
        missed = {
            f"{code.co_filename.rpartition('/')[2]} {code.co_qualname}"
            for code in ran[projection.name]
            if not walk.covers(code) and not code.co_filename.endswith(DOORS)
        }
        assert {handler.__code__ for handler in projection.handlers.values()} <= ran[projection.name]
        assert missed == set(), projection.name
