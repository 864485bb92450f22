"""Service levels: what a period of a grant came to against its promise, exact in GPU-seconds."""

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events.grant import GrantActivated, GrantDegraded, GrantExtended, GrantResold, GrantResumed, GrantSuspended
from events.service import STANDARD_SERVICE, CreditStep, ServiceTerms
from marketplace.core.money import ZERO, parse_ratio
from marketplace.domain.delivery.grant import GRANT, choose_resold_service, choose_service
from marketplace.domain.delivery.service_level import (
    assess,
    choose_remedy,
    count_promised,
    count_unavailable,
    find_extension,
    find_least,
    keep_remedy,
)
from marketplace.domain.supply.service_level import require_service
from tests.domain import build
from tests.domain.build import grant_issued, hour, service_terms, usd
from tests.domain.walk import WALK

MINE = {"grant_id": build.GRANT}
START, END = hour(10), hour(20)
PROMISED = 2 * 8 * 10 * 3_600
NODE_HOUR = 8 * 3_600


def degraded(at, nodes=1):
    return GrantDegraded(**MINE, nodes_available=nodes, at=at, reason="a node failed")


def suspended(at):
    return GrantSuspended(**MINE, at=at, reason="power")


def resumed(at):
    return GrantResumed(**MINE, at=at)


def grant(*events, service=None, **changes):
    return GRANT.fold([grant_issued(service=service or service_terms(), **changes), *events])


def lost(*events):
    return count_unavailable(grant(*events), START, END)


def test_nodes_that_do_not_work_are_lost_for_as_long_as_they_do_not():
    assert lost() == 0
    assert lost(degraded(hour(12)), resumed(hour(14))) == 2 * NODE_HOUR
    assert lost(degraded(hour(12)), suspended(hour(13)), resumed(hour(14))) == 3 * NODE_HOUR
    assert lost(suspended(hour(19))) == 2 * NODE_HOUR


def test_only_what_lies_in_the_period_counts():
    assert lost(degraded(hour(5)), resumed(hour(11))) == NODE_HOUR
    assert lost(degraded(hour(5)), resumed(hour(9))) == 0
    assert lost(degraded(hour(20)), resumed(hour(25))) == 0
    assert lost(degraded(hour(19)), resumed(hour(25))) == NODE_HOUR


def past(start, end, nodes=1):
    return GrantDegraded(**MINE, nodes_available=nodes, at=start, reason="a node failed", until=end)


def test_outages_are_only_added_and_where_several_cover_an_instant_the_fewest_nodes_worked():
    assert lost(degraded(hour(12)), degraded(hour(11), nodes=0), resumed(hour(13))) == 4 * NODE_HOUR
    assert lost(degraded(hour(12)), resumed(hour(18)), degraded(hour(19)), resumed(hour(19.5))) == 6.5 * NODE_HOUR
    assert lost(degraded(hour(12)), resumed(hour(18)), past(hour(11), hour(13), nodes=0)) == 9 * NODE_HOUR
    assert lost(past(hour(5), hour(11)), past(hour(10), hour(12)), suspended(hour(19))) == 4 * NODE_HOUR


def test_a_part_of_a_second_counts_as_a_whole_gpu_second():
    almost = timedelta(seconds=1) / 17
    assert lost(degraded(hour(12)), resumed(hour(12) + almost)) == 1
    assert lost(degraded(hour(12)), resumed(hour(12) + timedelta(seconds=1, microseconds=999))) == 9


def test_the_last_step_of_the_schedule_that_holds_is_given_back():
    kept = assess(grant(), START, END, PROMISED)
    assert (kept.availability, kept.met, kept.credit) == ("1/1", True, ZERO)
    at_the_promise = assess(grant(degraded(hour(12)), resumed(hour(13))), START, END, PROMISED)
    assert (at_the_promise.availability, at_the_promise.met, at_the_promise.credit) == ("19/20", True, ZERO)
    below = assess(grant(degraded(hour(12)), resumed(hour(13.5))), START, END, PROMISED)
    assert (below.availability, below.met, below.credit) == ("37/40", False, usd("0.10"))
    far_below = assess(grant(suspended(hour(12)), resumed(hour(15))), START, END, PROMISED - 6 * NODE_HOUR)
    assert (far_below.availability, far_below.credit) == ("7/10", usd("0.30"))
    assert (far_below.gpu_seconds_promised, far_below.gpu_seconds_unavailable) == (PROMISED, 6 * NODE_HOUR)


def test_what_is_not_metered_is_unavailable_where_the_terms_say_so():
    metered = service_terms(measure="metered")
    idle = assess(grant(service=metered), START, END, PROMISED // 2)
    assert (idle.availability, idle.gpu_seconds_unavailable) == ("1/2", PROMISED // 2)
    incidents = service_terms(measure="incidents")
    assert assess(grant(service=incidents), START, END, PROMISED // 2).availability == "1/1"
    down = assess(grant(suspended(hour(10)), resumed(hour(20)), service=metered), START, END, PROMISED)
    assert (down.availability, down.gpu_seconds_unavailable) == ("0/1", PROMISED)


def test_under_incidents_gaps_of_the_meter_count_in_a_period_in_which_the_startup_reported_that_no_node_works():
    """A provider that metered 29 minutes a day, and reported no outage, was available all the time."""
    missed = GrantSuspended(**MINE, at=hour(12), reason="nothing comes", by="startup")
    answered = grant(missed, resumed(hour(12)), service=service_terms(measure="incidents"))
    assert assess(answered, START, END, PROMISED // 50).availability == "1/50"
    assert assess(answered, START, END, PROMISED).met, "what is metered all along stays available"
    assert assess(answered, END, hour(30), 0).met, "the next period is another one"
    assert (find_least(answered, START, END), find_least(answered, END, hour(30))) == (Fraction(1, 2), Fraction(1, 100))
    told = grant(suspended(hour(12)), resumed(hour(12)), service=service_terms(measure="incidents"))
    assert assess(told, START, END, PROMISED // 50).met, "the provider's own report says how long it lasted"


def test_nothing_is_assessed_where_nothing_is_promised():
    assert assess(GRANT.fold([grant_issued()]), START, END, 0) is None


def test_the_strictest_promise_of_the_lots_counts():
    best = service_terms(availability_min=usd("0.999"))
    assert choose_service([service_terms(), None, best]) == best
    assert choose_service([service_terms(notice_hours_min=72), best]) == service_terms(
        availability_min=usd("0.999"), notice_hours_min=72
    )
    assert choose_service([service_terms(credits=()), service_terms()]) == service_terms()
    assert choose_service([None]) is None


@pytest.mark.parametrize("measure", ["metered", "incidents"])
def test_resold_capacity_is_measured_as_its_sellers_grant_and_promises_nothing(measure):
    assert choose_resold_service(None) is None
    terms = choose_resold_service(service_terms(measure=measure))
    assert terms == ServiceTerms(availability_min=usd(0), measure=measure, detection=None)


def steps(**shares):
    """Return a schedule: what is given back by the percent below which it is."""
    return tuple(
        CreditStep(availability_below=usd(below.removeprefix("below_")) / 100, credit=usd(share))
        for below, share in shares.items()
    )


def test_each_promise_of_the_lots_is_kept_with_its_credits_its_measure_and_its_remedy():
    generous = service_terms(availability_min=usd("0.95"), credits=steps(below_95="0.10", below_80="0.50"))
    high = service_terms(
        availability_min=usd("0.999"),
        credits=steps(below_99="0.01", below_95="0.05", below_90="0.20"),
        measure="metered",
    )
    merged = choose_service([generous, structs.replace(high, consequence="exclude")])
    assert (merged.availability_min, merged.measure, merged.consequence) == (usd("0.999"), "metered", "credit")
    assert merged.credits == steps(below_99="0.01", below_95="0.10", below_90="0.20", below_80="0.50")
    require_service(merged, "/service")
    assert choose_service([service_terms(detection=None), service_terms()]).detection == service_terms().detection
    both = [service_terms(consequence="exclude")] * 2
    assert choose_service(both).consequence == "exclude"


def test_more_steps_than_a_schedule_has_are_given_back_no_later_than_by_any_lot():
    odd, even = (
        service_terms(
            credits=tuple(
                CreditStep(availability_below=usd("0.95") - usd(number) / 100, credit=usd(number + 1) / 100)
                for number in range(first, 32, 2)
            )
        )
        for first in (0, 1)
    )
    merged = choose_service([odd, even]).credits
    assert (len(merged), merged[:15]) == (
        16,
        tuple(sorted((*odd.credits, *even.credits), key=lambda step: step.credit))[:15],
    )
    assert (merged[15].availability_below, merged[15].credit) == (even.credits[7].availability_below, usd("0.32"))


def test_the_standard_terms_are_terms():
    require_service(STANDARD_SERVICE, "/service")


tellings = st.builds(
    lambda kind, at, nodes: {
        "down": degraded(hour(at), nodes),
        "off": suspended(hour(at)),
        "up": resumed(hour(at)),
        "past": past(hour(at), hour(at + 2), nodes),
    }[kind],
    st.sampled_from(["down", "off", "up", "past"]),
    st.integers(5, 25),
    st.integers(0, 1),
)


@WALK
@given(st.lists(tellings, max_size=8), st.integers(11, 19), st.sampled_from(["incidents", "metered"]))
def test_what_a_period_came_to_is_between_nothing_and_all_and_halves_sum_to_the_whole(events, middle, measure):
    running = grant(*events, service=service_terms(measure=measure))
    result = assess(running, START, END, PROMISED // 3)
    assert 0 <= result.gpu_seconds_unavailable <= result.gpu_seconds_promised == PROMISED
    assert 0 <= parse_ratio(result.availability) <= 1
    assert result.met == (not result.credit)
    halves = (START, hour(middle)), (hour(middle), END)
    assert sum(count_unavailable(running, *half) for half in halves) == count_unavailable(running, START, END)
    assert sum(count_promised(running, *half) for half in halves) == PROMISED


@pytest.mark.parametrize("second", [0, 1, 2, 3, 4])
def test_working_nodes_second_by_second_sum_to_what_is_available(second):
    """The count by runs equals one by seconds, over an hour in which nodes fail and come back."""
    down, up = timedelta(seconds=1_200 + second), timedelta(seconds=3_000 - second)
    running = grant(degraded(START + down), resumed(START + up))
    by_second = sum(8 for at in range(3_600) if down <= timedelta(seconds=at) < up)
    assert count_unavailable(running, START, hour(11)) == by_second
    assert Fraction(by_second, 8) == (up - down) / timedelta(seconds=1)


def test_what_was_resold_is_neither_promised_here_nor_lost():
    sold = GrantResold(
        **MINE,
        resale_grant_id=build.id_of("grt", 2),
        lot_id=build.id_of("lot", 2),
        nodes=1,
        start=hour(14),
        end=hour(18),
        gpu_seconds=4 * NODE_HOUR,
        price_usd_per_gpu_hour="2/1",
        cash_commitment_usd=usd("100"),
        principal_commitment_usd=usd("100"),
        budget_commitment_usd=usd("50"),
    )
    assert count_promised(grant(sold), START, END) == PROMISED - 4 * NODE_HOUR
    assert count_unavailable(grant(sold, suspended(hour(13)), resumed(hour(15))), START, END) == 3 * NODE_HOUR
    assert count_unavailable(grant(sold, degraded(hour(13)), resumed(hour(15))), START, END) == 2 * NODE_HOUR


EXTENDED = GrantExtended(
    **MINE, statement_id=build.STATEMENT, start=END, end=hour(25), lots=(), gpu_seconds=5 * 2 * NODE_HOUR
)


def test_what_an_extension_does_not_deliver_is_not_made_up_for_again():
    longer = grant(GrantActivated(**MINE, at=START), EXTENDED, suspended(hour(15)), resumed(hour(16)))
    missed = assess(longer, START, END, 9 * 2 * NODE_HOUR)
    assert find_extension(longer, missed, START, hour(22)) == (hour(25), hour(26))
    assert find_extension(longer, missed, END, hour(22)) is None


@pytest.mark.parametrize("agreed", ["roll_forward", "exclude"])
def test_a_period_of_which_less_than_half_came_is_credited_whatever_was_agreed(agreed):
    for hours, remedy in ((5, agreed), (4, "credit")):
        result = assess(grant(), START, END, hours * 2 * NODE_HOUR)
        assert choose_remedy(agreed, agreed, result, extended=True) == remedy
    assert choose_remedy("roll_forward", None, assess(grant(), START, END, PROMISED - 1), extended=False) == "credit"


def test_an_excluded_period_of_which_a_dispute_leaves_less_than_half_is_credited_and_an_extension_stays():
    result = assess(grant(), START, END, 4 * 2 * NODE_HOUR)
    assert (keep_remedy("exclude", result), keep_remedy("roll_forward", result)) == ("credit", "roll_forward")
    assert keep_remedy("exclude", assess(grant(), START, END, 5 * 2 * NODE_HOUR)) == "exclude"
