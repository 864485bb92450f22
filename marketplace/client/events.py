"""The event feed: pages, and a stream that goes on where it was cut."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx
import msgspec
import structlog

from events.registry import parse_body, parse_type
from events.types import Event
from marketplace.api.feed import FeedItem, FeedPage
from marketplace.client.feature import Feature
from marketplace.client.problems import ProblemError, parse_problem
from marketplace.client.transport import is_passing

RECONNECT_SECONDS: Final = 1.0
SILENCE_SECONDS_MAX: Final = 45.0
_logger = structlog.get_logger(__name__)


def parse_item(item: FeedItem) -> Event:
    """Return the event in an item of the feed.

    Raises:
        UnknownEventType: It is of a later release.
    """
    return parse_body(parse_type(item.event.type), bytes(item.event.data))


class Events(Feature):
    """What happened, in the log's order."""

    async def load_page(self, *, after: int = 0, limit: int = 500, aggregate_id: str | None = None) -> FeedPage:
        """Return the events above `after` that concern this key's party."""
        query = {"after": after, "limit": limit, "aggregate_id": aggregate_id}
        return await self._transport.read("/v1/events", FeedPage, query)

    async def follow(self, *, after: int = 0) -> AsyncIterator[FeedItem]:
        """Yield events above `after` for ever; a cut connection is opened again where it was.

        Raises:
            ProblemError: The server refuses the stream.
        """
        position = after
        while True:
            try:
                async for item in self._stream(position):
                    yield item
                    position = item.sequence
            except httpx.TransportError:
                _logger.info("event stream was cut", after=position)
            except ProblemError as problem:
                if not is_passing(problem):
                    raise
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _stream(self, after: int) -> AsyncIterator[FeedItem]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(SILENCE_SECONDS_MAX)
        async with self._transport.http.stream("GET", "/v1/events", headers=headers, timeout=timeout) as response:
            if not response.is_success:
                await response.aread()
                raise parse_problem(response)
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield msgspec.json.decode(line[6:].encode(), type=FeedItem)
