"""The event explorer: the log with filters, and one event with its cause and its effects."""

from typing import Any, Final

import msgspec
from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template
from litestar.status_codes import HTTP_303_SEE_OTHER

from marketplace.api.http.bodies.feed import FeedItem, FeedPage
from marketplace.console.desk import Desked

_PATH: Final = "/console/events"
_PAGE: Final = 50
_FILTERS: Final = ("type", "aggregate", "aggregate_id", "party_id")
_EFFECTS_WITHIN: Final = 1_000
"""How many later events are looked through for what followed from one."""


@get("/")
async def explore(request: Request[Any, Any, Any], desk: Desked) -> Template:
    """List events, by default the latest."""
    query = request.query_params
    filters = {name: query[name].strip() for name in _FILTERS if query.get(name, "").strip()}
    after = int(query["after"]) if query.get("after", "").isdecimal() else None
    if after is None:
        head = (await desk.client.read_events(0, 1)).head
        after = 0 if filters else max(0, head - _PAGE)
    page = await desk.client.get("/v1/events", FeedPage, after=after, limit=_PAGE, **filters)
    return desk.show("operator/events.html", events=page.items, page=page, filters=filters, after=after)


@get("/jump")
async def jump(sequence: FromQuery[int]) -> Redirect:
    """Lead to the event at a sequence."""
    return Redirect(f"{_PATH}/{sequence}", status_code=HTTP_303_SEE_OTHER)


@get("/{sequence:int}")
async def show(desk: Desked, sequence: FromPath[int]) -> Template:
    """Show one event, and what the same command and its followers did."""
    page = await desk.client.read_events(sequence - 1, _EFFECTS_WITHIN)
    found = next((one for one in page.items if one.sequence == sequence), None)
    related = [] if found is None else [one for one in page.items if _is_effect(one, found)]
    body = "" if found is None else msgspec.json.format(msgspec.json.encode(found.event), indent=2).decode()
    return desk.show("operator/event.html", event=found, sequence=sequence, body=body, related=related)


def _is_effect(one: FeedItem, of: FeedItem) -> bool:
    cause: Any = of.event
    return one.sequence != of.sequence and (
        one.event.causationid in (cause.causationid, cause.id) or one.event.correlationid == cause.correlationid
    )


ROUTER: Final = Router("/events", route_handlers=[explore, jump, show])
