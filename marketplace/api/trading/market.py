"""Market data that every tenant sees: classes, depth, prices, free capacity, and the rules of open mandates."""

from datetime import timedelta
from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.params import FromPath, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.market import MandateOffer, MarketPrice
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.known_values import require_known
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import AtText, InstantText, OptionalInstantText, Read, Word, parse_at, parse_instant
from marketplace.core.intervals import require_forward
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.access.parties import find_party
from marketplace.projections.delivery.reliability import list_reliability, load_reliability
from marketplace.projections.engine.queries import Window
from marketplace.projections.supply.capacity import list_classes, load_calendar, load_depth
from marketplace.projections.supply.inventory import list_known
from marketplace.projections.trading.auctions import list_prices
from marketplace.projections.trading.mandates import list_mandates
from marketplace.projections.trading.market.index import find_median, list_in_force
from marketplace.projections.trading.market.queries import load_listed
from marketplace.projections.views.delivery import ReliabilityView
from marketplace.projections.views.supply import CapacityStep, DepthLevel
from marketplace.projections.views.trading import MandateView, PriceView

PATH: Final = "/v1/market"
GpuClassText = Annotated[str, QueryParameter(max_length=40)]
PoolTexts = Annotated[list[str], QueryParameter(max_items=64, min_items=1)]


async def _set_beside(connection: AsyncConnection, rows: list[PriceView]) -> list[MarketPrice]:
    """Return prices, each with the median public price of its class on its day."""
    if not rows:
        return []
    end = max(row.cleared_at for row in rows).date() + timedelta(days=1)
    classes = sorted({row.gpu_class for row in rows if row.gpu_class is not None})
    listed = {name: await load_listed(connection, name, end) for name in classes}
    found = []
    for row in rows:
        middle = find_median(list_in_force(listed.get(row.gpu_class or "", []), row.cleared_at.date()))
        found.append(MarketPrice(**msgspec.structs.asdict(row), list_usd_per_gpu_hour_median=middle))
    return found


def _render_offer(mandate: MandateView) -> MandateOffer:
    terms = mandate.terms
    return MandateOffer(
        mandate_id=mandate.mandate_id,
        holder_id=mandate.holder_id,
        funding=mandate.funding,
        instrument_kinds=terms.instrument_kinds,
        equity_credit=terms.equity_credit,
        valuation_cap_usd_min=terms.valuation_cap_usd_min,
        valuation_cap_usd_max=terms.valuation_cap_usd_max,
        uncapped=terms.uncapped,
        sectors=terms.sectors,
        startup_accepts_alone=terms.startup_accepts_alone,
        expires_at=terms.expires_at,
    )


@get("/classes", operation_id="market.list_gpu_classes", summary="List GPU classes")
async def read_classes(reader: Read) -> list[str]:
    """Return every GPU class that a pool has."""
    async with reader.connect() as connection:
        return await list_classes(connection)


@get("/depth", operation_id="market.get_depth", summary="Read the depth of a GPU class")
async def read_depth(reader: Read, gpu_class: GpuClassText, limit: Limit = 100, at: AtText = None) -> list[DepthLevel]:
    """Return the asks, cheapest first, summed by price; now or as of `at`. Bids are sealed: see `/v1/market/curves`."""
    point = await parse_at(reader, at)
    async with reader.connect() as connection:
        levels = await load_depth(connection, gpu_class, now=reader.now, at=point, limit=limit)
        if not levels:
            await require_known(connection, "gpu_class", gpu_class)
    return levels


@get("/prices", operation_id="market.list_prices", summary="List prices of auctions")
async def read_prices(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    pool_id: Word = None,
    gpu_class: Word = None,
    auction_id: Word = None,
    start: OptionalInstantText = None,
    end: OptionalInstantText = None,
) -> Page[MarketPrice]:
    """Return uniform prices per pool and span with public list prices, oldest auction first."""
    after = parse_cursor(cursor, (0, "", -1))
    first = None if start is None else parse_instant(start, "/start")
    last = None if end is None else parse_instant(end, "/end")
    async with reader.connect() as connection:
        rows = await list_prices(
            connection,
            pool_id=pool_id,
            gpu_class=gpu_class,
            auction_id=auction_id,
            start=first,
            end=last,
            after=after,
            limit=limit + 1,
        )
        found = await _set_beside(connection, rows)
        if not rows and cursor is None:
            await require_known(connection, "gpu_class", gpu_class)
    return build_page(found, limit, lambda row: (row.last_sequence, row.pool_id, row.from_period))


@get("/capacity", operation_id="market.get_capacity", summary="Read the capacity calendar of pools")
async def read_capacity(
    reader: Read, pool_id: PoolTexts, start: InstantText, end: InstantText, at: AtText = None
) -> list[CapacityStep]:
    """Return offered, reserved, failed and free nodes over ``[start, end)`` as steps, as of now or `at`.

    Repeat `pool_id` for several pools, up to 64; each step names its pool.
    """
    point = await parse_at(reader, at)
    first, last = parse_instant(start, "/start"), parse_instant(end, "/end")
    require_forward(first, last)
    async with reader.connect() as connection:
        known = await list_known(connection, pool_id)
        for each in pool_id:
            if each not in known:
                raise refuse_unknown("pool", each)
        return await load_calendar(connection, pool_id, start=first, end=last, at=point)


@get("/mandates", operation_id="market.list_mandates", summary="List open mandates")
async def read_mandates(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[MandateOffer]:
    """Return the rules of mandates that are open to new orders, by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_mandates(connection, status="granted", window=Window(after=after, limit=limit + 1))
    return build_page([_render_offer(row) for row in rows], limit, lambda row: row.mandate_id)


@get("/reliability", operation_id="market.list_reliability", summary="List providers' reliability")
async def read_reliability(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[ReliabilityView]:
    """Return the reliability of each provider that has a history, by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_reliability(connection, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.provider_id)


@get("/reliability/{party_id:str}", summary="Get a provider's reliability")
async def get_reliability(reader: Read, party_id: FromPath[str]) -> ReliabilityView:
    """Return a provider's reliability so far; its score is 1 without a history."""
    async with reader.connect() as connection:
        party = await find_party(connection, party_id)
        if party is None or "provider" not in party.roles:
            raise refuse_unknown("party", party_id)
        return await load_reliability(connection, party_id)


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        read_classes,
        read_depth,
        read_prices,
        read_capacity,
        read_mandates,
        read_reliability,
        get_reliability,
    ],
    tags=["market"],
    opt={"feature": "market"},
)
