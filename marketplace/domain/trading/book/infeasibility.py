"""Find an irreducible set of an order's requirements ("wishes") that cannot be met together, and remedies.

If no unsold capacity could serve an order, even alone, the order gets a set of its own wishes that cannot be met
together; without any one of them it could be served. Wishes are removed one by one, those of time and size first, so
that class, region and interconnect are named only if they are needed for the explanation. For each wish of the set, the
remedies name values on offer: with any of them the order could be served alone.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from events.book import BookRemedy
from events.order import OrderTerms
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.trading.book.bidding import get_reliability, is_efficient, is_reliable, is_renewable, is_willing
from marketplace.domain.trading.book.horizon import Horizon
from marketplace.domain.trading.book.market_snapshot import Offered, Supply
from marketplace.domain.trading.order import Order
from marketplace.domain.trading.order_terms import list_sizes

HOUR: Final = timedelta(hours=1)
WISHES: Final = (
    "start_window",
    "duration",
    "nodes",
    "lot_terms",
    "renewable_share",
    "power_usage_effectiveness",
    "provider_standing",
    "gpus_per_node",
    "interconnect",
    "region",
    "gpu_class",
)
"""In the order in which they are removed. ``lot_terms`` stands for what lots require of orders: nodes, duration and who
takes the equity."""

VALUES_MAX: Final = 8
"""The most values that a remedy names."""

STANDING_STEP: Final = Decimal("0.000001")
Window = tuple[int, int, int]


class _Way(NamedTuple):
    """A way to serve an order without some of its wishes."""

    pool: Pool
    nodes: int
    periods: int


def find_conflict(
    order: Order, window: Window, offered: Offered, horizon: Horizon
) -> tuple[tuple[str, ...], tuple[BookRemedy, ...]]:
    """Return an irreducible set of wishes that no offer meets, and replacements for its members.

    Both are empty if the order could be served alone.

    Args:
        order: The order.
        window: Its duration, and its earliest and latest start, in periods.
        offered: What is unsold.
        horizon: The periods.
    """
    kept = frozenset(WISHES)
    if _could_serve(order, window, offered, horizon, kept):
        return (), ()
    for wish in WISHES:
        if not _could_serve(order, window, offered, horizon, kept - {wish}):
            kept -= {wish}
    conflict = tuple(wish for wish in reversed(WISHES) if wish in kept)
    return conflict, tuple(_list_remedies(order, window, offered, horizon, conflict))


def _list_remedies(
    order: Order, window: Window, offered: Offered, horizon: Horizon, conflict: tuple[str, ...]
) -> Iterator[BookRemedy]:
    """Yield a remedy for each wish of a conflict that an offer could replace while all others stay."""
    hours = horizon.period // HOUR
    for wish in conflict:
        kept = frozenset(WISHES) - {wish}
        ways = list(_list_serving(order, window, offered, horizon, kept))
        values = _list_values(wish, ways, order.terms, offered.supply, hours)
        if values:
            yield BookRemedy(wish=wish, values=values)


def _list_values(wish: str, ways: list[_Way], terms: OrderTerms, supply: Supply, period_hours: int) -> tuple[str, ...]:
    """Return the values to use instead of a wish: names that are on offer, or the nearest number."""
    pools = [way.pool for way in ways]
    sites = [supply.sites[pool.opened.site_id].registered for pool in pools]
    match wish:
        case "gpu_class" | "region" | "interconnect" | "gpus_per_node":
            return tuple(sorted({str(getattr(pool.opened, wish)) for pool in pools}))[:VALUES_MAX]
        case "provider_standing":
            best = max((get_reliability(pool, supply) for pool in pools), default=None)
            return () if best is None else (_floor(Decimal(best.numerator) / best.denominator),)
        case "power_usage_effectiveness":
            return tuple(str(least) for least in sorted({site.power_usage_effectiveness for site in sites})[:1])
        case "renewable_share":
            return tuple(str(most) for most in sorted({site.renewable_share for site in sites})[-1:])
        case "nodes":
            more = {way.nodes for way in ways if way.nodes > terms.nodes}
            return tuple(str(nodes) for nodes in sorted(more)[:1])
        case "duration":
            lengths = {way.periods * period_hours for way in ways}
            return tuple(str(longer) for longer in sorted(lengths) if longer > terms.duration_hours)[:1]
        case _:
            return ()


def _floor(share: Decimal) -> str:
    return str(share.quantize(STANDING_STEP, rounding=ROUND_FLOOR))


def _could_serve(order: Order, window: Window, offered: Offered, horizon: Horizon, kept: frozenset[str]) -> bool:
    return next(_list_serving(order, window, offered, horizon, kept), None) is not None


def _list_serving(
    order: Order, window: Window, offered: Offered, horizon: Horizon, kept: frozenset[str]
) -> Iterator[_Way]:
    """Yield the pools that could serve an order alone, at the sizes and durations that its remaining wishes allow."""
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
                yield _Way(pool, nodes, duration)


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
        case "provider_standing":
            return is_reliable(terms, pool, supply)
        case "power_usage_effectiveness":
            return is_efficient(terms, pool, supply)
        case "renewable_share":
            return is_renewable(terms, pool, supply)
        case _:
            return True


def _list_ways(
    order: Order, pool: Pool, lots: list[Lot], horizon: Horizon, kept: frozenset[str]
) -> Iterator[tuple[int, int, list[Lot]]]:
    """Yield nodes, periods and lots with which a pool might serve an order, one for each size and duration to try."""
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
