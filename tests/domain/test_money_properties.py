"""Money is conserved: accounts, mandates."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from events.account import LimitAct, WithdrawalAct
from events.mandate import MandateBudgetHeld
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import (
    AdjustHold,
    Approve,
    CaptureHold,
    Credit,
    Debit,
    Deposit,
    EndApproval,
    LimitCredit,
    PlaceHold,
    RequestApproval,
    Reserve,
    SetLimit,
    Withdraw,
)
from marketplace.domain.trading.mandate import MANDATE, AmendMandate, RevokeMandate
from tests.domain import build
from tests.domain.build import hour, id_of, usd
from tests.domain.walk import WALK, step

cents = st.integers(1, 20_000).map(lambda number: Decimal(number).scaleb(-2))
kept = st.integers(0, 20_000).map(lambda number: Decimal(number).scaleb(-2))
holds = st.sampled_from([id_of("hld", number) for number in range(1, 4)])
causes = st.sampled_from([id_of("stm", number) for number in range(1, 4)])
others = st.sampled_from([id_of("acc", number) for number in range(7, 9)])
references = st.sampled_from(["w1", "w2", "w3", "w4", "w5"])
moments = st.integers(1, 9).map(hour)
account_commands = st.one_of(
    st.builds(build.deposit, amount_usd=cents, reference=references),
    st.builds(build.withdraw, amount_usd=cents, reference=references),
    st.builds(build.place_hold, hold_id=holds, amount_usd=kept),
    st.builds(build.capture_hold, hold_id=holds, amount_usd=cents, payee_account_id=others, cause=causes),
    st.builds(build.place_hold, hold_id=holds, amount_usd=kept, expires_at=moments, at=st.just(hour(0))),
    st.builds(build.expire_hold, hold_id=holds, at=moments),
    st.builds(build.adjust_hold, hold_id=holds, amount_usd=kept),
    st.builds(build.debit, amount_usd=cents, payee_account_id=others, cause=causes),
    st.builds(build.credit, amount_usd=cents, payer_account_id=others, cause=causes),
)
IN, OUT = {"AccountDeposited", "AccountCredited"}, {"AccountWithdrawn", "AccountDebited", "AccountHoldCaptured"}
ONCE = (Deposit, Withdraw, CaptureHold, Debit, Credit)


@WALK
@given(st.lists(account_commands, min_size=5, max_size=40), st.data())
def test_what_came_in_less_what_went_out_is_available_or_held(walk, data):
    account, log = ACCOUNT.fold([]), []
    account, _, _ = step(ACCOUNT, account, build.open_account())
    took_effect = []
    for command in walk:
        account, events, _ = step(ACCOUNT, account, command)
        log.extend(events)
        if events and isinstance(command, ONCE):
            took_effect.append(command)
        if took_effect:
            late = data.draw(st.sampled_from(took_effect))
            assert list(ACCOUNT.decide(late, account)) == [], "a payment counts once, however late it is repeated"
        assert account.available_usd >= 0
        assert all(min(hold.left_usd, hold.captured_usd) >= 0 for hold in account.holds.values())
        came = sum((event.amount_usd for event in log if type(event).__name__ in IN), ZERO)
        went = sum((event.amount_usd for event in log if type(event).__name__ in OUT), ZERO)
        assert came - went == account.available_usd + account.held_usd


@WALK
@given(cents, cents, moments, moments)
def test_a_hold_pays_until_it_expires_and_is_then_available_again(amount, paid, expires_at, at):
    account, _, _ = step(ACCOUNT, None, build.open_account())
    account, _, _ = step(ACCOUNT, account, build.deposit(amount_usd=amount))
    hold = build.place_hold(amount_usd=amount, expires_at=expires_at, at=hour(0))
    account, _, _ = step(ACCOUNT, account, hold)
    account, events, code = step(ACCOUNT, account, build.capture_hold(amount_usd=min(paid, amount), at=at))
    assert (code, len(events)) == (("hold_expired", 0) if at >= expires_at else (None, 1))
    account, events, code = step(ACCOUNT, account, build.expire_hold(at=at))
    assert (code, len(events)) == ((None, 1) if at >= expires_at else ("hold_not_due", 0))
    assert account.held_usd == (0 if at >= expires_at else amount - min(paid, amount))


buys = st.tuples(st.integers(1, 30).map(usd), st.integers(0, 60), st.sampled_from(["buy", "free", "pay"]))


@WALK
@given(st.lists(buys, max_size=30), st.integers(1, 30).map(usd), st.integers(1, 60).map(usd))
def test_single_persons_buy_within_the_limits_of_their_account(walk, most, week):
    account, _, _ = step(ACCOUNT, None, build.open_account())
    limits = SetLimit(
        account_id=build.STARTUP_ACCOUNT, limits=LimitAct(limit_usd=None, order_limit_usd=most, week_limit_usd=week)
    )
    bought, at = {}, hour(0)
    for command in (build.deposit(amount_usd=usd(10_000)), limits):
        account, _, _ = step(ACCOUNT, account, command)
    for number, (amount, later, act) in enumerate(walk):
        hold_id, at = id_of("hld", number), at + timedelta(hours=later)
        if act == "buy":
            command = build.place_hold(hold_id=hold_id, amount_usd=amount, purpose=id_of("ord", number), bought_at=at)
            account, events, code = step(ACCOUNT, account, command)
            assert (code is None) == bool(events)
            if events:
                bought[hold_id] = (at, amount)
        elif bought:
            last, (when, _) = list(bought.items())[-1]
            if act == "free":
                account, _, _ = step(ACCOUNT, account, build.adjust_hold(hold_id=last, amount_usd=ZERO))
                bought[last] = (when, account.holds[last].captured_usd)
            elif account.holds[last].left_usd:
                half = account.holds[last].left_usd / 2
                capture = build.capture_hold(hold_id=last, amount_usd=half, cause=id_of("stm", number))
                account, _, _ = step(ACCOUNT, account, capture)
        recent = [held for when, held in bought.values() if when > at - timedelta(days=7)]
        assert sum(recent, ZERO) <= week
        assert all(held <= most for held in recent)


persons = st.sampled_from(["p1", "p2", "p3"])
operators = st.sampled_from([None, "o1", "o2"])
votes = st.tuples(st.sampled_from(["ask", "approve", "approve", "end"]), persons, operators, st.integers(0, 30))


@WALK
@given(st.lists(votes, max_size=20))
def test_two_persons_let_an_act_happen_and_no_operator_stands_behind_both(walk):
    account, _, _ = step(ACCOUNT, None, build.open_account())
    account, _, _ = step(ACCOUNT, account, build.deposit(amount_usd=usd(10_000)))
    named, asked, waits, at = {"account_id": build.STARTUP_ACCOUNT}, {}, None, hour(0)
    for number, (act, person, operator, later) in enumerate(walk):
        at += timedelta(hours=later)
        if act == "ask" or waits is None:
            waits = id_of("apr", number)
            wire = WithdrawalAct(amount_usd=usd(1), reference=f"wire {number}")
            command = RequestApproval(**named, approval_id=waits, act=wire, person=person, operator=operator, at=at)
            asked[waits] = [person, operator, at]
        elif act == "approve":
            command = Approve(**named, approval_id=waits, person=person, operator=operator, at=at)
        else:
            command = EndApproval(**named, approval_id=waits, outcome="refused", reason="no", person=person)
        before = account.available_usd + account.held_usd
        account, events, _ = step(ACCOUNT, account, command)
        if account.available_usd + account.held_usd < before:
            by, behind, since = asked.pop(waits)
            assert act == "approve"
            assert person != by
            assert operator is None or operator != behind
            assert at - since < timedelta(hours=72)
        if events and isinstance(command, EndApproval):
            asked.pop(waits, None)


issuers = st.sampled_from([id_of("iss", number) for number in range(1, 4)])
grants = st.sampled_from([id_of("grt", number) for number in range(1, 3)])
orders = st.sampled_from([id_of("hld", number) for number in range(1, 12)])
few = st.integers(0, 4).map(usd)
terms = st.builds(
    lambda issuer, more: build.mandate_terms(budget_usd=usd(issuer + more), issuer_usd_max=usd(issuer)),
    st.integers(1, 7),
    st.integers(0, 3),
)
new_holds = st.builds(build.hold_budget, hold_id=orders, issuer_id=issuers, amount_usd=few)
budget_commands = st.one_of(
    new_holds,
    new_holds,
    new_holds,
    st.builds(build.capture_budget, hold_id=orders, grant_id=grants, amount_usd=few),
    st.builds(build.release_budget, hold_id=orders, keep_usd=few),
)
rules = st.one_of(
    st.builds(AmendMandate, mandate_id=st.just(build.MANDATE), terms=terms),
    st.just(RevokeMandate(mandate_id=build.MANDATE, reason="fund closed")),
)


def count_used(mandate):
    return sum((hold.held_usd + hold.committed_usd for hold in mandate.holds.values()), ZERO)


def count_used_by_issuer(mandate, issuer):
    return sum((hold.total_usd for hold in mandate.holds.values() if hold.issuer_id == issuer), ZERO)


def check_budget(mandate):
    assert count_used(mandate) == mandate.used_usd <= mandate.terms.budget_usd
    assert all(hold.held_usd >= 0 and hold.committed_usd >= 0 for hold in mandate.holds.values())
    for issuer, used in mandate.used_by_issuer_usd.items():
        assert used == count_used_by_issuer(mandate, issuer)


LENDERS = [id_of("pty", number) for number in (7, 8)]
few = st.integers(1, 4).map(Decimal)
credit_commands = st.one_of(
    st.builds(
        LimitCredit,
        account_id=st.just(build.STARTUP_ACCOUNT),
        provider_id=st.sampled_from(LENDERS),
        limit_usd=few | st.just(ZERO),
    ),
    st.builds(
        build.place_hold,
        hold_id=holds,
        amount_usd=st.just(ZERO),
        credit=st.tuples(st.sampled_from(LENDERS), few),
    ),
    st.builds(build.adjust_hold, hold_id=holds, amount_usd=st.just(ZERO), keeps_credit=st.booleans()),
)


@WALK
@given(st.lists(credit_commands, min_size=5, max_size=20))
def test_orders_and_grants_take_no_more_of_a_credit_than_its_limit(walk):
    account, _, _ = step(ACCOUNT, ACCOUNT.fold([]), build.open_account())
    for command in walk:
        before = account
        account, _, code = step(ACCOUNT, account, command)
        if isinstance(command, LimitCredit):
            assert account.committed == before.committed, "a lower limit takes nothing back"
        elif isinstance(command, PlaceHold) and command.hold_id not in before.holds:
            lender_id, amount_usd = command.credit
            within = before.sum_credit(lender_id) + amount_usd <= before.credits.get(lender_id, ZERO)
            assert (code == "credit_exhausted") is not within
            assert account.sum_credit(lender_id) == before.sum_credit(lender_id) + within * amount_usd
        elif isinstance(command, AdjustHold) and not command.keeps_credit:
            assert command.hold_id not in account.committed


@WALK
@given(terms, st.lists(budget_commands, min_size=5, max_size=40))
def test_a_mandate_never_overspends_its_budget_nor_an_issuer_its_maximum(first, walk):
    mandate, _, _ = step(MANDATE, None, build.grant_mandate(terms=first))
    for command in walk:
        mandate, _, _ = step(MANDATE, mandate, command)
        check_budget(mandate)
        assert all(used <= first.issuer_usd_max for used in mandate.used_by_issuer_usd.values())


@WALK
@given(terms, st.lists(st.one_of(budget_commands, budget_commands, rules), min_size=5, max_size=40))
def test_an_amended_mandate_holds_nothing_beyond_the_rules_of_its_time(first, walk):
    mandate, _, _ = step(MANDATE, None, build.grant_mandate(terms=first))
    for command in walk:
        mandate, events, _ = step(MANDATE, mandate, command)
        check_budget(mandate)
        for event in events:
            if isinstance(event, MandateBudgetHeld):
                assert not mandate.revoked
                assert event.amount_usd == 0 or (
                    count_used_by_issuer(mandate, event.issuer_id) <= mandate.terms.issuer_usd_max
                )


spending_commands = st.one_of(
    st.builds(build.deposit, amount_usd=cents, reference=references),
    st.builds(Reserve, account_id=st.just(build.STARTUP_ACCOUNT), amount_usd=kept, until=moments, cause=causes),
    st.builds(build.withdraw, amount_usd=cents, reference=references, at=moments),
    st.builds(build.place_hold, hold_id=holds, amount_usd=kept, at=moments),
)


@WALK
@given(st.lists(spending_commands, min_size=5, max_size=30))
def test_what_an_account_keeps_for_others_is_neither_withdrawn_nor_held_for_others(walk):
    account, _, _ = step(ACCOUNT, ACCOUNT.fold([]), build.open_account())
    reserves = {}
    for command in walk:
        account, happened, code = step(ACCOUNT, account, command)
        if isinstance(command, Reserve) and code is None:
            reserves[command.cause] = (command.amount_usd, command.until)
        elif isinstance(command, Withdraw | PlaceHold) and any(event.amount_usd for event in happened):
            in_force = (amount for amount, until in reserves.values() if command.at < until)
            assert account.available_usd >= sum(in_force, ZERO)
