"""Warrants of a company: what has vested, and the form to exercise it."""

from typing import Any, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.issuers import ExerciseWarrantBody
from marketplace.console.desk import Desked
from marketplace.console.forms import Filed

_PATH: Final = "/console/cap-tables"


@get("/{issuer_id:str}/warrants")
async def list_all(desk: Desked, issuer_id: FromPath[str]) -> Template:
    """List the warrants of a company that the key sees: all for the company, its own for a holder."""
    issuer = await desk.client.issuers.get(issuer_id)
    warrants = [one async for one in desk.client.warrants.list(issuer_id)]
    names = await desk.load_names(one.holder_id for one in warrants)
    shown = {"issuer": issuer, "warrants": warrants, "names": names}
    return desk.show("equity/warrants.html", live=f"aggregate_id={issuer_id}", **shown)


@post("/{issuer_id:str}/warrants/{warrant_id:str}/exercise")
async def exercise(desk: Desked, form: Filed, issuer_id: FromPath[str], warrant_id: FromPath[str]) -> Response[Any]:
    """Exercise what has vested of a warrant, once the holder has confirmed it."""
    form.require_confirmation()
    await desk.client.warrants.exercise(issuer_id, warrant_id, **asdict(form.read(ExerciseWarrantBody)), key=form.key)
    return desk.go(f"{_PATH}/{issuer_id}/warrants")


ROUTER: Final = Router("/cap-tables", route_handlers=[list_all, exercise])
