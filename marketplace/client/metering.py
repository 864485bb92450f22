"""Methods of the client for metering: readings of grants, and readings of tenants, which are allocated to grants."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from events.usage import Sample
from marketplace.api.http.bodies.allocations import (
    AllocateUsageBody,
    AllocationReceipt,
    CorrectAllocationBody,
    UseBody,
    VoidAllocationBody,
)
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.delivery import (
    CorrectUsageBody,
    EvidenceBody,
    EvidenceReceipt,
    ReadingBody,
    ReportUsageBody,
    UsageReceipt,
    VoidUsageBody,
)
from marketplace.api.http.bodies.meters import BATCHED, IngestionReceipt
from marketplace.client.transport import Group, segment
from marketplace.domain.metering.contradictions import Contradiction
from marketplace.projections.views.metering import AllocationView, ReadingView, UsageDay, UsageView


class Usage(Group):
    """Readings of grants and of tenants. Provider and startup have meters of their own."""

    async def report(
        self, grant_id: str, *, source: str, readings: tuple[ReadingBody, ...], **options: Any
    ) -> UsageReceipt:
        """Report readings of a grant; the answer states for each whether it was accepted."""
        body = ReportUsageBody(source=source, readings=readings)
        return await self._api.send(f"/v1/grants/{segment(grant_id)}/usage", UsageReceipt, body, **options)

    async def ingest(self, body: Sequence[Mapping[str, Any]], **options: Any) -> IngestionReceipt:
        """Send at most 1,000 readings, in 4 MiB, as CloudEvents; the answer states for each whether it was accepted."""
        batch = BATCHED.decode()
        return await self._api.send("/v1/usage", IngestionReceipt, list(body), media_type=batch, **options)

    async def keep_evidence(
        self, grant_id: str, *, source: str, samples: tuple[Sample, ...], **options: Any
    ) -> EvidenceReceipt:
        """Store samples of a grant's machines as evidence; the answer states which were left out, and why."""
        body = EvidenceBody(source=source, samples=samples)
        return await self._api.send(f"/v1/grants/{segment(grant_id)}/usage/evidence", EvidenceReceipt, body, **options)

    async def correct(
        self, grant_id: str, *, source: str, reading: ReadingBody, reason: str, **options: Any
    ) -> ReceiptBody:
        """Replace the reading with a source and id, as the side whose meter it is. A settled period is adjusted.

        Raises:
            ProblemError: ``grant_unknown`` · ``reading_unknown`` · ``reading_voided`` · ``limit_exceeded`` · the new
                content's refusal, such as ``nodes_above_grant`` or ``outside_grant``.
        """
        body = CorrectUsageBody(source=source, reading=reading, reason=reason)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/usage/corrections", body, **options)

    async def void(self, grant_id: str, *, source: str, reading_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Void a reading, as the side whose meter it is, so that it counts nothing. A settled period is adjusted.

        Raises:
            ProblemError: ``grant_unknown`` · ``reading_unknown`` · ``limit_exceeded``.
        """
        body = VoidUsageBody(source=source, reading_id=reading_id, reason=reason)
        return await self._api.command(f"/v1/grants/{segment(grant_id)}/usage/voids", body, **options)

    async def sum(self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageView:
        """Return the GPU-seconds of readings that begin in ``[start, end)``, separately for each side's meters.

        Raises:
            ProblemError: ``grant_unknown``, also if it is another's.
        """
        return await self._api.get(f"/v1/grants/{segment(grant_id)}/usage", UsageView, start=start, end=end)

    async def sum_days(self, grant_id: str) -> list[UsageDay]:
        """Return the GPU-seconds of readings by the day in UTC on which they begin, for each side's meters.

        Raises:
            ProblemError: ``grant_unknown``, also if it is another's.
        """
        return await self._api.get(f"/v1/grants/{segment(grant_id)}/usage/days", list[UsageDay])

    def list_readings(
        self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> AsyncIterator[ReadingView]:
        """Yield the readings of a grant that begin in ``[start, end)``, or all, oldest report first; voided ones too.

        Raises:
            ProblemError: ``grant_unknown``, also if it is another's.
        """
        return self._api.rows(f"/v1/grants/{segment(grant_id)}/usage/readings", ReadingView, start=start, end=end)

    async def find_contradictions(
        self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[Contradiction]:
        """Return where meters and machines disagree in ``[start, end)``; by default over the whole grant.

        Raises:
            ProblemError: ``grant_unknown`` · ``span_too_wide`` above 10,000 readings or samples.
        """
        return await self._api.get(
            f"/v1/grants/{segment(grant_id)}/usage/contradictions", list[Contradiction], start=start, end=end
        )

    async def allocate(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        readings: tuple[UseBody, ...],
        provider_id: str | None = None,
        **options: Any,
    ) -> AllocationReceipt:
        """Report what a tenant used of a class; the answer names the grants that it is allocated to."""
        body = AllocateUsageBody(
            startup_id=startup_id, gpu_class=gpu_class, source=source, readings=readings, provider_id=provider_id
        )
        return await self._api.send("/v1/usage/allocations", AllocationReceipt, body, **options)

    async def correct_allocation(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        reading: UseBody,
        reason: str,
        provider_id: str | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Replace an allocated reading; the recorded order of grants decides which of them change."""
        body = CorrectAllocationBody(
            startup_id=startup_id,
            gpu_class=gpu_class,
            source=source,
            reading=reading,
            reason=reason,
            provider_id=provider_id,
        )
        return await self._api.command("/v1/usage/allocations/corrections", body, **options)

    async def void_allocation(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        reading_id: str,
        reason: str,
        provider_id: str | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Void an allocated reading, with its part in every grant."""
        body = VoidAllocationBody(
            startup_id=startup_id,
            gpu_class=gpu_class,
            source=source,
            reading_id=reading_id,
            reason=reason,
            provider_id=provider_id,
        )
        return await self._api.command("/v1/usage/allocations/voids", body, **options)

    def list_allocations(self) -> AsyncIterator[AllocationView]:
        """Yield allocated readings, oldest first."""
        return self._api.rows("/v1/usage/allocations", AllocationView)
