"""Options promised, vested and cancelled; warrants that vest by delivery, date and price, and end."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from events.issuer import (
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerStockSplit,
    IssuerValuationRecorded,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantVested,
)
from events.vesting import DateMilestone, DeliveryMilestone, PriceMilestone, VestingSchedule, WarrantTranche
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights.vesting import add_months, count_vested
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    CancelWarrant,
    Delivery,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    PromiseOption,
    TransferOption,
    VestWarrants,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.state import list_rows, total_shares
from tests.domain.issuer_samples import (
    COMPANY,
    EMPLOYEE,
    EXPIRY,
    FOUNDER,
    FUND,
    GRANT,
    NOON,
    OF_ISS,
    PROVIDER,
    WARRANT,
    WARRANT_TERMS,
    WARRANTED,
    grant,
    make_id,
    stakeholder,
    warrant,
)
from tests.support.spec import Given

PROMISE = {**OF_ISS, "promise_id": make_id("prm", 1), "holder_id": EMPLOYEE, "shares": 300_000}
PROMISED = IssuerOptionPromised(**PROMISE)
WITHDRAW = WithdrawPromise(**OF_ISS, promise_id=PROMISE["promise_id"], reason="left")
MONTHLY = VestingSchedule(
    starts_on=date(2026, 1, 31), tranches=48, months_between=1, cliff_tranches=12, allocation="CUMULATIVE_ROUND_DOWN"
)
LATER = {**GRANT, "option_id": make_id("opt", 2), "shares": 100_000}
VESTING = [*COMPANY, IssuerOptionGranted(**LATER, vesting=MONTHLY)]
GRANT_ID = make_id("grt", 1)
HOURS = 3_600


def exercise(shares, at=NOON):
    return ExerciseOption(
        **OF_ISS,
        exercise_id=make_id("exr", 1),
        option_id=LATER["option_id"],
        class_id="common",
        shares=shares,
        at=at,
    )


def cancel(shares, kind="forfeited", at=NOON):
    return CancelOption(
        **OF_ISS,
        cancellation_id=make_id("can", 1),
        option_id=LATER["option_id"],
        shares=shares,
        kind=kind,
        reason="the holder left",
        at=at,
    )


KEYLESS = make_id("stk", 1)
KEYLESS_OPTION = [
    *COMPANY,
    stakeholder(KEYLESS, "Employee", "employee"),
    IssuerOptionGranted(**{**LATER, "holder_id": KEYLESS}, vesting=MONTHLY),
]
PASSED = {**OF_ISS, "transfer_id": make_id("trf", 1), "option_id": LATER["option_id"], "holder_id": KEYLESS}
PASSED_ON = IssuerOptionTransferred(**PASSED, holder_id_after=EMPLOYEE, shares=100_000)
ALL_CANCELLED = IssuerOptionCancelled(
    **OF_ISS,
    cancellation_id=make_id("can", 1),
    option_id=LATER["option_id"],
    holder_id=KEYLESS,
    shares=100_000,
    kind="cancelled",
    reason="by agreement",
)


def pass_on(**terms):
    return TransferOption(**{**PASSED, "holder_id_after": EMPLOYEE, **terms})


def test_an_option_of_a_holder_without_a_key_passes_to_the_party_that_it_is():
    """It stayed with a holder that could never use it by its own key; only its stock could be transferred."""
    Given(ISSUER, *KEYLESS_OPTION).when(pass_on()).then(PASSED_ON)
    Given(ISSUER, *KEYLESS_OPTION, PASSED_ON).when(pass_on()).then()
    state = ISSUER.fold([*KEYLESS_OPTION, PASSED_ON])
    assert {row.holder_id for row in list_rows(state) if row.security == LATER["option_id"]} == {EMPLOYEE}
    (*_, exercised) = ISSUER.decide(exercise(25_000, NOON.replace(year=2027)), state)
    assert exercised.holder_id == EMPLOYEE, "it vests as before"


def test_a_promise_takes_from_what_is_available():
    Given(ISSUER, *COMPANY).when(PromiseOption(**PROMISE)).then(PROMISED)
    totals = total_shares(ISSUER.fold([*COMPANY, PROMISED]))
    assert (totals.promised, totals.pool, totals.fully_diluted) == (300_000, 500_000, 9_000_000)


def test_a_grant_keeps_a_promise_and_gives_back_what_it_does_not_use():
    keeping = grant(option_id=make_id("opt", 2), shares=250_000, promise_id=PROMISE["promise_id"])
    granted = IssuerOptionGranted(
        **{**GRANT, "option_id": make_id("opt", 2), "shares": 250_000}, promise_id=PROMISE["promise_id"]
    )
    Given(ISSUER, *COMPANY, PROMISED).when(keeping).then(granted)
    totals = total_shares(ISSUER.fold([*COMPANY, PROMISED, granted]))
    assert (totals.promised, totals.options, totals.pool) == (0, 450_000, 550_000)


def test_a_withdrawn_promise_is_available_again():
    withdrawn = IssuerOptionPromiseWithdrawn(**OF_ISS, promise_id=PROMISE["promise_id"], reason="left")
    Given(ISSUER, *COMPANY, PROMISED).when(WITHDRAW).then(withdrawn)
    assert total_shares(ISSUER.fold([*COMPANY, PROMISED, withdrawn])).pool == 800_000


def test_nothing_vests_before_the_cliff_and_all_at_the_end():
    option = ISSUER.fold(VESTING).options[LATER["option_id"]]
    days = (date(2027, 1, 30), date(2027, 1, 31), date(2028, 2, 29), date(2030, 1, 30), date(2030, 1, 31))
    assert [count_vested(option, day) for day in days] == [0, 25_000, 52_083, 97_916, 100_000]


def test_the_last_day_of_a_short_month_stands_for_a_day_that_it_lacks():
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2026, 12, 15), 1) == date(2027, 1, 15)


def test_a_split_keeps_the_end_of_service():
    """Who had left went on vesting after a split, and lost no right when its days were over."""
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=10, denominator=1)
    known, option = (ISSUER.fold(events).options[LATER["option_id"]] for events in (LEFT, [*LEFT, split]))
    assert option.exercisable_until == known.exercisable_until == (LEFT_AT + timedelta(days=90)).date()
    assert count_vested(option, date(2030, 1, 31)) == 270_833


def test_what_has_vested_is_exercised():
    at = NOON.replace(year=2027)
    exercised = IssuerOptionExercised(
        **OF_ISS,
        exercise_id=make_id("exr", 1),
        option_id=LATER["option_id"],
        holder_id=EMPLOYEE,
        class_id="common",
        shares=27_083,
    )
    Given(ISSUER, *VESTING).when(exercise(27_083, at)).then(exercised)


def test_vesting_goes_on_after_a_split():
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=10, denominator=1)
    option = ISSUER.fold([*VESTING, split]).options[LATER["option_id"]]
    assert count_vested(option, date(2027, 1, 31)) == 250_000


def test_what_is_forfeited_is_available_again_and_what_had_vested_stays():
    at = NOON.replace(year=2027)
    forfeited = IssuerOptionCancelled(
        **OF_ISS,
        cancellation_id=make_id("can", 1),
        option_id=LATER["option_id"],
        holder_id=EMPLOYEE,
        shares=72_917,
        kind="forfeited",
        reason="the holder left",
    )
    Given(ISSUER, *VESTING).when(cancel(72_917, at=at)).then(forfeited)
    state = ISSUER.fold([*VESTING, forfeited])
    assert state.shares_available == 700_000 + 72_917
    assert state.options[LATER["option_id"]].shares_outstanding == 27_083
    Given(ISSUER, *VESTING, forfeited).when(exercise(27_083, at)).then(
        *ISSUER.decide(exercise(27_083, at), ISSUER.fold(VESTING))
    )


LEFT_AT = NOON.replace(year=2027)
LEFT = [
    *COMPANY,
    IssuerOptionGranted(**LATER, vesting=MONTHLY, termination_exercise_days=90),
    IssuerOptionCancelled(
        **OF_ISS,
        cancellation_id=make_id("can", 2),
        option_id=LATER["option_id"],
        holder_id=EMPLOYEE,
        shares=0,
        kind="forfeited",
        reason="the holder left",
        service_ended_on=LEFT_AT.date(),
    ),
]
"""What had not vested is not forfeited yet, and vests no more."""


@pytest.mark.parametrize("denominator", [1, 7])
def test_a_split_does_not_bring_back_the_service_of_a_holder_that_left(denominator):
    """After a split the option vested on, and could be exercised without an end."""
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=10, denominator=denominator)
    before, after = (ISSUER.fold([*LEFT, *more]).options[LATER["option_id"]] for more in ((), (split,)))
    assert after.exercisable_until == before.exercisable_until == LEFT_AT.date() + timedelta(days=90)
    assert count_vested(after, date(2035, 1, 1)) == count_vested(after, LEFT_AT.date())


BY_DELIVERY = WarrantTranche(shares=60_000, conditions=((DeliveryMilestone(gpu_seconds=1_000 * HOURS),),))
BY_DAY_OR_PRICE = WarrantTranche(
    shares=40_000,
    conditions=(
        (DateMilestone(day=date(2026, 6, 1)), PriceMilestone(price_usd_per_share=Decimal(2))),
        (DeliveryMilestone(gpu_seconds=500 * HOURS),),
    ),
)
MILESTONES = IssuerWarrantIssued(**WARRANT_TERMS, tranches=(BY_DELIVERY, BY_DAY_OR_PRICE), grant_ids=(GRANT_ID,))
WITH_MILESTONES = [*COMPANY, MILESTONES]
OF_COMMON = {**OF_ISS, "method": "409A", "effective_on": date(2026, 3, 1), "recorded_by": "platform"}
VALUED = IssuerValuationRecorded(**OF_COMMON, price_usd_per_share=Decimal(2))


def vested(tranche, shares, hours, price="none", on_day=None):
    return IssuerWarrantVested(
        **OF_ISS,
        warrant_id=WARRANT,
        holder_id=PROVIDER,
        tranche=tranche,
        shares=shares,
        is_whole=True,
        on_day=on_day or NOON.date(),
        gpu_seconds=hours * HOURS,
        purchased_usd=Decimal(0),
        paid_usd=Decimal(0),
        price_usd_per_share=None if price == "none" else price,
    )


def deliver(hours):
    return {GRANT_ID: Delivery(gpu_seconds=hours * HOURS)}


def look(hours, at=NOON):
    return VestWarrants(**OF_ISS, delivered=deliver(hours), at=at)


LAST = EXPIRY - timedelta(days=1)


def use(shares, **changes):
    fields = {"exercise_id": make_id("exr", 2), "warrant_id": WARRANT, "shares": shares, "at": NOON}
    return ExerciseWarrant(**OF_ISS, **{**fields, **changes})


def test_a_warrant_with_milestones_is_issued():
    terms = {"tranches": (BY_DELIVERY, BY_DAY_OR_PRICE), "grant_ids": (GRANT_ID,)}
    Given(ISSUER, *COMPANY).when(warrant(**terms)).then(MILESTONES)


VESTS = {
    "too little was delivered": ([], look(499), []),
    "delivery alone is one of two conditions": ([], look(999), []),
    "delivery vests the first": ([], look(1_000), [vested(0, 60_000, 1_000)]),
    "the day comes and enough was delivered": ([], look(500, LAST), [vested(1, 40_000, 500, on_day=LAST.date())]),
    "the price is reached and enough was delivered": ([VALUED], look(500), [vested(1, 40_000, 500, "2/1")]),
    "both vest at once": ([VALUED], look(2_000), [vested(0, 60_000, 2_000, "2/1"), vested(1, 40_000, 2_000, "2/1")]),
    "nothing vests after the end": ([], look(2_000, EXPIRY + timedelta(days=1)), []),
}


@pytest.mark.parametrize("name", VESTS)
def test_warrants_vest_by_their_conditions(name):
    events, command, expected = VESTS[name]
    Given(ISSUER, *WITH_MILESTONES, *events).when(command).then(*expected)


def test_a_price_milestone_follows_a_split():
    split = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 1), numerator=2, denominator=1)
    halved = IssuerValuationRecorded(**{**OF_COMMON, "effective_on": date(2026, 3, 2)}, price_usd_per_share=Decimal(1))
    Given(ISSUER, *WITH_MILESTONES, split, halved).when(look(500)).then(vested(1, 80_000, 500, "1/1"))


def test_what_has_vested_stays_vested_when_the_price_falls():
    fallen = IssuerValuationRecorded(**{**OF_COMMON, "effective_on": date(2026, 4, 1)}, price_usd_per_share=Decimal(1))
    events = [*WITH_MILESTONES, VALUED, vested(1, 40_000, 500, "2/1"), fallen]
    assert ISSUER.fold(events).warrants[WARRANT].shares_exercisable == 40_000


def test_an_exercise_records_what_vests_by_then():
    exercised = IssuerWarrantExercised(
        **OF_ISS,
        exercise_id=make_id("exr", 2),
        warrant_id=WARRANT,
        holder_id=PROVIDER,
        class_id="common",
        shares=60_000,
    )
    command = use(60_000, delivered=deliver(1_000))
    Given(ISSUER, *WITH_MILESTONES).when(command).then(vested(0, 60_000, 1_000), exercised)


def test_a_net_exercise_gives_shares_for_the_gain():
    (event,) = ISSUER.decide(use(100_000, fair_value_usd=Decimal("0.30")), ISSUER.fold([*COMPANY, WARRANTED]))
    assert (event.shares, event.shares_surrendered) == (16_666, 83_334)


EXPIRE = ExpireWarrant(**OF_ISS, warrant_id=WARRANT, at=EXPIRY + timedelta(microseconds=1))
EXPIRED = IssuerWarrantExpired(**OF_ISS, warrant_id=WARRANT, holder_id=PROVIDER, shares=100_000)
CANCEL = {
    **OF_ISS,
    "cancellation_id": make_id("can", 5),
    "warrant_id": WARRANT,
    "shares": 40_000,
    "cause": make_id("ins", 5),
}
CANCELLED = IssuerWarrantCancelled(**CANCEL, holder_id=PROVIDER)


def test_rights_whose_principal_was_taken_back_end_once_and_count_no_more():
    Given(ISSUER, *COMPANY, WARRANTED).when(CancelWarrant(**CANCEL)).then(CANCELLED)
    Given(ISSUER, *COMPANY, WARRANTED, CANCELLED).when(CancelWarrant(**CANCEL)).then()
    after = ISSUER.fold([*COMPANY, WARRANTED, CANCELLED])
    assert total_shares(after).warrants == after.warrants[WARRANT].shares_exercisable == 60_000


def test_a_warrant_ends_after_its_last_instant_and_counts_no_more():
    Given(ISSUER, *COMPANY, WARRANTED).when(EXPIRE).then(EXPIRED)
    assert total_shares(ISSUER.fold([*COMPANY, WARRANTED, EXPIRED])).warrants == 0


def test_rights_that_are_exercised_net_alone_are_paid_in_cash_while_no_independent_value_is_known():
    """A startup chose this way for a fund's rights, and none of 900,000 USD of them could ever be used."""
    own = IssuerValuationRecorded(**{**OF_COMMON, "recorded_by": "company"}, price_usd_per_share=Decimal(2))
    for known in ([], [own]):
        events = ISSUER.decide(use(1), ISSUER.fold([*COMPANY, NET_ONLY, *known]))
        assert [each.shares for each in events if isinstance(each, IssuerWarrantExercised)] == [1]


NET_ONLY = IssuerWarrantIssued(**{**WARRANT_TERMS, "settlement": "net"})
CASH_ONLY = IssuerWarrantIssued(**{**WARRANT_TERMS, "settlement": "cash"})
IMPOSSIBLE = VestingSchedule(
    starts_on=date(2026, 1, 1), tranches=4, months_between=12, cliff_tranches=5, allocation="FRONT_LOADED"
)
ENDLESS = VestingSchedule(
    starts_on=date(9990, 1, 1), tranches=100, months_between=12, cliff_tranches=0, allocation="FRONT_LOADED"
)
REFUSED = {
    "promise": [
        ("promise_exists", [*COMPANY, PROMISED], PromiseOption(**{**PROMISE, "shares": 1})),
        ("stakeholder_unknown", COMPANY, PromiseOption(**{**PROMISE, "holder_id": FUND})),
        ("shares_not_positive", COMPANY, PromiseOption(**{**PROMISE, "shares": 0})),
        ("pool_exhausted", COMPANY, PromiseOption(**{**PROMISE, "shares": 800_001})),
        ("promise_unknown", COMPANY, WITHDRAW),
    ],
    "grant": [
        ("vesting_impossible", COMPANY, grant(option_id=make_id("opt", 2), vesting=IMPOSSIBLE)),
        ("vesting_impossible", COMPANY, grant(option_id=make_id("opt", 2), vesting=ENDLESS)),
        ("promise_unknown", COMPANY, grant(option_id=make_id("opt", 2), promise_id=make_id("prm", 9))),
        (
            "promise_differs",
            [*COMPANY, PROMISED],
            grant(option_id=make_id("opt", 2), promise_id=PROMISE["promise_id"], holder_id=FOUNDER),
        ),
        ("pool_exhausted", [*COMPANY, PROMISED], grant(option_id=make_id("opt", 2), shares=500_001)),
    ],
    "transfer": [
        ("option_unknown", COMPANY, pass_on()),
        ("option_not_held", KEYLESS_OPTION, pass_on(holder_id=make_id("stk", 2))),
        ("transfer_excluded", VESTING, pass_on(holder_id=EMPLOYEE)),
        ("transfer_excluded", KEYLESS_OPTION, pass_on(holder_id_after=make_id("stk", 2))),
        ("transfer_excluded", [*KEYLESS_OPTION, ALL_CANCELLED], pass_on()),
        ("stakeholder_unknown", KEYLESS_OPTION, pass_on(holder_id_after=make_id("pty", 9))),
        ("transfer_exists", [*KEYLESS_OPTION, PASSED_ON], pass_on(holder_id_after=PROVIDER)),
    ],
    "exercise": [
        ("option_unvested", VESTING, exercise(1)),
        ("option_unvested", VESTING, exercise(27_084, NOON.replace(year=2027))),
        ("option_expired", LEFT, exercise(27_084, LEFT_AT + timedelta(days=91))),
        ("option_unvested", LEFT, exercise(27_084, LEFT_AT + timedelta(days=90))),
        ("time_naive", VESTING, exercise(1, NOON.replace(tzinfo=None))),
    ],
    "cancel": [
        ("option_unknown", COMPANY, cancel(1)),
        ("shares_not_positive", VESTING, cancel(0)),
        ("shares_not_positive", LEFT, cancel(0, "expired")),
        ("option_vested", LEFT, cancel(72_918, at=LEFT_AT + timedelta(days=400))),
        ("time_naive", VESTING, cancel(1, at=NOON.replace(tzinfo=None))),
        ("option_overdrawn", VESTING, cancel(100_001)),
        ("option_vested", VESTING, cancel(72_918, at=NOON.replace(year=2027))),
    ],
    "warrant": [
        ("grant_missing", COMPANY, warrant(tranches=(BY_DELIVERY,), shares=60_000)),
        ("tranches_differ", COMPANY, warrant(tranches=(BY_DELIVERY,), grant_ids=(GRANT_ID,))),
        ("time_naive", WITH_MILESTONES, look(1, NOON.replace(tzinfo=None))),
    ],
    "warrant exercised": [
        ("warrant_unvested", WITH_MILESTONES, use(1)),
        ("warrant_unvested", [*WITH_MILESTONES, vested(0, 60_000, 1_000)], use(60_001)),
        ("settlement_excluded", [*COMPANY, CASH_ONLY], use(1, fair_value_usd=Decimal(1))),
        ("settlement_excluded", [*COMPANY, NET_ONLY, VALUED], use(1)),
        ("amount_not_positive", [*COMPANY, WARRANTED], use(1, fair_value_usd=Decimal(0))),
        ("exercise_worthless", [*COMPANY, WARRANTED], use(3, fair_value_usd=Decimal("0.30"))),
        ("warrant_expired", [*COMPANY, WARRANTED, EXPIRED], use(1)),
    ],
    "warrant expired": [
        ("warrant_unknown", COMPANY, EXPIRE),
        (
            "time_naive",
            [*COMPANY, WARRANTED],
            ExpireWarrant(**OF_ISS, warrant_id=WARRANT, at=NOON.replace(tzinfo=None)),
        ),
        ("warrant_runs", [*COMPANY, WARRANTED], ExpireWarrant(**OF_ISS, warrant_id=WARRANT, at=EXPIRY)),
    ],
    "warrant cancelled": [
        ("warrant_unknown", COMPANY, CancelWarrant(**CANCEL)),
        ("cancellation_exists", [*COMPANY, WARRANTED, CANCELLED], CancelWarrant(**CANCEL | {"shares": 2})),
        ("shares_not_positive", [*COMPANY, WARRANTED], CancelWarrant(**CANCEL | {"shares": 0})),
        ("warrant_overdrawn", [*COMPANY, WARRANTED], CancelWarrant(**CANCEL | {"shares": 100_001})),
    ],
}


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


def test_an_exercise_under_a_used_id_is_refused():
    done = ISSUER.decide(use(10), ISSUER.fold([*COMPANY, WARRANTED]))
    Given(ISSUER, *COMPANY, WARRANTED, *done).when(use(11)).refused("exercise_exists")
    exercised = ISSUER.decide(exercise(1, EXPIRY), ISSUER.fold(VESTING))
    Given(ISSUER, *VESTING, *exercised).when(exercise(2, EXPIRY)).refused("exercise_exists")
    cancelled = ISSUER.decide(cancel(1), ISSUER.fold(VESTING))
    Given(ISSUER, *VESTING, *cancelled).when(cancel(2)).refused("cancellation_exists")
