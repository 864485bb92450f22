"""The fingerprint of a projection changes with what its rows depend on, and with nothing else."""

import os
import subprocess
import sys
from dataclasses import replace
from types import FunctionType

import pytest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from events.account import AccountOpened
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing import statements
from marketplace.projections.engine.fingerprint import compute_fingerprint, walk
from marketplace.projections.engine.schema import text
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import fill, project
from tests.projections.tales import tell_everything
from tests.support.running import recording

TELL = """
from marketplace.projections.engine.fingerprint import compute_fingerprint
from marketplace.projections.registry import PROJECTIONS
print(*(compute_fingerprint(projection) for projection in PROJECTIONS))
"""

MODULE = '''
RATES = {"card": 3}

def _round(value):
    """Round it."""
    return value // 10

class Fee:
    per_cent: int = 1

    def take(self, value):
        return value * self.per_cent

def _handle(changes, fact, event):
    """Say what changes."""
    fee = Fee()
    changes.put(_round(fee.take(RATES["card"])))

def find_one(connection):
    return connection.execute("SELECT 1")
'''


def build(source):
    """Return a projection whose one handler is that of a module with this source."""
    known = {"__name__": "marketplace.projections.trial"}
    exec(compile(source, "trial.py", "exec"), known)  # noqa: S102 - the source is ours
    handler = known["_handle"]
    assert isinstance(handler, FunctionType)
    return replace(statements.PROJECTION, handlers={AccountOpened: handler})


def test_every_projection_has_its_own():
    assert len({compute_fingerprint(projection) for projection in PROJECTIONS}) == len(PROJECTIONS)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_every_process_computes_the_same(seed):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    told = subprocess.run([sys.executable, "-c", TELL], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [compute_fingerprint(projection) for projection in PROJECTIONS]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("value // 10", "value // 100"),
        ('{"card": 3}', '{"card": 4}'),
        ("value * self.per_cent", "value + self.per_cent"),
        ("per_cent: int = 1", "per_cent: str = 1"),
        ('RATES["card"]', 'RATES["wire"]'),
        ("_round(fee.take", "str(fee.take"),
    ],
)
def test_it_changes_with_the_code_that_a_handler_reaches(before, after):
    assert MODULE.count(before) == 1
    assert compute_fingerprint(build(MODULE)) != compute_fingerprint(build(MODULE.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Round it."""', '"""Round it down, to tens."""'),
        ("    fee = Fee()", "    # what the card costs\n\n    fee = Fee()"),
        ("SELECT 1", "SELECT 2"),
    ],
)
def test_it_does_not_change_with_words_lines_and_queries(before, after):
    assert MODULE.count(before) == 1
    assert compute_fingerprint(build(MODULE)) == compute_fingerprint(build(MODULE.replace(before, after)))


def test_it_changes_with_a_column_and_with_an_event_that_is_handled():
    known = statements.PROJECTION
    same, more = (replace(known, tables=(known.tables[0].to_metadata(MetaData()),)) for _ in range(2))
    before = compute_fingerprint(same)
    more.tables[0].append_column(text("note", null=True))
    assert compute_fingerprint(more) != before
    handlers = {**known.handlers, AccountOpened: next(iter(known.handlers.values()))}
    assert compute_fingerprint(replace(known, handlers=handlers)) != compute_fingerprint(known)


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
        missed = {
            f"{code.co_filename.rpartition('/')[2]} {code.co_qualname}"
            for code in ran[projection.name] - walk(projection).codes
            if not code.co_filename.endswith(
                ("projections/engine/write_batch.py", "projections/engine/recorded_events.py")
            )
        }
        assert {handler.__code__ for handler in projection.handlers.values()} <= ran[projection.name]
        assert missed == set(), projection.name
