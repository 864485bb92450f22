"""Read your writes: wait until the projections have reached a sequence, within a bound.

A projector announces each position by NOTIFY in the transaction that reaches it. A bounded poll covers a lost
listener, so that a wait ends at the latest one poll after the rows are there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Unavailable
from marketplace.projections.database import connect_driver, reachable
from marketplace.projections.positions import CHANNEL, load_lowest
from marketplace.projections.projection import Projection

POLL_SECONDS: Final = 0.25
WAIT_SECONDS_MAX: Final = 30.0


class PositionWatch:
    """Follows the position that every live projection has reached."""

    def __init__(self, engine: AsyncEngine, projections: Sequence[Projection]) -> None:
        self._engine = engine
        self._projections = projections
        self._position = 0
        self._moved = asyncio.Event()

    @property
    def position(self) -> int:
        """Return the highest position known; the database may be ahead of it."""
        return self._position

    async def wait_for(self, position: int, timeout_seconds: float = 5.0) -> None:
        """Return once every projection has reached `position`.

        Raises:
            Unavailable: They did not within `timeout_seconds` (at most 30), or PostgreSQL is away.
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

    async def _step(self) -> None:
        moved = self._moved
        await self.refresh()
        if self._moved is moved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), POLL_SECONDS)

    async def refresh(self) -> int:
        """Read the position from the database and return it.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with reachable(), self._engine.connect() as connection:
            self._advance(await load_lowest(connection, self._projections))
        return self._position

    def _advance(self, position: int) -> None:
        if position > self._position:
            self._position = position
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    def _hear(self, _connection: Any, _process: int, _channel: str, payload: object) -> None:
        self._advance(int(str(payload)))

    async def listen(self) -> None:
        """Follow announcements for ever, and come back after PostgreSQL was away; run it as a task."""
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
