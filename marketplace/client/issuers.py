"""Methods of the client for issuers: their stakeholders, stock and options."""

from collections.abc import AsyncIterator
from typing import Any

from events.financing import Approval
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.issuers import (
    AddStakeholderBody,
    AdjustAuthorisedBody,
    AdjustStockPlanBody,
    CancelOptionBody,
    ConvertStockBody,
    CreateStockClassBody,
    ExerciseFirstRefusalBody,
    ExerciseOptionBody,
    FormIssuerBody,
    GrantOptionBody,
    IssueStockBody,
    LimitDilutionBody,
    OfferStockBody,
    PromiseOptionBody,
    RecordValuationBody,
    RepurchaseStockBody,
    SplitStockBody,
    TransferStockBody,
    WaiveFirstRefusalBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client.transport import Transport
from marketplace.projections.views.equity import IssuerView, OfferView, StakeholderView, StockClassView, ValuationView


class Issuers(Transport):
    """Issuers and their securities.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    Otherwise it is the id of what was created, or else the issuer's.
    """

    async def form_issuer(self, body: FormIssuerBody, **options: Any) -> ReceiptBody:
        """Form an issuer: the capitalisation of a startup."""
        return await self.command("/v1/issuers", body, **options)

    async def get_issuer(self, issuer_id: str) -> IssuerView:
        """Return an issuer, to its startup, the platform and holders of its securities."""
        return await self.get(f"/v1/issuers/{issuer_id}", IssuerView)

    def list_issuers(self) -> AsyncIterator[IssuerView]:
        """Yield the startup's own issuer; for the platform, all issuers by id."""
        return self.rows("/v1/issuers", IssuerView)

    async def add_stakeholder(self, issuer_id: str, body: AddStakeholderBody, **options: Any) -> ReceiptBody:
        """Add someone who may hold securities of the issuer."""
        return await self.command(f"/v1/issuers/{issuer_id}/stakeholders", body, **options)

    def list_stakeholders(self, issuer_id: str) -> AsyncIterator[StakeholderView]:
        """Yield the stakeholders of an issuer."""
        return self.rows(f"/v1/issuers/{issuer_id}/stakeholders", StakeholderView)

    async def create_stock_class(self, issuer_id: str, body: CreateStockClassBody, **options: Any) -> ReceiptBody:
        """Create a class of stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock-classes", body, **options)

    async def list_stock_classes(self, issuer_id: str) -> list[StockClassView]:
        """Return the classes of stock of an issuer."""
        return await self.get(f"/v1/issuers/{issuer_id}/stock-classes", list[StockClassView])

    async def adjust_stock_plan(
        self, issuer_id: str, shares_reserved: int, *, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody:
        """Set the size of the option pool, in shares: granted, exercised and available together."""
        body = AdjustStockPlanBody(shares_reserved=shares_reserved, approval=approval)
        return await self.command(f"/v1/issuers/{issuer_id}/stock-plan", body, **options)

    async def adjust_authorised(self, issuer_id: str, body: AdjustAuthorisedBody, **options: Any) -> ReceiptBody:
        """Set the number of shares that may be issued of a class."""
        return await self.command(f"/v1/issuers/{issuer_id}/authorised-shares", body, **options)

    async def limit_dilution(self, issuer_id: str, body: LimitDilutionBody, **options: Any) -> ReceiptBody:
        """Limit the part of the company that all instruments together may become, converted or not."""
        return await self.command(f"/v1/issuers/{issuer_id}/dilution-limit", body, **options)

    async def record_valuation(self, issuer_id: str, body: RecordValuationBody, **options: Any) -> ReceiptBody:
        """Record a valuation of a common share, in US dollars."""
        return await self.command(f"/v1/issuers/{issuer_id}/valuations", body, **options)

    def list_valuations(self, issuer_id: str) -> AsyncIterator[ValuationView]:
        """Yield the valuations of an issuer, oldest first."""
        return self.rows(f"/v1/issuers/{issuer_id}/valuations", ValuationView)

    async def issue_stock(self, issuer_id: str, body: IssueStockBody, **options: Any) -> ReceiptBody:
        """Issue shares to a stakeholder. A party here agrees and pays the company their price; other holders vote."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock", body, **options)

    async def offer_stock(self, issuer_id: str, body: OfferStockBody, **options: Any) -> ReceiptBody:
        """Offer shares to the holders of the right of first refusal; the receipt's id is the transfer's."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers", body, **options)

    def list_offers(self, issuer_id: str) -> AsyncIterator[OfferView]:
        """Yield the shares that were offered under a right of first refusal."""
        return self.rows(f"/v1/issuers/{issuer_id}/stock/offers", OfferView)

    async def waive_first_refusal(
        self, issuer_id: str, transfer_id: str, body: WaiveFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Waive the right of first refusal; the offered shares go to the buyer."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/waive", body, **options)

    async def exercise_first_refusal(
        self, issuer_id: str, transfer_id: str, body: ExerciseFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Buy all offered shares at the buyer's price, by the right of first refusal."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/exercise", body, **options)

    async def withdraw_offer(self, issuer_id: str, transfer_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw an offer; the seller keeps the shares."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/issuers/{issuer_id}/stock/offers/{transfer_id}/withdraw", body, **options)

    async def transfer_stock(self, issuer_id: str, body: TransferStockBody, **options: Any) -> ReceiptBody:
        """Transfer shares to another stakeholder; under a right of first refusal, only as offered.

        A party here that receives offered shares pays their price to the seller, if that is a party here too.
        """
        return await self.command(f"/v1/issuers/{issuer_id}/stock/transfers", body, **options)

    async def repurchase_stock(self, issuer_id: str, body: RepurchaseStockBody, **options: Any) -> ReceiptBody:
        """Buy shares back, as the company. A holder that is a party here agrees to it, and is paid their price."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/repurchases", body, **options)

    async def split_stock(self, issuer_id: str, body: SplitStockBody, **options: Any) -> ReceiptBody:
        """Split or consolidate the stock: multiply every number of shares by a ratio, and divide prices by it."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/splits", body, **options)

    async def convert_stock(self, issuer_id: str, body: ConvertStockBody, **options: Any) -> ReceiptBody:
        """Convert preferred stock into common stock at its conversion price."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock/conversions", body, **options)

    async def promise_option(self, issuer_id: str, body: PromiseOptionBody, **options: Any) -> ReceiptBody:
        """Promise an option that is to be granted later."""
        return await self.command(f"/v1/issuers/{issuer_id}/promises", body, **options)

    async def withdraw_promise(self, issuer_id: str, promise_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw the promise of an option."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/issuers/{issuer_id}/promises/{promise_id}/withdraw", body, **options)

    async def grant_option(self, issuer_id: str, body: GrantOptionBody, **options: Any) -> ReceiptBody:
        """Grant an option on common stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/options", body, **options)

    async def exercise_option(
        self, issuer_id: str, option_id: str, body: ExerciseOptionBody, **options: Any
    ) -> ReceiptBody:
        """Exercise vested shares of an option into common stock. A party here pays the company their exercise price."""
        return await self.command(f"/v1/issuers/{issuer_id}/options/{option_id}/exercise", body, **options)

    async def cancel_option(
        self, issuer_id: str, option_id: str, body: CancelOptionBody, **options: Any
    ) -> ReceiptBody:
        """Cancel an option, or part of it. Its shares are available again."""
        return await self.command(f"/v1/issuers/{issuer_id}/options/{option_id}/cancel", body, **options)
