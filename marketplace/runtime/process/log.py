"""Open the log of a process's settings. It loads no web framework and no database driver: commands start quickly."""

import contextlib
from collections.abc import AsyncIterator

from marketplace.log.annotations import AnnotatedLog
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.watched import LoadMarks, WatchedLog, load_no_marks
from marketplace.runtime.process.config import Settings


@contextlib.asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[AnnotatedLog]:
    """Yield the log of these settings, with operators' annotations applied: what they void is read as void.

    Raises:
        Unavailable: The log cannot be reached.
    """
    async with _open_stream(settings) as stream:
        yield await AnnotatedLog.open(stream)


@contextlib.asynccontextmanager
async def open_watched_log(settings: Settings, load_marks: LoadMarks = load_no_marks) -> AsyncIterator[WatchedLog]:
    """Yield the log of these settings, once it is known to hold the last events that others saw in it.

    Args:
        settings: Where the log is.
        load_marks: Returns the last events that the database has seen; by default, none.

    Raises:
        LogChanged: It is another log, or it lost events that others have seen.
        Unavailable: The log cannot be reached.
    """
    async with _open_stream(settings) as stream:
        watched = WatchedLog(
            await AnnotatedLog.open(stream),
            count_reconnections=stream.count_reconnections,
            load_marks=load_marks,
        )
        await watched.start()
        yield watched


@contextlib.asynccontextmanager
async def _open_stream(settings: Settings) -> AsyncIterator[JetStreamLog]:
    stream = await JetStreamLog.open(
        settings.nats_url,
        replicas=settings.nats_replicas,
        admin_url=settings.nats_admin_url,
        system_url=settings.nats_system_url,
        inbox_prefix=settings.nats_inbox_prefix,
    )
    try:
        yield stream
    finally:
        await stream.close()
