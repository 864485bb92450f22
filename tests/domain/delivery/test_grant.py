"""Grants: from issue to their one end."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantExtended,
    GrantPrioritised,
    GrantRescheduled,
    GrantResold,
    GrantResumed,
    GrantServiceLineAdded,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantTransferred,
)
from events.schedule import NoticeStep
from events.stages import StageTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.delivery.grant import GRANT, PRIORITY, Outage
from marketplace.domain.delivery.grant_commands import (
    ActivateGrant,
    AddServiceLine,
    CollectStage,
    CompleteGrant,
    DegradeGrant,
    ExtendGrant,
    IssueGrant,
    PrioritiseGrant,
    RescheduleGrant,
    ResellGrant,
    ResumeGrant,
    SubstituteGrant,
    SuspendGrant,
    TerminateGrant,
    TransferGrant,
)
from marketplace.domain.delivery.grant_notice import ANSWERED_WITHIN
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.delivery.rescheduling import find_kept_until
from marketplace.domain.supply.schedule import STANDARD
from tests.domain import build
from tests.domain.build import (
    NAIVE,
    POOL,
    STARTUP,
    Row,
    builder,
    grant_issued,
    hour,
    id_of,
    issue_grant,
    resale_part,
    service_terms,
    share,
)
from tests.support.spec import Given

MINE = {"grant_id": build.GRANT}
POOL_2, STARTUP_2 = id_of("pol", 2), id_of("pty", 9)
LOTS_2 = (share(lot_id=id_of("lot", 2), nodes=2),)
activate = builder(ActivateGrant(**MINE, at=hour(10)))
degrade = builder(DegradeGrant(**MINE, nodes_available=1, at=hour(12), reason="XID 79", reported_at=hour(12)))
suspend = builder(SuspendGrant(**MINE, at=hour(13), reason="fabric upgrade", reported_at=hour(13)))
miss = builder(SuspendGrant(**MINE, at=hour(13), reason="no node", reported_at=hour(13), by="startup"))
resume = builder(ResumeGrant(**MINE, at=hour(14), reported_at=hour(14)))
substitute = builder(SubstituteGrant(**MINE, pool_id=POOL_2, lots=LOTS_2, at=hour(12), reason="nodes failed"))
transfer = builder(TransferGrant(**MINE, startup_id=STARTUP_2))
prioritise = builder(PrioritiseGrant(**MINE, priority=1))
complete = builder(CompleteGrant(**MINE, gpu_seconds_accepted=576_000, at=hour(20)))
NOTICE = {"by": "startup", "noticed_at": hour(10), "reason": "insolvent"}
terminate = builder(TerminateGrant(**MINE, at=hour(15), **NOTICE))
ISSUED = grant_issued()
ACTIVATED = GrantActivated(**MINE, at=hour(10))
DEGRADED = GrantDegraded(**MINE, nodes_available=1, at=hour(12), reason="XID 79", reported_at=hour(12))
SUSPENDED = GrantSuspended(**MINE, at=hour(13), reason="fabric upgrade", reported_at=hour(13))
RESUMED = GrantResumed(**MINE, at=hour(14))
SUBSTITUTED = GrantSubstituted(
    **MINE, pool_id=POOL_2, pool_id_before=POOL, lots=LOTS_2, at=hour(12), reason="nodes failed"
)
TRANSFERRED = GrantTransferred(**MINE, startup_id=STARTUP_2, startup_id_before=STARTUP)
COMPLETED = GrantCompleted(**MINE, gpu_seconds_accepted=576_000)
EARLY_END = GrantTerminated(**MINE, at=hour(11), **NOTICE)
TERMINATED = GrantTerminated(**MINE, at=hour(15), **NOTICE)
ACTIVE = (ISSUED, ACTIVATED)
RESOLD = GrantResold(
    **MINE,
    resale_grant_id=id_of("grt", 2),
    lot_id=id_of("lot", 2),
    nodes=1,
    start=hour(12),
    end=hour(14),
    gpu_seconds=8 * 7_200,
    price_usd_per_gpu_hour="3/1",
    cash_commitment_usd=build.usd("172.80"),
    principal_commitment_usd=build.usd("230.40"),
    budget_commitment_usd=build.usd("115.20"),
)
resold = builder(RESOLD)
BOUGHT = grant_issued(resale=resale_part())


def resell(**changes):
    return ResellGrant(resold=resold(**changes), at=hour(11))


LOTS_AFTER = (share(nodes=2, start=hour(20), end=hour(30)),)
extend = builder(
    ExtendGrant(**MINE, statement_id=id_of("stm", 1), start=hour(20), end=hour(30), lots=LOTS_AFTER, at=hour(21))
)
EXTENDED = GrantExtended(
    **MINE, statement_id=id_of("stm", 1), start=hour(20), end=hour(30), lots=LOTS_AFTER, gpu_seconds=576_000
)
shorten = builder(RescheduleGrant(**MINE, choice="shortened", at=hour(9), ready_at=hour(13.5)))
move = builder(RescheduleGrant(**MINE, choice="moved", at=hour(9), ready_at=hour(13.5)))
MOVED = GRANT.decide(move(), GRANT.fold([ISSUED]))[0]
move_back = builder(RescheduleGrant(**MINE, choice="moved", at=hour(9.5), start=hour(11), kept_from=hour(10)))
RESOLD_LATER = resold(start=hour(15), end=hour(16))
TOO_LATE = ({"at": hour(11.5)}, {"ready_at": hour(11.5)}, {"kept_from": hour(12)})
LOTS_LATER = (share(nodes=2, start=hour(14), end=hour(20)),)
LEFT = {
    "cash_commitment_usd": build.usd("115.20"),
    "principal_commitment_usd": build.usd("153.60"),
    "budget_commitment_usd": build.usd("76.80"),
}
SHORTENED = GrantRescheduled(
    **MINE,
    **LEFT,
    choice="shortened",
    start_before=hour(10),
    end_before=hour(20),
    start=hour(14),
    end=hour(20),
    lots=LOTS_LATER,
    gpu_seconds_cut=16 * 4 * 3_600,
    at=hour(9),
    reason="shortened, because its site is late",
)
DARK = msgspec.structs.replace(DEGRADED, at=hour(10), nodes_available=0, reported_at=hour(10))
add_line = builder(AddServiceLine(**MINE, service_line_id=id_of("svl", 1), at=hour(12)))


def line_added(number):
    return GrantServiceLineAdded(**MINE, service_line_id=id_of("svl", number))


STEPS = tuple(
    NoticeStep(value_usd_min=build.usd(value), notice_hours_min=hours) for value, hours in ((0, 0), (10**6, 11))
)
SPLIT = (grant_issued(notices=STEPS), ACTIVATED)
NOTICED = (grant_issued(service=service_terms(notice_hours_min=4)), ACTIVATED)
AFTER_END = [
    activate(),
    degrade(),
    suspend(),
    resume(),
    substitute(),
    extend(),
    transfer(),
    prioritise(),
    resell(),
    add_line(),
]
STAGED = grant_issued(stages=StageTerms(hours=24, security_hours=72))
collect = builder(
    CollectStage(
        **MINE, at=hour(12), available_usd=build.usd(0), stages=1, needed_usd=build.usd(9), set_aside_usd=build.usd(9)
    )
)

LONG = (grant_issued(end=hour(100)), ACTIVATED)
MISSED = GrantSuspended(**MINE, at=hour(10), reason="no node", reported_at=hour(58), by="startup")
REFUSALS = [
    Row("grant_unknown", (), activate()),
    Row("grant_exists", (ISSUED,), IssueGrant(issued=grant_issued(nodes=3))),
    *(
        Row("time_naive", ACTIVE, command(at=NAIVE), "/at")
        for command in (activate, degrade, suspend, resume, substitute, extend, complete, terminate)
    ),
    *(Row("time_naive", (ISSUED,), command(at=NAIVE), "/at") for command in (shorten, move)),
    Row("time_naive", (ISSUED,), move(start=NAIVE), "/start"),
    *(Row("grant_issued", (ISSUED,), command) for command in (degrade(), suspend(), resume(), extend(), complete())),
    *(Row("grant_completed", (*ACTIVE, COMPLETED), command) for command in (*AFTER_END, terminate())),
    *(Row("grant_terminated", (*ACTIVE, EARLY_END), command) for command in (*AFTER_END, complete())),
    *(Row("grant_completed", (*ACTIVE, COMPLETED), command) for command in (shorten(), move())),
    *(Row("grant_terminated", (ISSUED, EARLY_END), command) for command in (shorten(), move())),
    Row("grant_active", ACTIVE, resume()),
    Row("grant_active", (*ACTIVE, DEGRADED, RESUMED), resume(at=hour(13.5))),
    Row("grant_not_due", (ISSUED,), activate(at=hour(9))),
    Row("grant_not_due", ACTIVE, complete(at=hour(19))),
    Row("grant_not_due", ACTIVE, miss(is_silent=True)),
    Row("nodes_above_grant", ACTIVE, degrade(nodes_available=2), "/nodes_available"),
    Row("capacity_delivered", LONG, miss(at=hour(58), reported_at=hour(58))),
    Row("outage_open", ACTIVE, degrade(until=hour(13)), "/until"),
    Row("from_the_future", (*ACTIVE, DEGRADED), resume(at=hour(15)), "/at"),
    Row("capacity_unmetered", (*LONG, MISSED), resume(at=hour(59), reported_at=hour(59), is_silent=True)),
    Row("capacity_unmetered", (*LONG, MISSED), degrade(at=hour(59), reported_at=hour(59), is_silent=True)),
    Row("resumption_backdated", (*ACTIVE, DEGRADED), resume(at=hour(12.5)), "/at"),
    Row("nodes_failed", (*ACTIVE, DEGRADED), resume(is_lacking=True)),
    Row("pool_unchanged", ACTIVE, substitute(pool_id=POOL)),
    Row("outside_grant", ACTIVE, terminate(at=hour(20.01)), "/at"),
    Row("outside_grant", (*ACTIVE, TERMINATED), terminate(at=hour(16), by="provider"), "/at"),
    Row("cause_missing", ACTIVE, terminate(for_cause=True), "/for_cause"),
    Row("cause_missing", (*ACTIVE, DEGRADED), terminate(for_cause=True, by="provider")),
    Row("cause_missing", ACTIVE, terminate(for_cause=True, is_late=True), "/for_cause"),
    Row("cause_missing", (ISSUED,), terminate(for_cause=True), "/for_cause"),
    Row("cause_missing", (ISSUED,), terminate(for_cause=True, is_late=True, by="provider"), "/for_cause"),
    Row("cause_missing", (ISSUED,), terminate(for_cause=True, is_late=True, at=hour(10.01)), "/at"),
    Row("cause_unanswered", (*ACTIVE, DEGRADED), terminate(for_cause=True, noticed_at=hour(13)), "/for_cause"),
    Row("cause_unanswered", (*ACTIVE, DARK), shorten(at=hour(13), answer_by=hour(13.01))),
    Row("notice_too_short", NOTICED, terminate(at=hour(13)), "/at"),
    Row("notice_too_short", NOTICED, terminate(at=hour(13), by="provider"), "/at"),
    Row("notice_too_short", SPLIT, terminate(deal_usd=Fraction(10**6)), "/at"),
    Row("grant_bought", (BOUGHT,), shorten()),
    Row("grant_bought", (BOUGHT,), resell()),
    Row("grant_bought", (BOUGHT, ACTIVATED, TERMINATED), terminate(at=hour(12)), "/at"),
    Row("grant_transferred", (*ACTIVE, TRANSFERRED), resell()),
    Row("grant_staged", (STAGED,), resell()),
    Row("grant_over", ACTIVE, move(at=hour(20))),
    Row("grant_over", ACTIVE, add_line(at=hour(20))),
    *(Row("site_on_time", (ISSUED,), shorten(ready_at=ready_at)) for ready_at in (None, hour(10))),
    Row("site_on_time", ACTIVE, move()),
    Row("site_on_time", (ISSUED, MOVED), move_back(kept_from=None)),
    Row("site_on_time", (*ACTIVE, DEGRADED), shorten(at=hour(13))),
    Row("site_on_time", (*ACTIVE, msgspec.structs.replace(DARK, at=hour(11))), shorten(at=hour(13))),
    Row("site_on_time", (*ACTIVE, DARK, msgspec.structs.replace(RESUMED, at=hour(12))), shorten(at=hour(13))),
    Row("ready_after_end", (ISSUED,), shorten(ready_at=hour(19.5))),
    Row("start_unaligned", (ISSUED,), move(start=hour(15.5)), "/start"),
    Row("start_too_early", (ISSUED,), move(start=hour(13)), "/start"),
    *(Row("start_too_early", (ISSUED, MOVED), move_back(**late), "/start") for late in TOO_LATE),
    Row("start_too_late", (ISSUED,), move(start=hour(15 + 720)), "/start"),
    Row("hours_resold", (ISSUED, RESOLD), move(), "/start"),
    Row("hours_resold", (ISSUED, MOVED, RESOLD_LATER), move_back(), "/start"),
    Row("span_empty", ACTIVE, resell(end=hour(12)), "/end"),
    Row("span_empty", ACTIVE, degrade(until=hour(12)), "/until"),
    Row("resale_outside_grant", ACTIVE, resell(start=hour(9)), "/start"),
    Row("resale_outside_grant", ACTIVE, resell(end=hour(21)), "/start"),
    Row("resale_above_grant", ACTIVE, resell(nodes=3), "/nodes"),
    Row("resale_above_grant", (*ACTIVE, RESOLD), resell(resale_grant_id=id_of("grt", 3), nodes=2), "/nodes"),
    Row("service_lines_too_many", (*ACTIVE, *(line_added(number) for number in range(2, 18))), add_line()),
    Row("grant_prepaid", ACTIVE, collect()),
    Row("stages_paid", (STAGED,), collect(is_asked=True)),
    *(
        Row("value_out_of_bounds", ACTIVE, command)
        for command in (degrade(nodes_available=-1), resell(nodes=-1), prioritise(priority=-1))
    ),
]
PRECEDENCE = [
    Row("grant_bought", (BOUGHT,), shorten(ready_at=None)),
    Row("site_on_time", (ISSUED, RESOLD), move(ready_at=None)),
    Row("start_too_early", (ISSUED, RESOLD), move(start=hour(13))),
    Row("site_on_time", (ISSUED,), move(ready_at=None, start=NAIVE)),
    Row("start_unaligned", (ISSUED,), move(start=hour(12.5))),
    Row("grant_unknown", (), activate(at=NAIVE)),
    Row("time_naive", (ISSUED,), degrade(at=NAIVE)),
    Row("grant_issued", (ISSUED,), complete(at=hour(1))),
    Row("grant_issued", (ISSUED,), degrade(nodes_available=2)),
    Row("grant_completed", (*ACTIVE, COMPLETED), substitute(pool_id=POOL)),
    Row("grant_bought", (BOUGHT, TRANSFERRED), resell()),
    Row("span_empty", ACTIVE, resell(start=hour(30), end=hour(9))),
    Row("resale_outside_grant", ACTIVE, resell(end=hour(21), nodes=3)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(GRANT, row)


def test_issues():
    Given(GRANT).when(issue_grant()).then(ISSUED)
    Given(GRANT, *ACTIVE, TERMINATED).when(issue_grant()).then_nothing()
    assert GRANT.fold([ISSUED]).gpu_seconds_granted == 2 * 8 * 36_000


def test_what_is_sold_on_leaves_the_grant():
    Given(GRANT, *ACTIVE).when(resell()).then(RESOLD)
    state = GRANT.fold([*ACTIVE, RESOLD])
    assert [state.count_nodes(hour(at)) for at in (11, 12, 13, 14)] == [2, 1, 1, 2]
    assert state.gpu_seconds_left == state.gpu_seconds_granted - 8 * 7_200


def test_activates_once_however_it_runs():
    Given(GRANT, ISSUED).when(activate()).then(ACTIVATED)
    for since in (DEGRADED, SUSPENDED):
        Given(GRANT, *ACTIVE, since).when(activate()).then_nothing()


def test_degrades_down_to_nothing():
    Given(GRANT, *ACTIVE).when(degrade()).then(DEGRADED)
    nothing = msgspec.structs.replace(DEGRADED, nodes_available=0)
    Given(GRANT, *ACTIVE, DEGRADED).when(degrade(nodes_available=0)).then(nothing)


def test_a_startup_says_that_nothing_was_handed_over_once_no_meter_counted_anything_for_two_days():
    late = {"at": hour(58), "reported_at": hour(58)}
    suspended = GrantSuspended(**MINE, **late, reason="no node", by="startup")
    Given(GRANT, *LONG).when(miss(**late, is_silent=True)).then(suspended)
    Given(GRANT, *LONG, suspended).when(miss(**late, is_silent=True)).then_nothing()
    cause = {"for_cause": True, "at": hour(90), "noticed_at": hour(81.99)}
    Given(GRANT, *LONG, suspended).when(terminate(**cause)).refused("cause_unanswered")
    again = msgspec.structs.replace(suspended, at=hour(81), reported_at=hour(81))
    words = (suspended, GrantResumed(**MINE, at=hour(81)), again)
    Given(GRANT, *LONG, *words).when(terminate(**cause)).refused("cause_unanswered")
    [ended] = GRANT.decide(terminate(**cause | {"noticed_at": hour(82)}), GRANT.fold([*LONG, *words]))
    assert (ended.for_cause, ended.fee_usd, ended.nodes_failed) == (True, 0, 2), "words buy no time"


def test_readings_answer_a_report_of_silence_and_date_it_back_as_far_as_they_reach():
    late = {"at": hour(11), "reported_at": hour(70)}
    Given(GRANT, *LONG, MISSED).when(resume(**late)).refused("resumption_backdated")
    Given(GRANT, *LONG, MISSED).when(resume(**late, is_metered=True)).then(GrantResumed(**MINE, at=hour(11)))
    Given(GRANT, *LONG, MISSED).when(resume(**late, is_silent=True, is_ordered=True)).then(
        GrantResumed(**MINE, at=hour(11))
    )
    own = (DEGRADED, MISSED)
    Given(GRANT, *LONG, *own).when(resume(**late, is_metered=True)).refused("resumption_backdated")
    worse = msgspec.structs.replace(SUSPENDED, at=hour(9), reported_at=hour(60))
    Given(GRANT, *LONG, MISSED, worse).when(resume(at=hour(70), reported_at=hour(70), is_silent=True)).refused(
        "capacity_unmetered"
    )
    state = GRANT.fold([*LONG, *own])
    assert (state.nodes_available, state.nodes_working, state.is_dark, state.is_silenced) == (0, 0, True, True)
    state = GRANT.fold([*LONG, *own, GrantResumed(**MINE, at=hour(70))])
    assert (state.nodes_available, state.nodes_working, state.is_silenced) == (2, 2, False)
    half = msgspec.structs.replace(DEGRADED, at=hour(70), reported_at=hour(70))
    assert not GRANT.fold([*LONG, MISSED, half]).is_silenced


def test_only_the_platform_says_that_failed_nodes_worked_all_the_time():
    late = {"at": hour(12.5), "reported_at": hour(14)}
    Given(GRANT, *ACTIVE, DEGRADED).when(resume(**late)).refused("resumption_backdated")
    half = degrade(nodes_available=1, **late)
    Given(GRANT, *ACTIVE, SUSPENDED).when(half).refused("resumption_backdated")
    Given(GRANT, *ACTIVE, DEGRADED).when(resume(**late, is_ordered=True)).then(GrantResumed(**MINE, at=hour(12.5)))


def flap(*spans):
    """Return outages that are reported as they begin, and over as they end."""
    return [
        event
        for start, end in spans
        for event in (
            msgspec.structs.replace(DEGRADED, at=hour(start), reported_at=hour(start)),
            *(() if end is None else (GrantResumed(**MINE, at=hour(end)),)),
        )
    ]


@pytest.mark.parametrize(
    ("spans", "due"),
    [
        ([(100, None)], 124),
        ([(100, 123.5), (123.75, None)], 124.25),
        ([(100, 110), (110.25, 120), (130, None)], 134.25),
        ([(100, 123), (124, 130), (140, None)], 140),
        ([(100, 123), (100 + 31 * 24, None)], 124 + 31 * 24),
        ([(100, 123), (112 + 30 * 24, None)], 125 + 30 * 24),
    ],
)
def test_a_provider_answers_all_outages_of_a_month_within_a_day_in_all(spans, due):
    given = (grant_issued(end=hour(2_000)), ACTIVATED, *flap(*spans))
    early = terminate(for_cause=True, at=hour(1_900), noticed_at=hour(due) - timedelta(seconds=1))
    with pytest.raises(Refusal) as caught:
        GRANT.decide(early, GRANT.fold(list(given)))
    assert (caught.value.code, caught.value.facts["due"]) == ("cause_unanswered", render_instant(hour(due)))
    (ended,) = GRANT.decide(terminate(for_cause=True, at=hour(1_900), noticed_at=hour(due)), GRANT.fold(list(given)))
    assert (ended.for_cause, ended.fee_usd) == (True, 0)


@pytest.mark.parametrize(("nodes", "days"), [(10, 1), (11, 7), (20, 7)])
def test_a_node_of_a_large_grant_is_repaired_within_a_week(nodes, days):
    """One of twenty nodes was down for a day, and a deal of a million ended at once without notice and fee."""
    one_failed = msgspec.structs.replace(DEGRADED, at=hour(100), reported_at=hour(100), nodes_available=nodes - 1)
    given = (msgspec.structs.replace(grant_issued(end=hour(2_000)), nodes=nodes), ACTIVATED, one_failed)
    due = hour(100 + 24 * days)
    end = {"for_cause": True, "at": hour(1_900), "is_chronic": days > 1}
    early = terminate(**end, noticed_at=due - timedelta(seconds=1))
    with pytest.raises(Refusal) as caught:
        GRANT.decide(early, GRANT.fold(list(given)))
    assert (caught.value.code, caught.value.facts["due"]) == ("cause_unanswered", render_instant(due))
    (ended,) = GRANT.decide(terminate(**end, noticed_at=due), GRANT.fold(list(given)))
    assert (ended.fee_usd, ended.nodes_failed) == (0, 1)


def test_a_startup_leaves_a_provider_that_is_suspended():
    end = {"for_cause": True, "at": hour(15), "provider_suspended": True}
    (ended,) = GRANT.decide(terminate(**end), GRANT.fold([*ACTIVE]))
    assert (ended.for_cause, ended.fee_usd, ended.nodes_failed) == (True, 0, 0)
    Given(GRANT, *ACTIVE).when(terminate(**end, by="provider")).refused("cause_missing")


def test_of_chronic_outages_nothing_is_left_to_answer_but_one_must_last():
    end = terminate(for_cause=True, at=hour(1_900), noticed_at=hour(101), is_chronic=True)
    given = (grant_issued(end=hour(2_000)), ACTIVATED)
    (ended,) = GRANT.decide(end, GRANT.fold([*given, *flap((100, None))]))
    assert (ended.for_cause, ended.fee_usd) == (True, 0)
    Given(GRANT, *given, *flap((100, 100.5))).when(end).refused("cause_missing")


def test_a_settled_statement_of_nearly_nothing_is_cause_whatever_is_reported():
    end = terminate(for_cause=True, at=hour(1_900), noticed_at=hour(101), nodes_uncharged=2)
    given = (grant_issued(end=hour(2_000)), ACTIVATED)
    for told in ([], flap((100, None))):
        (ended,) = GRANT.decide(end, GRANT.fold([*given, *told]))
        assert (ended.for_cause, ended.fee_usd, ended.nodes_failed) == (True, 0, 2)
    Given(GRANT, *given).when(msgspec.structs.replace(end, by="provider")).refused("cause_missing")


def test_a_past_outage_is_added_while_the_grant_runs_and_after_it():
    over = degrade(until=hour(13), reported_at=hour(15))
    told = msgspec.structs.replace(DEGRADED, until=hour(13), reported_at=hour(15))
    for given in (ACTIVE, (*ACTIVE, SUSPENDED, RESUMED), (*ACTIVE, COMPLETED)):
        Given(GRANT, *given).when(over).then(told)
        Given(GRANT, *given, told).when(over).then_nothing()
    state = GRANT.fold([*ACTIVE, told])
    assert (state.status, state.nodes_working, state.outages) == ("active", 2, (Outage(hour(12), hour(13), 1),))


def test_suspends_and_resumes_in_full():
    Given(GRANT, *ACTIVE, DEGRADED).when(suspend()).then(SUSPENDED)
    Given(GRANT, *ACTIVE, DEGRADED, SUSPENDED).when(resume()).then(RESUMED)
    state = GRANT.fold([*ACTIVE, DEGRADED, SUSPENDED, RESUMED])
    assert (state.status, state.nodes_available) == ("active", 2)


def test_moves_to_another_pool_before_and_while_it_runs():
    for given in ((ISSUED,), ACTIVE, (*ACTIVE, DEGRADED), (*ACTIVE, SUSPENDED)):
        Given(GRANT, *given).when(substitute()).then(SUBSTITUTED)
    state = GRANT.fold([*ACTIVE, SUBSTITUTED])
    assert (state.pool_id, state.lots, state.issued.pool_id) == (POOL_2, LOTS_2, POOL)


def test_a_late_grant_is_shortened_to_the_whole_hours_after_its_site_is_ready():
    Given(GRANT, ISSUED).when(shorten(lots=LOTS_LATER, **LEFT)).then(SHORTENED)
    state = GRANT.fold([ISSUED, SHORTENED])
    assert (state.status, state.issued.start, state.end, state.lots) == ("issued", hour(14), hour(20), LOTS_LATER)
    assert (state.gpu_seconds_granted, state.issued.cash_commitment_usd) == (16 * 6 * 3_600, build.usd("115.20"))
    assert state.issued.equity.principal_commitment_usd == build.usd("153.60")
    Given(GRANT, ISSUED, SHORTENED).when(activate(at=hour(13.9))).refused("grant_not_due")


def test_a_late_grant_is_moved_as_a_whole_and_by_thirty_days_at_most_after_its_site_is_ready():
    for start, begin in ((None, 14), (hour(14), 14), (hour(14 + 720), 14 + 720)):
        (moved,) = GRANT.decide(move(start=start), GRANT.fold([ISSUED]))
        assert (moved.start, moved.end, moved.gpu_seconds_cut) == (hour(begin), hour(begin + 10), 0)
    with pytest.raises(Refusal) as caught:
        GRANT.decide(move(start=hour(15.5)), GRANT.fold([ISSUED]))
    assert caught.value.facts["nearest"] == render_instant(hour(15))


def test_a_moved_grant_moves_back_to_hours_that_are_kept_for_it_once_its_site_is_in_time():
    for facts, first in (({}, 10), ({"at": hour(10.5)}, 11), ({"ready_at": hour(11.5)}, 12)):
        (back,) = GRANT.decide(move_back(start=hour(first), **facts), GRANT.fold([ISSUED, MOVED]))
        assert (back.start_before, back.start, back.end, back.gpu_seconds_cut) == (
            hour(14),
            hour(first),
            hour(first + 10),
            0,
        )
        assert back.reason == "moved, because its site is in time after all"


ENDS = STANDARD.ends[0]


def test_of_hours_taken_off_those_are_kept_for_which_nothing_is_owed():
    issued, owed = ISSUED, msgspec.structs.replace(ISSUED, ends=ENDS)
    ready_at = hour(10 + 48)
    assert find_kept_until(shorten(ready_at=None), owed) is None
    assert find_kept_until(shorten(ready_at=ready_at), issued) == ready_at
    assert find_kept_until(shorten(ready_at=ready_at), owed) == hour(10 + ENDS.remedies.cure_hours)
    assert find_kept_until(move(ready_at=ready_at), owed) == ready_at
    (cut,) = GRANT.decide(shorten(), GRANT.fold([owed]))
    later = msgspec.structs.replace(owed, start=cut.start)
    cure_hours = ENDS.remedies.cure_hours
    assert find_kept_until(shorten(ready_at=ready_at), later, [cut]) == hour(10 + cure_hours), (
        "the cure time counts once"
    )
    assert find_kept_until(shorten(ready_at=ready_at), later, [MOVED]) == cut.start + timedelta(hours=cure_hours)


def test_a_grant_that_is_dark_from_its_start_on_begins_anew_without_its_outages():
    for choice, end in ((shorten, 20), (move, 22)):
        (anew,) = GRANT.decide(choice(at=hour(11.5), ready_at=None), GRANT.fold([*ACTIVE, DARK]))
        assert (anew.start, anew.end) == (hour(12), hour(end))
        state = GRANT.fold([*ACTIVE, DARK, anew])
        assert (state.status, state.outages, state.nodes_working) == ("issued", (), 2)
        assert state.failed_before == ((hour(10), hour(11.5)),), "what the provider had to answer does not begin anew"


def test_transfers_use_alone():
    Given(GRANT, *ACTIVE).when(transfer()).then(TRANSFERRED)
    state = GRANT.fold([*ACTIVE, TRANSFERRED])
    assert (state.startup_id, state.issued.startup_id) == (STARTUP_2, STARTUP)


def test_its_tenant_says_which_grant_is_used_first():
    Given(GRANT, *ACTIVE).when(prioritise()).then(GrantPrioritised(**MINE, priority=1))
    Given(GRANT, *ACTIVE).when(prioritise(priority=PRIORITY)).then_nothing()
    assert GRANT.fold([*ACTIVE, GrantPrioritised(**MINE, priority=1)]).priority == 1


def test_completes_at_its_end():
    Given(GRANT, *ACTIVE).when(complete()).then(COMPLETED)
    Given(GRANT, *ACTIVE, SUSPENDED).when(complete()).then(COMPLETED)


def test_a_termination_brings_the_end_forward_and_never_back():
    Given(GRANT, *ACTIVE).when(terminate()).then(TERMINATED)
    assert GRANT.fold([*ACTIVE, TERMINATED]).end == hour(15)
    Given(GRANT, *ACTIVE).when(terminate(at=hour(20), by="provider")).then_nothing()
    Given(GRANT, *ACTIVE).when(terminate(at=hour(99), is_ordered=True)).then_nothing()
    early = GrantTerminated(**MINE, at=hour(10), **NOTICE)
    Given(GRANT, ISSUED).when(terminate(at=hour(1))).then(early)


def test_an_extension_puts_the_end_off_and_its_periods_follow():
    Given(GRANT, *ACTIVE).when(extend()).then(EXTENDED)
    longer = GRANT.fold([*ACTIVE, EXTENDED])
    assert (longer.end, longer.lots) == (hour(30), (*ISSUED.lots, *LOTS_AFTER))
    first, second = list_periods(longer)
    assert (first.start, first.end, second.start, second.end) == (hour(10), hour(20), hour(20), hour(30))
    assert first.statement_id == list_periods(GRANT.fold(ACTIVE))[0].statement_id
    Given(GRANT, *ACTIVE, EXTENDED).when(complete(at=hour(29))).refused("grant_not_due")
    cut = GRANT.fold([*ACTIVE, EXTENDED, GrantTerminated(**MINE, at=hour(25), **NOTICE)])
    assert list_periods(cut)[1].end == hour(25)


def test_a_grant_that_was_over_goes_on_later_without_a_period_between():
    late = msgspec.structs.replace(EXTENDED, start=hour(44), end=hour(54))
    spans = [(period.start, period.end) for period in list_periods(GRANT.fold([*ACTIVE, late]))]
    assert spans == [(hour(10), hour(20)), (hour(44), hour(54))]


def test_notice_of_the_terms_is_kept():
    Given(GRANT, *NOTICED).when(terminate(at=hour(14))).then(msgspec.structs.replace(TERMINATED, at=hour(14)))


def test_cause_and_an_order_of_the_platform_need_no_notice():
    for_cause = msgspec.structs.replace(TERMINATED, at=hour(13), for_cause=True)
    for failed, nodes in ((DEGRADED, 1), (SUSPENDED, 2)):
        due = failed.at + ANSWERED_WITHIN
        answered = terminate(at=hour(13), for_cause=True, noticed_at=due, failing_since=failed.at)
        noted = msgspec.structs.replace(for_cause, noticed_at=due, nodes_failed=nodes)
        Given(GRANT, *NOTICED, failed).when(answered).then(noted)
        Given(GRANT, *NOTICED, failed, RESUMED).when(answered).refused("cause_missing")
        over = msgspec.structs.replace(answered, is_repaired=True)
        Given(GRANT, *NOTICED, failed).when(over).refused("cause_missing")
    unpaid = terminate(at=hour(13), by="provider", for_cause=True, startup_suspended=True)
    Given(GRANT, *NOTICED).when(unpaid).then(msgspec.structs.replace(for_cause, by="provider"))
    ordered = terminate(at=hour(13), by="provider", is_ordered=True)
    Given(GRANT, *NOTICED).when(ordered).then(msgspec.structs.replace(TERMINATED, at=hour(13), by="provider"))


def test_until_the_end_that_notice_was_given_of_its_nodes_may_fail_and_come_back():
    Given(GRANT, *ACTIVE, TERMINATED).when(degrade()).then(DEGRADED)
    Given(GRANT, *ACTIVE, TERMINATED).when(resume()).refused("grant_active")
    Given(GRANT, *ACTIVE, TERMINATED, DEGRADED).when(resume()).then(RESUMED)
    Given(GRANT, *ACTIVE, TERMINATED).when(suspend()).then(SUSPENDED)
    ending = GRANT.fold([*ACTIVE, TERMINATED, DEGRADED])
    assert (ending.status, ending.end, ending.outages) == ("terminated", hour(15), (Outage(hour(12), None, 1),))
    Given(GRANT, *ACTIVE, TERMINATED, DEGRADED).when(substitute()).then(SUBSTITUTED)
    for act in (degrade(at=hour(15)), substitute(at=hour(15))):
        Given(GRANT, *ACTIVE, TERMINATED).when(act).refused("grant_terminated")


def test_a_service_line_goes_with_it_once():
    Given(GRANT, ISSUED).when(add_line()).then(line_added(1))
    Given(GRANT, *ACTIVE, line_added(1)).when(add_line(at=hour(30))).then_nothing()
    assert GRANT.fold((ISSUED, line_added(1))).service_lines == (id_of("svl", 1),)


@pytest.mark.parametrize("days", [(60, 45, 29), (89, 29), (30, 29), (60, 3)])
def test_an_end_in_parts_costs_what_one_end_costs_and_keeps_the_notice_that_was_given(days):
    issued = grant_issued(end=hour(90 * 24), ends=STANDARD.ends[0])

    def sum_fees(*ends):
        state = GRANT.evolve(None, issued)
        for at, noticed_at in ends:
            command = terminate(at=hour(at * 24), noticed_at=hour(noticed_at * 24))
            for event in GRANT.decide(command, state):
                state = GRANT.evolve(state, event)
        return state.sum_end_fees("startup")

    whole = sum_fees((days[-1], 1))
    assert 0 <= sum_fees(*((day, 1) for day in days)) - whole <= Decimal("0.01") * len(days)
    daily = Decimal(2 * 16 * 24)
    assert sum_fees((60, 1), (45, 14.5)) == daily * (30 * Decimal("0.02") + 15 * Decimal("0.02"))
    assert sum_fees((60, 1), (45, 20)) == daily * (30 * Decimal("0.02") + 15 * Decimal("0.05"))
