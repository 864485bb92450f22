"""The book of an auction or a quote: what is unsold, the limits, and one row for each order. Its answer by lot.

Orders come in the given order, without those that do not take part. Backstop orders are kept apart, at most the oldest
`BACKSTOPS_MAX` of them. A startup's limit on principal counts each bid at its full offer; the price never exceeds it.

The row of an order has its bids, or which of its requirements ("wishes") contradict each other. An order bids on the
pools that meet its wishes. If lots of a pool serve different sizes, an order with a range bids once for each set of
lots, at the sizes that the set serves. A grant has one seller, so a resale lot serves an order alone, with a bid of its
own.

Own capacity is what the holder of the equity, or a party related to it, sells or delivers. The book ignores what an
order for it offers: its bid is `PRICE_STEP` above the ask. Who sells also pays, and a higher bid could raise the price
of others at no cost. The order has no bid in periods in which an unsold node of the pool asks less. It has one bid for
each ask, and runs on nodes of one ask. If only this rule keeps it from being served alone, its row has `OWN_CAPACITY`
in place of wishes.

If no unsold capacity could serve an order, even alone, its row has an irreducible set of wishes that cannot be met
together: without any one of them the order could be served. Wishes are removed one by one, those of time and size
first, so that class, region and interconnect are named only if they are needed for the explanation. For each wish of
the set, the remedies name values on offer: with any of them the order could be served alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from events.auction import AuctionOpened, Decision, MatchTerms
from events.book import Book, BookBid, BookLimit, BookOrder, BookRemedy, BookUse
from events.lot import LotListed
from events.order import ClassOffer, OrderTerms
from events.pool import PoolOpened
from events.service import ServiceTerms
from events.types import LotShare
from marketplace.clearing.book import BACKSTOPS_MAX
from marketplace.core.horizon import Horizon, build_horizon
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import PRICE_STEP
from marketplace.domain.supply.lot import (
    NOTICE_HOURS_MAX,
    Lot,
    find_promise,
    get_availability,
    get_notice_hours,
    list_unpromised,
)
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site
from marketplace.domain.supply.stages import accepts_stages
from marketplace.domain.trading.book.market_snapshot import (
    POWER,
    Offered,
    Supply,
    build_lots,
    build_pools,
    limit_power,
    read_offered,
)
from marketplace.domain.trading.order import OWN_CAPACITY, Order
from marketplace.domain.trading.order_terms import (
    PRINCIPAL_USD_MAX,
    Window,
    compute_value,
    find_window,
    limit_principal,
    list_sizes,
    name_group,
)

PRINCIPAL: Final = "principal"
"""The first part of the id of the limit on a startup's principal, in US dollars; the startup's id follows."""
HOUR: Final = timedelta(hours=1)
WISHES: Final = (
    "start_window",
    "duration",
    "nodes",
    "lot_terms",
    "notice",
    "availability",
    "renewable_share",
    "power_usage_effectiveness",
    "provider_reliability",
    "gpus_per_node",
    "interconnect",
    "region",
    "gpu_class",
)
"""In the order in which they are removed. ``lot_terms`` stands for what lots require of orders: nodes, duration,
notice, stages, who takes the equity, and that who buys is not related to who sells."""

VALUES_MAX: Final = 8
"""The most values that a remedy names."""

RELIABILITY_STEP: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class KnownRows:
    """An earlier book of the same auction and supply, and the orders that it was built from, by id."""

    book: Book
    orders: Mapping[str, Order]

    def find(self, limits: tuple[BookLimit, ...], orders: Iterable[Order]) -> dict[str, BookOrder]:
        """Return the rows of unchanged orders without a parent, by id; none if the limits are others."""
        if {limit.limit_id for limit in self.book.limits} != {limit.limit_id for limit in limits}:
            return {}
        rows = {row.order_id: row for row in (*self.book.orders, *self.book.backstops)}
        return {
            order_id: rows[order_id]
            for order in orders
            if (order_id := order.placed.order_id) in rows
            and order is self.orders.get(order_id)
            and order.terms.parent_order_id is None
        }


def build_book(
    opened: AuctionOpened,
    supply: Supply,
    orders: Iterable[Order],
    served: AbstractSet[str] = frozenset(),
    known: KnownRows | None = None,
) -> Book:
    """Return the book of an auction.

    An order with a parent takes part only if the parent takes part too, or was matched before.

    Args:
        opened: The auction.
        supply: What is for sale.
        orders: The orders that may take part.
        served: Ids of parents that were matched before.
        known: An earlier book of the same auction and supply, whose rows are used again; None if there is none.
    """
    horizon = build_horizon(opened)
    ordered = _choose_orders(orders, horizon, served)
    principals = limit_principal((order.placed.startup_id, order.terms) for order, _ in ordered)
    lots = build_lots(supply, horizon) if known is None else known.book.lots
    book = Book(
        period_hours=opened.period_hours,
        periods=opened.periods,
        pools=build_pools(supply, lots),
        lots=lots,
        orders=(),
        limits=(
            *limit_power(supply, horizon),
            *(BookLimit(limit_id=f"{PRINCIPAL}/{startup_id}", amount=most) for startup_id, most in principals),
        ),
    )
    offered = read_offered(supply, book, horizon)
    names = {order.placed.order_id for order, _ in ordered}
    ready = {} if known is None else known.find(book.limits, (order for order, _ in ordered))
    firm: list[BookOrder] = []
    backstops: list[BookOrder] = []
    for order, window in ordered:
        part = backstops if order.terms.backstop else firm
        if part is firm or len(part) < BACKSTOPS_MAX:
            part.append(ready.get(order.placed.order_id) or build_row(order, window, offered, names))
    return msgspec.structs.replace(book, orders=tuple(firm), backstops=tuple(backstops))


def _choose_orders(orders: Iterable[Order], horizon: Horizon, served: AbstractSet[str]) -> list[tuple[Order, Window]]:
    """Return the orders that fit the horizon, in order, if their parent is among them or was matched before."""
    windows = [(order, find_window(order.terms, horizon)) for order in orders]
    kept = {order.placed.order_id: (order, window) for order, window in windows if window is not None}
    while True:
        gone = [
            order_id
            for order_id, (order, _) in kept.items()
            if order.terms.parent_order_id not in {None, *served} and order.terms.parent_order_id not in kept
        ]
        if not gone:
            return list(kept.values())
        for order_id in gone:
            del kept[order_id]


def build_order(order: Order, supply: Supply, book: Book, horizon: Horizon) -> BookOrder | None:
    """Return an order as it would appear in an existing book; None if it would not take part."""
    window = find_window(order.terms, horizon)
    if window is None:
        return None
    offered = read_offered(supply, book, horizon)
    return build_row(order, window, offered, {row.order_id for row in book.orders})


class _Request(NamedTuple):
    """An order as a book reads it.

    Attributes:
        order: The order.
        window: Its duration, and its earliest and latest start, in periods.
        sizes: The nodes that it accepts, smallest first.
        pools: The pools that meet its wishes for pool, provider and site.
        related: The startup, and every party to which it is related.
        holders: The same of the holder of each mandate that may pay.
    """

    order: Order
    window: Window
    sizes: list[int]
    pools: list[str]
    related: AbstractSet[str]
    holders: Mapping[str, AbstractSet[str]]


def build_row(order: Order, window: Window, offered: Offered, names: AbstractSet[str]) -> BookOrder:
    """Return an order's row in a book.

    Args:
        order: The order.
        window: Its duration, and its earliest and latest start, in periods.
        offered: What is unsold.
        names: The ids of the book's orders. A parent that is not among them was matched before.
    """
    terms = order.terms
    sizes, group_id = list_sizes(terms), name_group(order.placed.startup_id, terms)
    supply = offered.supply
    related = supply.register.list_barred(order.placed.startup_id)
    holders = {hold.mandate_id: supply.register.list_barred(hold.holder_id) for hold in order.budget_holds}
    pools = [name for name in offered.listed if next(_list_unmet(terms, supply.pools[name], supply), None) is None]
    request = _Request(order, window, sizes, pools, related, holders)
    conflict, remedies = _find_conflict(request, offered)
    length, earliest, latest = window
    bids = _list_bids(request, offered)
    if not conflict and _is_left_out(request, offered, bids):
        conflict = (OWN_CAPACITY,)
    return BookOrder(
        order_id=order.placed.order_id,
        nodes=terms.nodes,
        duration_periods=length,
        start_earliest=earliest,
        start_latest=latest,
        bids=bids,
        sizes=tuple(sizes[:-1]),
        group_id=group_id,
        parent_id=terms.parent_order_id if terms.parent_order_id in names else None,
        conflict=conflict,
        remedies=remedies,
    )


def _list_unmet(terms: OrderTerms, pool: Pool, supply: Supply) -> Iterator[str]:
    """Yield the wishes of an order for its pool, provider and site that a pool does not meet."""
    yield from list_unmet(terms, pool, supply.sites[pool.opened.site_id])
    reliability_min = terms.provider_reliability_min
    if reliability_min is not None and _get_reliability(pool, supply) < reliability_min:
        yield "provider_reliability"


def list_unmet(terms: OrderTerms, pool: Pool, site: Site) -> Iterator[str]:
    """Yield the wishes of an order, as named in `WISHES`, that a pool and its site do not meet."""
    opened, registered = pool.opened, site.registered
    if opened.gpus_per_node != terms.gpus_per_node:
        yield "gpus_per_node"
    if terms.regions and opened.region not in terms.regions:
        yield "region"
    if terms.interconnect not in {"any", opened.interconnect}:
        yield "interconnect"
    if all(offer.gpu_class != opened.gpu_class for offer in terms.offers):
        yield "gpu_class"
    share_min, pue_max = terms.renewable_share_min, terms.power_usage_effectiveness_max
    if pue_max is not None and registered.power_usage_effectiveness > pue_max:
        yield "power_usage_effectiveness"
    if share_min is not None and registered.renewable_share < share_min:
        yield "renewable_share"


def _get_reliability(pool: Pool, supply: Supply) -> Fraction:
    """Return the reliability score of a pool's provider; 1 without a history."""
    return supply.reliability.get(pool.opened.provider_id, Fraction(1))


def _list_bids(request: _Request, offered: Offered, *, ruled: bool = True) -> tuple[BookBid, ...]:
    """Return an order's bids; unless `ruled`, those that it had without the rule for own capacity."""
    pools = ((pool_id, offered.listed[pool_id]) for pool_id in request.pools)
    return tuple(bid for pool_id, lots in pools for bid in _build_bids(request, offered, pool_id, lots, ruled=ruled))


def _is_left_out(request: _Request, offered: Offered, bids: tuple[BookBid, ...]) -> bool:
    """Return whether only the rule for own capacity keeps an order from being served alone."""
    holder = frozenset[str]().union(*request.holders.values())
    pools = ((offered.supply.pools[pool_id], offered.listed[pool_id]) for pool_id in request.pools)
    if not holder or not any(_is_own_capacity(holder, pool, lot) for pool, lots in pools for lot in lots):
        return False
    unruled = _list_bids(request, offered, ruled=False)
    return not _serves_alone(request, offered, bids) and _serves_alone(request, offered, unruled)


def _serves_alone(request: _Request, offered: Offered, bids: Iterable[BookBid]) -> bool:
    """Return whether the unsold nodes of a bid's lots suffice for an order of the bid's least size."""
    length, earliest, latest = request.window
    for bid in bids:
        lot_ids, room = set(bid.lot_ids or ()), [0] * offered.horizon.periods
        for row in offered.rows:
            if row.lot_id in lot_ids:
                for period in range(row.from_period, row.to_period):
                    room[period] += row.nodes
        enough = [0, *accumulate(int(free >= min(bid.sizes or request.sizes)) for free in room)]
        starts = range(earliest, min(latest, len(room) - length) + 1)
        if any(enough[start + length] - enough[start] == length for start in starts):
            return True
    return False


def _build_bids(
    request: _Request, offered: Offered, pool_id: str, listed: list[Lot], *, ruled: bool
) -> Iterable[BookBid]:
    """Yield an order's bids on one pool, of whose lots `listed` take orders; see `_list_bids`."""
    pool, order, sizes = offered.supply.pools[pool_id], request.order, request.sizes
    period_hours = offered.horizon.period // HOUR
    offer = next(offer for offer in order.terms.offers if offer.gpu_class == pool.opened.gpu_class)
    for lots, mine in _group_sizes(request, offered.supply, pool, listed):
        resold = lots[0].listed.grant_id is not None
        chosen = None if len(mine) == len(sizes) else tuple(sorted(mine))
        for mandate_id, value, equity_usd in _list_takers(request, offer, offered.supply, pool, lots[0]):
            willing = [lot for lot in lots if mandate_id is None or mandate_id in lot.listed.mandate_ids]
            step_ids = sorted(step_id for lot in willing for step_id in offered.steps[lot.listed.lot_id])
            tiers = {value: step_ids}
            if ruled and mandate_id is not None and _is_own_capacity(request.holders[mandate_id], pool, lots[0]):
                tiers = _list_tiers(offered.list_floor(pool_id), step_ids, value)
            principal_usd = equity_usd * pool.opened.gpus_per_node * period_hours
            uses = _list_uses(order, pool, principal_usd, resold=resold)
            for worth, lot_ids in tiers.items():
                if lot_ids and worth:
                    yield BookBid(
                        pool_id=pool_id,
                        value_usd_per_gpu_hour=worth,
                        lot_ids=tuple(lot_ids),
                        mandate_id=mandate_id,
                        uses=tuple(
                            use for use in uses if use.limit_id in offered.limit_ids and use.amount_per_node_period
                        ),
                        sizes=chosen,
                    )


def _is_own_capacity(holder: AbstractSet[str], pool: Pool, lot: Lot) -> bool:
    """Return whether the holder of a mandate sells or delivers a lot itself, or is related to who does."""
    return lot.listed.provider_id in holder or pool.opened.provider_id in holder


def _list_tiers(floor: Mapping[str, Decimal], step_ids: Iterable[str], value: Decimal) -> dict[Decimal, list[str]]:
    """Return the lots on which own capacity bids, by the value of its bid: a step above their ask, or `value` if less.

    An offer wins only above the asks, so at this value it takes what others leave, and sets no price.
    """
    tiers: dict[Decimal, list[str]] = defaultdict(list)
    for step_id in step_ids:
        if step_id in floor:
            tiers[min(value, floor[step_id] + PRICE_STEP)].append(step_id)
    return dict(sorted(tiers.items()))


def _group_sizes(
    request: _Request, supply: Supply, pool: Pool, listed: list[Lot]
) -> Iterable[tuple[list[Lot], list[int]]]:
    """Yield the sets of lots of one seller each that may serve an order, with the sizes that each set serves."""
    for seller in _group_sellers(listed):
        if _is_barred(request, supply, pool, seller[0]):
            continue
        groups: dict[tuple[str, ...], tuple[list[Lot], list[int]]] = {}
        for size in request.sizes:
            lots = [
                lot
                for lot in seller
                if _serves(lot, pool, request.order.terms, size, request.order.terms.duration_hours)
                and next(_list_unpromised(request, lot, pool), None) is None
            ]
            if lots:
                groups.setdefault(tuple(lot.listed.lot_id for lot in lots), (lots, []))[1].append(size)
        yield from groups.values()


def _group_sellers(lots: list[Lot]) -> list[list[Lot]]:
    """Return lots by seller: those of the provider together, each resale lot alone."""
    fresh = [lot for lot in lots if lot.listed.grant_id is None]
    return [group for group in (fresh, *([lot] for lot in lots if lot.listed.grant_id is not None)) if group]


def _is_barred(request: _Request, supply: Supply, pool: Pool, lot: Lot) -> bool:
    """Return whether an order never buys from a lot: from itself, or in an auction from a related party."""
    if lot.listed.grant_id is not None and lot.listed.provider_id == request.order.placed.startup_id:
        return True
    return not supply.is_quoted and _is_related(request, pool, lot)


def _is_related(request: _Request, pool: Pool, lot: Lot) -> bool:
    """Return whether who buys is related to who sells a lot, or to who delivers it."""
    return lot.listed.provider_id in request.related or pool.opened.provider_id in request.related


def accepts_notice(terms: OrderTerms, listed: LotListed, opened: PoolOpened) -> bool:
    """Return whether a lot asks for no more notice of an early end than an order accepts."""
    stated = NOTICE_HOURS_MAX if terms.notice_hours_max is None else terms.notice_hours_max
    most = max(stated, terms.notice_hours_min)
    if all(each is None or each.notice_hours_min <= most for each in (listed.service, opened.service)):
        return True
    return get_notice_hours(find_promise(listed, opened)) <= most


def _serves(lot: Lot, pool: Pool, terms: OrderTerms, nodes: int, duration_hours: int) -> bool:
    """Return whether a lot sells so few nodes and hours, asks for little notice, and accepts stages and credit."""
    listed = lot.listed
    if not accepts_notice(terms, listed, pool.opened):
        return False
    is_large_enough = listed.nodes_min <= nodes and listed.duration_hours_min <= duration_hours
    if terms.credit is not None and terms.credit.provider_id != listed.provider_id:
        return False
    return is_large_enough and (terms.stages is None or accepts_stages(listed.stages, terms.stages))


def _list_unpromised(request: _Request, lot: Lot, pool: Pool) -> Iterator[str]:
    """Yield the wishes of an order for the promise of a lot that the lot does not meet."""
    terms = request.order.terms
    if terms.availability_min is not None or terms.notice_hours_min:
        yield from list_unpromised(terms, find_promise(lot.listed, pool.opened))


def _list_takers(
    request: _Request, offer: ClassOffer, supply: Supply, pool: Pool, lot: Lot
) -> Iterable[tuple[str | None, Decimal, Decimal]]:
    """Yield each mandate that may pay for a lot, the value with it, and the equity, both in USD per GPU-hour.

    The mandate is None for an offer without equity.
    """
    if not offer.equity_usd_per_gpu_hour:
        yield None, offer.cash_usd_per_gpu_hour, Decimal(0)
        return
    is_related = _is_related(request, pool, lot)
    for hold in request.order.budget_holds:
        mandate = supply.mandates[hold.mandate_id]
        if hold.needs_approval or (is_related and not mandate.terms.related_parties):
            continue
        others = lot.listed.grant_id is not None or mandate.granted.holder_id != pool.opened.provider_id
        if mandate.granted.funding == "own_capacity" and others:
            continue
        yield hold.mandate_id, compute_value(offer, hold.equity_credit), offer.equity_usd_per_gpu_hour


def _list_uses(order: Order, pool: Pool, principal_usd: Decimal, *, resold: bool) -> tuple[BookUse, BookUse]:
    """Return what a node uses in a period. Resold nodes draw no additional power."""
    power_kw = Decimal(0 if resold else pool.opened.power_per_node_kw)
    principal_usd = min(principal_usd, PRINCIPAL_USD_MAX)
    return (
        BookUse(limit_id=f"{POWER}/{pool.opened.site_id}", amount_per_node_period=power_kw),
        BookUse(limit_id=f"{PRINCIPAL}/{order.placed.startup_id}", amount_per_node_period=principal_usd),
    )


class _Option(NamedTuple):
    """A way to serve an order without some of its wishes."""

    pool: Pool
    nodes: int
    periods: int
    lots: list[Lot]


def _find_conflict(request: _Request, offered: Offered) -> tuple[tuple[str, ...], tuple[BookRemedy, ...]]:
    """Return an irreducible set of wishes that no offer meets, and replacements for its members.

    Both are empty if the order could be served alone.
    """
    kept = frozenset(WISHES)
    if next(_list_options(request, offered, request.pools, kept), None) is not None:
        return (), ()
    supply, terms = offered.supply, request.order.terms
    unmet = {pool_id: frozenset(_list_unmet(terms, supply.pools[pool_id], supply)) for pool_id in offered.listed}

    def list_options(kept: frozenset[str]) -> Iterator[_Option]:
        pools = [pool_id for pool_id, wishes in unmet.items() if not wishes & kept]
        return _list_options(request, offered, pools, kept)

    for wish in WISHES:
        if next(list_options(kept - {wish}), None) is None:
            kept -= {wish}
    conflict = tuple(wish for wish in reversed(WISHES) if wish in kept)
    found = ((wish, list(list_options(frozenset(WISHES) - {wish}))) for wish in conflict)
    remedies = ((wish, _list_values(wish, options, terms, offered)) for wish, options in found)
    return conflict, tuple(BookRemedy(wish=wish, values=values) for wish, values in remedies if values)


def _list_options(request: _Request, offered: Offered, pools: Iterable[str], kept: frozenset[str]) -> Iterator[_Option]:
    """Yield which of some pools could serve an order alone, at the sizes and durations that its other wishes allow."""
    _, earliest, latest = request.window
    for pool_id in pools:
        pool = offered.supply.pools[pool_id]
        for nodes, duration, serving in _list_serving(request, pool, offered.listed[pool_id], offered, kept):
            sums = _count_runs(offered, serving, nodes)
            last = offered.horizon.periods - duration
            starts = range(earliest, min(latest, last) + 1) if "start_window" in kept else range(last + 1)
            if any(sums[start + duration] - sums[start] == duration for start in starts):
                yield _Option(pool, nodes, duration, serving)


def _list_serving(
    request: _Request, pool: Pool, lots: list[Lot], offered: Offered, kept: frozenset[str]
) -> Iterator[tuple[int, int, list[Lot]]]:
    """Yield nodes, periods and lots with which a pool might serve an order, one for each size and duration to try."""
    strict, order = "lot_terms" in kept, request.order
    sizes = request.sizes if "nodes" in kept else sorted({1, *(lot.listed.nodes_min for lot in lots)})
    hours = offered.horizon.period // HOUR
    asked = order.terms.duration_hours // hours
    shortest = {-(-lot.listed.duration_hours_min // hours) for lot in lots if strict}
    durations = [asked] if "duration" in kept else sorted({1, *shortest})
    for nodes in sizes:
        for duration in durations:
            if duration > offered.horizon.periods:
                continue
            size = nodes, duration * hours
            serving = [
                lot
                for lot in lots
                if kept.isdisjoint(_list_unpromised(request, lot, pool))
                and (not strict or _is_willing(request, offered.supply, pool, lot, size))
            ]
            for group in _group_sellers(serving):
                yield nodes, duration, group


def _is_willing(request: _Request, supply: Supply, pool: Pool, lot: Lot, size: tuple[int, int]) -> bool:
    """Return whether a lot serves an order at so many nodes and hours, and its equity finds a taker there."""
    if not _serves(lot, pool, request.order.terms, *size) or _is_barred(request, supply, pool, lot):
        return False
    if not any(
        offer.equity_usd_per_gpu_hour
        for offer in request.order.terms.offers
        if offer.gpu_class == pool.opened.gpu_class
    ):
        return True
    return any(hold.mandate_id in lot.listed.mandate_ids for hold in request.order.budget_holds)


def _count_runs(offered: Offered, lots: Iterable[Lot], nodes: int) -> list[int]:
    """Return, for each period, how many periods before it have `nodes` of some lots unsold."""
    key = tuple(lot.listed.lot_id for lot in lots), nodes
    if key not in offered.runs:
        rows = [offered.free[lot_id] for lot_id in key[0] if lot_id in offered.free]
        enough = (sum(row[period] for row in rows) >= nodes for period in range(offered.horizon.periods))
        offered.runs[key] = [0, *accumulate(int(good) for good in enough)]
    return offered.runs[key]


def _list_values(wish: str, options: list[_Option], terms: OrderTerms, offered: Offered) -> tuple[str, ...]:
    """Return the values to use instead of a wish: names that are on offer, or the nearest number."""
    pools = [option.pool for option in options]
    sites = [offered.supply.sites[pool.opened.site_id].registered for pool in pools]
    match wish:
        case "gpu_class" | "region" | "interconnect" | "gpus_per_node":
            return tuple(sorted({str(getattr(pool.opened, wish)) for pool in pools}))[:VALUES_MAX]
        case "provider_reliability":
            best = max((_get_reliability(pool, offered.supply) for pool in pools), default=None)
            return () if best is None else (_floor(Decimal(best.numerator) / best.denominator),)
        case "availability":
            return (str(max(min(map(get_availability, _list_promises(option))) for option in options)),)
        case "notice":
            return (str(max(min(map(get_notice_hours, _list_promises(option))) for option in options)),)
        case "power_usage_effectiveness":
            return tuple(str(least) for least in sorted({site.power_usage_effectiveness for site in sites})[:1])
        case "renewable_share":
            return tuple(str(most) for most in sorted({site.renewable_share for site in sites})[-1:])
        case "nodes":
            more = {option.nodes for option in options if option.nodes > terms.nodes}
            return tuple(str(nodes) for nodes in sorted(more)[:1])
        case "duration":
            period_hours = offered.horizon.period // HOUR
            lengths = {option.periods * period_hours for option in options}
            return tuple(str(longer) for longer in sorted(lengths) if longer > terms.duration_hours)[:1]
        case _:
            return ()


def _list_promises(option: _Option) -> list[ServiceTerms | None]:
    return [find_promise(lot.listed, option.pool.opened) for lot in option.lots]


def _floor(share: Decimal) -> str:
    return str(share.quantize(RELIABILITY_STEP, rounding=ROUND_FLOOR))


def map_steps(book: Book) -> dict[str, str]:
    """Return the lot of each row that stands for a further ask of a lot, by the row's id."""
    return {row.lot_id: row.step_of for row in book.lots if row.step_of is not None}


def list_waves(book: Book, decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Return decisions in groups to carry out one after the other: each order in a later group than its parent.

    Matches name lots, no longer the book's rows for further asks.
    """
    parents = {order.order_id: order.parent_id for order in book.orders}
    homes = map_steps(book)
    waves: dict[int, list[Decision]] = defaultdict(list)
    for decision in decisions:
        depth, parent_id = 0, parents.get(decision.order_id)
        while parent_id is not None:
            depth, parent_id = depth + 1, parents.get(parent_id)
        match = None if decision.match is None else _merge_steps(decision.match, homes)
        waves[depth].append(msgspec.structs.replace(decision, match=match))
    return [waves[depth] for depth in sorted(waves)]


def _merge_steps(match: MatchTerms, homes: Mapping[str, str]) -> MatchTerms:
    """Return a match by lot: steps of one lot that carry the same nodes become one share."""
    if not any(share.lot_id in homes for share in match.lots):
        return match
    loads: dict[str, list[Load]] = {}
    for share in match.lots:
        loads.setdefault(homes.get(share.lot_id, share.lot_id), []).append(Load(share.start, share.end, share.nodes))
    lots = (
        LotShare(lot_id=lot_id, nodes=run.amount, start=run.start, end=run.end)
        for lot_id, known in loads.items()
        for run in build_steps(known, match.start, match.end)
        if run.amount
    )
    return msgspec.structs.replace(match, lots=tuple(lots))
