"""Issuers: acts of the company, cap tables, financings and liquidity events."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

from events.financing import Approval, RoundTerms
from marketplace.api.bodies import equity as bodies
from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.cap_tables import HoldingView
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.client.transport import At
from marketplace.projections.cap_tables import (
    CapTableView,
    FinancingView,
    IssuerView,
    LiquidityView,
    StakeholderView,
    StockClassView,
    ValuationView,
)
from marketplace.projections.instruments import PrincipalView

PATH = "/v1/issuers"


class Issuers(Feature):
    """Capitalisations of startups."""

    async def form(self, *, party_id: str, legal_name: str, jurisdiction: str, formed_on: date) -> ReceiptBody:
        """Begin a startup's capitalisation."""
        body = bodies.FormIssuerBody(
            party_id=party_id, legal_name=legal_name, jurisdiction=jurisdiction, formed_on=formed_on
        )
        return await self._transport.command("POST", PATH, body)

    async def add_stakeholder(self, issuer_id: str, body: bodies.AddStakeholderBody) -> ReceiptBody:
        """Let someone hold securities; the answer's id is the holder's."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stakeholders", body)

    async def create_stock_class(self, issuer_id: str, body: bodies.CreateStockClassBody) -> ReceiptBody:
        """Create a class of stock."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock-classes", body)

    async def adjust_stock_plan(
        self, issuer_id: str, *, shares_reserved: int, approval: Approval | None = None
    ) -> ReceiptBody:
        """Set the size of the pool."""
        body = bodies.AdjustStockPlanBody(shares_reserved=shares_reserved, approval=approval)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock-plan", body)

    async def issue_stock(self, issuer_id: str, body: bodies.IssueStockBody) -> ReceiptBody:
        """Issue shares; the answer's id is the security's."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock", body)

    async def transfer_stock(self, issuer_id: str, body: bodies.TransferStockBody) -> ReceiptBody:
        """Move shares to another stakeholder."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock/transfers", body)

    async def repurchase_stock(self, issuer_id: str, body: bodies.RepurchaseStockBody) -> ReceiptBody:
        """Buy shares back."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock/repurchases", body)

    async def split_stock(self, issuer_id: str, *, numerator: int, denominator: int) -> ReceiptBody:
        """Multiply every number of shares."""
        body = bodies.SplitStockBody(numerator=numerator, denominator=denominator)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/stock/splits", body)

    async def grant_option(self, issuer_id: str, body: bodies.GrantOptionBody) -> ReceiptBody:
        """Grant an option; the answer's id is the option's."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/options", body)

    async def exercise_option(self, issuer_id: str, option_id: str, *, class_id: str, shares: int) -> ReceiptBody:
        """Turn an option into common stock."""
        body = bodies.ExerciseOptionBody(class_id=class_id, shares=shares)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/options/{option_id}/exercise", body)

    async def issue_warrant(self, issuer_id: str, body: bodies.IssueWarrantBody) -> ReceiptBody:
        """Issue a right to buy shares; the answer's id is the warrant's."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/warrants", body)

    async def exercise_warrant(
        self, issuer_id: str, warrant_id: str, *, shares: int, shares_surrendered: int = 0
    ) -> ReceiptBody:
        """Turn a warrant into shares."""
        body = bodies.ExerciseWarrantBody(shares=shares, shares_surrendered=shares_surrendered)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/warrants/{warrant_id}/exercise", body)

    async def record_valuation(
        self, issuer_id: str, *, price_usd_per_share: Decimal, method: str, effective_on: date
    ) -> ReceiptBody:
        """Record what a common share is worth."""
        body = bodies.RecordValuationBody(
            price_usd_per_share=price_usd_per_share, method=method, effective_on=effective_on
        )
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/valuations", body)

    async def open_financing(self, issuer_id: str, *, name: str, terms: RoundTerms) -> ReceiptBody:
        """Begin a priced round; the answer's id is the financing's."""
        body = bodies.OpenFinancingBody(name=name, terms=terms)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/financings", body)

    async def price_financing(self, issuer_id: str, financing_id: str) -> ReceiptBody:
        """Compute the round's price and every instrument's shares."""
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/financings/{financing_id}/price")

    async def close_financing(self, issuer_id: str, financing_id: str, *, approval: Approval) -> ReceiptBody:
        """Issue the shares of a priced round."""
        body = bodies.CloseFinancingBody(approval=approval)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/financings/{financing_id}/close", body)

    async def abandon_financing(self, issuer_id: str, financing_id: str, *, reason: str) -> ReceiptBody:
        """Give a round up."""
        body = ReasonBody(reason=reason)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/financings/{financing_id}/abandon", body)

    async def declare_liquidity(
        self, issuer_id: str, *, proceeds_usd: Decimal, safe_seniority: int | None = None
    ) -> ReceiptBody:
        """Say that the issuer is acquired; the answer's id is the liquidity event's."""
        body = bodies.DeclareLiquidityBody(proceeds_usd=proceeds_usd, safe_seniority=safe_seniority)
        return await self._transport.command("POST", f"{PATH}/{issuer_id}/liquidity-events", body)

    async def pay_distribution(self, issuer_id: str, liquidity_id: str) -> ReceiptBody:
        """Pay the proceeds to every holder."""
        path = f"{PATH}/{issuer_id}/liquidity-events/{liquidity_id}/pay"
        return await self._transport.command("POST", path)

    async def get(self, issuer_id: str) -> IssuerView:
        """Return an issuer."""
        return await self._transport.read(f"{PATH}/{issuer_id}", IssuerView)

    async def get_cap_table(self, issuer_id: str, *, at: At = None) -> CapTableView:
        """Return who owns what, now or as of a point in the past."""
        return await self._transport.read(f"{PATH}/{issuer_id}/cap-table", CapTableView, {"at": at})

    async def get_financing(self, issuer_id: str, financing_id: str) -> FinancingView:
        """Return a financing."""
        return await self._transport.read(f"{PATH}/{issuer_id}/financings/{financing_id}", FinancingView)

    async def get_liquidity_event(self, issuer_id: str, liquidity_id: str) -> LiquidityView:
        """Return a liquidity event with its waterfall."""
        return await self._transport.read(f"{PATH}/{issuer_id}/liquidity-events/{liquidity_id}", LiquidityView)

    async def list_stock_classes(self, issuer_id: str) -> list[StockClassView]:
        """Return the classes of stock."""
        return await self._transport.read(f"{PATH}/{issuer_id}/stock-classes", list[StockClassView])

    def list_issuers(self) -> AsyncIterator[IssuerView]:
        """Yield issuers by id."""
        return self._transport.read_all(PATH, IssuerView)

    def list_financings(self, issuer_id: str) -> AsyncIterator[FinancingView]:
        """Yield the financings of an issuer by id."""
        return self._transport.read_all(f"{PATH}/{issuer_id}/financings", FinancingView)

    def list_liquidity_events(self, issuer_id: str) -> AsyncIterator[LiquidityView]:
        """Yield the liquidity events of an issuer by id."""
        return self._transport.read_all(f"{PATH}/{issuer_id}/liquidity-events", LiquidityView)

    def list_stakeholders(self, issuer_id: str) -> AsyncIterator[StakeholderView]:
        """Yield who may hold securities, by id."""
        return self._transport.read_all(f"{PATH}/{issuer_id}/stakeholders", StakeholderView)

    def list_valuations(self, issuer_id: str) -> AsyncIterator[ValuationView]:
        """Yield valuations, oldest first."""
        return self._transport.read_all(f"{PATH}/{issuer_id}/valuations", ValuationView)

    def list_principal(self, issuer_id: str, *, at: At = None) -> AsyncIterator[PrincipalView]:
        """Yield principal that is not converted, by instrument."""
        return self._transport.read_all(f"{PATH}/{issuer_id}/principal", PrincipalView, {"at": at})

    def list_holdings(self, *, holder_id: str | None = None) -> AsyncIterator[HoldingView]:
        """Yield what a party holds of every issuer."""
        return self._transport.read_all("/v1/holdings", HoldingView, {"holder_id": holder_id})
