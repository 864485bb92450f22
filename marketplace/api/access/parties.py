"""Parties: registration, clearance and suspension are for the platform; a party sees itself."""

from typing import Annotated, Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from events.types import Role
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.parties import ClearPartyBody, RegisterPartyBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.paging import Cursor, Limit, build_page, parse_cursor
from marketplace.api.http.queries import Read, Word, answer_versioned
from marketplace.application.access.parties import clear_party, register_party, suspend_party
from marketplace.projections.access.parties import find_party, list_parties
from marketplace.projections.views.access import PartyView

PATH: Final = "/v1/parties"


@post("/", summary="Register a party and open its account")
async def register(command: Commanded, data: JSONBody[RegisterPartyBody]) -> Response[ReceiptBody]:
    """Register an organisation. Its account has the same id with the prefix ``acc_``."""
    receipt = await register_party(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


@post("/{party_id:str}/clear", status_code=200, summary="Clear a party")
async def clear(command: Commanded, party_id: FromPath[str], data: JSONBody[ClearPartyBody]) -> Response[ReceiptBody]:
    """Record the checks that a party has passed. It may trade from then on."""
    return command.answer(await clear_party(command.handler, command.context, party_id, checks=data.checks))


@post("/{party_id:str}/suspend", status_code=200, summary="Suspend a party")
async def suspend(command: Commanded, party_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Suspend a party. What it has begun continues."""
    return command.answer(await suspend_party(command.handler, command.context, party_id, reason=data.reason))


@get("/{party_id:str}", summary="Get a party")
async def get_one(reader: Read, party_id: FromPath[str]) -> Response[PartyView]:
    """Return a party; a tenant sees itself."""
    async with reader.connect() as connection:
        view = await find_party(connection, party_id)
    view = reader.require(view, "party", party_id, lambda row: (row.party_id,))
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List parties")
async def list_all(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    role: Annotated[Role | None, QueryParameter()] = None,
    status: Word = None,
) -> Page[PartyView]:
    """Return parties by id; a tenant sees itself."""
    async with reader.connect() as connection:
        if reader.party_id is not None:
            view = await find_party(connection, reader.party_id)
            return Page(items=[] if view is None else [view])
        after = parse_cursor(cursor, "")
        rows = await list_parties(connection, role=role, status=status, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.party_id)


ROUTER: Final = Router(
    PATH, route_handlers=[register, clear, suspend, get_one, list_all], tags=["parties"], opt={"feature": "parties"}
)
