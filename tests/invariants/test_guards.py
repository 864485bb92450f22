"""No race of a rule that spans aggregates passes without what guards the rule (ADR 17)."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.invariants.guards import GUARDS, Guard
from tests.support.forks import ROOT, asking

ADR = next((ROOT / "docs" / "adr").glob("0017-*.md")).read_text()


@pytest.fixture(scope="module")
def run_races() -> Iterator[Callable[[str], list[str]]]:
    """Run the races of a guard without it, and return those that fail."""
    with asking("tests.invariants.play_guard") as ask:
        yield ask


@pytest.mark.xdist_group("guards")
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_races_of_a_rule_fail_without_its_guard(run_races, guard: Guard):
    assert run_races(guard.name) == sorted(guard.ids)


def test_every_rule_of_the_adr_has_a_guard_that_is_taken_away():
    rows = re.findall(r"^\| (?!rule \|)([^|-][^|]*) \|", ADR, re.MULTILINE)
    assert {guard.rule for guard in GUARDS} == set(rows)
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
