"""What an API and a worker begin with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.api.http.sql_archive import SqlArchive
from marketplace.core.errors import Unavailable
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.log.port import Log
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import require_current
from marketplace.runtime.process.config import Settings

START_SECONDS_FIRST: Final = 0.25
START_SECONDS_MAX: Final = 5.0
T = TypeVar("T")
log = structlog.get_logger(__name__)
LASTING: Final[list[object]] = []
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
    async with contextlib.AsyncExitStack() as stack, running(stopping):
        while opened is None and not stop.is_set():
            entering = asyncio.create_task(stack.enter_async_context(opening()), name="start")
            async with running(entering):
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
async def running(*tasks: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Let tasks run while the block does, and end them with it."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def build_handler(stream: Log, settings: Settings, engine: AsyncEngine | None) -> Handler:
    """Return what runs commands on a log; without a database it has the log alone."""
    archive = None if engine is None else SqlArchive(engine)
    return Handler(stream, MarketClock(), settings.source, archive=archive)


async def require_schema(settings: Settings) -> None:
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
