"""Detection: what machines say turns a GPU's health once, and what flickers turns nothing."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.service import DetectionTerms
from events.usage import Evidence, Reading, Sample
from marketplace.domain.delivery.detection import Health, count_nodes, take_reading, take_sample
from tests.domain.build import hour, usd
from tests.domain.walk import WALK

TERMS = DetectionTerms(open_after=2, close_after=3)


def sample(at, *, xid=0, busy="0.9", kwh=None):
    energy = None if kwh is None else usd(kwh)
    return Sample(device="GPU-1", at=hour(at), gpu_utilisation=usd(busy), energy_kwh=energy, xid_error=xid)


def reading(at, **evidence):
    return Reading(
        reading_id=f"r{at}",
        start=hour(at),
        end=hour(at + 1),
        nodes=1,
        gpu_seconds=8 * 3_600,
        evidence=Evidence(**evidence),
    )


def look(*samples, terms=TERMS):
    health = Health()
    for one in samples:
        health = take_sample(health, one, terms)
    return health


def test_failed_hardware_in_a_row_turns_a_gpu_bad_since_the_first_look():
    assert look(sample(0, xid=79)).is_bad is False
    health = look(sample(0), sample(1, xid=79), sample(2, xid=79))
    assert (health.is_bad, health.since) == (True, hour(1))
    assert look(sample(0, xid=13), sample(1, xid=13), sample(2, xid=31)).is_bad is False


def test_what_flickers_turns_nothing():
    assert look(*(sample(at, xid=79 * (at % 2)) for at in range(20))).is_bad is False
    bad = (sample(0, xid=79), sample(1, xid=79))
    flickering = (sample(2 + at, xid=79 * (at % 3 == 2)) for at in range(18))
    assert look(*bad, *flickering).since == hour(0)


def test_it_is_good_again_since_the_first_of_enough_good_looks():
    bad = sample(0, xid=79), sample(1, xid=79)
    assert look(*bad, sample(2), sample(3)).is_bad is True
    health = look(*bad, sample(2), sample(3), sample(4))
    assert (health.is_bad, health.since) == (False, hour(2))


def test_energy_that_rises_while_nothing_runs_tells_of_a_gpu_that_hangs():
    hanging = [sample(at, busy="0", kwh=f"{at * 0.3:.1f}") for at in range(3)]
    assert look(*hanging).is_bad is True
    assert look(*(sample(at, busy="0", kwh=f"{at * 0.2:.1f}") for at in range(5))).is_bad is False
    assert look(*(sample(at, busy="0.1", kwh=f"{at}") for at in range(5))).is_bad is False
    assert look(*(sample(at, busy="0") for at in range(5))).is_bad is False


@pytest.mark.parametrize(
    ("evidence", "is_bad"),
    [
        ({"xid_errors": 1}, True),
        ({"xid_errors": 0, "gpu_utilisation": usd("0.9"), "energy_kwh": usd("5.2")}, False),
        ({"gpu_utilisation": usd(0), "energy_kwh": usd("1.6")}, False),
        ({"gpu_utilisation": usd(0), "energy_kwh": usd("1.7")}, True),
        ({"gpu_utilisation": usd(0)}, False),
    ],
)
def test_readings_with_evidence_are_looks_too(evidence, is_bad):
    health = Health()
    for at in range(2):
        health = take_reading(health, reading(at, **evidence), TERMS)
    assert health.is_bad is is_bad


def test_what_comes_late_or_again_is_left_out():
    first = sample(1, xid=79)
    assert look(first, first, first).run == 1
    assert look(sample(5), sample(1, xid=79), sample(2, xid=79)).is_bad is False
    once = take_reading(Health(), reading(3, xid_errors=1), TERMS)
    assert take_reading(once, reading(3, xid_errors=1), TERMS) == once


def test_as_few_nodes_as_could_hold_the_bad_gpus_do_not_work():
    assert [count_nodes(gpus, 8) for gpus in (0, 1, 8, 9, 16)] == [0, 1, 1, 2, 2]


@WALK
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_a_health_turns_only_by_enough_looks_in_a_row_and_each_look_counts_once(looks, open_after, close_after):
    terms = DetectionTerms(open_after=open_after, close_after=close_after)
    health, turns = Health(), []
    for at, is_bad in enumerate(looks):
        one = sample(at, xid=79 if is_bad else 0)
        before, health = health, take_sample(health, one, terms)
        assert take_sample(health, one, terms) == health
        if health.is_bad != before.is_bad:
            needed = open_after if health.is_bad else close_after
            assert looks[at + 1 - needed : at + 1] == [health.is_bad] * needed
            assert health.since == hour(at + 1 - needed)
            turns.append(health.is_bad)
    assert turns == [number % 2 == 0 for number in range(len(turns))]
    assert health.seen is None or health.seen == hour(0) + timedelta(hours=len(looks) - 1)
