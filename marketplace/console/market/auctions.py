"""Auctions: the list, and one auction with its curves, capacity, prices, decisions and certificate."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any, Final

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.market import MarketPrice
from marketplace.clearing.bundle import parse_bundle
from marketplace.clearing.verify.audit_values import Violation
from marketplace.clearing.verify.verifier import find_violations
from marketplace.console.desk import Desk, Desked
from marketplace.console.market.capacity import label_pool, load_lanes, sort_pools
from marketplace.plots.curves import render_curves
from marketplace.plots.prices import PriceLane, PriceSpan
from marketplace.projections.views.supply import PoolView
from marketplace.projections.views.trading import AuctionView, DecisionView

_PATH: Final = "/console/auctions"
_AUCTIONS: Final = 50
_DECISIONS: Final = 25
_POOLS: Final = 16
"""How many pools a page shows at once."""


@get("/")
async def list_all(desk: Desked, cursor: FromQuery[str | None] = None) -> Template:
    """List the auctions, the latest first."""
    page = await desk.load_page("/v1/auctions", AuctionView, _PATH, cursor, limit=_AUCTIONS, order="newest")
    return desk.show("market/auctions.html", live="aggregate=auction", page=page)


@get("/{auction_id:str}")
async def show(
    desk: Desked,
    auction_id: FromPath[str],
    decided: FromQuery[str] = "lost",
    cursor: FromQuery[str | None] = None,
    pools: FromQuery[int] = 0,
) -> Template:
    """Show one auction as far as the key may see it.

    Args:
        desk: The desk.
        auction_id: The auction.
        decided: Which decisions: ``lost`` or ``won``.
        cursor: Where their page begins.
        pools: How many pools are left out before those that are shown.
    """
    auction = await desk.client.auctions.get(auction_id)
    shown: dict[str, Any] = {"prices": [], "curves": {}, "lanes": [], "decisions": [], "pages": {}}
    if auction.certificate is not None:
        shown |= await _load_market(desk, auction, max(0, pools))
        shown |= await _load_decisions(desk, auction_id, decided, cursor)
    return desk.show(
        "market/auction.html", live=f"aggregate_id={auction_id}", auction=auction, decided=decided, **shown
    )


@post("/{auction_id:str}/verify", status_code=200)
async def verify(desk: Desked, auction_id: FromPath[str]) -> Template:
    """Check the published result with the independent verifier, which shares no code with the engine."""
    document = await desk.client.auctions.get_audit(auction_id)
    violations = await asyncio.to_thread(_verify, document)
    return desk.show("market/verified.html", auction_id=auction_id, violations=violations)


def _verify(document: Any) -> tuple[Violation, ...]:
    book, clearing = parse_bundle(document)
    return tuple(find_violations(book, clearing))


async def _load_market(desk: Desk, auction: AuctionView, skipped: int) -> dict[str, Any]:
    """Return curves by class, and calendar and prices of a page of pools."""
    prices = [one async for one in desk.client.market.list_prices(auction_id=auction.auction_id)]
    curves = await _draw_curves(desk, auction.auction_id, prices)
    priced = {one.pool_id for one in prices}
    pools = sort_pools([one async for one in desk.client.pools.list() if one.pool_id in priced])
    shown = pools[skipped : skipped + _POOLS]
    end = auction.horizon_start + timedelta(hours=auction.period_hours * auction.periods)
    return {
        "curves": curves,
        "lanes": await load_lanes(desk.client, shown, auction.horizon_start, end),
        "prices": _arrange(prices, shown),
        "pools": {"first": skipped, "last": skipped + len(shown), "step": _POOLS, "all": len(pools)},
    }


def _arrange(prices: list[MarketPrice], pools: list[PoolView]) -> list[PriceLane]:
    spans = {
        pool_id: [PriceSpan(one.start, one.end, one.price_usd_per_gpu_hour) for one in rows]
        for pool_id, rows in itertools.groupby(prices, lambda one: one.pool_id)
    }
    return [PriceLane(label_pool(pool), pool.gpu_class, spans[pool.pool_id]) for pool in pools]


async def _draw_curves(desk: Desk, auction_id: str, prices: list[MarketPrice]) -> dict[str, str]:
    classes = sorted({one.gpu_class for one in prices if one.gpu_class})
    steps = await asyncio.gather(
        *(desk.client.market.get_curves(gpu_class=name, auction_id=auction_id) for name in classes)
    )
    return {
        name: render_curves(name, found, [one.price_usd_per_gpu_hour for one in prices if one.gpu_class == name])
        for name, found in zip(classes, steps, strict=True)
    }


async def _load_decisions(desk: Desk, auction_id: str, decided: str, cursor: str | None) -> dict[str, Any]:
    page = await desk.client.get(
        f"/v1/auctions/{auction_id}/decisions",
        Page[DecisionView],
        limit=_DECISIONS,
        cursor=cursor,
        matched=str(decided == "won").lower(),
    )
    path = f"{_PATH}/{auction_id}?decided={decided}"
    older = None if page.next_cursor is None else f"{path}&cursor={page.next_cursor}#decisions"
    names = await desk.load_names(one.startup_id for one in page.items)
    return {
        "decisions": page.items,
        "names": names,
        "pages": {"older": older, "newer": f"{path}#decisions" if cursor else None},
    }


ROUTER: Final = Router("/auctions", route_handlers=[list_all, show, verify])
