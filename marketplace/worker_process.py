"""The worker process: it projects, keeps time and runs auctions.

It imports nothing of the API, which would take a third of its start.
"""

import asyncio
import contextlib
import uuid
from itertools import islice
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict, Unavailable
from marketplace.log.port import Log
from marketplace.process import LASTING, build_handler, opened_patiently, require_schema, running
from marketplace.projections.engine.automatic_rebuild import renew
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.leadership import leadership
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.seen import bind_marks
from marketplace.projections.engine.stuck_tasks import (
    READ_EVENT,
    REASON_CHARACTERS_MAX,
    REPORT_SECONDS,
    UNREADABLE_MAX,
    report,
)
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.auctions.clearing import EngineInProcess
from marketplace.runtime.process.collector import settle_collector
from marketplace.runtime.process.config import Settings
from marketplace.runtime.process.log import open_watched_log
from marketplace.runtime.worker import Worker

STANDBY_SECONDS: Final = 1.0
log = structlog.get_logger(__name__)


async def serve_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Project, and do what is due, until `stop` is set. Servers that are away as it starts are waited for.

    Raises:
        Refusal: ``database_not_migrated``.
        LogChanged: The log went back, or is another one.
    """
    await require_schema(settings)
    async with contextlib.AsyncExitStack() as stack:
        engine = None if settings.database_url is None else build_engine(settings.database_url)
        if engine is not None:
            stack.push_async_callback(engine.dispose)
        stream = await stack.enter_async_context(
            opened_patiently(lambda: open_watched_log(settings, bind_marks(engine)), stop)
        )
        if stream is None:
            return
        handler = build_handler(stream, settings, engine)
        clearing = EngineInProcess(settings.clearing_seconds_max)
        worker = Worker(handler, calendar=settings.calendar, engine=clearing)
        LASTING.append(worker)
        working = [
            asyncio.create_task(worker.run(), name="worker"),
            asyncio.create_task(handler.cache.snapshots.run(), name="snapshots"),
            asyncio.create_task(stream.watch(), name="log watch"),
        ]
        if settings.database_url is not None:
            working.append(asyncio.create_task(_project(settings, stream), name="projector"))
        if engine is not None:
            working.append(asyncio.create_task(report_stuck(engine, worker), name="stuck tasks"))
        waiting = asyncio.create_task(stop.wait(), name="stop")
        settle_collector()
        async with running(*working, waiting):
            log.info("worker_works")
            done, _ = await asyncio.wait({*working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not waiting:
                task.result()


async def report_stuck(engine: AsyncEngine, worker: Worker) -> None:
    """Say which tasks are stuck and which events are unreadable, again and again, where every API process reads it."""
    name = uuid.uuid4().hex
    while True:
        rows = [
            {
                "task": task.kind,
                "subject": "/".join(str(part) for part in task[1:] if part),
                "code": stuck.code,
                "reason": stuck.reason[:REASON_CHARACTERS_MAX].replace("\0", ""),
            }
            for task, stuck in worker.stuck.items()
        ]
        rows += [
            {
                "task": READ_EVENT,
                "subject": str(sequence),
                "code": "event_unreadable",
                "reason": str(error)[:REASON_CHARACTERS_MAX].replace("\0", ""),
            }
            for sequence, error in islice(worker.market.unreadable.items(), UNREADABLE_MAX)
        ]
        try:
            await report(engine, name, rows)
        except Unavailable as error:
            log.warning("stuck_tasks_not_reported", tasks=len(rows), reason=str(error))
        await asyncio.sleep(REPORT_SECONDS)


async def _project(settings: Settings, stream: Log) -> None:
    """Project whenever it is this process's turn."""
    assert settings.database_url is not None, "a projector has a database"
    engine = build_engine(settings.database_url)
    try:
        while True:
            async with leadership(engine) as lost:
                projecting = asyncio.create_task(_lead(stream, engine), name="projections")
                losing = asyncio.create_task(lost.wait())
                async with running(projecting, losing):
                    await asyncio.wait({projecting, losing}, return_when=asyncio.FIRST_COMPLETED)
                if projecting.done() and not projecting.cancelled():
                    _continue_after(projecting)
            await asyncio.sleep(STANDBY_SECONDS)
    finally:
        await engine.dispose()


async def _lead(stream: Log, engine: AsyncEngine) -> None:
    """Follow the log, and meanwhile rebuild the rows that an earlier version of a projection made."""
    following = asyncio.create_task(Projector(stream, engine, PROJECTIONS).run())
    renewing = asyncio.create_task(renew(PROJECTIONS, stream, engine))
    async with running(following, renewing):
        done, _ = await asyncio.wait({following, renewing}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await following


def _continue_after(projecting: asyncio.Task[None]) -> None:
    """Go on after another projector took over; let every other error through."""
    try:
        projecting.result()
    except Conflict as conflict:
        log.warning("projector_fenced", reason=str(conflict))
