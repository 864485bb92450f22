"""A service line counts what a plain list of its readings would, whatever is reported, corrected and taken back."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from events.service_line import (
    HoursReading,
    ServiceLineCorrected,
    ServiceLineLimited,
    ServiceLineReported,
    ServiceLineVoided,
)
from marketplace.domain.billing.service_line import SERVICE_LINE, sum_hours
from marketplace.domain.billing.service_line_commands import CorrectHours, LimitServiceLine, ReportHours, VoidHours
from marketplace.domain.billing.settlement import Tariff, build_tariff, compute_service_charges, compute_totals_of_hours
from tests.domain.build import grant_issued, hour
from tests.domain.lines import LINE, RUNS, SPANS, close
from tests.domain.walk import WALK, step

AGREED = Decimal(20)
LENGTH = 10
sources = st.sampled_from(["/sheets/1", "/sheets/2"])
small, large = st.integers(1, 120_000), st.integers(60_000, 120_000)
quantities = st.one_of(small, large).map(lambda number: Decimal(number).scaleb(-4))
readings = st.builds(
    lambda name, end, hours: HoursReading(
        reading_id=name, start=hour(10), end=hour(10) + timedelta(hours=end), hours=hours
    ),
    st.sampled_from("abcdef"),
    st.integers(1, LENGTH),
    quantities,
)
named = {"service_line_id": st.just(LINE), "source": sources}
facts = {"spans": st.just(SPANS), "at": st.just(hour(30))}
several = st.lists(readings, min_size=1, max_size=4, unique_by=lambda each: each.reading_id).map(tuple)
reports = st.builds(ReportHours, **named, **facts, readings=several)
corrections = st.builds(CorrectHours, **named, **facts, reading=readings, reason=st.just("a slip"))
voids = st.builds(VoidHours, **named, reading_id=st.sampled_from("abcdef"), reason=st.just("not ours"))
walks = st.lists(st.one_of(reports, reports, corrections, voids, st.just(close())), min_size=1, max_size=15)


class Sheet:
    """What time sheets said, as a plain list."""

    def __init__(self):
        self.said, self.counted = set(), {}

    def hear(self, event):
        match event:
            case ServiceLineReported():
                for reading in event.readings:
                    key = event.source, reading.reading_id
                    assert key not in self.said, "a reading counts once"
                    self.said.add(key)
                    self.counted[key] = reading
            case ServiceLineCorrected():
                self.counted[event.source, event.after.reading_id] = event.after
            case ServiceLineVoided():
                del self.counted[event.source, event.reading.reading_id]


@WALK
@given(walks, st.integers(0, LENGTH))
def test_hours_count_once_in_one_period_and_never_above_what_was_agreed_on(walk, cut):
    line, sheet, closed_at = SERVICE_LINE.fold(RUNS), Sheet(), None
    for command in walk:
        line, events, _ = step(SERVICE_LINE, line, command)
        for event in events:
            sheet.hear(event)
        total = sum((reading.hours for reading in sheet.counted.values()), Decimal(0))
        assert line.hours == total <= AGREED
        bound = hour(10) + timedelta(hours=cut)
        assert sum_hours(line, hour(10), bound) + sum_hours(line, bound, hour(20)) == total
        if line.status == "closed":
            assert closed_at is None or total <= closed_at, "once it is closed hours are only lowered"
            closed_at = total


limits = st.integers(0, LENGTH).map(
    lambda length: LimitServiceLine(service_line_id=LINE, spans=((hour(10), hour(10 + length)),) if length else ())
)


@WALK
@given(st.lists(st.one_of(reports, reports, corrections, limits), min_size=1, max_size=15))
def test_no_hour_is_counted_outside_of_what_the_line_was_told_last(walk):
    line, told = SERVICE_LINE.fold(RUNS), SPANS
    for command in walk:
        line, events, _ = step(SERVICE_LINE, line, command)
        for event in events:
            match event:
                case ServiceLineLimited():
                    told = tuple((run.start, run.end) for run in event.runs)
                    assert told == command.spans
                case ServiceLineReported():
                    assert all(_is_within(reading, told) for reading in event.readings)
                case ServiceLineCorrected():
                    assert _is_within(event.after, told)


def _is_within(reading, spans):
    return any(start <= reading.start and reading.end <= end for start, end in spans)


@WALK
@given(st.lists(quantities, min_size=1, max_size=6), st.integers(1, 10**9))
def test_what_periods_of_hours_cost_sums_to_one_statement_over_the_whole(hours, micros):
    price = Fraction(micros, 10**6)
    grant = build_tariff(grant_issued(cash_share="3/7"))
    tariff = Tariff(price=price, cash_share=grant.cash_share, principal_share=grant.principal_share)
    before, parts = Decimal(0), []
    for amount in hours:
        parts.append(compute_service_charges(tariff, before, amount))
        before += amount
    whole = compute_totals_of_hours(tariff, Fraction(before))
    assert sum(part.cash_usd for part in parts) == whole.cash_usd
    assert sum(part.principal_usd for part in parts) == whole.principal_usd
    for part in parts:
        assert part.provider_usd == part.cash_usd + part.holder_usd
        assert min(part.cash_usd, part.holder_usd, part.principal_usd) >= 0
