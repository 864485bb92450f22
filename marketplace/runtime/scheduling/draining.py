"""Drain a pool that leaves the market: withdraw its longer lots at once, and let its grants run until the pool closes.

At the closing, each grant moves to another pool of its provider that has room at no higher price. If there is none, the
grant ends. If an auction has frozen such room, the grant stays until the auction is completed.
"""

import contextlib

from marketplace.application.delivery import grants
from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.supply.listing import require_closing_due
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.market_state import MarketState
from marketplace.runtime.scheduling.relocation import move_grant


async def drain_pool(handler: Handler, market: MarketState, pool_id: str) -> None:
    """Withdraw every lot of a pool that ends after its announced closing, so that nothing longer is matched there."""
    pool: Pool = (await handler.cache.load(POOL, pool_id)).state
    assert pool.closing is not None, "notice was given"
    for lot_id in market.list_pool_lots(pool_id):
        lot: Lot = (await handler.cache.load(LOT, lot_id)).state
        if lot.status != "withdrawn" and lot.end > pool.closing.closes_at:
            context = build_context(handler, "reactor", lot_id, "drain")
            await inventory.withdraw_lot(handler, context, lot_id, reason=pool.closing.reason)


async def close_pool(handler: Handler, market: MarketState, pool_id: str) -> None:
    """Move or end the remaining grants of a pool that closes now.

    Raises:
        Refusal: ``pool_not_due`` before the closing, which may have been postponed · ``lot_frozen``.
    """
    pool: Pool = (await handler.cache.load(POOL, pool_id)).state
    assert pool.closing is not None, "notice was given"
    closes_at = require_closing_due(pool, handler.clock.now())
    for grant_id, reservation in pool.reservations.items():
        grant: Grant | None = (await handler.cache.load(GRANT, grant_id)).state
        if grant is None or grant.pool_id != pool_id or reservation.end <= closes_at:
            continue
        reason = f"the pool left the market: {pool.closing.reason}"
        if await move_grant(handler, market, grant, reason=reason, step=f"closing/{render_instant(closes_at)}"):
            continue
        context = build_context(handler, "reactor", grant_id, "closing")
        with contextlib.suppress(Refusal):
            await grants.terminate_grant(
                handler,
                context,
                grant_id,
                at=closes_at,
                reason=reason,
                by="provider",
                announced_at=pool.closing.announced_at,
            )
