"""Methods of the client for instruments: investments and the life of their principal."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from events.financing import Approval
from events.types import PrincipalTerms, Reduction
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.equity import (
    AmendInstrumentBody,
    ElectMfnBody,
    InvestBody,
    NoticeMfnBody,
    PayDebtBody,
    ReversePrincipalBody,
)
from marketplace.api.http.bodies.issuers import TransferRightBody
from marketplace.api.http.bodies.reasons import ReasonBody, TimedReasonBody
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.equity import InstrumentView, MfnNoticeView, MovementView


class Instruments(Group):
    """Instruments, for their holder, their issuer and the platform. Amounts are in US dollars.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    """

    async def invest(
        self, *, startup_id: str, mandate_id: str, amount_usd: Decimal, terms: PrincipalTerms, **options: Any
    ) -> ReceiptBody:
        """Accept a cash investment under a mandate, as the startup. All principal accrues at once."""
        body = InvestBody(startup_id=startup_id, mandate_id=mandate_id, amount_usd=amount_usd, terms=terms)
        return await self._api.command("/v1/instruments", body, **options)

    async def get(self, instrument_id: str) -> InstrumentView:
        """Return an instrument with its principal and its conversions."""
        return await self._api.get(f"/v1/instruments/{segment(instrument_id)}", InstrumentView)

    def list(
        self,
        *,
        issuer_id: str | None = None,
        holder_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> AsyncIterator[InstrumentView]:
        """Yield instruments, of an issuer or a holder."""
        return self._api.rows(
            "/v1/instruments", InstrumentView, issuer_id=issuer_id, holder_id=holder_id, status=status, **listed
        )

    def list_mfn_notices(self, instrument_id: str) -> AsyncIterator[MfnNoticeView]:
        """Yield the notices of later terms that the holder of a most-favoured SAFE may elect, or could."""
        return self._api.rows(f"/v1/instruments/{segment(instrument_id)}/mfn-notices", MfnNoticeView)

    def list_movements(self, instrument_id: str, **listed: Unpack[Listed]) -> AsyncIterator[MovementView]:
        """Yield the movements of an instrument's principal, oldest first unless `order` is ``newest``."""
        return self._api.rows(f"/v1/instruments/{segment(instrument_id)}/movements", MovementView, **listed)

    async def amend(
        self, instrument_id: str, *, terms: PrincipalTerms, applies_to_earlier: bool, **options: Any
    ) -> ReceiptBody:
        """Propose new terms to the other side and to a vote; the platform records agreed terms without a proposal."""
        body = AmendInstrumentBody(terms=terms, applies_to_earlier=applies_to_earlier)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}", body, method="PUT", **options)

    async def transfer(
        self, instrument_id: str, *, holder_id: str, holder_id_after: str, **options: Any
    ) -> ReceiptBody:
        """Transfer an instrument of a holder without a key to the party that it is, as the startup; others agree."""
        body = TransferRightBody(holder_id=holder_id, holder_id_after=holder_id_after)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/transfer", body, **options)

    async def suspend(self, instrument_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Stop the accrual of principal until the instrument is resumed, as the platform."""
        return await self._api.command(
            f"/v1/instruments/{segment(instrument_id)}/suspend", ReasonBody(reason=reason), **options
        )

    async def resume(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Let principal accrue again, as the platform."""
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/resume", **options)

    async def reverse_principal(
        self,
        instrument_id: str,
        *,
        tranche_id: str,
        principal_usd: Decimal,
        reason: str,
        reduction: Reduction | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Reverse a tranche, or part of it, as the platform; shares and money that it became are taken back too."""
        body = ReversePrincipalBody(
            tranche_id=tranche_id, principal_usd=principal_usd, reason=reason, reduction=reduction, approval=approval
        )
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/reverse", body, **options)

    async def pay_debt(self, instrument_id: str, *, amount_usd: Decimal, **options: Any) -> ReceiptBody:
        """Pay the startup, as the holder, a debt for principal that was clawed back, in part or in full."""
        body = PayDebtBody(amount_usd=amount_usd)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/pay-debt", body, **options)

    async def cancel(self, instrument_id: str, *, at: datetime, reason: str, **options: Any) -> ReceiptBody:
        """Cancel an agreement under which nothing accrued, as the platform."""
        body = TimedReasonBody(at=at, reason=reason)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/cancel", body, **options)

    async def repay(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Repay a note with its interest, as the startup, from its account. Before maturity its holder must agree."""
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/repay", **options)

    async def mature(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Record that a note matured, and convert it into stock if its terms say so.

        A worker does this on the day. Send it to try again if the class of stock was missing or too small then.
        """
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/mature", **options)

    async def issue_shares(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Issue shares that principal of priced stock bought when too few were authorised."""
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/issue-shares", **options)

    async def notice_mfn(
        self, instrument_id: str, *, later_instrument_id: str, elect_until: datetime, **options: Any
    ) -> ReceiptBody:
        """Extend, as the startup, the time in which the holder of a most-favoured SAFE may elect a later one's terms.

        The first notice is recorded as the later one is signed or amended (else ``notice_unknown``).
        """
        body = NoticeMfnBody(later_instrument_id=later_instrument_id, elect_until=elect_until)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/mfn-notices", body, **options)

    async def elect_mfn(self, instrument_id: str, *, later_instrument_id: str | None, **options: Any) -> ReceiptBody:
        """Elect the terms of a later SAFE or note, as the holder, once; None keeps the present terms for good."""
        body = ElectMfnBody(later_instrument_id=later_instrument_id)
        return await self._api.command(f"/v1/instruments/{segment(instrument_id)}/mfn-election", body, **options)
