"""The market by vendor and generation of GPUs: supply, awards, index, and what each holder's mandates set aside."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Numeric, extract, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.money import PRICE_STEP, SECONDS_PER_HOUR
from marketplace.domain.supply.gpu_vendors import find_generation, find_vendor
from marketplace.projections.engine.queries import PAGE_ROWS_MAX
from marketplace.projections.supply.inventory import lots, pools
from marketplace.projections.trading.mandates import budget_holds, mandates, sum_holds
from marketplace.projections.trading.market.queries import load_index
from marketplace.projections.trading.market.tables import fills
from marketplace.projections.views.trading import ClassSupply, ExposureView, GenerationView


async def load_generations(connection: AsyncConnection, *, now: datetime) -> list[GenerationView]:
    """Return the market by vendor and generation of GPUs, in order, with each of its classes.

    Of prices it has the index alone: a sum of all awards, read before and after one, would tell what that one costs.
    """
    gpus = await _sum_by_class(connection, select(pools.c.gpu_class, func.sum(pools.c.nodes * pools.c.gpus_per_node)))
    hours = extract("epoch", lots.c.end - func.greatest(lots.c.start, literal(now))) / SECONDS_PER_HOUR
    offered = select(pools.c.gpu_class, func.sum(lots.c.nodes * pools.c.gpus_per_node * hours).cast(Numeric))
    offered = offered.join_from(lots, pools, lots.c.pool_id == pools.c.pool_id)
    offered = offered.where(lots.c.status == "listed", lots.c.end > now)
    asked = await _sum_by_class(connection, offered)
    awarded = await _sum_by_class(connection, select(fills.c.gpu_class, func.sum(fills.c.gpu_hours).cast(BigInteger)))
    today = now.date()
    classes = []
    for name in sorted({*gpus, *awarded}):
        point = (await load_index(connection, name, start=today, end=today + timedelta(days=1), now=now))[0]
        supply = ClassSupply(
            gpu_class=name,
            gpus=int(gpus.get(name, 0)),
            offered_gpu_hours=int(asked.get(name, 0)),
            awarded_gpu_hours=int(awarded.get(name, 0)),
            index_usd_per_gpu_hour=point.index_usd_per_gpu_hour,
            index_gpu_hours=point.gpu_hours,
        )
        classes.append(supply)
    return _group(classes)


async def _sum_by_class(connection: AsyncConnection, query: Any) -> dict[str, Any]:
    """Return the sum of each GPU class. `query` selects the class and the sum, from one statement."""
    column = next(iter(query.selected_columns))
    rows = await connection.execute(query.group_by(column).limit(PAGE_ROWS_MAX))
    return {row[0]: row[1] for row in rows}


def _group(classes: Iterable[ClassSupply]) -> list[GenerationView]:
    groups: dict[tuple[str, str], list[ClassSupply]] = {}
    for one in classes:
        groups.setdefault((find_vendor(one.gpu_class), find_generation(one.gpu_class)), []).append(one)
    return [
        GenerationView(
            gpu_vendor=vendor,
            gpu_generation=generation,
            gpus=sum(one.gpus for one in members),
            offered_gpu_hours=sum(one.offered_gpu_hours for one in members),
            awarded_gpu_hours=sum(one.awarded_gpu_hours for one in members),
            index_usd_per_gpu_hour=weigh_index(members),
            classes=tuple(members),
        )
        for (vendor, generation), members in sorted(groups.items())
    ]


def weigh_index(classes: Iterable[ClassSupply]) -> Decimal | None:
    """Return the mean of classes' indices, weighed by the GPU-hours behind each, to six places half to even.

    None if no class has an index.
    """
    value, weight = Decimal(0), 0
    for one in classes:
        if one.index_usd_per_gpu_hour is not None:
            value += one.index_usd_per_gpu_hour * one.index_gpu_hours
            weight += one.index_gpu_hours
    return (value / weight).quantize(PRICE_STEP) if weight else None


async def list_exposures(
    connection: AsyncConnection, *, holder_id: str | None = None, sealed: bool = False
) -> list[ExposureView]:
    """Return what holders' mandates hold and have committed, by holder, vendor and generation, in order.

    What is held for an order counts toward each vendor and generation that it may get, as a mandate's bounds count it.
    Cash besides compute counts toward none. Without `sealed`, open orders count as the most that they may hold.
    """
    chosen = true() if holder_id is None else mandates.c.holder_id == holder_id
    query = sum_holds(mandates.c.holder_id, budget_holds.c.gpu_classes, where=chosen, sealed=sealed)
    rows = await connection.execute(query.order_by("holder_id").limit(PAGE_ROWS_MAX))
    found: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = {}
    for holder, gpu_classes, held_usd, committed_usd in rows.all():
        for vendor, generation in {(find_vendor(name), find_generation(name)) for name in gpu_classes}:
            held, committed = found.get((holder, vendor, generation), (Decimal(0), Decimal(0)))
            found[holder, vendor, generation] = (held + held_usd, committed + committed_usd)
    return [
        ExposureView(
            holder_id=holder_id,
            gpu_vendor=vendor,
            gpu_generation=generation,
            held_usd=held,
            committed_usd=committed,
        )
        for (holder_id, vendor, generation), (held, committed) in sorted(found.items())
        if held or committed
    ]
