"""Warrants of a company: what has vested, and the form to exercise it."""

from typing import Any, Final

import uuid_utils
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template

from marketplace.api.http.bodies.issuers import ExerciseWarrantBody
from marketplace.client import ProblemError
from marketplace.console.desk import Desked
from marketplace.console.forms import parse_form

_PATH: Final = "/console/cap-tables"
_CONFIRM: Final = "confirm"


@get("/{issuer_id:str}/warrants")
async def list_all(desk: Desked, issuer_id: FromPath[str]) -> Template:
    """List the warrants of a company that the key sees: all for the company, its own for a holder."""
    issuer = await desk.client.get_issuer(issuer_id)
    warrants = [one async for one in desk.client.list_warrants(issuer_id)]
    shown = {"issuer": issuer, "warrants": warrants, "key": str(uuid_utils.uuid7())}
    return desk.show("equity/warrants.html", live=f"aggregate_id={issuer_id}", **shown)


@post("/{issuer_id:str}/warrants/{warrant_id:str}/exercise")
async def exercise(
    request: Request[Any, Any, Any], desk: Desked, issuer_id: FromPath[str], warrant_id: FromPath[str]
) -> Response[Any]:
    """Exercise what has vested of a warrant, once the holder has confirmed it."""
    form = await request.form()
    if form.get(_CONFIRM) != "yes":
        raise ProblemError(422, {"code": "form_invalid", "detail": "tick the box that confirms it, and send it again"})
    body = parse_form(((name, text) for name, text in form.multi_items() if name != _CONFIRM), ExerciseWarrantBody)
    await desk.client.exercise_warrant(issuer_id, warrant_id, body, key=form.get("key"))
    return desk.go(f"{_PATH}/{issuer_id}/warrants")


ROUTER: Final = Router("/cap-tables", route_handlers=[list_all, exercise])
