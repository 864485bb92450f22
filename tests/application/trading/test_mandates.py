"""A mandate is a policy: which lots may name it, at which price, and for which issuers."""

from decimal import Decimal

import pytest

from marketplace.application.billing import accounts
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from tests.application.trading.test_resale import resell
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def refused(work, code):
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code == code


async def pay_in(market, party_id):
    account_id = rename_id("acc", party_id)
    await accounts.deposit(
        market.handler, market.context(), account_id, amount_usd=Decimal(100_000), reference="more for mandates"
    )


async def test_lots_name_a_mandate_only_of_its_providers_and_sites(market):
    fund = await market.party("Fund", "fund", usd=1_000)
    provider, other = await market.party("North", "provider"), await market.party("South", "provider")
    site, pool = await market.pool(provider)
    _, foreign = await market.pool(other)
    _, second = await market.pool(provider)
    mandate = await market.mandate(fund, budget=100, provider_ids=(provider,), site_ids=(site,))
    await market.lot(provider, pool, mandate_ids=(mandate,))
    await refused(market.lot(other, foreign, mandate_ids=(mandate,)), "provider_unwelcome")
    await refused(market.lot(provider, second, mandate_ids=(mandate,)), "site_unwelcome")


async def test_resold_capacity_is_paid_only_by_a_mandate_that_says_so(market):
    trade = await market.trade()
    await pay_in(market, trade.fund)
    plain = await market.mandate(trade.fund, budget=100, resale=False)
    async with market.worker():
        grant = await market.award(trade)
    await refused(resell(market, trade, grant, mandate_ids=(plain,)), "resale_unwelcome")
    await resell(market, trade, grant, mandate_ids=(trade.mandate,))


async def test_an_order_above_the_price_or_of_another_issuer_is_refused(market):
    trade = await market.trade()
    await pay_in(market, trade.fund)
    cheap = await market.mandate(trade.fund, budget=10_000, usd_per_gpu_hour_max=Decimal("3.39"))
    order = {"cash": "1", "equity": "3", "nodes": 1, "days": 1}
    await refused(market.order(trade.startup, **order, mandate_ids=(cheap,)), "price_above_mandate")
    await market.order(trade.startup, **order | {"cash": "0.99"}, mandate_ids=(cheap,))
    chosen = await market.mandate(trade.fund, budget=10_000, issuer_ids=("iss_01jdm5v5tze1xa6a4sbz1gk3c4",))
    await refused(market.order(trade.startup, **order, mandate_ids=(chosen,)), "issuer_unwelcome")
