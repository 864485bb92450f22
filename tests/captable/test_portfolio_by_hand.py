"""One fund's portfolio with figures worked out by hand, and its rate by plain bisection on binary fractions."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from events.types import NoteTerms, SafeTerms, WarrantTerms
from marketplace.captable.portfolio import build_portfolio
from marketplace.captable.positions import Delivery, HeldIssuer, Prices, Source, list_positions
from marketplace.domain.equity.instrument.commands import RepayNote, ReversePrincipal
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import CancelWarrant, ExerciseWarrant, ExpireWarrant, IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import (
    ConvertStock,
    CreateStockClass,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    TransferStock,
    WaiveFirstRefusal,
)
from tests.captable.company import FUND, WARRANT, Life, found, make_id

SAFE, NOTE, DRAWN = (make_id("ins", number) for number in (21, 22, 23))
BOUGHT, RIGHTS = make_id("ins", 25), make_id("wrt", 95)
OPERATOR = make_id("pty", 77)
STATEMENT, GRANT = make_id("stm", 21), make_id("grt", 21)
PLAIN = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000), service_consequence="credit")
SIMPLE_8 = NoteTerms(
    annual_rate=Decimal("0.08"),
    interest="simple",
    day_count="actual_365",
    matures_on=date(2025, 6, 1),
    valuation_cap_usd=Decimal(10_000_000),
)
PRICES = Prices({"MI300X": Decimal("3.00")}, {"MI300X": Decimal("0.50")})


class Fund(Life):
    """A life in which acts are dated by hand."""

    def on(self, year, month, day):
        self.time, self.step = datetime(year, month, day, 12, tzinfo=UTC), timedelta(0)
        return self


def invest(life):
    """Buy 100,000 shares at 1 dollar, a SAFE, a note; let compute draw on another SAFE; sell 20,000 shares at 1.50.

    The statement of the compute is settled in two parts.
    """
    seed = {"class_id": "seed", "kind": "preferred", "shares_authorised": 1_000_000}
    life.act(CreateStockClass, **seed, price_per_share_usd=Decimal(1), liquidation_multiple=Decimal(1))
    bought = {"security_id": make_id("sec", 90), "holder_id": FUND, "class_id": "seed", "shares": 100_000}
    life.on(2024, 3, 1).act(IssueStock, **bought, price_usd_per_share=Decimal(1))
    for key, terms, amount, tranche in ((SAFE, PLAIN, 200_000, 91), (NOTE, SIMPLE_8, 50_000, 92)):
        life.on(2024, 6, 1).sign(key, FUND, terms, amount)
        life.on(2024, 6, 1).accrue(key, tranche, amount)
    life.on(2024, 9, 1).sign(DRAWN, FUND, PLAIN, 100_000, grant_id=GRANT)
    life.on(2024, 12, 1).accrue(DRAWN, 94, 10_000, STATEMENT)
    life.on(2024, 12, 1).accrue(DRAWN, 93, 30_000, STATEMENT, part_ids=(make_id("trn", 94),))
    sold = {"holder_id": FUND, "class_id": "seed", "shares": 20_000, "price_usd_per_share": Decimal("1.50")}
    life.on(2025, 3, 1).act(RepurchaseStock, repurchase_id=make_id("rep", 90), **sold)
    repay = RepayNote(instrument_id=NOTE, cause=make_id("pay", 90), on_day=date(2025, 6, 1))
    life.on(2025, 6, 1).deed(repay)


@pytest.fixture
def life():
    life = Fund()
    found(life)
    invest(life)
    return life


def portfolio(life, at=datetime(2026, 3, 1, tzinfo=UTC), **credits_):
    held = [HeldIssuer(life.history.until(at), "robotics")]
    deliveries = {STATEMENT: Delivery(Decimal(20_000), 3_600 * 10_000, Decimal(40_000)), **credits_}
    sources = {GRANT: Source("MI300X", OPERATOR)}
    return build_portfolio(FUND, at, list_positions(FUND, held, deliveries, sources, PRICES))


def get_line(portfolio, instrument_id):
    return next(line for line in portfolio.positions if line.instrument_id == instrument_id)


def read(line, *names):
    return tuple(getattr(line, name) for name in names)


MONEY = ("cost_usd", "mark_usd", "distributed_usd", "realised_usd", "unrealised_usd")


def test_every_position_is_what_was_worked_out_by_hand(life):
    seen = portfolio(life)
    stock = get_line(seen, f"{life.issuer_id}/seed")
    assert (stock.shares, *read(stock, *MONEY)) == (80_000, 100_000, 80_000, 30_000, 10_000, 0)
    assert read(get_line(seen, SAFE), *MONEY, "mark_method") == (200_000, 200_000, 0, 0, 0, "cost")
    repaid = get_line(seen, NOTE)
    assert read(repaid, *MONEY, "status") == (50_000, 0, 54_000, 4_000, 0, "ended")
    drawn = get_line(seen, DRAWN)
    assert read(drawn, *MONEY) == (20_000, 20_000, 0, 0, 0)
    assert read(drawn, "undrawn_usd", "principal_usd", "gpu_hours") == (60_000, 40_000, 10_000)
    assert read(drawn, "retail_usd", "own_cost_usd", "gpu_vendor", "provider_id") == (30_000, 5_000, "amd", OPERATOR)


def find_rate(flows):
    """Return the rate at which flows are worth nothing, by bisection on floats."""
    low, high, first = -0.9, 10.0, flows[0][0]
    for _ in range(200):
        rate = (low + high) / 2
        worth = sum(amount / (1 + rate) ** ((day - first).days / 365) for day, amount in flows)
        low, high = (rate, high) if worth > 0 else (low, rate)
    return rate


PAID_AND_BACK = [
    (date(2024, 3, 1), -100_000),
    (date(2024, 6, 1), -250_000),
    (date(2024, 12, 1), -20_000),
    (date(2025, 3, 1), 30_000),
    (date(2025, 6, 1), 54_000),
]


def test_the_sums_are_those_of_the_hand(life):
    """Paid are 370,000, back came 84,000, and 300,000 are held."""
    sums = portfolio(life).sums
    assert read(sums, *MONEY, "undrawn_usd") == (370_000, 300_000, 84_000, 14_000, 0, 60_000)
    assert read(sums, "moic", "tvpi") == (Decimal("1.037838"), Decimal("1.037838"))
    assert read(sums, "dpi", "rvpi") == (Decimal("0.227027"), Decimal("0.810811"))
    assert sums.xirr_status == "unique"
    assert abs(float(sums.xirr[0]) - find_rate([*PAID_AND_BACK, (date(2026, 3, 1), 300_000)])) < 1e-6


def test_what_hangs_on_whom_is_mark_and_commitment(life):
    seen = portfolio(life)
    found = {(row.dimension, row.name): (row.exposure_usd, row.part) for row in seen.concentration if row.part}
    seven, two = (280_000, Decimal("0.777778")), (80_000, Decimal("0.222222"))
    assert found == {
        ("issuer", life.issuer_id): (360_000, 1),
        ("sector", "robotics"): (360_000, 1),
        ("gpu_vendor", "none"): seven,
        ("gpu_vendor", "amd"): two,
        ("instrument", "safe"): seven,
        ("instrument", "stock"): two,
        ("provider", OPERATOR): two,
    }
    (provider,) = seen.providers
    assert read(provider, "provider_id", "undrawn_usd", "instrument_ids") == (OPERATOR, 60_000, (DRAWN,))


def test_stock_that_is_sold_converted_or_bought_by_a_warrant_takes_its_cost_along(life):
    """10,000 of 80,000 shares go at 2 dollars, 70,000 become common; 8,000 shares are bought by a warrant at 0.50."""
    buyer = make_id("pty", 90)
    sale = {"transfer_id": make_id("trf", 90), "holder_id": FUND, "holder_id_after": buyer, "class_id": "seed"}
    day = life.on(2026, 1, 5)
    day.act(AddStakeholder, holder_id=buyer, name="A party here, whose money moves", kind="investor")
    offer = {"price_usd_per_share": Decimal(2), "decide_until": day.time + timedelta(days=30)}
    day.act(OfferStock, **sale, shares=10_000, **offer, at=day.time)
    day.act(WaiveFirstRefusal, transfer_id=sale["transfer_id"])
    day.act(TransferStock, **sale, shares=10_000, at=day.time)
    converted = {"holder_id": FUND, "class_id": "seed", "shares": 70_000, "class_id_after": "common"}
    life.on(2026, 1, 6).act(ConvertStock, conversion_id=make_id("cnv", 90), **converted)
    day = life.on(2026, 1, 10)
    day.act(ExerciseWarrant, exercise_id=make_id("exr", 90), warrant_id=WARRANT, shares=8_000, at=day.time)
    seen = portfolio(life)
    seed, common = (get_line(seen, f"{life.issuer_id}/{name}") for name in ("seed", "common"))
    assert (seed.shares, *read(seed, *MONEY)) == (70_000, 100_000, 70_000, 50_000, 20_000, 0)
    assert (common.shares, *read(common, *MONEY)) == (18_000, 4_000, 4_000, 0, 0, 0)
    assert read(seen.sums, *MONEY) == (374_000, 294_000, 104_000, 24_000, 0)
    assert read(seen.sums, "moic", "dpi") == (Decimal("1.064171"), Decimal("0.278075"))
    later = [(date(2026, 1, 5), 20_000), (date(2026, 1, 10), -4_000), (date(2026, 3, 1), 294_000)]
    assert abs(float(seen.sums.xirr[0]) - find_rate([*PAID_AND_BACK, *later])) < 1e-6


def buy_rights(life):
    """Buy 20,000 rights to common at 30 cents each for 10,000 dollars."""
    terms = WarrantTerms(
        class_id="common",
        price_usd_per_share=Decimal("0.50"),
        exercise_price_usd=Decimal("0.30"),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    life.on(2025, 7, 1).sign(BOUGHT, FUND, terms, 10_000)
    life.on(2025, 7, 1).accrue(BOUGHT, 95, 10_000)
    life.buy(BOUGHT, RIGHTS)
    rights = {"warrant_id": RIGHTS, "holder_id": FUND, "class_id": "common", "shares": 20_000, "cause": BOUGHT}
    rest = {"exercise_price_usd": Decimal("0.30"), "expires_at": terms.expires_at, "settlement": "either"}
    life.act(IssueWarrant, **rights, **rest)


def test_rights_that_principal_bought_are_the_instruments_and_take_their_cost_along(life):
    """Of 20,000 rights for 10,000 dollars 8,000 are exercised for 2,400, 4,000 taken back, and 8,000 expire."""
    buy_rights(life)
    bought = get_line(portfolio(life), BOUGHT)
    assert (bought.kind, bought.shares, *read(bought, *MONEY)) == ("warrant", 20_000, 10_000, 10_000, 0, 0, 0)
    assert RIGHTS not in {line.instrument_id for line in portfolio(life).positions}
    day = life.on(2025, 8, 1)
    day.act(ExerciseWarrant, exercise_id=make_id("exr", 95), warrant_id=RIGHTS, shares=8_000, at=day.time)
    half = get_line(portfolio(life), BOUGHT)
    assert (half.shares, *read(half, *MONEY)) == (20_000, 12_400, 12_400, 0, 0, 0)
    taken = {"cancellation_id": make_id("can", 95), "warrant_id": RIGHTS, "shares": 4_000, "cause": BOUGHT}
    life.on(2025, 9, 1).act(CancelWarrant, **taken)
    less = get_line(portfolio(life), BOUGHT)
    assert (less.shares, *read(less, *MONEY)) == (16_000, 12_400, 10_400, 0, -2_000, 0)
    day = life.on(2030, 1, 2)
    day.act(ExpireWarrant, warrant_id=RIGHTS, at=day.time)
    last = get_line(portfolio(life, datetime(2030, 2, 1, tzinfo=UTC)), BOUGHT)
    assert (last.shares, *read(last, *MONEY)) == (8_000, 12_400, 6_400, 0, -6_000, 0)


def test_refunded_money_is_no_loss_and_what_is_not_paid_back_is_one(life):
    """A credit takes 8,000 of principal back and pays 4,000 of the 20,000 back; a later reversal pays nothing back."""
    credit = make_id("stm", 29)
    take = {"instrument_id": DRAWN, "tranche_id": make_id("trn", 93)}
    life.on(2025, 7, 1).deed(ReversePrincipal(**take, principal_usd=Decimal(8_000), reason=f"credit {credit}"))
    paid_back = {credit: Delivery(Decimal(4_000), 3_600 * 2_000, Decimal(8_000))}
    assert read(get_line(portfolio(life, **paid_back), DRAWN), *MONEY) == (16_000, 16_000, 0, 0, 0)
    life.on(2025, 8, 1).deed(ReversePrincipal(**take, principal_usd=Decimal(2_000), reason="an audit"))
    assert read(get_line(portfolio(life, **paid_back), DRAWN), *MONEY) == (16_000, 15_000, 0, -1_000, 0)
