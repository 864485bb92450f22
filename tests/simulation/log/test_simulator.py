"""A bounded share of the simulator: no run is wrong, every planted fault is found, and a run can be played again."""

import contextlib
import sys

import pytest

from tests.simulation.log import __main__ as command
from tests.simulation.log.planted import PLANTED
from tests.simulation.log.world import simulate

RUNS = 200


@pytest.mark.parametrize("chunk", range(6))
def test_no_run_is_wrong(chunk):
    kinds, events = set(), 0
    for seed in range(1_000_000 + chunk * RUNS, 1_000_000 + (chunk + 1) * RUNS):
        outcome = simulate(seed)
        assert outcome.error is None, f"python -m tests.simulation.log --seed {seed} --step {outcome.steps}"
        kinds |= outcome.counts.keys()
        events += outcome.events
    assert kinds >= {"stored", "short", "unavailable", "in flight", "restart"}
    assert events > 10 * RUNS


def test_the_same_seed_is_the_same_run():
    first, second = simulate(5), simulate(5)
    assert first == second
    assert first.steps > 100


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    """The worst of them takes some five seconds of one core."""
    assert command.find(PLANTED[name], 1, 3_000) is not None


def test_a_wrong_run_is_told_with_its_seed_and_played_again_to_its_step(monkeypatch, capsys):
    with PLANTED["only the first subject of a batch is guarded"]():
        outcome = command.find(contextlib.nullcontext, 1, 100)
        monkeypatch.setattr(sys, "argv", ["log", "--seed", str(outcome.seed), "--step", str(outcome.steps)])
        assert command.main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith(f"seed {outcome.seed} step ")
    assert any("arrives marketplace.account." in line for line in told)
