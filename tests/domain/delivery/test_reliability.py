"""A provider's reliability is what its grants and statements say, exact and the same whenever it is asked."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantIssued,
    GrantMarked,
    GrantResold,
    GrantResumed,
    GrantSuspended,
    GrantTerminated,
)
from events.service import ServiceResult
from events.statement import Adjustment, Charges, StatementAccepted, StatementIssued, StatementResolved
from events.types import Event
from marketplace.core.money import ZERO
from marketplace.domain.delivery.reliability import Record, Reliability, ReliabilityState, compute_reliability, evolve
from tests.domain import build
from tests.domain.build import hour, id_of, service_terms, usd

ISSUED = build.grant_issued(nodes=4, start=hour(0), end=hour(10))
GRANT, PROVIDER = ISSUED.grant_id, ISSUED.provider_id
NOTICE = {"noticed_at": hour(0), "reason": "fire"}
PERFECT = Reliability(Fraction(1), Fraction(1), Fraction(1))


def stand(*events) -> Reliability:
    state = ReliabilityState()
    for event in events:
        state = evolve(state, event)
    return compute_reliability(state.records[PROVIDER])


def charges(gpu_seconds: int) -> Charges:
    return Charges(gpu_seconds=gpu_seconds, provider_usd=ZERO, cash_usd=ZERO, holder_usd=ZERO, principal_usd=ZERO)


def accepted(gpu_seconds: int) -> StatementAccepted:
    return StatementAccepted(statement_id=id_of("stm", 1), grant_id=GRANT, charges=charges(gpu_seconds), by="silence")


def state_until(end, service=None) -> StatementIssued:
    return StatementIssued(
        service=service,
        statement_id=id_of("stm", 1),
        grant_id=GRANT,
        startup_id=ISSUED.startup_id,
        provider_id=PROVIDER,
        period_start=hour(0),
        period_end=end,
        charges=charges(0),
        accept_until=hour(20),
    )


ON_CREDIT = msgspec.structs.replace(ISSUED, credit_usd=usd(9))
ACTIVE = GrantActivated(grant_id=GRANT, at=hour(0))
DONE = (state_until(hour(10)), GrantCompleted(grant_id=GRANT, gpu_seconds_accepted=0))


def degraded(nodes: int, at) -> GrantDegraded:
    return GrantDegraded(grant_id=GRANT, nodes_available=nodes, at=at, reason="node down")


def test_whoever_delivers_in_full_stands_at_one():
    assert stand(ISSUED, ACTIVE, *DONE, accepted(100)) == PERFECT


def test_a_node_of_four_that_is_down_for_two_hours_of_ten_costs_a_twentieth():
    resumed = GrantResumed(grant_id=GRANT, at=hour(5))
    assert stand(ISSUED, ACTIVE, degraded(3, hour(3)), resumed, *DONE).uptime == Fraction(19, 20)


def test_a_suspension_loses_every_node():
    suspended = GrantSuspended(grant_id=GRANT, at=hour(5), reason="power")
    assert stand(ISSUED, ACTIVE, suspended, *DONE).uptime == Fraction(1, 2)


def test_what_the_provider_ends_counts_against_it_and_what_others_end_does_not():
    for by, completion in (("provider", Fraction(0)), ("startup", Fraction(1)), ("platform", Fraction(1))):
        ended = GrantTerminated(grant_id=GRANT, at=hour(5), by=by, **NOTICE)
        assert stand(ISSUED, ACTIVE, ended).completion == completion, by


def test_what_worked_before_an_end_and_what_a_running_grant_delivers_count_in_uptime_alone():
    months = build.grant_issued(nodes=4, start=hour(0), end=hour(24 * 60), service=service_terms())
    stated = state_until(hour(24 * 30), came_to(4 * 8 * 24 * 30 * 3_600, 0))
    small = id_of("grt", 2)
    ended = (
        build.grant_issued(grant_id=small, nodes=1, start=hour(0), end=hour(2)),
        GrantActivated(grant_id=small, at=hour(0)),
        GrantTerminated(grant_id=small, at=hour(1), by="startup", for_cause=True, **NOTICE),
    )
    running = stand(months, ACTIVE, stated, *ended)
    assert (running.uptime, running.completion) == (Fraction(1), Fraction(0))
    over = GrantCompleted(grant_id=GRANT, gpu_seconds_accepted=0)
    assert stand(months, ACTIVE, stated, over, *ended).completion == Fraction(4 * 24 * 60, 4 * 24 * 60 + 2)
    cause = GrantTerminated(grant_id=GRANT, at=hour(24 * 59), by="startup", for_cause=True, **NOTICE)
    late = stand(months, ACTIVE, stated, cause)
    assert (late.uptime, late.completion) == (Fraction(1), Fraction(0))


def test_a_large_grant_that_its_provider_ends_weighs_more_than_many_small_ones():
    small = [
        event
        for number in range(16)
        for event in (
            build.grant_issued(grant_id=id_of("grt", 10 + number), nodes=1, start=hour(0), end=hour(1)),
            GrantActivated(grant_id=id_of("grt", 10 + number), at=hour(0)),
            GrantCompleted(grant_id=id_of("grt", 10 + number), gpu_seconds_accepted=0),
        )
    ]
    ended = GrantTerminated(grant_id=GRANT, at=hour(5), by="provider", **NOTICE)
    sooner = GrantTerminated(grant_id=GRANT, at=hour(3), by="provider", **NOTICE)
    for ends in ((ended,), (ended, sooner)):
        assert stand(*small, ISSUED, ACTIVE, *ends).completion == Fraction(16, 16 + 40)
    dear = build.grant_issued(nodes=4, start=hour(0), end=hour(10), price_usd_per_gpu_hour="19")
    assert stand(*small, dear, ACTIVE, ended).completion == Fraction(16 * 2, 16 * 2 + 40 * 19), "by price"
    done = stand(*small, ISSUED, ACTIVE, ended, marked("related"))
    assert done.completion == Fraction(16, 16 + 40), "what was broken stays"


def test_nodes_for_next_to_nothing_wash_no_failure_away():
    """After a no-show of 640 USD, a shell took 2,000 nodes of its provider for 16 USD: uptime 0.999."""
    failed = (ISSUED, ACTIVE, GrantSuspended(grant_id=GRANT, at=hour(0), reason="power"), *DONE)
    other = {"grant_id": id_of("grt", 2), "nodes": 2_000, "price_usd_per_gpu_hour": "0.0001"}
    cheap = build.grant_issued(start=hour(0), end=hour(10), **other)
    washed = [msgspec.structs.replace(event, grant_id=cheap.grant_id) for event in (ACTIVE, *DONE)]
    assert stand(*failed, cheap, *washed).uptime == Fraction(16, 16 + 640)
    conceded = resolved(before=3_600, after=0)
    accepted_cheap = msgspec.structs.replace(accepted(10**9 * 36), grant_id=cheap.grant_id)
    assert stand(ISSUED, ACTIVE, conceded, cheap, accepted_cheap).undisputed == Fraction(1_000, 1_000 + 2)


def test_no_more_is_lost_of_a_resold_grant_than_is_still_due_under_it():
    part = {"resale_grant_id": id_of("grt", 9), "lot_id": id_of("lot"), "price_usd_per_gpu_hour": "2/1"}
    left = {f"{name}_commitment_usd": ZERO for name in ("cash", "principal", "budget")}
    gpu_seconds = 3 * 8 * 36_000
    resold = GrantResold(grant_id=GRANT, nodes=3, start=hour(0), end=hour(10), gpu_seconds=gpu_seconds, **part, **left)
    suspended = GrantSuspended(grant_id=GRANT, at=hour(5), reason="power")
    assert stand(ISSUED, ACTIVE, resold, suspended, *DONE).uptime == Fraction(1, 2)


def test_what_is_ended_for_cause_counts_against_the_provider_where_the_cause_is_its_own():
    for by, completion in (("provider", Fraction(1)), ("startup", Fraction(0)), ("platform", Fraction(1))):
        ended = GrantTerminated(grant_id=GRANT, at=hour(5), by=by, for_cause=True, **NOTICE)
        assert stand(ISSUED, ACTIVE, ended).completion == completion, by


def test_a_run_counts_up_to_a_termination_and_nothing_after():
    ended = GrantTerminated(grant_id=GRANT, at=hour(4), by="startup", **NOTICE)
    assert stand(ISSUED, ACTIVE, degraded(2, hour(2)), ended, state_until(hour(10))).uptime == Fraction(3, 4)


def resolved(before: int, after: int) -> StatementResolved:
    return StatementResolved(
        statement_id=id_of("stm", 1),
        grant_id=GRANT,
        charges_before=charges(before),
        charges=charges(after),
        reason="logs",
        by="platform",
    )


def test_what_a_dispute_gives_up_is_a_share_of_what_was_stated():
    gone, kept = 3_600, 3 * 3_600
    assert stand(ISSUED, ACTIVE, resolved(gone + kept, kept), accepted(kept)).undisputed == Fraction(3, 4)


def test_events_of_other_aggregates_change_nothing():
    opened = build.pool_opened()
    state = evolve(ReliabilityState(), ISSUED)
    assert evolve(state, opened) is state


def came_to(promised: int, unavailable: int) -> ServiceResult:
    return ServiceResult(
        gpu_seconds_promised=promised,
        gpu_seconds_unavailable=unavailable,
        gpu_seconds_delivered=0,
        availability=f"{promised - unavailable}/{promised}",
        availability_min=usd("0.99"),
        met=not unavailable,
        credit=ZERO,
    )


PROMISED = msgspec.structs.replace(ISSUED, service=service_terms())


def test_what_a_statement_says_of_its_period_takes_the_place_of_what_was_counted():
    resumed = GrantResumed(grant_id=GRANT, at=hour(5))
    turns = (PROMISED, ACTIVE, degraded(3, hour(3)), resumed)
    assert stand(*turns).uptime == Fraction(18, 20)
    stated = state_until(hour(10), came_to(1_000, 100))
    assert stand(*turns, stated).uptime == Fraction(9, 10)
    again = msgspec.structs.replace(
        stated, adjustment=Adjustment(statement_id=id_of("stm", 1), gpu_seconds_before=1, gpu_seconds_after=2)
    )
    assert stand(*turns, stated, again).uptime == Fraction(9, 10)
    later = Adjustment(
        statement_id=id_of("stm", 1),
        gpu_seconds_before=1,
        gpu_seconds_after=2,
        unavailable_before=100,
        unavailable_after=0,
    )
    late = msgspec.structs.replace(stated, adjustment=later)
    assert stand(*turns, stated, late).uptime == Fraction(9, 10), "its readings may still be voided"
    taken = msgspec.structs.replace(accepted(100), unavailable_change=-100)
    assert stand(*turns, stated, late, taken).uptime == 1
    less = msgspec.structs.replace(later, unavailable_after=200)
    assert stand(*turns, stated, msgspec.structs.replace(late, adjustment=less)).uptime == Fraction(8, 10)
    after = stand(*turns, stated, degraded(0, hour(12)), GrantResumed(grant_id=GRANT, at=hour(12)))
    assert after.uptime == Fraction(900 + 4 * 8 * 7_200, 1_000 + 4 * 8 * 7_200)


def test_no_run_is_counted_beyond_the_period_that_is_stated_next():
    late = stand(PROMISED, ACTIVE, GrantSuspended(grant_id=GRANT, at=hour(31 * 24), reason="power"))
    assert late.uptime == 1
    state = ReliabilityState()
    for event in (PROMISED, ACTIVE, GrantSuspended(grant_id=GRANT, at=hour(31 * 24), reason="power")):
        state = evolve(state, event)
    assert state.records[PROVIDER].gpu_seconds_due == 4 * 8 * 30 * 86_400


def marked(mark: str) -> GrantMarked:
    return GrantMarked(grant_id=GRANT, mark=mark, relation_id=id_of("rel", 1), reason="found")


MOMENTS = st.integers(0, 12).map(hour)
TURNS = st.one_of(
    st.builds(degraded, st.integers(0, 3), MOMENTS),
    st.builds(lambda at: GrantSuspended(grant_id=GRANT, at=at, reason="power"), MOMENTS),
    st.builds(lambda at: GrantResumed(grant_id=GRANT, at=at), MOMENTS),
    st.builds(state_until, MOMENTS),
    st.builds(lambda at, lost: state_until(at, came_to(1_000, lost)), MOMENTS, st.integers(0, 1_000)),
    st.builds(accepted, st.integers(0, 10**9)),
    st.builds(marked, st.sampled_from(["related", "own_capacity", "assumed"])),
)


@given(st.lists(TURNS, max_size=20), st.sampled_from([ISSUED, PROMISED, ON_CREDIT]))
def test_every_share_is_between_nothing_and_one_in_any_order(turns: list[Event], issued: GrantIssued):
    reliability = stand(issued, ACTIVE, *turns)
    shares = (reliability.uptime, reliability.completion, reliability.undisputed, reliability.score)
    assert all(0 <= share <= 1 for share in shares)


def test_what_is_marked_counts_in_no_reliability_and_nothing_bad_is_wiped_out_by_a_mark():
    lost = (ISSUED, ACTIVE, degraded(3, hour(3)), GrantResumed(grant_id=GRANT, at=hour(5)))
    life = (*lost, *DONE, accepted(100))
    assert stand(*life).uptime == Fraction(19, 20)
    for mark in ("related", "own_capacity"):
        assert stand(*life, marked(mark)) == Reliability(Fraction(0), Fraction(1), Fraction(1))
        assert stand(*lost, marked(mark), *DONE, accepted(100)).uptime == 0
        assert stand(msgspec.structs.replace(ISSUED, mark=mark), *life[1:]) == PERFECT
    assert stand(*life, marked("assumed")) == stand(*life)
    named = (msgspec.structs.replace(ISSUED, mark="named"), *life[1:])
    assert stand(*named) == stand(*life), "a provider that names its buyer beforehand keeps no failure out"
    assert stand(*named, marked("related")).uptime == 0


def test_what_works_on_credit_counts_once_it_is_paid_and_what_is_lost_at_once():
    """A shell without money ran thousands of nodes on its provider's credit, so that nothing lost weighed any more."""
    down, up = degraded(3, hour(3)), GrantResumed(grant_id=GRANT, at=hour(5))
    lost = 2 * 3_600 * ISSUED.gpus_per_node
    life = (ON_CREDIT, ACTIVE, down, up, state_until(hour(10)))
    assert stand(*life).uptime == 0
    assert stand(*life, accepted(lost * 3)).uptime == Fraction(3, 4), "no more than is paid"
    assert stand(*life, accepted(10**9)).uptime == Fraction(19, 20), "and no more than worked"


def test_what_no_meter_counts_is_no_work_where_silence_breaks_no_promise():
    """A provider at 0 sold a shell 2,400 hours under `incidents`, metered and was paid nothing, and came to 0.909."""
    promised = msgspec.structs.replace(PROMISED.service, measure="incidents")
    issued = msgspec.structs.replace(PROMISED, service=promised)
    whole = ISSUED.nodes * ISSUED.gpus_per_node * 10 * 3_600
    life = (issued, ACTIVE, state_until(hour(10), came_to(whole, 0)))
    state = ReliabilityState()
    for event in (*life, DONE[1]):
        state = evolve(state, event)
    assert state.records[PROVIDER] == Record()
    assert stand(*life, accepted(whole // 2), DONE[1]).uptime == 1
    state = evolve(state, issued)
    for event in (*life, accepted(whole // 2), DONE[1]):
        state = evolve(state, event)
    assert (state.records[PROVIDER].gpu_seconds_due, state.records[PROVIDER].grants_completed) == (whole // 2, 1)


@pytest.mark.parametrize(("short", "completed"), [(0, 1), (1, 0)])
def test_a_grant_of_which_less_than_a_hundredth_worked_is_not_completed(short, completed):
    whole = ISSUED.nodes * ISSUED.gpus_per_node * 10 * 3_600
    service = came_to(whole, whole - (whole // 100 - short))
    state = ReliabilityState()
    for event in (PROMISED, ACTIVE, state_until(hour(10), service), DONE[1]):
        state = evolve(state, event)
    assert state.records[PROVIDER].grants_completed == completed
