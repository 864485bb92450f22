"""Reading the stream: one aggregate backwards from its end, short ranges by direct get, all else by a feed.

The server finds one subject's events by looking through every block of the stream, which took 340 ms among 100,000
events. Each event tells where its subject's previous one is, so we step back from the last one instead: 20 events take
20 small requests, and the tail that a conflict asks for takes one or two. A step is believed only where the chain hash
agrees; else, and for long histories, the server searches what is left.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from events.subjects import ALL
from marketplace.core.errors import Corrupt
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.feed import open_feed
from marketplace.log.gets import Gets, Stored
from marketplace.log.patience import RESTART_SECONDS
from marketplace.log.port import Recorded

_STEPS_MAX = 500


class Reader:
    """Reads one stream.

    Args:
        connection: Where from.
        stream: Its name.
        page_max: Messages in a page.
        seconds_max: How long to wait for one answer.
        patience_seconds: How long a read that ends may stand still, long enough for an election.
    """

    def __init__(
        self, connection: Connection, stream: str, *, page_max: int, seconds_max: float, patience_seconds: float
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._page_max = page_max
        self._seconds_max = seconds_max
        self._patience_seconds = patience_seconds
        self.gets = Gets(connection, stream, seconds_max)

    async def load(self, subject: str, after: int) -> list[Recorded]:
        """Return the events of one subject after a sequence, up to the leader's last one.

        Raises:
            Unavailable: No answer.
        """
        last = await self.gets.find_from_leader({"last_by_subj": subject})
        if last is None or last.event.sequence <= after:
            return []
        backwards, previous = await self._step_back(last, after)
        if previous is not None and previous <= after:
            return backwards[::-1]
        return [*await self._search(subject, after, backwards[-1].sequence), *backwards[::-1]]

    async def _step_back(self, last: Stored, after: int) -> tuple[list[Recorded], int | None]:
        """Return the events from the last one back, and where the one before them is, None if that is not known."""
        backwards, previous = [last.event], last.previous
        while previous is not None and previous > after and len(backwards) < _STEPS_MAX:
            found = await self.gets.find(previous) or await self.gets.find_from_leader({"seq": previous})
            following = backwards[-1]
            if (
                found is None
                or found.event.subject != following.subject
                or found.event.envelope.hash != following.envelope.previoushash
            ):
                return backwards, None
            backwards.append(found.event)
            previous = found.previous
        return backwards, previous

    async def _search(self, subject: str, after: int, before: int) -> list[Recorded]:
        """Return the events of a subject between two sequences, found by the server."""
        events: list[Recorded] = []
        more = True
        while more:
            page, more = await self.gets.load_page(subject, events[-1].sequence if events else after, self._page_max)
            events += [event for event in page if event.sequence < before]
            more = more and page[-1].sequence < before
        while True:
            position = events[-1].sequence if events else after
            following = await self.gets.find_from_leader({"seq": position + 1, "next_by_subj": subject})
            if following is None or following.event.sequence >= before:
                return events
            events.append(following.event)

    async def find(self, sequence: int) -> Recorded | None:
        """Return the event at a sequence, as the leader knows it."""
        found = await self.gets.find_from_leader({"seq": sequence}) if sequence > 0 else None
        return found.event if found is not None else None

    async def read(self, after: int, end: int | None) -> AsyncIterator[list[Recorded]]:
        """Yield pages after a sequence: up to `end`, or for ever where it is None.

        Raises:
            Unavailable: With an end, when no event came for as long as its patience lasts.
            Corrupt: A sequence is missing.
        """
        position = after
        if end is not None and 0 < end - position <= self._page_max:
            page, _ = await self.gets.load_page(ALL, position, end - position)
            if page:
                _check_follows(page, position)
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
                    async for page in feed.pages():
                        wanted = page if end is None else page[: end - position]
                        position = wanted[-1].sequence
                        yield wanted
                        progress = time.monotonic()
                        if position == end:
                            return
            except NoAnswer:
                if end is not None and time.monotonic() - progress > self._patience_seconds:
                    raise
            await asyncio.sleep(RESTART_SECONDS)


def _check_follows(page: list[Recorded], after: int) -> None:
    for expected, event in enumerate(page, after + 1):
        if event.sequence != expected:
            raise Corrupt(
                f"the event after sequence {expected - 1} has sequence {event.sequence}: the events between are "
                "missing; restore the log"
            )
