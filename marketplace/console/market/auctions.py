"""Auctions: the list, and one auction with its curves, prices, decisions and certificate."""

from datetime import timedelta
from typing import Final

from litestar import Router, get
from litestar.params import FromPath
from litestar.response import Template

from marketplace.api.http.bodies.market import MarketPrice
from marketplace.client import ProblemError
from marketplace.console.desk import Desk, Desked
from marketplace.console.market.capacity import load_lanes
from marketplace.plots.calendar import Lane
from marketplace.plots.curves import render_curves
from marketplace.projections.views.trading import DecisionView

_SEALED: Final = frozenset({"scope_missing", "platform_only", "curves_unknown"})


@get("/")
async def list_all(desk: Desked) -> Template:
    """List the auctions, the latest lock first."""
    found = [one async for one in desk.client.list_auctions()]
    found.sort(key=lambda one: one.locks_at, reverse=True)
    return desk.show("market/auctions.html", auctions=found)


@get("/{auction_id:str}")
async def show(desk: Desked, auction_id: FromPath[str]) -> Template:
    """Show one auction as far as the key may see it."""
    auction = await desk.client.get_auction(auction_id)
    prices, decisions, curves, lanes = [], [], dict[str, str](), list[Lane]()
    if auction.certificate is not None:
        prices = [one async for one in desk.client.list_prices(auction_id=auction_id)]
        decisions = await _list_decisions(desk, auction_id)
        curves = await _draw_curves(desk, auction_id, prices)
        end = auction.horizon_start + timedelta(hours=auction.period_hours * auction.periods)
        ids = frozenset(one.pool_id for one in prices)
        lanes = await load_lanes(desk.client, ids, auction.horizon_start, end)
    return desk.show(
        "market/auction.html", auction=auction, prices=prices, decisions=decisions, curves=curves, lanes=lanes
    )


async def _list_decisions(desk: Desk, auction_id: str) -> list[DecisionView]:
    try:
        return [one async for one in desk.client.list_decisions(auction_id)]
    except ProblemError as problem:
        if problem.code in _SEALED:
            return []
        raise


async def _draw_curves(desk: Desk, auction_id: str, prices: list[MarketPrice]) -> dict[str, str]:
    drawn = {}
    for gpu_class in sorted({one.gpu_class for one in prices if one.gpu_class}):
        steps = await desk.client.read_curves(gpu_class, auction_id=auction_id)
        own = [one.price_usd_per_gpu_hour for one in prices if one.gpu_class == gpu_class]
        drawn[gpu_class] = render_curves(gpu_class, steps, own)
    return drawn


ROUTER: Final = Router("/auctions", route_handlers=[list_all, show])
