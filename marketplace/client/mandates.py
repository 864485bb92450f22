"""Methods of the client for mandates: which equity a holder takes, and its budget."""

import builtins
from collections.abc import AsyncIterator
from typing import Any, Unpack

from events.mandate import MandateTerms
from events.types import Funding
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.trading import AmendMandateBody, GrantMandateBody, RefuseOrderBody
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.trading import BudgetHoldView, ExposureView, MandateView


class Mandates(Group):
    """A holder's own mandates. Everyone sees the rules of mandates with `Market.list_mandates`."""

    async def grant(self, *, holder_id: str, funding: Funding, terms: MandateTerms, **options: Any) -> ReceiptBody:
        """Grant a mandate: offer to take equity under its terms."""
        body = GrantMandateBody(holder_id=holder_id, funding=funding, terms=terms)
        return await self._api.command("/v1/mandates", body, **options)

    async def amend(self, mandate_id: str, *, terms: MandateTerms, **options: Any) -> ReceiptBody:
        """Change rules and budgets for orders that are not matched yet; captured budget keeps its earlier rules.

        Raises:
            ProblemError: ``mandate_unknown`` · ``issuer_above_budget`` · ``cap_range_empty`` · ``mandate_revoked`` ·
                ``budget_below_committed`` · ``funds_insufficient`` for a larger budget of a cash mandate.
        """
        body = AmendMandateBody(terms=terms)
        return await self._api.command(f"/v1/mandates/{segment(mandate_id)}", body, method="PUT", **options)

    async def revoke(self, mandate_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Revoke a mandate: it takes nothing new, its holds for open orders end, and captured budget stays owed.

        Raises:
            ProblemError: ``mandate_unknown``.
        """
        return await self._api.command(
            f"/v1/mandates/{segment(mandate_id)}/revoke", ReasonBody(reason=reason), **options
        )

    async def approve_order(self, mandate_id: str, hold_id: str, **options: Any) -> ReceiptBody:
        """Approve an order that draws more than the mandate's `approval_above_usd`.

        Raises:
            ProblemError: ``mandate_unknown`` · ``hold_unknown`` · ``party_suspended`` · ``mandate_revoked`` ·
                ``approval_unneeded`` · ``order_…`` for one that is over.
        """
        return await self._api.command(
            f"/v1/mandates/{segment(mandate_id)}/holds/{segment(hold_id)}/approve", **options
        )

    async def refuse_order(
        self, mandate_id: str, hold_id: str, *, reason: str, barred_days: int = 0, **options: Any
    ) -> ReceiptBody:
        """Refuse to pay for an order that is not matched. Its budget is free at once, and the order loses the mandate.

        For `barred_days`, the mandate holds nothing more for the order's company, or one related to it.

        Raises:
            ProblemError: ``mandate_unknown`` · ``hold_unknown`` · ``hold_committed``.
        """
        path = f"/v1/mandates/{segment(mandate_id)}/holds/{segment(hold_id)}/refuse"
        return await self._api.command(path, RefuseOrderBody(reason=reason, barred_days=barred_days), **options)

    async def get(self, mandate_id: str) -> MandateView:
        """Return a mandate with its rules, and its held and captured budget in US dollars.

        Raises:
            ProblemError: ``mandate_unknown``, also if it is another holder's.
        """
        return await self._api.get(f"/v1/mandates/{segment(mandate_id)}", MandateView)

    async def list_exposure(self, *, holder_id: str | None = None) -> builtins.list[ExposureView]:
        """Return the dollars that the holder's mandates hold and have committed, by vendor and generation of GPUs.

        The platform reads every holder's.
        """
        return await self._api.get("/v1/mandates/exposure", list[ExposureView], holder_id=holder_id)

    def list(
        self, *, holder_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[MandateView]:
        """Yield the holder's own mandates by id, for the platform everyone's; ``granted`` or ``revoked``."""
        return self._api.rows("/v1/mandates", MandateView, holder_id=holder_id, status=status, **listed)

    def list_holds(self, mandate_id: str) -> AsyncIterator[BudgetHoldView]:
        """Yield the present and past holds on a mandate's budget by hold id, one for each order.

        Raises:
            ProblemError: ``mandate_unknown``, also if it is another holder's.
        """
        return self._api.rows(f"/v1/mandates/{segment(mandate_id)}/holds", BudgetHoldView)
