"""Methods of the client for issuers: their stakeholders, stock and options."""

import builtins
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from events.financing import Approval, Participation, PriceProtection, ProtectionBasis
from events.types import Cancellation, FractionRule, StakeholderKind, StockKind
from events.vesting import VestingSchedule
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
    TransferRightBody,
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

    def list_principal(self, issuer_id: str, *, at: Point | None = None) -> AsyncIterator[PrincipalView]:
        """Yield the principal that may become shares, now or as of `at`; for the company and the platform."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/principal", PrincipalView, at=at)

    def list_holdings(self, *, holder_id: str) -> AsyncIterator[HoldingView]:
        """Yield the securities that a party holds, of every issuer."""
        return self._api.rows("/v1/holdings", HoldingView, holder_id=holder_id)

    async def check_ocf(self, *, party_id: str, source: str, package_base64: str, **options: Any) -> ImportReport:
        """Return every problem that an import of an OCF package would have; nothing is recorded."""
        body = ImportIssuerBody(party_id=party_id, source=source, package_base64=package_base64)
        return await self._api.send("/v1/issuers/import/dry-run", ImportReport, body, **options)

    async def import_ocf(self, *, party_id: str, source: str, package_base64: str, **options: Any) -> ReceiptBody:
        """Import an issuer from an OCF package, as a whole or, if the package has a problem, not at all."""
        body = ImportIssuerBody(party_id=party_id, source=source, package_base64=package_base64)
        return await self._api.command("/v1/issuers/import", body, **options)

    async def export_ocf(self, issuer_id: str) -> bytes:
        """Return an issuer as the zip file of an OCF package."""
        return await self._api.download(f"/v1/issuers/{segment(issuer_id)}/ocf")

    async def form(
        self, *, party_id: str, legal_name: str, jurisdiction: str, formed_on: date, **options: Any
    ) -> ReceiptBody:
        """Form an issuer: the capitalisation of a startup."""
        body = FormIssuerBody(party_id=party_id, legal_name=legal_name, jurisdiction=jurisdiction, formed_on=formed_on)
        return await self._api.command("/v1/issuers", body, **options)

    async def get(self, issuer_id: str) -> IssuerView:
        """Return an issuer, to its startup, the platform and holders of its securities."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}", IssuerView)

    def list(self) -> AsyncIterator[IssuerView]:
        """Yield the startup's own issuer; for the platform, all issuers by id."""
        return self._api.rows("/v1/issuers", IssuerView)

    async def add_stakeholder(
        self, issuer_id: str, *, name: str, kind: StakeholderKind, holder_id: str | None = None, **options: Any
    ) -> ReceiptBody:
        """Add someone who may hold securities of the issuer."""
        body = AddStakeholderBody(name=name, kind=kind, holder_id=holder_id)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stakeholders", body, **options)

    def list_stakeholders(self, issuer_id: str) -> AsyncIterator[StakeholderView]:
        """Yield the stakeholders of an issuer."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/stakeholders", StakeholderView)

    async def create_stock_class(
        self,
        issuer_id: str,
        *,
        class_id: str,
        kind: StockKind,
        shares_authorised: int,
        price_per_share_usd: Decimal | None = None,
        liquidation_multiple: Decimal | None = None,
        seniority: int = 0,
        participation: Participation = "none",
        participation_cap_multiple: Decimal | None = None,
        price_protection: PriceProtection | None = None,
        protection_basis: ProtectionBasis | None = None,
        first_refusal: bool = False,
        **options: Any,
    ) -> ReceiptBody:
        """Create a class of stock."""
        body = CreateStockClassBody(
            class_id=class_id,
            kind=kind,
            shares_authorised=shares_authorised,
            price_per_share_usd=price_per_share_usd,
            liquidation_multiple=liquidation_multiple,
            seniority=seniority,
            participation=participation,
            participation_cap_multiple=participation_cap_multiple,
            price_protection=price_protection,
            protection_basis=protection_basis,
            first_refusal=first_refusal,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock-classes", body, **options)

    async def list_stock_classes(self, issuer_id: str) -> builtins.list[StockClassView]:
        """Return the classes of stock of an issuer."""
        return await self._api.get(f"/v1/issuers/{segment(issuer_id)}/stock-classes", list[StockClassView])

    async def adjust_stock_plan(
        self, issuer_id: str, *, shares_reserved: int, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody:
        """Set the size of the option pool, in shares: granted, exercised and available together."""
        body = AdjustStockPlanBody(shares_reserved=shares_reserved, approval=approval)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock-plan", body, **options)

    async def adjust_authorised(
        self, issuer_id: str, *, class_id: str, shares_authorised: int, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody:
        """Set the number of shares that may be issued of a class."""
        body = AdjustAuthorisedBody(class_id=class_id, shares_authorised=shares_authorised, approval=approval)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/authorised-shares", body, **options)

    async def limit_dilution(
        self, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None = None, **options: Any
    ) -> ReceiptBody:
        """Limit the part of the company that all instruments together may become, converted or not."""
        body = LimitDilutionBody(dilution_max=dilution_max, valuation_usd=valuation_usd)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/dilution-limit", body, **options)

    async def record_valuation(
        self, issuer_id: str, *, price_usd_per_share: Decimal, method: str, effective_on: date, **options: Any
    ) -> ReceiptBody:
        """Record a valuation of a common share, in US dollars."""
        body = RecordValuationBody(price_usd_per_share=price_usd_per_share, method=method, effective_on=effective_on)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/valuations", body, **options)

    def list_valuations(self, issuer_id: str) -> AsyncIterator[ValuationView]:
        """Yield the valuations of an issuer, oldest first."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/valuations", ValuationView)


class Stock(Group):
    """Stock of an issuer. The receipt of an act that others must agree to is as in `Issuers`."""

    async def issue(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        price_usd_per_share: Decimal,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Issue shares to a stakeholder. A party here agrees and pays the company their price; other holders vote."""
        body = IssueStockBody(
            holder_id=holder_id,
            class_id=class_id,
            shares=shares,
            price_usd_per_share=price_usd_per_share,
            approval=approval,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock", body, **options)

    async def offer(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        holder_id_after: str,
        class_id: str,
        shares: int,
        price_usd_per_share: Decimal,
        decide_until: datetime,
        **options: Any,
    ) -> ReceiptBody:
        """Offer shares to the holders of the right of first refusal; the receipt's id is the transfer's."""
        body = OfferStockBody(
            holder_id=holder_id,
            holder_id_after=holder_id_after,
            class_id=class_id,
            shares=shares,
            price_usd_per_share=price_usd_per_share,
            decide_until=decide_until,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/offers", body, **options)

    def list_offers(self, issuer_id: str) -> AsyncIterator[OfferView]:
        """Yield the shares that were offered under a right of first refusal."""
        return self._api.rows(f"/v1/issuers/{segment(issuer_id)}/stock/offers", OfferView)

    async def waive_first_refusal(
        self, issuer_id: str, offer_id: str, *, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody:
        """Waive the right of first refusal; the offered shares go to the buyer."""
        body = WaiveFirstRefusalBody(approval=approval)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/waive", body, **options
        )

    async def exercise_first_refusal(
        self,
        issuer_id: str,
        offer_id: str,
        *,
        holder_id: str | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Buy all offered shares at the buyer's price, by the right of first refusal."""
        body = ExerciseFirstRefusalBody(holder_id=holder_id, approval=approval)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/exercise", body, **options
        )

    async def withdraw_offer(self, issuer_id: str, offer_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw an offer; the seller keeps the shares."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/stock/offers/{segment(offer_id)}/withdraw", body, **options
        )

    async def transfer(
        self,
        issuer_id: str,
        *,
        transfer_id: str | None = None,
        holder_id: str,
        holder_id_after: str,
        class_id: str,
        shares: int,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Transfer shares to another stakeholder; under a right of first refusal, only as offered.

        A party here that receives offered shares pays their price to the seller, if that is a party here too.
        """
        body = TransferStockBody(
            transfer_id=transfer_id,
            holder_id=holder_id,
            holder_id_after=holder_id_after,
            class_id=class_id,
            shares=shares,
            approval=approval,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/transfers", body, **options)

    async def repurchase(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        price_usd_per_share: Decimal,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Buy shares back, as the company. A holder that is a party here agrees to it, and is paid their price."""
        body = RepurchaseStockBody(
            holder_id=holder_id,
            class_id=class_id,
            shares=shares,
            price_usd_per_share=price_usd_per_share,
            approval=approval,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/repurchases", body, **options)

    async def split(
        self,
        issuer_id: str,
        *,
        numerator: int,
        denominator: int,
        fractions: FractionRule | None = None,
        cash_usd_per_share: Decimal | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Split or consolidate the stock: multiply every number of shares by a ratio, and divide prices by it."""
        body = SplitStockBody(
            numerator=numerator,
            denominator=denominator,
            fractions=fractions,
            cash_usd_per_share=cash_usd_per_share,
            approval=approval,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/splits", body, **options)

    async def convert(
        self, issuer_id: str, *, holder_id: str, class_id: str, shares: int, class_id_after: str, **options: Any
    ) -> ReceiptBody:
        """Convert preferred stock into common stock at its conversion price."""
        body = ConvertStockBody(holder_id=holder_id, class_id=class_id, shares=shares, class_id_after=class_id_after)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/stock/conversions", body, **options)


class Options(Group):
    """Options of an issuer, and promises of options. Receipts are as in `Issuers`."""

    async def promise(self, issuer_id: str, *, holder_id: str, shares: int, **options: Any) -> ReceiptBody:
        """Promise an option that is to be granted later."""
        body = PromiseOptionBody(holder_id=holder_id, shares=shares)
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/promises", body, **options)

    async def withdraw_promise(self, issuer_id: str, promise_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw the promise of an option."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/promises/{segment(promise_id)}/withdraw", body, **options
        )

    async def grant(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        shares: int,
        exercise_price_usd: Decimal,
        vesting: VestingSchedule | None = None,
        promise_id: str | None = None,
        approval: Approval | None = None,
        termination_exercise_days: int | None = None,
        **options: Any,
    ) -> ReceiptBody:
        """Grant an option on common stock."""
        body = GrantOptionBody(
            holder_id=holder_id,
            shares=shares,
            exercise_price_usd=exercise_price_usd,
            vesting=vesting,
            promise_id=promise_id,
            approval=approval,
            termination_exercise_days=termination_exercise_days,
        )
        return await self._api.command(f"/v1/issuers/{segment(issuer_id)}/options", body, **options)

    async def exercise(
        self, issuer_id: str, option_id: str, *, class_id: str, shares: int, **options: Any
    ) -> ReceiptBody:
        """Exercise vested shares of an option into common stock. A party here pays the company their exercise price."""
        body = ExerciseOptionBody(class_id=class_id, shares=shares)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/options/{segment(option_id)}/exercise", body, **options
        )

    async def transfer(
        self, issuer_id: str, option_id: str, *, holder_id: str, holder_id_after: str, **options: Any
    ) -> ReceiptBody:
        """Transfer a whole option from a holder without a key to the party that it is."""
        body = TransferRightBody(holder_id=holder_id, holder_id_after=holder_id_after)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/options/{segment(option_id)}/transfer", body, **options
        )

    async def cancel(
        self, issuer_id: str, option_id: str, *, shares: int, kind: Cancellation, reason: str, **options: Any
    ) -> ReceiptBody:
        """Cancel an option, or part of it. Its shares are available again."""
        body = CancelOptionBody(shares=shares, kind=kind, reason=reason)
        return await self._api.command(
            f"/v1/issuers/{segment(issuer_id)}/options/{segment(option_id)}/cancel", body, **options
        )
