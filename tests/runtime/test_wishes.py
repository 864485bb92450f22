"""Orders that nothing on offer could serve are told which of their wishes contradict each other."""

from decimal import Decimal

import msgspec
import pytest

from events.order import ClassOffer
from marketplace.clearing.verifier import find_violations
from marketplace.runtime.audit import load_published
from marketplace.runtime.commands import orders, sites, supply
from tests.runtime.desk import open_desk
from tests.runtime.invariants import check_log
from tests.runtime.market import Market

HERE, THERE = ("us-east", "H100_SXM", "infiniband"), ("eu-west", "A100", "ethernet")


async def open_pool(market, provider, region, gpu_class, fabric, *, nodes=4, **lot):
    site = await sites.register_site(
        market.handler,
        market.context(provider),
        provider_id=provider,
        name="Hall",
        region=region,
        jurisdiction="US",
        status="operating",
        power_contracted_kw=10_000,
        power_energised_kw=10_000,
        power_usage_effectiveness=Decimal("1.2"),
        renewable_share=Decimal("0.5"),
    )
    pool = await supply.open_pool(
        market.handler,
        market.context(provider),
        site_id=site.id,
        gpu_class=gpu_class,
        interconnect=fabric,
        gpus_per_node=8,
        nodes=nodes,
        power_per_node_kw=11,
    )
    await supply.list_lot(
        market.handler,
        market.context(provider),
        pool_id=pool.id,
        nodes=nodes,
        start=market.day(1),
        end=market.day(11),
        ask_usd_per_gpu_hour=Decimal(2),
        **lot,
    )


async def open_market(market):
    provider = await market.party("Provider", "provider")
    await open_pool(market, provider, *HERE)
    await open_pool(market, provider, *THERE, nodes=8, duration_hours_min=48)
    return await market.party("Startup", "startup", usd=1_000_000)


def ask(gpu_class="H100_SXM"):
    price = {"cash_usd_per_gpu_hour": Decimal(3), "equity_usd_per_gpu_hour": Decimal(0)}
    return (ClassOffer(gpu_class=gpu_class, **price),)


CASES = [
    ({"regions": ("eu-west",)}, {"region", "gpu_class"}),
    ({"interconnect": "ethernet"}, {"interconnect", "gpu_class"}),
    ({"regions": ("ap-south",)}, {"region"}),
    ({"offers": ask("B200")}, {"gpu_class"}),
    ({"nodes": 6}, {"nodes", "gpu_class"}),
    ({"nodes": 9}, {"nodes"}),
    ({"gpus_per_node": 4}, {"gpus_per_node"}),
    ({"power_usage_effectiveness_max": Decimal("1.1")}, {"site"}),
    ({"days": 11}, {"duration"}),
    ({"earliest": 9, "latest": 9, "days": 5}, {"start_window", "duration"}),
    ({"offers": ask("A100"), "days": 1}, {"lot_terms", "duration", "gpu_class"}),
]


@pytest.mark.parametrize(("wishes", "conflict"), CASES)
async def test_an_order_that_nothing_could_serve_is_told_its_smallest_conflict(memory_log, wishes, conflict):
    market = Market(memory_log)
    startup = await open_market(market)
    lost = await place(market, startup, **wishes)
    async with market.worker():
        auction = await market.auction(periods=30)
        market.clock.at = market.day(0.5)
        await market.until("auction", auction, "settled", seconds=60)
    published = await load_published(market.log, auction)
    assert find_violations(published.book, published.clearing) == ()
    decision = next(one for one in published.clearing.decisions if one.order_id == lost)
    assert decision.reasons[0].code in {"no_eligible_pool", "never_feasible"}
    assert set(decision.reasons[0].facts["conflict"].split(",")) == conflict
    await check_log(market.log)


async def place(market, startup, *, offers=None, gpus_per_node=8, **wishes):
    terms = market.terms(**{"days": 2, "latest": 5, "nodes": 2, "gpus_per_node": gpus_per_node, **wishes})
    if offers is not None:
        terms = msgspec.structs.replace(terms, offers=offers)
    return (await orders.place_order(market.handler, market.context(startup), startup_id=startup, terms=terms)).id


async def test_a_quote_tells_the_same(memory_log):
    market = Market(memory_log)
    startup = await open_market(market)
    async with open_desk(market) as desk:
        quoted = await desk.ask(startup, days=2, regions=("eu-west",))
    assert quoted.estimate.reason.facts["conflict"] == "gpu_class,region"
