"""What an operator looks at first: auctions by phase, what is stuck, how far the tables are, and what just happened."""

from collections.abc import AsyncIterator
from typing import Final

from litestar import Router, get
from litestar.response import Template

from marketplace.api.http.bodies.answers import Page
from marketplace.client import MarketplaceClient
from marketplace.console.desk import Desked
from marketplace.projections.views.trading import AuctionView, OrderView

_EVENTS: Final = 12


@get("/")
async def show(desk: Desked) -> Template:
    """Show the market now."""
    ready = await desk.client.get_readiness()
    open_auctions = [one async for one in list_open_auctions(desk.client)]
    orders = await desk.client.get("/v1/orders", Page[OrderView], limit=1, status="open", count="true")
    head = ready.log_sequence or 0
    page = await desk.client.read_events(max(0, head - _EVENTS))
    return desk.show(
        "operator/today.html",
        live="",
        ready=ready,
        lag=None if ready.projected_sequence is None else head - ready.projected_sequence,
        auctions=open_auctions,
        orders=orders.count,
        events=list(reversed(page.items)),
    )


async def list_open_auctions(client: MarketplaceClient) -> AsyncIterator[AuctionView]:
    """Yield the auctions that are not carried out, the next lock first."""
    found = [one async for one in client.list_auctions() if not one.is_over]
    for one in sorted(found, key=lambda one: one.locks_at):
        yield one


ROUTER: Final = Router("/operator", route_handlers=[show])
