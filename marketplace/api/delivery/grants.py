"""Grants: awarded capacity; visible to the user, the provider and the equity holder."""

from typing import Annotated, Final, Literal

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.delivery import (
    DegradeGrantBody,
    PrioritiseGrantBody,
    RescheduleGrantBody,
    ResumeGrantBody,
    SubstituteGrantBody,
    TerminateGrantBody,
    TransferGrantBody,
)
from marketplace.api.http.bodies.reasons import TimedReasonBody
from marketplace.api.http.bodies.supply import ResellGrantBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.expanding import GRANTS, expand_rows
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import AtText, Read, Reader, Statuses, Word, answer_versioned, parse_at
from marketplace.api.http.visibility import GRANT
from marketplace.application.delivery.grants import (
    activate_grant,
    degrade_grant,
    pay_stage,
    resume_grant,
    suspend_grant,
    terminate_grant,
    transfer_grant,
)
from marketplace.application.delivery.rescheduling import reschedule_grant
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.metering.allocations import prioritise_grant
from marketplace.application.trading.resale import resell_grant
from marketplace.domain.delivery.grant import Status
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.access.parties import tell_payers
from marketplace.projections.delivery.grants import find_grant, find_grant_at, list_grants, list_grants_at
from marketplace.projections.views.delivery import GrantAtView, GrantView

PATH: Final = "/v1/grants"
Expanded = Annotated[
    list[Literal["statement"]] | None,
    QueryParameter(max_items=1, description="Also answer the latest statement of its usage"),
]
LOTS: Final = "/v1/lots"


async def load_grant(reader: Reader, grant_id: str) -> GrantView:
    """Return a grant that the reader may see.

    Raises:
        Refusal: ``grant_unknown``.
    """
    async with reader.connect() as connection:
        return reader.show(await find_grant(connection, grant_id), GRANT, grant_id)


@post("/{grant_id:str}/activate", status_code=200, summary="Activate a grant")
async def activate(command: Commanded, grant_id: FromPath[str]) -> Response[ReceiptBody]:
    """Record, as the provider, that the capacity is handed over, at the grant's start or later."""
    return command.answer(await activate_grant(command.handler, command.context, grant_id))


@post("/{grant_id:str}/degrade", status_code=200, summary="Report a degraded grant")
async def degrade(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[DegradeGrantBody]
) -> Response[ReceiptBody]:
    """Report, as the provider, that fewer nodes work than were granted, or that fewer worked over a past span.

    Readings of nodes that did not work are not charged, or credited by an adjustment.
    """
    receipt = await degrade_grant(
        command.handler,
        command.context,
        grant_id,
        nodes_available=data.nodes_available,
        at=data.at,
        reason=data.reason,
        until=data.until,
    )
    return command.answer(receipt)


@post("/{grant_id:str}/suspend", status_code=200, summary="Suspend a grant")
async def suspend(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[TimedReasonBody]
) -> Response[ReceiptBody]:
    """Report that no node of a grant works until it is resumed: its provider, or its startup if no meter counts any."""
    receipt = await suspend_grant(command.handler, command.context, grant_id, at=data.at, reason=data.reason)
    return command.answer(receipt)


@post("/{grant_id:str}/resume", status_code=200, summary="Resume a grant")
async def resume(command: Commanded, grant_id: FromPath[str], data: JSONBody[ResumeGrantBody]) -> Response[ReceiptBody]:
    """Report, as the provider, that all nodes of a suspended or degraded grant work again."""
    return command.answer(await resume_grant(command.handler, command.context, grant_id, at=data.at))


@post("/{grant_id:str}/substitute", status_code=200, summary="Move a grant to another pool")
async def substitute(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[SubstituteGrantBody]
) -> Response[ReceiptBody]:
    """Move the rest of a grant to another pool of its provider, at no higher price, as its provider."""
    receipt = await substitute_grant(
        command.handler,
        command.context,
        grant_id,
        pool_id=data.pool_id,
        reason=data.reason,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@post("/{grant_id:str}/reschedule", status_code=200, summary="Shorten or move a grant")
async def reschedule(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[RescheduleGrantBody]
) -> Response[ReceiptBody]:
    """Shorten or move, as its payer, a grant whose site is late for it, or that is dark since its start."""
    receipt = await reschedule_grant(
        command.handler,
        command.context,
        grant_id,
        choice=data.choice,
        start=data.start,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@post("/{grant_id:str}/transfer", status_code=200, summary="Transfer a grant")
async def transfer(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[TransferGrantBody]
) -> Response[ReceiptBody]:
    """Let another cleared startup use the capacity, as the grant's startup, which still pays and owes the equity."""
    auction_ids = await command.list_auctions()
    receipt = await transfer_grant(
        command.handler, command.context, grant_id, startup_id=data.startup_id, auction_ids=auction_ids
    )
    return command.answer(receipt)


@post("/{grant_id:str}/prioritise", status_code=200, summary="Set a grant's priority")
async def prioritise(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[PrioritiseGrantBody]
) -> Response[ReceiptBody]:
    """Set, as its startup, the grant's rank among those that usage is allocated to; the lowest is used first."""
    receipt = await prioritise_grant(command.handler, command.context, grant_id, priority=data.priority)
    return command.answer(receipt)


@post("/{grant_id:str}/resell", summary="Resell unused capacity")
async def resell(command: Commanded, grant_id: FromPath[str], data: JSONBody[ResellGrantBody]) -> Response[ReceiptBody]:
    """Offer nodes of a grant as a lot, as the startup that pays for it. It may use them until they are sold."""
    receipt = await resell_grant(
        command.handler,
        command.context,
        grant_id,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, LOTS)


@post("/{grant_id:str}/stages", status_code=200, operation_id="grants.pay_stage", summary="Pay a stage of a grant")
async def pay_next_stage(command: Commanded, grant_id: FromPath[str]) -> Response[ReceiptBody]:
    """Set aside the cash of the next stage, or of all that have begun, as the startup that pays for a staged grant.

    That happens by itself as the stage begins, if the account has it. 72 hours later delivery is withheld, and the
    grant ends after its notice.
    """
    return command.answer(await pay_stage(command.handler, command.context, grant_id))


@post("/{grant_id:str}/terminate", status_code=200, summary="End a grant early")
async def terminate(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[TerminateGrantBody]
) -> Response[ReceiptBody]:
    """End a grant early, as its startup or provider, after the notice of its terms or for cause.

    Without cause, the side that ends it may owe a fee: its `ends`.
    """
    receipt = await terminate_grant(
        command.handler,
        command.context,
        grant_id,
        at=data.at,
        reason=data.reason,
        for_cause=data.for_cause,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@get("/{grant_id:str}", summary="Get a grant")
async def get_one(reader: Read, grant_id: FromPath[str], expand: Expanded = None) -> Response[GrantView]:
    """Return a grant, to its startup, provider and holder."""
    async with reader.connect() as connection:
        view = reader.show(await find_grant(connection, grant_id), GRANT, grant_id)
        told = await tell_payers(connection, [view], reader.party_id)
        [expanded] = await expand_rows(reader, connection, told, expand, GRANTS)
    return answer_versioned(expanded, expanded.last_sequence)


@get("/{grant_id:str}/history", operation_id="grants.get_at", summary="Get a grant as of a point in the past")
async def get_past(reader: Read, grant_id: FromPath[str], at: AtText = None) -> GrantAtView:
    """Return the grant's changing properties as of `at`.

    Raises:
        Refusal: ``grant_unknown``, also if it was issued later than `at`.
    """
    point = await parse_at(reader, at)
    await load_grant(reader, grant_id)
    async with reader.connect() as connection:
        view = await find_grant_at(connection, grant_id, point)
    if view is None:
        raise refuse_unknown("grant", grant_id)
    return view


@get("/history", operation_id="grants.list_at", summary="List grants as of a point in the past")
async def list_past(
    *, reader: Read, limit: Limit = 100, cursor: Cursor = None, party_id: Word = None, at: AtText = None
) -> Page[GrantAtView]:
    """Return the changing properties of the party's grants as of `at`, by id."""
    point, after, party_id = await parse_at(reader, at), parse_cursor(cursor, ""), reader.narrow(party_id)
    async with reader.connect() as connection:
        rows = await list_grants_at(connection, point, party_id=party_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.grant_id)


@get("/", summary="List grants")
async def list_all(
    *,
    reader: Read,
    listing: List,
    party_id: Word = None,
    status: Statuses[Status] = None,
    expand: Expanded = None,
) -> Page[GrantView]:
    """Return the grants of which the party is the startup, the provider or the holder."""
    party_id = reader.narrow(party_id)
    async with reader.connect() as connection:
        rows = await list_grants(connection, party_id=party_id, status=status, window=listing.window)
        seen = [view for row in rows if (view := GRANT.show(row, reader.party_id)) is not None]
        told = await tell_payers(connection, seen, reader.party_id)
        shown = await expand_rows(reader, connection, told, expand, GRANTS)
    return listing.build_page(rows, shown, lambda row: (row.issued_at, row.grant_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        activate,
        degrade,
        suspend,
        resume,
        substitute,
        reschedule,
        transfer,
        prioritise,
        resell,
        pay_next_stage,
        terminate,
        get_one,
        get_past,
        list_past,
        list_all,
    ],
    tags=["grants"],
    opt={"feature": "grants"},
)
