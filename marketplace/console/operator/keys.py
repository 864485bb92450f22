"""API keys: the list, a new one, and the end of one."""

from datetime import UTC, datetime
from typing import Any, Final

from litestar import Request, Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.parties import IssueKeyBody, KeyView
from marketplace.client import ProblemError
from marketplace.console.desk import Desked
from marketplace.console.forms import parse_form, read_reason

_PATH: Final = "/console/keys"
_PAGE: Final = 50


@get("/")
async def list_all(desk: Desked, cursor: FromQuery[str | None] = None) -> Template:
    """List keys, a page at a time; tokens are never shown again."""
    page = await desk.client.get("/v1/api-keys", Page[KeyView], limit=_PAGE, cursor=cursor)
    older = None if page.next_cursor is None else f"{_PATH}?cursor={page.next_cursor}"
    return desk.show(
        "operator/keys.html",
        keys=page.items,
        names=await desk.load_names(one.party_id for one in page.items),
        page={"older": older, "newer": _PATH if cursor else None},
        wall=datetime.now(UTC),
    )


@post("/new", status_code=200)
async def issue(request: Request[Any, Any, Any], desk: Desked) -> Template:
    """Issue a key, and show its token once."""
    form = await request.form()
    fields = [(name, text) for name, text in form.multi_items() if name != "scopes"]
    fields += [("scopes[]", scope) for scope in str(form.get("scopes") or "").replace(",", " ").split()]
    issued = await desk.client.issue_key(parse_form(fields, IssueKeyBody), key=form.get("key"))
    return desk.show("operator/key_issued.html", issued=issued)


@post("/{key_id:str}/{act:str}")
async def change(
    request: Request[Any, Any, Any], desk: Desked, key_id: FromPath[str], act: FromPath[str]
) -> Response[Any]:
    """Suspend, resume or revoke a key."""
    form = await request.form()
    match act:
        case "suspend":
            await desk.client.suspend_key(key_id, read_reason(form), key=form.get("key"))
        case "resume":
            await desk.client.resume_key(key_id, read_reason(form), key=form.get("key"))
        case "revoke":
            await desk.client.revoke_key(key_id, key=form.get("key"))
        case _:
            raise ProblemError(404, {"code": "act_unknown", "detail": f"there is no act {act!r} on a key"})
    return desk.go(_PATH)


ROUTER: Final = Router("/keys", route_handlers=[list_all, issue, change])
