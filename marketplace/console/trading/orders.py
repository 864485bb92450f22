"""A startup's orders: the list, one order with its history, and a form that quotes while it is filled in."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, get_args

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from events.order import ClassOffer, OrderTerms
from events.types import PrincipalTerms
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client import ProblemError
from marketplace.console.desk import Desk, Desked
from marketplace.console.forms import Filed, Form, parse_form
from marketplace.console.history import load_history
from marketplace.domain.trading.order import Status
from marketplace.projections.views.trading import OrderView

_PATH: Final = "/console/orders"
_PAGE: Final = 100
_OFFERS: Final = 2
_DAYS: Final = 7
_CLASSES_MAX: Final = 3
"""Other classes for which alternatives are asked."""
_REFUSED: Final = 422
_OWN: Final = frozenset({"order_id", "version"})
"""Fields of the form beside its terms: the order that is amended, and the event that changed it last."""
_KIND: Final = "instrument.kind"
_FIELDS: Final = (
    "nodes",
    "gpus_per_node",
    "duration_hours",
    "interconnect",
    "availability_min",
    "notice_hours_min",
    "regions",
    "start_earliest",
    "start_latest",
    "offers",
    "standing",
)
"""The terms that an amendment states; the others stay."""


class Alternative(NamedTuple):
    """A change of an order, what it would cost, and how much less; None where the order itself cannot be served."""

    words: str
    total_usd: Decimal
    less_usd: Decimal | None


@get("/")
async def list_own(
    desk: Desked, status: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> Template:
    """List orders, a page at a time."""
    page = await desk.load_page("/v1/orders", OrderView, _PATH, cursor, {"status": status}, limit=_PAGE)
    names = await desk.load_names({one.startup_id for one in page.items} - {desk.principal.party_id})
    shown = {"page": page, "names": names, "status": status, "statuses": get_args(Status)}
    return desk.show("trading/orders.html", live="aggregate=order", **shown)


@get("/new")
async def show_form(desk: Desked) -> Template:
    """Show the form of a new order."""
    start = (desk.now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    classes = await desk.client.market.list_gpu_classes()
    latest = start + timedelta(days=_DAYS)
    terms = OrderTerms(
        nodes=1,
        duration_hours=24,
        start_earliest=start,
        start_latest=latest,
        offers=(_offer(next(iter(classes), "")),),
    )
    return await _show_form(desk, terms, classes, None)


@get("/{order_id:str}/amend")
async def show_amendment(desk: Desked, order_id: FromPath[str]) -> Template | Response[Any]:
    """Show the form that amends an order; lead to the order where it is not open."""
    order = await desk.client.orders.get(order_id)
    if order.status != "open":
        return desk.go(f"{_PATH}/{order_id}")
    return await _show_form(desk, order.terms, await desk.client.market.list_gpu_classes(), order)


def _offer(gpu_class: str) -> ClassOffer:
    return ClassOffer(gpu_class=gpu_class, cash_usd_per_gpu_hour=Decimal("2.50"), equity_usd_per_gpu_hour=Decimal(0))


async def _show_form(desk: Desk, terms: OrderTerms, classes: list[str], order: OrderView | None) -> Template:
    mandates = [one async for one in desk.client.market.list_mandates()] if order is None else []
    regions = sorted({one.region async for one in desk.client.pools.list()})
    return desk.show(
        "trading/order_form.html",
        terms=terms,
        order=order,
        classes=sorted({*classes, *(one.gpu_class for one in terms.offers)}),
        regions=sorted({*regions, *terms.regions}),
        offers=max(_OFFERS, len(terms.offers)),
        mandates=mandates,
        names=await desk.load_names(one.holder_id for one in mandates),
    )


@post("/quote")
async def quote(desk: Desked, form: Filed) -> Template:
    """Say what the form's order would need to win now."""
    terms = await _read_terms(form, desk)
    answer = await desk.client.quotes.ask(startup_id=desk.party_id, terms=terms, order_id=form.get("order_id") or None)
    return desk.show("trading/quote.part.html", quote=answer)


@post("/alternatives")
async def show_alternatives(desk: Desked, form: Filed) -> Template:
    """Say which changes of the form's order would cost less."""
    terms = await _read_terms(form, desk)
    classes = await desk.client.market.list_gpu_classes()
    order_id = form.get("order_id") or None
    answers = await asyncio.gather(
        *(_find_cost(desk, one, order_id) for one in (terms, *(changed for _, changed in _change(terms, classes))))
    )
    tried = any(not isinstance(one, ProblemError) for one in answers)
    own, *others = [None if isinstance(one, ProblemError) else one for one in answers]
    found = [
        Alternative(words, cost, None if own is None else own - cost)
        for (words, _), cost in zip(_change(terms, classes), others, strict=True)
        if cost is not None and (own is None or cost < own)
    ]
    found.sort(key=lambda one: one.total_usd)
    return desk.show("trading/alternatives.part.html", alternatives=found, own=own, tried=tried)


def _change(terms: OrderTerms, classes: list[str]) -> Iterator[tuple[str, OrderTerms]]:
    """Yield changes of an order that may cost less, in words, with its terms."""
    later = terms.start_latest + timedelta(days=_DAYS)
    yield f"start up to {_DAYS} days later", msgspec.structs.replace(terms, start_latest=later, expires_at=None)
    if terms.regions:
        yield "in any region", msgspec.structs.replace(terms, regions=())
    if terms.interconnect != "any":
        yield "on any interconnect", msgspec.structs.replace(terms, interconnect="any")
    asked = {one.gpu_class for one in terms.offers}
    for name in [one for one in classes if one not in asked][:_CLASSES_MAX]:
        offer = msgspec.structs.replace(terms.offers[0], gpu_class=name)
        yield f"on {name}", msgspec.structs.replace(terms, offers=(offer,))


async def _find_cost(desk: Desk, terms: OrderTerms, order_id: str | None) -> Decimal | ProblemError | None:
    """Return the least that an order costs now; None if nothing serves it, or why it cannot be placed."""
    try:
        answer = await desk.client.quotes.ask(startup_id=desk.party_id, terms=terms, order_id=order_id)
    except ProblemError as problem:
        if problem.status != _REFUSED:
            raise
        return problem
    return min((one.total_usd for one in answer.placements), default=None)


@post("/new")
async def place(desk: Desked, form: Filed) -> Response[Any]:
    """Place the form's order. The form's own key makes a second press the same command."""
    receipt = await desk.client.orders.place(
        startup_id=desk.party_id, terms=await _read_terms(form, desk), key=form.key
    )
    return desk.go(f"{_PATH}/{receipt.id}")


@post("/{order_id:str}/amend")
async def amend(desk: Desked, form: Filed, order_id: FromPath[str]) -> Response[Any]:
    """Amend an open order, unless it has changed since the form was shown."""
    terms = await _read_terms(form, desk)
    version = form.get("version")
    if_match = int(version) if version.isdecimal() else None
    await desk.client.orders.amend(order_id, terms=terms, key=form.key, if_match=if_match)
    return desk.go(f"{_PATH}/{order_id}")


async def _read_terms(form: Form, desk: Desk) -> OrderTerms:
    """Return the form's terms; what the form has no field for stays as it is in the order that is amended."""
    terms = parse_form(select_fields(form.fields), OrderTerms)
    if not (order_id := form.get("order_id")):
        return terms
    before = (await desk.client.orders.get(order_id)).terms
    return msgspec.structs.replace(before, **{name: getattr(terms, name) for name in _FIELDS})


def select_fields(given: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the fields of the order's terms; of the instrument, those that its kind has."""
    fields = list(given)
    kind = next((text for name, text in fields if name == _KIND), "")
    wanted = next((one.__struct_fields__ for one in get_args(PrincipalTerms) if one.__struct_config__.tag == kind), ())
    for name, text in fields:
        folder, _, member = name.rpartition(".")
        if name not in _OWN and (folder != "instrument" or name == _KIND or member in wanted):
            yield name, text


@get("/{order_id:str}")
async def show(desk: Desked, order_id: FromPath[str]) -> Template:
    """Show one order with its decisions."""
    order = await desk.client.orders.get(order_id)
    decisions = [one async for one in desk.client.orders.list_decisions(order_id)]
    steps = await load_history(desk, order_id)
    shown = {"order": order, "decisions": decisions, "steps": steps}
    return desk.show("trading/order.html", live=f"aggregate_id={order_id}", **shown)


@post("/{order_id:str}/cancel")
async def cancel(desk: Desked, form: Filed, order_id: FromPath[str]) -> Response[Any]:
    """Cancel an open order."""
    await desk.client.orders.cancel(order_id, reason=form.read(ReasonBody).reason, key=form.key)
    return desk.go(f"{_PATH}/{order_id}")


ROUTER: Final = Router(
    "/orders",
    route_handlers=[list_own, show_form, show_amendment, quote, show_alternatives, place, amend, show, cancel],
)
