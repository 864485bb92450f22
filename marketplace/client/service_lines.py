"""Methods of the client for service lines: work beside a grant, agreed on and metered in hours."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Unpack

from events.service_line import HoursReading
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.service_lines import (
    CorrectHoursBody,
    DeclineServiceLineBody,
    ProposeServiceLineBody,
    VoidHoursBody,
)
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.billing import HoursReadingView, ServiceLineView


class ServiceLines(Group):
    """Service lines, as provider, startup and holder."""

    async def propose(
        self, *, grant_id: str, name: str, price_usd_per_hour: Decimal, hours: Decimal, workers: int, **options: Any
    ) -> ReceiptBody:
        """Propose work for the startup of a grant; the receipt's id is the service line's."""
        body = ProposeServiceLineBody(
            grant_id=grant_id, name=name, price_usd_per_hour=price_usd_per_hour, hours=hours, workers=workers
        )
        return await self._api.command("/v1/service-lines", body, **options)

    async def approve(self, service_line_id: str, **options: Any) -> ReceiptBody:
        """Approve the equity part of its price, as the holder of the grant's equity."""
        return await self._api.command(f"/v1/service-lines/{segment(service_line_id)}/approve", **options)

    async def agree(self, service_line_id: str, **options: Any) -> ReceiptBody:
        """Agree to a service line, as the startup; the price of all hours is held."""
        return await self._api.command(f"/v1/service-lines/{segment(service_line_id)}/agree", **options)

    async def decline(self, service_line_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Decline a proposal, or withdraw it."""
        body = DeclineServiceLineBody(reason=reason)
        return await self._api.command(f"/v1/service-lines/{segment(service_line_id)}/decline", body, **options)

    async def correct_hours(
        self, service_line_id: str, *, source: str, reading: HoursReading, reason: str, **options: Any
    ) -> ReceiptBody:
        """Replace a reading of hours, as its source. A settled period is adjusted."""
        body = CorrectHoursBody(source=source, reading=reading, reason=reason)
        return await self._api.command(
            f"/v1/service-lines/{segment(service_line_id)}/hours/corrections", body, **options
        )

    async def void_hours(
        self, service_line_id: str, *, source: str, reading_id: str, reason: str, **options: Any
    ) -> ReceiptBody:
        """Void a reading of hours, as its source. A settled period is adjusted."""
        body = VoidHoursBody(source=source, reading_id=reading_id, reason=reason)
        return await self._api.command(f"/v1/service-lines/{segment(service_line_id)}/hours/voids", body, **options)

    async def get(self, service_line_id: str) -> ServiceLineView:
        """Return a service line, with its worked hours."""
        return await self._api.get(f"/v1/service-lines/{segment(service_line_id)}", ServiceLineView)

    def list(
        self,
        *,
        grant_id: str | None = None,
        party_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> AsyncIterator[ServiceLineView]:
        """Yield service lines, of one grant or all."""
        return self._api.rows(
            "/v1/service-lines", ServiceLineView, grant_id=grant_id, party_id=party_id, status=status, **listed
        )

    def list_hours(self, service_line_id: str) -> AsyncIterator[HoursReadingView]:
        """Yield readings of hours, oldest first."""
        return self._api.rows(f"/v1/service-lines/{segment(service_line_id)}/hours", HoursReadingView)
