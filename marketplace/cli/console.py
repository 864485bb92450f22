"""What commands that talk to servers share: the loop, logging, and progress."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

import structlog
import uvloop
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from structlog.tracebacks import ExceptionDictTransformer

from marketplace.cli.output import CONSOLE, OUT_OF_MEMORY, tell
from marketplace.core.errors import LogChanged, MarketplaceError, Refusal

LOG_CHANGED: Final = 4
"""Exit code of a process that stopped since the log went back or is another: starting it again does not help."""


def configure_logging(level: str = "warning") -> None:
    """Log one JSON object a line to standard error; of an error where it came from, and no variable.

    Variables hold what is sealed, such as the offers of a book that is not cleared yet.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(_Output()),  # type: ignore[arg-type] # what it writes to
        cache_logger_on_first_use=True,
    )


class _Output:
    """Standard error, which drops a line that cannot be written: a full disk ends no process by its own log."""

    def write(self, text: str) -> None:
        """Write, if there is room."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush, if there is room."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def run(main: Coroutine[Any, Any, int | None]) -> int:
    """Run a command to its end and return its exit code; an error that we raise on purpose is told in one line."""
    try:
        return uvloop.run(main) or 0
    except Refusal as refusal:
        tell(refusal)
        return 2
    except LogChanged as error:
        tell(error)
        return LOG_CHANGED
    except MarketplaceError as error:
        tell(error)
        return 1
    except MemoryError:
        tell(OUT_OF_MEMORY)
        return 1
    except KeyboardInterrupt:
        return 130


def stop_on_signals() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def build_progress() -> Progress:
    """Return a bar that tells the events done and the time left."""
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
