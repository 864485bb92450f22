"""Methods of the client for supply: sites, pools of equal nodes at them, and lots of nodes for sale."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from events.lot import AskStep
from events.service import ServiceTerms
from events.site import SiteStatus
from events.stages import StageTerms
from events.types import Interconnect
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

    async def register(
        self,
        *,
        provider_id: str,
        name: str,
        region: str,
        jurisdiction: str,
        status: SiteStatus,
        power_contracted_kw: int,
        power_energised_kw: int,
        power_usage_effectiveness: Decimal,
        renewable_share: Decimal,
        **options: Any,
    ) -> ReceiptBody:
        """Register a data center."""
        body = RegisterSiteBody(
            provider_id=provider_id,
            name=name,
            region=region,
            jurisdiction=jurisdiction,
            status=status,
            power_contracted_kw=power_contracted_kw,
            power_energised_kw=power_energised_kw,
            power_usage_effectiveness=power_usage_effectiveness,
            renewable_share=renewable_share,
        )
        return await self._api.command("/v1/sites", body, **options)

    async def energise(self, site_id: str, *, power_energised_kw: int, at: datetime, **options: Any) -> ReceiptBody:
        """Report the site's live power from an instant on, in kW in total: more than before, within the contract.

        A planned or converting site operates at once.

        Raises:
            ProblemError: ``site_unknown`` · ``power_above_contract`` · ``power_not_raised``.
        """
        body = EnergiseSiteBody(power_energised_kw=power_energised_kw, at=at)
        return await self._api.command(f"/v1/sites/{segment(site_id)}/energise", body, **options)

    async def derate(
        self, site_id: str, *, power_energised_kw: int, at: datetime, reason: str, **options: Any
    ) -> ReceiptBody:
        """Report less live power, in kW.

        Raises:
            ProblemError: ``site_unknown`` · ``power_not_lowered``.
        """
        body = DerateSiteBody(power_energised_kw=power_energised_kw, at=at, reason=reason)
        return await self._api.command(f"/v1/sites/{segment(site_id)}/derate", body, **options)

    async def schedule_conversion(
        self, site_id: str, *, former_use: str, ready_at: datetime, **options: Any
    ) -> ReceiptBody:
        """Schedule the day on which a site of another use becomes a data center."""
        body = ScheduleConversionBody(former_use=former_use, ready_at=ready_at)
        return await self._api.command(f"/v1/sites/{segment(site_id)}/schedule-conversion", body, **options)

    async def slip_conversion(self, site_id: str, *, ready_at: datetime, reason: str, **options: Any) -> ReceiptBody:
        """Report a later date of a conversion."""
        body = SlipConversionBody(ready_at=ready_at, reason=reason)
        return await self._api.command(f"/v1/sites/{segment(site_id)}/slip-conversion", body, **options)

    async def get(self, site_id: str) -> SiteView:
        """Return any provider's site as it is now; power is in kW."""
        return await self._api.get(f"/v1/sites/{segment(site_id)}", SiteView)

    def list(self, *, provider_id: str | None = None, status: Statuses = None) -> AsyncIterator[SiteView]:
        """Yield sites by id, of one provider or of all; `status` is ``planned``, ``converting`` or ``operating``."""
        return self._api.rows("/v1/sites", SiteView, provider_id=provider_id, status=status)


class Pools(Group):
    """Pools of equal nodes; the inventory is public to every tenant."""

    async def open(
        self,
        *,
        site_id: str,
        gpu_class: str,
        interconnect: Interconnect,
        gpus_per_node: int,
        nodes: int,
        power_per_node_kw: int,
        service: ServiceTerms | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Open a pool: equal nodes on one fabric."""
        body = OpenPoolBody(
            site_id=site_id,
            gpu_class=gpu_class,
            interconnect=interconnect,
            gpus_per_node=gpus_per_node,
            nodes=nodes,
            power_per_node_kw=power_per_node_kw,
            service=service,
        )
        return await self._api.command("/v1/pools", body, **options)

    async def fail_nodes(
        self, pool_id: str, *, incident_id: str, nodes: int, at: datetime, until: datetime | None = None, **options: Any
    ) -> ReceiptBody:
        """Report, as the provider, that nodes stopped working, or an outage that is over."""
        body = FailNodesBody(incident_id=incident_id, nodes=nodes, at=at, until=until)
        return await self._api.command(f"/v1/pools/{segment(pool_id)}/fail-nodes", body, **options)

    async def restore_nodes(self, pool_id: str, *, incident_id: str, at: datetime, **options: Any) -> ReceiptBody:
        """Report that the nodes of an incident work again."""
        body = RestoreNodesBody(incident_id=incident_id, at=at)
        return await self._api.command(f"/v1/pools/{segment(pool_id)}/restore-nodes", body, **options)

    def list_incidents(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the parameter's name
        created_from: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[IncidentView]:
        """Yield failures of the provider's nodes, the latest first; for the platform, of every provider's.

        Args:
            open: Only open ones; False: only ended ones.
            created_from: Only what began at this instant or later.
            created_before: Only what began before this instant.
        """
        began = {"created_from": created_from, "created_before": created_before}
        return self._api.rows("/v1/pools/incidents", IncidentView, open=open, **began)

    async def close(self, pool_id: str, *, closes_at: datetime, reason: str, **options: Any) -> ReceiptBody:
        """Close a pool: nothing runs after `closes_at`; grants that still run end then."""
        body = ClosePoolBody(closes_at=closes_at, reason=reason)
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

    async def offer(
        self,
        *,
        pool_id: str,
        nodes: int,
        start: datetime,
        end: datetime,
        ask_usd_per_gpu_hour: Decimal,
        nodes_min: int = 1,
        duration_hours_min: int = 1,
        mandate_ids: tuple[str, ...] = (),
        further_asks: tuple[AskStep, ...] = (),
        service: ServiceTerms | None = None,
        stages: StageTerms | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Offer nodes of a pool for a span at an ask, in US dollars per GPU-hour."""
        body = ListLotBody(
            pool_id=pool_id,
            nodes=nodes,
            start=start,
            end=end,
            ask_usd_per_gpu_hour=ask_usd_per_gpu_hour,
            nodes_min=nodes_min,
            duration_hours_min=duration_hours_min,
            mandate_ids=mandate_ids,
            further_asks=further_asks,
            service=service,
            stages=stages,
        )
        return await self._api.command("/v1/lots", body, **options)

    async def reprice(
        self, lot_id: str, *, ask_usd_per_gpu_hour: Decimal, further_asks: tuple[AskStep, ...] = (), **options: Any
    ) -> ReceiptBody:
        """Change the asks of a lot."""
        body = RepriceLotBody(ask_usd_per_gpu_hour=ask_usd_per_gpu_hour, further_asks=further_asks)
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/reprice", body, **options)

    async def reschedule(
        self, lot_id: str, *, start: datetime, end: datetime, reason: str, **options: Any
    ) -> ReceiptBody:
        """Change the span of a lot. What it sold stays sold.

        Raises:
            ProblemError: ``lot_unknown`` · ``span_empty`` · ``resale_fixed`` of a resale · ``pool_full``.
        """
        body = RescheduleLotBody(start=start, end=end, reason=reason)
        return await self._api.command(f"/v1/lots/{segment(lot_id)}/reschedule", body, **options)

    async def pause(self, lot_id: str, *, reason: str, **options: Any) -> ReceiptBody:
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

    async def withdraw(self, lot_id: str, *, reason: str, **options: Any) -> ReceiptBody:
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
