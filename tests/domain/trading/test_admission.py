"""Who takes part where more orders stand than an auction clears."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from events.types import Reason
from marketplace.domain.trading.admission import SHARE, Candidate, admit, count_bound_places

BUSY = Reason(code="group_busy", text="another auction has its group", facts={})


def stand(number, startup="pty_a", value=1, waits=0, **more):
    return Candidate(f"ord_{number}", startup, Decimal(value), waits, **more)


def test_three_thousand_orders_at_a_cent_keep_no_good_order_out():
    cheap = [stand(number, "pty_cheap", "1.92", waits=0) for number in range(3_000)]
    good = stand("good", "pty_good", "5000", waits=7)
    admission = admit([*cheap, good], 2_000)
    assert "ord_good" in admission.admitted
    assert len(admission.admitted) == 2_000
    assert len(admission.deferrals) == 1_001
    assert {deferral.reason.code for deferral in admission.deferrals} == {"auction_full"}
    assert admission.ranks["ord_good"] == 1


def test_what_is_deferred_says_its_rank_and_what_would_have_been_admitted():
    admission = admit([stand(number, f"pty_{number}", value=number + 1) for number in range(30)], 20)
    first = admission.deferrals[0]
    assert first.rank == int(first.reason.facts["rank"]) > 18
    assert Decimal(first.reason.facts["value_needed_usd"]) > first.value_usd
    raised = [
        stand(number, f"pty_{number}", value=31 if f"ord_{number}" == first.order_id else number + 1)
        for number in range(30)
    ]
    assert first.order_id in admit(raised, 20).admitted


def test_one_startup_fills_an_auction_only_where_others_leave_it_room():
    rich = [stand(number, "pty_rich", value=1_000) for number in range(100)]
    others = [stand(f"other_{number}", f"pty_{number}", value=1) for number in range(95)]
    admission = admit([*rich, *others], 100)
    assert sum(order_id.startswith("ord_other") for order_id in admission.admitted) >= 80
    assert "startup_quota" in {deferral.reason.code for deferral in admission.deferrals}
    assert len(admit(rich, 100).admitted) == 100


def test_an_honest_low_order_comes_to_its_turn():
    richer = [stand(f"rich_{number}", f"pty_{number}", value=100) for number in range(200)]
    waits = dict.fromkeys((f"ord_rich_{number}" for number in range(200)), 0)
    for turn in range(1, 40):
        known = [candidate._replace(waits=waits[candidate.order_id]) for candidate in richer]
        admission = admit([*known, stand("low", "pty_low", value=1)], 100)
        if "ord_low" in admission.admitted:
            return
        for order_id in admission.admitted:
            waits[order_id] = turn
    raise AssertionError("it was never admitted")


def test_what_the_auction_holds_keeps_its_place():
    held = [stand(number, value=1, is_held=True) for number in range(10)]
    better = [stand(f"better_{number}", f"pty_{number}", value=9) for number in range(10)]
    admission = admit([*held, *better], 10)
    assert admission.admitted == {candidate.order_id for candidate in held}
    assert count_bound_places(10_000) == 7_500


@st.composite
def markets(draw):
    count = draw(st.integers(0, 60))
    found = []
    for number in range(count):
        parent = draw(st.sampled_from([None, *(f"ord_{earlier}" for earlier in range(number)), "ord_elsewhere"]))
        found.append(
            stand(
                number,
                draw(st.sampled_from(["pty_a", "pty_b", "pty_c", "pty_d"])),
                draw(st.integers(1, 20)),
                draw(st.integers(0, 5)),
                parent_id=parent if draw(st.booleans()) else None,
                barred=BUSY if draw(st.integers(0, 9)) == 0 else None,
            )
        )
    return found, draw(st.integers(1, 40))


@given(markets())
@settings(max_examples=300, deadline=None)
def test_the_rule_holds_for_every_market(market):
    candidates, places = market
    admission = admit(candidates, places)
    deferred = [deferral.order_id for deferral in admission.deferrals]
    assert sorted([*admission.admitted, *deferred]) == sorted(candidate.order_id for candidate in candidates)
    assert len(admission.admitted) <= places
    for candidate in candidates:
        if candidate.order_id in admission.admitted:
            assert candidate.barred is None
            assert candidate.parent_id in {None, *admission.admitted}
    assert admit(candidates, places) == admission
    free = [each for each in candidates if each.barred is None and each.parent_id is None]
    if len(admission.admitted) < places:
        assert all(each.order_id in admission.admitted for each in free)
    counted = {}
    for candidate in sorted(candidates, key=lambda each: admission.ranks[each.order_id]):
        taken = counted.get(candidate.startup_id, 0)
        counted[candidate.startup_id] = taken + 1
        by_rank = admission.ranks[candidate.order_id] <= places - places // SHARE
        if candidate in free and taken < max(places // SHARE, 1) and by_rank:
            assert candidate.order_id in admission.admitted
