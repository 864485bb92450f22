"""Methods of the client for warrants, and for the programmes and price sources that their milestones refer to."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from events.financing import Approval
from events.types import Settlement, WarrantReduction, WarrantTransfer
from events.vesting import ChangeOfControl, PriceAverage, WarrantTranche
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.issuers import (
    AddProgrammeGrantBody,
    AttestMilestoneBody,
    CorrectPriceBody,
    ExerciseWarrantBody,
    IssueWarrantBody,
    NamePriceSourceBody,
    ObservePriceBody,
    OpenProgrammeBody,
    StatePurchasesBody,
    TransferRightBody,
)
from marketplace.client.transport import Group, segment
from marketplace.projections.views.equity import PriceObservationView, PriceSourceView, ProgrammeView, WarrantView


class Warrants(Group):
    """Warrants, programmes and price sources.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    """

    async def issue(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        exercise_price_usd: Decimal,
        expires_at: datetime,
        settlement: Settlement,
        tranches: tuple[WarrantTranche, ...] = (),
        grant_ids: tuple[str, ...] = (),
        programme_id: str | None = None,
        on_reduction: WarrantReduction | None = None,
        transfer: WarrantTransfer = "none",
        affiliate_ids: tuple[str, ...] = (),
        change_of_control: ChangeOfControl | None = None,
        fair_value: PriceAverage | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Issue a right to buy shares."""
        body = IssueWarrantBody(
            holder_id=holder_id,
            class_id=class_id,
            shares=shares,
            exercise_price_usd=exercise_price_usd,
            expires_at=expires_at,
            settlement=settlement,
            tranches=tranches,
            grant_ids=grant_ids,
            programme_id=programme_id,
            on_reduction=on_reduction,
            transfer=transfer,
            affiliate_ids=affiliate_ids,
            change_of_control=change_of_control,
            fair_value=fair_value,
            approval=approval,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/warrants", body, **options)

    async def get(self, issuer_id: str, warrant_id: str) -> WarrantView:
        """Return a warrant with what has vested and may be exercised of each tranche."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}", WarrantView)

    def list(self, issuer_id: str) -> AsyncIterator[WarrantView]:
        """Yield the warrants of an issuer: all for the company, its own for a holder."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/warrants", WarrantView)

    async def exercise(
        self,
        issuer_id: str,
        warrant_id: str,
        *,
        shares: int,
        settlement: Literal["cash", "net"] = "cash",
        tranche: int | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Exercise vested shares of a warrant, all or some."""
        body = ExerciseWarrantBody(shares=shares, settlement=settlement, tranche=tranche)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/exercise", body, **options
        )

    async def transfer(
        self, issuer_id: str, warrant_id: str, *, holder_id: str, holder_id_after: str, **options: Any
    ) -> ReceiptBody:
        """Transfer a whole warrant to an affiliate of its first holder, or back."""
        body = TransferRightBody(holder_id=holder_id, holder_id_after=holder_id_after)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/transfer", body, **options
        )

    async def attest_milestone(
        self, issuer_id: str, warrant_id: str, *, milestone: str, document: str, **options: Any
    ) -> ReceiptBody:
        """Attest a milestone of a warrant, as its stated attester."""
        body = AttestMilestoneBody(milestone=milestone, document=document)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/attestations", body, **options
        )

    async def open_programme(
        self,
        issuer_id: str,
        *,
        name: str,
        customer_ids: tuple[str, ...],
        vendor_ids: tuple[str, ...],
        counts_outside: bool = False,
        **options: Any,
    ) -> ReceiptBody:
        """Let purchases between named parties count together."""
        body = OpenProgrammeBody(
            name=name, customer_ids=customer_ids, vendor_ids=vendor_ids, counts_outside=counts_outside
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/programmes", body, **options)

    def list_programmes(self, issuer_id: str) -> AsyncIterator[ProgrammeView]:
        """Yield the programmes of an issuer: all for the company, its own for a customer or vendor."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/programmes", ProgrammeView)

    async def add_programme_grant(
        self, issuer_id: str, programme_id: str, *, grant_id: str, **options: Any
    ) -> ReceiptBody:
        """Let a grant count in a programme."""
        body = AddProgrammeGrantBody(grant_id=grant_id)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/programmes/{segment(programme_id)}/grants", body, **options
        )

    async def state_purchases(
        self,
        issuer_id: str,
        programme_id: str,
        *,
        customer_id: str,
        vendor_id: str,
        starts_on: date,
        ends_on: date,
        gpu_seconds: int = 0,
        kilowatts: int = 0,
        purchased_usd: Decimal,
        paid_usd: Decimal,
        document: str,
        excludes_market: bool,
        replaces: str | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """State purchases outside this market; they count once everyone whom the right `purchases` names has agreed."""
        body = StatePurchasesBody(
            customer_id=customer_id,
            vendor_id=vendor_id,
            starts_on=starts_on,
            ends_on=ends_on,
            gpu_seconds=gpu_seconds,
            kilowatts=kilowatts,
            purchased_usd=purchased_usd,
            paid_usd=paid_usd,
            document=document,
            excludes_market=excludes_market,
            replaces=replaces,
        )
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/programmes/{segment(programme_id)}/purchases", body, **options
        )

    async def name_price_source(
        self, issuer_id: str, *, name: str, recorder_id: str | None = None, **options: Any
    ) -> ReceiptBody:
        """Name the independent party that records the price of a share."""
        body = NamePriceSourceBody(name=name, recorder_id=recorder_id)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/price-sources", body, **options)

    def list_price_sources(self, issuer_id: str) -> AsyncIterator[PriceSourceView]:
        """Yield the price sources of an issuer."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/price-sources", PriceSourceView)

    def list_price_observations(self, issuer_id: str, source_id: str) -> AsyncIterator[PriceObservationView]:
        """Yield the recorded prices of a source, oldest first."""
        return self._api.rows(
            f"/v1/issuers/{segment(issuer_id)}/price-sources/{segment(source_id)}/observations", PriceObservationView
        )

    async def correct_price(
        self,
        issuer_id: str,
        source_id: str,
        *,
        day: date,
        price_usd_per_share: Decimal,
        volume: int,
        reason: str,
        **options: Any,
    ) -> ReceiptBody:
        """Correct the recorded price of a day, as the source's recorder."""
        body = CorrectPriceBody(day=day, price_usd_per_share=price_usd_per_share, volume=volume, reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/price-sources/{segment(source_id)}/corrections", body, **options
        )

    async def observe_price(
        self, issuer_id: str, source_id: str, *, day: date, price_usd_per_share: Decimal, volume: int, **options: Any
    ) -> ReceiptBody:
        """Record the price of a share on a day, as the source's recorder."""
        body = ObservePriceBody(day=day, price_usd_per_share=price_usd_per_share, volume=volume)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/price-sources/{segment(source_id)}/observations", body, **options
        )
