"""Orders: from placing to the one decision per auction."""

from datetime import timedelta

import msgspec
import pytest

from events.order import (
    BudgetHold,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderLocked,
    OrderMandateApproved,
    OrderMandateEnded,
    OrderMatched,
    OrderPlaced,
    OrderUnmatched,
)
from events.stages import CreditTerms, StageTerms
from events.types import MaturityConversion, NoteTerms, Reason, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.domain.trading.order import (
    ORDER,
    AmendOrder,
    ApproveMandate,
    CancelOrder,
    EndMandate,
    ExpireOrder,
    LockOrder,
    MatchOrder,
    UnmatchOrder,
)
from marketplace.domain.trading.order_terms import (
    MANDATES_MAX,
    NEAR_HOURS,
    OFFERS_MAX,
    compute_budget_hold,
    compute_cash_hold,
    compute_gpu_hours,
)
from tests.domain import build
from tests.domain.build import (
    AUCTION,
    GRANT,
    INFINITY,
    NAIVE,
    NAN,
    NOW,
    Row,
    builder,
    class_offer,
    hour,
    id_of,
    order_terms,
    place_order,
    safe,
    usd,
)
from tests.support.spec import Given

AUCTION_2, GRANT_2, HOLD_2 = id_of("auc", 2), id_of("grt", 2), id_of("hld", 2)
WORST_PUE = "/terms/power_usage_effectiveness_max"
OUTBID = (Reason(code="outbid", text="2.00 was offered and 2.10 needed", facts={"needed": "2.10"}),)


STOCK = MaturityConversion(class_id="common", capitalization_definition="outstanding", share_rounding="floor")
note = builder(
    NoteTerms(
        annual_rate=usd("0.08"),
        interest="simple",
        day_count="actual_365",
        matures_on=hour(24 * 92).date(),
        valuation_cap_usd=usd(20_000_000),
        service_consequence="credit",
    )
)
right = builder(
    WarrantTerms(
        class_id="common",
        price_usd_per_share=usd("0.50"),
        exercise_price_usd=usd(0),
        expires_at=hour(24 * 92),
        service_consequence="credit",
    )
)


def place(**changes):
    return place_order(terms=order_terms(**changes))


def place_offer(**changes):
    return place(offers=(class_offer(**changes),))


def placed(**changes):
    command = place(**changes)
    names = (name for name in command.__struct_fields__ if name not in {"at", "grant_id", "cost", "order_usd_min"})
    return OrderPlaced(**{name: getattr(command, name) for name in names})


amend = builder(
    AmendOrder(
        order_id=build.ORDER,
        hold_id=HOLD_2,
        terms=order_terms(nodes=3),
        cash_hold_usd=usd("288.00"),
        budget_holds=(build.budget_hold(amount_usd=usd("192.00")),),
        at=NOW,
    )
)
expire = builder(ExpireOrder(order_id=build.ORDER, at=hour(20)))
lock = builder(LockOrder(order_id=build.ORDER, auction_id=AUCTION))
match = builder(MatchOrder(order_id=build.ORDER, auction_id=AUCTION, grant_id=GRANT))
unmatch = builder(
    UnmatchOrder(
        order_id=build.ORDER, auction_id=AUCTION, reasons=OUTBID, price_to_win_usd_per_gpu_hour=usd("2.10"), at=NOW
    )
)
CANCEL = CancelOrder(order_id=build.ORDER, reason="raised money")
PLACED = placed()
AMENDED = OrderAmended(
    order_id=build.ORDER,
    hold_id=HOLD_2,
    terms=order_terms(nodes=3),
    cash_hold_usd=usd("288.00"),
    budget_holds=(build.budget_hold(amount_usd=usd("192.00")),),
)
CANCELLED = OrderCancelled(order_id=build.ORDER, reason="raised money")
EXPIRED = OrderExpired(order_id=build.ORDER, at=hour(20))
LOCKED = OrderLocked(order_id=build.ORDER, auction_id=AUCTION)
MATCHED = OrderMatched(order_id=build.ORDER, auction_id=AUCTION, grant_id=GRANT)
UNMATCHED = OrderUnmatched(
    order_id=build.ORDER, auction_id=AUCTION, reasons=OUTBID, price_to_win_usd_per_gpu_hour=usd("2.10")
)
OFFER = "/terms/offers/0"
ENDS = {"order_matched": (LOCKED, MATCHED), "order_unmatched": (LOCKED, UNMATCHED)}
ENDS |= {"order_cancelled": (CANCELLED,), "order_expired": (EXPIRED,)}
TOO_MANY = tuple(id_of("mnd", number) for number in range(MANDATES_MAX + 1))

REFUSALS = [
    Row("order_unknown", (), CANCEL),
    Row("order_exists", (PLACED,), place(nodes=3)),
    Row("offers_missing", (), place(offers=()), "/terms/offers"),
    Row(
        "offers_missing",
        (),
        place(offers=tuple(class_offer(gpu_class=f"H{number}") for number in range(100, 101 + OFFERS_MAX))),
    ),
    Row("class_repeated", (), place(offers=(class_offer(), class_offer())), "/terms/offers/1/gpu_class"),
    Row("not_a_number", (), place_offer(cash_usd_per_gpu_hour=NAN), f"{OFFER}/cash_usd_per_gpu_hour"),
    Row("not_a_number", (), place_offer(equity_usd_per_gpu_hour=INFINITY), f"{OFFER}/equity_usd_per_gpu_hour"),
    Row("not_a_number", (), place(instrument=safe(valuation_cap_usd=NAN)), "/terms/instrument/valuation_cap_usd"),
    Row("not_a_number", (), place(instrument=safe(discount=NAN)), "/terms/instrument/discount"),
    Row("amount_not_positive", (), place_offer(cash_usd_per_gpu_hour=usd("-0.01"))),
    Row("amount_not_positive", (), place(instrument=safe(valuation_cap_usd=usd(0)))),
    Row("amount_too_large", (), place_offer(cash_usd_per_gpu_hour=usd("1000000001"))),
    Row("amount_too_large", (), place_offer(equity_usd_per_gpu_hour=usd("25.01"))),
    Row("amount_too_precise", (), place_offer(equity_usd_per_gpu_hour=usd("0.0000001"))),
    Row("offer_empty", (), place_offer(cash_usd_per_gpu_hour=usd(0), equity_usd_per_gpu_hour=usd(0)), OFFER),
    Row("time_naive", (), place(start_earliest=NAIVE), "/terms/start_earliest"),
    Row("time_naive", (), place(start_latest=NAIVE), "/terms/start_latest"),
    Row("time_naive", (), place(expires_at=NAIVE), "/terms/expires_at"),
    Row("window_reversed", (), place(start_latest=hour(9)), "/terms/start_latest"),
    Row("window_past", (), place(start_earliest=hour(-2), start_latest=NOW), "/terms/start_latest"),
    Row("duration_unsold", (), place(duration_hours=97), "/terms/duration_hours"),
    Row("range_empty", (), place(nodes_min=3), "/terms/nodes_min"),
    Row("range_empty", (), place(notice_hours_min=72, notice_hours_max=71), "/terms/notice_hours_max"),
    Row("sizes_too_many", (), place(nodes=33, nodes_min=1), "/terms/nodes_step"),
    Row("pue_out_of_range", (), place(power_usage_effectiveness_max=usd("0.9")), WORST_PUE),
    Row("pue_out_of_range", (), place(power_usage_effectiveness_max=NAN), WORST_PUE),
    Row("backstop_linked", (), place_order(terms=order_terms(backstop=True, group="a")), "/terms/group"),
    Row(
        "backstop_linked",
        (),
        place_order(terms=order_terms(backstop=True, parent_order_id=build.ORDER)),
        "/terms/parent_order_id",
    ),
    Row("backstop_equity", (), place_order(terms=order_terms(backstop=True)), "/terms/offers"),
    Row("instrument_unneeded", (), place_offer(equity_usd_per_gpu_hour=usd(0)), "/terms/instrument"),
    Row("instrument_missing", (), place(instrument=None), "/terms/instrument"),
    Row("mandates_missing", (), place(mandate_ids=()), "/terms/mandate_ids"),
    Row("mandates_too_many", (), place(mandate_ids=TOO_MANY), "/terms/mandate_ids"),
    Row("mandates_too_many", (), place(mandate_ids=(build.MANDATE, build.MANDATE))),
    Row(
        "conversion_empty",
        (),
        place(instrument=right(price_usd_per_share=usd("256.01"))),
        "/terms/instrument/price_usd_per_share",
    ),
    Row(
        "missing_convention",
        (),
        place(instrument=note(at_maturity=STOCK, valuation_cap_usd=None)),
        "/terms/instrument/valuation_cap_usd",
    ),
    Row("discount_whole", (), place(instrument=safe(discount=usd(1))), "/terms/instrument/discount"),
    Row(
        "cap_below_commitment",
        (),
        place(instrument=safe(valuation_cap_usd=usd(256))),
        "/terms/instrument/valuation_cap_usd",
    ),
    Row("note_too_short", (), place(instrument=note(matures_on=hour(24 * 80).date())), "/terms/instrument/matures_on"),
    Row("warrant_too_short", (), place(instrument=right(expires_at=hour(24 * 80))), "/terms/instrument/expires_at"),
    Row(
        "consequence_missing",
        (),
        place(instrument=safe(service_consequence=None)),
        "/terms/instrument/service_consequence",
    ),
    Row("expiry_past", (), place(expires_at=NOW), "/terms/expires_at"),
    Row(
        "security_too_short", (), place(stages=StageTerms(hours=24, security_hours=71)), "/terms/stages/security_hours"
    ),
    Row("stages_missing", (), place(credit=CreditTerms(provider_id=id_of("pty"), amount_usd=usd(1))), "/terms/stages"),
    Row("value_out_of_bounds", (), place(nodes_min=0)),
    Row("value_out_of_bounds", (), place(nodes_min=1, nodes_step=0)),
    Row("value_out_of_bounds", (), place(nodes=-1)),
    Row("value_out_of_bounds", (), place(notice_hours_min=-1)),
    Row("order_too_small", (), place_order(order_usd_min=usd(100_000)), "/terms/offers"),
    Row("bundle_fixed", (PLACED,), amend(terms=order_terms(group="run")), "/terms/group"),
    Row("order_open", (PLACED,), match()),
    Row("order_open", (PLACED,), unmatch()),
    Row("order_locked", (PLACED, LOCKED), CANCEL),
    Row("order_locked", (PLACED, LOCKED), amend()),
    Row("order_locked", (PLACED, LOCKED), expire()),
    Row("order_locked", (PLACED, LOCKED), lock(auction_id=AUCTION_2)),
    *(
        Row(code, (PLACED, *end), command)
        for code, end in ENDS.items()
        for command in (amend(), CANCEL, expire(), lock(auction_id=AUCTION_2), match(grant_id=GRANT_2))
        if not (end[-1] is CANCELLED and command is CANCEL) and not (end[-1] is EXPIRED and command == expire())
    ),
    Row("order_not_due", (PLACED,), expire(at=hour(19))),
    Row("order_locked_elsewhere", (PLACED, LOCKED), match(auction_id=AUCTION_2)),
    Row("order_locked_elsewhere", (PLACED, LOCKED), unmatch(auction_id=AUCTION_2)),
]
SECOND_FAULTY = (class_offer(gpu_class="A100"), class_offer(cash_usd_per_gpu_hour=NAN))
PRECEDENCE = [
    Row("order_unknown", (), amend(terms=order_terms(offers=()))),
    Row("order_exists", (PLACED,), place(offers=())),
    Row("offers_missing", (), place(offers=(), start_earliest=NAIVE)),
    Row("class_repeated", (), place(offers=(class_offer(), class_offer(cash_usd_per_gpu_hour=NAN)))),
    Row("not_a_number", (), place(offers=SECOND_FAULTY, start_earliest=NAIVE)),
    Row("time_naive", (), place(start_latest=NAIVE, instrument=None)),
    Row("window_reversed", (), place(start_latest=hour(-1))),
    Row("window_past", (), place(start_earliest=hour(-2), start_latest=NOW, instrument=None)),
    Row("window_past", (), place(start_earliest=hour(-2), start_latest=NOW, duration_hours=97)),
    Row("duration_unsold", (), place(duration_hours=97, nodes_min=3)),
    Row("amount_too_large", (), place(provider_reliability_min=usd("1.1")), "/terms/provider_reliability_min"),
    Row("amount_too_large", (), place(availability_min=usd("1.1")), "/terms/availability_min"),
    Row("amount_not_positive", (), place(renewable_share_min=usd("-0.1")), "/terms/renewable_share_min"),
    Row("amount_not_positive", (), place(principal_usd_max=usd(0)), "/terms/principal_usd_max"),
    Row("amount_too_large", (), place(principal_usd_max=usd(1_000_000_000)), "/terms/principal_usd_max"),
    Row("range_empty", (), place(nodes_min=3, instrument=None)),
    Row("bundle_fixed", (PLACED, CANCELLED), amend(terms=order_terms(group="run"))),
    Row("instrument_missing", (), place(instrument=None, mandate_ids=())),
    Row("mandates_missing", (), place(mandate_ids=(), instrument=safe(discount=usd(1)))),
    Row("mandates_too_many", (), place(mandate_ids=TOO_MANY, instrument=safe(discount=usd(1)))),
    Row("discount_whole", (), place(instrument=safe(discount=usd(1), valuation_cap_usd=usd(1)))),
    Row("amount_too_large", (), place(instrument=note(annual_rate=usd(2), matures_on=NOW.date()))),
    Row("note_too_short", (), place(instrument=note(matures_on=NOW.date(), service_consequence=None))),
    Row("cap_below_commitment", (), place(instrument=safe(valuation_cap_usd=usd(1)), expires_at=NOW)),
    Row("expiry_past", (PLACED, CANCELLED), amend(terms=order_terms(expires_at=NOW))),
    Row("order_locked", (PLACED, LOCKED), expire(at=hour(19))),
    Row("order_matched", (PLACED, LOCKED, MATCHED), unmatch(auction_id=AUCTION_2)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(ORDER, row)


def test_places():
    Given(ORDER).when(place_order()).then(PLACED)


@pytest.mark.parametrize(
    ("hours", "shorter", "longer"),
    [
        (97, 96, 120),
        (100, 96, 120),
        (4_367, 4_344, 4_368),
        (4_369, 4_368, 4_440),
        (4_392, 4_368, 4_440),
        (43_919, 43_800, 43_920),
    ],
)
def test_a_run_that_no_auction_sells_is_refused_with_the_nearest_that_one_does(hours, shorter, longer):
    def place_cash(duration_hours):
        offers = (class_offer(equity_usd_per_gpu_hour=usd(0)),)
        return place(offers=offers, instrument=None, mandate_ids=(), duration_hours=duration_hours)

    with pytest.raises(Refusal) as refused:
        ORDER.decide(place_cash(hours), None)
    assert (refused.value.code, refused.value.facts) == (
        "duration_unsold",
        {"shorter_hours": shorter, "longer_hours": longer},
    )
    for each in (1, NEAR_HOURS - 1, shorter, longer):
        assert ORDER.decide(place_cash(each), None)


def test_places_for_cash_alone_and_for_equity_alone():
    cash = place(
        offers=(class_offer(equity_usd_per_gpu_hour=usd(0)),),
        instrument=None,
        mandate_ids=(),
    )
    assert ORDER.decide(cash, None)
    assert ORDER.decide(place_offer(cash_usd_per_gpu_hour=usd(0)), None)


@pytest.mark.parametrize("since", [(AMENDED,), (LOCKED,), *ENDS.values()])
def test_placing_again_changes_nothing_whatever_happened_since(since):
    Given(ORDER, PLACED, *since).when(place_order()).then_nothing()


def test_amends_terms_and_holds_together():
    Given(ORDER, PLACED).when(amend()).then(AMENDED)
    state = ORDER.fold([PLACED, AMENDED])
    assert (state.terms.nodes, state.hold_id, state.cash_hold_usd) == (3, HOLD_2, usd("288.00"))
    assert state.placed == PLACED


def test_cancels():
    Given(ORDER, PLACED).when(CANCEL).then(CANCELLED)


def test_expires_at_its_latest_start_or_its_own_end_whichever_comes_first():
    Given(ORDER, PLACED).when(expire()).then(EXPIRED)
    earlier = OrderExpired(order_id=build.ORDER, at=hour(15))
    Given(ORDER, placed(expires_at=hour(15))).when(expire(at=hour(16))).then(earlier)
    Given(ORDER, placed(expires_at=hour(99))).when(expire()).then(EXPIRED)


def test_locks_once_per_auction():
    Given(ORDER, PLACED).when(lock()).then(LOCKED)


def test_matches():
    Given(ORDER, PLACED, LOCKED).when(match()).then(MATCHED)


def test_an_order_that_does_not_stand_ends_when_it_loses():
    Given(ORDER, PLACED, LOCKED).when(unmatch()).then(UNMATCHED)


def test_a_standing_order_is_open_for_the_next_auction_until_it_ends():
    standing = placed(standing=True)
    open_again = OrderUnmatched(
        order_id=build.ORDER,
        auction_id=AUCTION,
        reasons=OUTBID,
        price_to_win_usd_per_gpu_hour=usd("2.10"),
        open_again=True,
    )
    Given(ORDER, standing, LOCKED).when(unmatch()).then(open_again)
    Given(ORDER, standing, LOCKED).when(unmatch(at=hour(20))).then(UNMATCHED)
    again = OrderLocked(order_id=build.ORDER, auction_id=AUCTION_2)
    Given(ORDER, standing, LOCKED, open_again).when(lock(auction_id=AUCTION_2)).then(again)
    Given(ORDER, standing, LOCKED, open_again).when(CANCEL).then(CANCELLED)


def test_an_offer_whose_value_has_more_places_than_a_price_is_refused():
    terms = order_terms(offers=(class_offer(), class_offer(gpu_class="A100", equity_usd_per_gpu_hour=usd("0.000001"))))
    with pytest.raises(Refusal) as caught:
        compute_budget_hold(terms, usd("0.5"))
    assert (caught.value.code, caught.value.pointer) == ("value_too_precise", "/terms/offers/1")


def test_an_order_that_takes_a_quote_is_matched_as_it_is_placed():
    matched = OrderMatched(order_id=build.ORDER, grant_id=GRANT)
    taken = msgspec.structs.replace(PLACED, quote_id=build.QUOTE)
    Given(ORDER).when(place_order(quote_id=build.QUOTE, grant_id=GRANT)).then(taken, matched)
    assert ORDER.fold([taken, matched]).status == "matched"


def test_holds_suffice_for_the_dearest_offer_and_are_rounded_up():
    terms = order_terms(
        nodes=1,
        gpus_per_node=1,
        duration_hours=1,
        offers=(
            class_offer(cash_usd_per_gpu_hour=usd("1.001"), equity_usd_per_gpu_hour=usd(0)),
            class_offer(gpu_class="A100", cash_usd_per_gpu_hour=usd(1), equity_usd_per_gpu_hour=usd("0.011")),
            class_offer(gpu_class="B200", cash_usd_per_gpu_hour=usd(0), equity_usd_per_gpu_hour=usd("0.03")),
        ),
    )
    assert compute_gpu_hours(terms) == 1
    assert compute_cash_hold(terms) == usd("1.01")
    assert compute_budget_hold(terms, usd("0.5")) == usd("0.02")
    assert compute_budget_hold(terms, usd("0")) == 0
    assert compute_budget_hold(order_terms(offers=(class_offer(equity_usd_per_gpu_hour=usd(0)),)), usd(1)) == 0


def paid_by(*mandate_ids, **more):
    """Return a placed order with equity that mandates pay."""
    holds = tuple(
        BudgetHold(mandate_id=each, holder_id=build.FUND, equity_credit=usd("0.8"), amount_usd=usd(5), **more)
        for each in mandate_ids
    )
    return msgspec.structs.replace(PLACED, budget_holds=holds)


def test_a_mandate_ends_and_without_another_one_the_order_does():
    first, second = build.MANDATE, id_of("mnd", 2)
    end = EndMandate(order_id=build.ORDER, mandate_id=first, reason="revoked")
    ended = OrderMandateEnded(order_id=build.ORDER, mandate_id=first, reason="revoked")
    Given(ORDER, paid_by(first, second)).when(end).then(ended)
    Given(ORDER, paid_by(first, second), ended).when(end).then_nothing()
    cancelled = OrderCancelled(order_id=build.ORDER, reason="no mandate pays its equity part any more: revoked")
    Given(ORDER, paid_by(first)).when(end).then(ended, cancelled)
    locked = OrderLocked(order_id=build.ORDER, auction_id=AUCTION)
    Given(ORDER, paid_by(first), locked).when(end).refused("order_locked")


def test_an_approval_is_recorded_once():
    approve = ApproveMandate(order_id=build.ORDER, mandate_id=build.MANDATE)
    approved = OrderMandateApproved(order_id=build.ORDER, mandate_id=build.MANDATE)
    waiting = paid_by(build.MANDATE, needs_approval=True)
    assert ORDER.fold([waiting]).waits_for_approval
    Given(ORDER, waiting).when(approve).then(approved)
    Given(ORDER, waiting, approved).when(approve).then_nothing()
    assert not ORDER.fold([waiting, approved]).waits_for_approval
    Given(ORDER, waiting, OrderCancelled(order_id=build.ORDER, reason="no")).when(approve).refused("order_cancelled")


def test_an_order_that_nothing_could_serve_keeps_no_budget_although_it_stands():
    standing = msgspec.structs.replace(paid_by(build.MANDATE), terms=order_terms(standing=True))
    locked, terms = OrderLocked(order_id=build.ORDER, auction_id=AUCTION), standing.terms
    whole = terms.start_latest + timedelta(hours=terms.duration_hours)
    for code, horizon_end, again, *conflict in (
        ("never_feasible", None, True, "own_capacity"),
        ("no_eligible_pool", None, True, "own_capacity"),
        ("no_eligible_pool", None, False, "nodes"),
        ("no_eligible_pool", None, False),
        ("never_feasible", None, False),
        ("below_ask", whole, False),
        ("below_ask", whole - timedelta(seconds=1), True),
        ("outbid", whole, True),
    ):
        unmatch = UnmatchOrder(
            order_id=build.ORDER,
            auction_id=AUCTION,
            reasons=(Reason(code=code, text="x", facts=dict.fromkeys(("conflict",), *conflict) if conflict else {}),),
            price_to_win_usd_per_gpu_hour=None,
            at=NOW,
            horizon_end=horizon_end,
        )
        (event,) = ORDER.decide(unmatch, ORDER.fold([standing, locked]))
        assert event.open_again == again
        in_cash = msgspec.structs.replace(standing, budget_holds=())
        (event,) = ORDER.decide(unmatch, ORDER.fold([in_cash, locked]))
        assert event.open_again, "an order for cash waits for a lower ask"
