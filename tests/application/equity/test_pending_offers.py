"""Open orders and held quotes count toward a mandate's range, and are asked again once others hold something."""

from decimal import Decimal

import msgspec
import pytest

from events.types import SafeTerms, StockTerms
from marketplace.application.equity import instruments
from marketplace.application.trading.quotes import hold_quote, take_quote
from marketplace.auditor.ranges import Ranges
from marketplace.auditor.stream import Findings
from tests.application.equity.test_equity import found
from tests.application.equity.test_note_orders import offer_equity
from tests.application.equity.test_ranges import MOST, STOCK, build_terms, invest, refuse
from tests.support.market.auditing import CountedVotes, read_messages
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, for_cash

LOW = SafeTerms(
    conversion_timing="post_money", valuation_cap_usd=Decimal(20_000), discount=None, service_consequence="credit"
)
"""At this cap, ten days of compute are more than a quarter of the company."""
TRIFLE = StockTerms(class_id="common", price_usd_per_share=Decimal("0.000001"), service_consequence="credit")
WIDE = {"valuation_cap_usd_max": Decimal(1_000_000_000)}


@pytest.fixture
async def alone(memory_log):
    """Return a market with a company of nine million shares that no party holds anything of."""
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


async def list_cancelled(market):
    events = [event async for page in market.log.read() for event in page]
    return [event.body.decode() for event in events if event.envelope.type.endswith("order.cancelled.v1")]


async def hold(desk, trade, instrument):
    """Let the fund take such instruments, and hold a quote for one."""
    market = desk.market
    kind = "stock" if isinstance(instrument, StockTerms) else "safe"
    await market.cancel(trade.startup, await offer_equity(market, trade, kind, instrument, **WIDE))
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), days=10, latest=1)
    terms = msgspec.structs.replace(terms, instrument=instrument)
    context = market.context(trade.startup)
    held = hold_quote(market.handler, context, desk.quoter, startup_id=trade.startup, terms=terms, hold_seconds=1_800)
    return (await held).id


async def test_an_open_order_counts_toward_the_range(alone):
    """A fund paid 900,000 at "10 M" beside an order for 76.8% of the company, which was matched afterwards."""
    market, trade = alone
    await offer_equity(market, trade, "safe", LOW, **WIDE)
    stock = build_terms(market, "stock")
    refusal = await refuse("cap_outside_range", invest(market, trade, stock, "stock"))
    assert Decimal(refusal.facts["cap_usd"]) > MOST
    await invest(market, trade, stock, "stock", most=Decimal(30_000_000))
    await check_log(market.log)


async def test_an_order_from_before_others_paid_is_asked_again_at_the_lock(alone):
    market, trade = alone
    order = await offer_equity(market, trade, "safe", LOW, **WIDE)
    await invest(market, trade, build_terms(market, "stock"), "stock", most=Decimal(30_000_000))
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", order)).status == "cancelled"
    assert "paid for" in (await list_cancelled(market))[-1]


async def test_two_orders_of_one_auction_see_one_another(alone):
    """A fund's stock at "10 M" and a friend's SAFE for three quarters of the company were matched together."""
    market, trade = alone
    order = await offer_equity(market, trade, "stock", STOCK, valuation_cap_usd_max=MOST)
    await offer_equity(market, trade, "safe", LOW, **WIDE)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", order)).status == "cancelled"
    assert any("caps from 0 to 12000000" in text for text in await list_cancelled(market))


@pytest.mark.parametrize(("instrument", "code"), [(TRIFLE, "dilution_unagreed"), (LOW, "cap_below_holders")])
async def test_a_held_quote_is_asked_again_as_it_is_taken(alone, instrument, code):
    """Stock at a millionth of a dollar was held before a fund paid 900,000, and was 99.9% of the company after it."""
    market, trade = alone
    async with open_desk(market) as desk:
        quote_id = await hold(desk, trade, instrument)
        stock = build_terms(market, "stock")
        await refuse("cap_outside_range", invest(market, trade, stock, "stock"))
        await invest(market, trade, stock, "stock", most=Decimal(10**12))
        await refuse(code, take_quote(market.handler, market.context(trade.startup), quote_id))
    await check_log(market.log)


async def test_a_quote_within_what_others_paid_is_taken(alone):
    market, trade = alone
    async with open_desk(market) as desk:
        high = msgspec.structs.replace(LOW, valuation_cap_usd=Decimal(30_000_000))
        quote_id = await hold(desk, trade, high)
        await invest(market, trade, build_terms(market, "stock"), "stock")
        await take_quote(market.handler, market.context(trade.startup), quote_id)
    assert (await market.state("quote", quote_id)).status == "taken"
    await check_log(market.log)


async def test_the_auditor_counts_open_orders_of_what_is_paid_at_once(alone):
    market, trade = alone
    await offer_equity(market, trade, "safe", LOW, **WIDE)
    fund = await market.party("Investor", "fund", usd=20_000_000)
    rules = {**for_cash(90_000), "instrument_kinds": ("stock",), "valuation_cap_usd_max": Decimal(30_000_000)}
    mandate = await market.mandate(fund, **rules)
    context = market.context(trade.startup)
    members = {"mandate_id": mandate, "amount_usd": Decimal(90_000), "terms": build_terms(market, "stock")}
    await instruments.invest(market.handler, context, startup_id=trade.startup, **members)
    findings = Findings()
    votes = CountedVotes(Findings())
    ranges, decisions = Ranges(findings, votes.gains), {}
    for message in await read_messages(market.log):
        decisions.setdefault(message.decision, []).append(message)
    for decision in decisions.values():
        ranges.take(decision)
        ranges.terms = {name: {**each, "valuation_cap_usd_max": str(MOST)} for name, each in ranges.terms.items()}
        votes.take(decision)
    (text,) = [text for rule, _, text in findings.kept if rule == "range"]
    assert mandate in text
