"""Lots: listed, repriced, rescheduled, paused, withdrawn."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.lot import AskStep, LotPaused, LotRepriced, LotRescheduled, LotResumed, LotWithdrawn
from events.stages import StageTerms
from marketplace.domain.supply.lot import (
    LOT,
    PauseLot,
    RepriceLot,
    RescheduleLot,
    ResumeLot,
    WithdrawLot,
)
from marketplace.domain.trading.book.book import accepts_notice
from tests.domain import build
from tests.domain.build import NAIVE, NAN, Row, builder, hour, list_lot, order_terms, service_terms, usd
from tests.support.spec import Given

reprice = builder(RepriceLot(lot_id=build.LOT, ask_usd_per_gpu_hour=usd("2.10")))
reschedule = builder(RescheduleLot(lot_id=build.LOT, start=hour(50), end=hour(150), reason="the site is late"))


def steps(*asks):
    return tuple(AskStep(nodes=1, ask_usd_per_gpu_hour=usd(ask)) for ask in asks)


PAUSE = PauseLot(lot_id=build.LOT, reason="maintenance")
RESUME = ResumeLot(lot_id=build.LOT)
WITHDRAW = WithdrawLot(lot_id=build.LOT, reason="sold elsewhere")
LISTED = build.lot_listed()


FLOOR = {"floor_usd_per_gpu_hour": usd("0.80")}


def resale(**changes):
    return replace(list_lot(**{"grant_id": build.GRANT, **changes}), **FLOOR)


RESOLD = resale().listed
REPRICED = LotRepriced(lot_id=build.LOT, ask_usd_per_gpu_hour=usd("2.10"))
RESCHEDULED = LotRescheduled(lot_id=build.LOT, start=hour(50), end=hour(150), reason="the site is late")
PAUSED = LotPaused(lot_id=build.LOT, reason="maintenance")
RESUMED = LotResumed(lot_id=build.LOT)
WITHDRAWN = LotWithdrawn(lot_id=build.LOT, reason="sold elsewhere")

STEPPED = build.lot_listed(further_asks=steps("2", "3"))

REFUSALS = [
    Row("lot_unknown", (), reprice()),
    Row("lot_exists", (LISTED,), list_lot(nodes=7)),
    Row("lot_withdrawn", (LISTED, WITHDRAWN), reprice()),
    Row("lot_withdrawn", (LISTED, WITHDRAWN), reschedule()),
    Row("lot_withdrawn", (LISTED, WITHDRAWN), PAUSE),
    Row("lot_withdrawn", (LISTED, PAUSED, WITHDRAWN), RESUME),
    Row("time_naive", (), list_lot(start=NAIVE)),
    Row("time_naive", (LISTED,), reschedule(end=NAIVE)),
    Row("span_empty", (), list_lot(end=hour(0)), "/end"),
    Row("span_empty", (LISTED,), reschedule(end=hour(49)), "/end"),
    Row("not_a_number", (), list_lot(ask_usd_per_gpu_hour=NAN), "/ask_usd_per_gpu_hour"),
    Row("amount_not_positive", (), list_lot(ask_usd_per_gpu_hour=usd("-1")), "/ask_usd_per_gpu_hour"),
    Row("amount_not_positive", (LISTED,), reprice(ask_usd_per_gpu_hour=usd("-0.01"))),
    Row("amount_too_large", (), list_lot(ask_usd_per_gpu_hour=usd("1000000000.000001"))),
    Row("amount_too_precise", (LISTED,), reprice(ask_usd_per_gpu_hour=usd("1.1234567"))),
    Row("ask_below_principal", (), resale(ask_usd_per_gpu_hour=usd("0.79")), "/ask_usd_per_gpu_hour"),
    Row("ask_below_principal", (RESOLD,), reprice(ask_usd_per_gpu_hour=usd("0.79"), **FLOOR), "/ask_usd_per_gpu_hour"),
    Row("nodes_min_above_nodes", (), list_lot(nodes_min=7), "/nodes_min"),
    Row("duration_min_above_span", (), list_lot(duration_hours_min=101), "/duration_hours_min"),
    Row("duration_min_above_span", (LISTED,), reschedule(end=hour(53)), "/end"),
    Row("steps_too_many", (), list_lot(nodes=30, further_asks=steps(*range(2, 18))), "/further_asks"),
    Row("steps_not_rising", (), list_lot(further_asks=steps("1.90")), "/further_asks/0/ask_usd_per_gpu_hour"),
    Row("steps_not_rising", (STEPPED,), reprice(further_asks=steps("3", "2.5"))),
    Row("steps_above_nodes", (), list_lot(nodes=2, further_asks=steps("2", "3")), "/further_asks"),
    Row("resale_fixed", (RESOLD,), reschedule(), "/start"),
    Row("credits_above_promise", (), list_lot(service=service_terms(availability_min=usd("0.9")))),
    Row("credits_out_of_order", (), list_lot(service=service_terms(credits=service_terms().credits[::-1]))),
    Row("security_too_short", (), list_lot(stages=StageTerms(hours=24, security_hours=71)), "/stages/security_hours"),
    Row("value_out_of_bounds", (), list_lot(nodes=-3, nodes_min=-3)),
    Row("value_out_of_bounds", (), list_lot(further_asks=(AskStep(nodes=-1, ask_usd_per_gpu_hour=usd(9)),))),
    Row("value_out_of_bounds", (LISTED,), reprice(further_asks=(AskStep(nodes=-1, ask_usd_per_gpu_hour=usd(9)),))),
]
PRECEDENCE = [
    Row("lot_unknown", (), reprice(ask_usd_per_gpu_hour=NAN)),
    Row("lot_exists", (LISTED,), list_lot(end=hour(0))),
    Row("lot_withdrawn", (LISTED, WITHDRAWN), reschedule(end=hour(49))),
    Row("time_naive", (), list_lot(start=NAIVE, ask_usd_per_gpu_hour=NAN)),
    Row("span_empty", (), list_lot(end=hour(0), ask_usd_per_gpu_hour=NAN)),
    Row("not_a_number", (), list_lot(ask_usd_per_gpu_hour=NAN, nodes_min=7)),
    Row("nodes_min_above_nodes", (), list_lot(nodes_min=7, duration_hours_min=101)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(LOT, row)


def test_lists():
    Given(LOT).when(list_lot()).then(LISTED)


def test_an_ask_of_nothing_is_an_ask():
    assert LOT.decide(list_lot(ask_usd_per_gpu_hour=usd(0)), None)


def test_listing_again_changes_nothing_whatever_happened_since():
    Given(LOT, LISTED, REPRICED, RESCHEDULED, WITHDRAWN).when(list_lot()).then_nothing()


def test_lists_and_reprices_steps():
    Given(LOT).when(list_lot(further_asks=steps("2", "3"))).then(STEPPED)
    Given(LOT, STEPPED).when(reprice(further_asks=steps("4"))).then(
        LotRepriced(lot_id=build.LOT, ask_usd_per_gpu_hour=usd("2.10"), further_asks=steps("4"))
    )
    Given(LOT, STEPPED).when(reprice(ask_usd_per_gpu_hour=usd("1.90"), further_asks=steps("2", "3"))).then_nothing()
    flat = LOT.fold([STEPPED, LotRepriced(lot_id=build.LOT, ask_usd_per_gpu_hour=usd("1.90"))])
    assert [step.nodes for step in flat.list_steps()] == [6]


@given(st.integers(0, 6))
def test_the_cheapest_nodes_are_sold_first(free):
    lot = LOT.fold([STEPPED])
    parts = lot.split_free(free)
    assert sum(parts) == free
    assert parts == sorted(parts) or parts[1:] == [1, 1]
    assert lot.count_at_most(free, Fraction(3)) == free
    assert lot.count_at_most(free, Fraction(2)) == max(free - 1, 0)
    assert lot.count_at_most(free, Fraction("1.90")) == max(free - 2, 0)


def test_reprices():
    Given(LOT, LISTED).when(reprice()).then(REPRICED)
    Given(LOT, LISTED).when(reprice(ask_usd_per_gpu_hour=usd("1.9"))).then_nothing()


def test_reschedules_down_to_its_shortest_order():
    Given(LOT, LISTED).when(reschedule()).then(RESCHEDULED)
    least = LotRescheduled(lot_id=build.LOT, start=hour(50), end=hour(54), reason="the site is late")
    Given(LOT, LISTED).when(reschedule(end=hour(54))).then(least)


def test_pauses_and_resumes():
    Given(LOT, LISTED).when(PAUSE).then(PAUSED)
    Given(LOT, LISTED, PAUSED).when(RESUME).then(RESUMED)
    Given(LOT, LISTED).when(RESUME).then_nothing()


def test_a_paused_lot_is_still_repriced_and_rescheduled():
    Given(LOT, LISTED, PAUSED).when(reprice()).then(REPRICED)
    Given(LOT, LISTED, PAUSED).when(reschedule()).then(RESCHEDULED)
    assert LOT.fold([LISTED, PAUSED, REPRICED]).status == "paused"


def test_withdraws_a_listed_and_a_paused_lot():
    Given(LOT, LISTED).when(WITHDRAW).then(WITHDRAWN)
    Given(LOT, LISTED, PAUSED).when(WITHDRAW).then(WITHDRAWN)


@pytest.mark.parametrize(
    ("asked", "hours", "accepted"),
    [
        ({}, 720, True),
        ({}, 721, False),
        ({"notice_hours_min": 800}, 800, True),
        ({"notice_hours_max": 72}, 72, True),
        ({"notice_hours_max": 72}, 73, False),
        ({"notice_hours_max": 2_000}, 2_000, True),
    ],
)
def test_an_order_accepts_no_longer_notice_than_it_states_or_a_month(asked, hours, accepted):
    """A startup bought of a lot with 2,000 hours of notice, and could not leave a provider that delivered nothing."""
    listed = build.lot_listed(service=service_terms(notice_hours_min=hours))
    assert accepts_notice(order_terms(**asked), listed, build.pool_opened()) == accepted
