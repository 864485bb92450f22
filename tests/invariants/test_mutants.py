"""Every invariant's property catches the fault that was made for it, and no other property does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.invariants.corpus import INVARIANTS, WHOLE_LIVES, Invariant

PLAY_SECONDS_MAX = 3_600  # so that a play that hangs fails; how fast it is is not measured here
ROOT = Path(__file__).parents[2]
SINGLE = [invariant for invariant in INVARIANTS if invariant.number != WHOLE_LIVES]
README = (ROOT / "marketplace" / "domain" / "README.md").read_text()


def play(number: int) -> set[int]:
    """Return the numbers of the properties that fail with the mutant of an invariant, 0 for none."""
    command = [sys.executable, "-m", "tests.invariants.play", str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PLAY_SECONDS_MAX, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_property_holds_without_a_fault():
    assert play(0) == set()


@pytest.mark.parametrize("invariant", SINGLE, ids=lambda invariant: str(invariant.number))
def test_the_property_of_an_invariant_alone_catches_its_fault(invariant: Invariant):
    assert play(invariant.number) - {WHOLE_LIVES} - invariant.also == {invariant.number}


def test_the_property_of_whole_lives_catches_its_fault():
    assert play(WHOLE_LIVES) == {WHOLE_LIVES}


def test_the_readme_lists_these_invariants_and_their_properties():
    listed = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\n|^##|\Z)", README, re.DOTALL | re.MULTILINE)
    named = {int(number): re.findall(r"`test_\w+\.py`|`ledger\.py`", text) for number, text in listed}
    assert list(named) == [invariant.number for invariant in INVARIANTS]
    for invariant in INVARIANTS:
        module = invariant.module.rpartition(".")[2]
        assert f"`{module}.py`" in named[invariant.number], invariant.number
