"""What an operator looks at first: what waits for a person, auctions by phase, and what just happened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Router, get
from litestar.response import Template

from marketplace.api.http.bodies.answers import Page
from marketplace.client import MarketplaceClient
from marketplace.console.desk import Desk, Desked, collect
from marketplace.domain.delivery.grant import RUNNING
from marketplace.projections.views.trading import AuctionView

_EVENTS: Final = 12
_RUNNING: Final = tuple(sorted(RUNNING))
_INCIDENTS: Final = 100
PHASES: Final = ("collecting", "indicative", "no_cancel", "locked", "cleared")
"""Phases of an auction, in their order; only some auctions publish indicative prices."""


class Counts(NamedTuple):
    """How many there are now; None where the API counts no further. Of incidents, at most 100 are counted."""

    orders: int | None
    grants: int | None
    parties: int | None
    disputes: int | None
    approvals: int | None
    incidents: int


@get("/")
async def show(desk: Desked) -> Template:
    """Show the market now."""
    ready = await desk.client.operation.get_readiness()
    head = ready.log_sequence or 0
    open_auctions, page, counts = await asyncio.gather(
        collect(list_open_auctions(desk.client)),
        desk.client.events.read(after=max(0, head - _EVENTS)),
        _load_counts(desk),
    )
    return desk.show(
        "operator/today.html",
        live="",
        ready=ready,
        lag=None if ready.projected_sequence is None else head - ready.projected_sequence,
        auctions=open_auctions,
        phases=PHASES,
        counts=counts,
        events=list(reversed(page.items)),
        names=await desk.load_names(one.event.actor for one in page.items),
    )


async def _load_counts(desk: Desk) -> Counts:
    async def count(path: str, **query: Any) -> int | None:
        page = await desk.client.get(path, Page[msgspec.Raw], limit=1, count="true", **query)
        return page.count

    orders, grants, parties, disputes, approvals, incidents = await asyncio.gather(
        count("/v1/orders", status="open"),
        count("/v1/grants", status=_RUNNING),
        count("/v1/parties", status="registered"),
        count("/v1/statements", status="disputed"),
        count("/v1/approvals", status="open"),
        desk.client.get("/v1/pools/incidents", Page[msgspec.Raw], open="true", limit=_INCIDENTS),
    )
    return Counts(orders, grants, parties, disputes, approvals, len(incidents.items))


async def list_open_auctions(client: MarketplaceClient) -> AsyncIterator[AuctionView]:
    """Yield the auctions that are not over, the next lock first."""
    found = [one async for one in client.auctions.list() if not one.is_over]
    for one in sorted(found, key=lambda one: one.locks_at):
        yield one


ROUTER: Final = Router("/operator", route_handlers=[show])
