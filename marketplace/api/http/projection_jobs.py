"""Rebuilds and verifications of projections that this process runs in the background, one of a projection at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.api.http.bodies.projections import JobKind, JobView, RowDifference
from marketplace.core.errors import MarketplaceError
from marketplace.log.port import Log
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.rebuild import Progress, rebuild
from marketplace.projections.engine.verify import verify

_DIFFERENCES_MAX: Final = 20
_log = structlog.get_logger(__name__)
Work = Callable[[Projection, Log, AsyncEngine, Callable[[Progress], None]], Awaitable[tuple[str, list[RowDifference]]]]


async def _rebuild(
    projection: Projection, log: Log, engine: AsyncEngine, report: Callable[[Progress], None]
) -> tuple[str, list[RowDifference]]:
    done = await rebuild(projection, log, engine, report=report)
    return f"rebuilt from {done.events:,} events and swapped in at event {done.position:,}", []


async def _verify(
    projection: Projection, log: Log, engine: AsyncEngine, report: Callable[[Progress], None]
) -> tuple[str, list[RowDifference]]:
    found = await verify(projection, log, engine, report=report)
    differences = [
        RowDifference(table=one.table, key={name: str(value) for name, value in one.key.items()})
        for one in found.differences[:_DIFFERENCES_MAX]
    ]
    if found.differences:
        return f"{len(found.differences):,} of {found.rows:,} rows differ from the log", differences
    return f"all {found.rows:,} rows equal what the log makes at event {found.position:,}", []


_WORK: Final[dict[JobKind, Work]] = {"rebuild": _rebuild, "verify": _verify}


class ProjectionJobs:
    """The last job of each projection."""

    def __init__(self) -> None:
        self.last: dict[str, JobView] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, kind: JobKind, projection: Projection, log: Log, engine: AsyncEngine) -> JobView:
        """Start a job and return it. If one runs on this projection already, return that one."""
        name = projection.name
        running = self.last.get(name)
        if running is not None and running.status == "running":
            return running
        self.last[name] = JobView(kind=kind, status="running", began_at=datetime.now(UTC))
        self._tasks[name] = asyncio.create_task(self._run(kind, projection, log, engine))
        return self.last[name]

    async def _run(self, kind: JobKind, projection: Projection, log: Log, engine: AsyncEngine) -> None:
        begun = time.monotonic()

        def change(**members: object) -> None:
            seconds = round(time.monotonic() - begun, 1)
            self.last[projection.name] = msgspec.structs.replace(self.last[projection.name], seconds=seconds, **members)

        def report(progress: Progress) -> None:
            change(done=progress.done, total=progress.total)

        try:
            result, differences = await _WORK[kind](projection, log, engine, report)
        except MarketplaceError as error:
            change(status="failed", result=str(error))
        except Exception as error:  # noqa: BLE001 - the top of a task: the job says that it failed
            change(status="failed", result="an error was logged")
            _log.exception("projection_job_failed", projection=projection.name, kind=kind, error=repr(error))
        else:
            change(status="different" if differences else "done", result=result, differences=tuple(differences))
