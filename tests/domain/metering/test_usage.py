"""Usage: each reading counts once, corrections and voids are events."""

from datetime import timedelta, timezone

import msgspec
import pytest
from msgspec.structs import replace

from events.usage import (
    Evidence,
    Gap,
    Reading,
    Sample,
    SoldNodes,
    UsageClosed,
    UsageCorrected,
    UsageEvidenced,
    UsageLimited,
    UsageReported,
    UsageVoided,
)
from marketplace.core.intervals import Load
from marketplace.domain.metering.usage import (
    AHEAD_MAX,
    READINGS_MAX,
    SAMPLES_MAX,
    USAGE,
    count_gpu_seconds,
    list_left_out,
)
from marketplace.domain.metering.usage_commands import CloseUsage, CorrectUsage, EvidenceUsage, LimitUsage, VoidUsage
from marketplace.domain.metering.usage_record import DEVICES_MAX, answer
from tests.domain import allocations, build
from tests.domain.build import GRANT, NAIVE, NAN, Row, builder, hour, id_of, measurement, metered, report_usage, usd
from tests.support.spec import Given

SOURCE = "/meters/1"
MINE = {"usage_id": build.USAGE, "grant_id": GRANT, "source": SOURCE}
EVIDENCE = Evidence(gpu_utilisation=usd("0.93"), energy_kwh=usd("11.5"), xid_errors=0)


def reading(reading_id="r1", start=10, end=11, nodes=2, evidence=None):
    return Reading(
        reading_id=reading_id,
        start=hour(start),
        end=hour(end),
        nodes=nodes,
        gpu_seconds=nodes * 8 * round((end - start) * 3_600),
        evidence=evidence,
    )


def report(*measurements, **changes):
    return report_usage(measurements=measurements, **changes)


correct = builder(
    CorrectUsage(
        **MINE,
        measurement=measurement(nodes=1),
        metered=metered(),
        reason="meter restarted",
        at=hour(12),
        before=reading(),
    )
)
void = builder(VoidUsage(**MINE, reading_id="r1", reason="wrong grant", before=reading()))
SAMPLE = Sample(device="GPU-1", at=hour(10), gpu_utilisation=usd("0.5"), energy_kwh=usd("11.5"), xid_error=0)
look = builder(EvidenceUsage(**MINE, samples=(SAMPLE,), metered=metered(), at=hour(20)))
REPORTED = UsageReported(**MINE, readings=(reading(),))
CORRECTED = UsageCorrected(**MINE, before=reading(), after=reading(nodes=1), reason="meter restarted")
VOIDED = UsageVoided(**MINE, reading=reading(), reason="wrong grant")
SECOND = UsageReported(**MINE, readings=(reading("r2", 11, 12),))

limit = builder(
    LimitUsage(
        usage_id=build.USAGE, grant_id=GRANT, end=hour(15), resold=(Load(hour(11), hour(12), 1),), meter="startup"
    )
)
LIMITED = UsageLimited(
    usage_id=build.USAGE,
    grant_id=GRANT,
    end=hour(15),
    resold=(SoldNodes(start=hour(11), end=hour(12), nodes=1),),
    meter="startup",
)

BUSY = "/samples/0/gpu_utilisation"
FAULTS = {
    "time_naive": measurement(start=NAIVE),
    "span_empty": measurement(end=hour(10)),
    "seconds_not_whole": measurement(end=hour(11).replace(microsecond=1)),
    "nodes_not_positive": measurement(nodes=0),
    "outside_grant": measurement(start=hour(9)),
    "utilisation_out_of_range": measurement(evidence=replace(EVIDENCE, gpu_utilisation=usd("-0.01"))),
    "from_the_future": measurement(end=hour(13)),
    "devices_too_many": measurement(devices=("gpu-1",) * (DEVICES_MAX + 1)),
    "device_counted": measurement(devices=("gpu-1", "gpu-1")),
    "nodes_above_grant": measurement(nodes=3),
}
TWO_FAULTS = [
    ("time_naive", measurement(end=NAIVE, nodes=0)),
    ("span_empty", measurement(end=hour(9).replace(microsecond=1))),
    ("seconds_not_whole", measurement(end=hour(11).replace(microsecond=1), nodes=0)),
    ("nodes_not_positive", measurement(start=hour(9), nodes=-2)),
    ("outside_grant", measurement(end=hour(21))),
    ("utilisation_out_of_range", measurement(end=hour(13), evidence=replace(EVIDENCE, gpu_utilisation=NAN))),
    ("from_the_future", measurement(end=hour(13), nodes=3)),
]
REFUSALS = [
    Row("readings_missing", (), report(), "/readings"),
    Row("readings_too_many", (), report(*[measurement()] * (READINGS_MAX + 1)), "/readings"),
    Row("samples_missing", (), look(samples=()), "/samples"),
    Row("samples_too_many", (), look(samples=(SAMPLE,) * (SAMPLES_MAX + 1)), "/samples"),
    Row("outside_grant", (), look(samples=(replace(SAMPLE, at=hour(9)),) * 2), "/samples/0/at"),
    Row("outside_grant", (), look(samples=(replace(SAMPLE, at=hour(21)),)), "/samples/0/at"),
    Row("from_the_future", (), look(samples=(replace(SAMPLE, at=hour(12)),), at=hour(11)), "/samples/0/at"),
    Row("utilisation_out_of_range", (), look(samples=(replace(SAMPLE, gpu_utilisation=usd("1.1")),)), BUSY),
    Row("reading_unknown", (), correct()),
    Row("reading_unknown", (REPORTED,), void(source="/meters/2")),
    Row("reading_voided", (REPORTED, VOIDED), correct()),
    *allocations.REFUSALS,
]
PRECEDENCE = [
    Row("reading_unknown", (), correct(measurement=measurement(nodes=3))),
    Row("reading_voided", (REPORTED, VOIDED), correct(measurement=measurement(nodes=3))),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(USAGE, row)


@pytest.mark.parametrize(("code", "faulty"), [*FAULTS.items(), *TWO_FAULTS])
def test_a_faulty_reading_is_rejected_and_changes_nothing(code, faulty):
    ((said, accepted),) = answer(report(faulty), USAGE.initial)
    assert (said.outcome, said.code, accepted) == ("rejected", code, None)
    assert said.message
    Given(USAGE).when(report(faulty)).then_nothing()


@pytest.mark.parametrize(("code", "faulty"), [*FAULTS.items(), *TWO_FAULTS])
def test_a_correction_may_have_no_fault_of_a_reading(code, faulty):
    Given(USAGE, REPORTED).when(correct(measurement=faulty)).refused(code)


def test_machines_are_looked_at_once_an_instant():
    later = msgspec.structs.replace(SAMPLE, at=hour(11))
    seen = UsageEvidenced(**MINE, samples=(SAMPLE,))
    Given(USAGE).when(look(samples=(SAMPLE, SAMPLE))).then(seen)
    Given(USAGE, seen).when(look(samples=(later, SAMPLE))).then(UsageEvidenced(**MINE, samples=(later,)))
    other = UsageEvidenced(**(MINE | {"source": "/meters/2"}), samples=(SAMPLE,))
    Given(USAGE, seen).when(look(source="/meters/2")).then(other)


def test_samples_from_outside_the_grant_or_ahead_are_left_out_and_the_others_of_the_batch_are_kept():
    now = hour(11)
    early, soon, ahead = (
        replace(SAMPLE, at=at)
        for at in (hour(10) - timedelta(seconds=1), now + AHEAD_MAX, now + AHEAD_MAX + timedelta(microseconds=1))
    )
    command = look(samples=(ahead, SAMPLE, early, soon, early), at=now)
    Given(USAGE).when(command).then(UsageEvidenced(**MINE, samples=(SAMPLE, soon)))
    said = list_left_out(command, USAGE.initial)
    assert [(place, one.code) for place, one in said.items()] == [(2, "outside_grant"), (0, "from_the_future")]
    assert [one.message[:11] for one in said.values()] == ["2 left out:", "1 left out:"]
    seen = UsageEvidenced(**MINE, samples=(SAMPLE,))
    Given(USAGE, seen).when(look(samples=(SAMPLE, ahead), at=now)).then_nothing()


def test_reports():
    Given(USAGE).when(report_usage()).then(REPORTED)


def test_evidence_is_kept_and_not_billed():
    command = report(measurement(evidence=EVIDENCE))
    expected = UsageReported(**MINE, readings=(reading(evidence=EVIDENCE),))
    Given(USAGE).when(command).then(expected)
    assert expected.readings[0].gpu_seconds == REPORTED.readings[0].gpu_seconds


def test_each_reading_of_a_batch_has_its_answer():
    command = report(
        measurement(),
        measurement(reading_id="r2", start=hour(11), end=hour(12)),
        measurement(reading_id="r2", start=hour(11), end=hour(12)),
        measurement(reading_id="r2", start=hour(11), end=hour(12), nodes=1),
        measurement(reading_id="r3"),
    )
    said = [spoken for spoken, _ in answer(command, USAGE.fold([REPORTED]))]
    assert [(spoken.reading_id, spoken.outcome, spoken.code) for spoken in said] == [
        ("r1", "duplicate", None),
        ("r2", "accepted", None),
        ("r2", "duplicate", None),
        ("r2", "conflict", "reading_exists"),
        ("r3", "rejected", "nodes_above_grant"),
    ]
    Given(USAGE, REPORTED).when(command).then(SECOND)


def test_the_same_id_with_other_evidence_is_a_conflict():
    ((said, _),) = answer(report(measurement(evidence=EVIDENCE)), USAGE.fold([REPORTED]))
    assert said.outcome == "conflict"


def test_the_same_id_of_another_source_is_another_reading():
    command = report(measurement(nodes=1), source="/meters/2")
    one_node = UsageReported(**MINE, readings=(reading(nodes=1),))
    expected = UsageReported(**(MINE | {"source": "/meters/2"}), readings=(reading(nodes=1),))
    Given(USAGE, one_node).when(command).then(expected)


def test_the_same_content_written_otherwise_is_a_duplicate():
    offset = timezone(timedelta(hours=2))
    written = measurement(
        start=hour(10).astimezone(offset),
        end=hour(11).astimezone(offset),
        evidence=msgspec.structs.replace(EVIDENCE, gpu_utilisation=usd("0.930")),
    )
    known = USAGE.fold([UsageReported(**MINE, readings=(reading(evidence=EVIDENCE),))])
    ((said, _),) = answer(report(written), known)
    assert said.outcome == "duplicate"
    careless = msgspec.structs.replace(written, start=NAIVE)
    ((said, _),) = answer(report(careless), known)
    assert said.outcome == "conflict"


@pytest.mark.parametrize("wrong", [None, reading(nodes=1)])
def test_a_correction_that_brings_along_another_reading_is_our_mistake(wrong):
    state = USAGE.fold([REPORTED])
    for command in (correct(measurement=measurement(end=hour(10.5)), before=wrong), void(before=wrong)):
        with pytest.raises(AssertionError, match=r"command includes the reading|last recorded one"):
            USAGE.decide(command, state)


def test_readings_that_follow_each_other_do_not_add_up():
    Given(USAGE, REPORTED).when(report(measurement(reading_id="r2", start=hour(11), end=hour(12)))).then(SECOND)


def test_corrects_and_the_correction_is_what_counts():
    Given(USAGE, REPORTED).when(correct()).then(CORRECTED)
    assert count_gpu_seconds(USAGE.fold([REPORTED, CORRECTED]), hour(0), hour(99)) == 8 * 3_600
    ((said, _),) = answer(report_usage(), USAGE.fold([REPORTED, CORRECTED]))
    assert said.outcome == "conflict"


def test_a_correction_that_is_repeated_after_the_grant_ended_early_changes_nothing():
    ended = metered(end=hour(10.5))
    Given(USAGE, REPORTED, CORRECTED).when(correct(metered=ended)).then_nothing()


def test_voids_and_the_reading_never_counts_again():
    Given(USAGE, REPORTED).when(void()).then(VOIDED)
    assert count_gpu_seconds(USAGE.fold([REPORTED, VOIDED]), hour(0), hour(99)) == 0
    ((said, _),) = answer(report_usage(), USAGE.fold([REPORTED, VOIDED]))
    assert (said.outcome, said.code) == ("conflict", "reading_exists")
    assert said.message.endswith("was voided; use another id"), "it can no longer be corrected"


def test_nodes_that_were_voided_may_be_reported_under_another_id():
    again = UsageReported(**MINE, readings=(reading("r2"),))
    Given(USAGE, REPORTED, VOIDED).when(report(measurement(reading_id="r2"))).then(again)


def test_an_interval_that_crosses_a_bound_counts_in_part():
    usage = USAGE.fold([UsageReported(**MINE, readings=(reading(), reading("r2", 11, 12, nodes=1)))])
    assert count_gpu_seconds(usage, hour(10), hour(10)) == 0
    assert count_gpu_seconds(usage, hour(10), hour(10.5)) == 2 * 8 * 1_800
    assert count_gpu_seconds(usage, hour(10.5), hour(11.25)) == 2 * 8 * 1_800 + 8 * 900
    assert count_gpu_seconds(usage, hour(0), hour(99)) == 3 * 8 * 3_600


def test_gpus_count_where_they_are_not_all_of_the_nodes():
    part = measurement(nodes=None, gpus=9, devices=("GPU-1", "GPU-2"))
    ((said, accepted),) = answer(report(part), USAGE.initial)
    assert (said.outcome, accepted.nodes, accepted.gpu_seconds) == ("accepted", 2, 9 * 3_600)
    state = USAGE.fold([UsageReported(**MINE, readings=(accepted,))])
    ((same, _),) = answer(report(part), state)
    assert same.outcome == "duplicate"
    more = [measurement(reading_id="r2", nodes=None, gpus=gpus) for gpus in (8, 7)]
    assert [spoken.code for spoken, _ in answer(report(*more), state)] == ["nodes_above_grant", None]


def test_a_named_gpu_counts_once_at_any_instant_and_again_once_it_is_voided():
    one = measurement(nodes=None, gpus=1, devices=("GPU-1",))
    again = msgspec.structs.replace(one, reading_id="r2", start=hour(10.5), end=hour(11.5))
    ((_, accepted),) = answer(report(one), USAGE.initial)
    state = USAGE.fold([UsageReported(**MINE, readings=(accepted,))])
    ((said, _),) = answer(report(again, source="/meters/2"), state)
    assert (said.outcome, said.code) == ("rejected", "device_counted")
    voided = USAGE.fold([UsageVoided(**MINE, reading=accepted, reason="wrong grant")], state)
    ((said, _),) = answer(report(again), voided)
    assert said.outcome == "accepted"
    assert voided.timeline == voided.devices == USAGE.initial.timeline


def test_an_interval_lasts_at_most_31_days():
    wide = metered(end=hour(24 * 60))
    days = [measurement(reading_id=f"r{days}", end=hour(10 + 24 * days), nodes=1) for days in (31, 32)]
    command = report_usage(measurements=tuple(days), metered=wide, at=hour(24 * 60))
    assert [said.code for said, _ in answer(command, USAGE.initial)] == [None, "interval_too_long"]


def test_an_id_that_was_used_for_another_grant_is_a_conflict():
    ((said, _),) = answer(report(measurement(), elsewhere={"r1": id_of("grt", 9)}), USAGE.initial)
    assert (said.outcome, said.code) == ("conflict", "reading_exists")
    assert id_of("grt", 9) in said.message


def test_what_is_settled_in_full_can_only_be_lowered():
    closed = UsageClosed(usage_id=build.USAGE, grant_id=GRANT, gpu_seconds=REPORTED.readings[0].gpu_seconds)
    Given(USAGE, REPORTED).when(CloseUsage(usage_id=build.USAGE, grant_id=GRANT)).then(closed)
    ((said, _),) = answer(report(measurement(reading_id="r2", start=hour(11), end=hour(12))), USAGE.fold([closed]))
    assert (said.outcome, said.code) == ("rejected", "grant_closed")
    Given(USAGE, REPORTED, closed).when(correct()).then(CORRECTED)
    again = correct(measurement=measurement(), before=reading(nodes=1))
    Given(USAGE, REPORTED, CORRECTED, closed).when(again).refused("grant_closed")
    Given(USAGE, REPORTED, closed).when(void()).then(VOIDED)


def test_what_may_be_counted_is_told_once():
    Given(USAGE).when(limit()).then(LIMITED)
    Given(USAGE, LIMITED).when(limit(end=hour(14), resold=())).then(
        UsageLimited(usage_id=build.USAGE, grant_id=GRANT, end=hour(14), meter="startup")
    )


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (measurement(start=hour(11), end=hour(12)), "nodes_above_grant"),
        (measurement(start=hour(11), end=hour(12), nodes=1), None),
        (measurement(start=hour(12), end=hour(13)), None),
        (measurement(start=hour(14), end=hour(16)), "outside_grant"),
    ],
)
def test_what_the_record_was_told_goes_before_what_a_report_knows_of_the_grant(said, code):
    command = report(said, at=hour(20), metered=metered(end=hour(18)))
    ((answered, _),) = answer(command, USAGE.fold([LIMITED]))
    assert answered.code == code


def test_a_record_may_be_told_that_its_grant_goes_on():
    longer = UsageLimited(usage_id=build.USAGE, grant_id=GRANT, end=hour(30))
    command = report(measurement(start=hour(25), end=hour(26)), at=hour(40))
    ((answered, _),) = answer(command, USAGE.fold([longer]))
    assert answered.outcome == "accepted"


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        (19, 20, None),
        (19, 21, "outside_grant"),
        (22, 23, "outside_grant"),
        (24, 26, "outside_grant"),
        (25, 26, None),
        (19, 26, "outside_grant"),
    ],
)
def test_nothing_counts_between_a_grants_end_and_its_extension(start, end, code):
    gap = Gap(start=hour(20), end=hour(25))
    extended = UsageLimited(usage_id=build.USAGE, grant_id=GRANT, end=hour(30), gaps=(gap,))
    said = measurement(start=hour(start), end=hour(end))
    for usage, known in ((USAGE.fold([extended]), metered()), (USAGE.initial, metered(end=hour(30), gaps=(gap,)))):
        ((answered, _),) = answer(report(said, at=hour(40), metered=known), usage)
        assert answered.code == code
        assert code is None or "to 2026" in answered.message


def test_a_correction_is_bound_by_what_the_record_was_told():
    known = UsageReported(**MINE, readings=(reading(start=11, end=12, nodes=1),))
    more = correct(measurement=measurement(start=hour(11), end=hour(12)), before=known.readings[0])
    Given(USAGE, known, LIMITED).when(more).refused("nodes_above_grant")
