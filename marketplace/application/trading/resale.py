"""Resale: a startup sells unused hours of a grant, and the provider delivers them to the buyer.

For hours that are paid in equity, the proceeds reduce principal first. They repay what the equity holder would have
paid for the hour before the seller keeps or saves anything. A resold hour therefore adds no principal, the holder
neither pays nor receives anything for it, and no resale may ask less than that part. Resold nodes leave the grant, with
their share of the cash, budget and principal committed to it.
"""

from datetime import datetime
from decimal import Decimal

from events.lot import LotListed
from marketplace.application.steps.access import load_named_mandates, load_used
from marketplace.application.steps.reductions import count_resale
from marketplace.core.ids import derive_id
from marketplace.domain.billing.settlement import compute_ask_floor
from marketplace.domain.delivery.grant import require_resale
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.supply.lot import LOT, ListLot
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import OfferCapacity
from marketplace.domain.trading.mandate_lots import require_lot_welcome
from marketplace.domain.trading.resale import require_cash_for_resale, require_undelivered
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def resell_grant(
    handler: Handler,
    context: Context,
    grant_id: str,
    *,
    nodes: int,
    start: datetime,
    end: datetime,
    ask_usd_per_gpu_hour: Decimal,
    nodes_min: int = 1,
    duration_hours_min: int = 1,
    mandate_ids: tuple[str, ...] = (),
) -> Receipt:
    """Offer nodes of the tenant's grant for a future span. They stay the tenant's until they are sold.

    Raises:
        Refusal: ``grant_unknown`` · refusals of the party and the grant · ``capacity_delivered`` ·
            ``mandates_too_many`` · ``mandate_unknown`` · ``mandate_not_cash`` ·
            ``provider_unwelcome`` · ``site_unwelcome`` · ``resale_unwelcome`` · refusals of the lot, among them
            ``ask_below_principal``, and of the pool · ``limit_exceeded`` if the ask gives away more of the price than
            one person alone may let go.
    """
    lot_id = derive_id("lot", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        grant = await load_used(unit, grant_id)
        seller_id = grant.issued.startup_id
        require_trader(await unit.load(PARTY, seller_id), seller_id, "startup")
        require_resale(grant, nodes, start, end)
        require_undelivered(grant_id, start, context.at)
        mandates = await load_named_mandates(unit, mandate_ids)
        require_cash_for_resale(mandates)
        pool = (await unit.get(POOL, grant.pool_id)).opened
        for mandate in mandates:
            require_lot_welcome(mandate.asked, provider_id=pool.provider_id, site_id=pool.site_id, resold=True)
        listed = LotListed(
            lot_id=lot_id,
            pool_id=grant.pool_id,
            provider_id=seller_id,
            nodes=nodes,
            start=start,
            end=end,
            ask_usd_per_gpu_hour=ask_usd_per_gpu_hour,
            nodes_min=nodes_min,
            duration_hours_min=duration_hours_min,
            mandate_ids=mandate_ids,
            grant_id=grant_id,
        )
        floor_usd = compute_ask_floor(grant.issued)
        await unit.decide(LOT, lot_id, ListLot(listed=listed, floor_usd_per_gpu_hour=floor_usd))
        offer = OfferCapacity(
            pool_id=grant.pool_id, lot_id=lot_id, nodes=nodes, start=start, end=end, grant_id=grant_id
        )
        await unit.decide(POOL, grant.pool_id, offer)
        await count_resale(unit, grant.issued, listed, ask_usd_per_gpu_hour)

    return await handler.run(context, LOT, lot_id, work, new=True)
