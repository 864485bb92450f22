"""Sites: power and conversion."""

import tracemalloc

import msgspec
import pytest

from events.site import (
    PowerDraw,
    SiteConversionScheduled,
    SiteConversionSlipped,
    SiteDerated,
    SiteEnergised,
    SitePowerReleased,
    SitePowerReserved,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load
from marketplace.domain.supply.site import (
    SITE,
    DerateSite,
    Drawn,
    DrawPower,
    EnergiseSite,
    ScheduleConversion,
    SlipConversion,
    find_next_power_change,
    find_power_cut,
    list_dark,
    list_power,
    list_power_changes,
)
from tests.domain import build
from tests.domain.build import INFINITY, NAIVE, NAN, Row, builder, hour, id_of, usd
from tests.support.spec import Given

energise = builder(EnergiseSite(site_id=build.SITE, power_energised_kw=600, at=hour(1)))
derate = builder(DerateSite(site_id=build.SITE, power_energised_kw=200, at=hour(2), reason="transformer"))
schedule = builder(ScheduleConversion(site_id=build.SITE, former_use="bitcoin mining", ready_at=hour(100)))
slip = builder(SlipConversion(site_id=build.SITE, ready_at=hour(200), reason="switchgear is late"))
REGISTERED = build.site_registered()
ENERGISED = SiteEnergised(site_id=build.SITE, power_energised_kw=600, at=hour(1))
SCHEDULED = SiteConversionScheduled(site_id=build.SITE, former_use="bitcoin mining", ready_at=hour(100))
SLIPPED = SiteConversionSlipped(
    site_id=build.SITE, ready_at_before=hour(100), ready_at=hour(200), reason="switchgear is late"
)
LESS = SiteDerated(site_id=build.SITE, power_energised_kw=200, at=hour(15), reason="transformer")


def draw(power_kw, *, start=10, end=20, grant=1):
    draws = (Load(hour(start), hour(end), power_kw),) if power_kw else ()
    return DrawPower(site_id=build.SITE, changes=(Drawn(build.POOL, id_of("grt", grant), draws),))


def reserved(power_kw, *, start=10, end=20, grant=1):
    draws = (PowerDraw(power_kw=power_kw, start=hour(start), end=hour(end)),)
    return SitePowerReserved(site_id=build.SITE, pool_id=build.POOL, grant_id=id_of("grt", grant), draws=draws)


DARK = (REGISTERED, ENERGISED, reserved(300), LESS)
LATE = (REGISTERED, SCHEDULED, SLIPPED, reserved(10, start=90, end=250))


REFUSALS = [
    Row("site_unknown", (), energise()),
    Row("site_exists", (REGISTERED,), build.register_site(name="Other")),
    Row("country_unlisted", (), build.register_site(jurisdiction="UK"), "/jurisdiction"),
    Row("time_naive", (REGISTERED,), energise(at=NAIVE), "/at"),
    Row("time_naive", (REGISTERED,), derate(at=NAIVE), "/at"),
    Row("time_naive", (REGISTERED,), schedule(ready_at=NAIVE), "/ready_at"),
    Row("time_naive", (REGISTERED, SCHEDULED), slip(ready_at=NAIVE), "/ready_at"),
    Row("pue_out_of_range", (), build.register_site(power_usage_effectiveness=usd("0.99"))),
    Row("pue_out_of_range", (), build.register_site(power_usage_effectiveness=usd("5.01"))),
    Row("pue_out_of_range", (), build.register_site(power_usage_effectiveness=NAN), "/power_usage_effectiveness"),
    Row("not_a_number", (), build.register_site(renewable_share=INFINITY), "/renewable_share"),
    Row("amount_not_positive", (), build.register_site(renewable_share=usd("-0.1")), "/renewable_share"),
    Row("amount_too_large", (), build.register_site(renewable_share=usd("1.1")), "/renewable_share"),
    Row("amount_too_precise", (), build.register_site(renewable_share=usd("0.1234567891")), "/renewable_share"),
    Row("power_above_contract", (), build.register_site(power_energised_kw=1_001), "/power_energised_kw"),
    Row("power_above_contract", (REGISTERED,), energise(power_energised_kw=1_001), "/power_energised_kw"),
    Row("power_not_raised", (REGISTERED, ENERGISED), energise(power_energised_kw=599), "/power_energised_kw"),
    Row("power_not_lowered", (REGISTERED, ENERGISED), derate(power_energised_kw=601), "/power_energised_kw"),
    Row("site_operating", (build.site_registered(status="operating"),), schedule()),
    Row("site_operating", (REGISTERED, SCHEDULED, ENERGISED), schedule(ready_at=hour(300))),
    Row("conversion_scheduled", (REGISTERED, SCHEDULED), schedule(ready_at=hour(300))),
    Row("conversion_not_scheduled", (REGISTERED,), slip()),
    Row("conversion_not_scheduled", (REGISTERED, SCHEDULED, ENERGISED), slip()),
    Row("resumption_backdated", DARK, energise(at=hour(15.5), reported_at=hour(18)), "/at"),
    Row("resumption_backdated", LATE, slip(ready_at=hour(100), reported_at=hour(102)), "/ready_at"),
    Row("site_power_exceeded", (REGISTERED, ENERGISED), draw(601)),
    Row("site_power_exceeded", (REGISTERED, ENERGISED, LESS), draw(201)),
    Row("value_out_of_bounds", (), build.register_site(power_contracted_kw=-5, power_energised_kw=-5)),
    Row("value_out_of_bounds", (REGISTERED, ENERGISED), derate(power_energised_kw=-1)),
]
PRECEDENCE = [
    Row("site_unknown", (), energise(at=NAIVE)),
    Row("site_exists", (REGISTERED,), build.register_site(power_usage_effectiveness=NAN)),
    Row("country_unlisted", (), build.register_site(jurisdiction="UK", power_usage_effectiveness=NAN)),
    Row("time_naive", (REGISTERED,), energise(power_energised_kw=1_001, at=NAIVE)),
    Row("time_naive", (REGISTERED,), slip(ready_at=NAIVE)),
    Row("pue_out_of_range", (), build.register_site(power_usage_effectiveness=NAN, renewable_share=NAN)),
    Row("not_a_number", (), build.register_site(renewable_share=NAN, power_energised_kw=1_001)),
    Row("power_above_contract", (build.site_registered(power_energised_kw=1_000),), energise(power_energised_kw=1_001)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(SITE, row)


def test_registers():
    Given(SITE).when(build.register_site()).then(REGISTERED)


def test_registering_again_changes_nothing_whatever_happened_since():
    Given(SITE, REGISTERED, SCHEDULED, ENERGISED).when(build.register_site()).then_nothing()


def test_energises_up_to_the_contract():
    expected = SiteEnergised(site_id=build.SITE, power_energised_kw=1_000, at=hour(1))
    Given(SITE, REGISTERED).when(energise(power_energised_kw=1_000)).then(expected)


def test_a_converting_site_that_is_energised_operates():
    state = SITE.fold([REGISTERED, SCHEDULED])
    assert state.status == "converting"
    Given(SITE, REGISTERED, SCHEDULED).when(energise()).then(ENERGISED)
    assert SITE.evolve(state, ENERGISED).status == "operating"


def test_derates():
    expected = SiteDerated(site_id=build.SITE, power_energised_kw=200, at=hour(2), reason="transformer")
    Given(SITE, REGISTERED, ENERGISED).when(derate()).then(expected)


def test_schedules_a_conversion():
    Given(SITE, REGISTERED).when(schedule()).then(SCHEDULED)


def test_a_slip_names_the_date_before():
    Given(SITE, REGISTERED, SCHEDULED).when(slip()).then(SLIPPED)
    again = SiteConversionSlipped(
        site_id=build.SITE, ready_at_before=hour(200), ready_at=hour(150), reason="switchgear is late"
    )
    Given(SITE, REGISTERED, SCHEDULED, SLIPPED).when(slip(ready_at=hour(150))).then(again)


def test_a_slip_that_is_repeated_after_the_site_began_to_operate_changes_nothing():
    Given(SITE, REGISTERED, SCHEDULED, SLIPPED, ENERGISED).when(slip()).then_nothing()


def test_a_schedule_that_is_repeated_after_a_slip_changes_nothing():
    Given(SITE, REGISTERED, SCHEDULED, SLIPPED).when(schedule()).then_nothing()


def power(*events):
    return [tuple(run) for run in list_power(SITE.fold(list(events)), hour(0), hour(300))]


def test_power_is_what_is_live_at_each_instant():
    live = REGISTERED.power_energised_kw
    first = SiteEnergised(site_id=build.SITE, power_energised_kw=900, at=hour(10))
    less = SiteDerated(site_id=build.SITE, power_energised_kw=200, at=hour(20), reason="transformer")
    again = SiteEnergised(site_id=build.SITE, power_energised_kw=1_000, at=hour(15))
    assert power(REGISTERED, first, less) == [
        (hour(0), hour(10), live),
        (hour(10), hour(20), 900),
        (hour(20), hour(300), 200),
    ]
    assert power(REGISTERED, first, less, again)[-1] == (hour(15), hour(300), 1_000)
    early = SiteEnergised(site_id=build.SITE, power_energised_kw=900, at=hour(-5))
    assert power(REGISTERED, early) == [(hour(0), hour(300), 900)]


def test_a_converted_site_will_have_all_that_is_under_contract():
    contracted = REGISTERED.power_contracted_kw
    runs = power(REGISTERED, SCHEDULED)
    assert runs[-1] == (SCHEDULED.ready_at, hour(300), contracted)
    assert runs[0] == (hour(0), SCHEDULED.ready_at, REGISTERED.power_energised_kw)


def test_nodes_draw_up_to_what_is_live():
    Given(SITE, REGISTERED, ENERGISED).when(draw(600)).then(reserved(600))
    Given(SITE, REGISTERED, ENERGISED, reserved(500)).when(draw(100, grant=2)).then(reserved(100, grant=2))


def test_what_is_released_may_be_drawn_again():
    released = SitePowerReleased(site_id=build.SITE, pool_id=build.POOL, grant_id=id_of("grt", 1))
    Given(SITE, REGISTERED, ENERGISED, reserved(600)).when(draw(0)).then(released)
    Given(SITE, REGISTERED, ENERGISED, reserved(600), released).when(draw(600, grant=2)).then(reserved(600, grant=2))


def test_a_site_with_less_power_keeps_what_was_reserved_and_lets_it_change_hands():
    both = DrawPower(site_id=build.SITE, changes=(*draw(0).changes, *draw(600, grant=2).changes))
    released = SitePowerReleased(site_id=build.SITE, pool_id=build.POOL, grant_id=id_of("grt", 1))
    Given(SITE, REGISTERED, ENERGISED, reserved(600), LESS).when(both).then(released, reserved(600, grant=2))
    Given(SITE, REGISTERED, ENERGISED, reserved(600), LESS).when(draw(600, end=18)).then(reserved(600, end=18))


def rank(grant_id):
    """Return the place of a grant in the order of issue."""
    return [id_of("grt", 1), id_of("grt", 2)].index(grant_id)


def test_the_last_grant_is_dark_first_where_less_is_live_than_is_drawn():
    site = SITE.fold([REGISTERED, ENERGISED, reserved(150), reserved(100, grant=2), LESS])
    assert list_dark(site, hour(14), rank) == {}
    last_is_first = list_dark(site, hour(15), lambda grant_id: -rank(grant_id))
    assert last_is_first == {(build.POOL, id_of("grt", 1)): 50}, "by the order of issue, not of ids"
    assert list_dark(site, hour(15), rank) == {(build.POOL, id_of("grt", 2)): 50}
    assert find_next_power_change(site, hour(0)) == hour(1)
    assert find_next_power_change(site, hour(15)) == hour(20)
    assert find_next_power_change(site, hour(20)) is None


def test_a_site_whose_first_event_was_passed_over_tells_nothing_of_its_power():
    assert (list_dark(None, hour(1), rank), find_next_power_change(None, hour(1)), list_power_changes(None)) == (
        {},
        None,
        [],
    )


@pytest.mark.parametrize(("at", "reported_at"), [(17, 18), (3, None)])
def test_dark_nodes_have_power_again_since_an_hour_ago_at_the_earliest_or_as_the_platform_says(at, reported_at):
    command = energise(at=hour(at), reported_at=reported_at and hour(reported_at))
    Given(SITE, *DARK).when(command).then(SiteEnergised(site_id=build.SITE, power_energised_kw=600, at=hour(at)))


@pytest.mark.parametrize("state", [(REGISTERED,), (REGISTERED, ENERGISED, LESS), (*DARK[:2], reserved(200), LESS)])
def test_power_that_no_grant_lacked_is_dated_back_at_will(state):
    command = energise(power_energised_kw=900, at=hour(2), reported_at=hour(18))
    Given(SITE, *state).when(command).then(SiteEnergised(site_id=build.SITE, power_energised_kw=900, at=hour(2)))


@pytest.mark.parametrize(("ready_at", "reported_at"), [(101, 102), (100, None), (220, 240), (150, 95)])
def test_a_conversion_is_ready_since_an_hour_ago_at_the_earliest_or_later_than_was_said(ready_at, reported_at):
    command = slip(ready_at=hour(ready_at), reported_at=reported_at and hour(reported_at))
    moved = SiteConversionSlipped(
        site_id=build.SITE, ready_at_before=hour(200), ready_at=hour(ready_at), reason=command.reason
    )
    Given(SITE, *LATE).when(command).then(moved)


def test_a_derating_that_is_reported_late_leaves_the_hours_in_which_even_less_was_live():
    again = SiteEnergised(site_id=build.SITE, power_energised_kw=600, at=hour(18))
    late = SiteDerated(site_id=build.SITE, power_energised_kw=500, at=hour(12), reason="transformer")
    runs = power(REGISTERED, ENERGISED, LESS, again, late)
    assert runs[-3:] == [(hour(12), hour(15), 500), (hour(15), hour(18), 200), (hour(18), hour(300), 500)]


@pytest.mark.parametrize(("since", "live"), [(16, 600), (21, 200), (26, 100)])
def test_a_site_without_the_deratings_that_were_reported_since_an_instant_has_the_power_from_before(since, live):
    first = msgspec.structs.replace(LESS, reported_at=hour(20))
    second = msgspec.structs.replace(LESS, power_energised_kw=100, reported_at=hour(25))
    site = SITE.fold([REGISTERED, ENERGISED, first, second])
    assert [run.amount for run in list_power(site, hour(15), hour(30), since=hour(since))] == [live]


def test_the_power_before_a_derating_is_known_whatever_was_reported_after_it():
    """Deratings and returns, dated back and ahead, against a fold that stops before the first of them."""
    at = (10, 30, 20, 5, 25, 12, 40, 8)
    events = [REGISTERED, ENERGISED]
    for number, hours in enumerate(at):
        less = {"power_energised_kw": 500 - 10 * number, "reason": "transformer", "reported_at": hour(50 + number)}
        events.append(SiteDerated(site_id=build.SITE, at=hour(hours), **less))
        if number % 3 == 2:
            events.append(SiteEnergised(site_id=build.SITE, power_energised_kw=600, at=hour(hours + 1)))
    site = SITE.fold(events)
    for number in range(len(at)):
        first = next(i for i, each in enumerate(events) if getattr(each, "reported_at", None) == hour(50 + number))
        before = list_power(SITE.fold(events[:first]), hour(0), hour(60))
        assert list_power(site, hour(0), hour(60), since=hour(50 + number)) == before
    assert list_power(site, hour(0), hour(60), since=hour(60)) == list_power(site, hour(0), hour(60))


def test_many_deratings_of_a_site_take_little_memory():
    site = SITE.fold([REGISTERED, ENERGISED])
    tracemalloc.start()
    for number in range(1_000):
        less = {"power_energised_kw": 500, "reason": "transformer"}
        site = SITE.evolve(site, SiteDerated(site_id=build.SITE, at=hour(10 + 2 * number), **less))
        more = SiteEnergised(site_id=build.SITE, power_energised_kw=600, at=hour(11 + 2 * number))
        site = SITE.evolve(site, more)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2_000_000


def test_nothing_is_lit_before_a_conversion_is_ready():
    site = SITE.fold([REGISTERED, SCHEDULED, SLIPPED, reserved(10, start=90, end=250)])
    assert list_dark(site, hour(199), rank) == {(build.POOL, id_of("grt", 1)): 10}
    assert list_dark(site, hour(200), rank) == {}
    assert (find_next_power_change(site, hour(0)), find_next_power_change(site, hour(90))) == (hour(90), hour(200))


def test_a_refusal_names_the_first_instant_at_which_most_is_missing():
    with pytest.raises(Refusal) as caught:
        SITE.decide(draw(300, start=5, end=18, grant=2), SITE.fold([REGISTERED, ENERGISED, LESS, reserved(100)]))
    facts = caught.value.facts
    assert facts == {"site_id": build.SITE, "at": render_instant(hour(15)), "power_kw": 200, "drawn_kw": 400}


@pytest.mark.parametrize(
    ("known", "told", "until", "cut"),
    [
        ((ENERGISED,), LESS, 18, Load(hour(15), hour(18), 100)),
        ((ENERGISED,), LESS, 15, None),
        ((ENERGISED, LESS), msgspec.structs.replace(LESS, at=hour(12)), 18, Load(hour(12), hour(15), 100)),
        ((msgspec.structs.replace(SCHEDULED, ready_at=hour(12)),), SLIPPED, 18, Load(hour(12), hour(18), 300)),
        ((ENERGISED, LESS), msgspec.structs.replace(ENERGISED, at=hour(16)), 18, None),
    ],
)
def test_a_report_cuts_the_power_of_the_span_over_which_it_leaves_nodes_darker(known, told, until, cut):
    before = SITE.fold((REGISTERED, *known, reserved(300)))
    assert find_power_cut(before, SITE.evolve(before, told), hour(until)) == cut
