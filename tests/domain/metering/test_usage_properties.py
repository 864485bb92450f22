"""Usage counts what a count of every second would, whatever is reported, corrected, voided and repeated."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.intervals import Load
from marketplace.domain.metering.usage import USAGE, count_gpu_seconds
from marketplace.domain.metering.usage_commands import CloseUsage, CorrectUsage, LimitUsage, ReportUsage, VoidUsage
from marketplace.domain.metering.usage_record import VOIDED, answer, digest_reading
from tests.domain import build
from tests.domain.readings import Told
from tests.domain.walk import WALK, step

SECONDS, NODES, GPUS = 16, 3, 8
sources = st.sampled_from(["/meters/1", "/meters/2"])
reading_ids = st.sampled_from(["a", "b", "c", "d", "e", "f"])


def second(number):
    return build.NOW + timedelta(seconds=number)


METERED = build.metered(start=second(0), end=second(SECONDS), nodes=NODES, gpus_per_node=GPUS)
spans = st.integers(0, SECONDS - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, SECONDS)))
measurements = st.builds(
    lambda reading_id, span, nodes: build.measurement(
        reading_id=reading_id, start=second(span[0]), end=second(span[1]), nodes=nodes
    ),
    reading_ids,
    spans,
    st.integers(1, NODES),
)
WHEN = second(SECONDS)
names = {"usage_id": st.just(build.USAGE), "grant_id": st.just(build.GRANT), "source": sources}
reports = st.builds(
    ReportUsage,
    **names,
    measurements=st.lists(measurements, min_size=1, max_size=4).map(tuple),
    metered=st.just(METERED),
    at=st.just(WHEN),
)
corrections = st.builds(
    CorrectUsage,
    **names,
    measurement=measurements,
    metered=st.just(METERED),
    reason=st.just("meter restarted"),
    at=st.just(WHEN),
)
voids = st.builds(VoidUsage, **names, reading_id=reading_ids, reason=st.just("wrong grant"))
walks = st.lists(st.one_of(reports, reports, corrections, voids), min_size=1, max_size=15)


limits = st.builds(
    lambda end, span, nodes: LimitUsage(
        usage_id=build.USAGE,
        grant_id=build.GRANT,
        end=second(end),
        resold=(Load(second(span[0]), second(span[1]), nodes),),
        meter="provider",
    ),
    st.integers(1, SECONDS),
    spans,
    st.integers(1, NODES),
)


def count_nodes(told, number):
    at = second(number)
    return sum(reading.nodes for reading in told.counted() if reading.start <= at < reading.end)


def play(walk):
    """Yield each command of a walk, the state before and after it, and what the events said up to it."""
    usage, told = USAGE.initial, Told()
    for chosen in walk:
        before, command = usage, told.bring(chosen)
        usage, events, _ = step(USAGE, usage, command)
        for event in events:
            told.hear(event)
        yield command, before, usage, told


@WALK
@given(walks)
def test_never_more_nodes_are_counted_than_were_granted(walk):
    for _, _, _, told in play(walk):
        assert max(count_nodes(told, number) for number in range(SECONDS)) <= NODES


@WALK
@given(walks, limits, walks)
def test_nothing_more_is_counted_on_what_the_record_was_told_is_gone(walk, limit, later):
    *_, (_, _, _, told) = play(walk)
    before = [count_nodes(told, number) for number in range(SECONDS)]
    *_, (_, _, _, told) = play([*walk, limit, *later])
    (sold,) = limit.resold
    for number in range(SECONDS):
        is_sold = sold.start <= second(number) < sold.end
        if second(number) >= limit.end or (is_sold and sold.amount == NODES):
            assert count_nodes(told, number) <= before[number]


@WALK
@given(walks, st.integers(0, SECONDS))
def test_gpu_seconds_are_those_of_a_count_of_every_second(walk, until):
    for _, _, usage, told in play(walk):
        expected = sum(count_nodes(told, number) * GPUS for number in range(until))
        assert count_gpu_seconds(usage, second(0), second(until)) == expected
    (closed,) = USAGE.decide(CloseUsage(usage_id=build.USAGE, grant_id=build.GRANT), usage)
    assert closed.gpu_seconds == sum(reading.gpu_seconds for reading in told.counted())


@WALK
@given(walks)
def test_a_reading_is_rejected_only_where_it_would_exceed_the_grant(walk):
    told = Told()
    for command, before, usage, after in play(walk):
        if isinstance(command, ReportUsage) and len(command.measurements) == 1:
            ((said, _),) = answer(command, before)
            (measurement,) = command.measurements
            most = max(
                count_nodes(told, number)
                for number in range(SECONDS)
                if measurement.start <= second(number) < measurement.end
            )
            if said.outcome in {"accepted", "rejected"}:
                assert (said.outcome == "accepted") == (most + measurement.nodes <= NODES)
        told.readings = dict(after.readings)
        assert {key: usage.find_content(*key) for key in told.readings} == {
            key: VOIDED if reading is None else digest_reading(reading) for key, reading in told.readings.items()
        }


def report_one_by_one(readings):
    usage = USAGE.initial
    for source, measurement in readings:
        command = build.report_usage(source=source, measurements=(measurement,), metered=METERED, at=WHEN)
        usage, _, _ = step(USAGE, usage, command)
    return usage


@WALK
@given(st.lists(st.tuples(sources, measurements), min_size=1, max_size=10), st.data())
def test_the_same_readings_in_any_order_and_any_number_of_times_give_the_same_state(readings, data):
    accepted, usage = [], USAGE.initial
    for source, measurement in readings:
        command = build.report_usage(source=source, measurements=(measurement,), metered=METERED, at=WHEN)
        usage, events, _ = step(USAGE, usage, command)
        if events:
            accepted.append((source, measurement))
    shuffled = data.draw(st.permutations([*accepted, *data.draw(st.lists(st.sampled_from(accepted), max_size=4))]))
    assert report_one_by_one(shuffled) == usage


@WALK
@given(reports)
def test_a_batch_is_its_readings_one_by_one(command):
    batch, _, _ = step(USAGE, USAGE.initial, command)
    assert batch == report_one_by_one([(command.source, measurement) for measurement in command.measurements])
