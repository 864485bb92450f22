"""From the market as it stands to the book that the engine sees, and from the engine's answer to events.

A period is bought and sold whole: a lot counts in a period with the least that is unsold at any instant of it, and an
order takes part in an auction whose periods divide its duration and whose horizon holds a start of its window.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from events.auction import (
    AuctionOpened,
    Book,
    BookBid,
    BookLot,
    BookOrder,
    BookPool,
)
from events.order import ClassOffer, OrderTerms
from marketplace.core.intervals import Load, build_steps
from marketplace.domain.lot import Lot
from marketplace.domain.mandate import Mandate
from marketplace.domain.offer import compute_value
from marketplace.domain.order import Order
from marketplace.domain.pool import Pool


@dataclass(frozen=True, slots=True)
class Horizon:
    """The periods of an auction."""

    start: datetime
    period: timedelta
    periods: int

    @property
    def end(self) -> datetime:
        """Return the instant after the last period."""
        return self.start + self.period * self.periods

    def floor(self, at: datetime) -> int:
        """Return the last period boundary at or before an instant."""
        return (at - self.start) // self.period

    def ceil(self, at: datetime) -> int:
        """Return the first period boundary at or after an instant."""
        return -((self.start - at) // self.period)

    def at(self, period: int) -> datetime:
        """Return the first instant of a period."""
        return self.start + self.period * period


def build_horizon(opened: AuctionOpened) -> Horizon:
    """Return the periods of an auction."""
    return Horizon(opened.horizon_start, timedelta(hours=opened.period_hours), opened.periods)


@dataclass(frozen=True, slots=True)
class Supply:
    """What is for sale: pools, their listed lots and the mandates that lots name.

    Attributes:
        standings: The score of each provider that has a history, from 0 to 1; the others stand at 1.
    """

    pools: dict[str, Pool]
    lots: dict[str, Lot]
    mandates: dict[str, Mandate]
    standings: Mapping[str, Fraction] = field(default_factory=dict)


def find_window(terms: OrderTerms, horizon: Horizon) -> tuple[int, int, int] | None:
    """Return duration, earliest and latest start of an order in periods; None where it does not take part."""
    duration = timedelta(hours=terms.duration_hours)
    if duration % horizon.period:
        return None
    length = duration // horizon.period
    earliest = max(horizon.ceil(terms.start_earliest), 0)
    latest = min(horizon.floor(terms.start_latest), horizon.periods - length)
    return (length, earliest, latest) if earliest <= latest else None


def build_book(opened: AuctionOpened, supply: Supply, orders: Iterable[Order]) -> Book:
    """Return the book of an auction; orders that do not take part are left out."""
    horizon = build_horizon(opened)
    lots = [lot for pool_id in sorted(supply.pools) for lot in _build_lots(supply, pool_id, horizon)]
    used = sorted({lot.pool_id for lot in lots})
    listed = {pool_id: _list_lots(supply, pool_id) for pool_id in used}
    ordered = sorted(orders, key=lambda order: order.placed.order_id)
    return Book(
        period_hours=opened.period_hours,
        periods=opened.periods,
        pools=tuple(_build_pool(supply.pools[pool_id]) for pool_id in used),
        lots=tuple(lots),
        orders=tuple(row for order in ordered if (row := _build_order(order, supply, listed, horizon)) is not None),
    )


def build_order(order: Order, supply: Supply, book: Book, horizon: Horizon) -> BookOrder | None:
    """Return an order as it would stand in a book that is there already; None where it would not take part."""
    listed = {pool.pool_id: _list_lots(supply, pool.pool_id) for pool in book.pools}
    return _build_order(order, supply, listed, horizon)


def _build_order(order: Order, supply: Supply, listed: dict[str, list[Lot]], horizon: Horizon) -> BookOrder | None:
    window = find_window(order.terms, horizon)
    if window is None:
        return None
    length, earliest, latest = window
    return BookOrder(
        order_id=order.placed.order_id,
        nodes=order.terms.nodes,
        duration_periods=length,
        start_earliest=earliest,
        start_latest=latest,
        bids=tuple(bid for pool_id in listed for bid in _build_bids(order, supply, pool_id, listed[pool_id])),
    )


def _build_pool(pool: Pool) -> BookPool:
    return BookPool(
        pool_id=pool.opened.pool_id,
        gpus_per_node=pool.opened.gpus_per_node,
        gpu_class=pool.opened.gpu_class,
        region=pool.opened.region,
    )


def _list_lots(supply: Supply, pool_id: str) -> list[Lot]:
    """Return the lots of a pool that take orders, the cheapest first."""
    lots = (lot for lot in supply.lots.values() if lot.listed.pool_id == pool_id and lot.status == "listed")
    return sorted(lots, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))


def _build_lots(supply: Supply, pool_id: str, horizon: Horizon) -> list[BookLot]:
    pool, lots = supply.pools[pool_id], _list_lots(supply, pool_id)
    unsold = [_count_nodes(pool.unsold(lot.listed.lot_id, horizon.start, horizon.end), horizon) for lot in lots]
    _cut_to_working(pool, unsold, horizon)
    return [row for lot, nodes in zip(lots, unsold, strict=True) for row in _build_runs(lot, nodes)]


def _count_nodes(runs: Sequence[Load], horizon: Horizon) -> list[int]:
    """Return the least amount in each period; 0 where the runs do not cover it whole."""
    nodes = [0] * horizon.periods
    if not runs:
        return nodes
    first, last = horizon.ceil(runs[0].start), horizon.floor(runs[-1].end)
    for period in range(max(first, 0), min(last, horizon.periods)):
        start, end = horizon.at(period), horizon.at(period + 1)
        nodes[period] = min(run.amount for run in runs if run.start < end and start < run.end)
    return nodes


def _cut_to_working(pool: Pool, unsold: list[list[int]], horizon: Horizon) -> None:
    """Take failed nodes off the dearest lots, so that no more is sold than works."""
    failed = pool.failed()
    if not failed:
        return
    taken = build_steps([*failed, *pool.reserved()], horizon.start, horizon.end)
    for period in range(horizon.periods):
        start, end = horizon.at(period), horizon.at(period + 1)
        peak = max(run.amount for run in taken if run.start < end and start < run.end)
        excess = sum(nodes[period] for nodes in unsold) - max(pool.opened.nodes - peak, 0)
        for nodes in reversed(unsold):
            cut = min(max(excess, 0), nodes[period])
            nodes[period] -= cut
            excess -= cut


def _build_runs(lot: Lot, nodes: list[int]) -> list[BookLot]:
    rows: list[BookLot] = []
    start = 0
    for period in range(1, len(nodes) + 1):
        if period == len(nodes) or nodes[period] != nodes[start]:
            if nodes[start]:
                rows.append(
                    BookLot(
                        lot_id=lot.listed.lot_id,
                        pool_id=lot.listed.pool_id,
                        nodes=nodes[start],
                        from_period=start,
                        to_period=period,
                        ask_usd_per_gpu_hour=lot.ask_usd_per_gpu_hour,
                    )
                )
            start = period
    return rows


def _build_bids(order: Order, supply: Supply, pool_id: str, listed: list[Lot]) -> list[BookBid]:
    pool, terms = supply.pools[pool_id], order.terms
    offer = _find_offer(terms, pool)
    if offer is None:
        return []
    lots = [
        lot
        for lot in listed
        if lot.listed.nodes_min <= terms.nodes and lot.listed.duration_hours_min <= terms.duration_hours
    ]
    if not offer.equity_usd_per_gpu_hour:
        return _bid(pool_id, [lot.listed.lot_id for lot in lots], offer.cash_usd_per_gpu_hour, None)
    bids: list[BookBid] = []
    for hold in order.budget_holds:
        mandate = supply.mandates[hold.mandate_id]
        if mandate.granted.funding == "own_capacity" and mandate.granted.holder_id != pool.opened.provider_id:
            continue
        carrying = [lot.listed.lot_id for lot in lots if hold.mandate_id in lot.listed.mandate_ids]
        value = compute_value(offer, hold.equity_credit)
        bids.extend(_bid(pool_id, carrying, value, hold.mandate_id))
    return bids


def _bid(pool_id: str, lot_ids: list[str], value: Decimal, mandate_id: str | None) -> list[BookBid]:
    if not lot_ids or not value:
        return []
    return [
        BookBid(
            pool_id=pool_id,
            value_usd_per_gpu_hour=value,
            lot_ids=tuple(sorted(lot_ids)),
            mandate_id=mandate_id,
        )
    ]


def _find_offer(terms: OrderTerms, pool: Pool) -> ClassOffer | None:
    """Return the offer for a pool's class, None where the pool is not acceptable."""
    opened = pool.opened
    if opened.gpus_per_node != terms.gpus_per_node or (terms.regions and opened.region not in terms.regions):
        return None
    if terms.interconnect not in {"any", opened.interconnect}:
        return None
    return next((offer for offer in terms.offers if offer.gpu_class == opened.gpu_class), None)
