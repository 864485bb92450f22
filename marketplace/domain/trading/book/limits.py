"""Shared limits of an auction's orders: a site's power over time, and the most principal that a startup may owe.

A site's power is stated only if its pools could use more than it has. Before the date of a conversion it is the live
power, afterwards the contracted power, less what reserved nodes already draw. Commands that take nodes use the same
sums (`application/steps/capacity.py`). A startup's limit on principal counts each bid at its full offer; the price
never exceeds it.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from events.book import BookLimit
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site, list_power
from marketplace.domain.trading.book.horizon import Horizon, count_least
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.domain.trading.order import Order


def name_power(site_id: str) -> str:
    """Return the id of the limit on a site's power, in kilowatts."""
    return f"power/{site_id}"


def name_principal(startup_id: str) -> str:
    """Return the id of the limit on a startup's principal, in US dollars."""
    return f"principal/{startup_id}"


def build_limits(supply: Supply, orders: Iterable[Order], horizon: Horizon) -> tuple[BookLimit, ...]:
    """Return the limits of a book, sites first."""
    pools: dict[str, list[Pool]] = defaultdict(list)
    for pool in supply.pools.values():
        pools[pool.opened.site_id].append(pool)
    power = (
        limit
        for site_id in sorted(supply.sites)
        for limit in _limit_power(supply.sites[site_id], pools[site_id], horizon)
    )
    most: dict[str, Decimal] = {}
    for order in orders:
        principal, startup_id = order.terms.principal_usd_max, order.placed.startup_id
        if principal is not None:
            most[startup_id] = min(principal, most.get(startup_id, principal))
    principals = (
        BookLimit(limit_id=name_principal(startup_id), amount=most[startup_id]) for startup_id in sorted(most)
    )
    return (*power, *principals)


def _limit_power(site: Site, pools: list[Pool], horizon: Horizon) -> Iterable[BookLimit]:
    power = list_power(site, horizon.start, horizon.end)
    if sum(pool.opened.nodes * pool.opened.power_per_node_kw for pool in pools) <= min(run.amount for run in power):
        return
    taken = [Load(load.start, load.end, -load.amount) for load in site.list_drawn()]
    free = count_least(build_steps([*power, *taken], horizon.start, horizon.end), horizon)
    start = 0
    for period in range(1, len(free) + 1):
        if period == len(free) or free[period] != free[start]:
            yield BookLimit(
                limit_id=name_power(site.registered.site_id),
                amount=Decimal(max(free[start], 0)),
                from_period=start,
                to_period=period,
            )
            start = period
