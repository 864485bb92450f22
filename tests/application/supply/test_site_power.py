"""Power of a site is a hard limit on all of its pools together, for whatever takes nodes."""

import asyncio
from decimal import Decimal
from types import SimpleNamespace

import pytest

from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.supply import inventory, sites
from marketplace.application.trading.quotes import hold_quote, release_quote
from marketplace.core.errors import Refusal
from marketplace.domain.supply.site import SITE
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling

NODE_KW = 11


async def build(log, *, power_kw, nodes=4):
    """Return a market with a site of two pools, each of which alone draws `nodes` times 11 kW."""
    market = Market(log)
    provider = await market.party("Provider", "provider")
    site = await sites.register_site(
        market.handler,
        market.context(provider),
        provider_id=provider,
        name="North",
        region="us-east",
        jurisdiction="US",
        status="operating",
        power_contracted_kw=10_000,
        power_energised_kw=power_kw,
        power_usage_effectiveness=Decimal("1.2"),
        renewable_share=Decimal("0.5"),
    )
    pools = {}
    for gpu_class in ("H100_SXM", "H200_SXM"):
        pool = await inventory.open_pool(
            market.handler,
            market.context(provider),
            site_id=site.id,
            gpu_class=gpu_class,
            interconnect="infiniband",
            gpus_per_node=8,
            nodes=nodes,
            power_per_node_kw=NODE_KW,
        )
        pools[gpu_class] = pool.id
        await market.lot(provider, pool.id, nodes=nodes)
    startup, rival = [await market.party(name, "startup", usd=10_000_000) for name in ("Startup", "Rival")]
    return SimpleNamespace(market=market, provider=provider, site=site.id, pools=pools, startup=startup, rival=rival)


def offer(market, gpu_class):
    (one,) = market.terms(cash="3").offers
    return (type(one)(**{name: getattr(one, name) for name in one.__struct_fields__} | {"gpu_class": gpu_class}),)


async def hold(world, desk, gpu_class, *, startup=None, market=None, nodes=4):
    """Hold all nodes of a pool for 20 days from the first one on."""
    market = market or world.market
    terms = market.terms(nodes=nodes, days=20, latest=1, offers=offer(market, gpu_class))
    startup = startup or world.startup
    context = market.context(startup)
    return await hold_quote(market.handler, context, desk.quoter, startup_id=startup, terms=terms, hold_seconds=600)


async def count_drawn(world, day):
    """Return what reserved nodes draw at a day, by what the pools say."""
    drawn = 0
    for pool_id in world.pools.values():
        pool = await world.market.state("pool", pool_id)
        at = world.market.day(day)
        drawn += sum(load.amount for load in pool.reserved() if load.start <= at < load.end) * NODE_KW
    return drawn


async def test_two_holds_on_two_pools_take_no_more_than_the_site_has(memory_log):
    world = await build(memory_log, power_kw=44)
    async with open_desk(world.market) as desk:
        await hold(world, desk, "H100_SXM")
        with pytest.raises(Refusal):
            await hold(world, desk, "H200_SXM")
    assert await count_drawn(world, 1) == 44
    await check_log(memory_log)


async def test_what_is_let_go_may_be_drawn_again(memory_log):
    world = await build(memory_log, power_kw=44)
    async with open_desk(world.market) as desk:
        first = await hold(world, desk, "H100_SXM")
        await release_quote(
            world.market.handler, world.market.context(world.startup), first.id, reason="took another one"
        )
        await hold(world, desk, "H200_SXM")
    assert await count_drawn(world, 1) == 44
    await check_log(memory_log)


class RaceCases:
    @pytest.mark.parametrize("order", [("H100_SXM", "H200_SXM"), ("H200_SXM", "H100_SXM")])
    async def test_of_two_processes_that_take_the_last_power_in_two_pools_one_is_refused(self, log, order):
        """Each has decided before either has stored; the second finds the site changed."""
        world = await build(log, power_kw=66)
        slow = Meddling(log)
        late = Market(slow, "late", world.market.clock)
        async with open_desk(world.market) as desk, open_desk(late) as late_desk:
            slow.hold()
            second = asyncio.create_task(hold(world, late_desk, order[1], startup=world.rival, market=late))
            await slow.until_appends(1)
            await hold(world, desk, order[0])
            slow.let_go()
            with pytest.raises(Refusal) as caught:
                await second
        assert caught.value.code in {"quote_unavailable", "limit_reached", "site_power_exceeded"}
        assert await count_drawn(world, 1) == 44
        await check_log(log)

    async def test_power_is_free_again_though_the_process_that_frees_it_has_not_heard_that_it_was_taken(self, log):
        """Its site draws nothing, as it would once the power is free: no event, and so no guard, would correct it."""
        world = await build(log, power_kw=44)
        late = world.market.process("late")
        await late.handler.cache.load(SITE, world.site)
        async with open_desk(world.market) as desk:
            first = await hold(world, desk, "H100_SXM")
            await release_quote(late.handler, late.context(world.startup), first.id, reason="took another one")
            assert not any((await world.market.state("site", world.site)).drawn.values())
            await hold(world, desk, "H200_SXM")
        assert await count_drawn(world, 1) == 44
        await check_log(log)


class TestOnMemory(RaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(RaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


async def award(world, nodes, days=20):
    """Return the grant of so many nodes of the first pool from the first day on."""
    market = world.market
    order = await market.order(world.startup, nodes=nodes, days=days, latest=1, offers=offer(market, "H100_SXM"))
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    state = await market.state("order", order)
    assert state.status == "matched", state
    return state.grant_id


async def open_other_site(world, power_kw):
    """Return a pool of the same class at another site of the provider, with a lot."""
    market = world.market
    pool = await inventory.open_pool(
        market.handler,
        market.context(world.provider),
        site_id=await register(world, power_kw),
        gpu_class="H100_SXM",
        interconnect="infiniband",
        gpus_per_node=8,
        nodes=4,
        power_per_node_kw=NODE_KW,
    )
    await market.lot(world.provider, pool.id)
    return pool.id


async def register(world, power_kw):
    market = world.market
    receipt = await sites.register_site(
        market.handler,
        market.context(world.provider),
        provider_id=world.provider,
        name="South",
        region="us-east",
        jurisdiction="US",
        status="operating",
        power_contracted_kw=10_000,
        power_energised_kw=power_kw,
        power_usage_effectiveness=Decimal("1.2"),
        renewable_share=Decimal("0.5"),
    )
    return receipt.id


async def test_a_substitution_takes_no_more_than_the_other_site_has(memory_log):
    world = await build(memory_log, power_kw=100)
    grant_id = await award(world, 4)
    small = await open_other_site(world, power_kw=11)
    move = {"pool_id": small, "reason": "works on the hall"}
    with pytest.raises(Refusal) as caught:
        await substitute_grant(world.market.handler, world.market.context(world.provider), grant_id, **move)
    assert caught.value.code == "site_power_exceeded"
    assert (caught.value.facts["power_kw"], caught.value.facts["drawn_kw"]) == (11, 44)
    assert not (await world.market.state("pool", small)).reservations
    await check_log(memory_log)


async def test_a_move_within_a_site_draws_what_it_drew_also_on_a_site_that_has_less_by_now(memory_log):
    world = await build(memory_log, power_kw=100)
    grant_id = await award(world, 4)
    market = world.market
    context = market.context(world.provider)
    await sites.derate_site(
        market.handler, context, world.site, power_energised_kw=11, at=market.day(2), reason="a transformer is out"
    )
    again = await inventory.open_pool(
        market.handler,
        market.context(world.provider),
        site_id=world.site,
        gpu_class="H100_SXM",
        interconnect="infiniband",
        gpus_per_node=8,
        nodes=4,
        power_per_node_kw=NODE_KW,
    )
    await market.lot(world.provider, again.id)
    provider = market.context(world.provider)
    await substitute_grant(market.handler, provider, grant_id, pool_id=again.id, reason="works on the hall")
    site = await market.state("site", world.site)
    drawn = {pool_id: [load.amount for load in loads] for (pool_id, _), loads in site.drawn.items()}
    assert drawn == {again.id: [44]}
    await check_log(memory_log)


async def test_a_derated_site_keeps_its_grants_and_takes_nothing_new(memory_log):
    world = await build(memory_log, power_kw=100)
    await award(world, 4)
    market = world.market
    await sites.derate_site(
        market.handler,
        market.context(world.provider),
        world.site,
        power_energised_kw=22,
        at=market.day(2),
        reason="a transformer is out",
    )
    async with open_desk(market) as desk:
        with pytest.raises(Refusal):
            await hold(world, desk, "H200_SXM", nodes=1)
    assert await count_drawn(world, 5) == 44
    await check_log(memory_log)


async def test_a_site_draws_what_its_pools_reserve_up_to_an_early_end(memory_log):
    world = await build(memory_log, power_kw=100)
    grant_id = await award(world, 4)
    market = world.market
    market.clock.at = market.day(1)
    await grants.activate_grant(market.handler, market.context(world.provider), grant_id)
    await grants.terminate_grant(market.handler, market.context(), grant_id, at=market.day(3), reason="done")
    site = await market.state("site", world.site)
    (loads,) = site.drawn.values()
    assert [(load.start, load.end, load.amount) for load in loads] == [(market.day(1), market.day(3), 44)]
    await check_log(memory_log)
