"""Contradictions between meters and machines are found, and agreement is none."""

import msgspec
import pytest

from events.usage import Evidence, Sample
from marketplace.domain.metering.contradictions import Counted, NamedReading, find_contradictions, list_devices
from tests.domain.build import builder, hour, id_of, usd

counted = builder(Counted(start=hour(0), end=hour(1), gpus=8))
sample = builder(Sample(device="GPU-1", at=hour(0), gpu_utilisation=usd("0.9"), energy_kwh=usd(100)))


def tell(readings, samples=(), granted=16):
    found = find_contradictions(readings, samples, granted)
    assert all(one.message for one in found)
    return [(one.kind, one.start, one.end, one.device) for one in found]


def test_meters_and_machines_that_agree_contradict_nothing():
    readings = [counted(), counted(start=hour(1), end=hour(2)), counted(devices=("GPU-1",), gpus=1)]
    assert tell(readings, [sample(), sample(at=hour(1), energy_kwh=usd(101))]) == []
    assert tell([]) == []


def test_a_gap_is_where_nothing_is_counted_in_between():
    readings = [counted(start=hour(5), end=hour(6)), counted(), counted(start=hour(0.5), end=hour(2))]
    assert tell(readings) == [("gap", hour(2), hour(5), None)]


def test_an_instance_is_not_counted_while_its_whole_gpu_is():
    whole, part = counted(devices=("GPU-1",)), counted(start=hour(0.5), end=hour(2), devices=("GPU-1/3",))
    assert tell([whole, part]) == [("device_overlap", hour(0.5), hour(1), "GPU-1/3")]
    assert tell([whole, msgspec.structs.replace(part, start=hour(1))]) == []


@pytest.mark.parametrize(("kwh", "found"), [("1.6", False), ("1.61", True)])
def test_eight_gpus_that_are_never_busy_draw_little(kwh, found):
    idle = Evidence(gpu_utilisation=usd(0), energy_kwh=usd(kwh))
    assert tell([counted(evidence=idle)]) == ([("idle_energy", hour(0), hour(1), None)] if found else [])


@pytest.mark.parametrize(("kwh", "found"), [("100.2", False), ("100.3", True)])
def test_a_gpu_that_is_idle_twice_drew_little_in_between(kwh, found):
    samples = [sample(gpu_utilisation=usd(0)), sample(at=hour(1), gpu_utilisation=usd(0), energy_kwh=usd(kwh))]
    readings = [counted(end=hour(2))]
    assert tell(readings, samples) == ([("idle_energy", hour(0), hour(1), "GPU-1")] if found else [])


def test_a_busy_gpu_is_counted():
    samples = [sample(at=hour(2)), sample(at=hour(3), gpu_utilisation=usd(0)), sample(at=hour(0.5))]
    assert [one[:2] for one in tell([counted()], samples)] == [("busy_unmetered", hour(2))]


def test_no_more_gpus_are_seen_than_were_granted():
    samples = [sample(device=f"GPU-{number}", at=hour(0.5)) for number in range(17)]
    assert tell([counted()], samples[:16]) == []
    assert tell([counted()], samples) == [("more_than_granted", hour(0), hour(1), None)]
    instances = [sample(device=f"GPU-1/{number}", at=hour(0.5)) for number in range(17)]
    assert tell([counted()], instances) == []


def named(grant, reading_id, start, end, *devices):
    name = NamedReading(grant_id=id_of("grt", grant), source="dcgm", reading_id=reading_id)
    return counted(start=hour(start), end=hour(end), devices=devices, gpus=len(devices), name=name)


def test_a_gpu_is_not_counted_in_two_grants_at_the_same_time():
    own = [named(1, "a", 0, 1, "GPU-1", "GPU-2"), named(1, "b", 1, 2, "GPU-1")]
    other = [named(2, "x", 0.5, 3, "GPU-1"), named(3, "y", 2, 3, "GPU-2"), named(3, "z", 0, 1, "GPU-3")]
    found = find_contradictions(own, (), 16, other)
    assert [(one.kind, one.start, one.end, one.device) for one in found] == [
        ("device_elsewhere", hour(0.5), hour(1), "GPU-1"),
        ("device_elsewhere", hour(1), hour(2), "GPU-1"),
    ]
    assert [[name.reading_id for name in one.readings] for one in found] == [["a", "x"], ["b", "x"]]
    assert find_contradictions(own, (), 16, [named(2, "x", 2, 3, "GPU-1")]) == []


def test_an_instance_is_not_counted_while_its_whole_gpu_is_in_another_grant():
    own = [named(1, "a", 0, 1, "GPU-1/3")]
    assert list_devices(own) == {"GPU-1/3", "GPU-1"}
    (found,) = find_contradictions(own, (), 16, [named(2, "x", 0, 1, "GPU-1")])
    assert (found.kind, found.device) == ("device_elsewhere", "GPU-1/3")
    assert find_contradictions(own, (), 16, [named(2, "x", 0, 1, "GPU-1/4")]) == []


def test_what_a_source_says_again_under_ids_of_another_form_is_told():
    def say(reading_id, **changes):
        return counted(
            name=NamedReading(
                grant_id=id_of("grt"), source=changes.pop("source", "urn:meter:1"), reading_id=reading_id
            ),
            **changes,
        )

    nodes = [say("node-17/45"), say("node-18/45"), say("other-node/45")]
    apart = [
        say("45#17", start=hour(1), end=hour(2)),
        say("45#17", source="urn:meter:2"),
        say("45#18", gpus=4),
        say("45#19", evidence=Evidence(energy_kwh=usd(1))),
        say("45#20", devices=("GPU-1",)),
        counted(),
    ]
    assert tell(nodes + apart) == []
    again = [say("10:45#17"), say("10:45#18")]
    assert tell(nodes + apart + again) == [("said_twice", hour(0), hour(1), None)]
    (found,) = find_contradictions(nodes + again, (), 64)
    assert [name.reading_id for name in found.readings] == ["node-17/45", "10:45#17"]
    assert found.message == (
        "source urn:meter:1 counts 24 and 16 GPUs by readings of equal content under ids of different forms, such as"
        " node-17/45 and 10:45#17; if they are the same GPUs, void the readings of one form"
    )
