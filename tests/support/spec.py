"""Given, when, then for deciders.

`Given(DECIDER, *events).when(command).then(*events)` compares the new events, runs the command again on the state
after them and expects nothing new, and takes each event through the codec. `refused(code)` expects the refusal.
"""

import re

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
        for each in (caught.value, *caught.value.others):
            assert_plain(each)
        return caught.value


_FRACTION = re.compile(r"(?<![\w/.-])\d+/\d+(?![\w/])")
_STRANGE = re.compile(
    r"\d-\d\d \d\d:\d\d|\+00:00|\b\w+\(\w+=|Decimal\(|Fraction\(|\bNone\b|\bTrue\b|\bFalse\b|\d\.\d*0 of "
)
_DOLLARS = re.compile(r"(?<![\w.,/-])\d+(\.\d+)? (?:USD|dollars?)\b")


def assert_plain(refusal):
    """Check that a sentence states instants, fractions and dollars in their one form, and facts name what is exact."""
    text = refusal.message
    if refusal.code not in {"split_leaves_fractions", "act_repeated"}:  # these quote the request, which has fractions
        assert not _FRACTION.search(text), text
    assert not _STRANGE.search(text), text
    for found in _DOLLARS.finditer(text):
        places = (found[1] or "")[1:]
        assert places == places.rstrip("0").ljust(2, "0"), text
    for name, value in refusal.facts.items():
        assert name.endswith("_exact") or not (isinstance(value, str) and _FRACTION.fullmatch(value)), (name, value)
