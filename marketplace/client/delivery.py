"""Grants, usage and statements."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from marketplace.api.bodies.delivery import (
    CorrectUsageBody,
    DegradeGrantBody,
    DisputeStatementBody,
    ReadingBody,
    ReportUsageBody,
    ResolveStatementBody,
    ResumeGrantBody,
    TransferGrantBody,
    VoidUsageBody,
)
from marketplace.api.bodies.reasons import TimedReasonBody
from marketplace.api.commands import ReceiptBody
from marketplace.api.usage import UsageReceipt
from marketplace.client.feature import Feature
from marketplace.client.transport import At
from marketplace.projections.grants import GrantAtView, GrantView
from marketplace.projections.statements import StatementView
from marketplace.projections.usage import ReadingView, UsageView


class Grants(Feature):
    """Capacity that was awarded."""

    async def activate(self, grant_id: str) -> ReceiptBody:
        """Hand the capacity over."""
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/activate")

    async def degrade(self, grant_id: str, *, nodes_available: int, at: datetime, reason: str) -> ReceiptBody:
        """Say that fewer nodes work."""
        body = DegradeGrantBody(nodes_available=nodes_available, at=at, reason=reason)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/degrade", body)

    async def suspend(self, grant_id: str, *, at: datetime, reason: str) -> ReceiptBody:
        """Interrupt use."""
        body = TimedReasonBody(at=at, reason=reason)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/suspend", body)

    async def resume(self, grant_id: str, *, at: datetime) -> ReceiptBody:
        """Say that it works in full again."""
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/resume", ResumeGrantBody(at=at))

    async def transfer(self, grant_id: str, *, startup_id: str) -> ReceiptBody:
        """Let another startup use the capacity."""
        body = TransferGrantBody(startup_id=startup_id)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/transfer", body)

    async def terminate(self, grant_id: str, *, at: datetime, reason: str) -> ReceiptBody:
        """End a grant early."""
        body = TimedReasonBody(at=at, reason=reason)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/terminate", body)

    async def get(self, grant_id: str) -> GrantView:
        """Return a grant."""
        return await self._transport.read(f"/v1/grants/{grant_id}", GrantView)

    async def get_past(self, grant_id: str, at: At) -> GrantAtView:
        """Return a grant as it stood."""
        return await self._transport.read(f"/v1/grants/{grant_id}/history", GrantAtView, {"at": at})

    def list(self, *, party_id: str | None = None, status: str | None = None) -> AsyncIterator[GrantView]:
        """Yield grants by id."""
        return self._transport.read_all("/v1/grants", GrantView, {"party_id": party_id, "status": status})


class Usage(Feature):
    """What meters said of grants."""

    async def report(self, grant_id: str, *, source: str, readings: Sequence[ReadingBody]) -> UsageReceipt:
        """Report readings; each is answered for itself."""
        body = ReportUsageBody(source=source, readings=tuple(readings))
        path = f"/v1/grants/{grant_id}/usage"
        return await self._transport.command("POST", path, body, answer=UsageReceipt)

    async def correct(self, grant_id: str, *, source: str, reading: ReadingBody, reason: str) -> ReceiptBody:
        """Replace a reading."""
        body = CorrectUsageBody(source=source, reading=reading, reason=reason)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/usage/corrections", body)

    async def void(self, grant_id: str, *, source: str, reading_id: str, reason: str) -> ReceiptBody:
        """Take a reading back."""
        body = VoidUsageBody(source=source, reading_id=reading_id, reason=reason)
        return await self._transport.command("POST", f"/v1/grants/{grant_id}/usage/voids", body)

    async def sum(self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageView:
        """Return the sum of a grant's readings."""
        query = {"start": start, "end": end}
        return await self._transport.read(f"/v1/grants/{grant_id}/usage", UsageView, query)

    def list_readings(self, grant_id: str) -> AsyncIterator[ReadingView]:
        """Yield a grant's readings, the oldest report first."""
        return self._transport.read_all(f"/v1/grants/{grant_id}/usage/readings", ReadingView)


class Statements(Feature):
    """Periods of usage, priced."""

    async def accept(self, statement_id: str) -> ReceiptBody:
        """Accept a statement."""
        return await self._transport.command("POST", f"/v1/statements/{statement_id}/accept")

    async def dispute(self, statement_id: str, *, gpu_seconds_claimed: int, reason: str) -> ReceiptBody:
        """Say that less was delivered."""
        body = DisputeStatementBody(gpu_seconds_claimed=gpu_seconds_claimed, reason=reason)
        return await self._transport.command("POST", f"/v1/statements/{statement_id}/dispute", body)

    async def resolve(self, statement_id: str, *, gpu_seconds: int, reason: str) -> ReceiptBody:
        """End a dispute."""
        body = ResolveStatementBody(gpu_seconds=gpu_seconds, reason=reason)
        return await self._transport.command("POST", f"/v1/statements/{statement_id}/resolve", body)

    async def get(self, statement_id: str) -> StatementView:
        """Return a statement."""
        return await self._transport.read(f"/v1/statements/{statement_id}", StatementView)

    def list(
        self, *, party_id: str | None = None, grant_id: str | None = None, status: str | None = None
    ) -> AsyncIterator[StatementView]:
        """Yield statements by id."""
        query = {"party_id": party_id, "grant_id": grant_id, "status": status}
        return self._transport.read_all("/v1/statements", StatementView, query)
