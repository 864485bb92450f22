"""Substitution without anyone asking: a grant whose nodes go away is moved where its provider has room for it."""

from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.market_state import MarketState


async def move_grant(handler: Handler, stage: MarketState, grant: Grant, *, reason: str, step: str) -> bool:
    """Move a grant to the first pool of its provider that has room for it at no higher price; tell whether one had.

    Args:
        handler: Runs the commands.
        stage: Knows the pools.
        grant: The grant; where it was degraded it works in full again.
        reason: Why.
        step: Names what is answered, so that each is answered once by whichever worker comes first.
    """
    grant_id = grant.issued.grant_id
    for pool_id in stage.list_pools():
        pool: Pool = (await handler.cache.load(POOL, pool_id)).state
        if pool_id == grant.pool_id or pool.opened.provider_id != grant.issued.provider_id:
            continue
        context = build_context(handler, "reactor", grant_id, f"substitute/{pool_id}/{step}")
        try:
            await substitute_grant(handler, context, grant_id, pool_id=pool_id, reason=reason)
        except Refusal:
            continue
        if grant.status == "degraded":
            again = build_context(handler, "reactor", grant_id, f"resume/{step}")
            await grants.resume_grant(handler, again, grant_id, at=context.at)
        return True
    return False
