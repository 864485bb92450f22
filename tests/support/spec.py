"""Given, when, then for deciders.

`Given(DECIDER, *events).when(command).then(*events)` compares the new events, runs the command again on the state
after them and expects nothing new, and takes each event through the codec. `refused(code)` expects the refusal.
"""

import pytest

from events.registry import get_tag, parse_body, render_body
from marketplace.core.errors import Refusal


class Given:
    def __init__(self, decider, *events):
        self.decider = decider
        self.events = list(events)

    def when(self, command):
        return _When(self, command)


class _When:
    def __init__(self, given, command):
        self.given = given
        self.command = command

    def then(self, *expected, repeatable=True):
        decider = self.given.decider
        state = decider.fold(self.given.events)
        actual = list(decider.decide(self.command, state))
        assert actual == list(expected)
        for event in actual:
            assert parse_body(get_tag(event), render_body(event)) == event
        if repeatable:
            assert list(decider.decide(self.command, decider.fold(actual, state))) == []

    def then_nothing(self):
        decider = self.given.decider
        assert list(decider.decide(self.command, decider.fold(self.given.events))) == []

    def refused(self, code, pointer=None):
        decider = self.given.decider
        state = decider.fold(self.given.events)
        with pytest.raises(Refusal) as caught:
            decider.decide(self.command, state)
        assert caught.value.code == code, caught.value.message
        assert pointer is None or caught.value.pointer == pointer
        return caught.value
