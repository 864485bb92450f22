"""The event feed as server-sent events: a stream reads what it missed by itself, then follows a tail with others."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from marketplace.api.feed.feed import Loaded, Selection, load_selected, render_message
from marketplace.api.feed.tails import PROJECTION_SECONDS_MAX, Tail, Tails, read_index, read_log
from marketplace.api.http.problems import describe_unavailable, describe_unreadable
from marketplace.api.http.queries import Reader
from marketplace.api.http.services import Services
from marketplace.api.http.streams import OpenStream
from marketplace.core.errors import Refusal, Unavailable, UnreadableEvent

STREAM_PAGE: Final = 200
KEEP_ALIVE_SECONDS: Final = 15.0
OPERATOR_SECONDS: Final = 5.0
"""How often a stream checks whether the message that blocks it was annotated."""


class Feeds:
    """What the event streams of a process share: the tails from the log, and those from the feed's projection."""

    def __init__(self, services: Services) -> None:
        self._log = Tails(services, read_log)
        self._index = Tails(services, read_index)

    def get_tails(self, selection: Selection) -> Tails:
        """Return the tails that serve a selection: of the log if it selects everything, else of the feed's tables."""
        return self._log if selection == Selection() else self._index


@dataclass(slots=True)
class _Place:
    """Where a stream is.

    Attributes:
        position: It has every event up to this sequence.
        sent: When it sent something last.
        told: The event before which it reported that the feed stopped; None if it reported none.
    """

    position: int
    sent: float
    told: int | None = None

    def mark_sent(self) -> None:
        self.sent = asyncio.get_running_loop().time()

    def is_silent(self) -> bool:
        return asyncio.get_running_loop().time() - self.sent >= KEEP_ALIVE_SECONDS

    def keep_alive(self) -> bytes:
        """Return a message without data: clients see that the stream lives, and resume after the position."""
        self.mark_sent()
        return b"id: %d\n: keep-alive\n\n" % self.position


async def stream(feeds: Feeds, reader: Reader, after: int, selection: Selection) -> AsyncIterator[bytes]:
    """Yield server-sent events above `after` while client, key and process exist, with comments in between.

    A server that is unavailable for a while delays the stream but does not end it.
    """
    try:
        async with contextlib.aclosing(_follow(feeds, reader, after, selection)) as messages:
            async for message in messages:
                yield message
    except Refusal as refusal:
        yield _comment(str(refusal))
    except Unavailable as error:
        yield _comment(describe_unavailable(error, is_operator=reader.party_id is None))


def _comment(text: str) -> bytes:
    return b": %b\n\n" % text.replace("\n", " ").encode()


async def _follow(feeds: Feeds, reader: Reader, after: int, selection: Selection) -> AsyncGenerator[bytes, None]:
    tails, place = feeds.get_tails(selection), _Place(after, asyncio.get_running_loop().time())
    with reader.services.streams.open(reader.principal.key_id, reader.principal.tenant) as opened:
        yield b"retry: 1000\n\n"
        while not opened.ended.is_set():
            async with contextlib.aclosing(_catch_up(opened, place, reader, selection)) as messages:
                async for message in messages:
                    yield message
            if opened.ended.is_set():
                return
            joined = tails.join(reader.party_id, selection, place.position, opened)
            async with joined as tail, contextlib.aclosing(_share(opened, place, tail)) as messages:
                async for message in messages:
                    yield message


async def _share(opened: OpenStream, place: _Place, tail: Tail) -> AsyncGenerator[bytes, None]:
    """Yield the messages of a tail, until it ends or the stream is behind it."""
    while not opened.ended.is_set():
        opened.wake.clear()
        taken = tail.take(place.position)
        if taken is None:
            return
        place.position, messages = taken
        if messages:
            place.mark_sent()
            yield messages
        elif place.is_silent():
            yield place.keep_alive()
        if tail.ended:
            return
        waits = max(place.sent + KEEP_ALIVE_SECONDS - asyncio.get_running_loop().time(), 0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(opened.wake.wait(), waits)


async def _catch_up(
    opened: OpenStream, place: _Place, reader: Reader, selection: Selection
) -> AsyncGenerator[bytes, None]:
    """Yield what the stream missed, and what keeps it from more, until it has all that there is."""
    while not opened.ended.is_set():
        try:
            loaded = await opened.unless_ended(_load_next(reader, place.position, selection))
        except (Unavailable, UnreadableEvent) as error:
            comment, seconds = _describe(error, is_operator=reader.party_id is None)
            yield comment
            await opened.unless_ended(asyncio.sleep(seconds))
            continue
        if loaded is None:
            return
        page, stopped, more = loaded
        for item in page.items:
            if opened.ended.is_set():
                return
            yield render_message(item)
            place.mark_sent()
        more = more and page.next_after > place.position
        place.position = page.next_after
        if place.is_silent():
            yield place.keep_alive()
        if more:
            continue
        if stopped is None:
            return
        if stopped != place.told:
            place.told = stopped
            yield _comment(
                f"the feed stopped before event {stopped}, which it cannot apply; it continues once the operator "
                "has annotated the event or rebuilt the feed"
            )
        await opened.unless_ended(asyncio.sleep(OPERATOR_SECONDS))


def _describe(error: Unavailable | UnreadableEvent, *, is_operator: bool) -> tuple[bytes, float]:
    """Return what a stream says of a failure, and the seconds until it tries again."""
    if isinstance(error, Unavailable):
        return _comment(describe_unavailable(error, is_operator=is_operator)), error.retry_after_seconds
    return _comment(describe_unreadable(error, is_operator=is_operator)), OPERATOR_SECONDS


async def _load_next(reader: Reader, position: int, selection: Selection) -> Loaded:
    """Return a page and what follows it. For a tenant, first wait until the projections have what this process read.

    The wait ends after `PROJECTION_SECONDS_MAX`; the page then shows what the projections have.
    """
    watch = reader.services.watch
    if reader.party_id is not None and watch is not None:
        with contextlib.suppress(Unavailable):
            await watch.wait_for(reader.services.follower.position, PROJECTION_SECONDS_MAX)
    return await load_selected(reader, position, STREAM_PAGE, selection)
