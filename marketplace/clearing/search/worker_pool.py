"""Worker pools: threads of this process, or whatever workers a caller provides. The results are the same.

A solver releases Python's lock, so threads suffice for it. All other work runs in parallel in processes only, which a
caller with a process of its own may provide (`runtime/auctions/forking.py`).
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
    """Workers that share the same data; each runs one task after another.

    Args:
        executor: Runs the tasks.
        call: The function that the executor runs, given some work and a task.
    """

    def __init__(self, executor: Executor, call: Callable[..., Any]) -> None:
        self._executor, self._call = executor, call

    def submit(self, work: Callable[[K, T], R], task: T) -> Future[R]:
        """Start a task; where workers are threads it must not change the shared data."""
        return self._executor.submit(self._call, work, task)

    def map(self, work: Callable[[K, T], R], tasks: Iterable[T]) -> list[R]:
        """Run tasks and return their results in the order of the tasks."""
        return [pending.result() for pending in [self.submit(work, task) for task in tasks]]


class WorkerPools(Protocol):
    """Starts the workers of a clearing."""

    @property
    def isolated(self) -> bool:
        """Whether each worker has a copy of the shared data of its own, and may change it."""
        ...

    def start(self, known: K) -> AbstractContextManager[WorkerPool[K]]:
        """Start workers that share `known`, and stop them at the end."""
        ...


class Threads:
    """Threads of this process."""

    isolated = False

    @contextmanager
    def start(self, known: K) -> Iterator[WorkerPool[K]]:
        """Start some threads."""
        with ThreadPoolExecutor(WORKERS) as threads:
            yield WorkerPool(threads, lambda work, task: work(known, task))


THREADS: Final = Threads()


def map_isolated(workers: WorkerPools, known: K, work: Callable[[K, T], R], tasks: list[T]) -> list[R]:
    """Run tasks that change the shared data and restore it, in parallel only where workers are isolated."""
    if not workers.isolated:
        return [work(known, task) for task in tasks]
    with workers.start(known) as worker_pool:
        return worker_pool.map(work, tasks)
