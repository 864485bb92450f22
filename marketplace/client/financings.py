"""Methods of the client for priced rounds and sales of issuers."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from events.financing import Approval
from events.issuer_holders import HolderTerms, StatedAgreement
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.equity import (
    AnswerProRataBody,
    BuyerStockBody,
    CloseFinancingBody,
    DeclareLiquidityBody,
    HolderTermsBody,
    OpenFinancingBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client.transport import Group, segment
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.projections.views.equity import FinancingView, LiquidityView


class Financings(Group):
    """Priced rounds, which convert instruments into stock, and sales, which pay holders.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    """

    async def agree_holder_terms(
        self, issuer_id: str, *, terms: HolderTerms, approval: Approval, **options: Any
    ) -> ReceiptBody:
        """Propose terms between the company and its holders: for sales, further rounds, and what holders see."""
        body = HolderTermsBody(terms=terms, approval=approval)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/holder-terms", body, **options)

    async def answer_pro_rata(
        self, issuer_id: str, financing_id: str, *, amount_usd: Decimal, holder_id: str | None = None, **options: Any
    ) -> ReceiptBody:
        """Join a round by a pro rata right, as the holder, or decline with 0."""
        body = AnswerProRataBody(amount_usd=amount_usd, holder_id=holder_id)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/financings/{segment(financing_id)}/pro-rata", body, **options
        )

    async def open(
        self,
        issuer_id: str,
        *,
        name: str,
        terms: RoundDraft,
        closing_days: int = 30,
        open_days: int = 120,
        **options: Any,
    ) -> ReceiptBody:
        """Open a priced round, one at a time.

        It can be priced once every holder with a pro rata right has answered, or its time to answer is over.
        """
        body = OpenFinancingBody(name=name, terms=terms, closing_days=closing_days, open_days=open_days)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/financings", body, **options)

    async def price(self, issuer_id: str, financing_id: str, **options: Any) -> ReceiptBody:
        """Compute the round's price and every instrument's shares. A repeat replaces the earlier result."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/financings/{segment(financing_id)}/price", **options
        )

    async def close(self, issuer_id: str, financing_id: str, *, approval: Approval, **options: Any) -> ReceiptBody:
        """Issue the shares of a priced round and convert its instruments, once those who must agree have agreed.

        Investors that are parties here pay from their accounts; others pay outside, as the document says.
        """
        body = CloseFinancingBody(approval=approval)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/financings/{segment(financing_id)}/close", body, **options
        )

    async def abandon(self, issuer_id: str, financing_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Abandon a round. Money that holders set aside to join it is released."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/financings/{segment(financing_id)}/abandon", body, **options
        )

    async def get(self, issuer_id: str, financing_id: str) -> FinancingView:
        """Return a priced round with its certificate."""
        return await self._api.get(
            f"/v1/issuers/{segment(issuer_id)}/financings/{segment(financing_id)}", FinancingView
        )

    def list(self, issuer_id: str) -> AsyncIterator[FinancingView]:
        """Yield the priced rounds of an issuer."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/financings", FinancingView)

    async def declare_liquidity(
        self,
        issuer_id: str,
        *,
        proceeds_usd: Decimal,
        safe_seniority: int | None = None,
        stock: BuyerStockBody | None = None,
        agreed: tuple[StatedAgreement, ...] = (),
        assumed_by: str | None = None,
        pay_days: int = 60,
        **options: Any,
    ) -> ReceiptBody:
        """Propose the sale of the issuer, with its waterfall. Once agreed to, it is declared; it is paid separately."""
        body = DeclareLiquidityBody(
            proceeds_usd=proceeds_usd,
            safe_seniority=safe_seniority,
            stock=stock,
            agreed=agreed,
            assumed_by=assumed_by,
            pay_days=pay_days,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/liquidity-events", body, **options)

    async def pay_distribution(self, issuer_id: str, liquidity_id: str, **options: Any) -> ReceiptBody:
        """Pay the proceeds of a sale from the startup's account, as company, holder or platform. The issuer ends.

        Holders that are no parties are paid outside, each by a withdrawal that names it. In a sale for stock, only cash
        for fractions of a share is paid here.
        """
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/liquidity-events/{segment(liquidity_id)}/pay", **options
        )

    async def withdraw_liquidity(
        self, issuer_id: str, liquidity_id: str, *, reason: str, **options: Any
    ) -> ReceiptBody:
        """Withdraw a declared sale that is not paid, or propose it to those who agreed to the sale."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/liquidity-events/{segment(liquidity_id)}/withdraw", body, **options
        )

    async def get_liquidity_event(self, issuer_id: str, liquidity_id: str) -> LiquidityView:
        """Return a sale with its waterfall."""
        return await self._api.get(
            f"/v1/issuers/{segment(issuer_id)}/liquidity-events/{segment(liquidity_id)}", LiquidityView
        )

    def list_liquidity_events(self, issuer_id: str) -> AsyncIterator[LiquidityView]:
        """Yield the sales of an issuer."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/liquidity-events", LiquidityView)
