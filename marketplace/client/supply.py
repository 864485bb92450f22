"""Methods of the client for supply: sites, pools of equal nodes at them, and lots of nodes for sale."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Unpack

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.supply import (
    ClosePoolBody,
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
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.supply import IncidentView, LotView, PoolView, SiteView


class Sites(Group):
    """Sites: the data centers of providers; the inventory is public to every tenant."""

    async def register(self, body: RegisterSiteBody, **options: Any) -> ReceiptBody:
        """Register a data center."""
        return await self._api.command("/v1/sites", body, **options)

    async def energise(self, site_id: str, power_energised_kw: int, at: datetime, **options: Any) -> ReceiptBody:
        """Report the site's live power from an instant on, in kW in total: more than before, within the contract.

        A planned or converting site operates at once.

        Raises:
            ProblemError: ``site_unknown`` · ``power_above_contract`` · ``power_not_raised``.
        """
        body = EnergiseSiteBody(power_energised_kw=power_energised_kw, at=at)
        return await self._api.command(f"/v1/sites/{segment(site_id)}/energise", body, **options)

    async def derate(self, site_id: str, body: DerateSiteBody, **options: Any) -> ReceiptBody:
        """Report less live power, in kW.

        Raises:
            ProblemError: ``site_unknown`` · ``power_not_lowered``.
        """
        return await self._api.command(f"/v1/sites/{segment(site_id)}/derate", body, **options)

    async def schedule_conversion(self, site_id: str, body: ScheduleConversionBody, **options: Any) -> ReceiptBody:
        """Schedule the day on which a site of another use becomes a data center."""
        return await self._api.command(f"/v1/sites/{segment(site_id)}/schedule-conversion", body, **options)

    async def slip_conversion(self, site_id: str, body: SlipConversionBody, **options: Any) -> ReceiptBody:
        """Report a later date of a conversion."""
        return await self._api.command(f"/v1/sites/{segment(site_id)}/slip-conversion", body, **options)

    async def get(self, site_id: str) -> SiteView:
        """Return any provider's site as it is now; power is in kW."""
        return await self._api.get(f"/v1/sites/{segment(site_id)}", SiteView)

    def list(self, *, provider_id: str | None = None) -> AsyncIterator[SiteView]:
        """Yield sites by id, of one provider or of all."""
        return self._api.rows("/v1/sites", SiteView, provider_id=provider_id)


class Pools(Group):
    """Pools of equal nodes; the inventory is public to every tenant."""

    async def open(self, body: OpenPoolBody, **options: Any) -> ReceiptBody:
        """Open a pool: equal nodes on one fabric."""
        return await self._api.command("/v1/pools", body, **options)

    async def fail_nodes(self, pool_id: str, body: FailNodesBody, **options: Any) -> ReceiptBody:
        """Report, as the provider, that nodes stopped working, or an outage that is over."""
        return await self._api.command(f"/v1/pools/{segment(pool_id)}/fail-nodes", body, **options)

    async def restore_nodes(self, pool_id: str, incident_id: str, at: datetime, **options: Any) -> ReceiptBody:
        """Report that the nodes of an incident work again."""
        body = RestoreNodesBody(incident_id=incident_id, at=at)
        return await self._api.command(f"/v1/pools/{segment(pool_id)}/restore-nodes", body, **options)

    def list_incidents(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the parameter's name
    ) -> AsyncIterator[IncidentView]:
        """Yield failures of the provider's nodes, the latest first; for the platform, of every provider's."""
        return self._api.rows("/v1/pools/incidents", IncidentView, open=open)

    async def close(self, pool_id: str, body: ClosePoolBody, **options: Any) -> ReceiptBody:
        """Close a pool: nothing runs after `closes_at`; grants that still run end then."""
        return await self._api.command(f"/v1/pools/{segment(pool_id)}/close", body, **options)

    async def get(self, pool_id: str) -> PoolView:
        """Return any provider's pool; its free nodes over time come from `read_capacity`."""
        return await self._api.get(f"/v1/pools/{segment(pool_id)}", PoolView)

    def list(
        self, *, provider_id: str | None = None, gpu_class: str | None = None, region: str | None = None
    ) -> AsyncIterator[PoolView]:
        """Yield pools by id, narrowed by the given arguments."""
        return self._api.rows("/v1/pools", PoolView, provider_id=provider_id, gpu_class=gpu_class, region=region)


class Lots(Group):
    """Lots: nodes for sale over a span; the inventory is public to every tenant."""

    async def offer(self, body: ListLotBody, **options: Any) -> ReceiptBody:
        """Offer nodes of a pool for a span at an ask, in US dollars per GPU-hour."""
        return await self._api.command("/v1/lots", body, **options)

    async def reprice(self, lot_id: str, body: RepriceLotBody, **options: Any) -> ReceiptBody:
        """Change the asks of a lot."""
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/reprice", body, **options)

    async def reschedule(self, lot_id: str, body: RescheduleLotBody, **options: Any) -> ReceiptBody:
        """Change the span of a lot. What it sold stays sold.

        Raises:
            ProblemError: ``lot_unknown`` · ``span_empty`` · ``resale_fixed`` of a resale · ``pool_full``.
        """
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/reschedule", body, **options)

    async def pause(self, lot_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Pause a lot: it takes no new orders until it is resumed, and its grants stay.

        Raises:
            ProblemError: ``lot_unknown`` · ``lot_withdrawn``.
        """
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/pause", ReasonBody(reason=reason), **options)

    async def resume(self, lot_id: str, **options: Any) -> ReceiptBody:
        """Resume a paused lot.

        Raises:
            ProblemError: ``lot_unknown`` · ``lot_withdrawn``.
        """
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/resume", **options)

    async def withdraw(self, lot_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw a lot for good. Grants on it stay."""
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/withdraw", ReasonBody(reason=reason), **options)

    async def get(self, lot_id: str) -> LotView:
        """Return any seller's lot as it is now; asks are in US dollars per GPU-hour."""
        return await self._api.get(f"/v1/lots/{segment(lot_id)}", LotView)

    def list(
        self,
        *,
        provider_id: str | None = None,
        pool_id: str | None = None,
        gpu_class: str | None = None,
        region: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> AsyncIterator[LotView]:
        """Yield lots by id, narrowed by what is given; `status` is ``listed``, ``paused`` or ``withdrawn``."""
        query = {"provider_id": provider_id, "pool_id": pool_id, "gpu_class": gpu_class}
        return self._api.rows("/v1/lots", LotView, region=region, status=status, **query, **listed)
