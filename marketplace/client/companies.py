"""Methods of the client for companies: their stock, options and warrants, and what becomes of instruments."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from marketplace.api.bodies.equity import (
    AmendInstrumentBody,
    ElectMfnBody,
    NoticeMfnBody,
    PayDebtBody,
    ReversePrincipalBody,
)
from marketplace.api.bodies.issuers import (
    AdjustAuthorisedBody,
    CancelOptionBody,
    ConvertStockBody,
    ExerciseFirstRefusalBody,
    ExerciseOptionBody,
    ExerciseWarrantBody,
    GrantOptionBody,
    IssueWarrantBody,
    LimitDilutionBody,
    OfferStockBody,
    PromiseOptionBody,
    RecordValuationBody,
    RepurchaseStockBody,
    SplitStockBody,
    TransferStockBody,
    WaiveFirstRefusalBody,
)
from marketplace.api.bodies.reasons import ReasonBody, TimedReasonBody
from marketplace.api.cap_tables import HoldingView
from marketplace.api.commands import ReceiptBody
from marketplace.client.metering import Metering
from marketplace.projections.cap_tables import (
    FinancingView,
    IssuerView,
    LiquidityView,
    OfferView,
    StockClassView,
    ValuationView,
)
from marketplace.projections.instruments import InstrumentView, MovementView, PrincipalView


class Companies(Metering):
    """What a company does with its stock, and what both sides do with an instrument."""

    async def get_issuer(self, issuer_id: str) -> IssuerView:
        """Return an issuer."""
        return await self.get(f"/v1/issuers/{issuer_id}", IssuerView)

    def list_issuers(self) -> AsyncIterator[IssuerView]:
        """Yield issuers."""
        return self.rows("/v1/issuers", IssuerView)

    async def list_stock_classes(self, issuer_id: str) -> list[StockClassView]:
        """Return the classes of stock of an issuer."""
        return await self.get(f"/v1/issuers/{issuer_id}/stock-classes", list[StockClassView])

    def list_valuations(self, issuer_id: str) -> AsyncIterator[ValuationView]:
        """Yield the valuations of an issuer, oldest first."""
        return self.rows(f"/v1/issuers/{issuer_id}/valuations", ValuationView)

    def list_principal(self, issuer_id: str, at: str | None = None) -> AsyncIterator[PrincipalView]:
        """Yield the principal that may become shares, now or as of a sequence or an instant."""
        return self.rows(f"/v1/issuers/{issuer_id}/principal", PrincipalView, at=at)

    def list_holdings(self, holder_id: str) -> AsyncIterator[HoldingView]:
        """Yield what a party holds of every issuer."""
        return self.rows("/v1/holdings", HoldingView, holder_id=holder_id)

    async def get_financing(self, issuer_id: str, financing_id: str) -> FinancingView:
        """Return a priced round with its certificate."""
        return await self.get(f"/v1/issuers/{issuer_id}/financings/{financing_id}", FinancingView)

    async def abandon_financing(self, issuer_id: str, financing_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Give a round up."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/issuers/{issuer_id}/financings/{financing_id}/abandon", body, **options)

    async def get_liquidity_event(self, issuer_id: str, liquidity_id: str) -> LiquidityView:
        """Return a sale with its waterfall."""
        return await self.get(f"/v1/issuers/{issuer_id}/liquidity-events/{liquidity_id}", LiquidityView)

    async def adjust_authorised(self, issuer_id: str, body: AdjustAuthorisedBody, **options: Any) -> ReceiptBody:
        """Set the most that may be issued of a class."""
        return await self.command(f"/v1/issuers/{issuer_id}/authorised-shares", body, **options)

    async def limit_dilution(self, issuer_id: str, body: LimitDilutionBody, **options: Any) -> ReceiptBody:
        """Say how much of the company all instruments may come to, converted or not."""
        return await self.command(f"/v1/issuers/{issuer_id}/dilution-limit", body, **options)

    async def record_valuation(self, issuer_id: str, body: RecordValuationBody, **options: Any) -> ReceiptBody:
        """Record what a common share is worth."""
        return await self.command(f"/v1/issuers/{issuer_id}/valuations", body, **options)

    async def offer_stock(self, issuer_id: str, body: OfferStockBody, **options: Any) -> ReceiptBody:
        """Offer shares to those with the right of first refusal; the receipt's id is the transfer's."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers", body, **options)

    def list_offers(self, issuer_id: str) -> AsyncIterator[OfferView]:
        """Yield the shares that were offered under a right of first refusal."""
        return self.rows(f"/v1/issuers/{issuer_id}/stock/offers", OfferView)

    async def waive_first_refusal(
        self, issuer_id: str, transfer_id: str, body: WaiveFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Let offered shares go to the buyer."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/waive", body, **options)

    async def exercise_first_refusal(
        self, issuer_id: str, transfer_id: str, body: ExerciseFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Take all offered shares at the buyer's price."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/exercise", body, **options)

    async def withdraw_offer(self, issuer_id: str, transfer_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Keep offered shares after all."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/withdraw", body, **options)

    async def transfer_stock(self, issuer_id: str, body: TransferStockBody, **options: Any) -> ReceiptBody:
        """Move shares to another stakeholder."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/transfers", body, **options)

    async def repurchase_stock(self, issuer_id: str, body: RepurchaseStockBody, **options: Any) -> ReceiptBody:
        """Buy shares back."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/repurchases", body, **options)

    async def split_stock(self, issuer_id: str, body: SplitStockBody, **options: Any) -> ReceiptBody:
        """Multiply every number of shares."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/splits", body, **options)

    async def convert_stock(self, issuer_id: str, body: ConvertStockBody, **options: Any) -> ReceiptBody:
        """Turn preferred stock into common stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/conversions", body, **options)

    async def promise_option(self, issuer_id: str, body: PromiseOptionBody, **options: Any) -> ReceiptBody:
        """Promise an option that is to be granted later."""
        return await self.command(f"/v1/issuers/{issuer_id}/promises", body, **options)

    async def withdraw_promise(self, issuer_id: str, promise_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Take a promise back."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/issuers/{issuer_id}/promises/{promise_id}/withdraw", body, **options)

    async def grant_option(self, issuer_id: str, body: GrantOptionBody, **options: Any) -> ReceiptBody:
        """Grant an option on common stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/options", body, **options)

    async def exercise_option(
        self, issuer_id: str, option_id: str, body: ExerciseOptionBody, **options: Any
    ) -> ReceiptBody:
        """Turn what has vested of an option, or part of it, into common stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/options/{option_id}/exercise", body, **options)

    async def cancel_option(
        self, issuer_id: str, option_id: str, body: CancelOptionBody, **options: Any
    ) -> ReceiptBody:
        """End an option, or part of it."""
        return await self.command(f"/v1/issuers/{issuer_id}/options/{option_id}/cancel", body, **options)

    async def issue_warrant(self, issuer_id: str, body: IssueWarrantBody, **options: Any) -> ReceiptBody:
        """Issue a right to buy shares."""
        return await self.command(f"/v1/issuers/{issuer_id}/warrants", body, **options)

    async def exercise_warrant(
        self, issuer_id: str, warrant_id: str, body: ExerciseWarrantBody, **options: Any
    ) -> ReceiptBody:
        """Turn what has vested of a warrant, or part of it, into shares."""
        return await self.command(f"/v1/issuers/{issuer_id}/warrants/{warrant_id}/exercise", body, **options)

    async def get_instrument(self, instrument_id: str) -> InstrumentView:
        """Return an instrument with its principal and what became of it."""
        return await self.get(f"/v1/instruments/{instrument_id}", InstrumentView)

    def list_movements(self, instrument_id: str) -> AsyncIterator[MovementView]:
        """Yield the movements of an instrument's principal, oldest first."""
        return self.rows(f"/v1/instruments/{instrument_id}/movements", MovementView)

    async def amend_instrument(self, instrument_id: str, body: AmendInstrumentBody, **options: Any) -> ReceiptBody:
        """Record new terms that both sides agreed on."""
        return await self.command(f"/v1/instruments/{instrument_id}", body, method="PUT", **options)

    async def suspend_instrument(self, instrument_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Stop accrual for a while."""
        return await self.command(f"/v1/instruments/{instrument_id}/suspend", ReasonBody(reason=reason), **options)

    async def resume_instrument(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Let principal accrue again."""
        return await self.command(f"/v1/instruments/{instrument_id}/resume", **options)

    async def reverse_principal(self, instrument_id: str, body: ReversePrincipalBody, **options: Any) -> ReceiptBody:
        """Take back a tranche, or part of it, with what it became."""
        return await self.command(f"/v1/instruments/{instrument_id}/reverse", body, **options)

    async def pay_debt(self, instrument_id: str, amount_usd: Decimal, **options: Any) -> ReceiptBody:
        """Pay what is owed for principal that was taken back, or part of it."""
        body = PayDebtBody(amount_usd=amount_usd)
        return await self.command(f"/v1/instruments/{instrument_id}/pay-debt", body, **options)

    async def cancel_instrument(self, instrument_id: str, body: TimedReasonBody, **options: Any) -> ReceiptBody:
        """End an agreement under which nothing accrued."""
        return await self.command(f"/v1/instruments/{instrument_id}/cancel", body, **options)

    async def repay_note(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Pay a convertible note back with its interest."""
        return await self.command(f"/v1/instruments/{instrument_id}/repay", **options)

    async def issue_shares(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Issue the shares that principal of priced stock bought while too few were authorised."""
        return await self.command(f"/v1/instruments/{instrument_id}/issue-shares", **options)

    async def mature_note(self, instrument_id: str, **options: Any) -> ReceiptBody:
        """Record that a note fell due, and let it become stock where its terms say so."""
        return await self.command(f"/v1/instruments/{instrument_id}/mature", **options)

    async def notice_mfn(self, instrument_id: str, body: NoticeMfnBody, **options: Any) -> ReceiptBody:
        """Tell the holder of a most-favoured SAFE of a later one."""
        return await self.command(f"/v1/instruments/{instrument_id}/mfn-notices", body, **options)

    async def elect_mfn(self, instrument_id: str, later_instrument_id: str | None, **options: Any) -> ReceiptBody:
        """Take the terms of a later SAFE, or keep one's own."""
        body = ElectMfnBody(later_instrument_id=later_instrument_id)
        return await self.command(f"/v1/instruments/{instrument_id}/mfn-election", body, **options)
