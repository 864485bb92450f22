"""Methods of the client for bonds and the claims on them."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.bonds import AnswerClaimBody, ClaimBody, PostBondBody, ReleaseBondBody
from marketplace.client.transport import Group, Listed, Statuses, segment
from marketplace.projections.views.billing import BondView, ClaimView


class Bonds(Group):
    """Bonds: money that providers set apart for those to whom they do not deliver; and claims on it, in US dollars."""

    async def post(
        self,
        *,
        party_id: str,
        amount_usd: Decimal,
        lot_id: str | None = None,
        stands_until: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Set money of a provider apart, for the grants of one lot or for all of its grants.

        Raises:
            ProblemError: ``party_unknown`` · ``lot_unknown`` · ``term_missing`` · ``term_passed`` · ``term_shorter`` ·
                ``limit_exceeded`` · ``funds_insufficient`` · ``funds_reserved``.
        """
        body = PostBondBody(party_id=party_id, amount_usd=amount_usd, lot_id=lot_id, stands_until=stands_until)
        return await self._api.command("/v1/bonds", body, **options)

    async def release(self, bond_id: str, *, lot_id: str | None = None, **options: Any) -> ReceiptBody:
        """Take back what is left of a bond, once its term and 30 days for claims are over.

        `lot_id` names the part that was set apart for a lot; None: the part for all grants.

        Raises:
            ProblemError: ``bond_unknown`` · ``bond_empty`` · ``bond_stands`` · ``bond_claimed``.
        """
        return await self._api.command(
            f"/v1/bonds/{segment(bond_id)}/release", ReleaseBondBody(lot_id=lot_id), **options
        )

    async def claim(
        self,
        grant_id: str,
        *,
        period_start: datetime | None = None,
        replacement_ids: tuple[str, ...] = (),
        **options: Any,
    ) -> ReceiptBody:
        """Claim for undelivered hours of a grant, as a payer; the receipt's id is that of the provider's bond.

        Raises:
            ProblemError: ``grant_unknown`` · ``wrong_side`` · ``parties_related`` · ``bond_unknown`` ·
                ``grant_not_defaulted`` · ``claim_late`` · ``claim_early`` · ``claim_exists`` · ``hours_remedied`` ·
                ``nothing_owed`` · ``replacement_unfit`` · ``replacement_claimed``.
        """
        body = ClaimBody(period_start=period_start, replacement_ids=replacement_ids)
        return await self._api.command(f"/v1/bonds/claims/{segment(grant_id)}", body, **options)

    async def answer_claim(
        self, bond_id: str, claim_id: str, *, reason: str, amount_usd: Decimal | None = None, **options: Any
    ) -> ReceiptBody:
        """Concede or contest a claim, as the provider; decide it, as the platform.

        `amount_usd` is what is admitted or decided; None: all that is claimed.

        Raises:
            ProblemError: ``bond_unknown`` · ``claim_unknown`` · ``claim_settled`` · ``claim_contested`` ·
                ``answer_late`` · ``answer_above_claim`` · ``answer_below_admitted``.
        """
        body = AnswerClaimBody(reason=reason, amount_usd=amount_usd)
        return await self._api.command(
            f"/v1/bonds/{segment(bond_id)}/claims/{segment(claim_id)}/answer", body, **options
        )

    def list(self, *, party_id: str | None = None) -> AsyncIterator[BondView]:
        """Yield what providers have set apart, by bond and lot."""
        return self._api.rows("/v1/bonds", BondView, party_id=party_id)

    def list_claims(
        self, *, party_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[ClaimView]:
        """Yield the claims of a payer or against a provider, by id."""
        return self._api.rows("/v1/bonds/claims", ClaimView, party_id=party_id, status=status, **listed)
