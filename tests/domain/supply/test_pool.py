"""Pools: capacity over time."""

from datetime import timedelta

import msgspec
import pytest

from events.pool import (
    PoolCapacityHeld,
    PoolCapacityOffered,
    PoolCapacityRecalled,
    PoolCapacityReleased,
    PoolCapacityReserved,
    PoolCapacityResold,
    PoolClosingAnnounced,
    PoolNodeFailed,
    PoolNodeRestored,
)
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.supply.pool import NOTICE_MIN, POOL, RESALES_MAX
from marketplace.domain.supply.pool_commands import (
    AnnounceClosing,
    RecallCapacity,
    ReleaseCapacity,
    ReturnCapacity,
    ShiftCapacity,
)
from tests.domain import build
from tests.domain.build import (
    LOT,
    NAIVE,
    NAN,
    Row,
    hold_capacity,
    hour,
    id_of,
    offer,
    release,
    resell_capacity,
    reserve,
    service_terms,
    share,
    usd,
)
from tests.support.spec import Given

LOT_2, GRANT_2, GRANT_3 = id_of("lot", 2), id_of("grt", 2), id_of("grt", 3)


def event_of(event_class, command):
    return event_class(**{name: getattr(command, name, ()) for name in event_class.__struct_fields__})


def offered(**changes):
    return event_of(PoolCapacityOffered, offer(**changes))


def reserved(**changes):
    kept = changes.pop("kept", ())
    return msgspec.structs.replace(event_of(PoolCapacityReserved, reserve(**changes)), kept=kept)


OPENED = build.pool_opened()
OFFERED = offered()
RESERVED = reserved()
RECALL = RecallCapacity(pool_id=build.POOL, lot_id=LOT)
RECALLED = PoolCapacityRecalled(pool_id=build.POOL, lot_id=LOT)
early = build.builder(PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(13)))
RELEASED = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(15))
FAILED = PoolNodeFailed(pool_id=build.POOL, incident_id="INC-1", nodes=2, at=hour(0))
RESTORED = PoolNodeRestored(pool_id=build.POOL, incident_id="INC-1", nodes=2, at=hour(5))
FULL = offered(nodes=10)
ALL_FAILED = PoolNodeFailed(pool_id=build.POOL, incident_id="INC-2", nodes=7, at=hour(0))

CLOSES_AT = build.NOW + NOTICE_MIN
announce = build.builder(
    AnnounceClosing(pool_id=build.POOL, closes_at=CLOSES_AT, reason="the lease ends", at=build.NOW)
)
CLOSING = PoolClosingAnnounced(pool_id=build.POOL, announced_at=build.NOW, closes_at=CLOSES_AT, reason="the lease ends")
LATER = msgspec.structs.replace(CLOSING, closes_at=CLOSES_AT + timedelta(days=1))

RESALE = id_of("lot", 3)
offer_resale = build.builder(offer(lot_id=RESALE, nodes=2, start=hour(11), end=hour(16), grant_id=build.GRANT))
ON_SALE = event_of(PoolCapacityOffered, offer_resale())
RESOLD = PoolCapacityResold(
    pool_id=build.POOL,
    grant_id=GRANT_2,
    grant_id_before=build.GRANT,
    lot_id=RESALE,
    nodes=1,
    start=hour(12),
    end=hour(14),
    lots=(share(nodes=1, start=hour(12), end=hour(14)),),
    lots_left=(
        share(start=hour(10), end=hour(12)),
        share(nodes=3, start=hour(12), end=hour(14)),
        share(start=hour(14), end=hour(20)),
    ),
)
HELD = (OPENED, OFFERED, RESERVED)
SET_ASIDE = PoolCapacityHeld(
    pool_id=build.POOL,
    grant_id=GRANT_2,
    grant_id_before=build.GRANT,
    lot_id=RESALE,
    nodes=1,
    start=hour(12),
    end=hour(14),
)
LET_GO = PoolCapacityReleased(pool_id=build.POOL, grant_id=GRANT_2, at=hour(12), grant_id_before=build.GRANT)
TAKEN_BACK = PoolCapacityRecalled(pool_id=build.POOL, lot_id=RESALE)
MANY = tuple(
    offered(lot_id=id_of("lot", 10 + each), nodes=1, start=hour(19), end=hour(20), grant_id=build.GRANT)
    for each in range(RESALES_MAX)
)

shift = build.builder(
    ShiftCapacity(pool_id=build.POOL, grant_id=build.GRANT, nodes=RESERVED.nodes, start=hour(14), end=hour(20))
)
AGAIN = id_of("grt", 9)
give_back = build.builder(
    ReturnCapacity(pool_id=build.POOL, grant_id=build.GRANT, nodes=RESERVED.nodes, to_grant_id=AGAIN, at=hour(14))
)
FURTHER = (share(start=hour(20), end=hour(24)),)

REFUSALS = [
    Row("pool_unknown", (), offer()),
    Row("pool_exists", (OPENED,), build.open_pool(nodes=11)),
    Row("not_a_number", (), build.open_pool(service=service_terms(availability_min=NAN)), "/service/availability_min"),
    Row("amount_not_positive", (), build.open_pool(service=service_terms(availability_min=usd("-0.1")))),
    Row("amount_too_large", (), build.open_pool(service=service_terms(availability_min=usd("1.1")))),
    Row("amount_too_precise", (), build.open_pool(service=service_terms(availability_min=usd("0.9999999999")))),
    Row(
        "credits_above_promise",
        (),
        build.open_pool(service=service_terms(availability_min=usd("0.9"))),
        "/service/credits/0/availability_below",
    ),
    Row(
        "credits_out_of_order",
        (),
        build.open_pool(service=service_terms(credits=service_terms().credits[::-1])),
        "/service/credits/1",
    ),
    Row("reservation_unknown", (OPENED, OFFERED), release()),
    Row("reservation_unknown", (OPENED, OFFERED), offer_resale()),
    Row("reservation_unknown", (OPENED, OFFERED), shift()),
    Row("reservation_unknown", (OPENED, OFFERED), give_back()),
    Row("incident_exists", (OPENED, FAILED), build.fail_nodes(nodes=3)),
    Row("incident_exists", (OPENED, FAILED, RESTORED), build.fail_nodes(at=hour(7))),
    Row("incident_unknown", (OPENED,), build.restore_nodes()),
    Row("time_naive", (OPENED,), offer(start=NAIVE)),
    Row("time_naive", (OPENED,), offer(end=NAIVE), "/end"),
    Row("time_naive", (OPENED, OFFERED), reserve(start=NAIVE)),
    Row("time_naive", HELD, offer_resale(start=NAIVE)),
    Row("time_naive", (*HELD, ON_SALE), resell_capacity(start=NAIVE)),
    Row("time_naive", (*HELD, ON_SALE), hold_capacity(start=NAIVE)),
    Row("time_naive", (*HELD, ON_SALE, SET_ASIDE), release(grant_id=GRANT_2, at=NAIVE), "/at"),
    Row("time_naive", (OPENED, OFFERED, RESERVED), release(at=NAIVE), "/at"),
    Row("time_naive", (OPENED,), build.fail_nodes(at=NAIVE), "/at"),
    Row("time_naive", (OPENED, FAILED), build.restore_nodes(at=NAIVE), "/at"),
    Row("incident_restored", (OPENED, FAILED, RESTORED), build.restore_nodes(at=hour(4)), "/at"),
    Row("span_empty", (OPENED,), offer(end=hour(0)), "/end"),
    Row("span_empty", HELD, shift(end=hour(14)), "/end"),
    Row("span_empty", (OPENED, OFFERED), reserve(end=hour(9)), "/end"),
    Row("span_empty", (OPENED, FAILED), build.restore_nodes(at=hour(0)), "/at"),
    Row("span_empty", (OPENED,), build.fail_nodes(until=hour(0), reported_at=hour(9)), "/until"),
    Row("notice_too_short", (OPENED,), announce(closes_at=CLOSES_AT - timedelta(seconds=1)), "/closes_at"),
    Row("closing_brought_forward", (OPENED, LATER), announce(), "/closes_at"),
    Row("pool_closing", (OPENED, CLOSING), offer(end=hour(400))),
    Row("pool_closing", (*HELD, CLOSING), shift(end=hour(400), further=(share(start=hour(20), end=hour(400)),))),
    Row("pool_closing", (OPENED, OFFERED, CLOSING), reserve(end=hour(400))),
    Row("pool_closing", (*HELD, CLOSING), offer_resale(end=hour(400))),
    Row("pool_closing", (*HELD, ON_SALE, CLOSING), resell_capacity(end=hour(400))),
    Row("pool_closing", (*HELD, ON_SALE, CLOSING), hold_capacity(end=hour(400))),
    Row("resales_too_many", (*HELD, *MANY), offer_resale()),
    Row("resale_above_grant", HELD, offer_resale(nodes=5), "/nodes"),
    Row("resale_above_grant", HELD, offer_resale(end=hour(21)), "/nodes"),
    Row("resale_above_grant", (*HELD, ON_SALE), offer_resale(lot_id=LOT_2, nodes=3, start=hour(15)), "/nodes"),
    Row("resale_above_grant", (*HELD, ON_SALE, RESOLD), offer_resale(lot_id=LOT_2, nodes=3), "/nodes"),
    Row("resale_above_grant", (*HELD, ON_SALE, SET_ASIDE, TAKEN_BACK), offer_resale(lot_id=LOT_2, nodes=4), "/nodes"),
    Row("pool_full", (OPENED,), offer(nodes=11), "/nodes"),
    Row("pool_full", (OPENED, OFFERED), offer(lot_id=LOT_2, nodes=5, start=hour(99), end=hour(200)), "/nodes"),
    Row("pool_full", (*HELD, RECALLED, offered(lot_id=LOT_2, nodes=7)), shift(end=hour(24), further=FURTHER)),
    Row("reservation_exists", (OPENED, OFFERED, RESERVED), reserve(nodes=3, lots=(share(nodes=3),))),
    Row("reservation_exists", (*HELD, ON_SALE, RESOLD), resell_capacity(end=hour(15))),
    Row("reservation_exists", (*HELD, ON_SALE, RESOLD), hold_capacity()),
    Row("reservation_exists", (*HELD, reserved(grant_id=AGAIN)), give_back()),
    Row("reservation_exists", (*HELD, ON_SALE, SET_ASIDE), hold_capacity(nodes=2)),
    Row("reservation_exists", (*HELD, ON_SALE, SET_ASIDE), resell_capacity(nodes=2)),
    Row("shares_uneven", (OPENED, OFFERED), reserve(lots=()), "/lots"),
    Row("shares_uneven", HELD, shift(end=hour(24)), "/lots"),
    Row("shares_uneven", (OPENED, OFFERED), reserve(lots=(share(nodes=3),))),
    Row("shares_uneven", (OPENED, OFFERED), reserve(lots=(share(end=hour(19)),))),
    Row("shares_uneven", (OPENED, OFFERED), reserve(lots=(share(end=hour(21)),))),
    Row("shares_uneven", (OPENED, OFFERED), reserve(lots=(share(nodes=3),), resold=(Load(hour(10), hour(19), 1),))),
    Row("lot_not_offered", (OPENED,), reserve()),
    Row("lot_not_offered", (OPENED, OFFERED, RECALLED), reserve()),
    Row("lot_not_offered", (OPENED, offered(end=hour(19))), reserve()),
    Row("lot_not_offered", HELD, resell_capacity()),
    Row("lot_not_offered", (*HELD, ON_SALE), resell_capacity(end=hour(17))),
    Row("lot_not_offered", (*HELD, ON_SALE, early(at=hour(13))), resell_capacity()),
    Row("lot_not_offered", HELD, hold_capacity()),
    Row("lot_not_offered", (*HELD, ON_SALE, early(at=hour(13))), hold_capacity()),
    Row("lot_not_offered", (*HELD, ON_SALE, SET_ASIDE, TAKEN_BACK), hold_capacity(grant_id=GRANT_3)),
    Row("lot_not_offered", (*HELD, ON_SALE, SET_ASIDE, TAKEN_BACK), resell_capacity(grant_id=GRANT_3)),
    Row("lot_sold", (OPENED, OFFERED, RESERVED), reserve(grant_id=GRANT_2)),
    Row("lot_sold", (*HELD, ON_SALE, RESOLD), resell_capacity(grant_id=GRANT_3, nodes=2)),
    Row("lot_sold", (*HELD, ON_SALE, SET_ASIDE), resell_capacity(grant_id=GRANT_3, nodes=2)),
    Row("lot_sold", (*HELD, ON_SALE, SET_ASIDE), hold_capacity(grant_id=GRANT_3, nodes=2)),
    Row("lot_sold", (OPENED, OFFERED), reserve(nodes=8, lots=(share(), share()))),
    Row("nodes_failed", (OPENED, OFFERED, FAILED, ALL_FAILED), reserve()),
    Row("nodes_failed", (*HELD, ALL_FAILED), shift(end=hour(24), further=FURTHER)),
    Row("outage_open", (OPENED,), build.fail_nodes(until=hour(9), reported_at=hour(8)), "/until"),
    Row("nodes_exceeded", (OPENED, FAILED, ALL_FAILED), build.fail_nodes(incident_id="INC-3"), "/nodes"),
    Row("resumption_backdated", (OPENED, FAILED), build.restore_nodes(at=hour(5), reported_at=hour(7)), "/at"),
    Row("value_out_of_bounds", (), build.open_pool(gpus_per_node=0)),
    Row("value_out_of_bounds", (OPENED,), build.fail_nodes(nodes=-1)),
    Row("power_above_gpus", (), build.open_pool(gpus_per_node=1, power_per_node_kw=11), "/power_per_node_kw"),
    Row("from_the_future", (OPENED,), build.fail_nodes(at=hour(9.01), reported_at=hour(9)), "/at"),
    Row(
        "pool_unopened",
        (msgspec.structs.replace(OPENED, opened_at=hour(28)),),
        build.fail_nodes(at=hour(3.99), until=hour(8), reported_at=hour(9)),
        "/at",
    ),
]
PRECEDENCE = [
    Row("pool_unknown", (), offer(end=hour(0))),
    Row("reservation_unknown", (OPENED,), release(at=NAIVE)),
    Row("incident_exists", (OPENED, FAILED), build.fail_nodes(nodes=11, at=NAIVE)),
    Row("incident_unknown", (OPENED,), build.restore_nodes(at=NAIVE)),
    Row("time_naive", (OPENED, FAILED, RESTORED), build.restore_nodes(at=NAIVE)),
    Row("span_empty", (OPENED,), offer(nodes=11, end=hour(0))),
    Row("span_empty", (OPENED, OFFERED, RESERVED), reserve(end=hour(9))),
    Row("reservation_exists", (OPENED, OFFERED, RESERVED), reserve(lots=())),
    Row("shares_uneven", (OPENED,), reserve(lots=(share(nodes=3),))),
    Row("lot_not_offered", (OPENED, OFFERED, RESERVED, RECALLED), reserve(grant_id=GRANT_2)),
    Row("lot_sold", (OPENED, OFFERED, RESERVED, FAILED, ALL_FAILED), reserve(grant_id=GRANT_2)),
]


def test_nodes_of_a_grant_are_offered_sold_and_recalled():
    Given(POOL, *HELD).when(offer_resale()).then(ON_SALE)
    Given(POOL, *HELD, ON_SALE).when(resell_capacity()).then(RESOLD)
    recall = RecallCapacity(pool_id=build.POOL, lot_id=RESALE)
    Given(POOL, *HELD, ON_SALE).when(recall).then(PoolCapacityRecalled(pool_id=build.POOL, lot_id=RESALE))
    pool = POOL.fold([*HELD, ON_SALE, RESOLD])
    assert [load.amount for load in pool.unsold(RESALE, hour(0), hour(99))] == [2, 1, 2]
    assert [load.amount for load in pool.unsold(LOT, hour(10), hour(20))] == [2]


def test_nodes_of_a_grant_are_held_and_then_sold_or_let_go():
    Given(POOL, *HELD, ON_SALE).when(hold_capacity()).then(SET_ASIDE)
    Given(POOL, *HELD, ON_SALE, SET_ASIDE).when(resell_capacity()).then(RESOLD)
    Given(POOL, *HELD, ON_SALE, SET_ASIDE).when(release(grant_id=GRANT_2, at=hour(12))).then(LET_GO)
    held = POOL.fold([*HELD, ON_SALE, SET_ASIDE])
    assert [load.amount for load in held.unsold(RESALE, hour(0), hour(99))] == [2, 1, 2]
    assert [load.amount for load in build_steps(held.reserved(), hour(10), hour(20))] == [4]
    assert (held.list_holders(build.GRANT), held.find_held(GRANT_2)) == ([GRANT_2], RESALE)
    free = POOL.fold([LET_GO], held)
    assert [load.amount for load in free.unsold(RESALE, hour(0), hour(99))] == [2]
    assert free.list_holders(build.GRANT) == []
    sold = POOL.fold([RESOLD], held)
    assert sold == POOL.fold([*HELD, ON_SALE, RESOLD])


def test_what_is_held_outlives_the_offer_and_the_notice_of_the_pool():
    recalled = (*HELD, ON_SALE, SET_ASIDE, TAKEN_BACK)
    Given(POOL, *recalled, CLOSING).when(resell_capacity()).then(RESOLD)
    Given(POOL, *recalled).when(RecallCapacity(pool_id=build.POOL, lot_id=RESALE)).then()
    pool = POOL.fold(recalled)
    assert not any(load.amount for load in pool.unsold(RESALE, hour(0), hour(99)))
    assert pool.list_resales(build.GRANT) == []
    for last in (LET_GO, RESOLD):
        assert RESALE not in POOL.fold([last], pool).resales
    back_on_sale = (*HELD, ON_SALE, SET_ASIDE, TAKEN_BACK, LET_GO)
    Given(POOL, *back_on_sale).when(offer_resale(lot_id=LOT_2, nodes=4)).then(
        event_of(PoolCapacityOffered, offer_resale(lot_id=LOT_2, nodes=4))
    )


def test_what_is_sold_on_stays_when_the_rest_is_given_back():
    pool = POOL.fold([*HELD, ON_SALE, RESOLD, early(at=hour(13))])
    assert [load.amount for load in build_steps(pool.reserved(), hour(10), hour(20))] == [4, 1, 0]


def test_what_a_grant_sold_on_is_not_reserved_for_it():
    shares = (share(nodes=3, end=hour(15)), share(start=hour(15)))
    command = reserve(lots=shares, resold=(Load(hour(10), hour(15), 1),))
    Given(POOL, OPENED, OFFERED).when(command).then(reserved(lots=shares))
    pool = POOL.fold([OPENED, OFFERED, reserved(lots=shares)])
    assert [load.amount for load in build_steps(pool.reserved(), hour(10), hour(20))] == [3, 4]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(POOL, row)


def test_opens():
    Given(POOL).when(build.open_pool()).then(OPENED)


@pytest.mark.parametrize(("gpus", "power_kw"), [(1, 10), (8, 45), (72, 365), (199, 1_000)])
def test_a_node_draws_no_more_than_five_kilowatts_for_each_gpu_and_five_more(gpus, power_kw):
    """One that states more reached a warrant's milestone of power with a hundredth of the GPUs."""
    stated = {"gpus_per_node": gpus, "power_per_node_kw": power_kw}
    (event,) = POOL.decide(build.open_pool(**stated), None)
    assert event.power_per_node_kw == power_kw
    with pytest.raises(Refusal) as caught:
        POOL.decide(build.open_pool(**{**stated, "gpus_per_node": gpus - 1}), None)
    assert caught.value.code == ("power_above_gpus" if gpus > 1 else "value_out_of_bounds")


def test_offers_and_changes_what_a_lot_offers():
    Given(POOL, OPENED).when(offer()).then(OFFERED)
    Given(POOL, OPENED, OFFERED).when(offer(nodes=10)).then(FULL)


def test_lots_that_follow_each_other_may_offer_the_same_nodes():
    command = offer(lot_id=LOT_2, nodes=10, start=hour(100), end=hour(200))
    Given(POOL, OPENED, FULL).when(command).then(event_of(PoolCapacityOffered, command))


def test_recalls():
    Given(POOL, OPENED, OFFERED).when(RECALL).then(RECALLED)
    Given(POOL, OPENED).when(RECALL).then_nothing()


def test_nodes_that_are_reserved_of_a_recalled_lot_are_not_for_sale_again():
    given = (OPENED, OFFERED, RESERVED, RECALLED)
    refusal = Given(POOL, *given).when(offer(lot_id=LOT_2, nodes=7)).refused("pool_full")
    assert refusal.facts["offered"] == 4
    Given(POOL, *given).when(offer(lot_id=LOT_2, nodes=6)).then(offered(lot_id=LOT_2, nodes=6))
    later = offer(lot_id=LOT_2, nodes=10, start=hour(20))
    Given(POOL, *given).when(later).then(event_of(PoolCapacityOffered, later))


def test_nodes_that_are_reserved_beyond_a_shrunken_offer_are_not_for_sale_again():
    given = (OPENED, OFFERED, RESERVED, offered(nodes=1))
    Given(POOL, *given).when(offer(lot_id=LOT_2, nodes=7)).refused("pool_full", "/nodes")
    Given(POOL, *given).when(offer(lot_id=LOT_2, nodes=6)).then(offered(lot_id=LOT_2, nodes=6))


def test_reserves():
    Given(POOL, OPENED, OFFERED).when(reserve()).then(RESERVED)


def test_reserves_from_several_lots_that_carry_it_together():
    command = reserve(
        nodes=5,
        lots=(
            share(nodes=5, end=hour(15)),
            share(nodes=2, start=hour(15)),
            share(lot_id=LOT_2, nodes=3, start=hour(15)),
        ),
    )
    given = (OPENED, OFFERED, offered(lot_id=LOT_2, nodes=3, start=hour(15)))
    Given(POOL, *given).when(command).then(event_of(PoolCapacityReserved, command))


def test_a_reservation_that_ends_frees_its_nodes_from_that_instant():
    next_grant = reserve(
        grant_id=GRANT_2, nodes=6, start=hour(20), end=hour(30), lots=(share(nodes=6, start=hour(20), end=hour(30)),)
    )
    Given(POOL, OPENED, OFFERED, RESERVED).when(next_grant).then(event_of(PoolCapacityReserved, next_grant))


def test_a_release_frees_from_its_instant_on():
    Given(POOL, OPENED, OFFERED, RESERVED).when(release()).then(RELEASED)
    state = POOL.fold([OPENED, OFFERED, RESERVED, RELEASED])
    assert state.unsold(LOT, hour(12), hour(18)) == [Load(hour(12), hour(15), 2), Load(hour(15), hour(18), 6)]
    Given(POOL, OPENED, OFFERED, RESERVED, RELEASED).when(release(at=hour(20))).then_nothing()


def test_a_release_before_the_start_frees_all_of_it_once():
    before = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(3))
    Given(POOL, OPENED, OFFERED, RESERVED).when(release(at=hour(3))).then(before)
    state = POOL.fold([OPENED, OFFERED, RESERVED, before])
    assert state.unsold(LOT, hour(0), hour(100)) == [Load(hour(0), hour(100), 6)]


def test_nothing_is_unsold_of_a_lot_that_is_not_offered_or_outside_its_span():
    state = POOL.fold([OPENED, OFFERED])
    assert state.unsold(LOT_2, hour(0), hour(9)) == []
    assert state.unsold(LOT, hour(100), hour(101)) == []


def test_fails_and_restores():
    Given(POOL, OPENED).when(build.fail_nodes()).then(FAILED)
    over = build.fail_nodes(until=RESTORED.at, reported_at=hour(200))
    failed = msgspec.structs.replace(FAILED, reported_at=hour(200))
    Given(POOL, OPENED).when(over).then(failed, RESTORED)
    Given(POOL, OPENED, failed, RESTORED).when(over).then_nothing()
    Given(POOL, OPENED, FAILED).when(build.restore_nodes()).then(RESTORED)


def test_restored_nodes_are_reserved_again():
    given = (OPENED, OFFERED, FAILED, ALL_FAILED)
    Given(POOL, *given, RESTORED).when(reserve(nodes=3, lots=(share(nodes=3),))).then(
        reserved(nodes=3, lots=(share(nodes=3),))
    )


def test_every_node_may_fail_but_no_more():
    more = build.fail_nodes(incident_id="INC-3", nodes=1)
    Given(POOL, OPENED, FAILED, ALL_FAILED).when(more).then(event_of(PoolNodeFailed, more))


def test_notice_is_given_once_and_may_be_put_off():
    Given(POOL, OPENED, OFFERED).when(announce()).then(CLOSING)
    Given(POOL, OPENED, CLOSING).when(announce(reason="said again")).then_nothing()
    Given(POOL, OPENED, CLOSING).when(announce(closes_at=LATER.closes_at)).then(LATER)


def test_a_closing_that_ends_grants_is_put_off_a_day_before_at_the_latest():
    """A minute before, or after it while a worker was late, left a tenant that bought elsewhere no time to leave."""
    lot, held = offered(end=CLOSES_AT + timedelta(days=90)), reserved(end=CLOSES_AT + timedelta(days=90))
    asked = {"closes_at": CLOSES_AT + timedelta(days=60)}
    day_before = CLOSES_AT - timedelta(days=1)
    for at in (day_before + timedelta(seconds=1), CLOSES_AT + timedelta(seconds=1)):
        Given(POOL, OPENED, lot, held, CLOSING).when(announce(at=at, **asked)).refused("notice_too_short", "/closes_at")
    for known, at in ((held, day_before), (RESERVED, CLOSES_AT)):
        state = POOL.fold([OPENED, lot, known, CLOSING])
        assert [event.closes_at for event in POOL.decide(announce(at=at, **asked), state)] == [asked["closes_at"]]


def test_what_is_reserved_of_a_pool_that_leaves_stays_and_can_be_released():
    Given(POOL, OPENED, OFFERED, RESERVED, CLOSING).when(reserve()).then_nothing()
    Given(POOL, OPENED, OFFERED, RESERVED, CLOSING).when(release()).then(RELEASED)


def test_a_grant_goes_on_where_its_last_reservation_ended():
    more = share(start=hour(20), end=hour(30))
    longer = PoolCapacityReserved(
        pool_id=build.POOL, grant_id=build.GRANT, nodes=4, start=hour(20), end=hour(30), lots=(more,)
    )
    command = reserve(start=hour(20), end=hour(30), lots=(more,))
    Given(POOL, OPENED, OFFERED, RESERVED).when(command).then(longer)
    held = POOL.fold([OPENED, OFFERED, RESERVED, longer]).reservations[build.GRANT]
    assert (held.start, held.end, held.lots) == (hour(10), hour(30), (share(), more))


def test_what_was_released_stays_free_when_a_grant_comes_back():
    released = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(12))
    more = share(start=hour(15), end=hour(30))
    command = reserve(start=hour(15), end=hour(30), lots=(more,))
    back = PoolCapacityReserved(
        pool_id=build.POOL, grant_id=build.GRANT, nodes=4, start=hour(15), end=hour(30), lots=(more,)
    )
    Given(POOL, OPENED, OFFERED, RESERVED, released).when(command).then(back)
    pool = POOL.fold([OPENED, OFFERED, RESERVED, released, back])
    assert pool.reservations[build.GRANT].lots == (share(end=hour(12)), more)
    free = pool.unsold(LOT, hour(10), hour(30))
    assert [(run.start, run.amount) for run in free] == [(hour(10), 2), (hour(12), 6), (hour(15), 2)]


def test_a_reservation_that_begins_later_keeps_its_nodes_also_off_sale_and_while_they_have_failed():
    everything = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(10))
    kept = (share(start=hour(14), end=hour(20)),)
    given = (*HELD, RECALLED, ALL_FAILED)
    Given(POOL, *given).when(shift()).then(everything, reserved(start=hour(14), lots=kept))
    longer = reserved(start=hour(14), end=hour(24), lots=(*kept, *FURTHER))
    Given(POOL, *HELD).when(shift(end=hour(24), further=FURTHER)).then(everything, longer)
    later = reserved(start=hour(21), end=hour(24), lots=(share(start=hour(21), end=hour(24)),))
    further = {"start": hour(21), "end": hour(24), "further": later.lots}
    Given(POOL, *HELD).when(shift(**further)).then(everything, later)


def test_hours_that_a_late_grant_gives_up_are_kept_for_it_until_it_moves_on_or_ends():
    everything = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(10))
    late = shift(start=hour(16), end=hour(24), further=FURTHER, kept_until=hour(14))
    kept = (share(end=hour(14)),)
    moved = reserved(start=hour(16), end=hour(24), lots=(share(start=hour(16), end=hour(20)), *FURTHER), kept=kept)
    Given(POOL, *HELD).when(late).then(everything, moved)
    after = (*HELD, everything, moved)
    pool = POOL.fold(after)
    free = pool.unsold(LOT, hour(10), hour(20))
    assert [(run.start, run.amount) for run in free] == [(hour(10), 2), (hour(14), 6), (hour(16), 2)]
    assert [load.start for load in pool.reserved()] == [hour(16), hour(20)]
    assert pool.reservations[build.GRANT].list_gaps(hour(12), hour(26)) == [
        (hour(14), hour(16)),
        (hour(24), hour(26)),
    ]
    Given(POOL, *after).when(offer(lot_id=LOT_2, nodes=9, start=hour(10), end=hour(14))).refused("pool_full")
    again = shift(start=hour(18), end=hour(26), further=(share(start=hour(24), end=hour(26)),), kept_until=hour(17))
    [_, slipped] = POOL.decide(again, pool)
    assert slipped.kept == (*kept, share(start=hour(16), end=hour(17)))
    gap = share(start=hour(14), end=hour(16))
    back = shift(start=hour(12), end=hour(20), further=(gap,))
    lots = (share(start=hour(12), end=hour(14)), share(start=hour(16), end=hour(20)), gap)
    Given(POOL, *after).when(back).then(everything, reserved(start=hour(12), lots=lots, kept=(share(end=hour(12)),)))
    release = ReleaseCapacity(pool_id=build.POOL, grant_id=build.GRANT, at=hour(16))
    Given(POOL, *after).when(release).then(everything)
    assert POOL.fold([everything], pool).claimed(hour(10), hour(20)) == list(pool.offers.values())


def test_a_shifted_grant_takes_free_nodes_that_no_lot_offers_also_of_a_pool_that_closes_later():
    everything = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(10))
    longer = reserved(start=hour(14), end=hour(24), lots=(share(start=hour(14), end=hour(20)), *FURTHER))
    listed_anew = offered(lot_id=LOT_2, nodes=6)
    for since in ((RECALLED,), (RECALLED, listed_anew), (offered(end=hour(20)),), (CLOSING,)):
        Given(POOL, *HELD, *since).when(shift(end=hour(24), further=FURTHER)).then(everything, longer)
    pool = POOL.fold([*HELD, RECALLED, listed_anew])
    assert [(run.start, run.amount) for run in pool.list_unlisted(hour(14), hour(24))] == [(hour(14), 0), (hour(20), 4)]


def test_what_a_grant_gives_back_stays_as_it_is_for_the_next_also_off_sale_and_while_nodes_have_failed():
    freed = PoolCapacityReleased(pool_id=build.POOL, grant_id=build.GRANT, at=hour(14))
    given = reserved(grant_id=AGAIN, start=hour(14), lots=(share(start=hour(14), end=hour(20)),))
    Given(POOL, *HELD, RECALLED, ALL_FAILED, CLOSING).when(give_back()).then(freed, given)
    Given(POOL, *HELD, freed, given).when(give_back()).then_nothing()


def test_whoever_was_there_relies_on_the_first_date_of_a_closing_that_is_put_off():
    first, second, at_once, late = (
        msgspec.structs.replace(
            CLOSING, announced_at=build.NOW + timedelta(days=told), closes_at=CLOSES_AT + timedelta(days=closes)
        )
        for told, closes in ((0, 0), (1, 1), (2, 40), (20, 40))
    )
    lot, long = offered(end=CLOSES_AT + timedelta(days=90)), reserved(end=CLOSES_AT + timedelta(days=90))
    later = reserved(grant_id=GRANT_2, end=second.closes_at)

    def find(*events):
        return dict(POOL.fold([OPENED, lot, *events]).put_off)

    assert find(long, first) == {}
    assert find(RESERVED, first, second) == {}, "it ends before"
    assert find(long, first, second, later, at_once) == {build.GRANT: CLOSES_AT}
    assert find(long, first, second, late) == {}, "both dates are past"
