"""Runs the races of one guard with the guard taken away, in a process of its own, and prints what each came to.

    python -m tests.invariants.play_guard group-served

A mutant has to be there when its module is imported, which is why pytest begins after it.
"""

import json
import sys

import pytest

from tests.invariants.guards import GUARDS
from tests.invariants.mutating import Mutating
from tests.support import patience

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


def main(name: str) -> None:
    """Run the races of a guard, and print which failed, with any of their parameters."""
    (guard,) = [each for each in GUARDS if each.name == name]
    patience.PATIENCE_SECONDS = SECONDS_MAX
    sys.meta_path.insert(0, Mutating(guard.mutant))
    outcomes = _Outcomes()
    pytest.main(["-n0", "-p", "no:cacheprovider", *guard.ids], plugins=[outcomes])
    sys.stdout.write("\n" + json.dumps({"failed": sorted(outcomes.failed)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
