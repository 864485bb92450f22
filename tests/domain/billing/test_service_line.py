"""Service lines: agreed on once, metered in hours that each count once, never above what was agreed on."""

from decimal import Decimal

import msgspec
import pytest

from events.service_line import ServiceLineClosed, ServiceLineCorrected, ServiceLineVoided
from marketplace.domain.billing import service_line
from marketplace.domain.billing.service_line import SERVICE_LINE, answer_hours, sum_hours
from marketplace.domain.metering.usage import READINGS_MAX
from tests.domain import build
from tests.domain.build import NAIVE, NAN, Row, hour, usd
from tests.domain.lines import (
    AGREED,
    APPROVED,
    CLOSED,
    DECLINED,
    MINE,
    PROPOSED,
    RUNS,
    SHEET,
    agree,
    approve,
    close,
    correct,
    decline,
    limit,
    propose,
    reading,
    report,
    reported,
    void,
)
from tests.support.spec import Given

WORKED = (*RUNS, reported(reading()))


def dear(principal_usd):
    """Agree to 20 hours of which so much becomes principal."""
    return agree(equity=build.equity_part(principal_commitment_usd=principal_usd))


TAKEN = ServiceLineVoided(**MINE, source=SHEET, reading=reading(), reason="not ours")
REFUSALS = [
    Row("service_line_unknown", (), approve()),
    Row("service_line_exists", (PROPOSED,), propose(hours=usd(21))),
    Row("not_a_number", (), propose(hours=NAN), "/hours"),
    Row("amount_not_positive", (), propose(hours=usd(0)), "/hours"),
    Row("amount_not_positive", (), propose(price_usd_per_hour=usd(0)), "/price_usd_per_hour"),
    Row("amount_too_large", (), propose(hours=Decimal(10**6 + 1)), "/hours"),
    Row("amount_too_precise", (), propose(hours=usd("0.00001")), "/hours"),
    Row("service_line_proposed", (PROPOSED,), report(reading())),
    Row("service_line_proposed", (PROPOSED,), close()),
    Row("service_line_declined", (PROPOSED, DECLINED), agree()),
    Row("service_line_declined", (PROPOSED, DECLINED), approve()),
    Row("service_line_agreed", RUNS, decline()),
    Row("service_line_closed", (*WORKED, CLOSED), decline()),
    Row("approval_missing", (PROPOSED,), agree()),
    Row("amount_too_large", (PROPOSED, APPROVED), dear(usd("10000.01"))),
    Row("readings_missing", RUNS, report(), "/readings"),
    Row("readings_too_many", RUNS, report(*[reading()] * (READINGS_MAX + 1)), "/readings"),
    Row("reading_unknown", RUNS, correct()),
    Row("reading_unknown", WORKED, void(source="/sheets/2")),
    Row("reading_voided", (*WORKED, TAKEN), correct()),
]
PRECEDENCE = [
    Row("service_line_unknown", (), agree()),
    Row("service_line_declined", (PROPOSED, DECLINED), report()),
    Row("reading_voided", (*WORKED, TAKEN), correct(reading=reading(hours=usd(99)))),
]
FAULTS = [
    ("time_naive", reading(start=NAIVE)),
    ("span_empty", reading(end=hour(11))),
    ("seconds_not_whole", reading(end=hour(13).replace(microsecond=1))),
    ("not_a_number", reading(hours=NAN)),
    ("amount_not_positive", reading(hours=usd(0))),
    ("amount_too_large", reading(hours=Decimal(10**7))),
    ("amount_too_precise", reading(hours=usd("0.00001"))),
    ("outside_grant", reading(start=hour(9))),
    ("outside_grant", reading(end=hour(21))),
    ("from_the_future", reading(end=hour(16))),
    ("hours_above_agreement", reading(hours=usd("20.0001"))),
    ("hours_above_time", reading(hours=usd("18.0001"))),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(SERVICE_LINE, row)


@pytest.mark.parametrize(("code", "faulty"), FAULTS)
def test_a_faulty_reading_is_rejected_and_changes_nothing(code, faulty):
    ((said, accepted),) = answer_hours(report(faulty), SERVICE_LINE.fold(RUNS))
    assert (said.outcome, said.code, accepted) == ("rejected", code, None)
    assert said.message
    Given(SERVICE_LINE, *RUNS).when(report(faulty)).then_nothing()
    Given(SERVICE_LINE, *WORKED).when(correct(reading=faulty)).refused(code)


def test_it_is_proposed_approved_and_agreed_on():
    Given(SERVICE_LINE).when(propose()).then(PROPOSED)
    Given(SERVICE_LINE, PROPOSED).when(approve()).then(APPROVED)
    Given(SERVICE_LINE, PROPOSED, APPROVED).when(agree()).then(AGREED)
    Given(SERVICE_LINE, PROPOSED).when(decline()).then(DECLINED)


def test_nobody_has_to_approve_what_only_the_startup_pays():
    (event,) = SERVICE_LINE.decide(propose(holder_id=None), None)
    Given(SERVICE_LINE, event).when(agree()).then(AGREED)


def test_a_reading_counts_once_whatever_its_report_says():
    Given(SERVICE_LINE, *RUNS).when(report(reading(), reading())).then(reported(reading()))
    state = SERVICE_LINE.fold(WORKED)
    other, fresh = reading(hours=usd(1)), reading(reading_id="r2")
    elsewhere = report(reading(), other, fresh, elsewhere={"r2": "grt_1"})
    assert [(said.outcome, said.code) for said, _ in answer_hours(elsewhere, state)] == [
        ("duplicate", None),
        ("conflict", "reading_exists"),
        ("conflict", "reading_exists"),
    ]
    ((said, _),) = answer_hours(report(reading()), SERVICE_LINE.fold([*WORKED, TAKEN]))
    assert said.message.endswith("was voided; use another id"), "it can no longer be corrected"


def test_one_bad_reading_harms_no_other_and_what_is_left_is_counted_down():
    readings = (reading(), reading(reading_id="r2", hours=usd(17)), reading(reading_id="r3", hours=usd("16.5")))
    Given(SERVICE_LINE, *RUNS).when(report(*readings)).then(reported(readings[0], readings[2]))


def test_workers_have_no_more_hours_than_the_time_since_the_agreement():
    """Overlapping readings counted thousands of hours of work within two days."""
    alone = (msgspec.structs.replace(PROPOSED, workers=1), *RUNS[1:])
    readings = [reading(reading_id=f"r{number}", hours=usd(2)) for number in range(3)]
    Given(SERVICE_LINE, *alone).when(report(*readings)).then(reported(*readings[:2]))
    answers = answer_hours(report(*readings), SERVICE_LINE.fold(alone))
    assert answers[2][0].code == "hours_above_time"


def test_hours_may_be_rounded_up_to_a_hundredth():
    alone = SERVICE_LINE.fold((msgspec.structs.replace(PROPOSED, workers=1), *RUNS[1:]))
    third = hour(11).replace(minute=40)
    answers = [
        answer_hours(report(reading(end=third, hours=usd(hours))), alone)[0][0].code for hours in ("0.67", "0.6701")
    ]
    assert answers == [None, "hours_above_time"]


def test_hours_count_in_the_period_in_which_they_end():
    state = SERVICE_LINE.fold(WORKED)
    assert sum_hours(state, hour(10), hour(13)) == usd("3.5")
    assert sum_hours(state, hour(13), hour(20)) == 0


def test_what_was_worked_before_the_agreement_does_not_count():
    later = msgspec.structs.replace(AGREED, at=hour(12))
    ((said, _),) = answer_hours(report(reading()), SERVICE_LINE.fold((PROPOSED, APPROVED, later)))
    assert said.code == "before_agreement"


def test_a_reading_is_corrected_and_taken_back():
    less = reading(hours=usd(2))
    corrected = ServiceLineCorrected(**MINE, source=SHEET, before=reading(), after=less, reason="a slip")
    Given(SERVICE_LINE, *WORKED).when(correct()).then(corrected)
    assert SERVICE_LINE.fold((*WORKED, corrected)).hours == 2
    Given(SERVICE_LINE, *WORKED).when(void()).then(TAKEN)
    assert SERVICE_LINE.fold((*WORKED, TAKEN)).hours == 0
    Given(SERVICE_LINE, *WORKED, TAKEN).when(void()).then_nothing()


def test_once_it_is_closed_hours_are_only_lowered():
    Given(SERVICE_LINE, *WORKED).when(close()).then(ServiceLineClosed(**MINE, hours=usd("3.5")))
    closed = (*WORKED, CLOSED)
    ((said, _),) = answer_hours(report(reading(reading_id="r2")), SERVICE_LINE.fold(closed))
    assert said.code == "service_line_closed"
    less = reading(hours=usd(2))
    lowered = ServiceLineCorrected(**MINE, source=SHEET, before=reading(), after=less, reason="a slip")
    Given(SERVICE_LINE, *closed).when(correct()).then(lowered)
    Given(SERVICE_LINE, *closed).when(correct(reading=reading(hours=usd(4)))).refused("service_line_closed")
    Given(SERVICE_LINE, *closed).when(correct(reading=reading(end=hour(14)))).refused("service_line_closed")
    Given(SERVICE_LINE, *closed).when(void()).then(TAKEN)


def test_an_interval_and_the_number_of_readings_have_a_bound(monkeypatch):
    long = ((hour(10), hour(2_000)),)
    ((said, _),) = answer_hours(report(reading(end=hour(800)), spans=long, at=hour(900)), SERVICE_LINE.fold(RUNS))
    assert said.code == "interval_too_long"
    monkeypatch.setattr(service_line, "KEPT_MAX", 1)
    ((said, _),) = answer_hours(report(reading(reading_id="r2")), SERVICE_LINE.fold(WORKED))
    assert said.code == "readings_exhausted"


def test_what_the_line_was_told_of_its_grant_comes_before_what_the_reader_knows():
    ended = (*RUNS, *SERVICE_LINE.decide(limit(spans=((hour(10), hour(12)),)), SERVICE_LINE.fold(RUNS)))
    line = SERVICE_LINE.fold(ended)
    (answer, _), (second, _) = answer_hours(
        report(reading(), reading(reading_id="r2", end=hour(12)), spans=((hour(10), hour(20)),)), line
    )
    assert (answer.outcome, answer.code) == ("rejected", "outside_grant")
    assert answer.message == (
        "the grant runs from 2026-03-01T10:00:00Z to 2026-03-01T12:00:00Z; report hours within it"
    )
    assert second.outcome == "accepted"
    assert list(SERVICE_LINE.decide(limit(spans=line.spans), line)) == []


def test_a_grant_that_ended_before_it_began_takes_no_hours():
    line = SERVICE_LINE.fold((*RUNS, *SERVICE_LINE.decide(limit(spans=()), SERVICE_LINE.fold(RUNS))))
    ((answer, _),) = answer_hours(report(reading()), line)
    assert (answer.code, answer.message) == ("outside_grant", "the grant ended before it began")
