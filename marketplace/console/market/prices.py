"""Market data: the index of each GPU class with its history, public list prices, and depth.

The page is open without a key where the operator allows it. It shows nothing of single parties.
"""

from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Request, Router, get
from litestar.params import FromQuery
from litestar.response import Template

from marketplace.api.http.bodies.market import PublicMarket
from marketplace.client import ProblemError
from marketplace.console.desk import Door, SignedOut, provide_desk
from marketplace.plots.history import render_history

_open_desk: Final = asynccontextmanager(provide_desk)


@get("/")
async def show(request: Request[Any, Any, Any], gpu_class: FromQuery[str | None] = None) -> Template:
    """Show a class, to a session or to everybody.

    Raises:
        SignedOut: There is no session, and the operator does not allow it without.
    """
    try:
        async with _open_desk(request) as desk:
            shown = _describe(await desk.client.market.get_public(gpu_class=gpu_class))
            return desk.show("market/prices.html", live="aggregate=auction", **shown)
    except SignedOut:
        door: Door = request.app.state["door"]
        address = request.scope.get("client")
        async with door.open_public_client(address) as client:
            try:
                found = await client.market.get_public(gpu_class=gpu_class)
            except ProblemError as problem:
                if problem.code == "credentials_missing":
                    raise SignedOut from None
                raise
        return Template("market/prices.html", context={"desk": None, **_describe(found)})


def _describe(found: PublicMarket) -> dict[str, Any]:
    latest = next((one for one in reversed(found.index) if one.index_usd_per_gpu_hour is not None), None)
    has_points = any(one.index_usd_per_gpu_hour is not None or one.list_prices for one in found.index)
    chart = render_history(found.gpu_class, found.index) if found.gpu_class is not None and has_points else ""
    return {"market": found, "latest": latest, "today": found.index[-1] if found.index else None, "chart": chart}


ROUTER: Final = Router("/market", route_handlers=[show])
