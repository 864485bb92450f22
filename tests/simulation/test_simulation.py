"""A bounded share of the simulator: lives with every kind of trouble, in which every invariant holds at every step."""

import sys

import pytest

from tests.simulation.world import Simulation, simulate

STEPS = 150


@pytest.mark.parametrize("seed", [11, 12, 8802])
def test_a_life_with_every_trouble_keeps_every_invariant(seed):
    life = simulate(seed, STEPS)
    assert life.counts.keys() >= {"lost", "unanswered", "conflict", "again", "restart"}
    assert sum(life.done.values()) > STEPS / 2
    assert life.list_unsettled() == []


def test_the_same_seed_is_the_same_life():
    first, second = simulate(3, 30), simulate(3, 30)
    assert (first.position, first.done, first.refused, first.counts) == (
        second.position,
        second.done,
        second.refused,
        second.counts,
    )


def test_a_failure_names_its_seed_and_its_commit(monkeypatch, capsys):
    from tests.simulation import __main__ as command  # noqa: PLC0415 - the command as it is started

    async def break_down(self, steps):
        raise AssertionError("money is neither made nor lost")

    monkeypatch.setattr(Simulation, "run", break_down)
    monkeypatch.setattr(sys, "argv", ["simulation", "--seed", "7", "--steps", "5"])
    with pytest.raises(AssertionError):
        command.main()
    told = capsys.readouterr().err
    assert told == f"failed: seed 7, 5 steps, commit {command.find_commit()}\n"
    assert command.find_commit() != "unknown"
