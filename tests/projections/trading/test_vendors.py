"""The market by vendor and generation of GPUs, and what holders' mandates set aside for each."""

from datetime import timedelta

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncEngine

from events import mandate, pool
from marketplace.log.memory import MemoryLog
from marketplace.projections.supply import inventory
from marketplace.projections.trading import mandates
from marketplace.projections.trading import market as market_data
from marketplace.projections.trading.market.vendors import list_exposures, load_generations, weigh_index
from marketplace.projections.views.trading import ClassSupply, ExposureView, GenerationView
from tests.projections.conftest import fill, project
from tests.projections.market import END, FUND, ISSUER, MANDATE, PROVIDER, SITE, START, STARTUP, tell_supply
from tests.projections.story import BEGIN, HOUR, Story, make_id, usd
from tests.projections.trading.test_market_data import build_grant

TABLES = (inventory.PROJECTION, market_data.PROJECTION, mandates.PROJECTION)


def supply(gpu_class: str, index: str | None, gpu_hours: int) -> ClassSupply:
    return ClassSupply(
        gpu_class=gpu_class,
        gpus=8,
        offered_gpu_hours=0,
        awarded_gpu_hours=0,
        index_usd_per_gpu_hour=None if index is None else usd(index),
        index_gpu_hours=gpu_hours,
    )


def test_the_index_of_a_generation_weighs_its_classes_by_their_volume():
    hopper = [supply("H100_SXM", "2", 300), supply("H200_SXM", "3", 100), supply("GH200", None, 0)]
    assert weigh_index(hopper) == usd("2.25")
    assert weigh_index(hopper[2:]) is None


async def test_supply_and_awards_by_vendor_and_generation(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    tell_supply(story)
    other = {"pool_id": make_id("pol", 7), "provider_id": PROVIDER, "site_id": SITE, "region": "us-east"}
    shape = {"interconnect": "ethernet", "gpus_per_node": 8, "nodes": 4, "power_per_node_kw": 11}
    story.tell(pool.PoolOpened(**other, **shape, gpu_class="MI300X"))
    story.tell(build_grant(1, STARTUP), structs.replace(build_grant(2, STARTUP), gpu_class="H200_SXM"))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, TABLES)
    async with engine.connect() as connection:
        amd, nvidia = await load_generations(connection, now=BEGIN)
        late = (await load_generations(connection, now=END - timedelta(hours=1)))[1]
        over = (await load_generations(connection, now=END))[1]
    assert (amd.gpu_vendor, amd.gpu_generation, amd.gpus, amd.awarded_gpu_hours) == ("amd", "cdna_3", 32, 0)
    assert (nvidia.gpu_vendor, nvidia.gpu_generation) == ("nvidia", "hopper")
    assert [one.gpu_class for one in nvidia.classes] == ["H100_SXM", "H200_SXM"]
    assert nvidia.gpus == 2 * 64 * 8
    assert nvidia.offered_gpu_hours == 2 * 64 * 8 * (END - START) // HOUR
    assert late.offered_gpu_hours == 2 * 64 * 8
    assert over.offered_gpu_hours == 0
    assert nvidia.awarded_gpu_hours == 2 * 8 * 24
    assert not [name for name in (*GenerationView.__struct_fields__, *ClassSupply.__struct_fields__) if "paid" in name]
    assert nvidia.index_usd_per_gpu_hour is None, "one buyer makes no index"


async def test_exposure_counts_what_is_held_for_each_generation_and_committed_for_the_one_that_won(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = Story()
    tell_supply(story)
    for number, amount, classes in (
        (1, "200", ("H100_SXM", "MI300X")),
        (2, "100", ("B200_SXM", "H200_SXM")),
        (3, "7", ()),
    ):
        held = {"mandate_id": MANDATE, "hold_id": make_id("hld", number), "order_id": make_id("ord", number)}
        story.tell(
            mandate.MandateBudgetHeld(**held, issuer_id=ISSUER, amount_usd=usd(amount), gpu_classes=classes),
            actor=STARTUP,
        )
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, TABLES)
    async with engine.connect() as connection:
        before = await list_exposures(connection, holder_id=FUND)
    hold = {"mandate_id": MANDATE, "hold_id": make_id("hld", 1)}
    won = {"grant_id": make_id("grt", 1), "gpu_class": "H100_SXM"}
    story.tell(mandate.MandateBudgetCaptured(**hold, **won, amount_usd=usd("150")))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, TABLES)
    async with engine.connect() as connection:
        after = await list_exposures(connection)
        assert await list_exposures(connection, holder_id=FUND) == after
        assert await list_exposures(connection, holder_id=PROVIDER) == []

    def expose(vendor: str, generation: str, held: str, committed: str = "0") -> ExposureView:
        return ExposureView(
            holder_id=FUND,
            gpu_vendor=vendor,
            gpu_generation=generation,
            held_usd=usd(held),
            committed_usd=usd(committed),
        )

    blackwell = expose("nvidia", "blackwell", "100")
    assert before == [expose("amd", "cdna_3", "200"), blackwell, expose("nvidia", "hopper", "300")]
    assert after == [blackwell, expose("nvidia", "hopper", "150", "150")]
