"""The bids of an order in an auction's book: the pools and lots that can serve it, at which sizes, and what that uses.

If lots of a pool serve different sizes, an order with a range bids once for each set of lots, at the sizes that the set
serves. A grant has one seller, so a resale lot serves an order alone, with a bid of its own.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from decimal import Decimal
from fractions import Fraction

from events.book import BookBid, BookUse
from events.order import ClassOffer, OrderTerms
from marketplace.core.ids import derive_id
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.trading.book.market_snapshot import Supply, name_power, name_principal
from marketplace.domain.trading.order import Order
from marketplace.domain.trading.order_terms import PRINCIPAL_USD_MAX, compute_value, list_sizes


def build_bids(
    order: Order, supply: Supply, pool_id: str, listed: list[Lot], limits: AbstractSet[str], *, period_hours: int
) -> Iterable[BookBid]:
    """Yield an order's bids on one pool.

    Args:
        order: The order.
        supply: What is for sale.
        pool_id: The pool.
        listed: Its lots that take orders.
        limits: Ids of the limits that the book states.
        period_hours: Hours of a period.
    """
    pool, terms = supply.pools[pool_id], order.terms
    offer = _find_offer(terms, pool, supply)
    if offer is None:
        return
    sizes = list_sizes(terms)
    for lots, mine in _group_sellers(order, listed, sizes):
        resold = lots[0].listed.grant_id is not None
        chosen = None if len(mine) == len(sizes) else tuple(sorted(mine))
        for mandate_id, value, equity_usd in _list_values(order, offer, supply, pool, resold=resold):
            willing = [lot for lot in lots if mandate_id is None or mandate_id in lot.listed.mandate_ids]
            lot_ids = tuple(sorted(step_id for lot in willing for step_id in _list_step_ids(lot)))
            if lot_ids and value:
                principal_usd = equity_usd * pool.opened.gpus_per_node * period_hours
                uses = _list_uses(order, pool, principal_usd, resold=resold)
                yield BookBid(
                    pool_id=pool_id,
                    value_usd_per_gpu_hour=value,
                    lot_ids=lot_ids,
                    mandate_id=mandate_id,
                    uses=tuple(use for use in uses if use.limit_id in limits and use.amount_per_node_period),
                    sizes=chosen,
                )


def name_step(lot_id: str, index: int) -> str:
    """Return the id of a lot's step in a book. The first step has the lot's own id."""
    return derive_id("lot", lot_id, f"step/{index}") if index else lot_id


def _list_step_ids(lot: Lot) -> list[str]:
    return [name_step(lot.listed.lot_id, index) for index in range(len(lot.further_asks) + 1)]


def _group_sellers(order: Order, listed: list[Lot], sizes: list[int]) -> list[tuple[list[Lot], list[int]]]:
    """Return the sets of lots of one seller each that serve some sizes, without the buyer's own resales."""
    fresh = [lot for lot in listed if lot.listed.grant_id is None]
    sellers = [[lot] for lot in listed if lot.listed.grant_id is not None and not _sells(order, lot)]
    return [group for lots in (fresh, *sellers) for group in _group_sizes(order.terms, lots, sizes)]


def _sells(order: Order, lot: Lot) -> bool:
    return lot.listed.provider_id == order.placed.startup_id


def _group_sizes(terms: OrderTerms, listed: list[Lot], sizes: list[int]) -> list[tuple[list[Lot], list[int]]]:
    """Return the sets of lots that serve some sizes, each with its sizes."""
    groups: dict[tuple[str, ...], tuple[list[Lot], list[int]]] = {}
    for size in sizes:
        lots = [lot for lot in listed if _is_large_enough(lot, size, terms.duration_hours)]
        if lots:
            groups.setdefault(tuple(lot.listed.lot_id for lot in lots), (lots, []))[1].append(size)
    return list(groups.values())


def _list_values(
    order: Order, offer: ClassOffer, supply: Supply, pool: Pool, *, resold: bool
) -> Iterable[tuple[str | None, Decimal, Decimal]]:
    """Yield each taker of the equity, the order's value with it, and the equity per GPU-hour."""
    if not offer.equity_usd_per_gpu_hour:
        yield None, offer.cash_usd_per_gpu_hour, Decimal(0)
        return
    for hold in order.budget_holds:
        mandate = supply.mandates[hold.mandate_id]
        others = resold or mandate.granted.holder_id != pool.opened.provider_id
        if mandate.granted.funding == "own_capacity" and others:
            continue
        yield hold.mandate_id, compute_value(offer, hold.equity_credit), offer.equity_usd_per_gpu_hour


def _list_uses(order: Order, pool: Pool, principal_usd: Decimal, *, resold: bool) -> tuple[BookUse, BookUse]:
    """Return what a node uses in a period. Resold nodes draw no additional power."""
    power_kw = Decimal(0 if resold else pool.opened.power_per_node_kw)
    principal_usd = min(principal_usd, PRINCIPAL_USD_MAX)
    return (
        BookUse(limit_id=name_power(pool.opened.site_id), amount_per_node_period=power_kw),
        BookUse(limit_id=name_principal(order.placed.startup_id), amount_per_node_period=principal_usd),
    )


def _find_offer(terms: OrderTerms, pool: Pool, supply: Supply) -> ClassOffer | None:
    """Return the offer for a pool's class; None if the pool is not acceptable."""
    opened = pool.opened
    if opened.gpus_per_node != terms.gpus_per_node or (terms.regions and opened.region not in terms.regions):
        return None
    if terms.interconnect not in {"any", opened.interconnect} or not is_good_enough(terms, pool, supply):
        return None
    return next((offer for offer in terms.offers if offer.gpu_class == opened.gpu_class), None)


def _is_large_enough(lot: Lot, nodes: int, duration_hours: int) -> bool:
    return lot.listed.nodes_min <= nodes and lot.listed.duration_hours_min <= duration_hours


def is_willing(order: Order, pool: Pool, lot: Lot, nodes: int, duration_hours: int) -> bool:
    """Return whether a lot serves an order at a size and duration, and its equity finds a taker there."""
    if not _is_large_enough(lot, nodes, duration_hours) or _sells(order, lot):
        return False
    if not any(
        offer.equity_usd_per_gpu_hour for offer in order.terms.offers if offer.gpu_class == pool.opened.gpu_class
    ):
        return True
    return any(hold.mandate_id in lot.listed.mandate_ids for hold in order.budget_holds)


def is_good_enough(terms: OrderTerms, pool: Pool, supply: Supply) -> bool:
    """Return whether a pool's provider and site meet an order's requirements."""
    checks = (is_reliable, is_efficient, is_renewable)
    return all(check(terms, pool, supply) for check in checks)


def is_reliable(terms: OrderTerms, pool: Pool, supply: Supply) -> bool:
    """Return whether a pool's provider is as reliable as an order requires."""
    least = terms.provider_standing_min
    return least is None or get_reliability(pool, supply) >= least


def get_reliability(pool: Pool, supply: Supply) -> Fraction:
    """Return the reliability score of a pool's provider; 1 without a history."""
    return supply.reliability.get(pool.opened.provider_id, Fraction(1))


def is_efficient(terms: OrderTerms, pool: Pool, supply: Supply) -> bool:
    """Return whether a pool's site has at most the power usage effectiveness that an order accepts."""
    most = terms.power_usage_effectiveness_max
    return most is None or supply.sites[pool.opened.site_id].registered.power_usage_effectiveness <= most


def is_renewable(terms: OrderTerms, pool: Pool, supply: Supply) -> bool:
    """Return whether a pool's energy is at least as renewable as an order requires."""
    least = terms.renewable_share_min
    return least is None or supply.sites[pool.opened.site_id].registered.renewable_share >= least
