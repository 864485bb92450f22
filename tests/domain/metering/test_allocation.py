"""Use is allocated by priority, expiry and age, corrections unwind the order, and events alone say what counts."""

from datetime import timedelta
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.usage import UsageReallocated
from marketplace.core.errors import Refusal
from marketplace.domain.metering.burn_order import Piece, allocate_gpus
from marketplace.domain.metering.usage import USAGE
from tests.domain.allocations import (
    ALLOCATION,
    GONE,
    OFFERS,
    TENANT,
    TWELVE,
    allocate,
    allocation_of,
    offer,
    part,
    reallocate,
    use,
)
from tests.domain.build import NAIVE, hour, id_of
from tests.domain.walk import WALK
from tests.support.spec import Given


def test_what_one_grant_cannot_carry_goes_to_the_next():
    Given(USAGE).when(allocate()).then(ALLOCATION)
    Given(USAGE, ALLOCATION).when(allocate(offers=())).then_nothing()


def test_the_order_is_priority_then_expiry_then_age():
    ranked = [offer(4, priority=1), offer(3, expires=15), offer(2, created=0), offer(1, created=1)]
    for offers in permutations(ranked):
        (event,) = USAGE.decide(allocate(offers=offers, measurement=use(1)), USAGE.initial)
        assert [rank.grant_id for rank in event.allocation.ranks] == [one.rank.grant_id for one in ranked]
        assert [one.grant_id for one in event.allocation.parts] == [id_of("grt", 4)]


def test_a_grant_carries_what_is_free_at_each_instant_within_its_span():
    half = 8, 11, 12
    offers = (offer(1, start=11), offer(2, runs=((second(10.5), second(12), half[0]),)), offer(3, gpus=100))
    pieces = allocate_gpus(second(10), second(12), 10, offers)
    assert pieces == [
        Piece(id_of("grt", 1), second(11), second(12), 8),
        Piece(id_of("grt", 2), second(10), second(10.5), 8),
        Piece(id_of("grt", 3), second(10), second(10.5), 2),
        Piece(id_of("grt", 3), second(10.5), second(11), 10),
        Piece(id_of("grt", 3), second(11), second(12), 2),
    ]


def second(number):
    return int(hour(number).timestamp())


def test_less_leaves_the_grant_that_was_used_last_and_more_goes_on_where_the_order_ended():
    ten = allocation_of(part(1), part(2, 2, gpus=2), gpus=10)
    Given(USAGE, ALLOCATION).when(reallocate()).then(change(ten))
    six = allocation_of(part(1, gpus=6), gpus=6)
    Given(USAGE, ALLOCATION).when(reallocate(measurement=use(6))).then(change(six))
    offers = (offer(1), offer(2, created=1), offer(3, priority=1))
    more = allocation_of(part(1), part(3, 2), part(4, 3, gpus=2), gpus=18, offers=offers, made=4)
    Given(USAGE, ALLOCATION).when(reallocate(measurement=use(18), offers=offers)).then(change(more))


def change(after, before=TWELVE):
    return UsageReallocated(**TENANT, reading_id="r1", before=before, after=after, reason="miscounted")


def test_a_grant_that_ended_meanwhile_keeps_what_it_may_and_the_rest_moves_on():
    ended = (offer(1, end=11, expires=20), offer(2, created=1))
    after = allocation_of(
        part(1, end=11), part(3, 2, end=11, gpus=2), part(4, 2, start=11), gpus=10, offers=ended, made=4
    )
    short = msgspec.structs.replace(after, parts=(part(1, end=11), part(2, 2, end=11, gpus=2)), parts_made=2)
    command = reallocate(measurement=use(10, end=11), offers=ended)
    Given(USAGE, ALLOCATION).when(command).then(change(msgspec.structs.replace(short, end=hour(11))))
    with pytest.raises(Refusal) as caught:
        USAGE.decide(reallocate(measurement=use(10), offers=ended), USAGE.fold([ALLOCATION]))
    assert caught.value.code == "grants_exhausted"


def test_who_is_not_the_provider_of_any_grant_is_told_so():
    with pytest.raises(Refusal, match="no grant of this class from this provider"):
        USAGE.decide(allocate(measurement=use(10), offers=()), USAGE.fold([]))


def test_what_is_taken_back_never_comes_again_under_its_id():
    Given(USAGE, ALLOCATION).when(reallocate(measurement=None, reason="not used")).then(GONE)
    Given(USAGE, ALLOCATION, GONE).when(allocate()).refused("allocation_exists")
    Given(USAGE, ALLOCATION, GONE).when(reallocate(measurement=None)).then_nothing()


@pytest.mark.parametrize(
    ("code", "faulty"),
    [
        ("time_naive", {"start": NAIVE}),
        ("span_empty", {"end": hour(10)}),
        ("seconds_not_whole", {"end": hour(11).replace(microsecond=1)}),
        ("nodes_not_positive", {"gpus": 0}),
        ("from_the_future", {"end": hour(13)}),
    ],
)
def test_what_no_grant_could_have_counted_is_refused_by_name(code, faulty):
    measurement = msgspec.structs.replace(use(), **faulty)
    Given(USAGE).when(allocate(measurement=measurement)).refused(code)
    Given(USAGE, ALLOCATION).when(reallocate(measurement=measurement)).refused(code)


@pytest.mark.parametrize("wrong", [None, allocation_of(part(1), part(2, 2, gpus=4), made=3)])
def test_what_is_brought_along_is_what_was_recorded(wrong):
    with pytest.raises(AssertionError, match=r"includes the present allocation|last recorded one"):
        USAGE.decide(reallocate(before=wrong), USAGE.fold([ALLOCATION]))


SECONDS = 12
spans = st.tuples(st.integers(0, SECONDS - 1), st.integers(1, SECONDS)).map(lambda two: (two[0], two[0] + two[1]))
offers = st.lists(
    st.tuples(
        spans,
        st.integers(1, 6),
        st.integers(0, 2),
        st.integers(0, 3),
        st.lists(st.tuples(spans, st.just(1)), max_size=3),
    ),
    max_size=4,
)


def at(number):
    return hour(0) + timedelta(seconds=number)


def build_offers(drawn):
    built = []
    for number, (span, gpus, priority, created, used) in enumerate(drawn, 1):
        runs, end = [], second(0)
        for (start, stop), amount in sorted(used):
            if second(0) + start >= end:
                runs.append((second(0) + start, second(0) + stop, amount))
                end = second(0) + stop
        one = offer(number, gpus=gpus, priority=priority, created=created, runs=tuple(runs))
        built.append(msgspec.structs.replace(one, start=at(span[0]), end=at(span[1])))
    return tuple(built)


def count_used(runs, number):
    return sum(amount for begin, stop, amount in runs if begin <= second(0) + number < stop)


def count_carried(allocation, grant_id, number):
    return sum(one.gpus for one in allocation.parts if one.grant_id == grant_id and one.start <= at(number) < one.end)


def check(allocation, built):
    """At every second the parts are what was used, no grant has more than it may, and none is passed over."""
    by_id = {one.rank.grant_id: one for one in built}
    ids = [one.reading_id for one in allocation.parts]
    assert len(set(ids)) == len(ids) <= allocation.parts_made
    for number in range(2 * SECONDS):
        left = allocation.gpus if allocation.start <= at(number) < allocation.end else 0
        for rank in allocation.ranks:
            one = by_id[rank.grant_id]
            free = max(one.gpus - count_used(one.runs, number), 0) if one.start <= at(number) < one.end else 0
            carried = count_carried(allocation, rank.grant_id, number)
            assert carried == min(free, left)
            left -= carried
        assert left == 0


@WALK
@given(offers, spans, st.lists(st.tuples(spans, st.integers(1, 12)), max_size=4), st.data())
def test_at_every_second_each_grant_carries_what_the_order_says_whatever_is_corrected(drawn, span, corrections, data):
    built, state, known, events = build_offers(drawn), USAGE.initial, None, []
    for (start, end), gpus in [(span, data.draw(st.integers(1, 8))), *corrections]:
        measurement = msgspec.structs.replace(use(gpus), start=at(start), end=at(end))
        fresh = allocate(measurement=measurement, offers=built, at=hour(12))
        command = fresh if known is None else reallocate(measurement=measurement, offers=built, before=known)
        try:
            decided = list(USAGE.decide(command, state))
        except Refusal:
            continue
        events += decided
        state = USAGE.fold(decided, state)
        assert list(USAGE.decide(command, state)) == []
        if decided:
            after = decided[0].allocation if known is None else decided[0].after
            if known is not None:
                recorded = [rank.grant_id for rank in known.ranks]
                assert [rank.grant_id for rank in after.ranks] == recorded
                assert after.parts_made >= known.parts_made
            check(after, built)
            known = after
    assert USAGE.fold(events) == state
    if known is not None:
        (gone,) = USAGE.decide(reallocate(measurement=None, before=known), state)
        assert (gone.before, gone.after) == (known, None)


def test_the_offers_of_these_tests_are_in_order():
    assert [one.rank.created_at for one in OFFERS] == [hour(0), hour(1)]
