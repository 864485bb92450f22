"""Reads of market data."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Date, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.domain.trading.book.concealing import Demand, conceal_demand
from marketplace.projections.engine.queries import PAGE_ROWS_MAX, load_all, page
from marketplace.projections.trading.auctions import auctions
from marketplace.projections.trading.market.index import HISTORY_DAYS, Listed, Traded, compute_index
from marketplace.projections.trading.market.tables import curves, fills, list_prices, ties
from marketplace.projections.trading.market.ties import Tie
from marketplace.projections.trading.orders import orders
from marketplace.projections.views.trading import CurveStep, IndexPoint, ListPriceView

TRADED_ROWS_MAX: Final = 1_000_000
BOOK_ROWS_MAX: Final = 100_000
TIES_ROWS_MAX: Final = 1_000_000


async def load_index(
    connection: AsyncConnection, gpu_class: str, *, start: date, end: date, now: datetime
) -> list[IndexPoint]:
    """Return the index of a class for each day of ``[start, end)``, as it is known now."""
    begin = start - timedelta(days=HISTORY_DAYS)
    same = (fills.c.day, fills.c.startup_id, fills.c.seller_id, fills.c.price_usd_per_gpu_hour, fills.c.marked_at)
    traded: Any = (
        select(
            *same, func.count().label("fills"), func.sum(fills.c.counted_gpu_hours).cast(BigInteger).label("gpu_hours")
        )
        .where(fills.c.gpu_class == gpu_class, fills.c.day >= begin, fills.c.day < end)
        .group_by(*same)
        .order_by(*same)
        .limit(TRADED_ROWS_MAX)
    )
    rows = await load_all(connection, traded, Traded)
    listed = await load_listed(connection, gpu_class, end)
    known = await load_all(connection, select(ties).limit(TIES_ROWS_MAX), Tie)
    return compute_index(rows, listed, known, start, end, now=now)


async def load_listed(connection: AsyncConnection, gpu_class: str, end: date) -> list[Listed]:
    """Return the public prices of a class that were listed before a day, at most 1,000, the newest first."""
    table = list_prices.c
    query = select(table.provider, table.product, table.region, table.listed_on, table.usd_per_gpu_hour)
    query = query.where(table.gpu_class == gpu_class, table.listed_on < end).order_by(table.listed_on.desc())
    return await load_all(connection, query.limit(PAGE_ROWS_MAX), Listed)


async def list_list_prices(
    connection: AsyncConnection,
    *,
    gpu_class: str | None = None,
    after: tuple[str, str, str, str, date] = ("", "", "", "", date.min),
    limit: int = 100,
) -> list[ListPriceView]:
    """Return public prices by class, provider, product, region and day above the cursor, optionally of one class."""
    table = list_prices.c
    key = (table.gpu_class, table.provider, table.product, table.region, table.listed_on)
    cursor = (*after[:4], literal(after[4], Date))
    query: Any = select(list_prices).where(tuple_(*key) > tuple_(*cursor)).order_by(*key)
    if gpu_class is not None:
        query = query.where(table.gpu_class == gpu_class)
    return await load_all(connection, page(query, limit), ListPriceView)


async def load_curves(connection: AsyncConnection, gpu_class: str, *, auction_id: str | None = None) -> list[CurveStep]:
    """Return supply and demand of a class in a cleared auction's book; by default, the last one that had the class.

    Demand is as `conceal_demand` gives it: what startups offered is sealed.
    """
    chosen = await _choose_cleared(connection, gpu_class, auction_id)
    if chosen is None:
        return []
    mine = (curves.c.gpu_class == gpu_class) & (curves.c.auction_id == chosen.auction_id)
    price: Any = curves.c.price_usd_per_gpu_hour
    asks = select(price, func.sum(curves.c.gpu_hours).cast(BigInteger).label("gpu_hours"), func.count().label("count"))
    asks = asks.where(mine, curves.c.side == "ask").group_by(price).order_by(price).limit(BOOK_ROWS_MAX)
    bids = select(price, curves.c.gpu_hours, orders.c.startup_id).where(mine, curves.c.side == "bid")
    bids = bids.join(orders, orders.c.order_id == curves.c.source_id).limit(BOOK_ROWS_MAX)
    demand = conceal_demand(Demand(*row) for row in await connection.execute(bids))
    steps = []
    for side, rows in (("ask", await connection.execute(asks)), ("bid", demand)):
        total = 0
        for usd, gpu_hours, count in rows:
            total += gpu_hours
            steps.append(
                CurveStep(
                    auction_id=chosen.auction_id,
                    gpu_class=gpu_class,
                    side=side,
                    price_usd_per_gpu_hour=usd,
                    gpu_hours=gpu_hours,
                    cumulative_gpu_hours=total,
                    count=count,
                    locked_at=chosen.locked_at,
                )
            )
    return steps


async def _choose_cleared(connection: AsyncConnection, gpu_class: str, auction_id: str | None) -> Any:
    """Return the cleared auction to show, with the instant of its lock; None if there is none with the class."""
    query = select(curves.c.auction_id, curves.c.locked_at).join(auctions, auctions.c.auction_id == curves.c.auction_id)
    query = query.where(curves.c.gpu_class == gpu_class, auctions.c.cleared_at.is_not(None))
    if auction_id is not None:
        query = query.where(curves.c.auction_id == auction_id)
    return (await connection.execute(query.order_by(curves.c.locked_at.desc()).limit(1))).first()
