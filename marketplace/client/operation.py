"""Methods of the client for the operation of the market: health, clock and event feed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from marketplace.api.http.bodies.answers import ClockView, Liveness, Readiness, ReceiptBody
from marketplace.api.http.bodies.feed import ChainCommand, FeedItem, FeedPage, StatesAround
from marketplace.api.http.bodies.projections import JobView, ProjectionBody, ProjectionView, StuckTaskView
from marketplace.api.http.bodies.trading import AdvanceClockBody
from marketplace.client.transport import Group


class Operation(Group):
    """Health, and the projections of the log."""

    async def get_liveness(self) -> Liveness:
        """Return whether the process answers; any key will do.

        Raises:
            httpx.TransportError: It does not.
        """
        return await self._api.probe("/health/live", Liveness)

    async def get_readiness(self) -> Readiness:
        """Return whether commands and reads are served now, by one request that is not repeated.

        Raises:
            httpx.TransportError: The API could not be reached.
        """
        return await self._api.probe("/health/ready", Readiness)

    async def list_projections(self) -> list[ProjectionView]:
        """Return how far each projection is; for the platform."""
        return await self._api.get("/v1/projections", list[ProjectionView])

    async def list_stuck(self) -> list[StuckTaskView]:
        """Return what workers repeat without success, and which events they cannot read; for the platform."""
        return await self._api.get("/v1/projections/stuck", list[StuckTaskView])

    async def rebuild_projection(self, *, name: str) -> JobView:
        """Rebuild a projection's rows from the log in the background; for the platform."""
        return await self._api.send("/v1/projections/rebuilds", JobView, ProjectionBody(name=name))

    async def verify_projection(self, *, name: str) -> JobView:
        """Compare a projection's rows with the log in the background; for the platform."""
        return await self._api.send("/v1/projections/verifications", JobView, ProjectionBody(name=name))


class Clock(Group):
    """The test clock of the embedded mode."""

    async def get(self) -> ClockView:
        """Return market time."""
        return await self._api.get("/v1/test/clock", ClockView)

    async def advance(self, *, seconds: int, **options: Any) -> ReceiptBody:
        """Move market time forward; in the embedded mode only."""
        return await self._api.command("/v1/test/clock", AdvanceClockBody(seconds=seconds), **options)


def as_list(names: Sequence[str]) -> list[str]:
    """Return one name or several as a list; a text is one name."""
    return [names] if isinstance(names, str) else list(names)


class Events(Group):
    """The event feed: as pages, or as one stream. Both are the operation ``events.read``."""

    async def read(
        self,
        *,
        after: int = 0,
        limit: int = 1_000,
        type: Sequence[str] = (),  # noqa: A002 - the parameter's name
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        event_id: str | None = None,
        command_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> FeedPage:
        """Return a page of the event feed: the events that the key's party and its read scopes may see.

        Args:
            after: Only events above this sequence.
            limit: The most events of the page, at most 1,000.
            type: Only of these types, such as ``grant.issued.v1``; one or several.
            aggregate: Only of these kinds, such as ``grant``.
            aggregate_id: Only of this aggregate.
            event_id: Only the event with this id.
            command_id: Only of this command, and of commands whose chain it began.
            party_id: Only what concerns this party.
            from_: Only from this instant on.
        """
        query: dict[str, Any] = {"type": as_list(type), "aggregate": as_list(aggregate), "from": from_}
        query |= {"aggregate_id": aggregate_id, "event_id": event_id, "command_id": command_id, "party_id": party_id}
        return await self._api.get("/v1/events", FeedPage, after=after, limit=limit, **query)

    async def get_chain(self, *, sequence: int) -> list[ChainCommand]:
        """Return the commands before and after an event that led to it or follow from it; for the platform."""
        return await self._api.get("/v1/events/chain", list[ChainCommand], sequence=sequence)

    async def get_states(self, *, sequence: int) -> StatesAround:
        """Return the state of an event's aggregate before and after it; for the platform."""
        return await self._api.get("/v1/events/states", StatesAround, sequence=sequence)

    async def follow(
        self,
        *,
        after: int = 0,
        type: Sequence[str] = (),  # noqa: A002 - the parameter's name
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        event_id: str | None = None,
        command_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> AsyncGenerator[FeedItem, None]:
        """Yield every event after one as it happens, with its `sequence`; filters as in `read`.

        `event.parse()` of an item returns what happened as a type of `events`. A stream that ends, breaks or falls
        silent is opened again after the last event.

        Raises:
            ProblemError: The stream was refused.
            httpx.TransportError: Eight attempts in a row did not reach the API, or their streams ended at once.
        """
        query: dict[str, Any] = {"type": as_list(type), "aggregate": as_list(aggregate), "from": from_}
        query |= {"aggregate_id": aggregate_id, "event_id": event_id, "command_id": command_id, "party_id": party_id}
        async with aclosing(self._api.stream("/v1/events", after, **query)) as messages:
            async for _, message in messages:
                yield msgspec.json.decode(message, type=FeedItem)
