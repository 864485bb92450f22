"""Read your writes: wait until the projections have reached a sequence, within a bound.

A projector announces each position by NOTIFY in the transaction that reaches it. A bounded poll covers a lost
listener, so that a wait ends at the latest one poll after the rows are there.

An announced position is a hint and no proof: commits are asynchronous, so a crash of PostgreSQL may take back rows
that were announced. Each connection is therefore asked how far its rows are before they are read. Rows of
one connection never go back, since a crash ends it.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import ClauseElement, Connection, Table, TextClause, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import visitors

from marketplace.core.errors import Unavailable
from marketplace.projections.engine.database import connect_driver, reachable
from marketplace.projections.engine.positions import CHANNEL, load_reached
from marketplace.projections.engine.projection import Projection

POLL_SECONDS: Final = 0.25
WAIT_SECONDS_MAX: Final = 30.0
_TABLES_OF_TEXT: Final = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")
_logger = structlog.get_logger(__name__)


class PositionWatch:
    """Follows the position that every live projection that did not stop has reached.

    Attributes:
        stopped: Positions of the projections that stopped before an event that they cannot pass, by name.
    """

    def __init__(self, engine: AsyncEngine, projections: Sequence[Projection]) -> None:
        self._engine = engine
        self._projections = projections
        self._position = 0
        self.stopped: Mapping[str, int] = {}
        self._stood: tuple[int, float] | None = None
        self._tables = {table.name: one.name for one in projections for table in one.tables}
        event.listen(engine.sync_engine, "before_execute", self._refuse_stopped)
        self._moved = asyncio.Event()

    @property
    def position(self) -> int:
        """Return the highest position known; the database may be ahead of it."""
        return self._position

    def count_standstill(self, end: int, now: float) -> float:
        """Return for how many seconds calls have seen the same position and more events in the log; 0 at the first.

        Args:
            end: The log's last event.
            now: The time of this call, by a clock that only goes on.
        """
        if self._position >= end:
            self._stood = None
            return 0.0
        if self._stood is None or self._stood[0] != self._position:
            self._stood = (self._position, now)
        return now - self._stood[1]

    async def wait_for(self, position: int, timeout_seconds: float = 5.0) -> None:
        """Return once every projection that did not stop has reached `position`.

        Raises:
            Unavailable: They did not within `timeout_seconds` (at most 30), or PostgreSQL cannot be reached.
        """
        bound = min(timeout_seconds, WAIT_SECONDS_MAX)
        try:
            async with asyncio.timeout(bound):
                while self._position < position:
                    await self._step()
        except TimeoutError:
            raise Unavailable(
                "projections", f"they are at {self._position} and did not reach {position} within {bound} s"
            ) from None

    @contextlib.asynccontextmanager
    async def connect(self, position: int, timeout_seconds: float = 5.0) -> AsyncIterator[AsyncConnection]:
        """Yield a connection on which every projection's rows are as of `position` or later.

        A statement on the tables of a projection that stopped before `position` is refused.

        Raises:
            Unavailable: As `wait_for`; or a statement is about a projection that stopped before `position`.
        """
        deadline = time.monotonic() + min(timeout_seconds, WAIT_SECONDS_MAX)
        while True:
            await self.wait_for(position, max(0.0, deadline - time.monotonic()))
            async with reachable(), self._engine.connect() as connection:
                reached = await load_reached(connection, self._projections)
                if reached.position >= position:
                    stopped = {name: at for name, at in reached.stopped.items() if at < position}
                    yield await connection.execution_options(stopped=stopped) if stopped else connection
                    return
            _logger.warning("projections_went_back", announced=self._position, position=reached.position)
            self._position = reached.position

    async def _step(self) -> None:
        moved = self._moved
        await self.refresh()
        if self._moved is moved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), POLL_SECONDS)

    async def refresh(self) -> int:
        """Read the position from the database and return it.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        async with reachable(), self._engine.connect() as connection:
            reached = await load_reached(connection, self._projections)
        self.stopped = reached.stopped
        self._advance(reached.position)
        return self._position

    def _advance(self, position: int) -> None:
        if position > self._position:
            self._position = position
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    def _refuse_stopped(self, connection: Connection, statement: ClauseElement, *_: object) -> None:
        """Refuse a statement on tables of a projection that stopped before what the connection promises.

        Raises:
            Unavailable: It is such a statement.
        """
        stopped: Mapping[str, int] | None = connection.get_execution_options().get("stopped")
        if not stopped:
            return
        if isinstance(statement, TextClause):
            names = set(_TABLES_OF_TEXT.findall(statement.text))
        else:
            names = {part.name for part in visitors.iterate(statement) if isinstance(part, Table)}
        for name in sorted(self._tables[table] for table in names if table in self._tables):
            if name in stopped:
                raise Unavailable(
                    "a stopped projection",
                    f"{name} stopped at event {stopped[name]}; `marketplace projections list` says why",
                )

    def _hear(self, _connection: Any, _process: int, _channel: str, payload: object) -> None:
        self._advance(int(str(payload)))

    async def listen(self) -> None:
        """Follow announcements for ever, also across outages of PostgreSQL; run it as a task."""
        while True:
            with contextlib.suppress(Unavailable):
                await self._listen_once()
            await asyncio.sleep(POLL_SECONDS)

    async def _listen_once(self) -> None:
        connection: asyncpg.Connection[Any] = await connect_driver(self._engine)
        ended = asyncio.Event()
        try:
            async with reachable():
                connection.add_termination_listener(lambda _connection: ended.set())
                await connection.add_listener(CHANNEL, self._hear)
                self._position = 0  # a crash of PostgreSQL may have undone commits that were announced
                await self.refresh()
                await ended.wait()
        finally:
            connection.terminate()


@contextlib.asynccontextmanager
async def watch(engine: AsyncEngine, projections: Sequence[Projection]) -> AsyncIterator[PositionWatch]:
    """Yield a watch that listens until the block ends."""
    followed = PositionWatch(engine, projections)
    task = asyncio.create_task(followed.listen(), name="projections position watch")
    try:
        yield followed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
