"""Accounts: available and held money."""

import pytest
from msgspec import structs

from events.account import (
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountClosed,
    AccountCreditCommitted,
    AccountCredited,
    AccountCreditLimited,
    AccountDebited,
    AccountDeposited,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountLimitUsed,
    AccountOpened,
    AccountReserved,
    AccountWithdrawn,
    HoldAct,
    LimitAct,
    WithdrawalAct,
)
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.instants import render_instant
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import (
    Approve,
    EndApproval,
    KeyHolder,
    LapseApproval,
    RequestApproval,
    SetLimit,
    UseLimit,
)
from tests.domain import build
from tests.domain.build import (
    FUND_ACCOUNT,
    HOLD,
    INFINITY,
    INSTRUMENT,
    NAN,
    ORDER,
    PROVIDER_ACCOUNT,
    STATEMENT,
    Row,
    adjust_hold,
    capture_hold,
    close_account,
    credit,
    debit,
    deposit,
    expire_hold,
    hour,
    id_of,
    place_hold,
    usd,
    withdraw,
)
from tests.support.spec import Given

MINE = {"account_id": build.STARTUP_ACCOUNT, "party_id": build.STARTUP}
OPENED = AccountOpened(**MINE, unit="USD")
DEPOSITED = AccountDeposited(**MINE, amount_usd=usd(100), reference="wire 1")
WITHDRAWN = AccountWithdrawn(**MINE, amount_usd=usd(30), reference="wire 2")
HELD = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(60), purpose=ORDER)
CAPTURED = AccountHoldCaptured(
    **MINE, hold_id=HOLD, amount_usd=usd(25), payee_account_id=PROVIDER_ACCOUNT, cause=STATEMENT
)
DEBITED = AccountDebited(**MINE, amount_usd=usd(40), payee_account_id=PROVIDER_ACCOUNT, cause=INSTRUMENT)
CREDITED = AccountCredited(**MINE, amount_usd=usd(7), payer_account_id=FUND_ACCOUNT, cause=INSTRUMENT)
FUNDED = (OPENED, DEPOSITED)
LENT = AccountCreditLimited(**MINE, provider_id=build.PROVIDER, limit_usd=usd(70))
RESERVED = AccountReserved(**MINE, amount_usd=usd(10), until=hour(5), cause=STATEMENT)
CLOSED = AccountClosed(**MINE, reason="wound up")
TIMED = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(60), purpose=PROVIDER_ACCOUNT, expires_at=hour(5))
EXPIRED = AccountHoldExpired(**MINE, hold_id=HOLD, amount_usd=usd(60), at=hour(5))
place_timed = build.builder(place_hold(purpose=PROVIDER_ACCOUNT, expires_at=hour(5), at=hour(1)))


def borrow(amount, **more):
    return place_hold(amount_usd=usd(0), credit=(build.PROVIDER, usd(amount)), **more)


def released(amount):
    return AccountHoldReleased(**MINE, hold_id=HOLD, amount_usd=usd(amount), reason="cancelled")


APPROVAL, ITS_HOLD, PAYEE_HOLD = id_of("apv"), id_of("hld"), derive_id("hld", id_of("apv"))
WIRE = WithdrawalAct(amount_usd=usd(60), reference="wire 9")
FOR_OTHER = HoldAct(amount_usd=usd(60), payee_account_id=PROVIDER_ACCOUNT, expires_at=hour(200))
LIMITED = AccountLimitSet(**MINE, limit_usd=usd(50))
USE = UseLimit(account_id=build.STARTUP_ACCOUNT, amount_usd=usd("50.01"), cause=id_of("cmd"), at=hour(1))
request = build.builder(
    RequestApproval(account_id=build.STARTUP_ACCOUNT, approval_id=APPROVAL, act=WIRE, person="p1", at=hour(1))
)
approve = build.builder(Approve(account_id=build.STARTUP_ACCOUNT, approval_id=APPROVAL, person="p2", at=hour(2)))
end = build.builder(
    EndApproval(account_id=build.STARTUP_ACCOUNT, approval_id=APPROVAL, outcome="refused", reason="no", person="p2")
)
lapse = build.builder(LapseApproval(account_id=build.STARTUP_ACCOUNT, approval_id=APPROVAL, at=hour(73)))


def requested(act=WIRE, hold_id=ITS_HOLD, operator=None):
    named = {"approval_id": APPROVAL, "person": "p1", "approve_until": hour(73), "operator": operator}
    return AccountApprovalRequested(**MINE, **named, act=act, hold_id=hold_id)


def ended(outcome, reason="no", person="p2"):
    return AccountApprovalEnded(**MINE, approval_id=APPROVAL, outcome=outcome, reason=reason, person=person)


WAITING_HOLD = AccountHoldPlaced(**MINE, hold_id=ITS_HOLD, amount_usd=usd(60), purpose=APPROVAL)
WAITING = (*FUNDED, LIMITED, requested(), WAITING_HOLD)
GIVEN = AccountApprovalGiven(**MINE, approval_id=APPROVAL, person="p2")
FREED = AccountHoldReleased(**MINE, hold_id=ITS_HOLD, amount_usd=usd(60), reason="a second person approved")
PAID = AccountWithdrawn(**MINE, amount_usd=usd(60), reference="wire 9")


def set_limit(limit_usd, **fields):
    return SetLimit(account_id=build.STARTUP_ACCOUNT, limits=LimitAct(limit_usd=limit_usd), **fields)


def set_alone(*approvers):
    """Set a limit as one person, where keys that may approve act for these persons."""
    holders = frozenset(KeyHolder(*each) for each in approvers)
    return set_limit(usd(50), person="p1", operator="operator 1", approvers=holders)


BUYS = AccountLimitSet(**MINE, limit_usd=None, order_limit_usd=usd(70), week_limit_usd=usd(90))

REFUSALS = [
    Row("account_unknown", (), deposit()),
    Row("account_exists", (OPENED,), build.open_account(party_id=build.FUND)),
    Row("approval_exists", WAITING, request(person="p3")),
    Row("approval_unknown", FUNDED, approve()),
    Row("approval_unknown", FUNDED, end()),
    Row("approval_approved", (*WAITING, GIVEN, FREED, PAID), approve(person="p3")),
    Row("approval_approved", (*WAITING, GIVEN, FREED, PAID), end()),
    Row("approval_refused", (*WAITING, ended("refused")), approve()),
    Row("approval_withdrawn", (*WAITING, ended("withdrawn")), approve()),
    Row("approval_lapsed", (*WAITING, ended("lapsed")), approve()),
    Row("approval_lapsed", WAITING, approve(at=hour(73))),
    Row("approval_not_due", WAITING, lapse(at=hour(72))),
    Row("person_missing", (*FUNDED, LIMITED), request(person="")),
    Row("person_missing", FUNDED, set_limit(usd(1), person="")),
    Row("person_missing", WAITING, approve(person="")),
    Row("person_missing", WAITING, end(person="")),
    Row("person_same", WAITING, approve(person="p1")),
    Row("person_same", (*FUNDED, LIMITED, requested(operator="op"), WAITING_HOLD), approve(operator="op")),
    Row("person_same", WAITING, end(person="p1")),
    Row("requester_only", WAITING, end(outcome="withdrawn")),
    Row("unit_unsupported", FUNDED, set_limit(usd(1), unit="EUR"), "/unit"),
    Row("unit_unsupported", (*FUNDED, LIMITED), request(act=LimitAct(limit_usd=None), unit="EUR"), "/unit"),
    Row("payee_is_payer", FUNDED, place_hold(purpose=build.STARTUP_ACCOUNT), "/payee_account_id"),
    Row("not_a_number", (OPENED,), deposit(amount_usd=NAN), "/amount_usd"),
    Row("not_a_number", (OPENED,), credit(amount_usd=INFINITY), "/amount_usd"),
    Row("not_a_number", (*FUNDED, HELD), adjust_hold(amount_usd=NAN), "/amount_usd"),
    Row("amount_not_positive", (OPENED,), deposit(amount_usd=usd(0)), "/amount_usd"),
    Row("amount_not_positive", FUNDED, withdraw(amount_usd=usd(-1)), "/amount_usd"),
    Row("amount_not_positive", FUNDED, place_hold(amount_usd=usd(-1)), "/amount_usd"),
    Row("amount_not_positive", FUNDED, place_hold(amount_usd=usd(0), purpose=build.PROVIDER_ACCOUNT), "/amount_usd"),
    Row("amount_not_positive", (*FUNDED, HELD), capture_hold(amount_usd=usd(0)), "/amount_usd"),
    Row("amount_not_positive", (*FUNDED, HELD), adjust_hold(amount_usd=usd(-5)), "/amount_usd"),
    Row("amount_not_positive", FUNDED, debit(amount_usd=usd(-1)), "/amount_usd"),
    Row("amount_not_positive", FUNDED, set_limit(usd(-1)), "/limit_usd"),
    Row("amount_not_positive", (*FUNDED, LIMITED), request(act=LimitAct(limit_usd=usd(-1))), "/limit_usd"),
    Row("amount_too_large", FUNDED, set_limit(usd(10**16)), "/limit_usd"),
    Row("amount_too_large", (OPENED,), deposit(amount_usd=usd("1000000000000000.01")), "/amount_usd"),
    Row("amount_too_precise", (OPENED,), deposit(amount_usd=usd("0.001")), "/amount_usd"),
    Row("reference_exists", FUNDED, deposit(amount_usd=usd(101)), "/reference"),
    Row("reference_exists", FUNDED, withdraw(amount_usd=usd(100), reference="wire 1"), "/reference"),
    Row("reference_exists", WAITING, request(approval_id=id_of("apv", 2)), "/reference"),
    Row("reference_exists", (*WAITING, PAID), approve(), "/reference"),
    Row("cause_exists", (*FUNDED, HELD, CAPTURED), capture_hold(amount_usd=usd(26))),
    Row("cause_exists", (*FUNDED, DEBITED), debit(amount_usd=usd(39))),
    Row("cause_exists", (*FUNDED, CREDITED), credit(amount_usd=usd(8))),
    Row("hold_exists", (*FUNDED, HELD), place_hold(amount_usd=usd(61))),
    Row("hold_exists", (*FUNDED, HELD), place_hold(purpose=id_of("ord", 2))),
    Row("hold_exists", (*FUNDED, TIMED), place_timed(expires_at=hour(6))),
    Row("second_person_missing", FUNDED, set_alone()),
    Row("second_person_missing", FUNDED, set_alone(("", None), ("p1", None))),
    Row("second_person_missing", FUNDED, set_alone(("p2", "operator 1"))),
    Row("limit_exceeded", (*FUNDED, LIMITED), USE),
    Row("limit_exceeded", (*FUNDED, LIMITED), close_account(alone=True)),
    Row("limit_exceeded", (*FUNDED, BUYS), place_hold(amount_usd=usd(71), bought_at=hour(1))),
    Row("limit_exceeded", (*FUNDED, BUYS), place_hold(amount_usd=usd(1), bought_at=hour(1), is_staged=True)),
    Row("holds_left", (*FUNDED, HELD), close_account()),
    Row("hold_unknown", FUNDED, capture_hold()),
    Row("hold_unknown", FUNDED, adjust_hold()),
    Row("hold_unknown", FUNDED, expire_hold()),
    Row("account_closed", (*FUNDED, CLOSED), deposit(reference="wire 9")),
    Row("account_closed", (*FUNDED, CLOSED), place_hold()),
    Row("account_closed", (*FUNDED, CLOSED), debit()),
    Row("account_closed", (*FUNDED, HELD, released(60), CLOSED), adjust_hold(amount_usd=usd(1))),
    Row("holds_exhausted", (*FUNDED, HELD), place_hold(hold_id=build.id_of("hld", 7), amount_usd=usd(1), quota=1)),
    Row("time_naive", FUNDED, place_timed(expires_at=build.NAIVE), "/expires_at"),
    Row("time_naive", (*FUNDED, TIMED), expire_hold(at=build.NAIVE), "/at"),
    Row("expiry_passed", FUNDED, place_timed(at=hour(5)), "/expires_at"),
    Row("expiry_passed", (*FUNDED, LIMITED), request(act=FOR_OTHER, at=hour(200)), "/expires_at"),
    Row("hold_not_due", (*FUNDED, TIMED), expire_hold(at=hour(4))),
    Row("hold_not_due", (*FUNDED, HELD), expire_hold()),
    Row("hold_expired", (*FUNDED, TIMED, EXPIRED), capture_hold()),
    Row("hold_expired", (*FUNDED, TIMED), capture_hold(at=hour(5))),
    Row("hold_expired", (*FUNDED, TIMED, EXPIRED), adjust_hold(amount_usd=usd(1))),
    Row("funds_insufficient", FUNDED, withdraw(amount_usd=usd("100.01"))),
    Row("funds_insufficient", (*FUNDED, HELD, LIMITED), request()),
    Row("funds_insufficient", FUNDED, place_hold(amount_usd=usd("100.01"))),
    Row("funds_insufficient", (*FUNDED, HELD), debit(amount_usd=usd("40.01"))),
    Row("funds_insufficient", (*FUNDED, HELD), adjust_hold(amount_usd=usd("100.01"))),
    Row("funds_reserved", (*FUNDED, RESERVED), withdraw(amount_usd=usd("90.01"), at=hour(4))),
    Row("funds_reserved", (*FUNDED, RESERVED), place_timed(amount_usd=usd("90.01"))),
    Row("credit_exhausted", (*FUNDED, LENT), borrow("70.01"), "/terms/credit/amount_usd"),
    Row("capture_above_hold", (*FUNDED, HELD), capture_hold(amount_usd=usd("60.01"))),
]
PRECEDENCE = [
    Row("reference_exists", (*FUNDED, CLOSED), deposit(amount_usd=usd(101))),
    Row("hold_unknown", (*FUNDED, CLOSED), adjust_hold(amount_usd=usd(1))),
    Row("account_closed", (*FUNDED, CLOSED), place_timed(at=hour(6))),
    Row("expiry_passed", FUNDED, place_timed(at=hour(6), amount_usd=usd(101))),
    Row("hold_expired", (*FUNDED, TIMED, EXPIRED), capture_hold(amount_usd=usd(61))),
    Row("account_unknown", (), deposit(amount_usd=NAN)),
    Row("not_a_number", FUNDED, deposit(amount_usd=NAN)),
    Row("amount_too_precise", FUNDED, deposit(amount_usd=usd("100.001"))),
    Row("reference_exists", FUNDED, withdraw(amount_usd=usd(101), reference="wire 1")),
    Row("cause_exists", (*FUNDED, HELD, CAPTURED), capture_hold(amount_usd=usd(61), hold_id=id_of("hld", 2))),
    Row("cause_exists", (*FUNDED, DEBITED), debit(amount_usd=usd(101))),
    Row("hold_exists", (*FUNDED, HELD), place_hold(amount_usd=usd(101))),
    Row("not_a_number", FUNDED, capture_hold(amount_usd=NAN)),
    Row("not_a_number", FUNDED, adjust_hold(amount_usd=NAN)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(ACCOUNT, row)


def test_opens():
    Given(ACCOUNT).when(build.open_account()).then(OPENED)
    Given(ACCOUNT, *FUNDED, HELD).when(build.open_account()).then_nothing()


def test_deposits_and_withdraws():
    Given(ACCOUNT, OPENED).when(deposit()).then(DEPOSITED)
    Given(ACCOUNT, *FUNDED).when(withdraw()).then(WITHDRAWN)


def test_a_payment_counts_once_however_late_it_is_repeated():
    more = AccountDeposited(**MINE, amount_usd=usd(1_000), reference="wire 3")
    given = (*FUNDED, WITHDRAWN, more, HELD, CAPTURED, DEBITED, CREDITED)
    for command in (deposit(), withdraw(), capture_hold(), debit(), credit()):
        Given(ACCOUNT, *given).when(command).then_nothing()


def test_withdraws_down_to_nothing_but_not_held_money():
    everything = AccountWithdrawn(**MINE, amount_usd=usd(40), reference="wire 2")
    Given(ACCOUNT, *FUNDED, HELD).when(withdraw(amount_usd=usd(40))).then(everything)
    Given(ACCOUNT, *FUNDED, HELD).when(withdraw(amount_usd=usd("40.01"))).refused("funds_insufficient")


def test_holds_and_a_hold_may_be_of_nothing():
    Given(ACCOUNT, *FUNDED).when(place_hold()).then(HELD)
    nothing = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(0), purpose=ORDER)
    Given(ACCOUNT, OPENED).when(place_hold(amount_usd=usd(0))).then(nothing)
    Given(ACCOUNT, OPENED, nothing).when(capture_hold(amount_usd=usd("0.01"))).refused("capture_above_hold")


def test_a_hold_takes_credit_until_it_ends_and_a_lower_limit_takes_nothing_back():
    taken = AccountCreditCommitted(**MINE, lender_id=build.PROVIDER, hold_id=HOLD, amount_usd=usd(70))
    nothing = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(0), purpose=ORDER)
    Given(ACCOUNT, OPENED, LENT).when(borrow(70)).then(nothing, taken)
    revoked = structs.replace(LENT, limit_usd=usd(0))
    given = (OPENED, LENT, nothing, taken, revoked)
    Given(ACCOUNT, *given).when(borrow("0.01", hold_id=id_of("hld", 7))).refused("credit_exhausted")
    Given(ACCOUNT, *given).when(borrow(1, hold_id=id_of("hld", 7), quota=1)).refused("holds_exhausted")
    Given(ACCOUNT, *given).when(close_account()).refused("holds_left")
    Given(ACCOUNT, *given).when(adjust_hold(keeps_credit=True)).then_nothing()
    Given(ACCOUNT, *given).when(adjust_hold()).then(structs.replace(taken, amount_usd=usd(0)))


def test_captures_and_frees_what_is_left():
    Given(ACCOUNT, *FUNDED, HELD).when(capture_hold()).then(CAPTURED)
    Given(ACCOUNT, *FUNDED, HELD, CAPTURED).when(adjust_hold()).then(released(35))
    state = ACCOUNT.fold([*FUNDED, HELD, CAPTURED, released(35)])
    assert (state.available_usd, state.held_usd) == (75, 0)


def test_adjusts_down_and_up():
    Given(ACCOUNT, *FUNDED, HELD).when(adjust_hold(amount_usd=usd(50))).then(released(10))
    rest = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(40), purpose=ORDER)
    Given(ACCOUNT, *FUNDED, HELD).when(adjust_hold(amount_usd=usd(100))).then(rest)
    assert ACCOUNT.fold([*FUNDED, HELD, rest]).available_usd == 0


def test_an_adjustment_tells_what_is_left_beside_what_was_captured():
    more = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(25), purpose=ORDER)
    Given(ACCOUNT, *FUNDED, HELD, CAPTURED).when(adjust_hold(amount_usd=usd(60))).then(more)
    hold = ACCOUNT.fold([*FUNDED, HELD, CAPTURED, more]).holds[HOLD]
    assert (hold.left_usd, hold.captured_usd, hold.purpose) == (60, 25, ORDER)


def test_several_causes_draw_on_one_hold():
    second = capture_hold(cause=id_of("stm", 2), amount_usd=usd(35))
    Given(ACCOUNT, *FUNDED, HELD, CAPTURED).when(second).then(
        AccountHoldCaptured(
            **MINE, hold_id=HOLD, amount_usd=usd(35), payee_account_id=PROVIDER_ACCOUNT, cause=id_of("stm", 2)
        )
    )


def test_debits_and_credits():
    Given(ACCOUNT, *FUNDED).when(debit()).then(DEBITED)
    Given(ACCOUNT, OPENED).when(credit()).then(CREDITED)


def test_one_cause_may_pay_several_counterparts():
    other = credit(payer_account_id=PROVIDER_ACCOUNT)
    Given(ACCOUNT, OPENED, CREDITED).when(other).then(
        AccountCredited(**MINE, amount_usd=usd(7), payer_account_id=PROVIDER_ACCOUNT, cause=INSTRUMENT)
    )


def test_a_hold_expires_once_and_what_was_left_is_available():
    captured = AccountHoldCaptured(
        **MINE, hold_id=HOLD, amount_usd=usd(25), payee_account_id=PROVIDER_ACCOUNT, cause=STATEMENT
    )
    rest = AccountHoldExpired(**MINE, hold_id=HOLD, amount_usd=usd(35), at=hour(7))
    Given(ACCOUNT, *FUNDED).when(place_timed()).then(TIMED)
    Given(ACCOUNT, *FUNDED, TIMED).when(capture_hold(at=hour(4))).then(captured)
    Given(ACCOUNT, *FUNDED, TIMED, captured).when(expire_hold(at=hour(7))).then(rest)
    Given(ACCOUNT, *FUNDED, TIMED, captured, rest).when(expire_hold(at=hour(9))).then_nothing()
    state = ACCOUNT.fold([*FUNDED, TIMED, captured, rest])
    assert (state.available_usd, state.held_usd, state.holds[HOLD].captured_usd) == (75, 0, 25)


def test_a_closed_account_is_paid_what_it_is_owed_and_may_be_emptied():
    Given(ACCOUNT, *FUNDED).when(close_account()).then(CLOSED)
    Given(ACCOUNT, *FUNDED, CLOSED).when(close_account(reason="again")).then_nothing()
    Given(ACCOUNT, *FUNDED, CLOSED).when(credit()).then(CREDITED)
    Given(ACCOUNT, *FUNDED, CLOSED).when(withdraw()).then(WITHDRAWN)


def test_a_raised_hold_keeps_its_expiry():
    more = AccountHoldPlaced(**MINE, hold_id=HOLD, amount_usd=usd(10), purpose=PROVIDER_ACCOUNT, expires_at=hour(5))
    Given(ACCOUNT, *FUNDED, TIMED).when(adjust_hold(amount_usd=usd(70))).then(more)
    assert ACCOUNT.fold([*FUNDED, TIMED, more]).holds[HOLD].expires_at == hour(5)


def test_the_first_limit_takes_one_person_and_no_limit_none():
    Given(ACCOUNT, *FUNDED).when(set_limit(usd(50))).then(LIMITED)
    Given(ACCOUNT, *FUNDED).when(set_alone(("p2", None))).then(LIMITED)
    with pytest.raises(Refusal, match="could act as all of them; ask another operator"):
        ACCOUNT.decide(set_alone(("p2", "operator 1")), ACCOUNT.fold(FUNDED))
    Given(ACCOUNT, *FUNDED, LIMITED).when(set_limit(usd(50))).then_nothing()
    assert not ACCOUNT.fold(FUNDED).needs_second(usd(100), hour(1))


def test_what_one_person_buys_counts_for_a_week_while_it_is_held_or_paid():
    bought = structs.replace(HELD, bought_at=hour(1))
    Given(ACCOUNT, *FUNDED, BUYS).when(place_hold(bought_at=hour(1))).then(bought)
    Given(ACCOUNT, *FUNDED, BUYS).when(place_hold(amount_usd=usd(80))).then(structs.replace(HELD, amount_usd=usd(80)))
    Given(ACCOUNT, *FUNDED).when(place_hold(bought_at=hour(1))).then(HELD)
    other = {"hold_id": id_of("hld", 7), "purpose": id_of("ord", 7), "amount_usd": usd(40)}
    one, week = (*FUNDED, BUYS, bought), hour(1 + 7 * 24)
    paid = (*one, CAPTURED, released(35))
    Given(ACCOUNT, *one).when(place_hold(**other, bought_at=hour(2))).refused("limit_exceeded")
    owed = (*FUNDED, BUYS, structs.replace(bought, amount_usd=usd(0), principal_usd=usd(60)))
    Given(ACCOUNT, *owed).when(place_hold(**other, bought_at=hour(2))).refused("limit_exceeded")
    promised = place_hold(**other | {"amount_usd": usd(1)}, principal_usd=usd(70), bought_at=hour(2))
    Given(ACCOUNT, *FUNDED, BUYS).when(promised).refused("limit_exceeded")
    assert not ACCOUNT.fold(owed).needs_second_to_buy(usd(60), hour(2), HELD.purpose), "an order counts once"
    for before, at in [((*one, released(60)), hour(2)), (one, week), (owed, week), (paid, hour(2))]:
        then = AccountHoldPlaced(**MINE, **other, bought_at=at)
        Given(ACCOUNT, *before).when(place_hold(**other, bought_at=at)).then(then)


def test_what_one_person_lets_go_counts_for_a_day():
    used = AccountLimitUsed(**MINE, amount_usd=usd(30), at=hour(1))
    Given(ACCOUNT, *FUNDED, LIMITED).when(withdraw(alone_at=hour(1))).then(used, WITHDRAWN)
    Given(ACCOUNT, *FUNDED).when(withdraw(alone_at=hour(1))).then(WITHDRAWN)
    Given(ACCOUNT, *FUNDED, LIMITED, used, WITHDRAWN).when(withdraw(alone_at=hour(2))).then_nothing()
    Given(ACCOUNT, *FUNDED, LIMITED).when(place_timed(alone_at=hour(1))).then(
        AccountLimitUsed(**MINE, amount_usd=usd(60), at=hour(1)), TIMED
    )
    mine = UseLimit(account_id=build.STARTUP_ACCOUNT, amount_usd=usd(30), cause=id_of("cmd"), at=hour(1))
    Given(ACCOUNT, *FUNDED, LIMITED).when(mine).then(structs.replace(used, cause=mine.cause))
    Given(ACCOUNT, *FUNDED).when(USE).then_nothing()
    Given(ACCOUNT, *FUNDED, LIMITED, HELD).when(adjust_hold(amount_usd=usd(90), alone_at=hour(1))).then(
        AccountLimitUsed(**MINE, amount_usd=usd(30), at=hour(1)),
        structs.replace(HELD, amount_usd=usd(30)),
    )
    state = ACCOUNT.fold([*FUNDED, LIMITED, used, WITHDRAWN])
    assert [state.needs_second(usd(amount), hour(24)) for amount in (20, "20.01")] == [False, True]
    assert not state.needs_second(usd(50), hour(25))


def test_a_withdrawal_that_waits_holds_its_money_until_another_person_approves_it():
    Given(ACCOUNT, *FUNDED, LIMITED).when(request()).then(requested(), WAITING_HOLD)
    Given(ACCOUNT, *WAITING).when(withdraw(amount_usd=usd("40.01"))).refused("funds_insufficient")
    Given(ACCOUNT, *WAITING).when(approve()).then(GIVEN, FREED, PAID)
    state = ACCOUNT.fold([*WAITING, GIVEN, FREED, PAID])
    assert (state.available_usd, state.held_usd) == (40, 0)
    again = request(act=WithdrawalAct(amount_usd=usd(30), reference="wire 2"))
    Given(ACCOUNT, *FUNDED, LIMITED, WITHDRAWN).when(again).then_nothing()


def test_a_request_ends_by_refusal_withdrawal_and_lapse_and_frees_its_money():
    until = render_instant(hour(73))
    no = AccountHoldReleased(**MINE, hold_id=ITS_HOLD, amount_usd=usd(60), reason="no")
    Given(ACCOUNT, *WAITING).when(end()).then(ended("refused"), no)
    Given(ACCOUNT, *WAITING).when(end(person=None)).then(ended("refused", person=None), no)
    own = end(outcome="withdrawn", person="p1")
    Given(ACCOUNT, *WAITING).when(own).then(ended("withdrawn", person="p1"), no)
    reason = f"nobody else approved it until {until}"
    late = AccountHoldReleased(**MINE, hold_id=ITS_HOLD, amount_usd=usd(60), reason=reason)
    over = ended("lapsed", reason, None)
    Given(ACCOUNT, *WAITING).when(lapse()).then(over, late)
    Given(ACCOUNT, *WAITING, over, late).when(lapse()).then_nothing()


def test_a_hold_for_another_and_a_limit_wait_too():
    asked = requested(FOR_OTHER)
    Given(ACCOUNT, *FUNDED, LIMITED).when(request(act=FOR_OTHER)).then(asked, WAITING_HOLD)
    placed = AccountHoldPlaced(
        **MINE, hold_id=PAYEE_HOLD, amount_usd=usd(60), purpose=PROVIDER_ACCOUNT, expires_at=hour(200)
    )
    Given(ACCOUNT, *FUNDED, LIMITED, asked, WAITING_HOLD).when(approve()).then(GIVEN, FREED, placed)
    none = LimitAct(limit_usd=None)
    Given(ACCOUNT, *FUNDED, LIMITED).when(request(act=none)).then(requested(none, None))
    Given(ACCOUNT, *FUNDED, LIMITED, requested(none, None)).when(approve()).then(
        GIVEN, AccountLimitSet(**MINE, limit_usd=None)
    )


def test_a_closed_account_is_emptied_by_two_persons():
    Given(ACCOUNT, *FUNDED, LIMITED, CLOSED).when(request()).then(requested(), WAITING_HOLD)
