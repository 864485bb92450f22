"""No race of a rule that spans aggregates passes without what guards the rule (ADR 17)."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.invariants.guards import GUARDS, Guard

PLAY_SECONDS_MAX = 3_600  # so that a play that hangs fails; how fast it is is not measured here
ROOT = Path(__file__).parents[2]
ADR = next((ROOT / "docs" / "adr").glob("0017-*.md")).read_text()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_races_of_a_rule_fail_without_its_guard(guard: Guard):
    command = [sys.executable, "-m", "tests.invariants.play_guard", guard.name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PLAY_SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    assert outcomes["failed"] == sorted(guard.ids), done.stdout


def test_every_rule_of_the_adr_has_a_guard_that_is_taken_away():
    rows = re.findall(r"^\| (?!rule \|)([^|-][^|]*) \|", ADR, re.MULTILINE)
    assert {guard.rule for guard in GUARDS} == set(rows)
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
