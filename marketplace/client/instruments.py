"""Instruments and direct investments."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

from events.types import SafeTerms
from marketplace.api.bodies.equity import AmendInstrumentBody, InvestBody, ReversePrincipalBody
from marketplace.api.bodies.reasons import ReasonBody, TimedReasonBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.projections.instruments import InstrumentView, MovementView

PATH = "/v1/instruments"


class Instruments(Feature):
    """Agreements whose principal becomes equity."""

    async def invest(self, *, startup_id: str, mandate_id: str, amount_usd: Decimal, terms: SafeTerms) -> ReceiptBody:
        """Take a cash investment under a mandate, as the startup."""
        body = InvestBody(startup_id=startup_id, mandate_id=mandate_id, amount_usd=amount_usd, terms=terms)
        return await self._transport.command("POST", PATH, body)

    async def amend(
        self, instrument_id: str, *, terms: SafeTerms, applies_to_earlier: bool, if_match: int | None = None
    ) -> ReceiptBody:
        """Record new terms."""
        body = AmendInstrumentBody(terms=terms, applies_to_earlier=applies_to_earlier)
        return await self._transport.command("PUT", f"{PATH}/{instrument_id}", body, if_match=if_match)

    async def suspend(self, instrument_id: str, *, reason: str) -> ReceiptBody:
        """Stop accrual for a while."""
        return await self._transport.command("POST", f"{PATH}/{instrument_id}/suspend", ReasonBody(reason=reason))

    async def resume(self, instrument_id: str) -> ReceiptBody:
        """Let principal accrue again."""
        return await self._transport.command("POST", f"{PATH}/{instrument_id}/resume")

    async def reverse(self, instrument_id: str, *, tranche_id: str, principal_usd: Decimal, reason: str) -> ReceiptBody:
        """Take principal back."""
        body = ReversePrincipalBody(tranche_id=tranche_id, principal_usd=principal_usd, reason=reason)
        return await self._transport.command("POST", f"{PATH}/{instrument_id}/reverse", body)

    async def cancel(self, instrument_id: str, *, at: datetime, reason: str) -> ReceiptBody:
        """End an agreement under which nothing accrued."""
        body = TimedReasonBody(at=at, reason=reason)
        return await self._transport.command("POST", f"{PATH}/{instrument_id}/cancel", body)

    async def get(self, instrument_id: str) -> InstrumentView:
        """Return an instrument."""
        return await self._transport.read(f"{PATH}/{instrument_id}", InstrumentView)

    def list(
        self, *, issuer_id: str | None = None, holder_id: str | None = None, status: str | None = None
    ) -> AsyncIterator[InstrumentView]:
        """Yield instruments by id."""
        query = {"issuer_id": issuer_id, "holder_id": holder_id, "status": status}
        return self._transport.read_all(PATH, InstrumentView, query)

    def list_movements(self, instrument_id: str) -> AsyncIterator[MovementView]:
        """Yield the movements of an instrument's principal, oldest first."""
        return self._transport.read_all(f"{PATH}/{instrument_id}/movements", MovementView)
