"""Methods of the client for warrants, and for the programmes and price sources that their milestones refer to."""

from collections.abc import AsyncIterator
from typing import Any

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
    TransferWarrantBody,
)
from marketplace.client.transport import Group, segment
from marketplace.projections.views.equity import PriceObservationView, PriceSourceView, ProgrammeView, WarrantView


class Warrants(Group):
    """Warrants, programmes and price sources.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    """

    async def issue(self, issuer_id: str, body: IssueWarrantBody, **options: Any) -> ReceiptBody:
        """Issue a right to buy shares."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/warrants", body, **options)

    async def get(self, issuer_id: str, warrant_id: str) -> WarrantView:
        """Return a warrant with what has vested and may be exercised of each tranche."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}", WarrantView)

    def list(self, issuer_id: str) -> AsyncIterator[WarrantView]:
        """Yield the warrants of an issuer: all for the company, its own for a holder."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/warrants", WarrantView)

    async def exercise(self, issuer_id: str, warrant_id: str, body: ExerciseWarrantBody, **options: Any) -> ReceiptBody:
        """Exercise vested shares of a warrant, all or some."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/exercise", body, **options
        )

    async def transfer(self, issuer_id: str, warrant_id: str, body: TransferWarrantBody, **options: Any) -> ReceiptBody:
        """Transfer a whole warrant to an affiliate of its first holder, or back."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/transfer", body, **options
        )

    async def attest_milestone(
        self, issuer_id: str, warrant_id: str, body: AttestMilestoneBody, **options: Any
    ) -> ReceiptBody:
        """Attest a milestone of a warrant, as its stated attester."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/warrants/{segment(warrant_id)}/attestations", body, **options
        )

    async def open_programme(self, issuer_id: str, body: OpenProgrammeBody, **options: Any) -> ReceiptBody:
        """Let purchases between named parties count together."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/programmes", body, **options)

    def list_programmes(self, issuer_id: str) -> AsyncIterator[ProgrammeView]:
        """Yield the programmes of an issuer: all for the company, its own for a customer or vendor."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/programmes", ProgrammeView)

    async def add_programme_grant(
        self, issuer_id: str, programme_id: str, grant_id: str, **options: Any
    ) -> ReceiptBody:
        """Let a grant count in a programme."""
        body = AddProgrammeGrantBody(grant_id=grant_id)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/programmes/{segment(programme_id)}/grants", body, **options
        )

    async def state_purchases(
        self, issuer_id: str, programme_id: str, body: StatePurchasesBody, **options: Any
    ) -> ReceiptBody:
        """State purchases outside this market; they count once everyone whom the right `purchases` names has agreed."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/programmes/{segment(programme_id)}/purchases", body, **options
        )

    async def name_price_source(self, issuer_id: str, body: NamePriceSourceBody, **options: Any) -> ReceiptBody:
        """Name the independent party that records the price of a share."""
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
        self, issuer_id: str, source_id: str, body: CorrectPriceBody, **options: Any
    ) -> ReceiptBody:
        """Correct the recorded price of a day, as the source's recorder."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/price-sources/{segment(source_id)}/corrections", body, **options
        )

    async def observe_price(
        self, issuer_id: str, source_id: str, body: ObservePriceBody, **options: Any
    ) -> ReceiptBody:
        """Record the price of a share on a day, as the source's recorder."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/price-sources/{segment(source_id)}/observations", body, **options
        )
