"""Auctions, market data and the test clock."""

from collections.abc import AsyncIterator
from datetime import datetime

from events.auction import Book, Certificate
from marketplace.api.bodies.trading import AdvanceClockBody, OpenAuctionBody
from marketplace.api.clock import ClockView
from marketplace.api.commands import ReceiptBody
from marketplace.api.market import MandateOffer
from marketplace.client.feature import Feature
from marketplace.client.transport import Query
from marketplace.projections.auctions import AuctionView, DecisionView, PriceView
from marketplace.projections.capacity import CapacityStep, DepthLevel


class Auctions(Feature):
    """Periodic sealed calls."""

    async def open(self, body: OpenAuctionBody) -> ReceiptBody:
        """Call for orders."""
        return await self._transport.command("POST", "/v1/auctions", body)

    async def get(self, auction_id: str) -> AuctionView:
        """Return an auction."""
        return await self._transport.read(f"/v1/auctions/{auction_id}", AuctionView)

    async def get_certificate(self, auction_id: str) -> Certificate:
        """Return what an outsider needs to check or repeat the result."""
        return await self._transport.read(f"/v1/auctions/{auction_id}/certificate", Certificate)

    async def get_book(self, auction_id: str) -> Book:
        """Return the frozen book."""
        return await self._transport.read(f"/v1/auctions/{auction_id}/book", Book)

    def list(self, *, status: str | None = None) -> AsyncIterator[AuctionView]:
        """Yield auctions by id."""
        return self._transport.read_all("/v1/auctions", AuctionView, {"status": status})

    def list_decisions(self, auction_id: str) -> AsyncIterator[DecisionView]:
        """Yield what an auction decided, by order."""
        return self._transport.read_all(f"/v1/auctions/{auction_id}/decisions", DecisionView)


class Market(Feature):
    """What every tenant sees."""

    async def list_classes(self) -> list[str]:
        """Return every GPU class that a pool has."""
        return await self._transport.read("/v1/market/classes", list[str])

    async def load_depth(self, gpu_class: str) -> list[DepthLevel]:
        """Return asks and bids of a class, summed by price."""
        return await self._transport.read("/v1/market/depth", list[DepthLevel], {"gpu_class": gpu_class})

    async def load_capacity(self, pool_id: str, *, start: datetime, end: datetime) -> list[CapacityStep]:
        """Return a pool's capacity over ``[start, end)`` as steps."""
        query: Query = {"pool_id": pool_id, "start": start, "end": end}
        return await self._transport.read("/v1/market/capacity", list[CapacityStep], query)

    def list_prices(
        self, *, pool_id: str | None = None, gpu_class: str | None = None, auction_id: str | None = None
    ) -> AsyncIterator[PriceView]:
        """Yield uniform prices, the oldest auction first."""
        query = {"pool_id": pool_id, "gpu_class": gpu_class, "auction_id": auction_id}
        return self._transport.read_all("/v1/market/prices", PriceView, query)

    def list_mandates(self) -> AsyncIterator[MandateOffer]:
        """Yield the rules of mandates that take something new."""
        return self._transport.read_all("/v1/market/mandates", MandateOffer)


class Clock(Feature):
    """Market time."""

    async def advance(self, seconds: int) -> ReceiptBody:
        """Let time pass; in the embedded mode only."""
        return await self._transport.command("POST", "/v1/test/clock", AdvanceClockBody(seconds=seconds))

    async def get(self) -> ClockView:
        """Return market time."""
        return await self._transport.read("/v1/test/clock", ClockView)
