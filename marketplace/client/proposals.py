"""Methods of the client for proposals: what waits for agreement, and votes."""

from collections.abc import AsyncIterator
from typing import Any, Unpack

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.captable.proposed import ProposedChanges
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.equity import ProposalView, RightsView, WaterfallView


class Proposals(Group):
    """Proposals and votes, for those who propose and those who are asked."""

    async def get_rights(self) -> RightsView:
        """Return the table of rights: who must agree before an act changes what someone owns, owes or was promised."""
        return await self._api.get("/v1/rights", RightsView)

    async def get(self, proposal_id: str) -> ProposalView:
        """Return a proposal with its effects, consents and votes."""
        return await self._api.get(f"/v1/proposals/{segment(proposal_id)}", ProposalView)

    async def get_waterfall(self, proposal_id: str) -> WaterfallView:
        """Return what a proposed sale pays; of others' amounts, only what the party may see."""
        return await self._api.get(f"/v1/proposals/{segment(proposal_id)}/waterfall", WaterfallView)

    async def get_changes(self, proposal_id: str) -> ProposedChanges:
        """Return the shares and the principal that an open proposal changes, before and after it."""
        return await self._api.get(f"/v1/proposals/{segment(proposal_id)}/changes", ProposedChanges)

    def list(
        self, *, issuer_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[ProposalView]:
        """Yield the proposals that concern the party."""
        return self._api.rows("/v1/proposals", ProposalView, issuer_id=issuer_id, status=status, **listed)

    async def agree(self, proposal_id: str, **options: Any) -> ReceiptBody:
        """Agree to a proposal. With the last agreement that it needs, it takes effect at once.

        Above the limit of the party's account, the agreement waits for a second person: the receipt's id is then the
        request's (``apv_…``).
        """
        return await self._api.command(f"/v1/proposals/{segment(proposal_id)}/agree", **options)

    async def refuse(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Refuse a proposal. It ends once the refusals make an agreement that it needs impossible."""
        return await self._api.command(
            f"/v1/proposals/{segment(proposal_id)}/refuse", ReasonBody(reason=reason), **options
        )

    async def withdraw_consent(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Take an agreement back, as long as the proposal has not taken effect."""
        path = f"/v1/proposals/{segment(proposal_id)}/withdraw-consent"
        return await self._api.command(path, ReasonBody(reason=reason), **options)

    async def withdraw(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw a proposal, as its proposer."""
        return await self._api.command(
            f"/v1/proposals/{segment(proposal_id)}/withdraw", ReasonBody(reason=reason), **options
        )
