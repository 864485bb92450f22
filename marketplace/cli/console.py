"""Shared by commands that talk to servers: the event loop, logging, and progress."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, NoReturn

import structlog
import uvloop
from cyclopts import Parameter
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from marketplace.cli.output import CONSOLE, OUT_OF_MEMORY, tell
from marketplace.core.errors import LogChanged, MarketplaceError, Refusal

NatsUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")]
DatabaseUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_DATABASE_URL")]
LOG_CHANGED: Final = 4
"""Exit code of a process that stopped because the log went back or is another one. Restarting it does not help."""


def configure_logging(level: str = "warning") -> None:
    """Log one JSON object per line to standard error; errors with their traceback but without variables.

    Variables may hold sealed data, such as the offers of a book that is not cleared yet. What libraries log, such as
    the error of a task that nobody waits for, has the same members: `event`, `level`, `timestamp` and `request_id`.
    """
    marking: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        structlog.processors.JSONRenderer(),
    ]
    libraries = logging.StreamHandler(_Output())
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=marking,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[libraries], level=level.upper(), force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it names its plugins at each start
    logging.getLogger("asyncio").addFilter(_is_ours)
    structlog.configure(
        processors=[*marking, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(_Output()),  # type: ignore[arg-type] # what it writes to
        cache_logger_on_first_use=True,
    )


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether a line is to be shown. Of unknown host names the process that asked for them tells itself."""
    return record.exc_info is None or not isinstance(record.exc_info[1], socket.gaierror)


class _Output:
    """Standard error that drops a line it cannot write, so that a full disk does not end a process by its log."""

    def write(self, text: str) -> None:
        """Write, if there is room."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush, if there is room."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def run(main: Coroutine[Any, Any, int | None]) -> int:
    """Run a command to its end and return its exit code. An error that we raise on purpose is shown in one line."""
    try:
        return uvloop.run(_settle(main))
    except KeyboardInterrupt:
        return 130


def run_service(main: Coroutine[Any, Any, int | None]) -> NoReturn:
    """Run a process until its coroutine ends, and exit at once.

    Everything that it must store is in NATS and PostgreSQL by then. Waiting for threads that solve a book, or freeing a
    gigabyte of state object by object, would only delay the stop. The error that ends it is a line of the log.
    """

    async def whole() -> NoReturn:
        try:
            code = await _settle(main, _log_end)
        except Exception:  # noqa: BLE001 - it ends the process, and the log names it
            structlog.get_logger(__name__).exception("process_failed")
            code = 1
        _leave(code)

    uvloop.run(whole())
    raise AssertionError("the process has left")


def _log_end(error: MarketplaceError) -> None:
    code = error.code if isinstance(error, Refusal | LogChanged) else None
    structlog.get_logger(__name__).error("process_ended", code=code, reason=str(error))


async def _settle(main: Coroutine[Any, Any, int | None], show: Callable[[MarketplaceError], None] = tell) -> int:
    try:
        return await main or 0
    except Refusal as refusal:
        show(refusal)
        return 2
    except LogChanged as error:
        show(error)
        return LOG_CHANGED
    except MarketplaceError as error:
        show(error)
        return 1
    except MemoryError:
        show(OUT_OF_MEMORY)
        return 1


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def stop_on_signals(seconds_max: float | None = None) -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set.

    Args:
        seconds_max: How long an orderly end may take before the process is killed; None for no limit.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        if seconds_max is not None and not stop.is_set():
            deadline = threading.Timer(seconds_max, _leave, [0])
            deadline.daemon = True
            deadline.start()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, begin_to_stop)
    return stop


def build_progress() -> Progress:
    """Return a progress bar with the events done and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=CONSOLE,
    )
