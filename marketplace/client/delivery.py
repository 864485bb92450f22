"""Methods of the client for delivery: grants from their start to their end, and statements of their periods."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.delivery import (
    DegradeGrantBody,
    DisputeStatementBody,
    PrioritiseGrantBody,
    ResolveStatementBody,
    ResumeGrantBody,
    SubstituteGrantBody,
    TerminateGrantBody,
    TransferGrantBody,
)
from marketplace.api.http.bodies.reasons import TimedReasonBody
from marketplace.client.transport import Point, Transport
from marketplace.projections.views.billing import StatementView
from marketplace.projections.views.delivery import GrantAtView, GrantView


class Delivery(Transport):
    """What provider and startup say and ask of grants that run; who is the other side is told ``wrong_side``."""

    async def get_grant(self, grant_id: str) -> GrantView:
        """Return a grant."""
        return await self.get(f"/v1/grants/{grant_id}", GrantView)

    def list_grants(self, *, party_id: str | None = None, status: str | None = None) -> AsyncIterator[GrantView]:
        """Yield the party's own grants by id, as its startup, provider or holder."""
        return self.rows("/v1/grants", GrantView, party_id=party_id, status=status)

    async def get_grant_at(self, grant_id: str, at: Point | None = None) -> GrantAtView:
        """Return what changes over the life of a grant as it stood at a sequence or an instant.

        Raises:
            ProblemError: ``grant_unknown``, also where it was not issued by then.
        """
        return await self.get(f"/v1/grants/{grant_id}/history", GrantAtView, at=at)

    def list_grants_at(self, at: Point | None, *, party_id: str | None = None) -> AsyncIterator[GrantAtView]:
        """Yield what changes over the lives of grants as it stood at a sequence or an instant."""
        return self.rows("/v1/grants/history", GrantAtView, at=at, party_id=party_id)

    async def activate_grant(self, grant_id: str, **options: Any) -> ReceiptBody:
        """Hand the capacity over, as the provider; a worker does so at the start of each grant by itself.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>`` · ``grant_not_due`` before its start.
        """
        return await self.command(f"/v1/grants/{grant_id}/activate", **options)

    async def degrade_grant(self, grant_id: str, body: DegradeGrantBody, **options: Any) -> ReceiptBody:
        """Say, as the provider, that fewer nodes work than were granted.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>`` · ``nodes_above_grant``.
        """
        return await self.command(f"/v1/grants/{grant_id}/degrade", body, **options)

    async def suspend_grant(self, grant_id: str, at: datetime, reason: str, **options: Any) -> ReceiptBody:
        """Say, as the provider, that none of a grant can be used since an instant, until it is resumed.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>``, unless it is active or degraded.
        """
        return await self.command(f"/v1/grants/{grant_id}/suspend", TimedReasonBody(at=at, reason=reason), **options)

    async def resume_grant(self, grant_id: str, at: datetime, **options: Any) -> ReceiptBody:
        """Say, as the provider, that a suspended or degraded grant works in full again since an instant.

        Raises:
            ProblemError: ``grant_unknown`` · ``grant_<status>``.
        """
        return await self.command(f"/v1/grants/{grant_id}/resume", ResumeGrantBody(at=at), **options)

    async def substitute_grant(self, grant_id: str, pool_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Move what is left of a grant to another pool of its provider, as the provider, at no higher price.

        Raises:
            ProblemError: ``grant_unknown`` · ``pool_unknown`` · ``pool_unlike`` where the nodes are of another kind ·
                ``grant_over`` · ``substitute_full`` · ``pool_unchanged``.
        """
        body = SubstituteGrantBody(pool_id=pool_id, reason=reason)
        return await self.command(f"/v1/grants/{grant_id}/substitute", body, **options)

    async def transfer_grant(self, grant_id: str, startup_id: str, **options: Any) -> ReceiptBody:
        """Let another cleared startup use the capacity, as the startup; payment and equity stay with the first.

        Raises:
            ProblemError: ``grant_unknown`` · ``party_unknown`` · ``party_not_cleared`` · ``role_missing`` ·
                ``resale_held`` · ``grant_<status>``.
        """
        body = TransferGrantBody(startup_id=startup_id)
        return await self.command(f"/v1/grants/{grant_id}/transfer", body, **options)

    async def prioritise_grant(self, grant_id: str, priority: int, **options: Any) -> ReceiptBody:
        """Say when a grant is used among those over which use is spread; the lowest first."""
        body = PrioritiseGrantBody(priority=priority)
        return await self.command(f"/v1/grants/{grant_id}/prioritise", body, **options)

    async def terminate_grant(self, grant_id: str, body: TerminateGrantBody, **options: Any) -> ReceiptBody:
        """End a grant early, with the notice of its terms or for cause."""
        return await self.command(f"/v1/grants/{grant_id}/terminate", body, **options)

    async def get_statement(self, statement_id: str) -> StatementView:
        """Return a statement, with what its period came to and what was given back."""
        return await self.get(f"/v1/statements/{statement_id}", StatementView)

    def list_statements(
        self,
        *,
        party_id: str | None = None,
        grant_id: str | None = None,
        service_line_id: str | None = None,
        status: str | None = None,
    ) -> AsyncIterator[StatementView]:
        """Yield statements, of a party, a grant or a service line."""
        query = {"party_id": party_id, "grant_id": grant_id, "service_line_id": service_line_id}
        return self.rows("/v1/statements", StatementView, status=status, **query)

    async def accept_statement(self, statement_id: str, **options: Any) -> ReceiptBody:
        """Accept a statement, which settles it."""
        return await self.command(f"/v1/statements/{statement_id}/accept", **options)

    async def dispute_statement(self, statement_id: str, body: DisputeStatementBody, **options: Any) -> ReceiptBody:
        """Say that less was delivered."""
        return await self.command(f"/v1/statements/{statement_id}/dispute", body, **options)

    async def resolve_statement(self, statement_id: str, body: ResolveStatementBody, **options: Any) -> ReceiptBody:
        """Concede what was claimed, or decide a dispute as the platform."""
        return await self.command(f"/v1/statements/{statement_id}/resolve", body, **options)
