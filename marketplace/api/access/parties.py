"""Parties: registration, clearance and suspension are for the platform; a party sees itself."""

from typing import Annotated, Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from events.types import Role
from marketplace.api.http.asked import answer_asked
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.parties import (
    ClearPartyBody,
    RegisterPartyBody,
    RelationBody,
    RoleBody,
    StageBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import Read, Statuses, answer_versioned
from marketplace.api.http.visibility import PARTY
from marketplace.application.access.parties import (
    add_role,
    clear_party,
    end_role_request,
    record_stage,
    register_party,
    suspend_party,
)
from marketplace.application.access.relations import declare_relation, end_relation
from marketplace.domain.party import Status
from marketplace.projections.access.parties import find_party, list_names, list_parties, list_relations
from marketplace.projections.views.access import PartyName, PartyView, RelationView

PATH: Final = "/v1/parties"
NAMES_MAX: Final = 100


@post("/", summary="Register a party and open its account")
async def register(command: Commanded, data: JSONBody[RegisterPartyBody]) -> Response[ReceiptBody]:
    """Register an organisation, as the platform, and open its account, which has its id with the prefix ``acc_``."""
    receipt = await register_party(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


@post("/{party_id:str}/clear", status_code=200, summary="Clear a party")
async def clear(command: Commanded, party_id: FromPath[str], data: JSONBody[ClearPartyBody]) -> Response[ReceiptBody]:
    """Record, as the platform, the checks that a party has passed. It may trade from then on."""
    return command.answer(await clear_party(command.handler, command.context, party_id, checks=data.checks))


@post("/{party_id:str}/suspend", status_code=200, summary="Suspend a party")
async def suspend(command: Commanded, party_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Suspend a party, as the platform. It can begin nothing new; what it has begun continues."""
    return command.answer(await suspend_party(command.handler, command.context, party_id, reason=data.reason))


@post(
    "/{party_id:str}/roles",
    status_code=200,
    operation_id="parties.add_role",
    summary="Add a role to a party, or ask for it",
)
async def add(command: Commanded, party_id: FromPath[str], data: JSONBody[RoleBody]) -> Response[ReceiptBody]:
    """Give a party another role, as the platform. As the party, ask the platform for it."""
    receipt = await add_role(command.handler, command.context, party_id, role=data.role, reason=data.reason)
    return command.answer(receipt)


@post("/{party_id:str}/roles/refuse", status_code=200, summary="Refuse or withdraw a requested role")
async def refuse_role(command: Commanded, party_id: FromPath[str], data: JSONBody[RoleBody]) -> Response[ReceiptBody]:
    """Refuse a role that a party asked for, as the platform. As the party, withdraw the request."""
    receipt = await end_role_request(command.handler, command.context, party_id, role=data.role, reason=data.reason)
    return command.answer(receipt)


@post(
    "/{party_id:str}/stage",
    status_code=200,
    operation_id="parties.record_stage",
    summary="Record the stage of a company",
)
async def stage(command: Commanded, party_id: FromPath[str], data: JSONBody[StageBody]) -> Response[ReceiptBody]:
    """Record how far a company has come, as the platform. Mandates may take only some stages."""
    return command.answer(await record_stage(command.handler, command.context, party_id, stage=data.stage))


@post(
    "/{party_id:str}/relations",
    status_code=200,
    operation_id="parties.declare_relation",
    summary="Declare an owner or affiliate",
)
async def relate(command: Commanded, party_id: FromPath[str], data: JSONBody[RelationBody]) -> Response[ReceiptBody]:
    """State who owns a party or is its affiliate, as the party; record what was found, as the platform.

    A party states nothing
    new while an auction has bound orders. If its account limits one person, this waits for a second one (202).
    """
    stated = msgspec.structs.asdict(data)
    auction_ids = await command.list_auctions()
    receipt = await declare_relation(command.handler, command.context, party_id, **stated, auction_ids=auction_ids)
    return await answer_asked(command, receipt, command.principal.party_id) or command.answer(receipt)


@post(
    "/{party_id:str}/relations/{relation_id:str}/end",
    status_code=200,
    operation_id="parties.end_relation",
    summary="End a relation",
)
async def unrelate(
    command: Commanded, party_id: FromPath[str], relation_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """End a relation, as the platform; as a party, take back what it alone stated. Earlier trades stay marked."""
    receipt = await end_relation(command.handler, command.context, party_id, relation_id, reason=data.reason)
    return command.answer(receipt)


@get("/{party_id:str}/relations", operation_id="parties.list_relations", summary="List a party's relations")
async def get_relations(
    reader: Read, party_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[RelationView]:
    """Return the relations of a party by id, ended ones too; a tenant sees its own."""
    async with reader.connect() as connection:
        view = await find_party(connection, party_id)
        reader.show(view, PARTY, party_id)
        rows = await list_relations(connection, party_id, after=parse_cursor(cursor, ""), limit=limit + 1)
    return build_page(rows, limit, lambda row: row.relation_id)


@get("/names", operation_id="parties.list_names", summary="List names of parties")
async def read_names(
    *,
    reader: Read,
    party_id: Annotated[
        list[str] | None, QueryParameter(max_items=NAMES_MAX, description="Only of these parties")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[PartyName]:
    """Return the names of parties by id, without those that the reader may not name.

    A tenant names providers with a site or pool, holders of open mandates, and the other sides of what it has.
    """
    async with reader.connect() as connection:
        rows = await list_names(
            connection,
            reader_id=reader.party_id,
            party_ids=party_id,
            after=parse_cursor(cursor, ""),
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: row.party_id)


@get("/{party_id:str}", summary="Get a party")
async def get_one(reader: Read, party_id: FromPath[str]) -> Response[PartyView]:
    """Return a party; a tenant sees itself."""
    async with reader.connect() as connection:
        view = await find_party(connection, party_id)
    view = reader.show(view, PARTY, party_id)
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List parties")
async def list_all(
    *,
    reader: Read,
    listing: List,
    role: Annotated[Role | None, QueryParameter()] = None,
    status: Statuses[Status] = None,
) -> Page[PartyView]:
    """Return parties by id; a tenant sees itself."""
    async with reader.connect() as connection:
        if reader.party_id is not None:
            view = await find_party(connection, reader.party_id)
            return Page(items=[] if view is None else [view])
        rows = await list_parties(connection, role=role, status=status, window=listing.window)
    return listing.build_page(rows, rows, lambda row: (row.registered_at, row.party_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        register,
        clear,
        suspend,
        add,
        refuse_role,
        stage,
        relate,
        unrelate,
        get_relations,
        read_names,
        get_one,
        list_all,
    ],
    tags=["parties"],
    opt={"feature": "parties"},
)
