"""Nodes that fail hit the grants of their pool by themselves: they move where there is room, or are degraded."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from msgspec import structs

from events.registry import parse_type
from events.types import LotShare
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.supply import inventory, sites
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.money import parse_ratio
from marketplace.domain.delivery.grant import Outage
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import ReleaseCapacity, ReserveCapacity
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


class Stand:
    """One running grant of two of four nodes, and the words that tests say about it."""

    def __init__(self, log):
        self.market = Market(log)

    async def begin(self):
        self.trade = await self.market.trade(days=40)
        grant = await self.market.award(self.trade)
        self.grant_id, self.pool = grant.issued.grant_id, grant.pool_id
        self.market.clock.at = grant.issued.start + timedelta(days=1)
        await self.market.until("grant", self.grant_id, "active")
        return grant

    async def fail(self, incident, nodes):
        market = self.market
        context = market.context(self.trade.provider)
        return await inventory.fail_nodes(
            market.handler, context, self.pool, incident_id=incident, nodes=nodes, at=market.clock.now()
        )

    async def restore(self, incident):
        market = self.market
        market.clock.at += timedelta(hours=1)
        at = market.clock.now()
        context = market.context(self.trade.provider)
        await inventory.restore_nodes(market.handler, context, self.pool, incident_id=incident, at=at)

    async def open_pool(self, nodes=4, ask="0.5"):
        _, pool = await self.market.pool(self.trade.provider, nodes=nodes)
        await self.market.lot(self.trade.provider, pool, ask=ask, nodes=nodes, start=0)
        return pool

    async def fill(self, room):
        """Have no room elsewhere, and return what makes some and tells the pool that has it."""
        if room == "offered":
            return self.open_pool
        market = self.market
        pool, price = await self.open_pool(), Decimal("0.5")
        (lot,) = (await market.state("pool", pool)).offers
        at = market.clock.now()
        later = at + timedelta(hours=1)
        reserved = {"pool_id": pool, "grant_id": derive_id("grt", pool)}
        span = {"nodes": 3, "start": at, "end": at + timedelta(days=1)}
        lots = (LotShare(lot_id=lot, **span),)

        async def decide(command):
            await market.handler.run(market.context(), POOL, pool, lambda unit: change_capacity(unit, command))

        ways = {
            "released": (
                lambda: decide(ReserveCapacity(**reserved, **span, lots=lots)),
                lambda: decide(ReleaseCapacity(**reserved, at=later)),
            ),
            "repriced": (
                lambda: inventory.reprice_lot(market.handler, self.again(), lot, ask_usd_per_gpu_hour=Decimal(900)),
                lambda: inventory.reprice_lot(market.handler, self.again(), lot, ask_usd_per_gpu_hour=price),
            ),
            "resumed": (
                lambda: inventory.pause_lot(market.handler, self.again(), lot, reason="works"),
                lambda: inventory.resume_lot(market.handler, self.again(), lot),
            ),
            "restored": (
                lambda: inventory.fail_nodes(market.handler, self.again(), pool, incident_id="there", nodes=3, at=at),
                lambda: inventory.restore_nodes(market.handler, self.again(), pool, incident_id="there", at=later),
            ),
        }
        fill, free = ways[room]
        await fill()

        async def make_room():
            market.clock.at = later
            await free()
            return pool

        return make_room

    def again(self):
        return self.market.context(self.trade.provider)

    async def grant(self):
        return await self.market.state("grant", self.grant_id)

    async def until_event(self, tag, count=1):
        """Wait until the grant has so many events of a type."""
        seen = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for page in self.market.log.read(0, follow=True):
                told = [one for one in page if one.subject.endswith(self.grant_id)]
                seen += sum(parse_type(one.envelope.type) == f"grant.{tag}.v1" for one in told)
                if seen >= count:
                    return


@pytest.fixture
def stand(memory_log):
    return Stand(memory_log)


async def test_a_grant_is_degraded_by_the_nodes_it_lacks_and_works_in_full_again(stand):
    async with stand.market.worker(), stand.market.worker():
        await stand.begin()
        await stand.fail("one", 3)
        await stand.until_event("degraded")
        assert (await stand.grant()).nodes_available == 1
        await stand.fail("two", 1)
        await stand.until_event("degraded", 2)
        assert (await stand.grant()).nodes_available == 0
        await stand.restore("one")
        await stand.until_event("resumed")
    grant = await stand.grant()
    assert (grant.status, grant.nodes_available, grant.pool_id) == ("active", 2, stand.pool)
    await check_log(stand.market.log)


async def test_nodes_that_no_grant_needs_may_fail(stand):
    async with stand.market.worker():
        await stand.begin()
        await stand.fail("one", 2)
        await stand.fail("two", 1)
        await stand.until_event("degraded")
    assert (await stand.grant()).nodes_available == 1


async def test_a_grant_moves_to_a_pool_with_room_instead(stand):
    async with stand.market.worker(), stand.market.worker():
        before = await stand.begin()
        small, dear = await stand.open_pool(nodes=1), await stand.open_pool(ask="900")
        pool = await stand.open_pool()
        await stand.fail("one", 3)
        await stand.until_event("substituted")
    grant = await stand.grant()
    assert (grant.status, grant.pool_id, grant.nodes_available) == ("active", pool, 2)
    assert pool not in {small, dear}
    assert grant.issued.price_usd_per_gpu_hour == before.issued.price_usd_per_gpu_hour
    old, new = [await stand.market.state("pool", pool_id) for pool_id in (stand.pool, pool)]
    now = stand.market.clock.now()
    assert old.reservations[stand.grant_id].end == new.reservations[stand.grant_id].start == now
    assert new.reservations[stand.grant_id].end == grant.end
    await check_log(stand.market.log)


@pytest.mark.parametrize("room", ["offered", "released", "repriced", "resumed", "restored"])
async def test_a_grant_that_found_no_room_moves_as_soon_as_there_is_some(stand, room):
    async with stand.market.worker(), stand.market.worker():
        await stand.begin()
        free = await stand.fill(room)
        await stand.fail("one", 4)
        await stand.until_event("degraded")
        pool = await free()
        await stand.until_event("substituted")
        await stand.until_event("resumed")
    grant = await stand.grant()
    assert (grant.status, grant.pool_id, grant.nodes_available) == ("active", pool, 2)
    await check_log(stand.market.log)


async def test_what_the_provider_reported_itself_is_the_providers_to_end(stand):
    async with stand.market.worker():
        await stand.begin()
        market, at = stand.market, stand.market.clock.now()
        context = market.context(stand.trade.provider)
        await grants.degrade_grant(market.handler, context, stand.grant_id, nodes_available=1, at=at, reason="cooling")
        await stand.fail("one", 1)
        await stand.restore("one")
        pool = await stand.open_pool()
        await stand.fail("two", 4)
        await stand.until_event("substituted")
    grant = await stand.grant()
    assert (grant.pool_id, grant.reason) == (pool, None)


async def test_a_move_is_refused_by_name(stand):
    async with stand.market.worker():
        await stand.begin()
    market = stand.market

    async def move(pool_id, party_id=None):
        context = market.context(party_id or stand.trade.provider)
        with pytest.raises(Refusal) as caught:
            await substitute_grant(market.handler, context, stand.grant_id, pool_id=pool_id, reason="works")
        return caught.value.code

    stranger = await market.party("Stranger", "provider")
    _, foreign = await market.pool(stranger)
    _, other_class = await market.pool(stand.trade.provider, gpu_class="A100")
    _, empty = await market.pool(stand.trade.provider)
    assert await move(foreign) == "pool_unknown"
    assert await move(other_class) == "pool_unlike"
    assert await move(empty) == "substitute_full"
    assert await move(await stand.open_pool(), stand.trade.startup) == "wrong_side"
    assert await move(await stand.open_pool(), stranger) == "grant_unknown"
    grant = await stand.grant()
    assert parse_ratio(grant.issued.cash_share) > 0
    market.clock.at = grant.end
    assert await move(empty) == "grant_over"


async def test_what_failed_and_came_back_before_anyone_looked_is_told_of_the_grant_all_the_same(stand):
    async with stand.market.worker():
        await stand.begin()
    began = stand.market.clock.now()
    await stand.fail("one", 3)
    stand.market.clock.at += timedelta(hours=5)
    await stand.restore("one")
    restored = stand.market.clock.now()
    async with stand.market.worker(), stand.market.worker():
        await stand.until_event("degraded")
    grant = await stand.grant()
    assert (grant.status, grant.outages) == ("active", (Outage(began, restored, 1),))


async def test_nodes_that_a_derated_site_cannot_power_are_dark_until_it_is_energised(stand):
    market = stand.market
    async with market.worker(), market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        since = market.clock.now() + timedelta(hours=2)
        await sites.derate_site(
            market.handler, stand.again(), site_id, power_energised_kw=12, at=since, reason="a transformer burnt"
        )
        await asyncio.sleep(0.3)
        assert (await stand.grant()).nodes_available == 2
        market.clock.at = since + timedelta(minutes=1)
        await stand.until_event("degraded")
        grant = await stand.grant()
        assert (grant.nodes_available, grant.outages) == (1, (Outage(since, None, 1),))
        again = market.clock.now()
        await sites.energise_site(market.handler, stand.again(), site_id, power_energised_kw=22, at=again)
        await stand.until_event("resumed")
    grant = await stand.grant()
    assert (grant.status, grant.outages) == ("active", (Outage(since, again, 1),))
    await check_log(market.log)


async def test_a_site_is_derated_and_energised_to_states_that_it_had_before(stand):
    """Each time the grant follows: it is dark when the site is, and works in full when the site has its power."""
    market = stand.market
    async with market.worker(), market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        dark = []
        for count, power_kw in enumerate([0, 0, 12, 0], start=1):
            market.clock.at += timedelta(hours=5)
            began = market.clock.now()
            await sites.derate_site(
                market.handler, stand.again(), site_id, power_energised_kw=power_kw, at=began, reason="a fuse blew"
            )
            await stand.until_event("degraded", count)
            assert (await stand.grant()).nodes_available == power_kw // 11
            market.clock.at += timedelta(hours=5)
            again = market.clock.now()
            await sites.energise_site(market.handler, stand.again(), site_id, power_energised_kw=22, at=again)
            await stand.until_event("resumed", count)
            dark.append(Outage(began, again, power_kw // 11))
    grant = await stand.grant()
    assert (grant.status, grant.outages) == ("active", tuple(dark))
    await check_log(market.log)


async def test_a_dark_grant_counts_as_dark_until_its_site_is_reported_to_have_power(stand):
    market = stand.market
    async with market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        began, handler = market.clock.now(), market.handler
        await sites.derate_site(handler, stand.again(), site_id, power_energised_kw=0, at=began, reason="a fire")
        await stand.until_event("degraded")
        market.clock.at += timedelta(days=5)
        now = market.clock.now()
        soon = began + timedelta(minutes=1)
        with pytest.raises(Refusal) as caught:
            await sites.energise_site(handler, stand.again(), site_id, power_energised_kw=22, at=soon)
        assert (caught.value.code, caught.value.pointer) == ("resumption_backdated", "/at")
        await sites.energise_site(handler, stand.again(), site_id, power_energised_kw=22, at=now)
        await sites.derate_site(handler, stand.again(), site_id, power_energised_kw=21, at=soon, reason="a fan")
        await stand.until_event("degraded", 2)
    assert Outage(began, now, 0) in (await stand.grant()).outages
    await check_log(market.log)


async def test_a_grant_that_lacks_power_moves_as_soon_as_its_provider_has_room(stand):
    market = stand.market
    async with market.worker(), market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        at = market.clock.now()
        await sites.derate_site(market.handler, stand.again(), site_id, power_energised_kw=12, at=at, reason="a fire")
        await stand.until_event("degraded")
        pool = await stand.open_pool()
        await stand.until_event("substituted")
        await stand.until_event("resumed")
    grant = await stand.grant()
    assert (grant.status, grant.pool_id, grant.nodes_available) == ("active", pool, 2)
    await check_log(market.log)


async def test_a_grant_lacks_its_nodes_since_they_failed_and_not_since_it_was_noticed(stand):
    async with stand.market.worker():
        await stand.begin()
        market, failed = stand.market, stand.market.clock.now() - timedelta(hours=3)
        context = market.context(stand.trade.provider)
        await inventory.fail_nodes(market.handler, context, stand.pool, incident_id="one", nodes=4, at=failed)
        await stand.until_event("degraded")
    assert (await stand.grant()).outages == (Outage(failed, None, 0),)


@pytest.mark.parametrize("ends_early", [True, False])
async def test_nodes_that_came_back_before_the_end_worked_until_then_however_late_that_is_noticed(stand, ends_early):
    async with stand.market.worker():
        grant = await stand.begin()
        market, end = stand.market, grant.end
        if ends_early:
            end = market.clock.now() + timedelta(days=7)
            startup = market.context(stand.trade.startup)
            await grants.terminate_grant(market.handler, startup, stand.grant_id, at=end, reason="enough")
        market.clock.at = end - timedelta(hours=3)
        failed = market.clock.now()
        await stand.fail("one", 4)
        await stand.until_event("degraded")
    await stand.restore("one")
    restored = market.clock.now()
    market.clock.at = end + timedelta(minutes=5)
    async with stand.market.worker():
        await stand.until_event("resumed")
    assert (await stand.grant()).outages == (Outage(failed, restored, 0),)
    await check_log(market.log)


async def test_nodes_that_failed_before_the_start_and_come_back_after_the_end_never_worked(stand):
    """A worker noticed the end, ended the outage at its start, and reported it anew, too late for what was bought."""
    async with stand.market.worker():
        stand.trade = await stand.market.trade(days=40)
        grant = await stand.market.award(stand.trade)
        stand.grant_id, stand.pool, start = grant.issued.grant_id, grant.pool_id, grant.issued.start
        await stand.fail("one", 4)
        stand.market.clock.at = start + timedelta(hours=1)
        await stand.until_event("degraded")
        lost = (await stand.grant()).outages
        assert (lost[0].start, lost[0].nodes) == (start, 0)
        stand.market.clock.at = grant.end
        await stand.restore("one")
        stand.market.clock.at = grant.end + timedelta(hours=25)
        await stand.market.until("statement", list_periods(grant)[-1].statement_id, "issued")
    assert (await stand.grant()).outages == lost
    await check_log(stand.market.log)


async def test_nodes_that_fail_in_the_instant_in_which_a_grant_begins_are_recorded(stand):
    """The span up to now is empty then, and no grant that begins now was there before."""
    market = stand.market
    async with market.worker():
        stand.trade = await market.trade(days=40)
        other = await market.order(stand.trade.startup, cash="3", nodes=2, days=5, earliest=9, latest=9)
        first = await market.award(stand.trade)
        second = await market.state("grant", (await market.state("order", other)).grant_id)
        stand.grant_id, stand.pool = first.issued.grant_id, first.pool_id
        market.clock.at = second.issued.start
        await market.until("grant", second.issued.grant_id, "active")
        await stand.fail("one", 3)
        await stand.until_event("degraded")
        assert (await stand.grant()).nodes_available == 0
        await stand.restore("one")
        await stand.until_event("resumed")
    await check_log(market.log)


@pytest.mark.parametrize("over", [True, False])
async def test_the_provider_closes_an_outage_that_it_reports_long_after(stand, over):
    market = stand.market
    async with market.worker():
        await stand.begin()
        began, handler = market.clock.now(), market.handler
        market.clock.at += timedelta(days=10)
        until = began + timedelta(days=1)
        fail = partial(inventory.fail_nodes, handler, incident_id="past", nodes=3, at=began)
        await fail(stand.again(), stand.pool, until=until if over else None)
        await stand.until_event("degraded")
        if not over:
            market.clock.at += timedelta(hours=2)
            until = market.clock.now()
            await inventory.restore_nodes(handler, stand.again(), stand.pool, incident_id="past", at=until)
            await stand.until_event("resumed")
        grant = await stand.grant()
        assert (grant.status, grant.outages) == ("active", (Outage(began, until, 1),))
    await check_log(market.log)


async def test_no_report_says_that_a_grant_works_whose_site_has_no_power_or_whose_nodes_failed(stand):
    market = stand.market
    async with market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        at, handler = market.clock.now(), market.handler
        await stand.fail("one", 4)
        await stand.until_event("degraded")
        with pytest.raises(Refusal, match="restore the nodes of its pool or energise its site first") as caught:
            await grants.resume_grant(handler, stand.again(), stand.grant_id, at=at)
        assert caught.value.code == "nodes_failed"
        await stand.restore("one")
        await stand.until_event("resumed")
        at = market.clock.now()
        await grants.suspend_grant(handler, stand.again(), stand.grant_id, at=at, reason="maintenance")
        await sites.derate_site(handler, stand.again(), site_id, power_energised_kw=0, at=at, reason="a fire")
        with pytest.raises(Refusal, match="nodes that grant"):
            await grants.resume_grant(handler, stand.again(), stand.grant_id, at=at)
        await grants.resume_grant(handler, market.context(), stand.grant_id, at=at)
        await stand.until_event("degraded", 2)
    grant = await stand.grant()
    assert (grant.status, grant.nodes_available, grant.follows_pool) == ("degraded", 0, True)
    await check_log(market.log)


async def test_a_grant_is_as_dark_on_another_pool_of_a_site_without_power(stand):
    market = stand.market
    async with market.worker():
        await stand.begin()
        site_id = (await market.state("pool", stand.pool)).opened.site_id
        opened = structs.asdict((await market.state("pool", stand.pool)).opened)
        like = {name: opened[name] for name in ("gpu_class", "interconnect", "gpus_per_node", "power_per_node_kw")}
        context = stand.again()
        receipt = await inventory.open_pool(market.handler, context, site_id=site_id, nodes=4, service=None, **like)
        await market.lot(stand.trade.provider, receipt.id, ask="0.5", nodes=4, start=0)
        await stand.fail("one", 4)
        await stand.until_event("substituted")
        await stand.restore("one")
        at = market.clock.now()
        await sites.derate_site(market.handler, stand.again(), site_id, power_energised_kw=0, at=at, reason="a fire")
        await stand.until_event("degraded")
        context = stand.again()
        await substitute_grant(market.handler, context, stand.grant_id, pool_id=stand.pool, reason="the shop window")
        await grants.resume_grant(market.handler, market.context(), stand.grant_id, at=at)
        await stand.until_event("degraded", 2)
    grant = await stand.grant()
    assert (grant.status, grant.nodes_available, grant.pool_id) == ("degraded", 0, stand.pool)
    await check_log(market.log)
