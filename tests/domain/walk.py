"""One step of a random walk, with what must hold of every step of every decider."""

import copy

from hypothesis import settings

from marketplace.core.errors import Refusal

WALK = settings(max_examples=120, deadline=None)


def step(decider, state, command):
    """Return the state after a command, its events, and the code of its refusal where it was refused.

    `decide` gives the same answer twice, changes no state, and yields nothing when the command is repeated; `evolve`
    gives the same state from an equal one.
    """
    before = copy.deepcopy(state)
    try:
        events = list(decider.decide(command, state))
    except Refusal as refusal:
        assert state == before
        return state, [], refusal.code
    assert state == before
    assert list(decider.decide(command, before)) == events
    after = decider.fold(events, state)
    assert state == before
    assert decider.fold(events, before) == after
    assert list(decider.decide(command, after)) == []
    return after, events, None
