"""The event explorer: the log with filters, and one event with its cause and its effects."""

from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template
from litestar.status_codes import HTTP_303_SEE_OTHER

from events.registry import AGGREGATES, EVENT_TYPES
from marketplace.api.http.bodies.feed import ChainCommand, ChainEvent, FeedPage
from marketplace.client import ProblemError
from marketplace.console.desk import Desked, attempt

_PATH: Final = "/console/events"
_PAGE: Final = 50
_FILTERS: Final = ("type", "aggregate", "aggregate_id", "command_id", "party_id")
_COMMAND: Final = "cmd_"
_EVENT: Final = "evt_"


class ChainNode(NamedTuple):
    """A command in the tree of causes and effects: each of its events with the commands that followed it."""

    command: ChainCommand
    events: list[tuple[ChainEvent, list["ChainNode"]]]


@get("/")
async def explore(request: Request[Any, Any, Any], desk: Desked) -> Template:
    """List events, by default the latest."""
    query = request.query_params
    filters = {name: query[name].strip() for name in _FILTERS if query.get(name, "").strip()}
    after = int(query["after"]) if query.get("after", "").isdecimal() else None
    latest = after is None and not filters
    if after is None:
        head = 0 if filters else (await desk.client.operation.get_readiness()).log_sequence or 0
        after = max(0, head - _PAGE)
    page = await desk.client.get("/v1/events", FeedPage, after=after, limit=_PAGE, **filters)
    known = {"kinds": sorted(AGGREGATES), "types": sorted(EVENT_TYPES), "rows": _PAGE}
    live = "" if latest else None
    names = await desk.load_names(one.event.actor for one in page.items)
    shown = {"events": page.items, "page": page, "filters": filters, "after": after, "names": names}
    return desk.show("operator/events.html", live, **shown, **known)


@get("/jump")
async def jump(desk: Desked, to: FromQuery[str]) -> Redirect:
    """Lead to a sequence, an event, what a command began, or the history of anything else."""
    name = to.strip()
    path = f"/console/history/{name}"
    if name.isdecimal():
        path = f"{_PATH}/{name}"
    elif name.startswith(_COMMAND):
        path = f"{_PATH}?command_id={name}"
    elif name.startswith(_EVENT):
        found = (await desk.client.events.read(event_id=name)).items
        if not found:
            raise ProblemError(404, {"code": "event_unknown", "detail": f"there is no event {name} that this key sees"})
        path = f"{_PATH}/{found[0].sequence}"
    return Redirect(path, status_code=HTTP_303_SEE_OTHER)


@get("/{sequence:int}")
async def show(desk: Desked, sequence: FromPath[int]) -> Template:
    """Show one event, and for the platform its causes and effects."""
    page = await desk.client.events.read(after=max(0, sequence - 1), limit=1)
    found = next((one for one in page.items if one.sequence == sequence), None)
    body = "" if found is None else msgspec.json.format(found.event.data, indent=2).decode()
    commands = [] if found is None else await attempt(desk.client.events.get_chain(sequence=sequence), [])
    actors = [one.actor for one in commands] + ([] if found is None else [found.event.actor])
    shown = {"event": found, "sequence": sequence, "body": body, "names": await desk.load_names(actors)}
    live = "" if commands else None  # effects follow
    return desk.show("operator/event.html", live, chain=_grow(commands), **shown)


def _grow(commands: list[ChainCommand]) -> list[ChainNode]:
    """Return the trees of the commands, in the log's order."""
    nodes = {command.command_id: ChainNode(command, [(event, []) for event in command.events]) for command in commands}
    places = {event.sequence: children for node in nodes.values() for event, children in node.events}
    roots: list[ChainNode] = []
    for node in nodes.values():
        follows = node.command.follows
        places.get(follows if follows is not None else -1, roots).append(node)
    return roots


ROUTER: Final = Router("/events", route_handlers=[explore, jump, show])
