"""One lot: its ask against the market's curve, what it sold, and how to reprice, pause or withdraw it."""

from typing import Any, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template
from msgspec.structs import asdict

from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.supply import RepriceLotBody
from marketplace.console.desk import Desk, Desked
from marketplace.console.forms import Filed
from marketplace.console.history import load_history
from marketplace.console.supply.curves import draw_market, list_asks
from marketplace.projections.views.supply import LotView

PATH: Final = "/console/supply/lots"
_STEPS: Final = 3
"""The form has room for so many further asks, and for all that the lot has."""


@get("/{lot_id:str}")
async def show(desk: Desked, lot_id: FromPath[str]) -> Template:
    """Show one lot."""
    lot = await desk.client.lots.get(lot_id)
    return desk.show(
        "supply/lot.html",
        live="aggregate=lot&aggregate=auction",
        lot=lot,
        asks=list_asks(lot),
        market=None if lot.gpu_class is None else await draw_market(desk, lot.gpu_class, [lot]),
        steps=await load_history(desk, lot_id),
        further=max(_STEPS, len(lot.further_asks)),
        acts=_list_acts(desk, lot),
    )


@post("/{lot_id:str}/reprice")
async def reprice(desk: Desked, form: Filed, lot_id: FromPath[str]) -> Response[Any]:
    """Replace the lot's asks by those of the form."""
    await desk.client.lots.reprice(lot_id, **asdict(form.read(RepriceLotBody)), key=form.key)
    return desk.go(f"{PATH}/{lot_id}")


@post("/{lot_id:str}/pause")
async def pause(desk: Desked, form: Filed, lot_id: FromPath[str]) -> Response[Any]:
    """Pause the lot: until it is resumed, it takes no new orders."""
    await desk.client.lots.pause(lot_id, reason=form.read(ReasonBody).reason, key=form.key)
    return desk.go(f"{PATH}/{lot_id}")


@post("/{lot_id:str}/resume")
async def resume(desk: Desked, form: Filed, lot_id: FromPath[str]) -> Response[Any]:
    """Resume a paused lot: it takes new orders again."""
    await desk.client.lots.resume(lot_id, key=form.key)
    return desk.go(f"{PATH}/{lot_id}")


@post("/{lot_id:str}/withdraw")
async def withdraw(desk: Desked, form: Filed, lot_id: FromPath[str]) -> Response[Any]:
    """Take the lot off the market for good."""
    await desk.client.lots.withdraw(lot_id, reason=form.read(ReasonBody).reason, key=form.key)
    return desk.go(f"{PATH}/{lot_id}")


def _list_acts(desk: Desk, lot: LotView) -> set[str]:
    if lot.provider_id != desk.principal.party_id or not desk.may("lots:write"):
        return set()
    if lot.status == "withdrawn" or lot.end <= desk.now:
        return set()
    return {"reprice", "withdraw", "pause" if lot.status == "listed" else "resume"}


ROUTER: Final = Router("/supply/lots", route_handlers=[show, reprice, pause, resume, withdraw])
