"""The composition root: which parts a process has, and how they hang together.

A process is an API (commands, reads, feed) or a worker (projector, timers, reactors, auctioneer). Both stand on the
same log; neither needs the other, and each may run several times.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Any, Final, TypeVar

import structlog
from litestar import Litestar
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.api.application import create_application
from marketplace.api.http.key_store import SqlKeys
from marketplace.api.http.keys import KeyRing
from marketplace.api.http.server import ApiServer, bound_connections
from marketplace.api.http.services import ApiSettings, Services
from marketplace.api.http.sql_archive import SqlArchive
from marketplace.api.metering.meter_subject import MeterSubject
from marketplace.console.application import mount_console
from marketplace.core.errors import Conflict, Unavailable
from marketplace.execution.clock import MarketClock
from marketplace.execution.follower import Follower
from marketplace.execution.handler import Handler
from marketplace.log.port import Log
from marketplace.projections.engine.automatic_rebuild import renew
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.leadership import leadership
from marketplace.projections.engine.migrate import require_current
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.seen import bind_marks
from marketplace.projections.engine.stuck_tasks import (
    READ_EVENT,
    REASON_CHARACTERS_MAX,
    REPORT_SECONDS,
    UNREADABLE_MAX,
    report,
)
from marketplace.projections.engine.watch import watch
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.auctions.engines import EngineInProcess
from marketplace.runtime.process.collector import settle_collector
from marketplace.runtime.process.config import Settings
from marketplace.runtime.process.log import open_watched_log
from marketplace.runtime.worker import Worker

STANDBY_SECONDS: Final = 1.0
START_SECONDS_FIRST: Final = 0.25
START_SECONDS_MAX: Final = 5.0
KEY_CONNECTIONS_MAX: Final = 3
T = TypeVar("T")
log = structlog.get_logger(__name__)
_lasting: Final[list[object]] = []
"""What a process uses until it ends. The references keep its gigabyte from being freed object by object at the stop."""


@contextlib.asynccontextmanager
async def opened_patiently(
    opening: Callable[[], AbstractAsyncContextManager[T]], stop: asyncio.Event
) -> AsyncIterator[T | None]:
    """Enter a context, again and again while NATS or PostgreSQL is away; yield None where `stop` is set before.

    Raises:
        MarketplaceError: Of the context, other than `Unavailable`.
    """
    stopping = asyncio.create_task(stop.wait(), name="stop before the start")
    seconds, opened = START_SECONDS_FIRST, None
    async with contextlib.AsyncExitStack() as stack, _running(stopping):
        while opened is None and not stop.is_set():
            entering = asyncio.create_task(stack.enter_async_context(opening()), name="start")
            async with _running(entering):
                await asyncio.wait({entering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if entering.cancelled():
                break
            try:
                opened = entering.result()
            except Unavailable as error:
                log.warning("start_waits", reason=str(error), seconds=seconds)
                await asyncio.wait({stopping}, timeout=seconds)
                seconds = min(2 * seconds, START_SECONDS_MAX)
        yield opened


@contextlib.asynccontextmanager
async def _running(*tasks: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Let tasks run while the block does, and end them with it."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Yield what an API process stands on, following the log and answering meters."""
    async with contextlib.AsyncExitStack() as stack:
        engine, watching, store = None, None, None
        if settings.database_url is not None:
            engine = build_engine(settings.database_url)
            stack.push_async_callback(engine.dispose)
        stream = await stack.enter_async_context(open_watched_log(settings, bind_marks(engine)))
        handler = _build_handler(stream, settings, engine)
        follower = Follower(handler, lambda: stream.end)
        await follower.start()
        await handler.processed.read_on()
        if engine is not None and settings.database_url is not None:
            watching = await stack.enter_async_context(watch(engine, PROJECTIONS))
            key_engine = build_engine(settings.database_url, connections_max=KEY_CONNECTIONS_MAX)
            stack.push_async_callback(key_engine.dispose)
            store = SqlKeys(key_engine)
        keys = KeyRing(
            settings.api_key_secret.encode(),
            settings.admin_key,
            store,
            offline_seconds_max=settings.keys_offline_seconds_max,
        )
        following = asyncio.create_task(follower.run(), name="follower")
        following.add_done_callback(_complain)
        refreshing = asyncio.create_task(keys.follow(), name="api keys")
        keeping = asyncio.create_task(handler.cache.snapshots.run(), name="snapshots")
        keeping.add_done_callback(_complain)
        comparing = asyncio.create_task(stream.watch(), name="log watch")
        comparing.add_done_callback(_complain)
        await stack.enter_async_context(_running(following, refreshing, keeping, comparing))
        services = Services(
            handler=handler,
            follower=follower,
            keys=keys,
            settings=build_api_settings(settings),
            engine=engine,
            watch=watching,
            log_watch=comparing,
        )
        meters = MeterSubject(services, settings.nats_url, inbox_prefix=settings.nats_inbox_prefix)
        answering = asyncio.create_task(meters.run(), name="meters")
        answering.add_done_callback(_complain)
        preparing = asyncio.create_task(_prepare_quotes(services), name="quotes")
        preparing.add_done_callback(_complain)
        await stack.enter_async_context(_running(answering, preparing))
        yield services


async def _prepare_quotes(services: Services) -> None:
    """Approximate the books that the first quotes need. Without a database, quotes are not prepared."""
    if services.engine is not None:
        await services.quoter.prepare()


def _build_handler(stream: Log, settings: Settings, engine: AsyncEngine | None) -> Handler:
    archive = None if engine is None else SqlArchive(engine)
    return Handler(stream, MarketClock(), settings.source, archive=archive)


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("task_ended", task=task.get_name(), error=repr(task.exception()))


def build_api_settings(settings: Settings) -> ApiSettings:
    """Return the limits of the API. It takes no more connections than this process may have open files for."""
    return ApiSettings(
        embedded=settings.embedded,
        public_market=settings.public_market,
        connections_max=bound_connections(settings.connections_max),
        connections_per_address_max=settings.connections_per_address_max,
        streams_max=settings.streams_max,
        streams_per_key_max=settings.streams_per_key_max,
        streams_per_party_max=settings.streams_per_party_max,
    )


def build_server(application: Litestar, host: str, port: int) -> ApiServer:
    """Return the HTTP server of an application."""
    services: Services = application.state["services"]
    return ApiServer(application, services.settings, services.connections, host, port)


async def _require_schema(settings: Settings) -> None:
    """Refuse a database without the tables of this release. One that cannot be reached is not checked.

    Raises:
        Refusal: ``database_not_migrated``.
    """
    if settings.database_url is None:
        return
    engine = build_engine(settings.database_url, connections_max=1)
    try:
        await require_current(engine)
    except Unavailable as error:
        log.warning("schema_unchecked", reason=str(error))
    finally:
        await engine.dispose()


async def serve_api(settings: Settings, host: str, port: int, stop: asyncio.Event) -> None:
    """Answer HTTP until `stop` is set. Servers that are away as it starts are waited for.

    Raises:
        Refusal: ``database_not_migrated`` or ``address_unavailable``.
        LogChanged: The log went back, or is another one.
    """
    await _require_schema(settings)
    async with opened_patiently(lambda: open_services(settings), stop) as services:
        if services is None:
            return
        _lasting.append(services)
        application = create_application(services)
        mount_console(application, services, is_secure=settings.tls_only)
        server = build_server(application, host, port)
        settle_collector()
        serving = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(stop.wait())
        log.info("api_listens", host=host, port=port)
        ending = {serving, waiting, *([] if services.log_watch is None else [services.log_watch])}
        await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            services.streams.close()
            server.stop()
        waiting.cancel()
        await serving
        if services.log_watch is not None and services.log_watch.done():
            services.log_watch.result()


async def serve_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Project, and do what is due, until `stop` is set. Servers that are away as it starts are waited for.

    Raises:
        Refusal: ``database_not_migrated``.
        LogChanged: The log went back, or is another one.
    """
    await _require_schema(settings)
    async with contextlib.AsyncExitStack() as stack:
        engine = None if settings.database_url is None else build_engine(settings.database_url)
        if engine is not None:
            stack.push_async_callback(engine.dispose)
        stream = await stack.enter_async_context(
            opened_patiently(lambda: open_watched_log(settings, bind_marks(engine)), stop)
        )
        if stream is None:
            return
        handler = _build_handler(stream, settings, engine)
        clearing = EngineInProcess(settings.clearing_seconds_max)
        worker = Worker(handler, calendar=settings.calendar, engine=clearing)
        _lasting.append(worker)
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
        async with _running(*working, waiting):
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
                async with _running(projecting, losing):
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
    async with _running(following, renewing):
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
