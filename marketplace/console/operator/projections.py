"""Projections: how far each is and how fast, a rebuild or a check of one, and what cannot be done."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from litestar import Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Template

from marketplace.api.http.bodies.projections import ProjectionView
from marketplace.console.desk import Desk, Desked
from marketplace.console.forms import Filed, refuse_act

_PATH: Final = "/console/projections"
STALLED: Final = timedelta(seconds=30)
"""A projection that is behind and has not moved for so long is stalled."""
_SECONDS: Final = 3
"""A position that moves is no event, so the page asks again after so many."""
_SAMPLES_MAX: Final = 120
_SAMPLES_KEPT: Final = timedelta(minutes=10)


class Sample(NamedTuple):
    """Where a projection was at an instant."""

    at: datetime
    position: int
    lag: int


class Trend:
    """Where each projection was in the last ten minutes: at most 120 samples, one each time the page was shown."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Sample]] = {}

    def add(self, at: datetime, views: list[ProjectionView]) -> None:
        """Add a sample for each projection."""
        for view in views:
            kept = self._samples.setdefault(view.name, deque(maxlen=_SAMPLES_MAX))
            while kept and kept[0].at < at - _SAMPLES_KEPT:
                kept.popleft()
            kept.append(Sample(at, view.position, view.lag))

    def list_lags(self, name: str) -> list[int]:
        """Return the lags of a projection, the oldest first."""
        return [sample.lag for sample in self._samples.get(name, ())]

    def compute_rate(self, name: str) -> float | None:
        """Return the events a second that a projection applied over its samples; None if no time lies between them."""
        samples = list(self._samples.get(name, ()))
        if len(samples) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        first, last = samples[0], samples[-1]
        seconds = (last.at - first.at).total_seconds()
        return (last.position - first.position) / seconds if seconds > 0 else None


TREND: Final = Trend()


@get("/")
async def show(desk: Desked) -> Template:
    """Show every projection, the tasks that are stuck and the events that cannot be read."""
    return await _render(desk)


@post("/{kind:str}", status_code=200)
async def start(desk: Desked, form: Filed, kind: FromPath[str]) -> Response[Any]:
    """Begin to rebuild or verify a projection."""
    name = form.get("name")
    if kind == "rebuild":
        await desk.client.operation.rebuild_projection(name=name)
    elif kind == "verify":
        await desk.client.operation.verify_projection(name=name)
    else:
        raise refuse_act(kind, "projection")
    return desk.go(_PATH)


async def _render(desk: Desk) -> Template:
    views = await desk.client.operation.list_projections()
    ready = await desk.client.operation.get_readiness()
    now = datetime.now(UTC)
    TREND.add(now, views)
    return desk.show(
        "operator/projections.html",
        seconds=_SECONDS,
        projections=views,
        head=ready.log_sequence,
        unreadable=ready.unreadable,
        stuck=await desk.client.operation.list_stuck(),
        stalled={view.name for view in views if _is_stalled(view, now)},
        stalled_seconds=int(STALLED.total_seconds()),
        trend=TREND,
        wall=now,
    )


def _is_stalled(view: ProjectionView, now: datetime) -> bool:
    return view.lag > 0 and (view.moved_at is None or now - view.moved_at > STALLED)


ROUTER: Final = Router("/projections", route_handlers=[show, start])
