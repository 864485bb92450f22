"""What is for sale, as an auction or a quote sees it: the unsold nodes of every lot, and the power of every site.

A period is sold whole: in each period, a lot offers the fewest nodes that are unsold at any instant of it.

Nodes that a provider reports as failed, and power that it derates or states to come later, once an auction binds its
orders stay in the auction's book at their ask. A match that takes them is refused, and counts against the provider
(`domain/delivery/reliability.py`).

A site's power is stated only if its pools could use more than it has. Before the date of a conversion it is the live
power, afterwards the contracted power, less what reserved nodes already draw. Commands that take nodes use the same
sums (`application/steps/capacity.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events.book import Book, BookLimit, BookLot, BookPool
from events.instants import FOREVER
from events.lot import AskStep
from marketplace.core.horizon import Horizon
from marketplace.core.ids import derive_id
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.register import Register
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site, list_power
from marketplace.domain.trading.mandate import Mandate

POWER: Final = "power"
"""The first part of the id of the limit on a site's power, in kilowatts; the site's id follows."""


@dataclass(frozen=True, slots=True)
class Supply:
    """Pools, their listed lots, the mandates that orders name, and the pools' sites.

    Attributes:
        pools: Every pool with lots, and every other pool of their sites.
        reliability: The score of each provider that has a history, from 0 to 1, for an auction as it was when orders
            were bound; the others have 1.
        sites: The sites of the pools.
        register: Who is related to whom.
        is_quoted: Whether an order asks for a quote. In auctions no order bids on capacity of a related party.
        binds_at: When the auction binds its orders. What is reported to fail from then on stays for sale.
    """

    pools: Mapping[str, Pool]
    lots: Mapping[str, Lot]
    mandates: Mapping[str, Mandate]
    reliability: Mapping[str, Fraction] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    register: Register = field(default_factory=Register)
    is_quoted: bool = False
    binds_at: datetime = FOREVER

    def sells_as(self, other: "Supply") -> bool:
        """Return whether both sell the same on the same terms, judged by identity of the states in memory.

        Of mandates only the terms count. Their remaining budget is held when an order is placed.
        """
        shared = self.mandates.keys() & other.mandates.keys()
        granted = all(self.mandates[name].granted is other.mandates[name].granted for name in shared)
        groups = ((self.pools, other.pools), (self.lots, other.lots), (self.sites, other.sites))
        known = self.reliability == other.reliability and self.register == other.register
        return granted and known and all(_are_same(*group) for group in groups)


def _are_same(one: Mapping[str, object], two: Mapping[str, object]) -> bool:
    return one.keys() == two.keys() and all(state is two[name] for name, state in one.items())


@dataclass(frozen=True, slots=True)
class Offered:
    """The unsold capacity in a book, with the lots' terms of sale.

    Attributes:
        supply: What is for sale.
        horizon: The periods of the book.
        listed: The lots of each pool that take orders, cheapest first.
        steps: The ids in the book of each lot's steps.
        free: Unsold nodes of each lot, by period.
        limit_ids: The limits that the book states.
        rows: The lots of the book.
        runs: Sums that were computed from `free`, kept for the next order.
        floors: What `list_floor` returned, by pool.
    """

    supply: Supply
    horizon: Horizon
    listed: Mapping[str, list[Lot]]
    steps: Mapping[str, list[str]]
    free: Mapping[str, list[int]]
    limit_ids: frozenset[str]
    rows: tuple[BookLot, ...] = ()
    runs: dict[tuple[tuple[str, ...], int], list[int]] = field(default_factory=dict)
    floors: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    def list_floor(self, pool_id: str) -> dict[str, Decimal]:
        """Return the asks of a pool's lots, by their ids in the book, beside which no node of the pool asks less."""
        if pool_id not in self.floors:
            rows = [row for row in self.rows if row.pool_id == pool_id]
            least: dict[int, Decimal] = {}
            for row in rows:
                for period in range(row.from_period, row.to_period):
                    least[period] = min(least.get(period, row.ask_usd_per_gpu_hour), row.ask_usd_per_gpu_hour)
            dear = {
                row.lot_id
                for row in rows
                if any(least[period] < row.ask_usd_per_gpu_hour for period in range(row.from_period, row.to_period))
            }
            self.floors[pool_id] = {row.lot_id: row.ask_usd_per_gpu_hour for row in rows if row.lot_id not in dear}
        return self.floors[pool_id]


def read_offered(supply: Supply, book: Book, horizon: Horizon) -> Offered:
    """Return the unsold capacity of a book."""
    free: dict[str, list[int]] = {}
    for row in book.lots:
        amounts = free.setdefault(row.step_of or row.lot_id, [0] * book.periods)
        for period in range(row.from_period, row.to_period):
            amounts[period] += row.nodes
    listed = {pool.pool_id: _list_lots(supply, pool.pool_id) for pool in book.pools}
    steps = {lot.listed.lot_id: _list_step_ids(lot) for lots in listed.values() for lot in lots}
    for row in book.lots:
        if row.step_of in steps and row.lot_id not in steps[row.step_of]:
            steps[row.step_of].append(row.lot_id)
    limit_ids = frozenset(limit.limit_id for limit in book.limits)
    return Offered(supply, horizon, listed, steps, free, limit_ids, book.lots)


def _list_lots(supply: Supply, pool_id: str) -> list[Lot]:
    """Return the lots of a pool that take orders, cheapest first."""
    lots = (lot for lot in supply.lots.values() if lot.listed.pool_id == pool_id and lot.status == "listed")
    return sorted(lots, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))


def _list_step_ids(lot: Lot) -> list[str]:
    return [_name_step(lot.listed.lot_id, index) for index in range(len(lot.further_asks) + 1)]


def _name_step(lot_id: str, index: int) -> str:
    """Return the id of a lot's step in a book. The first step has the lot's own id."""
    return derive_id("lot", lot_id, f"step/{index}") if index else lot_id


def build_lots(supply: Supply, horizon: Horizon) -> tuple[BookLot, ...]:
    """Return the rows of a book for what is unsold: one per ask of a lot and run of periods with equal nodes.

    A lot that takes equity has rows of their own for the periods in which a node of its pool asks less. Failed nodes
    are taken off the most expensive asks of their pool.
    """
    return tuple(row for pool_id in sorted(supply.pools) for row in _build_pool_lots(supply, pool_id, horizon))


def _build_pool_lots(supply: Supply, pool_id: str, horizon: Horizon) -> list[BookLot]:
    """Return the rows of one pool. Nodes that a grant resells are reserved, so failed nodes reduce only the others."""
    pool = supply.pools[pool_id]
    steps: list[tuple[BookLot, list[int]]] = []
    splits: set[str] = set()
    fresh: list[tuple[Decimal, list[int]]] = []
    for lot in _list_lots(supply, pool_id):
        free = horizon.count_least(pool.unsold(lot.listed.lot_id, horizon.start, horizon.end))
        for index, (step, nodes) in enumerate(lot.split_periods(free)):
            steps.append((_build_step(lot, index, step), nodes))
            if lot.listed.mandate_ids:
                splits.add(steps[-1][0].lot_id)
            if lot.listed.grant_id is None:
                fresh.append((step.ask_usd_per_gpu_hour, nodes))
    unsold = [nodes for _, nodes in sorted(fresh, key=lambda known: known[0])]
    _cut_to_working(pool, unsold, horizon, supply.binds_at)
    least = [_find_least(steps, period) for period in range(horizon.periods)]
    return [
        row
        for step, nodes in steps
        for part, free in (_split_floor(step, nodes, least) if step.lot_id in splits else ((step, nodes),))
        for row in _build_runs(part, free)
    ]


def _find_least(steps: list[tuple[BookLot, list[int]]], period: int) -> Decimal | None:
    """Return the least ask of what is unsold in a period; None if nothing is."""
    return min((step.ask_usd_per_gpu_hour for step, nodes in steps if nodes[period]), default=None)


def _split_floor(step: BookLot, nodes: list[int], least: list[Decimal | None]) -> tuple[tuple[BookLot, list[int]], ...]:
    """Return a step and its nodes, split in two if in some of its periods, not in all, a node of the pool asks less."""
    ask = step.ask_usd_per_gpu_hour
    floor = [free if low == ask else 0 for free, low in zip(nodes, least, strict=True)]
    if floor == nodes or not any(floor):
        return ((step, nodes),)
    home = step.step_of or step.lot_id
    beside = msgspec.structs.replace(step, lot_id=derive_id("lot", step.lot_id, "beside"), step_of=home)
    return (step, floor), (beside, [free - kept for free, kept in zip(nodes, floor, strict=True)])


def _build_step(lot: Lot, index: int, step: AskStep) -> BookLot:
    lot_id = lot.listed.lot_id
    return BookLot(
        lot_id=_name_step(lot_id, index),
        pool_id=lot.listed.pool_id,
        nodes=step.nodes,
        from_period=0,
        to_period=0,
        ask_usd_per_gpu_hour=step.ask_usd_per_gpu_hour,
        step_of=lot_id if index else None,
    )


def _cut_to_working(pool: Pool, unsold: list[list[int]], horizon: Horizon, binds_at: datetime) -> None:
    """Remove failed nodes from the most expensive steps, which come last, so that only working nodes are sold."""
    if not pool.incidents:
        return
    taken = build_steps(pool.list_taken(binds_at), horizon.start, horizon.end)
    for period in range(horizon.periods):
        start, end = horizon.at(period), horizon.at(period + 1)
        peak = max(run.amount for run in taken if run.start < end and start < run.end)
        excess = sum(nodes[period] for nodes in unsold) - max(pool.opened.nodes - peak, 0)
        for nodes in reversed(unsold):
            cut = min(max(excess, 0), nodes[period])
            nodes[period] -= cut
            excess -= cut


def _build_runs(step: BookLot, nodes: list[int]) -> list[BookLot]:
    rows: list[BookLot] = []
    start = 0
    for period in range(1, len(nodes) + 1):
        if period == len(nodes) or nodes[period] != nodes[start]:
            if nodes[start]:
                rows.append(msgspec.structs.replace(step, nodes=nodes[start], from_period=start, to_period=period))
            start = period
    return rows


def build_pools(supply: Supply, lots: Iterable[BookLot]) -> tuple[BookPool, ...]:
    """Return the pools that have unsold lots."""
    used = (supply.pools[pool_id].opened for pool_id in sorted({lot.pool_id for lot in lots}))
    return tuple(
        BookPool(pool_id=pool.pool_id, gpus_per_node=pool.gpus_per_node, gpu_class=pool.gpu_class, region=pool.region)
        for pool in used
    )


def limit_power(supply: Supply, horizon: Horizon) -> tuple[BookLimit, ...]:
    """Return the kilowatts that are left, by period, at each site whose pools could draw more than it has."""
    pools: dict[str, list[Pool]] = defaultdict(list)
    for pool in supply.pools.values():
        pools[pool.opened.site_id].append(pool)
    return tuple(
        limit
        for site_id in sorted(supply.sites)
        for limit in _limit_site(supply.sites[site_id], pools[site_id], horizon, supply.binds_at)
    )


def _limit_site(site: Site, pools: list[Pool], horizon: Horizon, binds_at: datetime) -> Iterable[BookLimit]:
    power = list_power(site, horizon.start, horizon.end, since=binds_at)
    if sum(pool.opened.nodes * pool.opened.power_per_node_kw for pool in pools) <= min(run.amount for run in power):
        return
    taken = [Load(load.start, load.end, -load.amount) for load in site.list_drawn()]
    free = horizon.count_least(build_steps([*power, *taken], horizon.start, horizon.end))
    start = 0
    for period in range(1, len(free) + 1):
        if period == len(free) or free[period] != free[start]:
            yield BookLimit(
                limit_id=f"{POWER}/{site.registered.site_id}",
                amount=Decimal(max(free[start], 0)),
                from_period=start,
                to_period=period,
            )
            start = period
