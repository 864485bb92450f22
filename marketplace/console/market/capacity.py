"""The capacity calendar of several pools, for the pages that show it."""

import asyncio
from collections.abc import Collection
from datetime import datetime

from marketplace.client import MarketplaceClient
from marketplace.plots.calendar import Lane
from marketplace.projections.views.supply import PoolView


async def load_lanes(
    client: MarketplaceClient, pool_ids: Collection[str], start: datetime, end: datetime
) -> list[Lane]:
    """Return a lane for each of these pools, by class and region."""
    pools = [one async for one in client.list_pools() if one.pool_id in pool_ids]
    pools.sort(key=lambda one: (one.gpu_class, one.region, one.pool_id))

    async def load(pool: PoolView) -> Lane:
        label = f"{pool.gpu_class} {pool.region} …{pool.pool_id[-6:]}"
        return Lane(label, pool.nodes, await client.read_capacity(pool.pool_id, start=start, end=end))

    return await asyncio.gather(*map(load, pools))
