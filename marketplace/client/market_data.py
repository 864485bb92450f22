"""Methods of the client for the market's data: depth, curves, prices, index, list prices, capacity and standings."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from events.pricelist import ListPrice
from marketplace.api.bodies.market import PublishPricelistBody
from marketplace.api.commands import ReceiptBody
from marketplace.api.market import MarketPrice
from marketplace.client.transport import Transport
from marketplace.projections.capacity import CapacityStep, DepthLevel
from marketplace.projections.market.index import IndexPoint
from marketplace.projections.market.queries import CurveStep, ListPriceView
from marketplace.projections.reading import At
from marketplace.projections.standings import StandingView


def render_at(at: At) -> str | None:
    """Return a point in the past as a query says it; None for now."""
    return at.isoformat() if isinstance(at, datetime) else None if at is None else str(at)


class MarketData(Transport):
    """What everyone may know of the market."""

    async def read_depth(self, gpu_class: str, *, at: At = None, **query: Any) -> list[DepthLevel]:
        """Return what is asked and bid for a class at each price, now or at a sequence or an instant."""
        return await self.get("/v1/market/depth", list[DepthLevel], gpu_class=gpu_class, at=render_at(at), **query)

    async def read_capacity(self, pool_id: str, *, start: datetime, end: datetime, at: At = None) -> list[CapacityStep]:
        """Return what of a pool is offered, reserved, failed and free over a span, as known now or at `at`."""
        return await self.get(
            "/v1/market/capacity",
            list[CapacityStep],
            pool_id=pool_id,
            start=start.isoformat(),
            end=end.isoformat(),
            at=render_at(at),
        )

    async def read_index(self, gpu_class: str, **query: Any) -> list[IndexPoint]:
        """Return what was paid for a class per day, beside what other clouds list."""
        return await self.get("/v1/market/index", list[IndexPoint], gpu_class=gpu_class, **query)

    async def read_curves(self, gpu_class: str, **query: Any) -> list[CurveStep]:
        """Return supply and demand of a class in an auction's frozen book."""
        return await self.get("/v1/market/curves", list[CurveStep], gpu_class=gpu_class, **query)

    async def publish_pricelist(self, name: str, prices: tuple[ListPrice, ...], **options: Any) -> ReceiptBody:
        """Take in a dated table of what other clouds list; the same table again changes nothing."""
        body = PublishPricelistBody(name=name, prices=prices)
        return await self.command("/v1/market/list-prices", body, **options)

    def list_list_prices(self, **query: Any) -> AsyncIterator[ListPriceView]:
        """Yield what other clouds list, with its sources."""
        return self.rows("/v1/market/list-prices", ListPriceView, **query)

    def list_prices(self, **query: Any) -> AsyncIterator[MarketPrice]:
        """Yield prices of auctions."""
        return self.rows("/v1/market/prices", MarketPrice, **query)

    async def get_standing(self, provider_id: str) -> StandingView:
        """Return how well a provider has delivered so far."""
        return await self.get(f"/v1/market/standings/{provider_id}", StandingView)
