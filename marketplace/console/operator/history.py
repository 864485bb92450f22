"""The history of anything: its events, and its state before and after one of them."""

from typing import Any, Final, NamedTuple

from litestar import Router, get
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from marketplace.api.http.bodies.feed import FeedPage
from marketplace.console.desk import Desked
from marketplace.console.formats import NONE

_PATH: Final = "/console/history"
_PAGE: Final = 25
_MEMBERS_MAX: Final = 1_000


class Member(NamedTuple):
    """A member of a state, by its path, before and after an event; None where there is none."""

    path: str
    before: str | None
    after: str | None

    @property
    def is_changed(self) -> bool:
        """Whether the event changed it."""
        return self.before != self.after


@get("/{aggregate_id:str}")
async def show(
    desk: Desked, aggregate_id: FromPath[str], sequence: FromQuery[int | None] = None, after: FromQuery[int] = 0
) -> Template:
    """Show a page of events, and the states around the one at `sequence`, by default the first of the page."""
    page = await desk.client.get("/v1/events", FeedPage, after=max(0, after), limit=_PAGE, aggregate_id=aggregate_id)
    at = sequence if sequence is not None else page.items[0].sequence if page.items else None
    states = None if at is None else await desk.client.events.get_states(sequence=at)
    return desk.show(
        "operator/history.html",
        live=f"aggregate_id={aggregate_id}",
        aggregate_id=aggregate_id,
        events=page.items,
        after=after,
        at=at,
        states=states,
        members=[] if states is None else compare(states.before, states.after),
        newer=page.items[-1].sequence if len(page.items) == _PAGE else None,
    )


def compare(before: Any, after: Any) -> list[Member]:
    """Return the members of two states in order, at most 1,000; those that changed come first."""
    old, new = flatten(before), flatten(after)
    members = [Member(path, old.get(path), new.get(path)) for path in {**old, **new}]
    return sorted(members, key=lambda member: not member.is_changed)[:_MEMBERS_MAX]


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """Return the scalar members of a JSON value by their paths, such as ``holds.hld_1.left_usd``.

    An empty list or object counts as a scalar, and a null member reads as a dash. A value that is null has no members.
    """
    if isinstance(value, dict) and value:
        parts = [(f"{path}.{name}" if path else str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list | tuple) and value:
        parts = [(f"{path}[{at}]", inner) for at, inner in enumerate(value)]
    elif value is None and not path:
        return {}
    else:
        return {path: NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)}
    return {name: text for part, inner in parts for name, text in flatten(inner, part).items()}


ROUTER: Final = Router("/history", route_handlers=[show])
