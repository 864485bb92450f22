"""Orders that nothing on offer could serve are told which of their wishes contradict each other."""

from decimal import Decimal

import pytest

from events.order import ClassOffer
from events.stages import StageTerms
from marketplace.application.supply import inventory, sites
from marketplace.application.trading import orders
from marketplace.clearing.verify.verifier import find_violations
from marketplace.runtime.auctions.audit import load_published
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

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
    pool = await inventory.open_pool(
        market.handler,
        market.context(provider),
        site_id=site.id,
        gpu_class=gpu_class,
        interconnect=fabric,
        gpus_per_node=8,
        nodes=nodes,
        power_per_node_kw=11,
    )
    await inventory.list_lot(
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
    ({"power_usage_effectiveness_max": Decimal("1.1")}, {"power_usage_effectiveness"}),
    ({"renewable_share_min": Decimal("0.6")}, {"renewable_share"}),
    ({"availability_min": Decimal("0.999")}, {"availability"}),
    ({"notice_hours_min": 73}, {"notice"}),
    ({"notice_hours_max": 71}, {"lot_terms"}),
    ({"days": 11}, {"duration"}),
    ({"earliest": 9, "latest": 9, "days": 5}, {"start_window", "duration"}),
    ({"offers": ask("A100"), "days": 1}, {"lot_terms", "duration", "gpu_class"}),
    ({"stages": StageTerms(hours=24, security_hours=72)}, {"lot_terms"}),
]


@pytest.mark.parametrize(("wishes", "conflict"), CASES)
async def test_an_order_that_nothing_could_serve_is_told_its_smallest_conflict(memory_log, wishes, conflict):
    market = Market(memory_log)
    startup = await open_market(market)
    lost = await place(market, startup, **wishes)
    async with market.worker():
        auction = await market.auction(periods=30)
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction, seconds=60)
    published = await load_published(market.log, auction)
    assert find_violations(published.book, published.clearing) == ()
    decision = next(one for one in published.clearing.decisions if one.order_id == lost)
    assert decision.reasons[0].code in {"no_eligible_pool", "never_feasible"}
    assert set(decision.reasons[0].facts["conflict"].split(",")) == conflict
    await check_log(market.log)


REMEDIES = [
    ({"regions": ("eu-west",)}, {"region": "us-east", "gpu_class": "A100"}),
    ({"interconnect": "ethernet"}, {"interconnect": "infiniband", "gpu_class": "A100"}),
    ({"regions": ("ap-south",)}, {"region": "us-east"}),
    ({"offers": ask("B200")}, {"gpu_class": "A100,H100_SXM"}),
    ({"gpus_per_node": 4}, {"gpus_per_node": "8"}),
    ({"power_usage_effectiveness_max": Decimal("1.1")}, {"power_usage_effectiveness": "1.2"}),
    ({"renewable_share_min": Decimal("0.6")}, {"renewable_share": "0.5"}),
    ({"availability_min": Decimal("0.999")}, {"availability": "0.99"}),
    ({"notice_hours_min": 73}, {"notice": "72"}),
    ({"offers": ask("A100"), "days": 1}, {"gpu_class": "H100_SXM", "duration": "48"}),
    ({"regions": ("ap-south",), "gpus_per_node": 4}, {}),
]


def apply(wishes, wish, value):
    """Return the wishes of an order with one of them replaced by what was offered in its place."""
    match wish:
        case "region":
            return {**wishes, "regions": (value,)}
        case "gpu_class":
            return {**wishes, "offers": ask(value)}
        case "gpus_per_node":
            return {**wishes, "gpus_per_node": int(value)}
        case "duration":
            return {**wishes, "days": int(value) // 24}
        case "power_usage_effectiveness":
            return {**wishes, "power_usage_effectiveness_max": Decimal(value)}
        case "renewable_share":
            return {**wishes, "renewable_share_min": Decimal(value)}
        case "availability":
            return {**wishes, "availability_min": Decimal(value)}
        case "notice":
            return {**wishes, "notice_hours_min": int(value)}
        case _:
            return {**wishes, wish: value}


@pytest.mark.parametrize(("wishes", "remedies"), REMEDIES)
async def test_what_is_offered_in_place_of_a_wish_would_be_served(memory_log, wishes, remedies):
    market = Market(memory_log)
    startup = await open_market(market)
    async with open_desk(market) as desk:
        lost = (await desk.ask(startup, **build_wishes(wishes))).estimate.reason
        named = {name[5:]: fact for name, fact in lost.facts.items() if name.startswith("with_")}
        assert named == remedies
        for wish, values in named.items():
            for value in values.split(","):
                again = await desk.ask(startup, **build_wishes(apply(wishes, wish, value)))
                assert again.estimate.price_to_win_usd_per_gpu_hour is not None, (wish, value)
                assert value in lost.text


def build_wishes(wishes):
    return {"days": 2, "latest": 5, "nodes": 2, **wishes}


async def place(market, startup, **wishes):
    terms = market.terms(**build_wishes(wishes))
    return (await orders.place_order(market.handler, market.context(startup), startup_id=startup, terms=terms)).id


async def test_a_quote_tells_the_same(memory_log):
    market = Market(memory_log)
    startup = await open_market(market)
    async with open_desk(market) as desk:
        quoted = await desk.ask(startup, days=2, regions=("eu-west",))
    assert quoted.estimate.reason.facts["conflict"] == "gpu_class,region"
