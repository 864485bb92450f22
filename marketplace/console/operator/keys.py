"""API keys: the list, a new one, and the end of one."""

from typing import Any, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.parties import IssueKeyBody, KeyView
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.console.desk import Desked
from marketplace.console.forms import Filed, parse_form, refuse_act

_PATH: Final = "/console/keys"
_PAGE: Final = 50


@get("/")
async def list_all(desk: Desked, cursor: FromQuery[str | None] = None) -> Template:
    """List keys, a page at a time; tokens are never shown again."""
    page = await desk.load_page("/v1/api-keys", KeyView, _PATH, cursor, limit=_PAGE)
    return desk.show(
        "operator/keys.html",
        live="aggregate=command",
        names=await desk.load_names(one.party_id for one in page.items),
        page=page,
    )


@post("/new", status_code=200)
async def issue(desk: Desked, form: Filed) -> Template:
    """Issue a key, and show its token once."""
    fields = [one for one in form.fields if one[0] != "scopes"]
    fields += [("scopes[]", scope) for scope in form.get("scopes").replace(",", " ").split()]
    issued = await desk.client.api_keys.issue(**asdict(parse_form(fields, IssueKeyBody)), key=form.key)
    return desk.show("operator/key_issued.html", issued=issued)


@post("/{key_id:str}/{act:str}")
async def change(desk: Desked, form: Filed, key_id: FromPath[str], act: FromPath[str]) -> Response[Any]:
    """Suspend, resume or revoke a key."""
    match act:
        case "suspend":
            await desk.client.api_keys.suspend(key_id, reason=form.read(ReasonBody).reason, key=form.key)
        case "resume":
            await desk.client.api_keys.resume(key_id, reason=form.read(ReasonBody).reason, key=form.key)
        case "revoke":
            await desk.client.api_keys.revoke(key_id, key=form.key)
        case _:
            raise refuse_act(act, "key")
    return desk.go(_PATH)


ROUTER: Final = Router("/keys", route_handlers=[list_all, issue, change])
