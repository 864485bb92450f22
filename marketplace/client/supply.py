"""Sites, pools and lots."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.bodies.supply import (
    DerateSiteBody,
    EnergiseSiteBody,
    FailNodesBody,
    ListLotBody,
    OpenPoolBody,
    RegisterSiteBody,
    RepriceLotBody,
    RescheduleLotBody,
    RestoreNodesBody,
    ScheduleConversionBody,
    SlipConversionBody,
)
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.projections.inventory import LotView, PoolView, SiteView


class Sites(Feature):
    """Data centers."""

    async def register(self, body: RegisterSiteBody) -> ReceiptBody:
        """Bring a data center to the market."""
        return await self._transport.command("POST", "/v1/sites", body)

    async def energise(self, site_id: str, *, power_energised_kw: int, at: datetime) -> ReceiptBody:
        """Say that more power is live."""
        body = EnergiseSiteBody(power_energised_kw=power_energised_kw, at=at)
        return await self._transport.command("POST", f"/v1/sites/{site_id}/energise", body)

    async def derate(self, site_id: str, *, power_energised_kw: int, at: datetime, reason: str) -> ReceiptBody:
        """Say that less power is live."""
        body = DerateSiteBody(power_energised_kw=power_energised_kw, at=at, reason=reason)
        return await self._transport.command("POST", f"/v1/sites/{site_id}/derate", body)

    async def schedule_conversion(self, site_id: str, *, former_use: str, ready_at: datetime) -> ReceiptBody:
        """Say when a site of another use becomes a data center."""
        body = ScheduleConversionBody(former_use=former_use, ready_at=ready_at)
        return await self._transport.command("POST", f"/v1/sites/{site_id}/schedule-conversion", body)

    async def slip_conversion(self, site_id: str, *, ready_at: datetime, reason: str) -> ReceiptBody:
        """Move the date of a conversion."""
        body = SlipConversionBody(ready_at=ready_at, reason=reason)
        return await self._transport.command("POST", f"/v1/sites/{site_id}/slip-conversion", body)

    async def get(self, site_id: str) -> SiteView:
        """Return a site."""
        return await self._transport.read(f"/v1/sites/{site_id}", SiteView)

    def list(self, *, provider_id: str | None = None) -> AsyncIterator[SiteView]:
        """Yield sites by id."""
        return self._transport.read_all("/v1/sites", SiteView, {"provider_id": provider_id})


class Pools(Feature):
    """Fabrics of equal nodes."""

    async def open(self, body: OpenPoolBody) -> ReceiptBody:
        """Open a fabric at a site."""
        return await self._transport.command("POST", "/v1/pools", body)

    async def fail_nodes(self, pool_id: str, *, incident_id: str, nodes: int, at: datetime) -> ReceiptBody:
        """Say that nodes stopped working."""
        body = FailNodesBody(incident_id=incident_id, nodes=nodes, at=at)
        return await self._transport.command("POST", f"/v1/pools/{pool_id}/fail-nodes", body)

    async def restore_nodes(self, pool_id: str, *, incident_id: str, at: datetime) -> ReceiptBody:
        """Say that the nodes of an incident work again."""
        body = RestoreNodesBody(incident_id=incident_id, at=at)
        return await self._transport.command("POST", f"/v1/pools/{pool_id}/restore-nodes", body)

    async def get(self, pool_id: str) -> PoolView:
        """Return a pool."""
        return await self._transport.read(f"/v1/pools/{pool_id}", PoolView)

    def list(
        self, *, provider_id: str | None = None, gpu_class: str | None = None, region: str | None = None
    ) -> AsyncIterator[PoolView]:
        """Yield pools by id, narrowed by what is given."""
        query = {"provider_id": provider_id, "gpu_class": gpu_class, "region": region}
        return self._transport.read_all("/v1/pools", PoolView, query)


class Lots(Feature):
    """Nodes for sale over a span."""

    async def offer(self, body: ListLotBody) -> ReceiptBody:
        """Offer nodes of a pool."""
        return await self._transport.command("POST", "/v1/lots", body)

    async def reprice(self, lot_id: str, *, ask_usd_per_gpu_hour: Decimal, if_match: int | None = None) -> ReceiptBody:
        """Change the ask."""
        body = RepriceLotBody(ask_usd_per_gpu_hour=ask_usd_per_gpu_hour)
        return await self._transport.command("POST", f"/v1/lots/{lot_id}/reprice", body, if_match=if_match)

    async def reschedule(self, lot_id: str, *, start: datetime, end: datetime, reason: str) -> ReceiptBody:
        """Move the span."""
        body = RescheduleLotBody(start=start, end=end, reason=reason)
        return await self._transport.command("POST", f"/v1/lots/{lot_id}/reschedule", body)

    async def pause(self, lot_id: str, *, reason: str) -> ReceiptBody:
        """Take no new orders for a while."""
        return await self._transport.command("POST", f"/v1/lots/{lot_id}/pause", ReasonBody(reason=reason))

    async def resume(self, lot_id: str) -> ReceiptBody:
        """Take orders again."""
        return await self._transport.command("POST", f"/v1/lots/{lot_id}/resume")

    async def withdraw(self, lot_id: str, *, reason: str) -> ReceiptBody:
        """Take a lot off the market for good."""
        return await self._transport.command("POST", f"/v1/lots/{lot_id}/withdraw", ReasonBody(reason=reason))

    async def get(self, lot_id: str) -> LotView:
        """Return a lot."""
        return await self._transport.read(f"/v1/lots/{lot_id}", LotView)

    def list(
        self,
        *,
        provider_id: str | None = None,
        pool_id: str | None = None,
        gpu_class: str | None = None,
        region: str | None = None,
        status: str | None = None,
    ) -> AsyncIterator[LotView]:
        """Yield lots by id, narrowed by what is given."""
        query = {
            "provider_id": provider_id,
            "pool_id": pool_id,
            "gpu_class": gpu_class,
            "region": region,
            "status": status,
        }
        return self._transport.read_all("/v1/lots", LotView, query)
