"""Methods of the client for the operation of the market: health, clock and event feed."""

from collections.abc import AsyncGenerator
from typing import Any

from marketplace.api.http.bodies.answers import ClockView, Liveness, Readiness, ReceiptBody
from marketplace.api.http.bodies.feed import FeedPage
from marketplace.api.http.bodies.trading import AdvanceClockBody
from marketplace.client.transport import Transport


class Operation(Transport):
    """Health, the clock and the event feed."""

    async def get_liveness(self) -> Liveness:
        """Return whether the process answers; any key will do.

        Raises:
            httpx.TransportError: It does not.
        """
        return await self.probe("/health/live", Liveness)

    async def get_readiness(self) -> Readiness:
        """Return whether commands and reads are served now, by one request that is not repeated.

        Raises:
            httpx.TransportError: The API could not be reached.
        """
        return await self.probe("/health/ready", Readiness)

    async def get_clock(self) -> ClockView:
        """Return market time."""
        return await self.get("/v1/test/clock", ClockView)

    async def advance_clock(self, seconds: int, **options: Any) -> ReceiptBody:
        """Move market time forward; in the embedded mode only."""
        return await self.command("/v1/test/clock", AdvanceClockBody(seconds=seconds), **options)

    async def read_events(self, after: int = 0, limit: int = 1_000, **filters: Any) -> FeedPage:
        """Return a page of the event feed.

        Args:
            after: Only events above this sequence.
            limit: Events of the page.
            filters: `type`, `aggregate` (each one or a list), `aggregate_id`, `party_id`, and `from_`, an instant.
        """
        query = {name.rstrip("_"): value for name, value in filters.items()}
        return await self.get("/v1/events", FeedPage, after=after, limit=limit, **query)

    def follow_events(self, after: int = 0, **filters: Any) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield sequence and JSON of every event after one, as they happen; filters as in `read_events`."""
        return self.stream("/v1/events", after, **{name.rstrip("_"): value for name, value in filters.items()})
