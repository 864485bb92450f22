"""Warrants of customers and vendors: what counts, who attests, which prices, and what may be exercised."""

import dataclasses
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.vesting import (
    AmountMilestone,
    AttestedMilestone,
    ChangeOfControl,
    DateMilestone,
    DeliveryMilestone,
    LaterPrice,
    PowerMilestone,
    PriceAverage,
    PriceMilestone,
    Proportion,
    TrancheMilestone,
    WarrantTranche,
)
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import AddStakeholder, DeclareLiquidity, RecordValuation
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.programme_commands import (
    AddProgrammeGrant,
    CorrectPrice,
    NamePriceSource,
    ObservePrice,
    OpenProgramme,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.rights.fair_value import find_fair_value, find_value_for_warrant
from marketplace.domain.equity.issuer.rights_commands import (
    AttestMilestone,
    Delivery,
    ExerciseWarrant,
    TransferWarrant,
    VestWarrants,
)
from marketplace.domain.equity.issuer.sale.payouts import list_option_grants
from marketplace.domain.equity.issuer.state import PriceMark
from marketplace.domain.equity.issuer.stock_commands import IssueStock, SplitStock
from marketplace.equity.checker import verify
from tests.domain.issuer_samples import COMPANY, EXPIRY, NOON, OF_ISS, PROVIDER, WARRANT, make_id, warrant

STARTUP = ISSUER.fold(COMPANY).formed.party_id
AFFILIATE, RECORDER, ENGINEER = (make_id("pty", number) for number in (71, 72, 73))
PROGRAMME, SOURCE, GRANT_ID = make_id("prg", 1), make_id("src", 1), make_id("grt", 1)
TODAY = NOON.date()
HOUR = 3_600


def decide(state, *commands):
    """Return the state after commands, each of which records something."""
    for command in commands:
        events = ISSUER.decide(command, state)
        assert events, command
        state = ISSUER.fold(events, state)
    return state


OPEN = OpenProgramme(
    **OF_ISS,
    programme_id=PROGRAMME,
    name="Frontier",
    customer_ids=(STARTUP,),
    vendor_ids=(PROVIDER, AFFILIATE),
    counts_outside=True,
)
NAME_SOURCE = NamePriceSource(**OF_ISS, source_id=SOURCE, name="Exchange", recorder_id=RECORDER)
JOIN = AddStakeholder(**OF_ISS, holder_id=AFFILIATE, name="Affiliate", kind="provider")
BASE = decide(ISSUER.fold(COMPANY), OPEN, NAME_SOURCE, JOIN)
MEAN = PriceAverage(source_id=SOURCE, days=30, observations_min=2)


def issue(*tranches, state=BASE, **terms):
    shares = sum(tranche.shares for tranche in tranches)
    return decide(state, warrant(shares=shares, tranches=tranches, programme_id=PROGRAMME, **terms))


def when(condition, *others, shares=100, **terms):
    return WarrantTranche(shares=shares, conditions=((condition, *others),), **terms)


def paid(usd, number=1, **changes):
    at = NOON - timedelta(days=400 - number)
    statement = StatePurchases(
        **OF_ISS,
        purchases_id=make_id("pur", number),
        programme_id=PROGRAMME,
        customer_id=STARTUP,
        vendor_id=PROVIDER,
        starts_on=at.date(),
        ends_on=at.date(),
        gpu_seconds=0,
        kilowatts=0,
        purchased_usd=Decimal(usd),
        paid_usd=Decimal(usd),
        document="signed statement",
        excludes_market=True,
        at=NOON,
    )
    return replace(statement, **changes)


def observe(price, day=TODAY, volume=1_000, **changes):
    seen = ObservePrice(
        **OF_ISS,
        source_id=SOURCE,
        day=day,
        price_usd_per_share=Decimal(price),
        volume=volume,
        recorder_id=RECORDER,
        at=NOON,
    )
    return replace(seen, **changes)


def correct(price, day, volume=1_000):
    return CorrectPrice(
        **OF_ISS,
        source_id=SOURCE,
        day=day,
        price_usd_per_share=Decimal(price),
        volume=volume,
        reason="typo",
        recorder_id=RECORDER,
    )


def look(delivered=None, at=NOON):
    return VestWarrants(**OF_ISS, delivered=delivered or {}, at=at)


def use(shares, **changes):
    fields = {"exercise_id": make_id("exr", 9), "warrant_id": WARRANT, "shares": shares, "at": NOON}
    return ExerciseWarrant(**OF_ISS, **{**fields, **changes})


def attest(name="works", by=ENGINEER, number=1, at=NOON):
    return AttestMilestone(
        **OF_ISS,
        attestation_id=make_id("att", number),
        warrant_id=WARRANT,
        milestone=name,
        document="report",
        attester_id=by,
        at=at,
    )


def hand_over(to=AFFILIATE, held_by=PROVIDER, at=NOON):
    return TransferWarrant(
        **OF_ISS,
        transfer_id=make_id("trf", 9),
        warrant_id=WARRANT,
        holder_id=held_by,
        holder_id_after=to,
        at=at,
    )


def settle(state, delivered=None, at=NOON):
    return ISSUER.fold(ISSUER.decide(look(delivered, at), state), state)


def read(state):
    return [
        (tranche.outstanding - tranche.unvested, tranche.exercisable) for tranche in state.warrants[WARRANT].tranches
    ]


def refused(state, command, code):
    with pytest.raises(Refusal) as caught:
        ISSUER.decide(command, state)
    assert caught.value.code == code


def test_delivery_and_amounts_of_grants_and_stated_purchases_count_together():
    state = issue(
        when(DeliveryMilestone(gpu_seconds=150 * HOUR)),
        when(AmountMilestone(basis="paid", amount_usd=Decimal(1_000))),
        when(AmountMilestone(basis="purchased", amount_usd=Decimal(3_000))),
        grant_ids=(GRANT_ID,),
        on_reduction="keep",
    )
    grant = Delivery(gpu_seconds=100 * HOUR, paid_usd=Fraction(600), purchased_usd=Fraction(2_000))
    state = settle(state, {GRANT_ID: grant})
    assert [vested for vested, _ in read(state)] == [0, 0, 0]
    state = decide(state, paid(400, gpu_seconds=50 * HOUR))
    state = settle(state, {GRANT_ID: grant})
    assert [vested for vested, _ in read(state)] == [100, 100, 0]
    state = decide(state, paid(600, number=2))
    assert [vested for vested, _ in read(settle(state, {GRANT_ID: grant}))] == [100, 100, 100]


@pytest.mark.parametrize(("sellers", "vested"), [((STARTUP,), 100), ((STARTUP, PROVIDER), 0)])
def test_a_grant_that_its_seller_alone_calls_related_counts_in_no_warrant_of_that_seller(sellers, vested):
    state = issue(when(DeliveryMilestone(gpu_seconds=HOUR)), grant_ids=(GRANT_ID,))
    assert state.warrants[WARRANT].holder_id == PROVIDER
    state = settle(state, {GRANT_ID: Delivery(gpu_seconds=HOUR, named_by=sellers)})
    assert [shares for shares, _ in read(state)] == [vested]


def test_power_counts_in_full_once_each_node_ran_for_its_hours():
    state = issue(when(PowerMilestone(kilowatts=1_000, hours=10)), grant_ids=(GRANT_ID,))
    for hours, vested in ((9, 0), (10, 100)):
        grant = Delivery(gpu_seconds=8 * hours * HOUR, gpus=8, kilowatts=1_000)
        assert read(settle(state, {GRANT_ID: grant}))[0][0] == vested
    state = decide(state, paid(0, kilowatts=100))
    grant = Delivery(gpu_seconds=8 * 9 * HOUR, gpus=8, kilowatts=1_000)
    assert read(settle(state, {GRANT_ID: grant}))[0][0] == 100


@pytest.mark.parametrize(
    ("nodes", "vested"),
    [
        ([("a", 0, 10), ("a", 10, 20)], 0),
        ([("a", 0, 10), ("a", 9, 20)], 100),
        ([("a", 0, 10), ("b", 10, 20)], 100),
        ([("a", 0, 10), ("a", 10, 20), ("b", 20, 30)], 100),
        ([("a", 0, 0), ("a", 0, 10)], 0),
    ],
    ids=["one after another", "at once", "two pools", "and another pool", "the first ended at its start"],
)
def test_nodes_that_deliver_one_grant_after_another_count_once_as_power(nodes, vested):
    """A node that was sold twice for two days was twice its power."""
    ids = tuple(make_id("grt", 20 + number) for number, _ in enumerate(nodes))
    state = issue(when(PowerMilestone(kilowatts=1_000, hours=10)), grant_ids=ids)
    delivered = {
        grant_id: Delivery(
            gpu_seconds=8 * 10 * HOUR,
            gpus=8,
            kilowatts=500,
            pool_id=make_id("pol", ord(pool)),
            span=(NOON + timedelta(days=start), NOON + timedelta(days=end)),
        )
        for grant_id, (pool, start, end) in zip(ids, nodes, strict=True)
    }
    assert read(settle(state, delivered))[0][0] == vested


RATABLE = Proportion(basis="paid", from_usd=Decimal(1_000), to_usd=Decimal(3_000))


def test_shares_vest_in_proportion_between_two_amounts_rounded_down():
    state = issue(WarrantTranche(shares=7, proportion=RATABLE))
    for number, (usd, vested) in enumerate(((1_000, 0), (285, 0), (1, 1), (1_713, 6), (1, 7), (500, 7)), start=1):
        state = settle(decide(state, paid(usd, number)))
        assert read(state)[0] == (vested, vested)
    assert state.warrants[WARRANT].vested == {0}


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8), st.integers(1, 10_000))
def test_what_vests_in_steps_is_what_vests_at_once(payments, shares):
    state = once = issue(WarrantTranche(shares=shares, proportion=RATABLE))
    for number, usd in enumerate(payments, start=1):
        state = settle(decide(state, paid(usd, number)))
        once = decide(once, paid(usd, number))
    assert read(state) == read(settle(once))
    total = sum(payments)
    assert read(state)[0][0] == max(0, min(shares, shares * (total - 1_000) // 2_000))


WORKS = AttestedMilestone(name="works", description="The cluster trains a model", attester_id=ENGINEER)
SOLD = AttestedMilestone(name="sold", description="Ten customers", until=NOON + timedelta(days=1))


def test_what_has_vested_waits_for_its_conditions_of_exercise():
    tranche = when(DateMilestone(day=TODAY), exercise_conditions=((WORKS,), (SOLD,)))
    state = settle(issue(tranche))
    assert read(state) == [(100, 0)]
    refused(state, use(1), "warrant_not_exercisable")
    state = decide(state, attest())
    refused(settle(state), use(1), "warrant_not_exercisable")
    state = settle(decide(state, attest("sold", None, 2)))
    assert read(state) == [(100, 100)]
    refused(state, use(101), "warrant_overdrawn")
    assert decide(state, use(100)).holdings[PROVIDER, "common"] == 100


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("attested_by_beneficiary", attest(by=PROVIDER)),
        ("attested_by_beneficiary", attest(by=AFFILIATE)),
        ("attested_by_issuer", attest(by=STARTUP)),
        ("not_attester", attest(by=RECORDER)),
        ("not_attester", attest("sold", ENGINEER)),
        ("milestone_unknown", attest("paid")),
        ("milestone_lapsed", attest("sold", None, at=NOON + timedelta(days=1))),
        ("milestone_lapsed", attest(at=EXPIRY + timedelta(days=1))),
        ("time_naive", attest(at=datetime(2026, 3, 1))),  # noqa: DTZ001 - that is the point
        ("warrant_unknown", replace(attest(), warrant_id=make_id("wrt", 8))),
    ],
)
def test_a_milestone_is_attested_by_its_attester_in_time(code, command):
    refused(issue(when(WORKS), when(SOLD), affiliate_ids=(AFFILIATE,)), command, code)


def test_a_milestone_is_attested_once():
    state = decide(issue(when(WORKS)), attest())
    assert ISSUER.decide(attest(), state) == []
    refused(state, attest(number=2), "milestone_attested")


def test_a_price_counts_only_if_holder_and_company_did_not_make_it():
    level = PriceMilestone(price_usd_per_share=Decimal(4), average=MEAN)
    state = decide(issue(when(level)), observe(8, TODAY - timedelta(days=2)))
    assert read(settle(state))[0][0] == 0, "two observations are needed"
    state = decide(state, observe(2, volume=3_000))
    assert read(settle(state))[0][0] == 0, "the mean is 3.5"
    state = decide(state, observe(4, TODAY + timedelta(days=1), volume=10_000, at=NOON + timedelta(days=1)))
    assert read(settle(state))[0][0] == 0
    later = observe(8, TODAY + timedelta(days=2), volume=1_000, at=NOON + timedelta(days=2))
    assert read(settle(decide(state, later)))[0][0] == 100


@pytest.mark.parametrize(
    ("makers", "whole", "vested"),
    [
        ({}, 0, 0),
        ({PROVIDER: 100}, 200, 0),
        ({PROVIDER: 50, AFFILIATE: 50}, 200, 0),
        ({PROVIDER: 90, ENGINEER: 10}, 200, 100),
        ({PROVIDER: 91, ENGINEER: 9}, 200, 0),
        (None, 0, 100),
    ],
)
def test_a_round_that_strangers_buy_less_than_a_twentieth_of_reaches_no_target(makers, whole, vested):
    level = PriceMilestone(price_usd_per_share=Decimal(4))
    state = issue(when(level), affiliate_ids=(AFFILIATE,))
    bought = None if makers is None else {each: Fraction(shares) for each, shares in makers.items()}
    mark = PriceMark(Fraction(9), "a round", bought, company_shares=Fraction(whole))
    priced = dataclasses.replace(state, price_marks=(mark,))
    assert read(settle(priced))[0][0] == vested


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("observation_in_future", observe(8, TODAY + timedelta(days=1))),
        ("observation_too_old", observe(8, TODAY - timedelta(days=31))),
        ("observation_exists", observe(9, TODAY - timedelta(days=2))),
        ("observation_out_of_order", observe(8, TODAY - timedelta(days=3))),
        ("observation_far_off", observe("32.01")),
        ("observation_far_off", observe("1.99")),
        ("not_recorder", observe(8, recorder_id=PROVIDER)),
        ("not_recorder", observe(8, recorder_id=STARTUP)),
        ("shares_not_positive", observe(8, volume=0)),
        ("amount_not_positive", observe(0)),
        ("price_source_unknown", observe(8, source_id=make_id("src", 9))),
    ],
)
def test_an_observation_is_of_its_recorder_of_a_new_day_and_near_the_last_one(code, command):
    refused(decide(BASE, observe(8, TODAY - timedelta(days=2))), command, code)


def test_the_platform_records_a_price_far_off_and_a_repeat_changes_nothing():
    state = decide(BASE, observe(8, TODAY - timedelta(days=2)))
    assert ISSUER.decide(observe(8, TODAY - timedelta(days=2)), state) == []
    assert ISSUER.decide(observe(800, recorder_id=None), state)


def test_who_holds_securities_records_no_price():
    stock = IssueStock(
        **OF_ISS,
        security_id=make_id("sec", 9),
        holder_id=RECORDER,
        class_id="common",
        shares=1,
        price_usd_per_share=Decimal(1),
    )
    state = decide(BASE, AddStakeholder(**OF_ISS, holder_id=RECORDER, name="Exchange", kind="other"), stock)
    refused(state, observe(8), "recorder_interested")
    refused(state, replace(NAME_SOURCE, source_id=make_id("src", 2)), "recorder_interested")


def test_one_tranche_s_vesting_triggers_another_of_the_same_or_another_warrant_at_once():
    first = issue(when(TrancheMilestone(tranche=1)), when(TrancheMilestone(tranche=2)), when(DateMilestone(day=TODAY)))
    other = warrant(
        warrant_id=make_id("wrt", 2),
        shares=50,
        tranches=(when(TrancheMilestone(tranche=0, warrant_id=WARRANT), shares=50),),
    )
    state = decide(first, other)
    assert [each.is_vested for each in settle(state, at=NOON - timedelta(days=1)).warrants[WARRANT].tranches] == [
        False
    ] * 3
    after = settle(state)
    assert after.warrants[WARRANT].vested == {0, 1, 2}
    assert after.warrants[make_id("wrt", 2)].vested == {0}


LATER = LaterPrice(tranche=0, multiple=Decimal("0.9"), average=MEAN)


def test_a_price_is_fixed_by_the_mean_up_to_the_day_on_which_another_tranche_vests():
    state = issue(when(DateMilestone(day=TODAY)), WarrantTranche(shares=100, later_price=LATER))
    state = decide(state, observe(20, TODAY - timedelta(days=1)))
    state = settle(state)
    assert read(state) == [(100, 100), (100, 0)]
    assert state.warrants[WARRANT].tranches[1].price_usd is None
    refused(state, use(1, tranche=1), "warrant_not_exercisable")
    state = settle(decide(state, observe(22, volume=3_000)))
    assert state.warrants[WARRANT].tranches[1].price_usd == Fraction("19.35")
    refused(state, use(1), "tranche_missing")
    (event,) = ISSUER.decide(use(100, tranche=1), state)
    assert event.exercise_price_usd == "387/20"
    refused(state, use(1, tranche=2), "tranche_unknown")
    rising = observe(80, TODAY + timedelta(days=1), at=NOON + timedelta(days=1))
    assert settle(decide(state, rising)).warrants[WARRANT].tranches[1].price_usd == Fraction("19.35")


@pytest.mark.parametrize("resumed", [False, True])
def test_a_recorder_that_falls_silent_leaves_no_warrant_without_its_price(resumed):
    """Nobody could record the day of the vesting after 30 days, and the tranche could never be exercised."""
    state = settle(issue(when(DateMilestone(day=TODAY)), WarrantTranche(shares=100, later_price=LATER)))
    now = {"at": NOON + timedelta(days=40)}
    if resumed:
        state = settle(decide(state, observe(30, TODAY + timedelta(days=39), **now)), at=now["at"])
    assert state.warrants[WARRANT].tranches[1].price_usd is None
    missing = observe(20, **now)
    refused(state, missing, "observation_too_old")
    state = decide(state, replace(missing, recorder_id=None))
    assert ISSUER.decide(replace(missing, recorder_id=None), state) == []
    refused(state, observe(21, recorder_id=None, **now), "observation_exists")
    state = decide(state, observe(20, TODAY - timedelta(days=1), recorder_id=None, **now))
    state = decide(state, observe(21, TODAY - timedelta(days=359), recorder_id=None, **now))
    refused(state, observe(21, TODAY - timedelta(days=360), recorder_id=None, **now), "observation_too_old")
    state = settle(state, at=now["at"])
    assert state.warrants[WARRANT].tranches[1].price_usd == 18
    assert state.price_sources[SOURCE].latest.day == TODAY + timedelta(days=39 if resumed else 0)


def test_a_split_does_not_round_a_later_price_away():
    """Split a million for one by the company, the price of the last tranche was 0 at four places."""
    state = issue(when(DateMilestone(day=TODAY)), WarrantTranche(shares=100, later_price=LATER))
    state = decide(state, SplitStock(**OF_ISS, split_id=make_id("spl", 1), numerator=1_000_000, denominator=1))
    state = decide(state, observe("0.000020", TODAY - timedelta(days=1)), observe("0.000022", volume=3_000))
    assert settle(state).warrants[WARRANT].tranches[1].price_usd == Fraction("0.00001935")


def test_a_split_scales_shares_prices_targets_and_means():
    level = PriceMilestone(price_usd_per_share=Decimal(10), average=MEAN)
    state = issue(
        WarrantTranche(shares=7, proportion=RATABLE),
        when(level, shares=3, exercise_price_usd=Decimal(6)),
        WarrantTranche(shares=2, later_price=replace(LATER, tranche=1)),
    )
    state = decide(state, paid(2_000), observe(9, TODAY - timedelta(days=3)))
    state = settle(state)
    assert read(state)[0] == (3, 3)
    halves = SplitStock(**OF_ISS, split_id=make_id("spl", 1), numerator=1, denominator=2, fractions="give_up")
    state = settle(decide(state, halves))
    held = state.warrants[WARRANT]
    assert ([each.shares for each in held.tranches], held.shares_outstanding) == ([3, 2, 1], 6)
    assert read(state)[0] == (1, 1), "half of three, rounded down"
    assert [each.price_usd for each in held.tranches] == [Fraction(1, 2), 12, None]
    state = settle(decide(state, observe(21, TODAY, volume=4_000)))
    assert state.warrants[WARRANT].vested == {1, 2}, "the mean of 18 and 21, by 500 and 4,000, is above 20"
    mean = Fraction(18 * 500 + 21 * 4_000, 4_500)
    assert state.warrants[WARRANT].tranches[2].price_usd == round(mean * Fraction(9, 10), 4)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 2_500), st.integers(2, 9), st.data())
def test_nothing_that_had_not_vested_is_exercisable_after_a_consolidation(parts, usd, denominator, data):
    state = issue(*(WarrantTranche(shares=shares, proportion=RATABLE) for shares in parts))
    state = settle(decide(state, paid(usd + 1)))
    exercisable = state.warrants[WARRANT].shares_exercisable
    if exercisable:
        state = decide(state, use(data.draw(st.integers(1, exercisable))))
    before = state.warrants[WARRANT]
    ratio = {"numerator": 1, "denominator": denominator, "fractions": "round_up"}
    state = decide(state, SplitStock(**OF_ISS, split_id=make_id("spl", 1), **ratio))
    after = state.warrants[WARRANT]
    assert after.shares_outstanding == before.shares_outstanding // denominator
    assert sum(tranche.shares for tranche in after.tranches) == before.shares // denominator
    assert all(0 <= each.unvested <= each.outstanding for each in after.tranches)
    assert after.shares_exercisable * denominator < before.shares_exercisable + denominator * len(parts)
    for tranche, old in zip(after.tranches, before.tranches, strict=True):
        assert not tranche.exercisable or old.exercisable


def test_reductions_take_back_what_is_not_exercised_only_where_the_warrant_says_so():
    level = DeliveryMilestone(gpu_seconds=100)
    for policy, left in (("keep", 60), ("claw_back", 0)):
        state = issue(when(level), grant_ids=(GRANT_ID,), on_reduction=policy)
        enough = {GRANT_ID: Delivery(gpu_seconds=100)}
        state = decide(settle(state, enough), use(40, delivered=enough))
        reduced = settle(state, {GRANT_ID: Delivery(gpu_seconds=99)})
        assert read(reduced) == [(left, left)]
        assert reduced.holdings[PROVIDER, "common"] == 40
        again = settle(reduced, {GRANT_ID: Delivery(gpu_seconds=100)})
        assert read(again) == [(60, 60)]


@pytest.mark.parametrize(("basis", "days", "left"), [("paid", 180, 0), ("paid", 181, 100), ("purchased", 181, 0)])
def test_what_was_paid_takes_nothing_back_half_a_year_after_it_vested(basis, days, left):
    """A company that also delivers voids a reading years later, and its customer loses the warrant for it."""
    level = AmountMilestone(basis=basis, amount_usd=Decimal(100))
    state = issue(when(level), grant_ids=(GRANT_ID,), on_reduction="claw_back")
    state = settle(state, {GRANT_ID: Delivery(gpu_seconds=1, **{f"{basis}_usd": Fraction(100)})})
    fallen = {GRANT_ID: Delivery(gpu_seconds=1, **{f"{basis}_usd": Fraction(99)})}
    assert read(settle(state, fallen, NOON + timedelta(days=days))) == [(left, left)]


def test_a_price_that_fell_takes_nothing_back_and_a_payment_that_fell_does():
    level = PriceMilestone(price_usd_per_share=Decimal(4), average=MEAN)
    state = issue(WarrantTranche(shares=200, conditions=((level,),), proportion=RATABLE), on_reduction="claw_back")
    state = decide(state, paid(2_000), observe(5, TODAY - timedelta(days=1)), observe(5))
    state = settle(state)
    assert read(state)[0][0] == 100
    state = settle(decide(state, observe(2, TODAY + timedelta(days=1), volume=90_000, at=NOON + timedelta(days=1))))
    assert read(state)[0][0] == 100
    corrected = paid(1_500, replaces=make_id("pur", 1), purchases_id=make_id("pur", 2))
    assert read(settle(decide(state, corrected)))[0][0] == 50


def test_a_sale_takes_what_may_be_exercised_and_all_where_it_accelerates():
    def count(usd, terms):
        state = settle(issue(when(DateMilestone(day=TODAY)), when(WORKS, shares=50), change_of_control=terms))
        rights = list_option_grants(state, NOON, NOON, Decimal(usd))
        return sum(right.shares for right in rights if right.grant_id.startswith("wrt_"))

    below = ChangeOfControl(when="below", proceeds_usd=Decimal(1_000))
    above = ChangeOfControl(when="above", proceeds_usd=Decimal(1_000))
    assert [count(usd, None) for usd in (1, 10**6)] == [100, 100]
    assert [count(usd, below) for usd in (999, 1_000)] == [150, 100]
    assert [count(usd, above) for usd in (1_000, 1_001)] == [100, 150]
    assert count(1, ChangeOfControl(when="always")) == 150


def test_the_waterfall_of_a_sale_has_each_price_of_a_warrant_and_passes_its_check():
    state = issue(
        when(DateMilestone(day=TODAY), shares=1_000_000),
        when(DateMilestone(day=TODAY), shares=500_000, exercise_price_usd=Decimal("0.75")),
        when(WORKS, shares=500_000),
        change_of_control=ChangeOfControl(when="above", proceeds_usd=Decimal(20_000_000)),
    )
    sale = DeclareLiquidity(
        **OF_ISS, liquidity_id=make_id("liq", 7), proceeds_usd=Decimal(20_000_000), instruments=(), at=NOON
    )
    paid_at = {}
    for usd in (20_000_000, 20_000_001):
        (event,) = ISSUER.decide(replace(sale, proceeds_usd=Decimal(usd)), settle(state))
        waterfall = event.waterfall
        assert verify(json.loads(waterfall.certificate_json)) == []
        assert sum(payout.amount_usd for payout in waterfall.payouts) == usd
        price = Fraction(waterfall.price_per_common_share_exact)
        amounts = [payout.amount_usd for payout in waterfall.payouts if payout.security == WARRANT]
        paid_at[usd] = (price, amounts)
    for (price, amounts), first in zip(paid_at.values(), (1_000_000, 1_500_000), strict=True):
        exact = [first * (price - Fraction("0.25")), 500_000 * (price - Fraction("0.75"))]
        assert all(abs(Fraction(paid_usd) - due) < 1 for paid_usd, due in zip(amounts, exact, strict=True))


def test_a_warrant_is_transferred_only_to_affiliates_that_it_names_and_they_benefit_then():
    named = {"transfer": "affiliates", "affiliate_ids": (AFFILIATE,)}
    state = settle(issue(when(DateMilestone(day=TODAY)), **named))
    refused(issue(when(WORKS)), hand_over(), "transfer_excluded")
    refused(state, hand_over(ENGINEER), "transfer_excluded")
    refused(state, hand_over(PROVIDER), "transfer_excluded")
    refused(state, hand_over(held_by=AFFILIATE), "warrant_not_held")
    refused(state, hand_over(at=EXPIRY + timedelta(days=1)), "warrant_expired")
    sale = {"liquidity_id": make_id("liq", 7), "proceeds_usd": Decimal(2), "instruments": (), "at": NOON}
    refused(decide(state, DeclareLiquidity(**OF_ISS, **sale)), hand_over(), "sale_declared")
    moved = decide(state, hand_over())
    assert ISSUER.decide(hand_over(), moved) == []
    exercised = decide(moved, use(100))
    assert exercised.holdings[AFFILIATE, "common"] == 100
    assert (PROVIDER, "common") not in exercised.holdings


def test_an_affiliate_without_a_key_that_joins_a_party_makes_it_no_first_holder():
    """The first holder could not have its warrant back, and could attest its milestones."""
    keyless = make_id("stk", 74)
    known = [replace(JOIN, holder_id=each) for each in (keyless, ENGINEER)]
    named = {"transfer": "affiliates", "affiliate_ids": (keyless,)}
    state = settle(issue(when(DateMilestone(day=TODAY)), state=decide(BASE, *known), **named))
    for number, (before, after) in enumerate(((PROVIDER, keyless), (keyless, ENGINEER), (ENGINEER, PROVIDER))):
        move = replace(hand_over(after, before), transfer_id=make_id("trf", 80 + number))
        state = decide(state, move)
        (held,) = state.warrants.values()
        assert held.interested == {PROVIDER, keyless, after}


def test_a_grant_counts_in_a_programme_of_its_parties_once():
    def add(customer=STARTUP, vendor=PROVIDER, programme=PROGRAMME):
        sides = {"customer_id": customer, "vendor_id": vendor}
        return AddProgrammeGrant(**OF_ISS, programme_id=programme, grant_id=GRANT_ID, **sides)

    state = issue(when(DeliveryMilestone(gpu_seconds=10)))
    assert read(settle(state, {GRANT_ID: Delivery(gpu_seconds=10)}))[0][0] == 0
    state = decide(state, add())
    assert ISSUER.decide(add(), state) == []
    assert read(settle(state, {GRANT_ID: Delivery(gpu_seconds=10)}))[0][0] == 100
    sold = {GRANT_ID: Delivery(gpu_seconds=10, customer_id=ENGINEER)}
    assert read(settle(state, sold))[0][0] == 0, "somebody else pays for it"
    refused(BASE, add(customer=ENGINEER), "outside_programme")
    refused(BASE, add(vendor=ENGINEER), "outside_programme")
    refused(BASE, add(customer=PROVIDER, vendor=STARTUP), "outside_programme")
    refused(BASE, add(programme=make_id("prg", 9)), "programme_unknown")


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("programme_unknown", paid(1, programme_id=make_id("prg", 9))),
        ("outside_programme", paid(1, 3, vendor_id=ENGINEER)),
        ("amount_not_positive", paid(1, 3, paid_usd=Decimal(-1))),
        ("span_impossible", paid(1, 3, ends_on=TODAY + timedelta(days=1))),
        ("span_impossible", paid(1, 3, starts_on=TODAY)),
        ("purchases_overlap", paid(1, 2, starts_on=paid(1).starts_on)),
        ("purchases_differ", paid(1, 2, replaces=make_id("pur", 1))),
        ("purchases_exists", paid(2)),
    ],
)
def test_purchases_outside_are_stated_once_for_their_days_and_parties(code, command):
    refused(decide(BASE, paid(1)), command, code)


def test_a_programme_has_the_company_on_one_side_and_may_exclude_other_purchases():
    named = {**OF_ISS, "programme_id": make_id("prg", 2), "name": "other"}
    refused(BASE, OpenProgramme(**named, customer_ids=(ENGINEER,), vendor_ids=(PROVIDER,)), "company_missing")
    both = OpenProgramme(**named, customer_ids=(STARTUP, PROVIDER), vendor_ids=(PROVIDER,))
    refused(BASE, both, "sides_overlap")
    state = decide(BASE, OpenProgramme(**named, customer_ids=(STARTUP,), vendor_ids=(PROVIDER,)))
    refused(state, paid(1, programme_id=named["programme_id"]), "outside_excluded")


OTHER_SOURCE = PriceAverage(source_id=make_id("src", 9), days=30)
BY_HOLDER = AttestedMilestone(name="works", description="it works", attester_id=PROVIDER)
BY_COMPANY = AttestedMilestone(name="works", description="it works", attester_id=STARTUP)


@pytest.mark.parametrize(
    ("code", "tranches", "terms"),
    [
        ("grant_missing", [when(PowerMilestone(kilowatts=1, hours=1))], {"programme_id": None}),
        ("grant_missing", [WarrantTranche(shares=1, proportion=RATABLE)], {"programme_id": None}),
        ("programme_unknown", [when(WORKS)], {"programme_id": make_id("prg", 9)}),
        ("attester_interested", [when(BY_HOLDER)], {}),
        ("attester_interested", [when(BY_COMPANY)], {}),
        ("attester_interested", [when(WORKS)], {"affiliate_ids": (ENGINEER,)}),
        ("stakeholder_unknown", [when(WORKS)], {"affiliate_ids": (RECORDER,)}),
        ("missing_convention", [when(AmountMilestone(basis="purchased", amount_usd=Decimal(3)))], {}),
        ("missing_convention", [WarrantTranche(shares=1, proportion=replace(RATABLE, basis="purchased"))], {}),
        ("milestone_differs", [when(WORKS), when(replace(WORKS, description="other"))], {}),
        ("tranche_unknown", [when(TrancheMilestone(tranche=1))], {}),
        ("warrant_unknown", [when(TrancheMilestone(tranche=0, warrant_id=make_id("wrt", 9)))], {}),
        ("tranches_circular", [when(TrancheMilestone(tranche=0))], {}),
        ("tranches_circular", [when(TrancheMilestone(tranche=1)), when(WORKS, TrancheMilestone(tranche=0))], {}),
        ("proportion_empty", [WarrantTranche(shares=1, proportion=replace(RATABLE, from_usd=Decimal(3_000)))], {}),
        ("price_stated_twice", [when(WORKS, exercise_price_usd=Decimal(1), later_price=LATER)], {}),
        ("tranche_unknown", [when(WORKS, later_price=replace(LATER, tranche=1))], {}),
        ("multiple_out_of_range", [when(WORKS, later_price=replace(LATER, multiple=Decimal(0)))], {}),
        ("price_source_unknown", [when(WORKS, later_price=replace(LATER, average=OTHER_SOURCE))], {}),
        ("price_source_unknown", [when(WORKS)], {"fair_value": OTHER_SOURCE}),
        ("average_impossible", [when(WORKS)], {"fair_value": replace(MEAN, days=1)}),
        ("threshold_missing", [when(WORKS)], {"change_of_control": ChangeOfControl(when="below")}),
        (
            "threshold_unexpected",
            [when(WORKS)],
            {"change_of_control": ChangeOfControl(when="always", proceeds_usd=Decimal(1))},
        ),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(code, tranches, terms):
    if code == "attester_interested" and "affiliate_ids" in terms:
        base = decide(BASE, AddStakeholder(**OF_ISS, holder_id=ENGINEER, name="Engineer", kind="other"))
    else:
        base = BASE
    shares = sum(tranche.shares for tranche in tranches)
    command = warrant(shares=shares, tranches=tuple(tranches), **{"programme_id": PROGRAMME, **terms})
    refused(base, command, code)


def test_a_source_whose_recorder_would_hold_the_warrant_is_refused():
    state = decide(BASE, AddStakeholder(**OF_ISS, holder_id=RECORDER, name="Exchange", kind="other"))
    command = warrant(shares=100, tranches=(when(WORKS),), holder_id=RECORDER, fair_value=MEAN)
    refused(state, command, "recorder_interested")


def test_a_net_exercise_counts_with_the_mean_that_the_warrant_states():
    state = settle(issue(when(DateMilestone(day=TODAY)), fair_value=MEAN))
    (event,) = ISSUER.decide(use(100, fair_value_usd=Decimal("0.5")), state)
    assert (event.shares, event.shares_surrendered) == (50, 50)
    assert date(2026, 3, 1) == TODAY


def test_a_recorder_moves_no_mean_by_steps_or_corrections():
    """Nine days of four times each, recorded in one hour, or a day corrected from 10 to 100,000, gave all shares."""
    state = decide(BASE, observe(10, TODAY - timedelta(days=30)))
    state = decide(state, observe(40, TODAY - timedelta(days=29)))
    refused(state, observe(160, TODAY - timedelta(days=28)), "observation_far_off")
    refused(state, correct(161, TODAY - timedelta(days=29)), "observation_far_off")
    state = decide(state, correct(40, TODAY - timedelta(days=29), volume=0))
    refused(state, observe(41, TODAY), "observation_far_off")
    assert decide(state, observe(160, TODAY, recorder_id=None))


@pytest.mark.parametrize("volume", [5_000, 10**12])
def test_one_day_counts_with_at_most_five_times_the_median_volume(volume):
    """A thousand million times the volume of a day at four times the price was the mean of all thirty days."""
    state = BASE
    for days in range(9, 0, -1):
        state = decide(state, observe(10, TODAY - timedelta(days=days)))
    state = decide(state, observe(38, volume=volume))
    assert find_average(state, MEAN) == Fraction(9 * 10 + 5 * 38, 14)


@pytest.mark.parametrize(("days", "is_known"), [(30, True), (31, False)])
def test_a_net_exercise_counts_with_no_old_mean(days, is_known):
    """Two and a half years after its last price, a mean of 100 still gave nine shares of ten."""
    state = decide(issue(WarrantTranche(shares=100), fair_value=MEAN), observe(10, TODAY - timedelta(days=1)))
    state = decide(state, observe(10))
    (held,) = state.warrants.values()
    found = find_value_for_warrant(state, held, held.interested, TODAY + timedelta(days=days))
    assert (found is not None) == is_known


@pytest.mark.parametrize(("price", "is_independent"), [(12, True), (13, False)])
def test_a_mean_of_more_than_four_times_the_independent_price_is_not_independent(price, is_independent):
    """A founder's friend recorded 1,000 as a source's first price, and a vendor's rights at 1.25 cost it nothing."""
    valued = RecordValuation(
        **OF_ISS, price_usd_per_share=Decimal(3), method="409A", effective_on=TODAY, recorded_by="platform"
    )
    state = decide(issue(WarrantTranche(shares=100), fair_value=MEAN), valued)
    state = decide(decide(state, observe(price, TODAY - timedelta(days=1), recorder_id=None)), observe(price))
    (held,) = state.warrants.values()
    found = find_value_for_warrant(state, held, held.interested, TODAY)
    assert (found.price_usd, found.is_independent) == (price, is_independent)


def test_what_affiliates_of_the_company_paid_is_no_price_that_a_first_one_is_near_to():
    """A round of the company's own affiliate at 600 let a recorder begin at 600, where a stranger had paid 1.25."""
    marks = tuple(
        PriceMark(Fraction(price), "a round", {buyer: Fraction(100)}, company_shares=Fraction(200))
        for price, buyer in ((Decimal("1.25"), ENGINEER), (600, AFFILIATE))
    )
    state = dataclasses.replace(BASE, price_marks=marks)
    refused(state, observe(600, insider_ids=frozenset({AFFILIATE})), "observation_far_off")
    assert decide(state, observe("1.25", insider_ids=frozenset({AFFILIATE}))) != state


@pytest.mark.parametrize("earlier", [(), (observe(12, TODAY - timedelta(days=31), recorder_id=None),)])
def test_a_first_price_and_one_after_a_gap_are_near_what_others_paid(earlier):
    """A recorder began at 600 where the fund had paid 1.25, and a target that the fund agreed to was met at once."""
    valued = RecordValuation(
        **OF_ISS,
        price_usd_per_share=Decimal(3),
        method="409A",
        effective_on=TODAY - timedelta(days=40),
        recorded_by="platform",
    )
    of_company = replace(valued, price_usd_per_share=Decimal(1_000), recorded_by="company")
    state = decide(BASE, valued, of_company, *earlier)
    refused(state, observe("12.01"), "observation_far_off")
    refused(state, observe("0.74"), "observation_far_off")
    assert decide(state, observe(12)) != state
    assert decide(state, observe(600, recorder_id=None)) != state


@pytest.mark.parametrize(("days", "is_independent"), [(366, True), (367, False)])
def test_a_valuation_is_independent_for_a_year(days, is_independent):
    valued = RecordValuation(
        **OF_ISS, price_usd_per_share=Decimal(3), method="409A", effective_on=TODAY, recorded_by="platform"
    )
    found = find_fair_value(decide(BASE, valued), frozenset(), TODAY + timedelta(days=days))
    assert found.is_independent == is_independent
