"""Automatic substitution: move a grant that loses its nodes to another pool of its provider."""

from collections.abc import Collection
from datetime import datetime

from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.market_state import MarketState


async def move_grant(
    handler: Handler, market: MarketState, grant: Grant, *, reason: str, step: str, besides: Collection[str] = ()
) -> bool:
    """Move a grant to the first pool of its provider with room at no higher price. Return whether there was one.

    Room that an auction has frozen is none before the auction is completed.

    Args:
        handler: Runs the commands.
        market: The market, which knows the pools.
        grant: The grant. If it was degraded, it works in full again.
        reason: Why, for the parties.
        step: Names the cause: one step moves the grant to each pool at most once, whichever worker runs it.
        besides: Pools that are no better.

    Raises:
        Refusal: ``lot_frozen`` if there is such room, and no other.
    """
    frozen: Refusal | None = None
    grant_id = grant.issued.grant_id
    for pool_id in market.list_pools():
        pool: Pool = (await handler.cache.load(POOL, pool_id)).state
        if pool_id in {grant.pool_id, *besides} or pool.opened.provider_id != grant.issued.provider_id:
            continue
        context = build_context(handler, "reactor", grant_id, f"substitute/{pool_id}/{step}")
        try:
            auction_ids = market.list_auctions()
            await substitute_grant(handler, context, grant_id, pool_id=pool_id, reason=reason, auction_ids=auction_ids)
        except Refusal as refusal:
            frozen = refusal if refusal.code == "lot_frozen" else frozen
            continue
        if grant.condition == "degraded" and not grant.is_silenced:
            await resume_in_full(handler, grant_id, step, context.at)
        return True
    if frozen is not None:
        raise frozen
    return False


async def resume_in_full(handler: Handler, grant_id: str, step: str, at: datetime) -> None:
    """Record that all nodes of a grant work since `at`, if that is not recorded yet. `step` is as in `move_grant`."""
    context = build_context(handler, "reactor", grant_id, f"resume/{step}")
    try:
        await grants.resume_grant(handler, context, grant_id, at=at)
    except Refusal as refusal:
        if refusal.code != "grant_active":
            raise
