"""The issuer's limit over orders, matches and investments: counted once, freed when over, and never exceeded."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from marketplace.application.equity import instruments
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.trading import orders
from marketplace.application.trading.auctions import lock_order
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.dilution import measure_dilution
from tests.application.equity.test_equity import found, invest
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market

PRINCIPAL = 2 * 8 * 24 * 10 * 3
"""What one order of ten days may come to owe."""


@pytest.fixture
async def company(memory_log):
    """A market with a company of nine million shares that has no order yet, and its startup and mandate."""
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


async def set_limit(market, trade, principal):
    """Limit instruments to what so much principal is of the company at the cap of the orders' SAFE."""
    most = (Decimal(principal) / SAFE.valuation_cap_usd).quantize(Decimal("1e-9"))
    await limit_dilution(
        market.handler, market.context(trade.startup), trade.issuer, dilution_max=most, valuation_usd=None
    )


def place(market, trade):
    return market.order(trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,), days=10, latest=1)


async def read_exposures(market, trade):
    return dict((await market.state("issuer", trade.issuer)).exposures)


async def test_of_two_processes_that_place_at_once_one_is_refused_with_the_numbers(company):
    market, trade = company
    await set_limit(market, trade, PRINCIPAL * 1.5)
    other = market.process("other")
    answers = await asyncio.gather(place(market, trade), place(other, trade), return_exceptions=True)
    (refusal,) = (answer for answer in answers if isinstance(answer, Refusal))
    assert refusal.code == "dilution_exceeded"
    assert Decimal(refusal.facts["pending_usd"]) == 2 * PRINCIPAL
    (order_id,) = (answer for answer in answers if isinstance(answer, str))
    assert list(await read_exposures(market, trade)) == [order_id]
    await market.cancel(trade.startup, order_id)
    assert await read_exposures(market, trade) == {}
    await place(market, trade)
    await check_log(market.log)


async def test_a_match_hands_what_its_order_counted_to_its_instrument_until_that_is_over(company):
    market, trade = company
    await set_limit(market, trade, PRINCIPAL)
    trade.order = await place(market, trade)
    async with market.worker():
        grant = await market.award(trade)
        instrument_id = rename_id("ins", grant.issued.grant_id)
        (counted,) = (await read_exposures(market, trade))[instrument_id]
        assert counted.amount_usd == grant.issued.equity.principal_commitment_usd
        await market.deliver(grant, 4)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    instrument = await market.state("instrument", instrument_id)
    assert instrument.status == "lapsed"
    (left,) = (await read_exposures(market, trade))[instrument_id]
    assert left.amount_usd == instrument.outstanding_usd < counted.amount_usd
    await check_log(market.log)


async def test_an_investment_is_counted_and_an_amendment_is_kept_to_the_limit(company):
    market, trade = company
    await set_limit(market, trade, 60_000)
    receipt = await invest(market, trade, 50_000)
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 10_001)
    assert caught.value.code == "dilution_exceeded"
    cheaper = type(SAFE)(conversion_timing="post_money", valuation_cap_usd=SAFE.valuation_cap_usd / 2)
    amend = {"terms": cheaper, "applies_to_earlier": True}
    with pytest.raises(Refusal) as caught:
        await instruments.amend_instrument(market.handler, market.context(), receipt.id, **amend)
    assert caught.value.code == "dilution_exceeded"
    issuer = await market.state("issuer", trade.issuer)
    assert measure_dilution(issuer).part == Decimal(50_000) / SAFE.valuation_cap_usd
    await check_log(market.log)


@pytest.mark.parametrize("is_bound", [False, True])
async def test_a_limit_is_refused_below_what_open_and_bound_orders_promise_and_undoes_none(company, is_bound):
    """Three orders that were placed before the limit stood outside it, until the match refused."""
    market, trade = company
    trade.order = await place(market, trade)
    others = [await place(market, trade) for _ in range(2)]
    assert set(await read_exposures(market, trade)) == {trade.order, *others}
    if is_bound:
        await lock_order(market.handler, market.context(), trade.order, trade.auction)
    with pytest.raises(Refusal) as caught:
        await set_limit(market, trade, PRINCIPAL)
    assert caught.value.code == "dilution_exceeded"
    assert Decimal(caught.value.facts["pending_usd"]) == 3 * PRINCIPAL
    for order_id in others:
        await market.cancel(trade.startup, order_id)
    await set_limit(market, trade, PRINCIPAL)
    with pytest.raises(Refusal) as caught:
        await place(market, trade)
    assert caught.value.code == "dilution_exceeded"
    async with market.worker():
        market.clock.at = (await market.state("auction", trade.auction)).opened.locks_at
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == "matched"
    await check_log(market.log)


async def test_open_orders_that_together_ask_for_the_whole_company_are_refused_without_a_limit(company):
    market, trade = company
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), days=10, latest=1)
    low = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(PRINCIPAL) * 10 / 6)
    terms = msgspec.structs.replace(terms, instrument=low)
    members = {"startup_id": trade.startup, "terms": terms}
    await orders.place_order(market.handler, market.context(trade.startup), **members)
    with pytest.raises(Refusal) as caught:
        await orders.place_order(market.handler, market.context(trade.startup), **members)
    assert caught.value.code == "stack_exceeds_company"
    favoured = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(900_000_000), most_favoured_nation=True)
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, PRINCIPAL, favoured)
    assert caught.value.code == "stack_exceeds_company", "it may elect the cap of the order"
    await invest(market, trade, 1_000, favoured)
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 1, msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(1_500)))
    assert caught.value.code == "stack_exceeds_company", "it may elect that cap, and no round could close"
    await invest(market, trade, 1, msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(10_000)))
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 31_000, msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(100_000)))
    assert caught.value.code == "stack_exceeds_company", "it got notice of a cap that takes a tenth"


async def test_post_money_safes_that_together_ask_for_the_whole_company_are_refused_at_signing_and_at_placing(company):
    market, trade = company
    half = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(100_000))
    members = {"startup_id": trade.startup, "mandate_id": trade.mandate}
    await instruments.invest(
        market.handler, market.context(trade.startup), **members, amount_usd=Decimal(60_000), terms=half
    )
    with pytest.raises(Refusal) as caught:
        await instruments.invest(
            market.handler, market.context(trade.startup), **members, amount_usd=Decimal(40_000), terms=half
        )
    assert caught.value.code == "stack_exceeds_company"
    assert caught.value.facts["principal_usd"] == "100000"
    assert caught.value.facts["valuation_caps_usd"] == ["100000"]
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), days=10, latest=1)
    cap = Decimal(PRINCIPAL) * 10 / 4
    low = msgspec.structs.replace(terms, instrument=msgspec.structs.replace(SAFE, valuation_cap_usd=cap))
    with pytest.raises(Refusal) as caught:
        await orders.place_order(market.handler, market.context(trade.startup), startup_id=trade.startup, terms=low)
    assert caught.value.code == "stack_exceeds_company"
    await instruments.invest(
        market.handler, market.context(trade.startup), **members, amount_usd=Decimal(39_999), terms=half
    )
    await check_log(market.log)
