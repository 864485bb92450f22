"""Inventory: sites, pools and lots as they are now."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Index, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events import lot as lot_events
from events import pool as pool_events
from events import site as site_events
from marketplace.projections.engine.projection import Projection, tags_of
from marketplace.projections.engine.queries import (
    PAGE_ROWS_MAX,
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
from marketplace.projections.views.supply import LotView, PoolView, SiteView

sites: Final = define(
    "sites",
    text("site_id", key=True),
    text("provider_id"),
    text("name"),
    text("region"),
    text("jurisdiction"),
    text("status"),
    whole("power_contracted_kw"),
    whole("power_energised_kw"),
    exact("power_usage_effectiveness"),
    exact("renewable_share"),
    text("former_use", null=True),
    instant("ready_at", null=True),
    text("reason", null=True),
    Index("ix_sites_provider", "provider_id", "site_id"),
    origin=Origin("site", "site_id"),
)
pools: Final = define(
    "pools",
    text("pool_id", key=True),
    text("provider_id"),
    text("site_id"),
    text("region"),
    text("gpu_class"),
    text("interconnect"),
    whole("gpus_per_node"),
    whole("nodes"),
    whole("power_per_node_kw"),
    document("service", null=True),
    instant("closes_at", null=True),
    Index("ix_pools_class", "gpu_class", "pool_id"),
    Index("ix_pools_provider", "provider_id", "pool_id"),
    origin=Origin("pool", "pool_id"),
)
lots: Final = define(
    "lots",
    text("lot_id", key=True),
    text("pool_id"),
    text("provider_id"),
    text("status"),
    whole("nodes"),
    instant("start"),
    instant("end"),
    exact("ask_usd_per_gpu_hour"),
    whole("nodes_min"),
    whole("duration_hours_min"),
    document("mandate_ids"),
    document("further_asks"),
    document("service", null=True),
    text("reason", null=True),
    instant("listed_at"),
    text("grant_id", null=True),
    document("stages", null=True),
    Index("ix_lots_pool", "pool_id", "lot_id"),
    Index("ix_lots_provider", "provider_id", "lot_id"),
    Index("ix_lots_listed", "listed_at", "lot_id"),
    origin=Origin("lot", "lot_id"),
)
_SITE_FIELDS: Final = site_events.SiteRegistered.__struct_fields__
_POOL_FIELDS: Final = pool_events.PoolOpened.__struct_fields__
_LOT_FIELDS: Final = lot_events.LotListed.__struct_fields__


def _site_registered(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteRegistered) -> None:
    changes.put(sites, **{name: getattr(event, name) for name in _SITE_FIELDS})


def _site_energised(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteEnergised) -> None:
    power = event.power_energised_kw
    changes.update(sites, event.site_id, power_energised_kw=power, status="operating", ready_at=None, reason=None)


def _site_derated(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteDerated) -> None:
    changes.update(sites, event.site_id, power_energised_kw=event.power_energised_kw, reason=event.reason)


def _conversion_scheduled(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteConversionScheduled) -> None:
    changes.update(sites, event.site_id, status="converting", former_use=event.former_use, ready_at=event.ready_at)


def _conversion_slipped(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteConversionSlipped) -> None:
    changes.update(sites, event.site_id, ready_at=event.ready_at, reason=event.reason)


def _site_power(
    changes: WriteBatch, _: RecordedEvent, event: site_events.SitePowerReserved | site_events.SitePowerReleased
) -> None:
    """Update the row's version to the site's, for `If-Match`."""
    changes.update(sites, event.site_id)


def _pool_opened(changes: WriteBatch, _: RecordedEvent, event: pool_events.PoolOpened) -> None:
    changes.put(pools, **{name: getattr(event, name) for name in _POOL_FIELDS})


def _closing(changes: WriteBatch, _: RecordedEvent, event: pool_events.PoolClosingAnnounced) -> None:
    changes.update(pools, event.pool_id, closes_at=event.closes_at)


def _lot_listed(changes: WriteBatch, fact: RecordedEvent, event: lot_events.LotListed) -> None:
    fields = {name: getattr(event, name) for name in _LOT_FIELDS}
    changes.put(lots, **fields, status="listed", listed_at=fact.time)


def _lot_repriced(changes: WriteBatch, _: RecordedEvent, event: lot_events.LotRepriced) -> None:
    asks = {"ask_usd_per_gpu_hour": event.ask_usd_per_gpu_hour, "further_asks": event.further_asks}
    changes.update(lots, event.lot_id, **asks)


def _lot_rescheduled(changes: WriteBatch, _: RecordedEvent, event: lot_events.LotRescheduled) -> None:
    changes.update(lots, event.lot_id, start=event.start, end=event.end, reason=event.reason)


def _lot_paused(changes: WriteBatch, _: RecordedEvent, event: lot_events.LotPaused) -> None:
    changes.update(lots, event.lot_id, status="paused", reason=event.reason)


def _lot_resumed(changes: WriteBatch, _: RecordedEvent, event: lot_events.LotResumed) -> None:
    changes.update(lots, event.lot_id, status="listed", reason=None)


def _lot_withdrawn(changes: WriteBatch, _: RecordedEvent, event: lot_events.LotWithdrawn) -> None:
    changes.update(lots, event.lot_id, status="withdrawn", reason=event.reason)


PROJECTION: Final = Projection(
    name="inventory",
    version=3,
    tables=(sites, pools, lots),
    reads=("site", "pool", "lot"),
    handlers={
        site_events.SiteRegistered: _site_registered,
        site_events.SiteEnergised: _site_energised,
        site_events.SiteDerated: _site_derated,
        site_events.SiteConversionScheduled: _conversion_scheduled,
        site_events.SiteConversionSlipped: _conversion_slipped,
        site_events.SitePowerReserved: _site_power,
        site_events.SitePowerReleased: _site_power,
        pool_events.PoolOpened: _pool_opened,
        pool_events.PoolClosingAnnounced: _closing,
        lot_events.LotListed: _lot_listed,
        lot_events.LotRepriced: _lot_repriced,
        lot_events.LotRescheduled: _lot_rescheduled,
        lot_events.LotPaused: _lot_paused,
        lot_events.LotResumed: _lot_resumed,
        lot_events.LotWithdrawn: _lot_withdrawn,
    },
    ignores=tags_of(
        pool_events.PoolCapacityOffered,
        pool_events.PoolCapacityRecalled,
        pool_events.PoolCapacityReserved,
        pool_events.PoolCapacityResold,
        pool_events.PoolCapacityHeld,
        pool_events.PoolCapacityReleased,
        pool_events.PoolNodeFailed,
        pool_events.PoolNodeRestored,
    ),
)


_LOTS: Final[Any] = select(
    lots, pools.c.gpu_class, pools.c.region, pools.c.interconnect, pools.c.gpus_per_node
).select_from(lots.outerjoin(pools, pools.c.pool_id == lots.c.pool_id))


async def find_site(connection: AsyncConnection, site_id: str) -> SiteView | None:
    """Return a site, or None."""
    return await find_one(connection, select(sites).where(sites.c.site_id == site_id), SiteView)


async def list_sites(
    connection: AsyncConnection,
    *,
    provider_id: str | None = None,
    status: Filter = None,
    after: str = "",
    limit: int = 100,
) -> list[SiteView]:
    """Return sites by id above `after`, of one provider or all."""
    query = select(sites).where(sites.c.site_id > after).order_by(sites.c.site_id)
    query = narrow(query, ((sites.c.provider_id, provider_id), (sites.c.status, status)))
    return await load_all(connection, page(query, limit), SiteView)


async def list_known(connection: AsyncConnection, pool_ids: Collection[str]) -> set[str]:
    """Return those of the ids that pools have."""
    query: Any = select(pools.c.pool_id).where(pools.c.pool_id.in_(pool_ids))
    return {row.pool_id for row in await connection.execute(query)}


async def find_pool(connection: AsyncConnection, pool_id: str) -> PoolView | None:
    """Return a pool, or None."""
    return await find_one(connection, select(pools).where(pools.c.pool_id == pool_id), PoolView)


async def list_regions(connection: AsyncConnection) -> list[str]:
    """Return every region that a site is in, in order, at most 1,000."""
    query: Any = select(sites.c.region).distinct().order_by(sites.c.region).limit(PAGE_ROWS_MAX)
    return [row.region for row in await connection.execute(query)]


async def list_pools(
    connection: AsyncConnection,
    *,
    provider_id: str | None = None,
    gpu_class: str | None = None,
    region: str | None = None,
    after: str = "",
    limit: int = 100,
) -> list[PoolView]:
    """Return pools by id above `after`, with optional filters."""
    query: Any = select(pools).where(pools.c.pool_id > after).order_by(pools.c.pool_id)
    for column, value in ((pools.c.provider_id, provider_id), (pools.c.gpu_class, gpu_class), (pools.c.region, region)):
        if value is not None:
            query = query.where(column == value)
    return await load_all(connection, page(query, limit), PoolView)


async def find_lot(connection: AsyncConnection, lot_id: str) -> LotView | None:
    """Return a lot, or None."""
    return await find_one(connection, _LOTS.where(lots.c.lot_id == lot_id), LotView)


async def list_lots(
    connection: AsyncConnection,
    *,
    provider_id: str | None = None,
    pool_id: str | None = None,
    gpu_class: str | None = None,
    region: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[LotView]:
    """Return lots, with optional filters."""
    query = narrow(
        _LOTS,
        (
            (lots.c.provider_id, provider_id),
            (lots.c.pool_id, pool_id),
            (pools.c.gpu_class, gpu_class),
            (pools.c.region, region),
            (lots.c.status, status),
        ),
    )
    return await load_window(connection, query, LotView, window, lots.c.lot_id, lots.c.listed_at)
