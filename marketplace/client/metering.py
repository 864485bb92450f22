"""Methods of the client for what a tenant used of a class, spread over its grants."""

from collections.abc import AsyncIterator
from typing import Any

from marketplace.api.bodies.delivery import PrioritiseGrantBody
from marketplace.api.bodies.spreads import CorrectSpreadBody, SpreadUsageBody, VoidSpreadBody
from marketplace.api.commands import ReceiptBody
from marketplace.api.spreads import SpreadReceipt
from marketplace.client.books import Books
from marketplace.client.service_lines import ServiceLines
from marketplace.projections.usage import SpreadView


class Metering(Books, ServiceLines):
    """What meters tell of a tenant, and how it is spread."""

    async def spread_usage(self, body: SpreadUsageBody, **options: Any) -> SpreadReceipt:
        """Tell what a tenant used of a class, and learn which grants carry it."""
        return await self.send("/v1/usage/spreads", SpreadReceipt, body, **options)

    async def correct_spread(self, body: CorrectSpreadBody, **options: Any) -> ReceiptBody:
        """Replace a reading that was spread; the order in which grants were used is unwound."""
        return await self.command("/v1/usage/spreads/corrections", body, **options)

    async def void_spread(self, body: VoidSpreadBody, **options: Any) -> ReceiptBody:
        """Take a reading that was spread back from every grant that carries a part of it."""
        return await self.command("/v1/usage/spreads/voids", body, **options)

    def list_spreads(self) -> AsyncIterator[SpreadView]:
        """Yield readings that were spread, oldest first."""
        return self.rows("/v1/usage/spreads", SpreadView)

    async def prioritise_grant(self, grant_id: str, priority: int, **options: Any) -> ReceiptBody:
        """Say when a grant is used among those over which use is spread; the lowest first."""
        body = PrioritiseGrantBody(priority=priority)
        return await self.command(f"/v1/grants/{grant_id}/prioritise", body, **options)
