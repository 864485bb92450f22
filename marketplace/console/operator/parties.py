"""Parties: the list, and one party with its relations and what the operator decides about it."""

from typing import Any, Final, get_args

from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from events.types import Role, Stage
from marketplace.api.http.bodies.parties import RoleBody, StageBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.console.desk import Desked
from marketplace.console.forms import Filed, refuse_act
from marketplace.domain.party import Status
from marketplace.projections.views.access import PartyView

PATH: Final = "/console/parties"
_PAGE: Final = 50


@get("/")
async def list_all(
    desk: Desked,
    status: FromQuery[str | None] = None,
    role: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Template:
    """List parties, a page at a time."""
    chosen = {"status": status, "role": role}
    page = await desk.load_page("/v1/parties", PartyView, PATH, cursor, chosen, limit=_PAGE)
    return desk.show(
        "operator/parties.html",
        live="aggregate=party",
        page=page,
        status=status,
        role=role,
        statuses=get_args(Status),
        roles=get_args(Role),
    )


@get("/{party_id:str}")
async def show(desk: Desked, party_id: FromPath[str]) -> Template:
    """Show one party."""
    party = await desk.client.parties.get(party_id)
    relations = [one async for one in desk.client.parties.list_relations(party_id)]
    names = await desk.load_names(one.related_id for one in relations)
    return desk.show(
        "operator/party.html",
        live=f"aggregate_id={party_id}",
        party=party,
        relations=relations,
        names=names,
        roles=get_args(Role),
        stages=get_args(Stage),
    )


@post("/{party_id:str}/{act:str}")
async def decide(desk: Desked, form: Filed, party_id: FromPath[str], act: FromPath[str]) -> Response[Any]:
    """Clear or suspend a party, decide about a role, or record its stage."""
    client, key = desk.client, form.key
    match act:
        case "clear":
            checks = tuple(part.strip() for part in form.get("checks").split(",") if part.strip())
            await client.parties.clear(party_id, checks=checks, key=key)
        case "suspend":
            await client.parties.suspend(party_id, reason=form.read(ReasonBody).reason, key=key)
        case "add-role":
            body = form.read(RoleBody)
            await client.parties.add_role(party_id, role=body.role, reason=body.reason, key=key)
        case "refuse-role":
            body = form.read(RoleBody)
            await client.parties.refuse_role(party_id, role=body.role, reason=body.reason, key=key)
        case "stage":
            await client.parties.record_stage(party_id, stage=form.read(StageBody).stage, key=key)
        case _:
            raise refuse_act(act, "party")
    return desk.go(f"{PATH}/{party_id}")


ROUTER: Final = Router("/parties", route_handlers=[list_all, show, decide])
