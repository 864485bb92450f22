"""A provider's inventory: sites, pools and lots, capacity to list on the heat map, and incidents of a pool."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.supply import (
    FailNodesBody,
    ListLotBody,
    OpenPoolBody,
    RegisterSiteBody,
    RestoreNodesBody,
)
from marketplace.console.desk import Desk, Desked, collect
from marketplace.console.forms import Filed, parse_form
from marketplace.console.history import Step, load_history
from marketplace.console.market.capacity import load_lanes, sort_pools
from marketplace.console.supply.curves import draw_market
from marketplace.plots.calendar import Lane
from marketplace.projections.views.supply import CapacityStep, LotView, PoolView

PATH: Final = "/console/supply"
_DAYS: Final = 60
_HISTORY: Final = timedelta(days=7)
_INCIDENTS: Final = ("pool.node_failed.v1", "pool.node_restored.v1")
_NOT_FOR_SALE: Final = frozenset({"withdrawn"})


class Outage(msgspec.Struct, kw_only=True):
    """An incident of a pool: how many nodes stopped working, and when; `end` is None while it lasts."""

    incident_id: str
    nodes: int
    start: datetime
    end: datetime | None = None


@get("/")
async def show(desk: Desked) -> Template:
    """Show the provider's sites, pools and lots, with the capacity of its pools."""
    own = desk.party_id
    sites, pools, lots = await asyncio.gather(
        collect(desk.client.sites.list(provider_id=own)),
        collect(desk.client.pools.list(provider_id=own)),
        collect(desk.client.lots.list(provider_id=own)),
    )
    start, end = _find_window(desk)
    lanes = await load_lanes(desk.client, sort_pools(pools), start, end)
    return desk.show(
        "supply/inventory.html",
        live="aggregate=site&aggregate=pool&aggregate=lot",
        sites=sites,
        pools=pools,
        lots=_sort(lots),
        lanes=lanes,
        acts=_list_acts(desk),
    )


@post("/sites")
async def register_site(desk: Desked, form: Filed) -> Response[Any]:
    """Register a data center of the provider."""
    await desk.client.sites.register(**asdict(form.read(RegisterSiteBody, provider_id=desk.party_id)), key=form.key)
    return desk.go(PATH)


@post("/pools")
async def open_pool(desk: Desked, form: Filed) -> Response[Any]:
    """Open a pool at a site."""
    receipt = await desk.client.pools.open(**asdict(form.read(OpenPoolBody)), key=form.key)
    return desk.go(f"{PATH}/pools/{receipt.id}")


@get("/pools/{pool_id:str}")
async def show_pool(desk: Desked, pool_id: FromPath[str]) -> Template:
    """Show one pool: its capacity, a form that lists more of it, its lots, and its incidents."""
    pool = await desk.client.pools.get(pool_id)
    start, end = _find_window(desk)
    site, lots, steps, capacity, mandates = await asyncio.gather(
        desk.client.sites.get(pool.site_id),
        collect(desk.client.lots.list(pool_id=pool_id)),
        load_history(desk, pool_id, *_INCIDENTS),
        desk.client.market.get_capacity(pool_id=[pool_id], start=start, end=end),
        collect(desk.client.market.list_mandates()),
    )
    lanes = [Lane(f"{pool.gpu_class} {pool.region}", pool.nodes, capacity)]
    is_own = pool.provider_id == desk.principal.party_id
    first = desk.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return desk.show(
        "supply/pool.html",
        live="aggregate=pool&aggregate=lot",
        pool=pool,
        site=site,
        lots=_sort(lots),
        outages=list_outages(steps),
        lanes=lanes,
        window=(start, end),
        first=first,
        last=first + timedelta(days=30),
        free=count_unlisted(pool, capacity, first, first + timedelta(days=30)),
        market=await draw_market(desk, pool.gpu_class, [one for one in lots if one.status not in _NOT_FOR_SALE]),
        mandates=mandates,
        names=await desk.load_names(one.holder_id for one in mandates),
        acts=_list_acts(desk) if is_own else set(),
    )


@get("/pools/{pool_id:str}/unlisted")
async def show_unlisted(request: Request[Any, Any, Any], desk: Desked, pool_id: FromPath[str]) -> Template:
    """Say how many nodes no lot offers in the span of the form."""
    pool = await desk.client.pools.get(pool_id)
    span = parse_form([(name, request.query_params.get(name, "")) for name in ("start", "end")], dict[str, datetime])
    free = None
    if len(span) == 2 and span["start"] < span["end"]:  # noqa: PLR2004 - a start and an end
        steps = await desk.client.market.get_capacity(pool_id=[pool_id], start=span["start"], end=span["end"])
        free = count_unlisted(pool, steps, span["start"], span["end"])
    return desk.show("supply/unlisted.part.html", pool=pool, free=free)


@post("/pools/{pool_id:str}/lots")
async def list_lot(desk: Desked, form: Filed, pool_id: FromPath[str]) -> Response[Any]:
    """List nodes of a pool for sale."""
    receipt = await desk.client.lots.offer(**asdict(form.read(ListLotBody, pool_id=pool_id)), key=form.key)
    return desk.go(f"{PATH}/lots/{receipt.id}")


@post("/pools/{pool_id:str}/fail-nodes")
async def fail_nodes(desk: Desked, form: Filed, pool_id: FromPath[str]) -> Response[Any]:
    """Report that nodes stopped working."""
    await desk.client.pools.fail_nodes(pool_id, **asdict(form.read(FailNodesBody)), key=form.key)
    return desk.go(f"{PATH}/pools/{pool_id}")


@post("/pools/{pool_id:str}/restore-nodes")
async def restore_nodes(desk: Desked, form: Filed, pool_id: FromPath[str]) -> Response[Any]:
    """Report that the nodes of an incident work again."""
    body = form.read(RestoreNodesBody)
    await desk.client.pools.restore_nodes(pool_id, incident_id=body.incident_id, at=body.at, key=form.key)
    return desk.go(f"{PATH}/pools/{pool_id}")


def list_outages(steps: Iterable[Step]) -> list[Outage]:
    """Return a pool's incidents from its history: the open ones first, and the latest first among both."""
    found: list[Outage] = []
    for step in steps:
        at, name = datetime.fromisoformat(step.data["at"]), step.data["incident_id"]
        if step.kind == "node_failed":
            found.append(Outage(incident_id=name, nodes=step.data["nodes"], start=at))
        else:
            open_ = [one for one in found if one.incident_id == name and one.end is None]
            for one in open_:
                one.end = at
    return sorted(found, key=lambda one: (one.end is None, one.start), reverse=True)


def count_unlisted(pool: PoolView, steps: Iterable[CapacityStep], start: datetime, end: datetime) -> int:
    """Return the nodes of a pool less the most that its lots offer at one instant of a span."""
    return pool.nodes - max((one.offered for one in steps if one.start < end and one.end > start), default=0)


def _sort(lots: Iterable[LotView]) -> list[LotView]:
    return sorted(lots, key=lambda one: (one.status in _NOT_FOR_SALE, one.start, one.ask_usd_per_gpu_hour, one.lot_id))


def _find_window(desk: Desk) -> tuple[datetime, datetime]:
    start = (desk.now - _HISTORY).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=_DAYS)


def _list_acts(desk: Desk) -> set[str]:
    """Return the features in which the key may write."""
    return {name for name in ("sites", "pools", "lots") if desk.may(f"{name}:write")}


ROUTER: Final = Router(
    "/supply",
    route_handlers=[
        show,
        register_site,
        open_pool,
        show_pool,
        show_unlisted,
        list_lot,
        fail_nodes,
        restore_nodes,
    ],
)
