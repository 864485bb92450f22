"""The API process: what it stands on, and how it hangs together.

`marketplace/worker_process.py` is the other kind of process. Both stand on the same log; neither needs the other, and
each may run several times.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog
from litestar import Litestar

from marketplace.api.application import create_application
from marketplace.api.http.key_store import SqlKeys
from marketplace.api.http.keys import KeyRing
from marketplace.api.http.server import ApiServer, bound_connections
from marketplace.api.http.services import ApiSettings, Services
from marketplace.api.metering.meter_subject import MeterSubject
from marketplace.console.application import mount_console
from marketplace.execution.follower import Follower
from marketplace.process import LASTING, build_handler, opened_patiently, require_schema, running
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.seen import bind_marks
from marketplace.projections.engine.watch import watch
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.collector import settle_collector
from marketplace.runtime.process.config import Settings
from marketplace.runtime.process.log import open_watched_log

KEY_CONNECTIONS_MAX: Final = 3
log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Yield what an API process stands on, following the log and answering meters."""
    async with contextlib.AsyncExitStack() as stack:
        engine, watching, store = None, None, None
        if settings.database_url is not None:
            engine = build_engine(settings.database_url)
            stack.push_async_callback(engine.dispose)
        stream = await stack.enter_async_context(open_watched_log(settings, bind_marks(engine)))
        handler = build_handler(stream, settings, engine)
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
        await stack.enter_async_context(running(following, refreshing, keeping, comparing))
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
        await stack.enter_async_context(running(answering, preparing))
        yield services


async def _prepare_quotes(services: Services) -> None:
    """Approximate the books that the first quotes need. Without a database, quotes are not prepared."""
    if services.engine is not None:
        await services.quoter.prepare()


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


async def serve_api(settings: Settings, host: str, port: int, stop: asyncio.Event) -> None:
    """Answer HTTP until `stop` is set. Servers that are away as it starts are waited for.

    Raises:
        Refusal: ``database_not_migrated`` or ``address_unavailable``.
        LogChanged: The log went back, or is another one.
    """
    await require_schema(settings)
    async with opened_patiently(lambda: open_services(settings), stop) as services:
        if services is None:
            return
        LASTING.append(services)
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
