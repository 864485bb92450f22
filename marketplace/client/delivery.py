"""Methods of the client for delivery: nodes that fail and come back, grants that are ended, statements of periods."""

from datetime import datetime
from typing import Any

from marketplace.api.bodies.delivery import DisputeStatementBody, ResolveStatementBody, TerminateGrantBody
from marketplace.api.bodies.supply import FailNodesBody, RestoreNodesBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.transport import Transport
from marketplace.projections.grants import GrantView
from marketplace.projections.statements import StatementView


class Delivery(Transport):
    """What provider and startup say and ask of grants that run."""

    async def fail_nodes(self, pool_id: str, body: FailNodesBody, **options: Any) -> ReceiptBody:
        """Say that nodes stopped working."""
        return await self.command(f"/v1/pools/{pool_id}/fail-nodes", body, **options)

    async def restore_nodes(self, pool_id: str, incident_id: str, at: datetime, **options: Any) -> ReceiptBody:
        """Say that the nodes of an incident work again."""
        body = RestoreNodesBody(incident_id=incident_id, at=at)
        return await self.command(f"/v1/pools/{pool_id}/restore-nodes", body, **options)

    async def get_grant(self, grant_id: str) -> GrantView:
        """Return a grant."""
        return await self.get(f"/v1/grants/{grant_id}", GrantView)

    async def terminate_grant(self, grant_id: str, body: TerminateGrantBody, **options: Any) -> ReceiptBody:
        """End a grant early, with the notice of its terms or for cause."""
        return await self.command(f"/v1/grants/{grant_id}/terminate", body, **options)

    async def get_statement(self, statement_id: str) -> StatementView:
        """Return a statement, with what its period came to and what was given back."""
        return await self.get(f"/v1/statements/{statement_id}", StatementView)

    async def dispute_statement(self, statement_id: str, body: DisputeStatementBody, **options: Any) -> ReceiptBody:
        """Say that less was delivered."""
        return await self.command(f"/v1/statements/{statement_id}/dispute", body, **options)

    async def resolve_statement(self, statement_id: str, body: ResolveStatementBody, **options: Any) -> ReceiptBody:
        """Concede what was claimed, or decide a dispute as the platform."""
        return await self.command(f"/v1/statements/{statement_id}/resolve", body, **options)
