"""Runs the races of guards with the guard taken away each, and answers which failed, with any of their parameters.

    echo group-served | python -m tests.invariants.play_guard

What the guards guard and pytest's plugins are imported once, and each guard has a fork. The tests are not imported
before pytest begins, which rewrites their assertions.
"""

import gc
import importlib
from importlib.metadata import entry_points

import pytest

from tests.invariants.guards import GUARDS
from tests.invariants.mutating import Mutation
from tests.support import patience
from tests.support.forks import answer_each

SECONDS_MAX = 10.0
"""What a guard would have brought about never comes without it; nobody waits for it as long as elsewhere."""


class _Outcomes:
    """Remembers which tests failed, without their parameters."""

    def __init__(self) -> None:
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test; one that cannot be set up counts for nothing."""
        if report.when == "call" and report.failed:
            self.failed.add(report.nodeid.partition("[")[0])


def play(name: str) -> list[str]:
    """Run the races of a guard, and return which failed."""
    (guard,) = [each for each in GUARDS if each.name == name]
    Mutation(guard.mutant).put()
    gc.freeze()  # pytest collects garbage five times as it ends, and none of it is in what was imported
    outcomes = _Outcomes()
    imported = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of libraries that are pytest plugins too
    pytest.main(["-n0", "-p", "no:cacheprovider", *imported, *guard.ids], plugins=[outcomes])
    return sorted(outcomes.failed)


if __name__ == "__main__":
    patience.PATIENCE_SECONDS = SECONDS_MAX
    for module in ("marketplace.app", "marketplace.worker_process", *(each.mutant.module for each in GUARDS)):
        importlib.import_module(module)
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    answer_each(play)
