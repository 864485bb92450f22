"""Read the stream: one aggregate backwards from its end, short ranges by direct get, everything else by a feed.

The server finds one subject's events by scanning every block of the stream, which took 340 ms among 100,000 events.
Each event states where its subject's previous one is, so we step back from the last one instead: 20 events take 20
small requests, and the tail that a conflict needs takes one or two. A step is accepted only if the chain hash agrees.
Otherwise, and for long histories, the server searches what is left.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from events.subjects import ALL
from marketplace.core.errors import Unavailable
from marketplace.log.codec import EMPTY_MAX, Links, build_empty, check_history
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.direct_get import Gets, Stored
from marketplace.log.feed import open_feed
from marketplace.log.port import Recorded
from marketplace.log.retry import RESTART_SECONDS

_STEPS_MAX = 500
_EMPTY_TRIES_MAX = 5
"""How often the leader must confirm an empty position: a new leader may not have applied its last messages yet."""
_EMPTY_PAUSE_SECONDS = 0.2


class Reader:
    """Reads one stream.

    Args:
        connection: The connection to read on.
        stream: Its name.
        page_max: Messages in a page.
        seconds_max: How long to wait for one answer.
        stalled_seconds_max: How long a read with an end may make no progress. It should outlast an election.
        load_end: Returns the last sequence of the stream as the leader knows it.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        *,
        page_max: int,
        seconds_max: float,
        stalled_seconds_max: float,
        load_end: Callable[[], Awaitable[int]],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._page_max = page_max
        self._seconds_max = seconds_max
        self._stalled_seconds_max = stalled_seconds_max
        self._load_end = load_end
        self.gets = Gets(connection, stream, seconds_max)

    async def load(self, subject: str, after: int, previous_hash: str | None = None) -> list[Recorded]:
        """Return the events of one subject after a sequence, up to the leader's last one.

        Args:
            subject: A literal subject.
            after: The sequence after which they begin.
            previous_hash: Hash of the event at `after`; None if the caller does not know it.

        Raises:
            Unavailable: No answer.
        """
        last = await self.gets.find_from_leader(last_of=subject)
        if last is None or last.event.sequence <= after:
            return []
        backwards, previous = await self._step_back(last, after)
        events = backwards[::-1]
        if previous is None or previous > after:
            events = [*await self._search(subject, after, events[0].sequence), *events]
        return check_history(events, previous_hash if after else "")

    async def _step_back(self, last: Stored, after: int) -> tuple[list[Recorded], int | None]:
        """Return the events from the last one back, and the sequence of the one before them; None if unknown."""
        backwards, previous = [last.event], last.previous
        while previous is not None and previous > after and len(backwards) < _STEPS_MAX:
            found = await self.gets.find(previous)
            if not _precedes(found, backwards[-1]):
                found = await self.gets.find_from_leader(sequence=previous)
            if found is None or not _precedes(found, backwards[-1]):
                return backwards, None
            backwards.append(found.event)
            previous = found.previous
        return backwards, previous

    async def _search(self, subject: str, after: int, before: int) -> list[Recorded]:
        """Return the events of a subject between two sequences, by the server's search.

        A replica's pages are used up to the first damaged message, which the leader must confirm.
        """
        events: list[Recorded] = []
        more = True
        while more:
            page, more = await self.gets.load_page(subject, events[-1].sequence if events else after, self._page_max)
            for event in page:
                if event.damage is not None or event.sequence >= before:
                    more = False
                    break
                events.append(event)
        while True:
            position = events[-1].sequence if events else after
            following = await self.gets.find_from_leader(sequence=position + 1, next_of=subject)
            if following is None or following.event.sequence >= before:
                return events
            events.append(following.event)

    async def find(self, sequence: int) -> Recorded | None:
        """Return the event at a sequence, as the leader knows it; None before the first position and after the last.

        Raises:
            Unavailable: No answer.
        """
        if sequence < 1:
            return None
        for _ in range(_EMPTY_TRIES_MAX):
            found = await self.gets.find_from_leader(sequence=sequence)
            if found is not None:
                return found.event
            if await self._load_end() < sequence:
                return None
            await asyncio.sleep(_EMPTY_PAUSE_SECONDS)
        return build_empty(sequence)

    async def read(self, after: int, end: int | None) -> AsyncIterator[list[Recorded]]:
        """Yield pages after a sequence: up to `end`, or for ever if it is None.

        Raises:
            Unavailable: With an end, when no event came within `stalled_seconds_max`.
            Corrupt: Too many positions in a row are empty.
        """
        position, links = after, Links(after)
        if end is not None and 0 < end - position <= self._page_max:
            found, _ = await self.gets.load_page(ALL, position, end - position, any_subject=True)
            page = [links.check(event) for event in _take_following(found, position)]
            if page:
                position = page[-1].sequence
                yield page
        progress = time.monotonic()
        while end is None or position < end:
            try:
                await self._connection.wait_connected(time.monotonic() + self._seconds_max)
                async with open_feed(
                    self._connection,
                    self._stream,
                    position,
                    page_max=self._page_max,
                    seconds_max=self._seconds_max,
                ) as feed:
                    async for arrived in feed.pages():
                        found = arrived or await self._list_last_empty(position)
                        page = [one for one in found if position < one.sequence <= (end or one.sequence)]
                        if not page:
                            continue
                        page = [links.check(await self._confirm(one) if one.damage else one) for one in page]
                        page = [await self._confirm_link(one) if one.damage else one for one in page]
                        position = page[-1].sequence
                        yield page
                        progress = time.monotonic()
                        if position == end:
                            return
            except NoAnswer:
                if end is not None and time.monotonic() - progress > self._stalled_seconds_max:
                    raise
            await asyncio.sleep(RESTART_SECONDS)

    async def _list_last_empty(self, position: int) -> list[Recorded]:
        """Return the empty positions at the end of the stream, which no feed delivers."""
        try:
            last = min(await self._load_end(), position + EMPTY_MAX)
        except Unavailable:
            return []  # The feed itself notices when the servers cannot be reached.
        found: list[Recorded] = []
        for sequence in range(position + 1, last + 1):
            event = await self.find(sequence)
            if event is None or not event.is_empty:
                break
            found.append(event)
        return found

    async def _confirm_link(self, event: Recorded) -> Recorded:
        """Return an event with a broken link as a reader that begins now would find it.

        The previous event, which this reader has seen, may have been lost since, and an operator may have accepted
        that.
        """
        if event.damage is None or event.damage.kind != "link":
            return event
        history = await self.load(event.subject, 0)
        return next((one for one in history if one.sequence == event.sequence), event)

    async def _confirm(self, event: Recorded) -> Recorded:
        """Return a damaged event of the feed as the leader has it.

        Raises:
            NoAnswer: The leader has no message at that position.
        """
        found = await self.find(event.sequence)
        if found is None or (found.is_empty and not event.is_empty):
            raise NoAnswer(f"the leader has no message {event.sequence}, which the feed delivered")
        if found != event:
            self._connection.drop(f"stream {self._stream}", f"the leader has a different message {event.sequence}")
        return found


def _precedes(found: Stored | None, following: Recorded) -> bool:
    """Return whether a message is the previous event of another one of its subject, by the chain hash."""
    return (
        found is not None
        and found.event.damage is None
        and found.event.subject == following.subject
        and found.event.envelope.hash == following.envelope.previoushash
    )


def _take_following(messages: list[Recorded], after: int) -> list[Recorded]:
    """Return the valid, consecutive events of a replica's page; the feed reads the rest."""
    events: list[Recorded] = []
    for expected, event in enumerate(messages, after + 1):
        if event.damage is not None or event.sequence != expected:
            break
        events.append(event)
    return events
