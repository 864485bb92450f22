"""Fork processes from the engine's own, to work on one clearing in parallel.

A forked process has its parent's memory without a copy being sent, and sends back its answers. Forking a process in
which other threads hold locks can hang. Only the engine's own processes therefore fork: `marketplace clear` and the
program of `clearing.py`. All others, and all systems but Linux, use threads.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Final, TypeVar

from marketplace.clearing.search.worker_pool import THREADS, WorkerPool, WorkerPools

WORKERS_MAX: Final = 4
"""The most forked processes, whatever the number of cores."""
WATCH_SECONDS: Final = 0.5
"""How often a forked process looks whether its parent is still there."""
K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


class Forks:
    """Starts pools of forked processes, one for each core that this process may use, at most `WORKERS_MAX`."""

    @property
    def isolated(self) -> bool:
        """Return whether a pool has more than one process; a single one gains nothing."""
        return count_workers() > 1

    @contextmanager
    def start(self, known: K) -> Iterator[WorkerPool[K]]:
        """Fork processes, each of which has `known` in memory, and end them when the block ends.

        Raises:
            MemoryError: A process was ended from outside, as the system does when memory runs out.
        """
        executor = ProcessPoolExecutor(
            count_workers(), mp_context=get_context("fork"), initializer=_begin, initargs=(known, os.getpid())
        )
        try:
            with warnings.catch_warnings(), executor:
                warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
                yield WorkerPool(executor, _work)
        except BrokenProcessPool as error:
            raise MemoryError("a process of the engine was ended, as the system does when memory runs out") from error


FORKS: Final = Forks()


def choose_workers() -> WorkerPools:
    """Return the worker pool for a process that runs only the engine."""
    return FORKS if sys.platform == "linux" else THREADS


def count_workers() -> int:
    """Return the number of parallel processes."""
    return min(WORKERS_MAX, len(os.sched_getaffinity(0)))


_KNOWN: list[Any] = []


def _begin(known: object, parent: int) -> None:
    """Prepare a forked process: it ends at once when interrupted, and when its parent ends."""
    _KNOWN[:] = [known]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """Watch the parent process, and end this one when `parent` is no longer its id. Never returns."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _work(work: Callable[[Any, T], R], task: T) -> R:
    return work(_KNOWN[0], task)
