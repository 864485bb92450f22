"""Methods of the client for the operation of the market: health, clock and event feed."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
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

    async def read_events(
        self,
        after: int = 0,
        limit: int = 1_000,
        *,
        type: Sequence[str] = (),  # noqa: A002 - the parameter's name
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> FeedPage:
        """Return a page of the event feed.

        Args:
            after: Only events above this sequence.
            limit: Events of the page.
            type: Only of these types, such as ``grant.issued.v1``.
            aggregate: Only of these kinds, such as ``grant``.
            aggregate_id: Only of this aggregate.
            party_id: Only what concerns this party.
            from_: Only from this instant on.
        """
        query: dict[str, Any] = {"type": list(type), "aggregate": list(aggregate), "from": from_}
        return await self.get(
            "/v1/events", FeedPage, after=after, limit=limit, aggregate_id=aggregate_id, party_id=party_id, **query
        )

    def follow_events(
        self,
        after: int = 0,
        *,
        type: Sequence[str] = (),  # noqa: A002 - the parameter's name
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield sequence and JSON of every event after one, as they happen; filters as in `read_events`."""
        query: dict[str, Any] = {"type": list(type), "aggregate": list(aggregate), "from": from_}
        return self.stream("/v1/events", after, aggregate_id=aggregate_id, party_id=party_id, **query)
