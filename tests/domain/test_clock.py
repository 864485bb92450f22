"""The test clock runs forward."""

import pytest

from events.clock import ClockAdvanced
from marketplace.domain.clock import CLOCK, CLOCK_ID, OFFSET_SECONDS_MAX, AdvanceClock
from tests.domain import build
from tests.domain.build import Row
from tests.support.spec import Given


def advance(seconds):
    return AdvanceClock(clock_id=CLOCK_ID, offset_seconds=seconds)


def advanced(seconds):
    return ClockAdvanced(clock_id=CLOCK_ID, offset_seconds=seconds)


REFUSALS = [
    Row("clock_runs_forward", (advanced(10),), advance(9), "/seconds"),
    Row("clock_too_far", (), advance(OFFSET_SECONDS_MAX + 1), "/seconds"),
]
PRECEDENCE = [Row("clock_runs_forward", (), advance(-1))]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(CLOCK, row)


def test_advances_to_an_offset():
    Given(CLOCK).when(advance(60)).then(advanced(60))
    Given(CLOCK, advanced(60)).when(advance(OFFSET_SECONDS_MAX)).then(advanced(OFFSET_SECONDS_MAX))


def test_stands_where_it_is_told_again():
    Given(CLOCK, advanced(60)).when(advance(60)).then_nothing()
