"""The client for programs that do not use asyncio: every method of `MarketplaceClient`, made to wait for its answer.

`sync.pyi` states the signatures. ``scripts/render_contracts.py`` writes it from the async client's.
"""

import atexit
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from marketplace.client.market import MarketplaceClient
from marketplace.client.transport import Group

_END: Final = object()


class SyncMarketplaceClient:
    """Speaks to one API with one key, without asyncio; use it as a context manager, or close it.

    Requests run on an event loop in a thread of their own, so several threads may use one client. The first call or
    the ``with`` block starts the thread. A client that nobody closes is closed when the program exits.

    Args:
        base_url: As `MarketplaceClient`.
        api_key: As `MarketplaceClient`.
        transport: As `MarketplaceClient`.

    Raises:
        ValueError: As `MarketplaceClient`.
        RuntimeError: A method is called after the ``with`` block or after `close`.
    """

    def __init__(self, base_url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = MarketplaceClient(base_url, api_key, transport)
        self._closing = ExitStack()
        self._closed = False
        self._portal: BlockingPortal | None = None
        self._opening = threading.Lock()
        for name, group in vars(self._client).items():
            if isinstance(group, Group):
                setattr(self, name, _WaitingGroup(group, self._call))

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opening:
            self._portal, self._closed = None, True
        self._closing.__exit__(kind, error, trace)
        atexit.unregister(self.close)

    def close(self) -> None:
        """Close the connections and end the thread; a second time does nothing."""
        self.__exit__(None, None, None)

    def _open(self) -> BlockingPortal:
        with self._opening:
            if self._portal is not None:
                return self._portal
            if self._closed:
                raise RuntimeError("the client is closed: it is used outside its `with` block or after `close`")
            with ExitStack() as closing:
                portal = closing.enter_context(start_blocking_portal())
                closing.enter_context(portal.wrap_async_context_manager(self._client))
                self._closing = closing.pop_all()
            self._portal = portal
            # While the interpreter ends, it no longer runs the thread, so that whoever closed then would wait for ever.
            atexit.register(self.close)
            return portal

    @property
    def last_sequence(self) -> int:
        """The position that reads wait for."""
        return self._client.last_sequence

    @last_sequence.setter
    def last_sequence(self, sequence: int) -> None:
        self._client.last_sequence = sequence

    def _call(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        waiting = self._open().start_task_soon(functools.partial(function, *given, **named))
        try:
            answer = waiting.result()
        finally:
            waiting.cancel()  # the caller was interrupted
        return self._iterate(answer) if isinstance(answer, AsyncIterator) else answer

    def _iterate(self, rows: AsyncIterator[Any]) -> Iterator[Any]:
        try:
            while (row := self._call(anext, rows, _END)) is not _END:
                yield row
        except GeneratorExit:
            if inspect.isasyncgen(rows) and self._portal is not None:
                self._call(rows.aclose)
            raise


class _WaitingGroup:
    """A group of operations whose methods wait for their answers."""

    def __init__(self, group: Group, call: Callable[..., Any]) -> None:
        for name, method in inspect.getmembers(group, inspect.ismethod):
            if not name.startswith("_"):
                setattr(self, name, functools.partial(call, method))


def _wait_for(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: SyncMarketplaceClient, *given: Any, **named: Any) -> Any:
        return self._call(method, self._client, *given, **named)

    del call.__wrapped__  # type: ignore[attr-defined] - it is no coroutine function, unlike the method
    call.__qualname__ = f"{SyncMarketplaceClient.__name__}.{name}"
    return call


for _name, _method in inspect.getmembers(MarketplaceClient, inspect.isfunction):
    if not _name.startswith("_") and _name != "close":
        setattr(SyncMarketplaceClient, _name, _wait_for(_name, _method))
