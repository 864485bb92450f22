"""The capacity calendar of several pools, for the pages that show it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from marketplace.client import MarketplaceClient
from marketplace.plots.calendar import Lane
from marketplace.projections.views.supply import CapacityStep, PoolView

_AT_ONCE: Final = 64
"""The most pools of one request."""


def label_pool(pool: PoolView) -> str:
    """Return a pool's name in charts and lists: its class, its region, and the end of its id."""
    return f"{pool.gpu_class} {pool.region} …{pool.pool_id[-6:]}"


def sort_pools(pools: Iterable[PoolView]) -> list[PoolView]:
    """Return pools by class, region and id."""
    return sorted(pools, key=lambda one: (one.gpu_class, one.region, one.pool_id))


async def load_lanes(
    client: MarketplaceClient, pools: Sequence[PoolView], start: datetime, end: datetime
) -> list[Lane]:
    """Return a lane of the calendar for each pool."""
    steps = defaultdict[str, list[CapacityStep]](list)
    for first in range(0, len(pools), _AT_ONCE):
        asked = [pool.pool_id for pool in pools[first : first + _AT_ONCE]]
        for step in await client.market.get_capacity(pool_id=asked, start=start, end=end):
            steps[step.pool_id].append(step)
    return [Lane(label_pool(pool), pool.nodes, steps[pool.pool_id]) for pool in pools]
