"""Amounts over half-open spans, against a count at every instant."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps, find_peak, overlaps, require_span

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 10


def hour(number):
    return BEGIN + timedelta(hours=number)


spans = st.integers(0, HOURS - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, HOURS)))
loads = st.lists(
    st.builds(lambda span, amount: Load(hour(span[0]), hour(span[1]), amount), spans, st.integers(-5, 5)), max_size=8
)


def count(loads, number):
    return sum(load.amount for load in loads if load.start <= hour(number) < load.end)


@given(loads, spans)
def test_the_peak_is_the_greatest_count_and_its_first_instant(loads, span):
    counts = {number: count(loads, number) for number in range(*span)}
    peak, where = find_peak(loads, hour(span[0]), hour(span[1]))
    assert peak == max(counts.values())
    assert where == hour(next(number for number, amount in counts.items() if amount == peak))


@given(loads, spans)
def test_steps_are_the_counts_as_the_longest_runs_of_equal_amounts(loads, span):
    runs = build_steps(loads, hour(span[0]), hour(span[1]))
    assert (runs[0].start, runs[-1].end) == (hour(span[0]), hour(span[1]))
    for before, after in pairwise(runs):
        assert before.end == after.start
        assert before.amount != after.amount
    for number in range(*span):
        (run,) = (run for run in runs if run.start <= hour(number) < run.end)
        assert run.amount == count(loads, number)


def test_where_nothing_is_the_peak_is_nothing_at_the_start():
    assert find_peak([], hour(2), hour(3)) == (0, hour(2))
    assert build_steps([], hour(2), hour(3)) == [Load(hour(2), hour(3), 0)]


def test_loads_that_touch_do_not_add_up():
    touching = [Load(hour(0), hour(5), 3), Load(hour(5), hour(9), 4)]
    assert find_peak(touching, hour(0), hour(9)) == (4, hour(5))
    assert find_peak(touching, hour(0), hour(5)) == (3, hour(0))


@given(spans, spans)
def test_spans_overlap_where_they_share_an_hour(one, other):
    shared = set(range(*one)) & set(range(*other))
    assert overlaps(hour(one[0]), hour(one[1]), hour(other[0]), hour(other[1])) == bool(shared)


def test_an_instant_is_the_same_in_every_offset():
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    shifted = [Load(hour(1).astimezone(elsewhere), hour(3).astimezone(elsewhere), 2)]
    assert find_peak([*shifted, Load(hour(1), hour(3), 1)], hour(0), hour(9)) == (3, hour(1))


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        (hour(1), hour(1), "span_empty"),
        (hour(2), hour(1), "span_empty"),
        (hour(1).replace(tzinfo=None), hour(2), "time_naive"),
        (hour(1), hour(0).replace(tzinfo=None), "time_naive"),
        (hour(2).replace(tzinfo=None), hour(1).replace(tzinfo=None), "time_naive"),
    ],
)
def test_a_span_that_is_none_is_refused(start, end, code):
    with pytest.raises(Refusal) as caught:
        require_span(start, end, "/end")
    assert (caught.value.code, caught.value.pointer) == (code, "/end")


def test_a_span_of_a_microsecond_is_one():
    require_span(hour(1), hour(1) + timedelta(microseconds=1), "/end")
