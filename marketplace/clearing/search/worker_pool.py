"""Who works side by side: threads here, or whatever workers a caller has. What comes out is the same.

A solver lets go of Python's lock, so that threads serve it; everything else gains by processes alone, which a caller
that has a process to itself may give (`runtime/auctions/forking.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

WORKERS: Final = 2
K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


class WorkerPool(Generic[K]):
    """Workers that know the same, each of which does one task after the other.

    Args:
        executor: Who does the tasks.
        call: What the executor is asked to do: some work and a task.
    """

    def __init__(self, executor: Executor, call: Callable[..., Any]) -> None:
        self._executor, self._call = executor, call

    def submit(self, work: Callable[[K, T], R], task: T) -> Future[R]:
        """Begin a task; where workers are threads it must leave what is known as it is."""
        return self._executor.submit(self._call, work, task)

    def map(self, work: Callable[[K, T], R], tasks: Iterable[T]) -> list[R]:
        """Do tasks and return what comes out, in their order."""
        return [doing.result() for doing in [self.submit(work, task) for task in tasks]]


class WorkerPools(Protocol):
    """Which workers a clearing may call for."""

    @property
    def apart(self) -> bool:
        """Whether each worker has what is known to itself, and may change it."""
        ...

    def call(self, known: K) -> AbstractContextManager[WorkerPool[K]]:
        """Call workers who all know the same, and send them home at the end."""
        ...


class Threads:
    """Threads of this process."""

    apart = False

    @contextmanager
    def call(self, known: K) -> Iterator[WorkerPool[K]]:
        """Call some threads."""
        with ThreadPoolExecutor(WORKERS) as threads:
            yield WorkerPool(threads, lambda work, task: work(known, task))


THREADS: Final = Threads()


def map_isolated(hands: WorkerPools, known: K, work: Callable[[K, T], R], tasks: list[T]) -> list[R]:
    """Do tasks that change what is known and put it back: side by side, or where all share it one after the other."""
    if not hands.apart:
        return [work(known, task) for task in tasks]
    with hands.call(known) as crew:
        return crew.map(work, tasks)
