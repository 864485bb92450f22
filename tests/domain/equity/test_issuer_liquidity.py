"""The sale of an issuer: its waterfall, its payment and its end, and what is refused in which order."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import get_args

import msgspec
import pytest

from events.financing import LaterPrincipal, Payout
from events.issuer import (
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerFormed,
    IssuerImported,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerOptionCancelled,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockTransferred,
)
from events.issuer_dilution import Exposure
from events.vesting import VestingSchedule
from marketplace.core.errors import Refusal
from marketplace.domain.equity.instrument.commands import RepayInstrument
from marketplace.domain.equity.issuer.commands import PayDistribution, RecordExposure, WithdrawLiquidity
from marketplace.domain.equity.issuer.evolve import HANDLED
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import CancelOption, PromiseOption, WithdrawPromise
from marketplace.domain.equity.issuer.sale.liquidity import (
    INSTRUMENTS_MAX,
    PAY_DAYS,
    list_repayments,
    require_proceeds,
)
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    RepurchaseStock,
    SplitStock,
)
from marketplace.equity.checker import verify
from tests.domain.issuer_samples import (
    ANGEL,
    COMPANY,
    EMPLOYEE,
    FOUNDED,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    GRANTED,
    LIQ,
    NOON,
    OF_ISS,
    OPENED,
    OPTION,
    POOL,
    PROVIDER,
    SEED,
    STOCK,
    UNCAPPED,
    WARRANTED,
    add,
    converting,
    create,
    declare,
    grant,
    issue,
    make_id,
    open_round,
    signed,
    stakeholder,
    warrant,
)
from tests.support.spec import Given

SEED_STOCK = IssuerStockIssued(
    **{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "holder_id": FUND, "class_id": "seed", "shares": 1_000_000}
)
SAFE = converting(1, 1_000_000)
SIGNED = [*COMPANY, stakeholder(FUND, "Fund", "investor"), SEED_STOCK, *signed(SAFE, converting(2, 1, holder_id=ANGEL))]


def owed(number, amount, holder_id=PROVIDER):
    return LaterPrincipal(instrument_id=make_id("ins", number), holder_id=holder_id, amount_usd=Decimal(amount))


PAY = PayDistribution(**OF_ISS, liquidity_id=LIQ, outstanding=(owed(1, 1_000_000),), at=NOON)


def declared(proceeds, *instruments, events=SIGNED, **changes):
    return [*events, *ISSUER.decide(declare(proceeds, *instruments, **changes), ISSUER.fold(events))]


def withdraw(**changes):
    return WithdrawLiquidity(
        **{**OF_ISS, "liquidity_id": LIQ, "cause": "agreed", "reason": "no", "at": NOON, **changes}
    )


def payouts(event):
    return {(each.holder_id, each.security): (each.amount_usd, each.as_converted) for each in event.waterfall.payouts}


def test_a_poor_sale_pays_the_preferences_first():
    """The seed class prefers 500,000 and the SAFE 1,000,000, which rank together: 900,000 are shared."""
    event = declared(900_000, SAFE)[-1]
    assert payouts(event) == {
        (FUND, "seed"): (Decimal(300_000), False),
        (PROVIDER, SAFE.instrument_id): (Decimal(600_000), False),
        (FOUNDER, "common"): (Decimal(0), False),
        (EMPLOYEE, OPTION): (Decimal(0), False),
    }


def test_a_rich_sale_makes_the_preferences_give_way_to_common():
    event = declared(92_000_000, SAFE)[-1]
    assert payouts(event)[FUND, "seed"][1]
    assert payouts(event)[PROVIDER, SAFE.instrument_id][1]
    assert sum(amount for amount, _ in payouts(event).values()) == 92_000_000
    assert payouts(event)[FOUNDER, "common"][0] > payouts(event)[FUND, "seed"][0] > 500_000
    assert payouts(event)[EMPLOYEE, OPTION][0] > 0


def test_a_waterfall_holds_for_an_independent_checker():
    for proceeds in ("900000.01", "4000000", "92000000"):
        event = declared(proceeds, SAFE)[-1]
        assert verify(msgspec.json.decode(event.waterfall.certificate_json)) == []


def test_an_expired_warrant_is_paid_nothing():
    events = [*SIGNED, WARRANTED]
    paid = [
        sum(
            payout.amount_usd
            for payout in declared(50_000_000, events=events, at=at)[-1].waterfall.payouts
            if payout.holder_id == PROVIDER
        )
        for at in (NOON, NOON.replace(year=2031))
    ]
    assert paid[0] > 0
    assert paid[1] == 0


def test_a_declaration_is_repeated_without_effect_even_after_the_company_changed():
    moved = IssuerStockTransferred(
        **OF_ISS,
        transfer_id=make_id("trf", 1),
        holder_id=FOUNDER,
        holder_id_after=EMPLOYEE,
        class_id="common",
        shares=1,
    )
    Given(ISSUER, *declared(900_000, SAFE), moved).when(declare(900_000, SAFE)).then_nothing()


def test_the_proceeds_are_paid_and_the_issuer_ends():
    events = declared("900000.01", SAFE)
    Given(ISSUER, *events).when(PAY).then(
        IssuerDistributionPaid(**OF_ISS, liquidity_id=LIQ, amount_usd=Decimal("900000.01"))
    )


PAID = [*declared(900_000, SAFE), IssuerDistributionPaid(**OF_ISS, liquidity_id=LIQ, amount_usd=Decimal(900_000))]


OFFERED = Exposure(terms=SAFE.terms, amount_usd=Decimal(1_000))


def test_after_the_distribution_nothing_happens_but_repetition():
    for command in (
        add(holder_id=ANGEL),
        issue(security_id=make_id("sec", 9), shares=1),
        open_round(),
        declare(1, liquidity_id=make_id("liq", 2)),
        RecordExposure(**OF_ISS, subject_id=make_id("ord", 1), exposures=(OFFERED,)),
    ):
        Given(ISSUER, *PAID).when(command).refused("issuer_ended")
    drawn = RecordExposure(**OF_ISS, subject_id=SAFE.instrument_id, exposures=(OFFERED,))
    for command in (PAY, add(), issue(), declare(900_000, SAFE), drawn):
        Given(ISSUER, *PAID).when(command).then_nothing()


def test_every_instrument_of_a_sale_is_repaid_what_it_is_paid_in_all():
    runs = (SAFE, converting(1, 500_000, UNCAPPED), converting(2, 250_000, UNCAPPED, ANGEL))
    events = declared(3_000_000, *runs)
    paid = events[-1].waterfall.payouts
    outstanding = (owed(1, 1_500_000), owed(2, 250_000, ANGEL))
    assert list_repayments(ISSUER.fold(events), LIQ, outstanding) == tuple(
        RepayInstrument(
            instrument_id=instrument_id,
            cause=LIQ,
            amount_usd=sum(each.amount_usd for each in paid if each.security == instrument_id),
        )
        for instrument_id in (make_id("ins", 1), make_id("ins", 2))
    )


def test_safes_rank_where_the_declaration_says_when_preferred_has_several_ranks():
    junior = IssuerStockClassCreated(**{**SEED, "class_id": "junior", "seniority": 0})
    shares = IssuerStockIssued(
        **{
            **FOUNDERS_STOCK,
            "security_id": make_id("sec", 3),
            "holder_id": FUND,
            "class_id": "junior",
            "shares": 1_000_000,
        }
    )
    events = [*SIGNED, junior, shares]
    Given(ISSUER, *events).when(declare(900_000, SAFE)).refused("missing_convention")
    by_rank = {
        rank: payouts(declared(900_000, SAFE, events=events, safe_seniority=rank)[-1])[PROVIDER, SAFE.instrument_id][0]
        for rank in (0, 1, 2)
    }
    assert by_rank[2] == 900_000
    assert by_rank[1] == 600_000
    assert by_rank[0] < 400_000


def schedule(starts_on):
    """Return four yearly tranches."""
    terms = {"tranches": 4, "months_between": 12, "cliff_tranches": 1, "allocation": "CUMULATIVE_ROUND_DOWN"}
    return VestingSchedule(starts_on=starts_on, **terms)


@pytest.mark.parametrize(
    ("first_in_days", "left_before_days", "paid"),
    [
        pytest.param(-1, None, 50_000, id="a quarter has vested"),
        pytest.param(PAY_DAYS, None, 50_000, id="a quarter vests on the last day"),
        pytest.param(PAY_DAYS + 2, None, None, id="nothing vests in time"),
        pytest.param(PAY_DAYS, 1, None, id="its holder left before it vested"),
        pytest.param(-60, 40, 50_000, id="its holder left and may still exercise"),
        pytest.param(-200, 100, None, id="its holder left too long ago"),
    ],
)
def test_a_sale_pays_of_an_option_what_vests_before_it_may_be_paid(first_in_days, left_before_days, paid):
    """A hire whose option vested from the next year on took a tenth of what a sale paid."""
    first = (NOON + timedelta(days=first_in_days)).date()
    terms = schedule(first.replace(year=first.year - 1))
    vesting = msgspec.structs.replace(GRANTED, vesting=terms, termination_exercise_days=90)
    events = [*FOUNDED, STOCK, POOL, vesting]
    if left_before_days is not None:
        left = {"cancellation_id": make_id("can", 1), "option_id": OPTION, "holder_id": EMPLOYEE, "shares": 0}
        day = (NOON - timedelta(days=left_before_days)).date()
        left |= {"kind": "forfeited", "reason": "left", "service_ended_on": day}
        events.append(IssuerOptionCancelled(**OF_ISS, **left))
    waterfall = declared(9_000_000, events=events)[-1].waterfall
    rows = {each.security: each for each in waterfall.payouts}
    price = Fraction(waterfall.price_per_common_share_exact)
    if paid is None:
        assert OPTION not in rows
        assert price == Fraction(9_000_000, 8_000_000)
    else:
        assert rows[OPTION].shares == paid
        assert Fraction(rows[OPTION].amount_exact) == (price - Fraction(1, 10)) * paid
    assert verify(msgspec.json.decode(waterfall.certificate_json)) == []


WITHDRAWN = IssuerLiquidityWithdrawn(**OF_ISS, liquidity_id=LIQ, cause="agreed", reason="no")
MOVED = IssuerStockTransferred(
    **OF_ISS,
    transfer_id=make_id("trf", 1),
    holder_id=FOUNDER,
    holder_id_after=EMPLOYEE,
    class_id="common",
    shares=1,
)
MORE = IssuerStockIssued(**{**FOUNDERS_STOCK, "security_id": make_id("sec", 9), "shares": 1})
LATER = make_id("liq", 2)
AT_THE_END = msgspec.structs.replace(PAY, at=NOON + timedelta(days=PAY_DAYS))
NAIVE = NOON.replace(tzinfo=None)
PROMISE = PromiseOption(**OF_ISS, promise_id=make_id("prm", 1), holder_id=EMPLOYEE, shares=1)
PROMISED = [*SIGNED, *ISSUER.decide(PROMISE, ISSUER.fold(SIGNED))]
OWN_ACTS = (
    AdjustStockPlan(**OF_ISS, shares_reserved=1_000_001),
    CancelOption(
        **OF_ISS,
        cancellation_id=make_id("can", 1),
        option_id=OPTION,
        shares=1,
        kind="cancelled",
        reason="no",
        at=NOON,
    ),
    create(SEED, class_id="junior"),
    grant(option_id=make_id("opt", 9), shares=1),
    issue(security_id=make_id("sec", 9), shares=1),
    warrant(),
    msgspec.structs.replace(PROMISE, promise_id=make_id("prm", 2)),
    RepurchaseStock(
        **OF_ISS,
        repurchase_id=make_id("rep", 1),
        holder_id=FOUNDER,
        class_id="common",
        shares=1,
        price_usd_per_share=Decimal(1),
    ),
    SplitStock(**OF_ISS, split_id=make_id("spl", 1), numerator=2, denominator=1),
    WithdrawPromise(**OF_ISS, promise_id=PROMISE.promise_id, reason="no"),
)
REFUSED = {
    "declare": [
        ("liquidity_exists", declared(900_000, SAFE), declare(0, SAFE)),
        ("amount_not_positive", SIGNED, declare(0, at=NAIVE)),
        ("amount_too_precise", SIGNED, declare("0.001")),
        ("time_naive", SIGNED, declare(1, *[SAFE] * (INSTRUMENTS_MAX + 1), at=NAIVE)),
        ("too_many_instruments", COMPANY, declare(1, *[SAFE] * (INSTRUMENTS_MAX + 1))),
        ("instrument_unsigned", COMPANY, declare(1, SAFE, safe_seniority=101)),
        ("seniority_out_of_range", [*SIGNED, OPENED], declare(1, SAFE, safe_seniority=101)),
        ("financing_open", [*SIGNED, OPENED], declare(1, SAFE)),
        ("no_residual_holder", FOUNDED, declare(1)),
    ],
    "pay": [
        ("liquidity_unknown", SIGNED, PAY),
        ("liquidity_withdrawn", [*declared(5, SAFE), WITHDRAWN, MOVED], AT_THE_END),
        ("liquidity_replaced", [*declared(5, SAFE, events=declared(4, SAFE), liquidity_id=LATER), MOVED], AT_THE_END),
        ("time_naive", [*declared(900_000, SAFE), MOVED], msgspec.structs.replace(PAY, at=NAIVE)),
        ("liquidity_overdue", [*declared(900_000, SAFE), MOVED], AT_THE_END),
        ("liquidity_stale", [*declared(900_000, SAFE), MORE], PAY),
    ],
    "withdraw": [
        ("liquidity_unknown", SIGNED, withdraw()),
        ("liquidity_paid", PAID, withdraw(cause="overdue", at=NAIVE)),
        (
            "liquidity_replaced",
            declared(5, SAFE, events=declared(4, SAFE), liquidity_id=LATER),
            withdraw(cause="overdue", at=NAIVE),
        ),
        ("time_naive", declared(5, SAFE), withdraw(cause="overdue", at=NAIVE)),
        (
            "liquidity_not_due",
            declared(5, SAFE),
            withdraw(cause="overdue", at=NOON + timedelta(days=PAY_DAYS) - timedelta(seconds=1)),
        ),
    ],
    "open": [("sale_declared", declared(5, SAFE), open_round(class_id="not a class"))],
    "own act": [("sale_declared", declared(5, SAFE, events=PROMISED), command) for command in OWN_ACTS],
}


@pytest.mark.parametrize("cause", ["agreed", "overdue"])
def test_a_withdrawn_sale_lets_a_round_open(cause):
    events = declared(5, SAFE)
    at = NOON + timedelta(days=PAY_DAYS) if cause == "overdue" else NOON
    withdrawn = IssuerLiquidityWithdrawn(**OF_ISS, liquidity_id=LIQ, cause=cause, reason="no")
    Given(ISSUER, *events).when(withdraw(cause=cause, at=at)).then(withdrawn)
    Given(ISSUER, *events, withdrawn).when(withdraw(cause=cause, at=at)).then_nothing()
    assert ISSUER.decide(open_round(), ISSUER.fold([*events, withdrawn]))


def test_the_payment_of_a_replaced_sale_names_the_later_one_also_once_that_is_withdrawn():
    twice = declared(5, SAFE, events=declared(4, SAFE), liquidity_id=LATER)
    ended = ISSUER.decide(withdraw(liquidity_id=LATER), ISSUER.fold(twice))
    refusal = Given(ISSUER, *twice, *ended).when(PAY).refused("liquidity_replaced")
    assert refusal.facts["later"] == LATER
    assert LATER in refusal.message


@pytest.mark.parametrize(
    "command",
    [
        AdjustAuthorisedShares(**OF_ISS, class_id="common", shares_authorised=20_000_000),
        add(holder_id=ANGEL),
        issue(security_id=make_id("sec", 9), shares=1, cause=SAFE.instrument_id),
        *OWN_ACTS,
    ],
    ids=lambda command: type(command).__name__,
)
def test_only_what_would_make_a_declared_sale_stale_is_refused_and_nothing_after_its_withdrawal(command):
    sold = declared(5, SAFE, events=PROMISED)
    assert ISSUER.decide(command, ISSUER.fold([*sold, *([WITHDRAWN] if command in OWN_ACTS else [])]))


def test_the_refusal_of_a_payment_names_what_every_payee_lacks():
    payouts = {"pty_a": Decimal(60), "pty_b": Decimal(30), "stk_c": Decimal(10)}
    with pytest.raises(Refusal) as caught:
        require_proceeds(LIQ, payouts, Decimal(70), told=True)
    assert caught.value.facts["missing_usd"] == "30"
    assert caught.value.facts["missing_by_payee_usd"] == ["pty_b: 20", "stk_c: 10"]
    assert "pty_b: 20, stk_c: 10" in caught.value.message
    with pytest.raises(Refusal) as caught:
        require_proceeds(LIQ, payouts, Decimal(70), told=False)
    assert caught.value.facts == {"liquidity_id": LIQ}
    require_proceeds(LIQ, payouts, Decimal(100), told=False)


@pytest.mark.parametrize(
    ("code", "events", "command"),
    [row for rows in REFUSED.values() for row in rows],
    ids=[f"{name}-{row[0]}" for name, rows in REFUSED.items() for row in rows],
)
def test_refused(code, events, command):
    Given(ISSUER, *events).when(command).refused(code)


def test_repayments_of_an_unknown_sale_are_refused():
    with pytest.raises(Refusal, match="no liquidity") as caught:
        list_repayments(ISSUER.fold(SIGNED), LIQ, ())
    assert caught.value.code == "liquidity_unknown"


def test_a_declaration_survives_its_codec():
    before = ISSUER.fold(SIGNED)
    (event,) = ISSUER.decide(declare("900000.01", SAFE), before)
    assert isinstance(event, IssuerLiquidityDeclared)
    assert all(isinstance(payout, Payout) for payout in event.waterfall.payouts)
    Given(ISSUER, *SIGNED).when(declare("900000.01", SAFE)).then(event)


def test_every_event_of_an_issuer_is_folded():
    assert {IssuerFormed, IssuerImported, *HANDLED} == set(get_args(IssuerEvent))
    assert STOCK.issuer_id == SIGNED[0].issuer_id
