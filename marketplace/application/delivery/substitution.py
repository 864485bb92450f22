"""Substitution: move a grant to another pool of its provider, at no higher price, in one atomic append."""

from collections.abc import Sequence

from marketplace.application.steps.access import load_grant, load_mandate
from marketplace.application.steps.binding import require_lots_kept
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.resale_ends import list_offers, offer_again, withdraw_resales
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import SubstituteGrant
from marketplace.domain.delivery.substitution import build_shares, clip_resold, list_affordable, require_movable
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.supply.pool_commands import ReleaseCapacity, ReserveCapacity
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.mandate_lots import list_welcome, require_pool_welcome
from marketplace.domain.trading.order import ORDER
from marketplace.domain.trading.resale import require_move_needed
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def substitute_grant(
    handler: Handler, context: Context, grant_id: str, *, pool_id: str, reason: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Move the rest of a grant to another pool from now on. The startup's price does not change.

    Only lots that ask no more than the grant's price are used, cheapest first. Of `auction_ids`, the auctions that are
    not completed, none may have frozen one of them, or a resale of the grant. That holds also for nodes that have
    failed, and for the platform: what an auction has bound goes first. A provider moves no working nodes that are
    offered for resale. What is offered is offered anew on the other pool.

    Raises:
        Refusal: ``grant_unknown`` · ``pool_unknown`` · ``pool_unlike`` · ``grant_over`` · ``pool_unwelcome`` ·
            ``site_unwelcome`` · ``substitute_full`` · ``lot_frozen`` · ``resale_offered`` · refusals of the grant and
            the pool.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        pool = await unit.load(POOL, pool_id)
        if pool is None or pool.opened.provider_id != grant.issued.provider_id:
            raise refuse_unknown("pool", pool_id)
        start = require_movable(grant, pool, context.at)
        await _check_welcome(unit, grant, pool)
        resold = clip_resold(grant, start)
        lots = build_shares(grant, pool, await load_lots(unit, grant, pool), start, grant.end)
        taken = dict.fromkeys(share.lot_id for share in lots)
        source = await unit.get(POOL, grant.pool_id)
        await require_lots_kept(unit, [*taken, *source.list_resales(grant_id)], auction_ids)
        if context.party_id is not None:
            require_move_needed(grant, source, context.at)
        offers = await list_offers(unit, grant.pool_id, grant_id, start)
        await withdraw_resales(unit, grant.pool_id, grant_id, "the grant moves to another pool")
        release = ReleaseCapacity(pool_id=grant.pool_id, grant_id=grant_id, at=start)
        command = SubstituteGrant(grant_id=grant_id, pool_id=pool_id, lots=lots, at=start, reason=reason)
        await unit.decide(GRANT, grant_id, command)
        reserve = ReserveCapacity(
            pool_id=pool_id,
            grant_id=grant_id,
            nodes=grant.issued.nodes,
            start=start,
            end=grant.end,
            lots=lots,
            resold=resold,
        )
        await change_capacity(unit, release, reserve)
        await offer_again(unit, offers, pool_id)

    return await handler.run(context, GRANT, grant_id, work)


async def _check_welcome(unit: UnitOfWork, grant: Grant, pool: Pool) -> None:
    """Refuse a pool that the grant's order or mandate excludes or, of resold hours, the order of their seller.

    The hours are the seller's again if their buyer gives them up, so its provider moves them nowhere else first.

    Raises:
        Refusal: Those of `require_pool_welcome`.
    """
    equity = grant.issued.equity
    mandate = None if equity is None else (await load_mandate(unit, equity.mandate_id)).asked
    terms = (await unit.get(ORDER, grant.issued.order_id)).terms
    site = await unit.get(SITE, pool.opened.site_id)
    require_pool_welcome(terms, mandate, pool, site)
    if grant.issued.resale is not None:
        source = await unit.get(GRANT, grant.issued.resale.grant_id)
        require_pool_welcome((await unit.get(ORDER, source.issued.order_id)).terms, None, pool, site)


async def load_lots(unit: UnitOfWork, grant: Grant, pool: Pool) -> list[Lot]:
    """Return the lots of a pool that accept a grant at its price and promise what its order asks, cheapest first.

    Raises:
        Refusal: ``pool_unwelcome``.
    """
    terms = (await unit.get(ORDER, grant.issued.order_id)).terms
    lots = list_affordable(grant, [await unit.get(LOT, lot_id) for lot_id in sorted(pool.offers)])
    return list_welcome(terms, pool, lots)
