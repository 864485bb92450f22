"""The projector: one reader of the whole log, dispatching to every projection.

Invariants:
    1. Rows and position of a projection move in one transaction, and the fence comes first in it.
    2. An event at or below a projection's position is not applied again, however often it is delivered.
    3. No event is left out, even when a crash of PostgreSQL undid commits that were answered.
    4. A projector whose epoch is over stops by `Conflict` before it has written anything.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from marketplace.core.errors import Conflict, Unavailable
from marketplace.log.port import Log, Recorded
from marketplace.projections.ahead import read_ahead
from marketplace.projections.database import reachable
from marketplace.projections.facts import Fact, parse_facts
from marketplace.projections.positions import Position, advance, announce, claim, load_positions
from marketplace.projections.projection import Projection

BATCH_EVENTS_MAX: Final = 1_000
_MOVED_TRIES_MAX: Final = 5
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a projector waits for PostgreSQL between tries; it waits for as long as it takes."""

    seconds_first: float = 0.1
    seconds_max: float = 5.0


class Projector:
    """Applies the log to projections; the newest projector of a projection is the only one that writes."""

    def __init__(
        self,
        log: Log,
        engine: AsyncEngine,
        projections: Sequence[Projection],
        *,
        backoff: Backoff = Backoff(),
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._log = log
        self._engine = engine
        self._projections = {projection.name: projection for projection in projections}
        self._backoff = backoff
        self._on_batch = on_batch
        self._owned: dict[str, Position] = {}

    @property
    def position(self) -> int:
        """Return the position that all of its projections have reached."""
        return min((owned.position for owned in self._owned.values()), default=0)

    async def run(self) -> None:
        """Follow the log for ever; PostgreSQL may come and go meanwhile.

        Raises:
            Conflict: A second projector took over.
            Corrupt: The log holds an event that this release cannot read or that a projection does not know.
        """
        await self._patiently(self.claim)
        async for page in read_ahead(self._log.read(self.position, follow=True)):
            await self._patiently(lambda page=page: self.apply(page))  # type: ignore[misc]

    async def catch_up(self) -> int:
        """Apply what the log holds now, and return the position.

        Raises:
            Conflict: A second projector took over.
            Corrupt: As `run`.
            Unavailable: PostgreSQL or the log is away.
        """
        if not self._owned:
            await self.claim()
        async for page in read_ahead(self._log.read(self.position)):
            await self.apply(page)
        return self.position

    async def claim(self) -> None:
        """Become the only projector of these projections.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with reachable(), self._engine.begin() as connection:
            self._owned = await claim(connection, list(self._projections.values()))

    async def apply(self, page: Sequence[Recorded]) -> None:
        """Apply one page of the log, in batches of at most 1,000 events.

        Raises:
            Conflict: A second projector took over; nothing of the batch was written.
            Corrupt: As `run`.
            Unavailable: PostgreSQL is away.
        """
        if page and page[0].sequence > self.position + 1:
            await self._recover(page[0].sequence - 1)
        facts = parse_facts(page, self.position)
        for begin in range(0, len(facts), BATCH_EVENTS_MAX):
            await self._apply_batch(facts[begin : begin + BATCH_EVENTS_MAX])

    async def _apply_batch(self, facts: Sequence[Fact]) -> None:
        last = facts[-1].sequence
        for _ in range(_MOVED_TRIES_MAX):
            behind = [owned for owned in self._owned.values() if owned.position < last]
            async with reachable(), self._engine.begin() as connection:
                moved = await advance(connection, behind, last)
                if len(moved) == len(behind):
                    await self._write(connection, behind, facts)
                    await announce(connection, last)
                else:
                    await connection.rollback()
            if len(moved) == len(behind):
                self._owned |= {owned.name: replace(owned, position=last) for owned in behind}
                if self._on_batch is not None:
                    self._on_batch(last)
                return
            await self._reload()
            if self.position < facts[0].sequence - 1:
                await self._recover(facts[0].sequence - 1)
        raise Conflict("projection_positions", last, self.position)

    async def _recover(self, until: int) -> None:
        """Apply what lies between the position and the page at hand.

        A commit is asynchronous, so a crash of PostgreSQL may set rows and positions back to an earlier moment.
        """
        _logger.warning("projections were set back", position=self.position, until=until)
        async for page in self._log.read(self.position):
            missing = [recorded for recorded in page if recorded.sequence <= until]
            for begin in range(0, len(missing), BATCH_EVENTS_MAX):
                await self._apply_batch(parse_facts(missing[begin : begin + BATCH_EVENTS_MAX]))
            if page[-1].sequence >= until:
                return

    async def _write(self, connection: AsyncConnection, behind: Sequence[Position], facts: Sequence[Fact]) -> None:
        for owned in behind:
            batch = facts if owned.position < facts[0].sequence else [f for f in facts if f.sequence > owned.position]
            await self._projections[owned.name].apply(batch, connection)

    async def _reload(self) -> None:
        """Read positions again: a rebuild may have moved one, a second projector may own it."""
        async with reachable(), self._engine.connect() as connection:
            found = {(p.name, p.version): p for p in await load_positions(connection) if p.live}
        for name, owned in self._owned.items():
            stored = found.get((name, owned.version))
            if stored is None or stored.epoch != owned.epoch:
                raise Conflict(f"projection {name}", owned.epoch, None if stored is None else stored.epoch)
            self._owned[name] = stored

    async def _patiently(self, step: Callable[[], object]) -> None:
        seconds = self._backoff.seconds_first
        while True:
            try:
                await step()  # type: ignore[misc]
            except Unavailable as error:
                _logger.warning("projector waits", reason=str(error), seconds=seconds)
                await asyncio.sleep(seconds)
                seconds = min(seconds * 2, self._backoff.seconds_max)
            else:
                return
