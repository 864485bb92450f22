"""The projector: one reader of the whole log, dispatching to every projection.

Invariants:
    1. Rows and position of a projection move in one transaction, and the fence comes first in it.
    2. An event at or below a projection's position is not applied again, however often it is delivered.
    3. No event is left out, even if a crash of PostgreSQL undoes commits that it had confirmed.
    4. A projector whose epoch is over stops by `Conflict` before it has written anything.
    5. A projection that cannot pass an event stops alone, before it, and its row says why; the others go on. It
       resumes by itself once the event is annotated or the projection was rebuilt.
    6. A projection whose rows are of a higher version than this release makes is stopped likewise. Its rows stay as a
       newer release left them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from marketplace.core.errors import Conflict, Corrupt, LogChanged, Unavailable, UnreadableEvent
from marketplace.log.annotations import get_hash
from marketplace.log.port import Log, Recorded
from marketplace.log.watched import Mark
from marketplace.projections.engine.database import TableMissing, reachable
from marketplace.projections.engine.positions import Position, advance, claim, leave_newer, load_positions, stop
from marketplace.projections.engine.prefetch import read_ahead
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.recorded_events import RecordedEvent, parse_fact
from marketplace.projections.engine.seen import announce

BATCH_EVENTS_MAX: Final = 1_000
REVIVE_SECONDS: Final = 1.0
"""How often a projector checks whether a stopped projection may continue."""

_MOVED_TRIES_MAX: Final = 5
_DEFECTS: Final = (Corrupt, TableMissing, DBAPIError, AssertionError, LookupError, ArithmeticError)
"""The errors of a projection that cannot make rows from an event."""
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pauses between a projector's attempts to reach PostgreSQL. The number of attempts has no bound."""

    seconds_first: float = 0.1
    seconds_max: float = 5.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events that are applied in one transaction.

    Attributes:
        first: Sequence of the first.
        last: The last one seen.
        facts: Those that have an effect, decoded.
    """

    first: int
    last: Mark
    facts: Sequence[RecordedEvent]


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
        self._log_id = ""
        self._writing = asyncio.Lock()

    @property
    def position(self) -> int:
        """Return the position that all projections that did not stop have reached."""
        every = self._owned.values()
        going = [owned.position for owned in every if owned.stopped_at is None]
        return min(going or [owned.position for owned in every], default=0)

    @property
    def stopped(self) -> dict[str, Position]:
        """Return the projections that stopped, by name."""
        return {name: owned for name, owned in self._owned.items() if owned.stopped_at is not None}

    async def run(self) -> None:
        """Follow the log for ever, also across outages of PostgreSQL.

        Raises:
            Conflict: A second projector took over.
        """
        await self._patiently(self.claim)
        reviving = asyncio.create_task(self._revive())
        try:
            async for page in read_ahead(self._log.read(self.position, follow=True)):
                await self._patiently(lambda page=page: self.apply(page))  # type: ignore[misc]
                if reviving.done():
                    reviving.result()
        finally:
            reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reviving

    async def catch_up(self) -> int:
        """Apply what the log holds now, and return the position.

        Raises:
            Conflict: A second projector took over.
            Unavailable: PostgreSQL or the log cannot be reached.
        """
        if not self._owned:
            await self.claim()
        async for page in read_ahead(self._log.read(self.position)):
            await self.apply(page)
        return self.position

    async def claim(self) -> None:
        """Become the only projector of these projections; those that stopped are tried again.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        async with reachable(), self._engine.begin() as connection:
            self._owned = await claim(connection, list(self._projections.values()))
        self._report_newer(self._owned.values())

    async def apply(self, page: Sequence[Recorded]) -> None:
        """Apply one page of the log, in batches of at most 1,000 events.

        Raises:
            Conflict: A second projector took over; nothing of the batch was written.
            Unavailable: PostgreSQL cannot be reached.
        """
        async with self._writing:
            if page and page[0].sequence > self.position + 1:
                await self._recover(page[0].sequence - 1)
            await self._apply([recorded for recorded in page if recorded.sequence > self.position])

    async def _apply(self, events: Sequence[Recorded]) -> None:
        """Apply events to the projections that did not stop; stop those that cannot pass one."""
        for begin in range(0, len(events), BATCH_EVENTS_MAX):
            some = events[begin : begin + BATCH_EVENTS_MAX]
            facts: list[RecordedEvent] = []
            first = 0
            for index, recorded in enumerate(some):
                try:
                    facts += [] if recorded.void else [parse_fact(recorded)]
                except UnreadableEvent as error:
                    if index > first:
                        await self._apply_batch(await self._build(some[first:index], facts))
                    await self._stop(self._list_needing(recorded), recorded.sequence, error)
                    first, facts = index, []
            await self._apply_batch(await self._build(some[first:], facts))

    def _list_needing(self, recorded: Recorded) -> list[str]:
        """Return the projections that did not pass a message yet and whose rows it may change."""
        return [
            name
            for name in self._list_going()
            if self._owned[name].position < recorded.sequence and self._projections[name].needs(recorded)
        ]

    async def _build(self, events: Sequence[Recorded], facts: list[RecordedEvent]) -> _Batch:
        if not self._log_id:
            first = await self._log.find(1)
            self._log_id = "" if first is None else get_hash(first)
        last = events[-1]
        return _Batch(events[0].sequence, Mark("PostgreSQL", last.sequence, get_hash(last), self._log_id), facts)

    def _list_going(self) -> list[str]:
        return [name for name, owned in self._owned.items() if owned.stopped_at is None]

    async def _apply_batch(self, batch: _Batch) -> None:
        try:
            await self._write_batch(batch, self._list_going(), whole=True)
        except LogChanged:
            raise
        except _DEFECTS as error:
            _logger.warning("projections_apply_alone", first=batch.first, reason=str(error))
            for name in self._list_going():
                await self._write_alone(batch, name)

    async def _write_alone(self, batch: _Batch, name: str) -> None:
        """Apply a batch to one projection. If that fails, apply single events, up to the one that it cannot pass."""
        try:
            await self._write_batch(batch, [name])
        except _DEFECTS:
            for fact in batch.facts:
                if fact.sequence <= self._owned[name].position:
                    continue
                single = _Batch(fact.sequence, replace(batch.last, sequence=fact.sequence), [fact])
                try:
                    await self._write_batch(single, [name])
                except _DEFECTS as error:
                    await self._stop([name], fact.sequence, error)
                    return
            await self._write_batch(batch, [name])

    async def _write_batch(self, batch: _Batch, names: Collection[str], *, whole: bool = False) -> None:
        """Apply a batch to some projections in one transaction.

        Raises:
            Conflict: A second projector took over.
            Unavailable: PostgreSQL cannot be reached.
        """
        last = batch.last.sequence
        for _ in range(_MOVED_TRIES_MAX):
            owned = [self._owned[name] for name in names]
            behind = [at for at in owned if at.stopped_at is None and at.position < last]
            async with reachable(), self._engine.begin() as connection:
                moved = await advance(connection, behind, last)
                if len(moved) == len(behind):
                    await self._write(connection, behind, batch)
                    if whole:
                        await announce(connection, batch.last)
                else:
                    await connection.rollback()
            if len(moved) == len(behind):
                self._owned |= {at.name: replace(at, position=last) for at in behind}
                if whole and self._on_batch is not None:
                    self._on_batch(last)
                return
            await self._reload()
            if self.position < batch.first - 1:
                await self._recover(batch.first - 1)
        raise Conflict("projection_positions", last, self.position)

    async def _recover(self, until: int) -> None:
        """Apply the events after the position, up to the sequence `until`.

        Commits are asynchronous, so a crash of PostgreSQL may set rows and positions back to an earlier moment.
        """
        _logger.warning("projections were set back", position=self.position, until=until)
        async for page in self._log.read(self.position):
            missing = [recorded for recorded in page if recorded.sequence <= until]
            await self._apply(missing)
            if page[-1].sequence >= until:
                return

    async def _write(self, connection: AsyncConnection, behind: Sequence[Position], batch: _Batch) -> None:
        for owned in behind:
            facts = [fact for fact in batch.facts if fact.sequence > owned.position]
            await self._projections[owned.name].apply(facts, connection)

    async def _reload(self) -> None:
        """Read positions again: a rebuild may have moved one, a second projector may own it.

        Raises:
            Conflict: A second projector owns one of them.
        """
        async with reachable(), self._engine.begin() as connection:
            found = {p.name: p for p in await load_positions(connection) if p.live}
            newer: list[Position] = []
            for name, owned in self._owned.items():
                stored = found.get(name)
                if stored is None or stored.epoch != owned.epoch:
                    raise Conflict(f"projection {name}", owned.epoch, None if stored is None else stored.epoch)
                at = self._owned[name] = leave_newer(stored, self._projections[name])
                newer += [at] if at.stopped_because != stored.stopped_because else []
            await stop(connection, newer)
        self._report_newer(newer)

    def _report_newer(self, positions: Collection[Position]) -> None:
        for at in positions:
            if at.version > self._projections[at.name].version:
                _logger.error("projection_left_to_newer_release", name=at.name, reason=at.stopped_because)

    async def _stop(self, names: Collection[str], sequence: int, error: Exception) -> None:
        """Stop projections before an event that they cannot pass."""
        stopped = [replace(self._owned[name], stopped_at=sequence, stopped_because=str(error)) for name in names]
        if not stopped:
            _logger.error("event_unreadable", sequence=sequence, reason=str(error))
            return
        async with reachable(), self._engine.begin() as connection:
            await stop(connection, stopped)
        self._owned |= {owned.name: owned for owned in stopped}
        _logger.error("projections_stopped", names=sorted(names), sequence=sequence, reason=str(error))

    async def _revive(self) -> None:
        """Let stopped projections continue once the cause is gone; run it as a task.

        Raises:
            Conflict: A second projector took over.
        """
        while True:
            await asyncio.sleep(REVIVE_SECONDS)
            passable: dict[int, bool] = {}
            with contextlib.suppress(Unavailable):
                for name in list(self.stopped):
                    await self.revive(name, passable)

    async def revive(self, name: str, passable: dict[int, bool] | None = None) -> bool:
        """Let a stopped projection continue if its event was annotated or it was rebuilt. Return whether it continues.

        Args:
            name: The projection.
            passable: Whether events that were looked at just now can be passed, by sequence; this call adds its own.
                The log takes a second to confirm an empty position, at which every projection may have stopped.

        Raises:
            Conflict: A second projector took over.
            Unavailable: PostgreSQL or the log cannot be reached.
        """
        passable = {} if passable is None else passable
        async with self._writing:
            await self._reload()
            at = self._owned[name]
            if at.version > self._projections[name].version:
                return False
            if at.stopped_at is not None:
                if at.stopped_at not in passable:
                    passable[at.stopped_at] = await self._is_passable(at.stopped_at)
                if not passable[at.stopped_at]:
                    return False
            going = replace(at, stopped_at=None, stopped_because=None)
            target = self.position
            self._owned[name] = going
            if going.position < target:
                await self._recover(target)
            if self._owned[name].stopped_at is not None:
                return False
            async with reachable(), self._engine.begin() as connection:
                await stop(connection, [self._owned[name]])
        _logger.info("projection_resumed", name=name, position=self._owned[name].position)
        return True

    async def _is_passable(self, sequence: int) -> bool:
        """Return whether an event can be read now, or an annotation lets readers pass it."""
        recorded = await self._log.find(sequence)
        if recorded is None:
            return False
        try:
            return recorded.void or bool(parse_fact(recorded))
        except UnreadableEvent:
            return False

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
