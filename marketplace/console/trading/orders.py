"""A startup's orders: the list, one order with its history, and a form that quotes while it is filled in."""

from datetime import timedelta
from typing import Any, Final, get_args

import uuid_utils
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from events.order import OrderTerms
from marketplace.api.http.bodies.answers import Page
from marketplace.api.trading.orders import Status
from marketplace.console.desk import Desked
from marketplace.console.forms import parse_form
from marketplace.projections.views.trading import OrderView

_PATH: Final = "/console/orders"
_PAGE: Final = 100
_OFFERS: Final = 2
_DAYS: Final = 7


@get("/")
async def list_own(
    desk: Desked, status: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> Template:
    """List orders, a page at a time."""
    query: dict[str, Any] = {"limit": _PAGE, "cursor": cursor, "status": status or None}
    page = await desk.client.get("/v1/orders", Page[OrderView], **query)
    older = None if page.next_cursor is None else f"{_PATH}?cursor={page.next_cursor}&status={status or ''}"
    pages = {"older": older, "newer": _PATH if cursor else None}
    return desk.show("trading/orders.html", orders=page.items, status=status, page=pages, statuses=get_args(Status))


@get("/new")
async def show_form(desk: Desked) -> Template:
    """Show the form of a new order."""
    start = (desk.now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    classes = await desk.client.list_gpu_classes()
    mandates = [one async for one in desk.client.list_open_mandates()]
    latest, key = start + timedelta(days=_DAYS), str(uuid_utils.uuid7())
    shown = {"classes": classes, "start": start, "latest": latest, "offers": _OFFERS, "mandates": mandates, "key": key}
    return desk.show("trading/order_form.html", **shown)


@post("/quote")
async def quote(request: Request[Any, Any, Any], desk: Desked) -> Template:
    """Say what the form's order would need to win now."""
    terms = parse_form((await request.form()).multi_items(), OrderTerms)
    answer = await desk.client.ask_quote(desk.party_id, terms)
    return desk.show("trading/quote.part.html", quote=answer)


@post("/new")
async def place(request: Request[Any, Any, Any], desk: Desked) -> Response[Any]:
    """Place the form's order. The form's own key makes a second press the same command."""
    form = await request.form()
    terms = parse_form(form.multi_items(), OrderTerms)
    receipt = await desk.client.place_order(desk.party_id, terms, key=form.get("key"))
    return desk.go(f"{_PATH}/{receipt.id}")


@get("/{order_id:str}")
async def show(desk: Desked, order_id: FromPath[str]) -> Template:
    """Show one order with its decisions."""
    order = await desk.client.get_order(order_id)
    decisions = [one async for one in desk.client.list_order_decisions(order_id)]
    return desk.show("trading/order.html", order=order, decisions=decisions)


@post("/{order_id:str}/cancel")
async def cancel(request: Request[Any, Any, Any], desk: Desked, order_id: FromPath[str]) -> Response[Any]:
    """Cancel an open order."""
    form = await request.form()
    await desk.client.cancel_order(order_id, str(form.get("reason") or ""))
    return desk.go(f"{_PATH}/{order_id}")


ROUTER: Final = Router("/orders", route_handlers=[list_own, show_form, quote, place, show, cancel])
