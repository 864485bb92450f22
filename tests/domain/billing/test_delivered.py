"""What is charged of readings: those of nodes that worked, second by second; and what two meters cover."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.grant import GrantDegraded, GrantExtended, GrantResumed, GrantSuspended
from events.usage import Evidence
from marketplace.domain.billing.delivered import compare_meters, count_delivered, is_chronic
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.service_level import count_promised, count_unavailable
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.metering.usage_commands import ReportUsage
from tests.domain import build
from tests.domain.build import grant_issued, hour, measurement, usd
from tests.domain.walk import WALK

SECONDS, GPUS = 60, 8
ISSUED = grant_issued()
START, END = ISSUED.start, ISSUED.start + timedelta(seconds=SECONDS)
ALL = {"grant_id": ISSUED.grant_id}


def at(second):
    return START + timedelta(seconds=second)


spans = st.tuples(st.integers(0, SECONDS - 1), st.integers(1, SECONDS)).map(
    lambda two: (two[0], min(sum(two), SECONDS))
)
outages = st.one_of(
    st.builds(
        lambda span, nodes: GrantDegraded(
            **ALL, nodes_available=nodes, at=at(span[0]), reason="fan", until=at(span[1])
        ),
        spans,
        st.integers(0, 1),
    ),
    st.builds(lambda second: GrantSuspended(**ALL, at=at(second), reason="power"), st.integers(0, SECONDS)),
    st.builds(lambda second: GrantResumed(**ALL, at=at(second)), st.integers(0, SECONDS)),
)
readings = st.lists(st.tuples(spans, st.integers(1, 2)), max_size=6)


def count(measured, evidence=None):
    """Return the record of these readings, as far as they are accepted."""
    usage = USAGE.initial
    for number, ((start, stop), nodes) in enumerate(measured):
        command = ReportUsage(
            usage_id=build.id_of("usg"),
            grant_id=ISSUED.grant_id,
            source="m",
            measurements=(
                measurement(reading_id=str(number), start=at(start), end=at(stop), nodes=nodes, evidence=evidence),
            ),
            metered=build.metered(),
            at=ISSUED.end,
        )
        for event in USAGE.decide(command, usage):
            usage = USAGE.evolve(usage, event)
    return usage


def by_second(usage, second):
    return sum(
        amount
        for runs in usage.timeline.values()
        for begin, stop, amount in runs
        if begin <= int(at(second).timestamp()) < stop
    )


@WALK
@given(st.lists(outages, max_size=5), readings, readings)
def test_delivered_is_what_was_counted_of_working_nodes_and_never_above_what_was_left(events, measured, own):
    grant = GRANT.fold([ISSUED, *events])
    usage, startup = count(measured), count(own)
    working = [
        min([o.nodes for o in grant.outages if o.start <= at(s) and (o.end is None or at(s) < o.end)] or [ISSUED.nodes])
        for s in range(SECONDS)
    ]
    charged = [min(by_second(usage, s), working[s] * GPUS) for s in range(SECONDS)]
    delivered = count_delivered(usage, grant, START, END)
    assert delivered == sum(charged)
    assert delivered <= count_promised(grant, START, END) - count_unavailable(grant, START, END)
    covered = [s for s in range(SECONDS) if by_second(startup, s)]
    metering = compare_meters(usage, startup, grant, START, END)
    assert (metering is None) == (not covered)
    if metering is not None:
        assert metering.provider_gpu_seconds == sum(charged[s] for s in covered)
        assert metering.startup_gpu_seconds == sum(by_second(startup, s) for s in covered)


def test_hours_that_worked_are_charged_whether_they_were_used_or_not():
    idle = count([((0, SECONDS), 2)], Evidence(gpu_utilisation=usd(0), energy_kwh=usd(0), xid_errors=0))
    assert count_delivered(idle, GRANT.fold([ISSUED]), START, END) == 2 * GPUS * SECONDS
    failed = GrantDegraded(**ALL, nodes_available=1, at=START, reason="fan", until=END)
    assert count_delivered(idle, GRANT.fold([ISSUED, failed]), START, END) == GPUS * SECONDS


def dark(start, end, nodes=0):
    """No node works between two hours of the grant."""
    return GrantDegraded(**ALL, nodes_available=nodes, at=hour(start), reason="xid", until=hour(end))


DAILY = [dark(24 * day, 24 * day + 23.5) for day in range(6)]
HALF = [dark(24 * day, 24 * day + 23.5, nodes=1) for day in range(6)]


@pytest.mark.parametrize(
    ("told", "counted", "at", "chronic"),
    [
        (DAILY, [], 120, True),
        (DAILY, [(hour, 2) for hour in range(24)], 120, True),
        (DAILY, [(hour, 2) for hour in range(144)], 120, False),  # the provider's meter says that they worked
        (DAILY, [(hour, 2) for hour in range(0, 144, 2)], 120, True),  # half of the time, and every hour was lost
        (DAILY, [(hour, 2) for hour in range(144) if hour % 6], 120, False),
        ([dark(24, 48)], [(hour, 2) for hour in range(24, 144)], 96, False),  # silence before, and refuted evidence
        (HALF, [(hour, 1) for hour in range(144)], 120, True),
        (HALF, [(hour, 2) for hour in range(144)], 120, False),
        ([], [], 120, False),  # silence alone: its startup reports it
        ([dark(0, 25)], [], 48.99, True),
        ([dark(0, 24)], [], 47.99, False),  # the last hour may still be answered
        ([dark(0, 24)], [], 96, True),
        ([dark(0, 24)], [], 97, False),  # older than three days before the last one
        ([dark(24 * day, 24 * day + 6) for day in range(6)], [], 120, False),  # a short maintenance each day
        ([dark(24 * day, 24 * day + 9) for day in range(6)], [], 120, True),
        ([dark(24 * day, 24 * day + 9, nodes=1) for day in range(6)], [(hour, 1) for hour in range(144)], 120, True),
        ([dark(24 * day, 24 * day + 6, nodes=1) for day in range(6)], [], 120, False),
        ([dark(0, 23.5)], [], 120, False),  # one repair within a day
    ],
)
def test_outages_are_chronic_if_reports_and_the_providers_meter_say_so(told, counted, at, chronic):
    issued = grant_issued(start=hour(0), end=hour(720))
    grant = GRANT.fold([issued, *told])
    usage = USAGE.initial
    for since, nodes in counted:
        readings = (measurement(reading_id=str(since), start=hour(since), end=hour(since + 1), nodes=nodes),)
        of = {"usage_id": build.id_of("usg"), "grant_id": ISSUED.grant_id, "source": "m", "at": issued.end}
        command = ReportUsage(**of, measurements=readings, metered=build.metered(start=issued.start, end=issued.end))
        for event in USAGE.decide(command, usage):
            usage = USAGE.evolve(usage, event)
    assert is_chronic(usage, grant, hour(at)) is chronic


def test_what_a_grant_does_not_deliver_between_its_spans_is_no_outage():
    """It ended at hour 24, and was extended from hour 60 on, as no node works since hour 20."""
    issued = grant_issued(start=hour(0), end=hour(24))
    suspended = GrantSuspended(**ALL, at=hour(20), reason="power")
    more = {"statement_id": build.id_of("stm"), "lots": issued.lots, "gpu_seconds": 1}
    extended = GrantExtended(**ALL, start=hour(60), end=hour(200), **more)
    grant = GRANT.fold([issued, suspended, extended])
    assert [is_chronic(USAGE.initial, grant, hour(at)) for at in (107, 108)] == [False, True]
