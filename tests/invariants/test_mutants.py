"""Every invariant's property catches the fault that was made for it, and no other property does."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.invariants.corpus import INVARIANTS, WHOLE_LIVES, Invariant
from tests.support.forks import ROOT, asking

SINGLE = [invariant for invariant in INVARIANTS if invariant.number != WHOLE_LIVES]
IN_ONE_PROCESS = pytest.mark.xdist_group("mutants")
README = (ROOT / "marketplace" / "domain" / "README.md").read_text()


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[[int], set[int]]]:
    """Return the numbers of the properties that fail with the mutant of an invariant, 0 for none."""
    with asking("tests.invariants.play") as ask:
        yield lambda number: set(ask(number))


@IN_ONE_PROCESS
def test_every_property_holds_without_a_fault(play):
    assert play(0) == set()


@IN_ONE_PROCESS
@pytest.mark.parametrize("invariant", SINGLE, ids=lambda invariant: str(invariant.number))
def test_the_property_of_an_invariant_alone_catches_its_fault(play, invariant: Invariant):
    assert play(invariant.number) - invariant.also == {invariant.number}


@IN_ONE_PROCESS
def test_the_property_of_whole_lives_catches_its_fault(play):
    assert play(WHOLE_LIVES) == {WHOLE_LIVES}


def test_the_readme_lists_these_invariants_and_their_properties():
    listed = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\n|^##|\Z)", README, re.DOTALL | re.MULTILINE)
    named = {int(number): re.findall(r"`test_\w+\.py`|`ledger\.py`", text) for number, text in listed}
    assert list(named) == [invariant.number for invariant in INVARIANTS]
    for invariant in INVARIANTS:
        module = invariant.module.rpartition(".")[2]
        assert f"`{module}.py`" in named[invariant.number], invariant.number
