"""Pools and lots: listing a lot puts its nodes on sale in the pool in the same append."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from events.lot import AskStep, LotListed
from events.pool import PoolOpened
from events.service import STANDARD_SERVICE, ServiceTerms
from events.stages import StageTerms
from events.types import Interconnect
from events.usage import Meter
from marketplace.application.steps.access import load_named_mandates, require_owner
from marketplace.application.steps.auction_supply import change_supply
from marketplace.application.steps.binding import require_lot_free, require_lots_kept
from marketplace.application.steps.closing import reserve_end_fees
from marketplace.application.steps.reductions import count_outage, count_resale
from marketplace.application.steps.two_persons import use_limit
from marketplace.application.supply.sites import load_site
from marketplace.core.ids import derive_id
from marketplace.domain.billing.settlement import compute_ask_floor
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.listing import find_lot_start, require_contracted_power, require_listable
from marketplace.domain.supply.lot import (
    LOT,
    ListLot,
    Lot,
    LotCommand,
    PauseLot,
    RepriceLot,
    RescheduleLot,
    ResumeLot,
    WithdrawLot,
)
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.supply.pool_commands import (
    AnnounceClosing,
    FailNodes,
    OfferCapacity,
    OpenPool,
    RecallCapacity,
    RestoreNodes,
)
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.mandate_lots import require_lot_welcome
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def open_pool(
    handler: Handler,
    context: Context,
    *,
    site_id: str,
    gpu_class: str,
    interconnect: Interconnect,
    gpus_per_node: int,
    nodes: int,
    power_per_node_kw: int,
    service: ServiceTerms | None = None,
) -> Receipt:
    """Open a pool of equal nodes at a site of the tenant. Standard service terms apply unless others are given.

    Raises:
        Refusal: ``site_unknown`` · ``power_above_contract`` · refusals of the party and the pool.
    """
    pool_id = derive_id("pol", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        site = await load_site(unit, site_id)
        provider_id = site.registered.provider_id
        require_trader(await unit.load(PARTY, provider_id), provider_id, "provider")
        require_contracted_power(site, nodes, power_per_node_kw)
        opened = PoolOpened(
            pool_id=pool_id,
            provider_id=provider_id,
            site_id=site_id,
            region=site.registered.region,
            gpu_class=gpu_class,
            interconnect=interconnect,
            gpus_per_node=gpus_per_node,
            nodes=nodes,
            power_per_node_kw=power_per_node_kw,
            service=STANDARD_SERVICE if service is None else service,
            opened_at=context.at,
        )
        await unit.decide(POOL, pool_id, OpenPool(opened=opened))

    return await handler.run(context, POOL, pool_id, work, new=True)


async def _load_pool(unit: UnitOfWork, pool_id: str) -> Pool:
    pool = require_found("pool", pool_id, await unit.load(POOL, pool_id))
    require_owner(unit.context, (pool.opened.provider_id,), "pool", pool_id)
    return pool


async def fail_nodes(
    handler: Handler,
    context: Context,
    pool_id: str,
    *,
    incident_id: str,
    nodes: int,
    at: datetime,
    grant_id: str | None = None,
    meter: Meter | None = None,
    until: datetime | None = None,
) -> Receipt:
    """Report that nodes stopped working, or that they did not work over a span that is past.

    `grant_id` names their grant, and `meter` whose meter, if evidence of its GPUs shows the failure.

    Raises:
        Refusal: ``pool_unknown`` · refusals of the pool · ``limit_exceeded`` if one person alone takes more off what
            counts than the account's limit. Without `until` the nodes count as failed up to now.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_pool(unit, pool_id)
        command = FailNodes(
            pool_id=pool_id,
            incident_id=incident_id,
            nodes=nodes,
            at=at,
            grant_id=grant_id,
            reported_at=context.at,
            meter=meter,
            until=until,
        )
        await unit.decide(POOL, pool_id, command)
        if unit.list_events(POOL, pool_id):
            await count_outage(unit, pool_id, nodes, at, until or context.at)

    return await handler.run(context, POOL, pool_id, work)


async def restore_nodes(handler: Handler, context: Context, pool_id: str, *, incident_id: str, at: datetime) -> Receipt:
    """Report that the nodes of an incident work again. Only the platform dates that back by more than an hour.

    Raises:
        Refusal: ``pool_unknown`` · ``incident_unknown`` · ``time_naive`` · ``incident_restored`` if it ended at another
            instant · ``span_empty`` · ``resumption_backdated``.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load_pool(unit, pool_id)
        reported_at = None if context.party_id is None else context.at
        command = RestoreNodes(pool_id=pool_id, incident_id=incident_id, at=at, reported_at=reported_at)
        await unit.decide(POOL, pool_id, command)

    return await handler.run(context, POOL, pool_id, work)


async def announce_closing(
    handler: Handler,
    context: Context,
    pool_id: str,
    *,
    closes_at: datetime,
    reason: str,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Give notice that a pool leaves the market. The scheduler withdraws lots that end later, and ends its grants then.

    The announcement is the notice of these ends. Their fees are kept on the provider's account until a week after the
    closing. A provider keeps the notice that the grants' terms promise. A date that is put off has notice from then on,
    and a startup may still end its grant for cause at the first date.

    Args:
        handler: Runs the command.
        context: Who asks.
        pool_id: The pool.
        closes_at: When it leaves, at least 14 days ahead.
        reason: Why.
        auction_ids: The auctions that are not completed. One that has frozen a lot of the pool refuses a provider.

    Raises:
        Refusal: ``pool_unknown`` · ``lot_frozen``, but not for the platform · ``notice_too_short`` ·
            ``closing_brought_forward`` · ``limit_exceeded`` if the fees are more than one person alone may let go.
    """

    async def work(unit: UnitOfWork) -> None:
        pool = await _load_pool(unit, pool_id)
        if context.party_id is not None:
            await require_lots_kept(unit, pool.offers, auction_ids)
        command = AnnounceClosing(pool_id=pool_id, closes_at=closes_at, reason=reason, at=context.at)
        after = await unit.decide(POOL, pool_id, command)
        if unit.list_events(POOL, pool_id):
            fees_usd = await reserve_end_fees(unit, after, keeps_notice=context.party_id is not None)
            await use_limit(unit, fees_usd, context.command_id)

    return await handler.run(context, POOL, pool_id, work)


async def list_lot(
    handler: Handler,
    context: Context,
    *,
    pool_id: str,
    nodes: int,
    start: datetime,
    end: datetime,
    ask_usd_per_gpu_hour: Decimal,
    nodes_min: int = 1,
    duration_hours_min: int = 1,
    mandate_ids: tuple[str, ...] = (),
    further_asks: tuple[AskStep, ...] = (),
    service: ServiceTerms | None = None,
    stages: StageTerms | None = None,
) -> Receipt:
    """Offer nodes of the tenant's pool for a span. A lot whose start has passed begins now.

    Raises:
        Refusal: ``pool_unknown`` · ``lot_before_site`` · ``lot_past`` · ``mandates_too_many`` · ``mandate_unknown`` ·
            ``provider_unwelcome`` · ``site_unwelcome`` · refusals of the party, the lot and the pool.
    """
    lot_id = derive_id("lot", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        pool = await _load_pool(unit, pool_id)
        provider_id = pool.opened.provider_id
        require_trader(await unit.load(PARTY, provider_id), provider_id, "provider")
        require_listable(await unit.get(SITE, pool.opened.site_id), start, end, context.at)
        begins = find_lot_start(start, context.at)
        for mandate in await load_named_mandates(unit, mandate_ids):
            require_lot_welcome(mandate.asked, provider_id=provider_id, site_id=pool.opened.site_id, resold=False)
        listed = LotListed(
            lot_id=lot_id,
            pool_id=pool_id,
            provider_id=provider_id,
            nodes=nodes,
            start=begins,
            end=end,
            ask_usd_per_gpu_hour=ask_usd_per_gpu_hour,
            nodes_min=nodes_min,
            duration_hours_min=duration_hours_min,
            mandate_ids=mandate_ids,
            further_asks=further_asks,
            service=service,
            stages=stages,
        )
        await unit.decide(LOT, lot_id, ListLot(listed=listed))
        await unit.decide(
            POOL, pool_id, OfferCapacity(pool_id=pool_id, lot_id=lot_id, nodes=nodes, start=begins, end=end)
        )

    return await handler.run(context, LOT, lot_id, work, new=True)


async def _load_lot(unit: UnitOfWork, lot_id: str) -> Lot:
    lot = require_found("lot", lot_id, await unit.load(LOT, lot_id))
    require_owner(unit.context, (lot.listed.provider_id,), "lot", lot_id)
    return lot


async def _change(
    handler: Handler, context: Context, lot_id: str, command: LotCommand, auction_ids: Iterable[str]
) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        lot = await _load_lot(unit, lot_id)
        await require_lot_free(unit, lot, auction_ids)
        if not isinstance(command, RepriceLot) or lot.listed.grant_id is None:
            await unit.decide(LOT, lot_id, command)
            return
        issued = (await unit.get(GRANT, lot.listed.grant_id)).issued
        floored = msgspec.structs.replace(command, floor_usd_per_gpu_hour=compute_ask_floor(issued))
        await unit.decide(LOT, lot_id, floored)
        await count_resale(unit, issued, lot.listed, command.ask_usd_per_gpu_hour)

    return await handler.run(context, LOT, lot_id, work)


async def reprice_lot(
    handler: Handler,
    context: Context,
    lot_id: str,
    *,
    ask_usd_per_gpu_hour: Decimal,
    further_asks: tuple[AskStep, ...] = (),
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Replace all asks of a lot, for auctions that are not locked yet. Without further asks, all nodes ask the same.

    `auction_ids`, here and in the next functions, are the auctions that are not completed.

    Raises:
        Refusal: ``lot_unknown`` · ``lot_frozen`` · refusals of the lot · ``limit_exceeded`` as in `resell_grant`.
    """
    command = RepriceLot(lot_id=lot_id, ask_usd_per_gpu_hour=ask_usd_per_gpu_hour, further_asks=further_asks)
    return await _change(handler, context, lot_id, command, auction_ids)


async def pause_lot(
    handler: Handler, context: Context, lot_id: str, *, reason: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Stop taking new orders until the lot is resumed.

    Raises:
        Refusal: ``lot_unknown`` · ``lot_frozen`` · ``lot_withdrawn``.
    """
    return await _change(handler, context, lot_id, PauseLot(lot_id=lot_id, reason=reason), auction_ids)


async def resume_lot(handler: Handler, context: Context, lot_id: str, *, auction_ids: Sequence[str] = ()) -> Receipt:
    """Take new orders again.

    Raises:
        Refusal: As `pause_lot`.
    """
    return await _change(handler, context, lot_id, ResumeLot(lot_id=lot_id), auction_ids)


async def withdraw_lot(
    handler: Handler, context: Context, lot_id: str, *, reason: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Take a lot off the market for good. Grants on it stay.

    Args:
        handler: Runs the command.
        context: Who asks.
        lot_id: The lot.
        reason: Why.
        auction_ids: Auctions that are not completed, and may have frozen the lot.

    Raises:
        Refusal: ``lot_unknown`` · ``lot_frozen``.
    """

    async def work(unit: UnitOfWork) -> None:
        lot = await _load_lot(unit, lot_id)
        if lot.status != "withdrawn":
            await require_lot_free(unit, lot, auction_ids, moves=True)
            await change_supply(unit, auction_ids, lot_id)
        await unit.decide(LOT, lot_id, WithdrawLot(lot_id=lot_id, reason=reason))
        pool_id = lot.listed.pool_id
        await unit.decide(POOL, pool_id, RecallCapacity(pool_id=pool_id, lot_id=lot_id))

    return await handler.run(context, LOT, lot_id, work)


async def reschedule_lot(
    handler: Handler,
    context: Context,
    lot_id: str,
    *,
    start: datetime,
    end: datetime,
    reason: str,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Move the span of a lot, also in its pool. Grants on it stay.

    The start moves to no instant before now.

    Raises:
        Refusal: ``lot_unknown`` · ``lot_frozen`` · refusals of the lot and the pool.
    """

    async def work(unit: UnitOfWork) -> None:
        lot = await _load_lot(unit, lot_id)
        await require_lot_free(unit, lot, auction_ids, moves=True)
        begins = find_lot_start(start, context.at, lot.start)
        if (begins, end) != (lot.start, lot.end):
            await change_supply(unit, auction_ids, lot_id)
        await unit.decide(LOT, lot_id, RescheduleLot(lot_id=lot_id, start=begins, end=end, reason=reason))
        pool_id, nodes = lot.listed.pool_id, lot.listed.nodes
        await unit.decide(
            POOL, pool_id, OfferCapacity(pool_id=pool_id, lot_id=lot_id, nodes=nodes, start=begins, end=end)
        )

    return await handler.run(context, LOT, lot_id, work)
