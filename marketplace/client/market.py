"""Methods of the client; bodies and answers are the API's own types.

A list comes as an async iterator over all of its pages. A read sees all that this client did before.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from events.order import OrderTerms
from marketplace.api.api_keys import IssuedKey
from marketplace.api.bodies.cap_tables import (
    AskRecoveryBody,
    ImportIssuerBody,
    PlotExitsBody,
    PlotRoundsBody,
    ScenarioBody,
)
from marketplace.api.bodies.delivery import EvidenceBody, ReportUsageBody
from marketplace.api.bodies.equity import CloseFinancingBody, DeclareLiquidityBody, InvestBody, OpenFinancingBody
from marketplace.api.bodies.issuers import (
    AddStakeholderBody,
    AdjustStockPlanBody,
    CreateStockClassBody,
    FormIssuerBody,
    IssueStockBody,
)
from marketplace.api.bodies.parties import ClearPartyBody, IssueKeyBody, RegisterPartyBody
from marketplace.api.bodies.quotes import QuoteAnswer
from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.bodies.supply import (
    ClosePoolBody,
    ListLotBody,
    OpenPoolBody,
    RegisterSiteBody,
    RepriceLotBody,
    ResellGrantBody,
    ScheduleConversionBody,
    SlipConversionBody,
)
from marketplace.api.bodies.trading import (
    AdvanceClockBody,
    AmendOrderBody,
    AskQuoteBody,
    GrantMandateBody,
    HoldQuoteBody,
    OpenAuctionBody,
    PlaceOrderBody,
)
from marketplace.api.clock import ClockView
from marketplace.api.commands import ReceiptBody
from marketplace.api.feed import FeedPage
from marketplace.api.ingestion import BATCHED, IngestionReceipt
from marketplace.api.packages import ImportReport
from marketplace.api.usage import UsageReceipt
from marketplace.captable.book import HolderBook, Recovery
from marketplace.captable.explanation import Explanation
from marketplace.captable.plots import ExitPoint, RoundPoint
from marketplace.captable.report import CapTableReport
from marketplace.captable.scenario import CapTableScenario
from marketplace.client.companies import Companies
from marketplace.client.delivery import Delivery
from marketplace.client.market_data import MarketData, render_at
from marketplace.projections.accounts.views import TrialBalanceView
from marketplace.projections.auctions import AuctionView, DecisionView
from marketplace.projections.cap_tables.queries import CapTableView, FinancingView, LiquidityView, StakeholderView
from marketplace.projections.grants import GrantAtView, GrantView
from marketplace.projections.instruments import InstrumentView
from marketplace.projections.inventory import LotView, PoolView
from marketplace.projections.orders import OrderView
from marketplace.projections.quotes import QuoteView
from marketplace.projections.reading import At
from marketplace.projections.statements import StatementView


class MarketplaceClient(Companies, Delivery, MarketData):
    """Speaks to one API with one key; use it as an async context manager."""

    async def register_party(self, body: RegisterPartyBody, **options: Any) -> ReceiptBody:
        """Register an organisation and open its account."""
        return await self.command("/v1/parties", body, **options)

    async def clear_party(self, party_id: str, checks: tuple[str, ...], **options: Any) -> ReceiptBody:
        """Let a party trade."""
        return await self.command(f"/v1/parties/{party_id}/clear", ClearPartyBody(checks=checks), **options)

    async def issue_key(self, body: IssueKeyBody, **options: Any) -> IssuedKey:
        """Issue an API key; its token is told once."""
        return await self.send("/v1/api-keys", IssuedKey, body, **options)

    async def register_site(self, body: RegisterSiteBody, **options: Any) -> ReceiptBody:
        """Bring a data center to the market."""
        return await self.command("/v1/sites", body, **options)

    async def schedule_conversion(self, site_id: str, body: ScheduleConversionBody, **options: Any) -> ReceiptBody:
        """Say when a site of another use becomes a data center."""
        return await self.command(f"/v1/sites/{site_id}/schedule-conversion", body, **options)

    async def slip_conversion(self, site_id: str, body: SlipConversionBody, **options: Any) -> ReceiptBody:
        """Move the date of a conversion."""
        return await self.command(f"/v1/sites/{site_id}/slip-conversion", body, **options)

    async def open_pool(self, body: OpenPoolBody, **options: Any) -> ReceiptBody:
        """Open a fabric of equal nodes."""
        return await self.command("/v1/pools", body, **options)

    async def close_pool(self, pool_id: str, body: ClosePoolBody, **options: Any) -> ReceiptBody:
        """Give notice that a pool leaves the market."""
        return await self.command(f"/v1/pools/{pool_id}/close", body, **options)

    async def list_lot(self, body: ListLotBody, **options: Any) -> ReceiptBody:
        """Offer nodes for a span."""
        return await self.command("/v1/lots", body, **options)

    async def resell_grant(self, grant_id: str, body: ResellGrantBody, **options: Any) -> ReceiptBody:
        """Offer nodes of a grant that its startup does not use; the receipt names the lot."""
        return await self.command(f"/v1/grants/{grant_id}/resell", body, **options)

    async def reprice_lot(self, lot_id: str, body: RepriceLotBody, **options: Any) -> ReceiptBody:
        """Change the asks of a lot."""
        return await self.command(f"/v1/lots/{lot_id}/reprice", body, **options)

    async def withdraw_lot(self, lot_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Take a lot off the market for good."""
        return await self.command(f"/v1/lots/{lot_id}/withdraw", ReasonBody(reason=reason), **options)

    async def grant_mandate(self, body: GrantMandateBody, **options: Any) -> ReceiptBody:
        """Offer to take equity."""
        return await self.command("/v1/mandates", body, **options)

    async def ask_quote(self, startup_id: str, terms: OrderTerms) -> QuoteAnswer:
        """Return what an order would have to be worth now, and where it would run; nothing is set aside."""
        body = AskQuoteBody(startup_id=startup_id, terms=terms)
        return await self.send("/v1/quotes", QuoteAnswer, body, fresh=True)

    async def hold_quote(self, body: HoldQuoteBody, **options: Any) -> ReceiptBody:
        """Set the cheapest free placement aside at its price to win."""
        return await self.command("/v1/quotes/hold", body, **options)

    async def take_quote(self, quote_id: str, **options: Any) -> ReceiptBody:
        """Place the order that takes a held quote; the receipt names the order."""
        return await self.command(f"/v1/quotes/{quote_id}/take", **options)

    async def release_quote(self, quote_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Let a held quote go."""
        return await self.command(f"/v1/quotes/{quote_id}/release", ReasonBody(reason=reason), **options)

    async def get_quote(self, quote_id: str) -> QuoteView:
        """Return a held quote."""
        return await self.get(f"/v1/quotes/{quote_id}", QuoteView)

    async def place_order(self, startup_id: str, terms: OrderTerms, **options: Any) -> ReceiptBody:
        """Ask for capacity in the next auction."""
        return await self.command("/v1/orders", PlaceOrderBody(startup_id=startup_id, terms=terms), **options)

    async def amend_order(self, order_id: str, terms: OrderTerms, **options: Any) -> ReceiptBody:
        """Change request or offer of an open order."""
        return await self.command(f"/v1/orders/{order_id}", AmendOrderBody(terms=terms), method="PUT", **options)

    async def cancel_order(self, order_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Take an open order back."""
        return await self.command(f"/v1/orders/{order_id}/cancel", ReasonBody(reason=reason), **options)

    async def get_order(self, order_id: str) -> OrderView:
        """Return an order with its last decision."""
        return await self.get(f"/v1/orders/{order_id}", OrderView)

    async def open_auction(self, body: OpenAuctionBody, **options: Any) -> ReceiptBody:
        """Call for orders."""
        return await self.command("/v1/auctions", body, **options)

    async def get_auction(self, auction_id: str) -> AuctionView:
        """Return an auction with its certificate."""
        return await self.get(f"/v1/auctions/{auction_id}", AuctionView)

    async def auction_audit(self, auction_id: str) -> dict[str, Any]:
        """Return a cleared auction's book and whole result, as `marketplace auction verify` takes them."""
        return await self.get(f"/v1/auctions/{auction_id}/audit", dict[str, Any])

    async def report_usage(self, grant_id: str, body: ReportUsageBody, **options: Any) -> UsageReceipt:
        """Report readings of a grant, and learn what became of each."""
        return await self.send(f"/v1/grants/{grant_id}/usage", UsageReceipt, body, **options)

    async def send_readings(self, events: Sequence[Mapping[str, Any]], **options: Any) -> IngestionReceipt:
        """Send readings as CloudEvents, at most 1,000, and learn what became of each."""
        batch = BATCHED.decode()
        return await self.send("/v1/usage", IngestionReceipt, list(events), media_type=batch, **options)

    async def keep_evidence(self, grant_id: str, body: EvidenceBody, **options: Any) -> ReceiptBody:
        """Keep what machines of a grant said beside its readings."""
        return await self.command(f"/v1/grants/{grant_id}/usage/evidence", body, **options)

    async def accept_statement(self, statement_id: str, **options: Any) -> ReceiptBody:
        """Accept a statement, which settles it."""
        return await self.command(f"/v1/statements/{statement_id}/accept", **options)

    async def invest(self, body: InvestBody, **options: Any) -> ReceiptBody:
        """Take a direct cash investment under a mandate."""
        return await self.command("/v1/instruments", body, **options)

    async def form_issuer(self, body: FormIssuerBody, **options: Any) -> ReceiptBody:
        """Begin a startup's capitalisation."""
        return await self.command("/v1/issuers", body, **options)

    async def export_issuer(self, issuer_id: str) -> bytes:
        """Return an issuer as the zip of an OCF package."""
        return await self.download(f"/v1/issuers/{issuer_id}/ocf")

    async def get_cap_table_report(
        self, issuer_id: str, at: str | None = None, known: int | None = None
    ) -> CapTableReport:
        """Return a cap table by holder, class and instrument, as of an instant and as known at a sequence."""
        return await self.get(f"/v1/issuers/{issuer_id}/cap-table/report", CapTableReport, at=at, known=known)

    async def explain_cap_table(self, issuer_id: str, **query: Any) -> Explanation:
        """Return every number of a cap table with its events; `at`, `known`, `holder_id`, `security`."""
        return await self.get(f"/v1/issuers/{issuer_id}/cap-table/explain", Explanation, **query)

    async def count_pending(self, issuer_id: str, body: ScenarioBody, **options: Any) -> CapTableScenario:
        """Return the cap table before and after a round on stated terms; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/cap-table/scenario", CapTableScenario, body, **options)

    async def plot_rounds(self, issuer_id: str, body: PlotRoundsBody, **options: Any) -> list[RoundPoint]:
        """Return a round at several prices; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/what-if/rounds", list[RoundPoint], body, **options)

    async def plot_exits(self, issuer_id: str, body: PlotExitsBody, **options: Any) -> list[ExitPoint]:
        """Return a sale at several prices; nothing is recorded."""
        return await self.send(f"/v1/issuers/{issuer_id}/what-if/exits", list[ExitPoint], body, **options)

    async def get_book(self, party_id: str, **query: Any) -> HolderBook:
        """Return a holder's book; `at`, and prices `retail` and `own_cost` such as ``H100_SXM:2.99``."""
        return await self.get(f"/v1/parties/{party_id}/book", HolderBook, **query)

    async def ask_recovery(self, party_id: str, body: AskRecoveryBody, **options: Any) -> Recovery:
        """Return whether the compute that was granted will be paid back, under stated assumptions."""
        return await self.send(f"/v1/parties/{party_id}/book/recovery", Recovery, body, **options)

    async def judge_import(self, body: ImportIssuerBody, **options: Any) -> ImportReport:
        """Return what an import of an OCF package would be answered; nothing is written."""
        return await self.send("/v1/issuers/import/dry-run", ImportReport, body, **options)

    async def import_issuer(self, body: ImportIssuerBody, **options: Any) -> ReceiptBody:
        """Take an issuer over from an OCF package."""
        return await self.command("/v1/issuers/import", body, **options)

    async def add_stakeholder(self, issuer_id: str, body: AddStakeholderBody, **options: Any) -> ReceiptBody:
        """Let someone hold securities of the issuer."""
        return await self.command(f"/v1/issuers/{issuer_id}/stakeholders", body, **options)

    async def create_stock_class(self, issuer_id: str, body: CreateStockClassBody, **options: Any) -> ReceiptBody:
        """Create a class of stock."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock-classes", body, **options)

    async def adjust_stock_plan(self, issuer_id: str, shares_reserved: int, **options: Any) -> ReceiptBody:
        """Set the size of the option pool."""
        body = AdjustStockPlanBody(shares_reserved=shares_reserved)
        return await self.command(f"/v1/issuers/{issuer_id}/stock-plan", body, **options)

    async def issue_stock(self, issuer_id: str, body: IssueStockBody, **options: Any) -> ReceiptBody:
        """Issue shares."""
        return await self.command(f"/v1/issuers/{issuer_id}/stock", body, **options)

    async def open_financing(self, issuer_id: str, body: OpenFinancingBody, **options: Any) -> ReceiptBody:
        """Begin a priced round."""
        return await self.command(f"/v1/issuers/{issuer_id}/financings", body, **options)

    async def price_financing(self, issuer_id: str, financing_id: str, **options: Any) -> ReceiptBody:
        """Compute the round's price and every instrument's shares."""
        return await self.command(f"/v1/issuers/{issuer_id}/financings/{financing_id}/price", **options)

    async def close_financing(
        self, issuer_id: str, financing_id: str, body: CloseFinancingBody, **options: Any
    ) -> ReceiptBody:
        """Issue the shares of a priced round and convert its instruments."""
        return await self.command(f"/v1/issuers/{issuer_id}/financings/{financing_id}/close", body, **options)

    async def declare_liquidity(self, issuer_id: str, body: DeclareLiquidityBody, **options: Any) -> ReceiptBody:
        """Say that the issuer is acquired, and compute who gets what."""
        return await self.command(f"/v1/issuers/{issuer_id}/liquidity-events", body, **options)

    async def pay_distribution(self, issuer_id: str, liquidity_id: str, **options: Any) -> ReceiptBody:
        """Pay the proceeds to every holder."""
        return await self.command(f"/v1/issuers/{issuer_id}/liquidity-events/{liquidity_id}/pay", **options)

    async def get_cap_table(self, issuer_id: str, at: str | None = None) -> CapTableView:
        """Return a cap table, now or as of a sequence or an instant."""
        return await self.get(f"/v1/issuers/{issuer_id}/cap-table", CapTableView, at=at)

    async def get_trial_balance(self, at: str | None = None) -> list[TrialBalanceView]:
        """Return the sums per unit and kind of account."""
        return await self.get("/v1/trial-balance", list[TrialBalanceView], at=at)

    async def get_clock(self) -> ClockView:
        """Return market time."""
        return await self.get("/v1/test/clock", ClockView, fresh=False)

    async def advance_clock(self, seconds: int, **options: Any) -> ReceiptBody:
        """Move market time forward; in the embedded mode only."""
        return await self.command("/v1/test/clock", AdvanceClockBody(seconds=seconds), **options)

    async def read_events(self, after: int = 0, limit: int = 1_000) -> FeedPage:
        """Return a page of the event feed."""
        return await self.get("/v1/events", FeedPage, after=after, limit=limit)

    def follow_events(self, after: int = 0) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield sequence and JSON of every event after one, as they happen."""
        return self.stream("/v1/events", after)

    def list_lots(self, **query: Any) -> AsyncIterator[LotView]:
        """Yield lots."""
        return self.rows("/v1/lots", LotView, **query)

    def list_pools(self, **query: Any) -> AsyncIterator[PoolView]:
        """Yield pools."""
        return self.rows("/v1/pools", PoolView, **query)

    def list_orders(self, **query: Any) -> AsyncIterator[OrderView]:
        """Yield orders."""
        return self.rows("/v1/orders", OrderView, **query)

    def list_decisions(self, auction_id: str) -> AsyncIterator[DecisionView]:
        """Yield the decisions of an auction."""
        return self.rows(f"/v1/auctions/{auction_id}/decisions", DecisionView)

    def list_grants(self, **query: Any) -> AsyncIterator[GrantView]:
        """Yield grants."""
        return self.rows("/v1/grants", GrantView, **query)

    def list_grants_at(self, at: At, **query: Any) -> AsyncIterator[GrantAtView]:
        """Yield what changes over the lives of grants as it stood at a sequence or an instant."""
        return self.rows("/v1/grants/history", GrantAtView, at=render_at(at), **query)

    def list_statements(self, **query: Any) -> AsyncIterator[StatementView]:
        """Yield statements."""
        return self.rows("/v1/statements", StatementView, **query)

    def list_instruments(self, **query: Any) -> AsyncIterator[InstrumentView]:
        """Yield instruments."""
        return self.rows("/v1/instruments", InstrumentView, **query)

    def list_financings(self, issuer_id: str) -> AsyncIterator[FinancingView]:
        """Yield the priced rounds of an issuer."""
        return self.rows(f"/v1/issuers/{issuer_id}/financings", FinancingView)

    def list_liquidity_events(self, issuer_id: str) -> AsyncIterator[LiquidityView]:
        """Yield the sales of an issuer."""
        return self.rows(f"/v1/issuers/{issuer_id}/liquidity-events", LiquidityView)

    def list_stakeholders(self, issuer_id: str) -> AsyncIterator[StakeholderView]:
        """Yield the stakeholders of an issuer."""
        return self.rows(f"/v1/issuers/{issuer_id}/stakeholders", StakeholderView)
