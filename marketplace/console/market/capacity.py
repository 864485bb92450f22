"""The capacity calendar of several pools, for the pages that show it."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from marketplace.client import MarketplaceClient
from marketplace.plots.calendar import Lane
from marketplace.projections.views.supply import PoolView


def label_pool(pool: PoolView) -> str:
    """Return a pool's name in charts and lists: its class, its region, and the end of its id."""
    return f"{pool.gpu_class} {pool.region} …{pool.pool_id[-6:]}"


def sort_pools(pools: Iterable[PoolView]) -> list[PoolView]:
    """Return pools by class, region and id."""
    return sorted(pools, key=lambda one: (one.gpu_class, one.region, one.pool_id))


async def load_lanes(
    client: MarketplaceClient, pools: Iterable[PoolView], start: datetime, end: datetime
) -> list[Lane]:
    """Return a lane of the calendar for each pool."""

    async def load(pool: PoolView) -> Lane:
        return Lane(label_pool(pool), pool.nodes, await client.read_capacity(pool.pool_id, start=start, end=end))

    return await asyncio.gather(*map(load, pools))
