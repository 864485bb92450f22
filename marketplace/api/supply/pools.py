"""Pools of equal nodes; the inventory is public to every tenant."""

from typing import Annotated, Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.supply import ClosePoolBody, FailNodesBody, OpenPoolBody, RestoreNodesBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import INT_MAX, parse_cursor
from marketplace.api.http.known_values import require_known
from marketplace.api.http.paging import CreatedBefore, CreatedFrom, Cursor, Limit, build_page, parse_span
from marketplace.api.http.queries import Read, Word
from marketplace.application.supply.inventory import announce_closing, fail_nodes, open_pool, restore_nodes
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.supply.capacity import list_incidents
from marketplace.projections.supply.inventory import find_pool, list_pools
from marketplace.projections.views.supply import IncidentView, PoolView

PATH: Final = "/v1/pools"
IsOpen = Annotated[bool | None, QueryParameter(name="open", description="Only open ones; false: only ended ones")]


@post("/", summary="Open a pool")
async def open_one(command: Commanded, data: JSONBody[OpenPoolBody]) -> Response[ReceiptBody]:
    """Open a pool of equal nodes at a site."""
    receipt = await open_pool(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


@post("/{pool_id:str}/fail-nodes", status_code=200, operation_id="pools.fail_nodes", summary="Report failed nodes")
async def fail(command: Commanded, pool_id: FromPath[str], data: JSONBody[FailNodesBody]) -> Response[ReceiptBody]:
    """Report, as the provider, that nodes stopped working, or, with `until`, an outage that is over.

    Without `until` it is dated back by an hour at most.
    """
    receipt = await fail_nodes(
        command.handler,
        command.context,
        pool_id,
        incident_id=data.incident_id,
        nodes=data.nodes,
        at=data.at,
        until=data.until,
    )
    return command.answer(receipt)


@post(
    "/{pool_id:str}/restore-nodes", status_code=200, operation_id="pools.restore_nodes", summary="Report repaired nodes"
)
async def restore(
    command: Commanded, pool_id: FromPath[str], data: JSONBody[RestoreNodesBody]
) -> Response[ReceiptBody]:
    """Report that the nodes of an incident work again."""
    receipt = await restore_nodes(command.handler, command.context, pool_id, incident_id=data.incident_id, at=data.at)
    return command.answer(receipt)


@post("/{pool_id:str}/close", status_code=200, summary="Announce the closing of a pool")
async def close(command: Commanded, pool_id: FromPath[str], data: JSONBody[ClosePoolBody]) -> Response[ReceiptBody]:
    """Close a pool: nothing runs after `closes_at`; grants that still run end then.

    That is after 14 days and the notice of its grants. Refused with ``lot_frozen`` while a running auction may match a
    lot of the pool.
    """
    receipt = await announce_closing(
        command.handler,
        command.context,
        pool_id,
        closes_at=data.closes_at,
        reason=data.reason,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@get("/{pool_id:str}", summary="Get a pool")
async def get_one(reader: Read, pool_id: FromPath[str]) -> PoolView:
    """Return a pool of any provider. Its free capacity is under ``/v1/market/capacity``.

    Raises:
        Refusal: ``pool_unknown``.
    """
    async with reader.connect() as connection:
        view = await find_pool(connection, pool_id)
    if view is None:
        raise refuse_unknown("pool", pool_id)
    return view


@get("/", summary="List pools")
async def list_all(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    provider_id: Word = None,
    gpu_class: Word = None,
    region: Word = None,
) -> Page[PoolView]:
    """Return pools by id, with optional filters."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_pools(
            connection, provider_id=provider_id, gpu_class=gpu_class, region=region, after=after, limit=limit + 1
        )
        if not rows:
            await require_known(connection, "gpu_class", gpu_class)
            await require_known(connection, "region", region)
    return build_page(rows, limit, lambda row: row.pool_id)


@get("/incidents", operation_id="pools.list_incidents", summary="List incidents of pools")
async def read_incidents(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    is_open: IsOpen = None,
    created_from: CreatedFrom = None,
    created_before: CreatedBefore = None,
) -> Page[IncidentView]:
    """Return failures of the provider's nodes, the latest first; for the platform, of every provider's."""
    before = parse_cursor(cursor, INT_MAX)
    begin, end = parse_span(created_from, created_before)
    async with reader.connect() as connection:
        rows = await list_incidents(
            connection,
            provider_id=reader.party_id,
            is_open=is_open,
            created_from=begin,
            created_before=end,
            before=before,
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: row.last_sequence)


ROUTER: Final = Router(
    PATH,
    route_handlers=[open_one, fail, restore, close, read_incidents, get_one, list_all],
    tags=["pools"],
    opt={"feature": "pools"},
)
