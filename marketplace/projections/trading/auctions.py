"""Auctions: their state, certificate, prices and the decision on every order."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Index, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from events import auction as auction_events
from events import order as order_events
from marketplace.core.errors import Corrupt
from marketplace.core.horizon import build_horizon
from marketplace.core.money import ZERO
from marketplace.domain.trading.book.reason_text import conceal_decision
from marketplace.domain.trading.order_terms import find_window
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.engine.projection import Projection, all_of, tags_of
from marketplace.projections.engine.queries import (
    WINDOW,
    Filter,
    Rows,
    Window,
    find_one,
    load_all,
    load_window,
    narrow,
    page,
)
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.supply.inventory import pools
from marketplace.projections.trading.orders import orders
from marketplace.projections.views.trading import AuctionView, DecisionView, MatchView, OrderView, PriceView

auctions: Final = define(
    "auctions",
    text("auction_id", key=True),
    text("status"),
    text("phase"),
    instant("indicative_at", null=True),
    instant("no_cancel_at", null=True),
    document("indicative_prices", null=True),
    instant("locks_at"),
    instant("horizon_start"),
    whole("period_hours"),
    whole("periods"),
    whole("seed"),
    text("book_hash", null=True),
    whole("book_orders", null=True),
    whole("deferred", null=True),
    whole("locked_sequence", null=True),
    document("certificate", null=True),
    whole("matched", null=True),
    whole("unmatched", null=True),
    whole("impossible", null=True),
    text("reason", null=True),
    whole("attempts"),
    instant("opened_at"),
    instant("cleared_at", null=True),
    instant("carried_out_at", null=True),
    Index("ix_auctions_status", "status", "auction_id"),
    Index("ix_auctions_opened", "opened_at", "auction_id"),
    origin=Origin("auction", "auction_id"),
)
prices: Final = define(
    "prices",
    text("pool_id", key=True),
    instant("start"),
    instant("end"),
    text("auction_id", key=True),
    whole("from_period", key=True),
    exact("price_usd_per_gpu_hour"),
    instant("cleared_at"),
    Index("ix_prices_auction", "auction_id", "pool_id", "from_period"),
    Index("ix_prices_span", "pool_id", "start"),
    origin=Origin("auction", "auction_id"),
)
decisions: Final = define(
    "decisions",
    text("auction_id", key=True),
    text("order_id", key=True),
    document("match", null=True),
    document("reasons"),
    exact("price_to_win_usd_per_gpu_hour", null=True),
    document("price_to_win_range", null=True),
    exact("regret_usd"),
    exact("total_usd", null=True),
    document("second_best", null=True),
    Index("ix_decisions_order", "order_id", "auction_id"),
    origin=Origin("auction", "auction_id"),
)


def _opened(changes: WriteBatch, fact: RecordedEvent, event: auction_events.AuctionOpened) -> None:
    changes.put(
        auctions,
        auction_id=event.auction_id,
        status="collecting",
        phase="collecting",
        indicative_at=event.indicative_at,
        no_cancel_at=event.no_cancel_at,
        locks_at=event.locks_at,
        horizon_start=event.horizon_start,
        period_hours=event.period_hours,
        periods=event.periods,
        seed=event.seed,
        attempts=0,
        opened_at=fact.time,
    )


def _indicated(changes: WriteBatch, _: RecordedEvent, event: auction_events.AuctionIndicated) -> None:
    before = _find(changes, event.auction_id)["indicative_prices"] if event.part else ()
    changes.update(auctions, event.auction_id, phase="indicative", indicative_prices=(*before, *event.prices))


def _bound(changes: WriteBatch, _: RecordedEvent, event: auction_events.AuctionBound) -> None:
    changes.update(auctions, event.auction_id, phase="no_cancel")


def _touch(
    changes: WriteBatch, _: RecordedEvent, event: auction_events.AuctionSupplyChanged | auction_events.AuctionBookFrozen
) -> None:
    """Update the row's version to the auction's."""
    changes.update(auctions, event.auction_id)


def _locked(changes: WriteBatch, fact: RecordedEvent, event: auction_events.AuctionLocked) -> None:
    changes.update(
        auctions,
        event.auction_id,
        status="locked",
        phase="locked",
        book_hash=event.book_hash,
        book_orders=event.orders + event.backstops,
        deferred=event.deferred,
        locked_sequence=fact.sequence,
    )


def _deferred(changes: WriteBatch, _: RecordedEvent, event: auction_events.AuctionOrdersDeferred) -> None:
    changes.update(auctions, event.auction_id)
    for deferral in event.deferrals:
        changes.put(
            decisions,
            auction_id=event.auction_id,
            order_id=deferral.order_id,
            reasons=(deferral.reason,),
            regret_usd=ZERO,
        )


def _cleared(changes: WriteBatch, fact: RecordedEvent, event: auction_events.AuctionCleared) -> None:
    changes.update(
        auctions,
        event.auction_id,
        status="cleared",
        phase="cleared",
        certificate=event.certificate,
        matched=event.matched,
        unmatched=event.unmatched,
        cleared_at=fact.time,
    )


def _find(changes: WriteBatch, auction_id: str) -> Mapping[str, Any]:
    auction = changes.find(auctions, auction_id)
    if auction is None:
        raise Corrupt(f"auction {auction_id} has a result but was never opened")
    return auction


def _published(changes: WriteBatch, fact: RecordedEvent, event: auction_events.AuctionResultPublished) -> None:
    auction = _find(changes, event.auction_id)
    changes.update(auctions, event.auction_id)
    period = timedelta(hours=auction["period_hours"])
    for price in event.prices:
        changes.put(
            prices,
            pool_id=price.pool_id,
            auction_id=event.auction_id,
            from_period=price.from_period,
            start=auction["horizon_start"] + price.from_period * period,
            end=auction["horizon_start"] + price.to_period * period,
            price_usd_per_gpu_hour=price.price_usd_per_gpu_hour,
            cleared_at=fact.time,
        )
    for decision in map(conceal_decision, event.decisions):
        changes.put(
            decisions,
            auction_id=event.auction_id,
            order_id=decision.order_id,
            match=show_decimals(MatchView, decision.match, "price_usd_per_gpu_hour"),
            reasons=decision.reasons,
            price_to_win_usd_per_gpu_hour=decision.price_to_win_usd_per_gpu_hour,
            price_to_win_range=decision.price_to_win_range,
            regret_usd=decision.regret_usd,
            total_usd=decision.total_usd,
            second_best=decision.second_best,
        )


def _failed(changes: WriteBatch, _: RecordedEvent, event: auction_events.AuctionFailed) -> None:
    changes.update(auctions, event.auction_id, status="failed", reason=event.reason, attempts=event.attempt)


def _completed(changes: WriteBatch, fact: RecordedEvent, event: auction_events.AuctionCompleted) -> None:
    changes.update(
        auctions,
        event.auction_id,
        carried_out_at=fact.time,
        matched=event.matched,
        unmatched=event.unmatched,
        impossible=event.impossible,
    )


def _unmatched(changes: WriteBatch, _: RecordedEvent, event: order_events.OrderUnmatched) -> None:
    """State in the decision why a match could not be carried out."""
    if any(reason.code == "became_impossible" for reason in event.reasons):
        changes.update(decisions, event.auction_id, event.order_id, reasons=event.reasons)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    parts = auction_events.AuctionResultPublished | auction_events.AuctionIndicated
    wanted = {(fact.event.auction_id,) for fact in batch if isinstance(fact.event, parts)}
    await changes.load(connection, auctions, wanted)


PROJECTION: Final = Projection(
    name="auctions",
    version=7,
    tables=(auctions, prices, decisions),
    reads=("auction", "order"),
    handlers={
        auction_events.AuctionOpened: _opened,
        auction_events.AuctionIndicated: _indicated,
        auction_events.AuctionBound: _bound,
        auction_events.AuctionOrdersDeferred: _deferred,
        auction_events.AuctionSupplyChanged: _touch,
        auction_events.AuctionBookFrozen: _touch,
        auction_events.AuctionLocked: _locked,
        auction_events.AuctionResultPublished: _published,
        auction_events.AuctionCleared: _cleared,
        auction_events.AuctionFailed: _failed,
        auction_events.AuctionCompleted: _completed,
        order_events.OrderUnmatched: _unmatched,
    },
    ignores=all_of("order") - tags_of(order_events.OrderUnmatched),
    load=_load,
)


async def find_auction(connection: AsyncConnection, auction_id: str) -> AuctionView | None:
    """Return an auction, or None."""
    return await find_one(connection, select(auctions).where(auctions.c.auction_id == auction_id), AuctionView)


async def find_next(connection: AsyncConnection, rows: Sequence[OrderView]) -> list[OrderView]:
    """Return orders, each open one with the auction that decides it next: the first to lock of those that take it."""
    if all(row.status != "open" for row in rows):
        return list(rows)
    query = (
        select(auctions).where(auctions.c.status == "collecting").order_by(auctions.c.locks_at, auctions.c.auction_id)
    )
    collecting = await load_all(connection, query, AuctionView)
    return [_add_next(row, collecting) if row.status == "open" else row for row in rows]


def _add_next(order: OrderView, collecting: Sequence[AuctionView]) -> OrderView:
    expires_at = order.terms.expires_at
    for auction in collecting:
        is_in_time = order.placed_at <= auction.locks_at and (expires_at is None or auction.locks_at < expires_at)
        if is_in_time and find_window(order.terms, build_horizon(auction)) is not None:
            return replace(order, next_auction_id=auction.auction_id, next_locks_at=auction.locks_at)
    return order


async def list_auctions(
    connection: AsyncConnection, *, status: Filter = None, window: Window = WINDOW
) -> Rows[AuctionView]:
    """Return auctions, optionally of statuses."""
    query = narrow(select(auctions), ((auctions.c.status, status),))
    return await load_window(connection, query, AuctionView, window, auctions.c.auction_id, auctions.c.opened_at)


async def list_decisions(
    connection: AsyncConnection,
    *,
    auction_id: str | None = None,
    order_id: str | None = None,
    startup_id: str | None = None,
    matched: bool | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[DecisionView]:
    """Return decisions above the cursor ``(auction_id, order_id)``, of one auction, order or startup.

    With `matched`, only those that have a match, or only those that have none.
    """
    query: Any = select(decisions, orders.c.startup_id).outerjoin(orders, orders.c.order_id == decisions.c.order_id)
    query = query.where(tuple_(decisions.c.auction_id, decisions.c.order_id) > tuple_(*after))
    given = (
        (decisions.c.auction_id, auction_id),
        (decisions.c.order_id, order_id),
        (orders.c.startup_id, startup_id),
    )
    for column, value in given:
        if value is not None:
            query = query.where(column == value)
    if matched is not None:
        query = query.where(decisions.c.match.is_not(None) if matched else decisions.c.match.is_(None))
    query = query.order_by(decisions.c.auction_id, decisions.c.order_id)
    return await load_all(connection, page(query, limit), DecisionView)


async def find_decisions(
    connection: AsyncConnection, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], DecisionView]:
    """Return those of the decisions that exist, by auction and order."""
    query = select(decisions, orders.c.startup_id).outerjoin(orders, orders.c.order_id == decisions.c.order_id)
    query = query.where(tuple_(decisions.c.auction_id, decisions.c.order_id).in_(keys))
    return {(view.auction_id, view.order_id): view for view in await load_all(connection, query, DecisionView)}


async def list_prices(
    connection: AsyncConnection,
    *,
    pool_id: str | None = None,
    gpu_class: str | None = None,
    auction_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: tuple[int, str, int] = (0, "", -1),
    limit: int = 100,
) -> list[PriceView]:
    """Return the history of prices above the cursor ``(last_sequence, pool_id, from_period)``, oldest auction first.

    Args:
        connection: Where to read.
        pool_id: Only of this pool.
        gpu_class: Only of pools of this class.
        auction_id: Only of this auction.
        start: Only spans that end after it.
        end: Only spans that begin before it.
        after: Cursor of the last row of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    key = (prices.c.last_sequence, prices.c.pool_id, prices.c.from_period)
    query: Any = select(prices, pools.c.gpu_class, pools.c.region).outerjoin(pools, pools.c.pool_id == prices.c.pool_id)
    query = query.where(tuple_(*key) > tuple_(*after)).order_by(*key)
    for column, value in (
        (prices.c.pool_id, pool_id),
        (pools.c.gpu_class, gpu_class),
        (prices.c.auction_id, auction_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if start is not None:
        query = query.where(prices.c.end > start)
    if end is not None:
        query = query.where(prices.c.start < end)
    return await load_all(connection, page(query, limit), PriceView)
