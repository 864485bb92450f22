"""What happens beside a declared sale: who is paid then, and that nobody changes by it what the others voted on."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.financing import LaterPrincipal, StockConsideration
from events.issuer import IssuerStockIssued
from events.vesting import ChangeOfControl, DateMilestone, DeliveryMilestone, TrancheMilestone, WarrantTranche
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import PayDistribution
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    Delivery,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    GrantOption,
    VestWarrants,
)
from marketplace.domain.equity.issuer.sale.liquidity import require_undiluted
from marketplace.domain.equity.issuer.stock_commands import ExerciseFirstRefusal, OfferStock, TransferStock
from tests.domain.issuer_samples import (
    ANGEL,
    COMPANY,
    EMPLOYEE,
    FOUNDER,
    FOUNDERS_STOCK,
    FUND,
    LIQ,
    NOON,
    OF_ISS,
    OPTION,
    PROVIDER,
    WARRANT,
    converting,
    declare,
    issue,
    make_id,
    signed,
    stakeholder,
    warrant,
)

SEED_STOCK = IssuerStockIssued(
    **{**FOUNDERS_STOCK, "security_id": make_id("sec", 2), "holder_id": FUND, "class_id": "seed", "shares": 1_000_000}
)
SAFE = converting(1, 1_000_000)
COMPANY_SOLD = [*COMPANY, stakeholder(FUND, "Fund", "investor"), SEED_STOCK, *signed(SAFE)]
SOON = NOON + timedelta(days=20)
"""Before the sale has to be paid."""


def fold(events, *commands):
    """Return events with those of commands."""
    for command in commands:
        events = [*events, *ISSUER.decide(command, ISSUER.fold(events))]
    return events


def sell(proceeds="920000.01", *commands, events=COMPANY_SOLD, **changes):
    """Return the events of a company that is sold for dollars, and of commands beside the sale."""
    sale = declare(proceeds, SAFE)
    return fold(events, msgspec.structs.replace(sale, **changes), *commands)


def owe(number=1, amount="1000000", holder_id=PROVIDER):
    return LaterPrincipal(instrument_id=make_id("ins", number), holder_id=holder_id, amount_usd=Decimal(amount))


def pay(events, *outstanding, at=SOON, **vesting):
    """Return the state after the payment and its event."""
    command = PayDistribution(**OF_ISS, liquidity_id=LIQ, outstanding=outstanding or (owe(),), at=at, **vesting)
    (event,) = ISSUER.decide(command, ISSUER.fold(events))
    assert ISSUER.decide(command, ISSUER.fold([*events, event])) == []
    return ISSUER.fold([*events, event]), event


def read(payouts):
    return {(each.holder_id, each.security): each.amount_usd for each in payouts}


def read_paid(state):
    return read(state.sales[LIQ].declared.waterfall.payouts)


def transfer(holder_id_after, shares, class_id="common", holder_id=FOUNDER):
    return TransferStock(
        **OF_ISS,
        transfer_id=make_id("trf", 1_000 + shares),
        holder_id=holder_id,
        holder_id_after=holder_id_after,
        class_id=class_id,
        shares=shares,
        at=SOON,
    )


def test_a_sale_that_nothing_happened_to_is_paid_as_declared():
    events = sell()
    state, event = pay(events)
    assert (event.payouts, event.later) == (None, ())
    assert read_paid(state) == read(events[-1].waterfall.payouts)


@pytest.mark.parametrize("proceeds", ["920000.01", "92000000"])
def test_stock_is_paid_to_who_holds_it_at_the_payment(proceeds):
    before = sell(proceeds)
    declared = read(before[-1].waterfall.payouts)
    moves = (transfer(EMPLOYEE, 2_000_000), transfer(ANGEL, 400_000, "seed", FUND))
    events = fold([*before, stakeholder(ANGEL, "Angel", "investor")], *moves)
    state, event = pay(events)
    paid = read_paid(state)
    assert read(event.payouts) == paid
    cent = Decimal("0.01")
    assert abs(paid[EMPLOYEE, "common"] - declared[FOUNDER, "common"] / 4) <= cent
    assert abs(paid[FOUNDER, "common"] - declared[FOUNDER, "common"] * 3 / 4) <= cent
    assert abs(paid[ANGEL, "seed"] - declared[FUND, "seed"] * 2 / 5) <= cent
    for untouched in ((PROVIDER, SAFE.instrument_id), (EMPLOYEE, OPTION)):
        assert abs(paid[untouched] - declared[untouched]) <= cent
    assert sum(paid.values()) == sum(declared.values()) == Decimal(proceeds) == event.amount_usd


def test_shares_that_go_there_and_back_change_no_cent():
    back = transfer(FOUNDER, 7, holder_id=EMPLOYEE)
    _, event = pay(sell("920000.01", transfer(EMPLOYEE, 8), back, transfer(FOUNDER, 1, holder_id=EMPLOYEE)))
    assert event.payouts is None


OFFER = OfferStock(
    **OF_ISS,
    transfer_id=make_id("trf", 5),
    holder_id=FOUNDER,
    holder_id_after=ANGEL,
    class_id="common",
    shares=1_000_000,
    price_usd_per_share=Decimal(1),
    decide_until=NOON + timedelta(days=30),
    at=NOON,
)
OFFERED = fold([*COMPANY_SOLD, stakeholder(ANGEL, "Angel", "investor")], OFFER)


def test_a_holder_takes_offered_stock_beside_a_sale_and_the_company_does_not():
    events = sell("92000000", events=OFFERED)
    taken = ExerciseFirstRefusal(**OF_ISS, transfer_id=OFFER.transfer_id, at=NOON, holder_id=FUND)
    state, _ = pay(fold(events, taken))
    assert read_paid(state)[FUND, "common"] > 0
    with pytest.raises(Refusal) as caught:
        fold(events, msgspec.structs.replace(taken, holder_id=None))
    assert caught.value.code == "sale_declared"


def test_principal_that_accrues_after_the_declaration_is_paid_in_cash_and_takes_nothing_from_others():
    events = sell()
    declared = read(events[-1].waterfall.payouts)
    state, event = pay(events, owe(amount="1000250.10"), owe(2, "30", ANGEL))
    assert read_paid(state) == declared
    assert event.later == (owe(amount="250.10"), owe(2, "30", ANGEL))
    assert event.amount_usd == sum(declared.values()) + Decimal("280.10")


def test_principal_that_is_reversed_is_paid_no_more_and_voids_nothing():
    events = sell()
    declared = read(events[-1].waterfall.payouts)
    state, event = pay(events, owe(amount="500000"))
    paid = read_paid(state)
    assert paid[PROVIDER, SAFE.instrument_id] == (declared[PROVIDER, SAFE.instrument_id] / 2).quantize(Decimal("0.01"))
    assert paid[FUND, "seed"] == declared[FUND, "seed"]
    assert event.amount_usd == sum(paid.values()) < sum(declared.values())


EXPIRING = fold(COMPANY_SOLD, warrant(expires_at=NOON + timedelta(days=30)))


def exercise(shares, **changes):
    return ExerciseWarrant(
        **{
            **OF_ISS,
            "exercise_id": make_id("exe", 1),
            "warrant_id": WARRANT,
            "shares": shares,
            "at": SOON,
            **changes,
        }
    )


def test_a_warrant_that_ends_in_time_is_exercised_and_nobody_else_gets_less():
    events = sell("92000000", events=EXPIRING)
    declared = read(events[-1].waterfall.payouts)
    state, event = pay(fold(events, exercise(40_000)))
    paid = read_paid(state)
    cent = Decimal("0.01")
    assert abs(paid[PROVIDER, WARRANT] - declared[PROVIDER, WARRANT] * 6 / 10) <= cent
    spent = 40_000 * Decimal("0.25")
    assert abs(paid[PROVIDER, "common"] - declared[PROVIDER, WARRANT] * 4 / 10 - spent) <= cent
    assert event.amount_usd == Decimal(92_000_000) + spent
    for row in declared.keys() - {(PROVIDER, WARRANT)}:
        assert abs(paid[row] - declared[row]) <= cent


def test_a_warrant_that_ended_unexercised_is_paid_as_declared():
    later = NOON + timedelta(days=40)
    events = fold(sell("92000000", events=EXPIRING), ExpireWarrant(**OF_ISS, warrant_id=WARRANT, at=later))
    _, event = pay(events, at=later)
    assert event.payouts is None


@pytest.mark.parametrize("fair_value", [None, Decimal(2)])
def test_what_the_waterfall_counts_may_be_exercised_up_to_the_price_of_the_sale(fair_value):
    source = None if fair_value is None else "valuation"
    events = sell("92000000", events=EXPIRING)
    named = {"fair_value_usd": fair_value, "fair_value_source": source}
    state, event = pay(fold(events, exercise(100_000, **named)))
    assert event.amount_usd <= Decimal(92_000_000) + 25_000
    assert read_paid(state)[PROVIDER, WARRANT] == 0


LEFT = make_id("opt", 2)
DEPARTED = fold(
    COMPANY_SOLD,
    GrantOption(
        **OF_ISS, option_id=LEFT, holder_id=EMPLOYEE, shares=1_000, exercise_price_usd=Decimal("0.10"),
        termination_exercise_days=30,
    ),
    CancelOption(
        **OF_ISS, cancellation_id=make_id("can", 1), option_id=LEFT, shares=0, kind="forfeited", reason="left", at=NOON
    ),
)  # fmt: skip
"""An employee left, and may exercise its option on 31 March at the latest."""


def exercise_option(shares=400, option_id=LEFT, at=SOON):
    return ExerciseOption(
        **OF_ISS, exercise_id=make_id("exe", 2), option_id=option_id, class_id="common", shares=shares, at=at
    )


def test_an_option_whose_window_ends_in_time_is_exercised_and_nobody_else_gets_less():
    """It ran out while a sale that nobody paid stood in its way."""
    events = sell("92000000", events=DEPARTED)
    declared = read(events[-1].waterfall.payouts)
    left = fold(events, exercise_option())
    with pytest.raises(Refusal) as caught:
        fold(left, msgspec.structs.replace(exercise_option(601), exercise_id=make_id("exe", 3)))
    assert caught.value.code == "sale_declared"
    state, event = pay(left)
    paid, cent, spent = read_paid(state), Decimal("0.01"), Decimal(40)
    assert abs(paid[EMPLOYEE, LEFT] - declared[EMPLOYEE, LEFT] * 6 / 10) <= cent
    assert abs(paid[EMPLOYEE, "common"] - declared[EMPLOYEE, LEFT] * 4 / 10 - spent) <= cent
    assert event.amount_usd == Decimal(92_000_000) + spent
    for row in declared.keys() - {(EMPLOYEE, LEFT)}:
        assert abs(paid[row] - declared[row]) <= cent


@pytest.mark.parametrize(
    ("days", "option_id"),
    [
        pytest.param(30, LEFT, id="its last day is a day of the sale"),
        pytest.param(60, OPTION, id="its holder has not left"),
    ],
)
def test_an_option_that_may_be_exercised_after_the_sale_waits_for_it(days, option_id):
    events = sell("92000000", events=DEPARTED, pay_days=days)
    with pytest.raises(Refusal) as caught:
        fold(events, exercise_option(1, option_id))
    assert caught.value.code == "sale_declared"


def test_an_option_that_ended_unexercised_is_paid_as_declared():
    _, event = pay(sell("92000000", events=DEPARTED), at=NOON + timedelta(days=40))
    assert event.payouts is None


GRANT = make_id("grt", 1)
DELIVERY = ((DeliveryMilestone(gpu_seconds=100),),)


def deliver(gpu_seconds):
    return {GRANT: Delivery(gpu_seconds=gpu_seconds)}


def sell_clawed_back(*tranches, **changes):
    """Sell a company whose warrant has vested by delivery and may lose that. Return the events."""
    tranches = tuple(WarrantTranche(**{"shares": 50_000, "conditions": DELIVERY, **each}) for each in tranches)
    terms = {"tranches": tranches, "shares": 50_000 * len(tranches), "grant_ids": (GRANT,), "on_reduction": "claw_back"}
    terms |= changes
    vest = VestWarrants(**OF_ISS, delivered=deliver(100), at=NOON)
    return sell("92000000", events=fold(COMPANY_SOLD, warrant(**terms), vest), delivered=deliver(100))


def list_rights(waterfall):
    return [row.shares for row in waterfall.payouts if row.security == WARRANT]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_vested_right_that_is_clawed_back_beside_a_sale_is_paid_no_more(recorded):
    events = sell_clawed_back({}, {"conditions": ()})
    assert list_rights(events[-1].waterfall) == [100_000]
    declared = read(events[-1].waterfall.payouts)
    _, untouched = pay(events, delivered=deliver(100))
    assert untouched.payouts is None
    events = fold(events, VestWarrants(**OF_ISS, delivered=deliver(50), at=NOON)) if recorded else events
    state, event = pay(events, delivered=deliver(50))
    paid = read_paid(state)
    assert paid[PROVIDER, WARRANT] == (declared[PROVIDER, WARRANT] / 2).quantize(Decimal("0.01"))
    assert event.amount_usd == sum(paid.values()) < sum(declared.values())
    for row in declared.keys() - {(PROVIDER, WARRANT)}:
        assert abs(paid[row] - declared[row]) <= Decimal("0.01")


def test_each_price_of_a_warrant_loses_its_own_rights():
    more = {"conditions": ((DeliveryMilestone(gpu_seconds=50),),), "exercise_price_usd": Decimal("0.75")}
    state, _ = pay(sell_clawed_back({}, more), delivered=deliver(50))
    assert list_rights(state.sales[LIQ].declared.waterfall) == [0, 50_000]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"on_reduction": "keep"}, id="keeps what has vested"),
        pytest.param({"change_of_control": ChangeOfControl(when="always")}, id="the sale lets all vest"),
    ],
)
def test_a_right_that_no_reduction_takes_is_paid_as_declared(changes):
    events = fold(sell_clawed_back({}, {}, **changes), VestWarrants(**OF_ISS, delivered=deliver(50), at=NOON))
    _, event = pay(events, delivered=deliver(50))
    assert event.payouts is None


def test_what_only_waits_for_its_day_is_paid_before_that_day():
    events = sell_clawed_back({}, {"conditions": ((DateMilestone(day=SOON.date()),),)})
    assert list_rights(events[-1].waterfall) == [100_000]
    _, event = pay(events, delivered=deliver(100), at=NOON)
    assert event.payouts is None


HALF = (
    WarrantTranche(shares=60_000),
    WarrantTranche(shares=40_000, conditions=((DateMilestone(day=SOON.date()),),)),
)
VEST = VestWarrants(**OF_ISS, delivered={}, at=NOON)
LONG = fold(COMPANY_SOLD, warrant(tranches=HALF, shares=100_000), VEST)


def count_rights(events):
    return {each.security: each.shares for each in events[-1].waterfall.payouts}.get(WARRANT)


def test_what_vests_by_date_until_the_sale_may_be_paid_counts_at_its_declaration():
    assert count_rights(sell("92000000", events=LONG, delivered={})) == 100_000
    assert count_rights(sell("92000000", events=LONG, delivered={}, pay_days=19)) == 60_000


def ends_on(at):
    """Return the events of a company whose warrant ends then."""
    return fold(COMPANY_SOLD, warrant(tranches=HALF, shares=100_000, expires_at=at), VEST)


LATER_VESTED = ends_on(NOON + timedelta(days=30))


def test_what_vests_before_a_warrant_ends_counts_although_the_sale_is_paid_later():
    """It was neither counted nor could it be exercised, and was lost."""
    events = sell("92000000", events=LATER_VESTED, delivered={})
    assert count_rights(events) == 100_000
    before = count_rights(sell("92000000", events=ends_on(SOON - timedelta(days=1)), delivered={}))
    assert before == 60_000, "it ends before the rest would vest"
    assert count_rights(sell("92000000", events=LATER_VESTED, delivered={}, pay_days=19)) == 60_000
    state, _ = pay(fold(events, exercise(100_000)))
    assert read_paid(state)[PROVIDER, "common"] > 0


def test_a_warrant_that_ends_counts_nothing_that_vests_by_another_one_after_its_end():
    """The other one vests in time to be paid, and not in time for the first."""
    other_id = make_id("wrt", 2)
    depends = (WarrantTranche(shares=100_000, conditions=((TrancheMilestone(warrant_id=other_id, tranche=1),),)),)
    other = warrant(warrant_id=other_id, tranches=HALF, shares=100_000)
    for days, rights in ((19, None), (20, 100_000)):
        ends = warrant(tranches=depends, shares=100_000, expires_at=NOON + timedelta(days=days))
        events = sell("92000000", events=fold(COMPANY_SOLD, other, ends, VEST), delivered={})
        assert count_rights(events) == rights


def test_what_had_ended_before_the_declaration_vests_no_more():
    events = ends_on(NOON - timedelta(days=1))
    assert count_rights(sell("92000000", events=events, delivered={})) is None


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        pytest.param(sell("92000000", events=EXPIRING, pay_days=29), {}, id="ends after the sale may be paid"),
        pytest.param(
            sell("92000000", events=EXPIRING),
            {"fair_value_usd": Decimal(100), "fair_value_source": "valuation"},
            id="net, above the price of the sale",
        ),
        pytest.param(sell("92000000", events=LATER_VESTED), {"shares": 60_001}, id="more than the waterfall counts"),
    ],
)
def test_no_exercise_beside_a_sale_takes_from_others(events, changes):
    with pytest.raises(Refusal) as caught:
        ISSUER.decide(exercise(**{"shares": 1, **changes}), ISSUER.fold(events))
    assert caught.value.code == "sale_declared"


def test_shares_that_the_waterfall_does_not_count_are_paid_by_no_sale():
    more = issue(security_id=make_id("sec", 9), shares=1, cause=SAFE.instrument_id)
    with pytest.raises(Refusal, match="does not count"):
        pay(fold(sell(), more))


@pytest.mark.parametrize(
    ("securities", "changes"),
    [
        pytest.param({WARRANT}, {"shares": None}, id="rights without shares"),
        pytest.param({OPTION}, {"shares": 0}, id="rights of no share"),
        pytest.param({"seed"}, {"shares": None}, id="stock without shares"),
        pytest.param({SAFE.instrument_id}, {"security": make_id("ins", 77)}, id="an instrument without principal"),
    ],
)
def test_a_waterfall_that_does_not_state_what_it_pays_for_is_stale(securities, changes):
    """An imported package may hold such rows: its certificate is checked, its rows are not computed again."""
    *before, declared = sell("92000000", events=EXPIRING)
    rows = declared.waterfall.payouts
    rows = tuple(msgspec.structs.replace(row, **changes) if row.security in securities else row for row in rows)
    assert rows != declared.waterfall.payouts
    waterfall = msgspec.structs.replace(declared.waterfall, payouts=rows)
    with pytest.raises(Refusal, match="declare it again") as caught:
        pay([*before, msgspec.structs.replace(declared, waterfall=waterfall)])
    assert caught.value.code == "liquidity_stale"
    assert "does not state" in caught.value.message


def test_a_buyer_that_is_sold_itself_issues_no_stock_that_its_own_sale_does_not_count():
    stock = StockConsideration(buyer="Acme", price_usd_per_share=Decimal(1), exchange_ratio="1/1")
    with pytest.raises(Refusal) as caught:
        require_undiluted(LIQ, stock, ISSUER.fold(sell()))
    assert caught.value.code == "buyer_sold"
    with pytest.raises(Refusal) as caught:
        require_undiluted(LIQ, stock, ISSUER.fold(COMPANY_SOLD))
    assert caught.value.code == "buyer_split"
