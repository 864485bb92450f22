"""A holder's portfolio: cost at the signed price, marks, multiples and rates, what hangs on whom."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from msgspec import structs

from events.financing import Investment
from marketplace.captable.portfolio import ask_recovery, build_portfolio
from marketplace.captable.positions import (
    Delivery,
    HeldIssuer,
    Prices,
    Source,
    list_positions,
)
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import (
    AddStakeholder,
    CloseFinancing,
    NewStakeholder,
    OpenFinancing,
    PriceFinancing,
)
from marketplace.domain.equity.issuer.stock_commands import RepurchaseStock, SplitStock, TransferStock
from marketplace.domain.supply.gpu_vendors import find_vendor
from marketplace.equity.recovery import Assumptions
from tests.captable.company import (
    DRAWDOWN,
    FORMED_ON,
    FUND,
    LATER,
    MINUTES,
    PROVIDER,
    ROUND,
    SAFE,
    SERIES_A,
    Life,
    borrow,
    decline,
    found,
    live,
    make_id,
)

DELIVERIES = {
    make_id("stm", 2): Delivery(Decimal(80_000), 3_600 * 40_000, Decimal(160_000)),
    make_id("stm", 3): Delivery(Decimal(70_000), 3_600 * 35_000, Decimal(140_000)),
    make_id("stm", 4): Delivery(Decimal(25_000), 3_600 * 12_500, Decimal(50_000)),
}
SOURCES = {make_id("grt", 1): Source("H100_SXM", PROVIDER)}
PRICES = Prices({"H100_SXM": Decimal("2.50")}, {"H100_SXM": Decimal("0.80")})
AT = datetime(2026, 6, 1, tzinfo=UTC)


def build(life, holder_id, at=AT):
    held = [HeldIssuer(life.history.until(at), "robotics")]
    return build_portfolio(holder_id, at, list_positions(holder_id, held, DELIVERIES, SOURCES, PRICES))


def sell(life, proceeds_usd):
    life.sell(make_id("liq", 1), proceeds_usd)


def get_line(portfolio, instrument_id):
    return next(line for line in portfolio.positions if line.instrument_id == instrument_id)


def test_before_a_round_what_accrued_is_marked_at_cost():
    life = Life()
    found(life)
    borrow(life)
    line = get_line(build(life, PROVIDER), DRAWDOWN)
    assert (line.cost_usd, line.gpu_hours) == (150_000, 75_000)
    assert line.retail_usd == Decimal("187500.00")
    assert line.own_cost_usd == Decimal("60000.00")
    assert line.principal_usd == 260_000
    assert (line.mark_method, line.mark_usd) == ("cost", Decimal("130000.00"))
    assert line.undrawn_usd == 620_000 - 260_000
    assert (line.realised_usd, line.unrealised_usd) == (-20_000, 0)


def test_stock_of_a_round_costs_the_money_that_moved_for_it():
    """614.40 moved for 558 shares at 1.10, and the portfolio showed a cost of 613.80."""
    life = live()
    pricing = life.issuer.financings[SERIES_A].pricing
    (bought,) = pricing.allotments
    assert bought.shares * pricing.price_usd_per_share < bought.amount_usd
    line = get_line(build(life, bought.holder_id), f"{life.issuer.formed.issuer_id}/series-a")
    assert (line.shares, line.cost_usd) == (bought.shares, bought.amount_usd)


def test_after_a_round_shares_are_marked_at_its_price_and_the_rest_at_cost():
    life = live()
    portfolio = build(life, PROVIDER)
    line = get_line(portfolio, DRAWDOWN)
    converted = life.instruments[DRAWDOWN].conversions[0].shares
    price = life.issuer.financings[SERIES_A].pricing.price_usd_per_share
    at_cost = Fraction(175_000 * 50_000, 350_000)
    assert line.shares == converted
    assert line.mark_method == "last_round"
    assert line.mark_usd == Decimal(round((at_cost + converted * Fraction(price)) * 100)).scaleb(-2)
    assert line.undrawn_usd == 0
    assert portfolio.sums.cost_usd == 175_000
    assert portfolio.sums.tvpi == portfolio.sums.moic == round(line.mark_usd / 175_000, 6)
    assert portfolio.sums.dpi == 0
    assert (portfolio.sums.xirr_status, len(portfolio.sums.xirr)) == ("unique", 1)
    assert [(each.provider_id, each.undrawn_usd) for each in portfolio.providers] == [(PROVIDER, 0)]


def test_stock_that_came_by_no_instrument_is_a_position_of_its_own():
    portfolio = build(live(), FUND)
    kinds = {line.kind for line in portfolio.positions}
    assert kinds == {"safe", "stock", "warrant"}
    stock = next(line for line in portfolio.positions if line.kind == "stock")
    assert (stock.shares, stock.cost_usd) == (10_000, 0)
    warrant = next(line for line in portfolio.positions if line.kind == "warrant")
    price = live().issuer.financings[SERIES_A].pricing.price_usd_per_share
    assert (warrant.shares, warrant.mark_usd) == (35_000, round(35_000 * (price - Decimal("0.50")), 2))
    assert {line.instrument_id for line in portfolio.positions} >= {SAFE, LATER}


def test_a_split_after_the_round_changes_no_mark():
    life = live()
    before = build(life, PROVIDER).sums.mark_usd
    life.act(SplitStock, split_id=make_id("spl", 9), numerator=3, denominator=1)
    after = build(life, PROVIDER)
    assert after.sums.mark_usd == before
    assert get_line(after, DRAWDOWN).shares == 3 * life.instruments[DRAWDOWN].conversions[0].shares


@pytest.mark.parametrize("proceeds", ["90000000", "1000000"])
def test_a_sale_realises_what_it_paid_and_leaves_no_mark(proceeds):
    life = live()
    life.time += timedelta(days=700)
    sell(life, proceeds)
    payouts = life.issuer.sales[make_id("liq", 1)].declared.waterfall.payouts
    for holder_id in (FUND, PROVIDER):
        portfolio = build(life, holder_id)
        paid = sum(each.amount_usd for each in payouts if each.holder_id == holder_id)
        assert abs(portfolio.sums.distributed_usd - paid) <= Decimal("0.02") * len(portfolio.positions)
        assert (portfolio.sums.mark_usd, portfolio.sums.undrawn_usd, portfolio.sums.unrealised_usd) == (0, 0, 0)
        assert portfolio.sums.realised_usd == portfolio.sums.distributed_usd - portfolio.sums.cost_usd
        assert {line.status for line in portfolio.positions} == {"ended"}
        assert portfolio.sums.xirr_status == "unique"
        assert (portfolio.sums.xirr[0] > 0) == (portfolio.sums.distributed_usd > portfolio.sums.cost_usd)


def test_the_past_is_asked_by_the_instant():
    portfolio = build(live(), PROVIDER, FORMED_ON)
    assert portfolio.positions == ()
    assert (portfolio.sums.moic, portfolio.sums.xirr_status) == (None, "none")


def test_concentration_sums_to_the_whole_in_every_dimension():
    portfolio = build(live(), FUND)
    for dimension in ("issuer", "sector", "gpu_vendor", "instrument"):
        rows = [row for row in portfolio.concentration if row.dimension == dimension]
        assert abs(sum(row.part for row in rows) - 1) <= Decimal("0.000002")
    assert {row.name for row in portfolio.concentration if row.dimension == "sector"} == {"robotics"}


def test_a_vendor_is_told_by_the_class():
    names = ("H100_SXM", "B200", "MI300X", "GAUDI3", "TPU_V5", "TRN2", "L40S", "XYZ")
    assert [find_vendor(name) for name in names] == [
        "nvidia",
        "nvidia",
        "amd",
        "intel",
        "google",
        "aws",
        "nvidia",
        "other",
    ]


def test_recovery_is_a_table_and_a_simulation_that_repeats():
    assumed = Assumptions(Decimal("0.1"), Decimal(20), Decimal("0.5"), grants=30, trials=500, seed=7)
    answer = ask_recovery(assumed, [Decimal(5), Decimal(20)], [Decimal(1), Decimal("0.5")])
    assert [row.parts for row in answer.table] == [
        (Decimal("0.200000"), Decimal("0.100000")),
        (Decimal("0.050000"), Decimal("0.025000")),
    ]
    assert answer == ask_recovery(assumed, [Decimal(5), Decimal(20)], [Decimal(1), Decimal("0.5")])
    assert 0 < answer.paid_back_part <= 1
    assert (answer.grants, answer.trials, answer.seed) == (30, 500, 7)
    with pytest.raises(Refusal) as caught:
        ask_recovery(assumed, [], [Decimal(1)])
    assert caught.value.code == "table_too_large"


def test_a_book_goes_over_the_wire_exactly():
    portfolio = build(live(), FUND)
    assert msgspec.json.decode(msgspec.json.encode(portfolio), type=type(portfolio)) == portfolio


def raise_round(life, number, pre_money_usd, **amounts):
    """Close another round of these amounts by holder."""
    terms = structs.replace(
        ROUND,
        class_id=f"series-{number}",
        pre_money_usd=Decimal(pre_money_usd),
        investments=tuple(Investment(holder_id=key, amount_usd=Decimal(amount)) for key, amount in amounts.items()),
        pool_post_money=Decimal(0),
    )
    financing = {"financing_id": make_id("fin", number), "at": life.time}
    life.act(OpenFinancing, **financing, name=f"Round {number}", terms=terms)
    decline(life, financing["financing_id"])
    life.act(PriceFinancing, **financing, instruments=life.list_converting())
    names = tuple(NewStakeholder(holder_id=key, name="Investor", kind="investor") for key in amounts)
    new = tuple(each for each in names if each.holder_id not in life.issuer.stakeholders)
    life.act(CloseFinancing, **financing, instruments=life.list_converting(), approval=MINUTES, stakeholders=new)


NEWCOMER, GHOST = make_id("pty", 70), make_id("stk", 71)


@pytest.mark.parametrize(
    ("pre_money", "amounts", "follows"),
    [
        (10**12, {FUND: 1_000_000}, False),
        (10**12, {FUND: 900_000, NEWCOMER: 100_000}, False),
        (10**12, {FUND: 500_000, NEWCOMER: 500_000}, True),
        (10**12, {GHOST: 600_000_000}, False),
        (10**12, {FUND: 100_000, GHOST: 600_000, NEWCOMER: 300_000}, True),
        (10**6, {FUND: 100_000}, True),
        (10**6, {GHOST: 100_000}, True),
    ],
    ids=[
        "insiders",
        "a tenth is new",
        "half is new",
        "only stated",
        "stated beside new",
        "insiders lower it",
        "stated money lowers it",
    ],
)
def test_a_mark_follows_a_round_of_insiders_only_downwards_and_says_its_source(pre_money, amounts, follows):
    life = live()
    before = get_line(build(life, PROVIDER), DRAWDOWN)
    source = before.mark_source
    assert (source.financing_id, source.stated_usd, source.new_usd, source.insider_usd) == (SERIES_A, 0, 10_000_000, 0)
    raise_round(life, 2, pre_money, **amounts)
    after = get_line(build(life, PROVIDER), DRAWDOWN)
    assert (after.mark_usd != before.mark_usd) == follows
    assert after.mark_source.financing_id == (make_id("fin", 2) if follows else SERIES_A)
    assert follows is False or after.mark_source.insider_usd == amounts.get(FUND, 0)


def mark(life, **changes):
    """Return the mark of a provider's drawdown, and the round that it follows."""
    held = [HeldIssuer(life.history, "robotics", **changes)]
    portfolio = build_portfolio(PROVIDER, AT, list_positions(PROVIDER, held, DELIVERIES, SOURCES, PRICES))
    line = get_line(portfolio, DRAWDOWN)
    return line.mark_usd, line.mark_source.financing_id


@pytest.mark.parametrize(
    ("part", "share_of_price", "days", "follows"),
    [(1, 1, 1, False), (1, "0.9", 300, False), ("0.5", 1, 1, True), (1, "0.1", 1, True), (1, 1, 367, True)],
    ids=["at once", "a little cheaper", "half of it", "for a tenth of the price", "after a year"],
)
def test_money_that_goes_back_to_an_investor_marks_nothing(part, share_of_price, days, follows):
    """A friend paid 600 M for a round, and was bought out at that price in the next call."""
    life = live()
    before = mark(life)
    raise_round(life, 2, 10**12, **{NEWCOMER: 1_000_000})
    assert mark(life) != before
    life.time += timedelta(days=days - 1)
    shares = int(life.issuer.holdings[NEWCOMER, "series-2"] * Decimal(part))
    price_usd = life.issuer.financings[make_id("fin", 2)].pricing.price_usd_per_share * Decimal(share_of_price)
    bought = {"repurchase_id": make_id("rep", 9), "holder_id": NEWCOMER, "class_id": "series-2", "shares": shares}
    life.act(RepurchaseStock, **bought, price_usd_per_share=price_usd.quantize(Decimal("1E-12")))
    assert (mark(life) != before) is follows


@pytest.mark.parametrize("to", [GHOST, FUND], ids=["a stranger", "another investor of the round"])
def test_money_that_goes_back_to_whom_an_investor_passed_its_stock_marks_nothing(to):
    """The friend gave its stock to another, whom the company bought out."""
    life = live()
    before = mark(life)
    raise_round(life, 2, 10**12, **{NEWCOMER: 1_000_000, FUND: 100_000})
    if to == GHOST:
        life.act(AddStakeholder, holder_id=GHOST, name="Stranger", kind="other")
    after = mark(life)
    assert after != before
    shares = life.issuer.holdings[NEWCOMER, "series-2"]
    passed = {"transfer_id": make_id("trf", 9), "holder_id": NEWCOMER, "holder_id_after": to}
    life.act(TransferStock, **passed, class_id="series-2", shares=shares, at=life.time)
    assert mark(life) == after
    price_usd = life.issuer.financings[make_id("fin", 2)].pricing.price_usd_per_share
    bought = {"repurchase_id": make_id("rep", 9), "holder_id": to, "class_id": "series-2", "shares": shares}
    life.act(RepurchaseStock, **bought, price_usd_per_share=price_usd)
    assert mark(life) == before


def test_money_of_a_party_related_to_the_company_or_the_holder_marks_nothing():
    life = live()
    before = mark(life)
    raise_round(life, 2, 10**12, **{NEWCOMER: 1_000_000})
    assert mark(life) != before
    assert mark(life, related=frozenset({NEWCOMER})) == before


def test_a_round_of_insiders_alone_marks_nothing():
    life = Life()
    found(life)
    raise_round(life, 2, 10**12, **{FUND: 1_000_000})
    stock = [line for line in build(life, FUND).positions if line.kind == "stock"]
    assert {(line.mark_method, line.mark_source) for line in stock} == {("cost", None)}
    assert sum(line.mark_usd for line in stock) == sum(line.cost_usd for line in stock) == 1_000_000
