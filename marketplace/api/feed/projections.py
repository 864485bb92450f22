"""Projections and stuck tasks, for the platform: how far they are, rebuild one, check one against the log."""

from typing import Final, Literal

from litestar import Router, get, post
from litestar.params import JSONBody

from marketplace.api.http.bodies.projections import JobKind, JobView, ProjectionBody, ProjectionView, StuckTaskView
from marketplace.api.http.commands import Command, Commanded
from marketplace.api.http.projection_jobs import ProjectionJobs
from marketplace.api.http.queries import Read
from marketplace.application.steps.access import require_platform
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.positions import Position, load_positions
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.stuck_tasks import list_stuck
from marketplace.projections.registry import PROJECTIONS, get_projection

PATH: Final = "/v1/projections"


@get("/", operation_id="operation.list_projections", summary="List projections")
async def list_all(reader: Read) -> list[ProjectionView]:
    """Return how far each projection is, with the last job of this process on it; for the platform."""
    reader.require_platform()
    head = (await reader.services.handler.log.health()).last_sequence
    async with reachable(), reader.services.get_engine().connect() as connection:
        found = {(at.name, at.live): at for at in await load_positions(connection)}
    jobs = reader.services.jobs
    return [
        _render(projection, found.get((projection.name, True)), found.get((projection.name, False)), head, jobs)
        for projection in PROJECTIONS
    ]


@get("/stuck", operation_id="operation.list_stuck", summary="List stuck tasks")
async def read_stuck(reader: Read) -> list[StuckTaskView]:
    """Return what workers repeat without success and which events they cannot read, at most 1,000; for the platform."""
    reader.require_platform()
    return [StuckTaskView(**row) for row in await list_stuck(reader.services.get_engine())]


@post("/rebuilds", status_code=202, operation_id="operation.rebuild_projection", summary="Rebuild a projection")
async def rebuild_one(command: Commanded, data: JSONBody[ProjectionBody]) -> JobView:
    """Rebuild a projection's rows from the log in the background, and swap them in; for the platform.

    The answer is the job that runs in this process, if one does. Nothing is recorded.
    """
    return _start(command, "rebuild", data.name)


@post("/verifications", status_code=202, operation_id="operation.verify_projection", summary="Verify a projection")
async def verify_one(command: Commanded, data: JSONBody[ProjectionBody]) -> JobView:
    """Compare a projection's rows with what the log makes, in the background; for the platform.

    A repeat is answered as for a rebuild.
    """
    return _start(command, "verify", data.name)


def _start(command: Command, kind: JobKind, name: str) -> JobView:
    require_platform(command.context)
    projection, services = get_projection(name), command.services
    return services.jobs.start(kind, projection, services.handler.log, services.get_engine())


def _render(
    projection: Projection, live: Position | None, beside: Position | None, head: int, jobs: ProjectionJobs
) -> ProjectionView:
    position = 0 if live is None else live.position
    return ProjectionView(
        name=projection.name,
        state=_name_state(projection, live),
        version=projection.version if live is None else live.version,
        position=position,
        lag=max(0, head - position),
        moved_at=None if live is None else live.updated_at,
        stopped_at=None if live is None else live.stopped_at,
        stopped_because=None if live is None else live.stopped_because,
        rebuild_position=None if beside is None else beside.position,
        rebuild_target=None if beside is None else beside.target,
        job=jobs.last.get(projection.name),
    )


def _name_state(
    projection: Projection, live: Position | None
) -> Literal["live", "stopped", "outdated", "newer", "absent"]:
    if live is None:
        return "absent"
    if live.version != projection.version:
        return "newer" if live.version > projection.version else "outdated"
    return "live" if live.stopped_at is None else "stopped"


ROUTER: Final = Router(
    PATH,
    route_handlers=[list_all, read_stuck, rebuild_one, verify_one],
    tags=["operation"],
    opt={"feature": "projections"},
)
