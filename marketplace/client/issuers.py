"""Methods of the client for issuers: their stakeholders, stock and options."""

import builtins
from collections.abc import AsyncIterator
from typing import Any

from events.financing import Approval
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.cap_tables import (
    HoldingView,
    ImportIssuerBody,
    ImportReport,
)
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
from marketplace.client.transport import Group, Point, segment
from marketplace.projections.views.equity import (
    IssuerView,
    OfferView,
    PrincipalView,
    StakeholderView,
    StockClassView,
    ValuationView,
)


class Issuers(Group):
    """Issuers and their securities.

    An act that others must agree to first is only proposed: the receipt's id is then the proposal's (``prp_…``).
    Otherwise it is the id of what was created, or else the issuer's.
    """

    def list_principal(self, issuer_id: str, at: Point | None = None) -> AsyncIterator[PrincipalView]:
        """Yield the principal that may become shares, now or as of `at`; for the company and the platform."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/principal", PrincipalView, at=at)

    def list_holdings(self, holder_id: str) -> AsyncIterator[HoldingView]:
        """Yield the securities that a party holds, of every issuer."""
        return self._api.rows("/v1/holdings", HoldingView, holder_id=holder_id)

    async def check_ocf(self, body: ImportIssuerBody, **options: Any) -> ImportReport:
        """Return every problem that an import of an OCF package would have; nothing is recorded."""
        return await self._api.send("/v1/issuers/import/dry-run", ImportReport, body, **options)

    async def import_ocf(self, body: ImportIssuerBody, **options: Any) -> ReceiptBody:
        """Import an issuer from an OCF package, as a whole or, if the package has a problem, not at all."""
        return await self._api.command("/v1/issuers/import", body, **options)

    async def export_ocf(self, issuer_id: str) -> bytes:
        """Return an issuer as the zip file of an OCF package."""
        return await self._api.download(f"/v1/issuers/{segment(issuer_id)}/ocf")

    async def form(self, body: FormIssuerBody, **options: Any) -> ReceiptBody:
        """Form an issuer: the capitalisation of a startup."""
        return await self._api.command("/v1/issuers", body, **options)

    async def get(self, issuer_id: str) -> IssuerView:
        """Return an issuer, to its startup, the platform and holders of its securities."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}", IssuerView)

    def list(self) -> AsyncIterator[IssuerView]:
        """Yield the startup's own issuer; for the platform, all issuers by id."""
        return self._api.rows("/v1/issuers", IssuerView)

    async def add_stakeholder(self, issuer_id: str, body: AddStakeholderBody, **options: Any) -> ReceiptBody:
        """Add someone who may hold securities of the issuer."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stakeholders", body, **options)

    def list_stakeholders(self, issuer_id: str) -> AsyncIterator[StakeholderView]:
        """Yield the stakeholders of an issuer."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/stakeholders", StakeholderView)

    async def create_stock_class(self, issuer_id: str, body: CreateStockClassBody, **options: Any) -> ReceiptBody:
        """Create a class of stock."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock-classes", body, **options)

    async def list_stock_classes(self, issuer_id: str) -> builtins.list[StockClassView]:
        """Return the classes of stock of an issuer."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}/stock-classes", list[StockClassView])

    async def adjust_stock_plan(
        self, issuer_id: str, shares_reserved: int, *, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody:
        """Set the size of the option pool, in shares: granted, exercised and available together."""
        body = AdjustStockPlanBody(shares_reserved=shares_reserved, approval=approval)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock-plan", body, **options)

    async def adjust_authorised(self, issuer_id: str, body: AdjustAuthorisedBody, **options: Any) -> ReceiptBody:
        """Set the number of shares that may be issued of a class."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/authorised-shares", body, **options)

    async def limit_dilution(self, issuer_id: str, body: LimitDilutionBody, **options: Any) -> ReceiptBody:
        """Limit the part of the company that all instruments together may become, converted or not."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/dilution-limit", body, **options)

    async def record_valuation(self, issuer_id: str, body: RecordValuationBody, **options: Any) -> ReceiptBody:
        """Record a valuation of a common share, in US dollars."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/valuations", body, **options)

    def list_valuations(self, issuer_id: str) -> AsyncIterator[ValuationView]:
        """Yield the valuations of an issuer, oldest first."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/valuations", ValuationView)


class Stock(Group):
    """Stock of an issuer. The receipt of an act that others must agree to is as in `Issuers`."""

    async def issue(self, issuer_id: str, body: IssueStockBody, **options: Any) -> ReceiptBody:
        """Issue shares to a stakeholder. A party here agrees and pays the company their price; other holders vote."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock", body, **options)

    async def offer(self, issuer_id: str, body: OfferStockBody, **options: Any) -> ReceiptBody:
        """Offer shares to the holders of the right of first refusal; the receipt's id is the transfer's."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/offers", body, **options)

    def list_offers(self, issuer_id: str) -> AsyncIterator[OfferView]:
        """Yield the shares that were offered under a right of first refusal."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/stock/offers", OfferView)

    async def waive_first_refusal(
        self, issuer_id: str, offer_id: str, body: WaiveFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Waive the right of first refusal; the offered shares go to the buyer."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/waive", body, **options
        )

    async def exercise_first_refusal(
        self, issuer_id: str, offer_id: str, body: ExerciseFirstRefusalBody, **options: Any
    ) -> ReceiptBody:
        """Buy all offered shares at the buyer's price, by the right of first refusal."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/exercise", body, **options
        )

    async def withdraw_offer(self, issuer_id: str, offer_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw an offer; the seller keeps the shares."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/withdraw", body, **options
        )

    async def transfer(self, issuer_id: str, body: TransferStockBody, **options: Any) -> ReceiptBody:
        """Transfer shares to another stakeholder; under a right of first refusal, only as offered.

        A party here that receives offered shares pays their price to the seller, if that is a party here too.
        """
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/transfers", body, **options)

    async def repurchase(self, issuer_id: str, body: RepurchaseStockBody, **options: Any) -> ReceiptBody:
        """Buy shares back, as the company. A holder that is a party here agrees to it, and is paid their price."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/repurchases", body, **options)

    async def split(self, issuer_id: str, body: SplitStockBody, **options: Any) -> ReceiptBody:
        """Split or consolidate the stock: multiply every number of shares by a ratio, and divide prices by it."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/splits", body, **options)

    async def convert(self, issuer_id: str, body: ConvertStockBody, **options: Any) -> ReceiptBody:
        """Convert preferred stock into common stock at its conversion price."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/conversions", body, **options)


class Options(Group):
    """Options of an issuer, and promises of options. Receipts are as in `Issuers`."""

    async def promise(self, issuer_id: str, body: PromiseOptionBody, **options: Any) -> ReceiptBody:
        """Promise an option that is to be granted later."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/promises", body, **options)

    async def withdraw_promise(self, issuer_id: str, promise_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw the promise of an option."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/promises/{segment(promise_id)}/withdraw", body, **options
        )

    async def grant(self, issuer_id: str, body: GrantOptionBody, **options: Any) -> ReceiptBody:
        """Grant an option on common stock."""
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/options", body, **options)

    async def exercise(self, issuer_id: str, option_id: str, body: ExerciseOptionBody, **options: Any) -> ReceiptBody:
        """Exercise vested shares of an option into common stock. A party here pays the company their exercise price."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/options/{segment(option_id)}/exercise", body, **options
        )

    async def cancel(self, issuer_id: str, option_id: str, body: CancelOptionBody, **options: Any) -> ReceiptBody:
        """Cancel an option, or part of it. Its shares are available again."""
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/options/{segment(option_id)}/cancel", body, **options
        )
