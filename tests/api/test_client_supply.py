"""The typed client on sites, pools, lots and mandates: each method asks a running API, and its answer is right."""

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from events.mandate import MandateTerms
from marketplace.client import MarketplaceClient
from marketplace.log.memory import MemoryLog
from tests.api.rows import ABSENT
from tests.api.stage import open_stage
from tests.api.supplying import acting_for, open_pool
from tests.api.test_client_parties import refuse, speak

DAY = timedelta(days=1)
TERMS = MandateTerms(
    instrument_kinds=("safe",), equity_credit=Decimal("0.8"), budget_usd=Decimal(1_000), issuer_usd_max=Decimal(1_000)
)


async def test_power_of_a_site_goes_up_and_down(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        provider = await stage.register("Plant", "provider")
        pool = await client.pools.get(await open_pool(client, provider, 100))
        assert (pool.provider_id, pool.nodes, pool.gpus_per_node, pool.gpu_class) == (provider, 4, 8, "H100_SXM")
        assert await refuse(client.pools.get(f"pol_{ABSENT}")) == "pool_unknown"
        assert await client.market.list_gpu_classes() == ["H100_SXM"]
        site_id, now = pool.site_id, (await client.clock.get()).now
        assert (await client.sites.derate(site_id, power_energised_kw=60, at=now, reason="heat")).id == site_id
        site = await client.sites.get(site_id)
        assert (site.provider_id, site.power_contracted_kw, site.power_energised_kw) == (provider, 100, 60)
        assert (
            await refuse(client.sites.derate(site_id, power_energised_kw=70, at=now, reason="heat"))
            == "power_not_lowered"
        )
        assert await refuse(client.sites.energise(site_id, power_energised_kw=101, at=now)) == "power_above_contract"
        raised = await client.sites.energise(site_id, power_energised_kw=90, at=now, if_match=site.last_sequence)
        (found,) = [each async for each in client.sites.list(provider_id=provider)]
        assert (found.power_energised_kw, found.last_sequence) == (90, raised.version)
        assert [each async for each in client.sites.list(provider_id=f"pty_{ABSENT}")] == []


async def test_the_date_of_a_conversion_slips(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        ready = (await client.clock.get()).now.replace(microsecond=0) + 30 * DAY
        site_id = (
            await client.sites.register(
                provider_id=await stage.register("Plant", "provider"),
                name="South",
                region="us-east",
                jurisdiction="US",
                status="planned",
                power_contracted_kw=100,
                power_energised_kw=0,
                power_usage_effectiveness=Decimal("1.2"),
                renewable_share=Decimal("0.5"),
            )
        ).id
        await client.sites.schedule_conversion(site_id, former_use="bitcoin mining", ready_at=ready)
        site = await client.sites.get(site_id)
        assert (site.status, site.former_use, site.ready_at) == ("converting", "bitcoin mining", ready)
        await client.sites.slip_conversion(site_id, ready_at=ready + DAY, reason="a transformer is late")
        site = await client.sites.get(site_id)
        assert (site.ready_at, site.reason) == (ready + DAY, "a transformer is late")


async def list_one(client: MarketplaceClient, pool_id: str, begin: datetime) -> str:
    return (
        await client.lots.offer(
            pool_id=pool_id, nodes=4, start=begin, end=begin + 9 * DAY, ask_usd_per_gpu_hour=Decimal("2.10")
        )
    ).id


async def test_a_lot_is_paused_resumed_and_moved(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        pool_id = await open_pool(client, await stage.register("Plant", "provider"), 100)
        begin = (await client.clock.get()).now.replace(minute=0, second=0, microsecond=0) + DAY
        lot_id = await list_one(client, pool_id, begin)
        lot = await client.lots.get(lot_id)
        assert (lot.pool_id, lot.status, lot.start) == (pool_id, "listed", begin)
        assert lot.ask_usd_per_gpu_hour == Decimal("2.10")
        other_id = await open_pool(client, await stage.register("Works", "provider"), 100)
        step, idle = await client.market.get_capacity(pool_id=[pool_id, other_id], start=begin, end=begin + DAY)
        assert (idle.pool_id, idle.offered, step.pool_id) == (other_id, 0, pool_id)
        unknown = client.market.get_capacity(pool_id=[pool_id, f"pol_{ABSENT}"], start=begin, end=begin + DAY)
        assert await refuse(unknown) == "pool_unknown"
        assert (step.start, step.end, step.offered, step.free) == (begin, begin + DAY, 4, 4)
        await client.lots.pause(lot_id, reason="maintenance")
        (paused,) = [each async for each in client.lots.list(status="paused")]
        assert (paused.lot_id, paused.reason) == (lot_id, "maintenance")
        assert await client.market.get_depth(gpu_class="H100_SXM") == [], "what is paused asks nothing"
        await client.lots.resume(lot_id)
        assert (await client.lots.get(lot_id)).status == "listed"
        later = {"start": begin + DAY, "end": begin + 3 * DAY}
        moved = await client.lots.reschedule(lot_id, **later, reason="late")
        lot = await client.lots.get(lot_id)
        assert (lot.start, lot.end, lot.last_sequence) == (*later.values(), moved.version)
        reverse = client.lots.reschedule(lot_id, start=lot.end, end=lot.start, reason="late")
        assert await refuse(reverse) == "span_empty"
        await client.lots.withdraw(lot_id, reason="sold elsewhere")
        assert (
            await refuse(client.lots.pause(lot_id, reason="x"))
            == await refuse(client.lots.resume(lot_id))
            == "lot_withdrawn"
        )
        assert await refuse(client.lots.get(f"lot_{ABSENT}")) == "lot_unknown"


async def test_a_mandate_is_amended_and_revoked(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as platform:
        fund = await stage.register("Fund", "fund", usd="2000")
        granted = {"holder_id": fund, "funding": "cash", "terms": TERMS}
        assert await refuse(platform.mandates.grant(**granted)) == "payer_only"
        async with acting_for(platform, fund) as client:
            await _amend_and_revoke(client, granted)


async def _amend_and_revoke(client: MarketplaceClient, granted: dict) -> None:
    fund, mandate_id = granted["holder_id"], (await client.mandates.grant(**granted)).id
    more = msgspec.structs.replace(TERMS, budget_usd=Decimal(1_500))
    amended = await client.mandates.amend(mandate_id, terms=more)
    mandate = await client.mandates.get(mandate_id)
    assert (mandate.holder_id, mandate.terms, mandate.last_sequence) == (fund, more, amended.version)
    most = msgspec.structs.replace(TERMS, budget_usd=Decimal(2_500))
    assert await refuse(client.mandates.amend(mandate_id, terms=most)) == "funds_insufficient"
    assert await refuse(client.mandates.amend(mandate_id, terms=more, if_match=1)) == "version_stale"
    (offer,) = [each async for each in client.market.list_mandates()]
    assert (offer.mandate_id, offer.equity_credit, offer.instrument_kinds) == (
        mandate_id,
        Decimal("0.8"),
        ("safe",),
    )
    assert [each async for each in client.mandates.list_holds(mandate_id)] == []
    await client.mandates.revoke(mandate_id, reason="spent elsewhere")
    (gone,) = [each async for each in client.mandates.list(holder_id=fund, status="revoked")]
    assert (gone.mandate_id, gone.reason) == (mandate_id, "spent elsewhere")
    assert [each async for each in client.market.list_mandates()] == []
    assert await refuse(client.mandates.amend(mandate_id, terms=TERMS)) == "mandate_revoked"
    assert await refuse(client.mandates.get(f"mnd_{ABSENT}")) == "mandate_unknown"
