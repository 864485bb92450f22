"""The present orders, lots and auctions, as the starting point of a process that quotes and then follows the log."""

from typing import Any, Final

import msgspec
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

OPEN_ROWS_MAX: Final = 100_000


class OpenMarket(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of everything that takes part in the market.

    Attributes:
        orders: Orders that are open or locked, oldest id first.
        lots: Lots that are not withdrawn.
        auctions: Auctions that are not completed.
    """

    orders: tuple[str, ...]
    lots: tuple[str, ...]
    auctions: tuple[str, ...]


_QUERIES: Final = (
    "SELECT order_id FROM orders WHERE status IN ('open', 'locked') ORDER BY order_id LIMIT :limit",
    "SELECT lot_id FROM lots WHERE status <> 'withdrawn' ORDER BY lot_id LIMIT :limit",
    "SELECT auction_id FROM auctions WHERE carried_out_at IS NULL ORDER BY auction_id LIMIT :limit",
)


async def load_open_market(connection: AsyncConnection) -> OpenMarket:
    """Return the ids as the projections have them, at most `OPEN_ROWS_MAX` of each."""
    found: list[Any] = []
    for query in _QUERIES:
        result = await connection.execute(sql(query), {"limit": OPEN_ROWS_MAX})
        found.append(tuple(result.scalars()))
    return OpenMarket(orders=found[0], lots=found[1], auctions=found[2])
