"""The market as an auction or a quote sees it: what is for sale, what of it is unsold, the limits of all orders.

A site's power is stated only if its pools could use more than it has. Before the date of a conversion it is the live
power, afterwards the contracted power, less what reserved nodes already draw. Commands that take nodes use the same
sums (`application/steps/capacity.py`). A startup's limit on principal counts each bid at its full offer; the price
never exceeds it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from events.book import Book, BookLimit
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site, list_power
from marketplace.domain.trading.book.horizon import Horizon, count_least
from marketplace.domain.trading.mandate import Mandate
from marketplace.domain.trading.order import Order


@dataclass(frozen=True, slots=True)
class Supply:
    """Pools, their listed lots, the mandates that orders name, and the pools' sites.

    Attributes:
        pools: Every pool with lots, and every other pool of their sites.
        reliability: The score of each provider that has a history, from 0 to 1; the others have 1.
        sites: The sites of the pools.
    """

    pools: Mapping[str, Pool]
    lots: Mapping[str, Lot]
    mandates: Mapping[str, Mandate]
    reliability: Mapping[str, Fraction] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)

    def sells_as(self, other: "Supply") -> bool:
        """Return whether both sell the same on the same terms, judged by identity of the states in memory.

        Of mandates only the terms count. Their remaining budget is held when an order is placed.
        """
        shared = self.mandates.keys() & other.mandates.keys()
        granted = all(self.mandates[name].granted is other.mandates[name].granted for name in shared)
        groups = ((self.pools, other.pools), (self.lots, other.lots), (self.sites, other.sites))
        return granted and all(_are_same(*group) for group in groups) and self.reliability == other.reliability


def _are_same(one: Mapping[str, object], two: Mapping[str, object]) -> bool:
    return one.keys() == two.keys() and all(state is two[name] for name, state in one.items())


@dataclass(frozen=True, slots=True)
class Offered:
    """The unsold capacity in a book, with the lots' terms of sale.

    Attributes:
        supply: What is for sale.
        listed: The lots of each pool that take orders.
        free: Unsold nodes of each lot, by period.
    """

    supply: Supply
    listed: Mapping[str, list[Lot]]
    free: Mapping[str, list[int]]
    _runs: dict[tuple[tuple[str, ...], int], list[int]] = field(default_factory=dict)

    def count_runs(self, lots: Iterable[Lot], nodes: int, periods: int) -> list[int]:
        """Return, for each period, how many consecutive periods before it have `nodes` of some lots unsold."""
        key = tuple(lot.listed.lot_id for lot in lots), nodes
        if key not in self._runs:
            rows = [self.free[lot_id] for lot_id in key[0] if lot_id in self.free]
            enough = (sum(row[period] for row in rows) >= nodes for period in range(periods))
            self._runs[key] = [0, *accumulate(int(good) for good in enough)]
        return self._runs[key]


def build_offered(supply: Supply, listed: Mapping[str, list[Lot]], book: Book) -> Offered:
    """Return the unsold capacity of a book."""
    free: dict[str, list[int]] = {}
    for row in book.lots:
        amounts = free.setdefault(row.step_of or row.lot_id, [0] * book.periods)
        for period in range(row.from_period, row.to_period):
            amounts[period] += row.nodes
    return Offered(supply, listed, free)


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
