"""Methods of the client for the market's data: depth, curves, prices, index, list prices, capacity and standings."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from events.pricelist import ListPrice
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.market import MandateOffer, MarketPrice, PublishPricelistBody
from marketplace.client.transport import Point, Transport
from marketplace.projections.views.delivery import StandingView
from marketplace.projections.views.supply import CapacityStep, DepthLevel
from marketplace.projections.views.trading import CurveStep, IndexPoint, ListPriceView


class MarketData(Transport):
    """What everyone may know of the market."""

    async def list_gpu_classes(self) -> list[str]:
        """Return every class of GPU that a pool has, such as ``H100_SXM``."""
        return await self.get("/v1/market/classes", list[str])

    async def read_depth(
        self, gpu_class: str, *, at: Point | None = None, limit: int | None = None
    ) -> list[DepthLevel]:
        """Return what is asked and bid for a class at each price, now or at a sequence or an instant."""
        return await self.get("/v1/market/depth", list[DepthLevel], gpu_class=gpu_class, at=at, limit=limit)

    async def read_capacity(
        self, pool_id: str, *, start: datetime, end: datetime, at: Point | None = None
    ) -> list[CapacityStep]:
        """Return what of a pool is offered, reserved, failed and free over a span, as known now or at `at`."""
        return await self.get("/v1/market/capacity", list[CapacityStep], pool_id=pool_id, start=start, end=end, at=at)

    async def read_index(
        self, gpu_class: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[IndexPoint]:
        """Return what was paid for a class per day, beside what other clouds list."""
        return await self.get("/v1/market/index", list[IndexPoint], gpu_class=gpu_class, start=start, end=end)

    async def read_curves(self, gpu_class: str, *, auction_id: str | None = None) -> list[CurveStep]:
        """Return supply and demand of a class in an auction's frozen book, the last one's by default."""
        return await self.get("/v1/market/curves", list[CurveStep], gpu_class=gpu_class, auction_id=auction_id)

    async def publish_pricelist(self, name: str, prices: tuple[ListPrice, ...], **options: Any) -> ReceiptBody:
        """Take in a dated table of what other clouds list; the same table again changes nothing."""
        body = PublishPricelistBody(name=name, prices=prices)
        return await self.command("/v1/market/list-prices", body, **options)

    def list_list_prices(self, *, gpu_class: str | None = None) -> AsyncIterator[ListPriceView]:
        """Yield what other clouds list, with its sources."""
        return self.rows("/v1/market/list-prices", ListPriceView, gpu_class=gpu_class)

    def list_prices(
        self,
        *,
        pool_id: str | None = None,
        gpu_class: str | None = None,
        auction_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[MarketPrice]:
        """Yield prices of auctions, in US dollars per GPU-hour, the oldest first."""
        query = {"pool_id": pool_id, "gpu_class": gpu_class, "auction_id": auction_id}
        return self.rows("/v1/market/prices", MarketPrice, start=start, end=end, **query)

    def list_open_mandates(self) -> AsyncIterator[MandateOffer]:
        """Yield the rules of mandates that take something new, by id; an order names those whose terms it meets."""
        return self.rows("/v1/market/mandates", MandateOffer)

    def list_standings(self) -> AsyncIterator[StandingView]:
        """Yield how well each provider that has a history has delivered, by id; shares are exact, as ``"19/20"``."""
        return self.rows("/v1/market/standings", StandingView)

    async def get_standing(self, provider_id: str) -> StandingView:
        """Return how well a provider has delivered so far."""
        return await self.get(f"/v1/market/standings/{provider_id}", StandingView)
