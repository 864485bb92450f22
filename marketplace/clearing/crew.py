"""Who works side by side: threads of this process, or processes forked from it. What comes out is the same.

A solver lets go of Python's lock, so that threads serve it; everything else gains by processes alone. A forked process
knows what this one knew when the crew was called, without a copy of it being sent, and sends back its answers. Forking
is for processes of the engine's own, which have no other threads that hold locks: for anything else there are threads.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from enum import Enum
from multiprocessing import get_context
from typing import Any, Final, Generic, TypeVar

WORKERS_MAX: Final = 4
WATCH_SECONDS: Final = 0.5
K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


class Hands(Enum):
    """Which workers a clearing may call for."""

    THREADS = "threads"
    PROCESSES = "processes"

    @property
    def fork(self) -> bool:
        """Whether workers are processes, which only Linux forks safely."""
        return self is Hands.PROCESSES and sys.platform == "linux"


class Crew(Generic[K]):
    """Workers that know the same, each of which does one task after the other."""

    def __init__(self, executor: Executor, known: K, *, forked: bool) -> None:
        self._executor, self._known, self._forked = executor, known, forked

    def submit(self, work: Callable[[K, T], R], task: T) -> Future[R]:
        """Begin a task; a crew of threads must leave what is known as it is."""
        if self._forked:
            return self._executor.submit(_work, work, task)
        return self._executor.submit(work, self._known, task)

    def map(self, work: Callable[[K, T], R], tasks: Iterable[T]) -> list[R]:
        """Do tasks and return what comes out, in their order."""
        return [doing.result() for doing in [self.submit(work, task) for task in tasks]]


@contextmanager
def call_crew(hands: Hands, known: K) -> Iterator[Crew[K]]:
    """Call workers who all know the same, and send them home at the end.

    Raises:
        MemoryError: A process was ended from outside, as the system does where memory runs out.
    """
    if not hands.fork:
        with ThreadPoolExecutor(count_workers()) as threads:
            yield Crew(threads, known, forked=False)
        return
    executor = ProcessPoolExecutor(
        count_workers(), mp_context=get_context("fork"), initializer=_begin, initargs=(known, os.getpid())
    )
    try:
        with warnings.catch_warnings(), executor:
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            yield Crew(executor, known, forked=True)
    except BrokenProcessPool as error:
        raise MemoryError("a process of the engine was ended, as the system does where memory runs out") from error


def map_apart(hands: Hands, known: K, work: Callable[[K, T], R], tasks: list[T]) -> list[R]:
    """Do tasks that change what is known and put it back: side by side in processes, else one after the other."""
    if not hands.fork or count_workers() == 1:
        return [work(known, task) for task in tasks]
    with call_crew(hands, known) as crew:
        return crew.map(work, tasks)


def count_workers() -> int:
    """Return how many workers a crew has: as many as this process has cores, a few at most."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(WORKERS_MAX, cores)


_KNOWN: list[Any] = []


def _begin(known: object, parent: int) -> None:
    """Prepare a forked process: it ends at once when interrupted, and with the process that forked it."""
    _KNOWN[:] = [known]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """End this process as soon as its parent is not that process any more."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _work(work: Callable[[Any, T], R], task: T) -> R:
    return work(_KNOWN[0], task)
