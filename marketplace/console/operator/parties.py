"""Parties: the list, and one party with its relations and what the operator decides about it."""

from typing import Any, Final, get_args

from litestar import Request, Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from events.types import Role, Stage
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.parties import RoleBody, StageBody
from marketplace.client import ProblemError
from marketplace.console.desk import Desked
from marketplace.console.forms import parse_form, read_reason
from marketplace.projections.views.access import PartyView

PATH: Final = "/console/parties"
_PAGE: Final = 50
_STATUSES: Final = ("registered", "cleared", "suspended")


@get("/")
async def list_all(
    desk: Desked,
    status: FromQuery[str | None] = None,
    role: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Template:
    """List parties, a page at a time."""
    query: dict[str, Any] = {"limit": _PAGE, "cursor": cursor, "status": status or None, "role": role or None}
    page = await desk.client.get("/v1/parties", Page[PartyView], **query)
    chosen = f"status={status or ''}&role={role or ''}"
    older = None if page.next_cursor is None else f"{PATH}?cursor={page.next_cursor}&{chosen}"
    return desk.show(
        "operator/parties.html",
        live="aggregate=party",
        parties=page.items,
        page={"older": older, "newer": f"{PATH}?{chosen}" if cursor else None},
        status=status,
        role=role,
        statuses=_STATUSES,
        roles=get_args(Role),
    )


@get("/{party_id:str}")
async def show(desk: Desked, party_id: FromPath[str]) -> Template:
    """Show one party."""
    party = await desk.client.get_party(party_id)
    relations = [one async for one in desk.client.list_relations(party_id)]
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
async def decide(
    request: Request[Any, Any, Any], desk: Desked, party_id: FromPath[str], act: FromPath[str]
) -> Response[Any]:
    """Clear or suspend a party, decide about a role, or record its stage."""
    form = await request.form()
    fields, key, client = form.multi_items(), form.get("key"), desk.client
    match act:
        case "clear":
            checks = tuple(part.strip() for part in str(form.get("checks") or "").split(",") if part.strip())
            await client.clear_party(party_id, checks, key=key)
        case "suspend":
            await client.suspend_party(party_id, read_reason(form), key=key)
        case "add-role":
            body = parse_form(fields, RoleBody)
            await client.add_role(party_id, body.role, body.reason, key=key)
        case "refuse-role":
            body = parse_form(fields, RoleBody)
            await client.refuse_role(party_id, body.role, body.reason, key=key)
        case "stage":
            await client.record_stage(party_id, parse_form(fields, StageBody).stage, key=key)
        case _:
            raise ProblemError(404, {"code": "act_unknown", "detail": f"there is no act {act!r} on a party"})
    return desk.go(f"{PATH}/{party_id}")


ROUTER: Final = Router("/parties", route_handlers=[list_all, show, decide])
