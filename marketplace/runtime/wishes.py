"""Which wishes of an order contradict each other: the smallest set that nothing on offer meets.

An order that no unsold capacity could serve, were it alone, is told a set of its own wishes that cannot be met
together, while without any one of them it could be served. Wishes are taken away one by one, those of time and size
first, so that class, region and fabric are named only where they are needed to explain it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from events.order import OrderTerms
from marketplace.domain.lot import Lot
from marketplace.domain.order import Order
from marketplace.domain.order_terms import list_sizes
from marketplace.domain.pool import Pool
from marketplace.runtime.bidding import is_good_enough, is_willing
from marketplace.runtime.horizon import Horizon
from marketplace.runtime.offered import Offered
from marketplace.runtime.supply import Supply

HOUR: Final = timedelta(hours=1)
WISHES: Final = (
    "start_window",
    "duration",
    "nodes",
    "lot_terms",
    "site",
    "gpus_per_node",
    "interconnect",
    "region",
    "gpu_class",
)
"""In the order in which they are taken away; ``site`` stands for standing, PUE and renewable share, ``lot_terms`` for
what lots ask of the orders that they serve: nodes, duration and who takes the equity."""


def find_conflict(order: Order, window: tuple[int, int, int], offered: Offered, horizon: Horizon) -> tuple[str, ...]:
    """Return an irreducible set of wishes that nothing on offer meets; none where the order could be served alone.

    Args:
        order: The order.
        window: Its duration, and its earliest and latest start, in periods.
        offered: What is unsold.
        horizon: The periods.
    """
    kept = frozenset(WISHES)
    if _could_serve(order, window, offered, horizon, kept):
        return ()
    for wish in WISHES:
        if not _could_serve(order, window, offered, horizon, kept - {wish}):
            kept -= {wish}
    return tuple(wish for wish in reversed(WISHES) if wish in kept)


def _could_serve(
    order: Order, window: tuple[int, int, int], offered: Offered, horizon: Horizon, kept: frozenset[str]
) -> bool:
    _, earliest, latest = window
    for pool_id, lots in offered.listed.items():
        pool = offered.supply.pools[pool_id]
        if not all(_meets(wish, order.terms, pool, offered.supply) for wish in kept):
            continue
        for nodes, duration, serving in _list_ways(order, pool, lots, horizon, kept):
            sums = offered.count_runs(serving, nodes, horizon.periods)
            last = horizon.periods - duration
            starts = range(earliest, min(latest, last) + 1) if "start_window" in kept else range(last + 1)
            if any(sums[start + duration] - sums[start] == duration for start in starts):
                return True
    return False


def _meets(wish: str, terms: OrderTerms, pool: Pool, supply: Supply) -> bool:
    opened = pool.opened
    match wish:
        case "gpu_class":
            return any(offer.gpu_class == opened.gpu_class for offer in terms.offers)
        case "region":
            return not terms.regions or opened.region in terms.regions
        case "interconnect":
            return terms.interconnect in {"any", opened.interconnect}
        case "gpus_per_node":
            return opened.gpus_per_node == terms.gpus_per_node
        case "site":
            return is_good_enough(terms, pool, supply)
        case _:
            return True


def _list_ways(
    order: Order, pool: Pool, lots: list[Lot], horizon: Horizon, kept: frozenset[str]
) -> Iterator[tuple[int, int, list[Lot]]]:
    """Walk nodes, periods and lots with which a pool might serve an order, one for each size and duration to try."""
    strict = "lot_terms" in kept
    sizes = list_sizes(order.terms) if "nodes" in kept else sorted({1, *(lot.listed.nodes_min for lot in lots)})
    hours = horizon.period // HOUR
    asked = order.terms.duration_hours // hours
    shortest = {-(-lot.listed.duration_hours_min // hours) for lot in lots if strict}
    durations = [asked] if "duration" in kept else sorted({1, *shortest})
    for nodes in sizes:
        for duration in durations:
            if duration > horizon.periods:
                continue
            serving = [lot for lot in lots if not strict or is_willing(order, pool, lot, nodes, duration * hours)]
            for group in _group_sellers(serving):
                yield nodes, duration, group


def _group_sellers(lots: list[Lot]) -> list[list[Lot]]:
    fresh = [lot for lot in lots if lot.listed.grant_id is None]
    return [group for group in (fresh, *([lot] for lot in lots if lot.listed.grant_id is not None)) if group]
