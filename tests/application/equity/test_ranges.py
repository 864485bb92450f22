"""A mandate's range of caps sees what ranks before the stock that it buys, and what converts beside it."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.types import MaturityConversion, NoteTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.application.equity import instruments
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.trading import orders
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock
from tests.application.equity.test_equity import act, found
from tests.application.equity.test_note_orders import offer_equity
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, for_cash

MOST = Decimal(12_000_000)
LIMIT = {"dilution_max": Decimal(1), "valuation_usd": Decimal(9_900_000)}
STOCK = StockTerms(class_id="common", price_usd_per_share=Decimal("1.1"), service_consequence="credit")
"""Nine million shares and rights are worth 9.9 M."""


@pytest.fixture
async def founded(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    await limit_dilution(market.handler, market.context(trade.startup), trade.issuer, **LIMIT)
    return market, trade


async def found_class(market, trade, class_id, shares, price_usd, **terms):
    """Create a class of preferred stock, and give all of its shares to the founders."""
    created = {"class_id": class_id, "kind": "preferred", "shares_authorised": shares, **terms}
    await act(market, trade.startup, CreateStockClass, **created)
    issued = {"security_id": derive_id("sec", trade.issuer), "holder_id": trade.startup, "class_id": class_id}
    await act(market, trade.startup, IssueStock, **issued, shares=shares, price_usd_per_share=Decimal(price_usd))


async def outrank(market, trade):
    """Give ten shares to the founders that rank before everybody with 100 M."""
    terms = {"price_per_share_usd": Decimal(1_000_000), "liquidation_multiple": Decimal(10), "seniority": 9}
    await found_class(market, trade, "boss", 10, "0.0001", **terms)


async def protect(market, trade):
    """Give the founders a million shares with a full ratchet at 1.10."""
    terms = {"price_per_share_usd": Decimal("1.1"), "liquidation_multiple": Decimal(1), "seniority": 1}
    await found_class(market, trade, "guard", 1_000_000, "1.1", **terms, price_protection="full_ratchet")


async def invest(market, trade, terms, kind, *, usd=90_000, most=MOST, least=None):
    fund = await market.party("Investor", "fund", usd=20_000_000)
    rules = {**for_cash(usd), "instrument_kinds": (kind,), "valuation_cap_usd_max": most}
    rules["valuation_cap_usd_min"] = least
    mandate = await market.mandate(fund, **rules)
    context = market.context(trade.startup)
    members = {"mandate_id": mandate, "amount_usd": Decimal(usd), "terms": terms}
    return await instruments.invest(market.handler, context, startup_id=trade.startup, **members)


def build_terms(market, kind):
    ends = market.clock.now() + timedelta(days=800)
    match kind:
        case "stock":
            return msgspec.structs.replace(STOCK, service_consequence=None)
        case "warrant":
            prices = {"price_usd_per_share": Decimal("0.55"), "exercise_price_usd": Decimal("0.55")}
            return WarrantTerms(class_id="common", expires_at=ends, settlement="cash", **prices)
        case _:
            become = MaturityConversion(
                class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
            )
            return NoteTerms(
                annual_rate=Decimal("0.1"),
                interest="simple",
                day_count="thirty_360",
                matures_on=ends.date(),
                valuation_cap_usd=Decimal(9_900_000),
                at_maturity=become,
            )


async def refuse(code, asked):
    with pytest.raises(Refusal) as caught:
        await asked
    assert caught.value.code == code, caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", ["stock", "warrant", "convertible_note"])
async def test_a_preference_before_the_stock_counts_toward_the_range(founded, kind):
    """The founders' ten shares got all of a sale, and the mandate's holder nothing, at "9.9 M"."""
    market, trade = founded
    terms = build_terms(market, kind)
    await outrank(market, trade)
    refusal = await refuse("cap_outside_range", invest(market, trade, terms, kind))
    assert Decimal(refusal.facts["cap_usd"]) > 100_000_000
    await refuse("cap_outside_range", offer_equity(market, trade, "stock", STOCK, valuation_cap_usd_max=MOST))
    await invest(market, trade, terms, kind, most=Decimal(110_000_000))
    await check_log(market.log)


async def test_an_earlier_ratchet_counts_with_what_it_gains_at_the_least_cap(founded):
    """A friend's ratchet took 9 of 10 dollars of a fund that had bought at 9.9 M, in a round inside its range."""
    market, trade = founded
    await protect(market, trade)
    stock, least, most = build_terms(market, "stock"), Decimal(1_200_000), Decimal(13_000_000)
    refusal = await refuse("cap_outside_range", invest(market, trade, stock, "stock", least=least, most=most))
    assert Decimal(refusal.facts["cap_usd"]) > 100_000_000
    limits = {"valuation_cap_usd_min": least, "valuation_cap_usd_max": most}
    await refuse("cap_outside_range", offer_equity(market, trade, "stock", STOCK, **limits))
    await invest(market, trade, stock, "stock", least=Decimal(9_900_000), most=most)
    await check_log(market.log)


async def test_a_ratchet_between_an_order_and_its_lock_ends_the_order(founded):
    market, trade = founded
    limits = {"valuation_cap_usd_min": Decimal(1_200_000), "dilution_max": Decimal(1)}
    trade.order = await offer_equity(market, trade, "stock", STOCK, **limits)
    await protect(market, trade)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == "cancelled"
    events = [event async for page in market.log.read() for event in page]
    bodies = [event.body for event in events if event.envelope.type.endswith("order.cancelled.v1")]
    assert b"price protection" in bodies[-1]


@pytest.mark.parametrize(
    ("kind", "terms"),
    [("stock", STOCK), ("safe", SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(9_900_000)))],
)
async def test_a_preference_between_an_order_and_its_match_ends_the_order(founded, kind, terms):
    market, trade = founded
    terms = msgspec.structs.replace(terms, service_consequence="credit")
    trade.order = await offer_equity(market, trade, kind, terms)
    await outrank(market, trade)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == "cancelled", "it wins nothing and displaces nobody"
    events = [event async for page in market.log.read() for event in page]
    bodies = [event.body for event in events if event.envelope.type.endswith("order.cancelled.v1")]
    assert b"ranks before" in bodies[-1]


@pytest.mark.parametrize(
    "terms",
    [
        SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000)),
        SafeTerms(conversion_timing="post_money", discount=Decimal("0.9")),
    ],
    ids=["a cap", "a discount"],
)
async def test_what_a_safe_beside_it_becomes_counts_toward_the_range(founded, terms):
    """Beside a SAFE of 99% of the company, "9.9 M" were nearly a billion."""
    market, trade = founded
    stock = build_terms(market, "stock")
    placed = await offer_equity(market, trade, "stock", STOCK, valuation_cap_usd_max=MOST)
    order = await market.state("order", placed)
    fund = await market.party("Friend", "fund", usd=20_000_000)
    mandate = await market.mandate(fund, **for_cash(9_900_000), instrument_kinds=("safe",), uncapped=True)
    context = market.context(trade.startup)
    members = {"mandate_id": mandate, "amount_usd": Decimal(9_900_000), "terms": terms}
    await instruments.invest(market.handler, context, startup_id=trade.startup, **members)
    await refuse("cap_outside_range", invest(market, trade, stock, "stock"))
    agreed = market.context(trade.startup)
    await limit_dilution(market.handler, agreed, trade.issuer, **LIMIT)
    await agree_all(market, agreed)
    amended = orders.amend_order(market.handler, market.context(trade.startup), placed, terms=order.terms)
    await refuse("cap_outside_range", amended)
    await invest(market, trade, stock, "stock", most=Decimal(1_100_000_000))
    await check_log(market.log)
