"""A timeline is what counting every second would give, in whatever order it was counted."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.timeline import EMPTY, HOUR_SECONDS, Tally
from marketplace.core.timeline_sums import sum_amounts

BEGIN, END = HOUR_SECONDS - 8, HOUR_SECONDS + 8
spans = st.integers(BEGIN, END - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, END)))
loads = st.lists(st.tuples(spans, st.integers(1, 3)), max_size=12)


def add_all(loads, sign=1, base=EMPTY):
    tally = Tally(base)
    for (start, end), amount in loads:
        tally.add(start, end, sign * amount)
    return tally.seal()


def count(loads, second):
    return sum(amount for (start, end), amount in loads if start <= second < end)


@given(loads, spans)
def test_peak_and_sum_are_those_of_every_second(loads, span):
    timeline, seconds = add_all(loads), range(*span)
    assert sum_amounts(timeline, *span) == sum(count(loads, second) for second in seconds)
    peak, where = Tally(timeline).find_peak(*span)
    assert peak == max(count(loads, second) for second in seconds)
    assert peak == 0 or where == next(second for second in seconds if count(loads, second) == peak)


@given(loads, st.data())
def test_the_order_does_not_matter_and_what_is_taken_away_leaves_nothing(loads, data):
    timeline = add_all(loads)
    assert timeline == add_all(data.draw(st.permutations(loads)))
    assert add_all(loads, -1, timeline) == EMPTY


@given(loads)
def test_runs_follow_one_another_and_equal_neighbours_are_one(loads):
    for runs in add_all(loads).values():
        for (_, end, amount), (start, _, following) in itertools.pairwise(runs):
            assert end < start or (end == start and amount != following)


def test_a_day_of_equal_readings_is_one_run_an_hour():
    minutes = [((minute * 60, minute * 60 + 60), 8) for minute in range(24 * 60)]
    timeline = add_all(minutes)
    assert dict(timeline) == {hour: ((hour * 3_600, (hour + 1) * 3_600, 8),) for hour in range(24)}
