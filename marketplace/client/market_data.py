"""Methods of the client for the market's data: depth, curves, prices, index, list prices, capacity and reliability."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from events.pricelist import ListPrice
from events.schedule import ScheduleTerms
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.market import (
    MandateOffer,
    MarketPrice,
    PublicMarket,
    PublishPricelistBody,
    PublishScheduleBody,
)
from marketplace.client.transport import Group, Point, segment
from marketplace.projections.views.delivery import ReliabilityView
from marketplace.projections.views.supply import CapacityStep, DepthLevel
from marketplace.projections.views.trading import CurveStep, GenerationView, IndexPoint, ListPriceView


class Market(Group):
    """Public data of the market."""

    async def list_gpu_classes(self) -> list[str]:
        """Return the GPU classes of all pools, such as ``H100_SXM``."""
        return await self._api.get("/v1/market/classes", list[str])

    async def get_depth(self, *, gpu_class: str, at: Point | None = None, limit: int | None = None) -> list[DepthLevel]:
        """Return the asks for a class, cheapest first, summed by price; now or as of a sequence or an instant."""
        return await self._api.get("/v1/market/depth", list[DepthLevel], gpu_class=gpu_class, at=at, limit=limit)

    async def get_capacity(
        self, *, pool_id: Sequence[str], start: datetime, end: datetime, at: Point | None = None
    ) -> list[CapacityStep]:
        """Return offered, reserved, failed and free nodes of up to 64 pools over a span, as known now or at `at`."""
        return await self._api.get(
            "/v1/market/capacity", list[CapacityStep], pool_id=pool_id, start=start, end=end, at=at
        )

    async def get_index(
        self, *, gpu_class: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[IndexPoint]:
        """Return the index of a class for each day, beside the list prices of other clouds.

        The days are those from the date of `start` until before the date of `end`, at most 366 (``request_invalid``);
        by default, the last 30 with today.
        """
        return await self._api.get("/v1/market/index", list[IndexPoint], gpu_class=gpu_class, start=start, end=end)

    async def get_public(self, *, gpu_class: str | None = None) -> PublicMarket:
        """Return what everybody may see of a class: index, list prices and depth; by default of the first class."""
        return await self._api.get("/v1/market/public", PublicMarket, fresh=False, gpu_class=gpu_class)

    async def list_generations(self) -> list[GenerationView]:
        """Return supply, awards and index of each vendor's generations of GPUs, with their classes."""
        return await self._api.get("/v1/market/generations", list[GenerationView])

    async def get_curves(self, *, gpu_class: str, auction_id: str | None = None) -> list[CurveStep]:
        """Return supply and demand curves of a class in an auction's frozen book, by default the last one with it."""
        return await self._api.get("/v1/market/curves", list[CurveStep], gpu_class=gpu_class, auction_id=auction_id)

    async def publish_pricelist(self, *, name: str, prices: tuple[ListPrice, ...], **options: Any) -> ReceiptBody:
        """Publish a dated table of other clouds' list prices; the same table again changes nothing."""
        body = PublishPricelistBody(name=name, prices=prices)
        return await self._api.command("/v1/market/list-prices", body, **options)

    async def get_schedule(self) -> ScheduleTerms:
        """Return the least order value, quotas and fees that apply now."""
        return await self._api.get("/v1/market/schedule", ScheduleTerms)

    async def publish_schedule(self, *, terms: ScheduleTerms, **options: Any) -> ReceiptBody:
        """Publish the schedule for what begins from now on; for the platform."""
        return await self._api.command("/v1/market/schedule", PublishScheduleBody(terms=terms), **options)

    def list_pricelists(self, *, gpu_class: str | None = None) -> AsyncIterator[ListPriceView]:
        """Yield list prices of other clouds, with their sources."""
        return self._api.rows("/v1/market/list-prices", ListPriceView, gpu_class=gpu_class)

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
        return self._api.rows("/v1/market/prices", MarketPrice, start=start, end=end, **query)

    def list_mandates(self) -> AsyncIterator[MandateOffer]:
        """Yield the rules of mandates that accept new orders, by id; an order names those whose terms it meets."""
        return self._api.rows("/v1/market/mandates", MandateOffer)

    def list_reliability(self) -> AsyncIterator[ReliabilityView]:
        """Yield the reliability of each provider with a history, by id; shares are exact, such as ``"19/20"``."""
        return self._api.rows("/v1/market/reliability", ReliabilityView)

    async def get_reliability(self, party_id: str) -> ReliabilityView:
        """Return the reliability of a provider so far."""
        return await self._api.get(f"/v1/market/reliability/{segment(party_id)}", ReliabilityView)
