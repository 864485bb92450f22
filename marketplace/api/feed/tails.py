"""The latest events, read once for all streams of a process and rendered once for those with the same rights.

Streams that follow the feed share a tail: one for each reader and selection. One task reads for all tails, with one
query for each round, whatever the number of streams. A stream that is behind its tail, and every stream while something
fails, reads by itself; it reports failures to its client.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

import structlog

from marketplace.api.feed.feed import (
    BODIES_AT_ONCE_MAX,
    Selection,
    find_all,
    hides_hash,
    hides_person,
    is_limited,
    load_whole,
    render_item,
    render_message,
)
from marketplace.api.http.services import Services
from marketplace.api.http.streams import OpenStream
from marketplace.core.errors import Unavailable, UnreadableEvent
from marketplace.log.port import Recorded
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.positions import load_reached
from marketplace.projections.feed import PROJECTION, EventView, list_concerned
from marketplace.projections.feed.visibility import EVERYONE

ROUND_EVENTS_MAX: Final = 500
TAIL_BYTES_MAX: Final = 262_144
"""Messages of earlier rounds that a tail keeps for streams that are behind."""
PACE_SECONDS: Final = 0.01
WRITE_SECONDS: Final = 0.0005
"""The pause after a round, for each stream that it gave something, so that writing to many leaves time for commands."""
FAILURE_SECONDS: Final = 1.0
PROJECTION_SECONDS_MAX: Final = 5.0
_logger = structlog.get_logger(__name__)


class Tail:
    """The latest messages for streams with the same rights and selection.

    Attributes:
        party_id: The tenant that reads; None for the platform.
        selection: What its streams ask for.
        position: It has every message up to this sequence.
        ended: It will not get more; its streams read by themselves.
        streams: Those that follow it.
    """

    def __init__(self, party_id: str | None, selection: Selection, position: int) -> None:
        self.party_id = party_id
        self.selection = selection
        self.position = position
        self.ended = False
        self.streams: set[OpenStream] = set()
        self._begin = position
        self._messages: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._joined: tuple[int, int, bytes] = (-1, -1, b"")

    def add(self, sequence: int, message: bytes) -> None:
        """Add the message of an event."""
        self._messages.append((sequence, message))
        self._bytes += len(message)

    def advance(self, position: int) -> None:
        """Note that every message up to a position was added, and wake the streams if there are any."""
        wakes = bool(self._messages) and self._messages[-1][0] > self.position
        self.position = max(self.position, position)
        if wakes:
            self._wake()

    def trim(self) -> None:
        """Forget old messages, before others are added."""
        while self._bytes > TAIL_BYTES_MAX:
            self._begin, message = self._messages.popleft()
            self._bytes -= len(message)

    def end(self) -> None:
        """Let the streams read by themselves."""
        self.ended = True
        self._wake()

    def take(self, after: int) -> tuple[int, bytes] | None:
        """Return the messages above a sequence, and the position that they reach; None if some are forgotten."""
        if after < self._begin:
            return None
        last = self._messages[-1][0] if self._messages else 0
        position = max(after, self.position, last)
        if self._joined[:2] != (after, position):
            newer = takewhile(lambda item: item[0] > after, reversed(self._messages))
            self._joined = (after, position, b"".join(reversed([message for _, message in newer])))
        return position, self._joined[2]

    def _wake(self) -> None:
        for stream in self.streams:
            stream.wake.set()


Read = Callable[[Services, Sequence[Tail]], Coroutine[Any, Any, bool]]
"""Adds to tails what is new, and returns whether more can be read at once."""


class Tails:
    """The tails of a process that are read in one way, and the task that reads them while there are any."""

    def __init__(self, services: Services, read: Read) -> None:
        self._services = services
        self._read = read
        self._tails: dict[tuple[str | None, Selection], Tail] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def join(
        self, party_id: str | None, selection: Selection, position: int, stream: OpenStream
    ) -> AsyncIterator[Tail]:
        """Yield the tail that a stream at `position` follows while the block runs."""
        key = (party_id, selection)
        tail = self._tails.get(key)
        if tail is None or tail.ended:
            tail = self._tails[key] = Tail(party_id, selection, position)
        tail.streams.add(stream)
        if self._task is None:
            self._services.follower.listen(self._hear)
            self._task = asyncio.create_task(self._run(), name="tails of the feed")
        self._news.set()
        try:
            yield tail
        finally:
            tail.streams.discard(stream)
            if not tail.streams and self._tails.get(key) is tail:
                del self._tails[key]
            if not self._tails:
                await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._services.follower.unlisten(self._hear)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _hear(self, page: list[Recorded]) -> None:
        del page
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            tails = [tail for tail in self._tails.values() if not tail.ended]
            before = [tail.position for tail in tails]
            pause = PACE_SECONDS
            try:
                if tails and await self._read(self._services, tails):
                    self._news.set()
            except Exception as error:
                # Whatever fails, streams read by themselves and meet the same failure, which they report.
                if not isinstance(error, Unavailable | UnreadableEvent):
                    _logger.exception("tails_ended", reason=str(error))
                for tail in tails:
                    tail.end()
                pause = FAILURE_SECONDS
            moved = [tail for tail, position in zip(tails, before, strict=True) if tail.position > position]
            await asyncio.sleep(pause + WRITE_SECONDS * sum(len(tail.streams) for tail in moved))


async def read_log(services: Services, tails: Sequence[Tail]) -> bool:
    """Add the next events of the log to tails of the platform, which sees everything, `ROUND_EVENTS_MAX` each at most.

    Return whether there is more.
    """
    for tail in tails:
        tail.trim()
        page = await load_whole(services, tail.position, ROUND_EVENTS_MAX)
        for item in page.items:
            tail.add(item.sequence, render_message(item))
        tail.advance(page.next_after)
    return any(tail.position < services.follower.position for tail in tails)


async def read_index(services: Services, tails: Sequence[Tail]) -> bool:
    """Add to tails what the projection of the feed says that concerns them, with the bodies from the log.

    It covers the next `ROUND_EVENTS_MAX` events after the hindmost tail. Return whether there is more.
    """
    if services.watch is not None:
        with contextlib.suppress(Unavailable):
            await services.watch.wait_for(services.follower.position, PROJECTION_SECONDS_MAX)
    by_party: dict[str | None, list[Tail]] = defaultdict(list)
    for tail in tails:
        tail.trim()
        by_party[tail.selection.party_id].append(tail)
    after = min(tail.position for tail in tails)
    async with reachable(), services.get_engine().connect() as connection:
        reached = await load_reached(connection, [PROJECTION])
        until = min(reached.position, after + ROUND_EVENTS_MAX)
        found = await list_concerned(connection, by_party, after=after, until=until)
    takers = _find_takers(by_party, found)
    sequences = sorted(takers)
    for begin in range(0, len(sequences), BODIES_AT_ONCE_MAX):
        some = sequences[begin : begin + BODIES_AT_ONCE_MAX]
        for recorded in await find_all(services, some):
            _hand_out(recorded, takers[recorded.sequence])
    for tail in tails:
        if not tail.ended:
            tail.advance(until)
        if reached.stopped:
            tail.end()
    return until < services.follower.position


def _find_takers(
    by_party: Mapping[str | None, Sequence[Tail]], found: Iterable[tuple[str | None, EventView]]
) -> dict[int, list[tuple[EventView, Tail]]]:
    """Return the tails that take each event, by sequence."""
    takers: dict[int, list[tuple[EventView, Tail]]] = defaultdict(list)
    parties = [party_id for party_id in by_party if party_id is not None]
    for concerned, view in found:
        for party_id in parties if concerned == EVERYONE else (concerned,):
            takers[view.sequence] += [
                (view, tail)
                for tail in by_party[party_id]
                if tail.position < view.sequence and tail.selection.takes(view)
            ]
    return {sequence: taking for sequence, taking in takers.items() if taking}


def _hand_out(recorded: Recorded, takers: Collection[tuple[EventView, Tail]]) -> None:
    """Add the message of an event to tails; tails that a damaged event concerns end before it."""
    rendered: dict[tuple[str, str | None, bool, bool], bytes] = {}
    for view, tail in takers:
        if recorded.damage is not None and not recorded.annotated:
            tail.end()
        if tail.ended or recorded.void:
            continue
        depth = "full" if tail.party_id is None else view.depth
        seen = (depth, tail.party_id) if is_limited(recorded, depth, tail.party_id) else ("full", None)
        rights = *seen, hides_hash(recorded, depth, tail.party_id), hides_person(recorded.envelope, tail.party_id)
        if rights not in rendered:
            rendered[rights] = render_message(render_item(recorded, depth, tail.party_id))
        tail.add(recorded.sequence, rendered[rights])
