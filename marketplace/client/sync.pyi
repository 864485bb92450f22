import builtins
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import httpx

from events.book import Book
from events.financing import Approval, Participation, PriceProtection, ProtectionBasis
from events.grant import Choice
from events.issuer_holders import HolderTerms, StatedAgreement
from events.lot import AskStep
from events.mandate import MandateTerms
from events.order import OrderTerms
from events.pricelist import ListPrice
from events.register import RelationKind
from events.schedule import ScheduleTerms
from events.service import ServiceTerms
from events.service_line import HoursReading
from events.site import SiteStatus
from events.stages import StageTerms
from events.statement import Reference
from events.types import (
    Cancellation,
    FractionRule,
    Funding,
    Interconnect,
    PrincipalTerms,
    Reduction,
    Role,
    Settlement,
    Stage,
    StakeholderKind,
    StockKind,
    WarrantReduction,
    WarrantTransfer,
)
from events.usage import Sample
from events.vesting import ChangeOfControl, PriceAverage, VestingSchedule, WarrantTranche
from marketplace.api.http.bodies.allocations import AllocationReceipt, UseBody
from marketplace.api.http.bodies.answers import ClockView, Liveness, Readiness, ReceiptBody
from marketplace.api.http.bodies.cap_tables import HoldingView, ImportReport
from marketplace.api.http.bodies.delivery import EvidenceReceipt, ReadingBody, UsageReceipt
from marketplace.api.http.bodies.equity import BuyerStockBody
from marketplace.api.http.bodies.feed import ChainCommand, FeedItem, FeedPage, StatesAround
from marketplace.api.http.bodies.market import MandateOffer, MarketPrice, PublicMarket
from marketplace.api.http.bodies.meters import IngestionReceipt
from marketplace.api.http.bodies.parties import IssuedKey, KeyView
from marketplace.api.http.bodies.projections import JobView, ProjectionView, StuckTaskView
from marketplace.api.http.bodies.quotes import QuoteAnswer
from marketplace.captable.explanation import Explanation
from marketplace.captable.plots import ExitPoint, Range, RoundPoint
from marketplace.captable.portfolio import Portfolio, Recovery
from marketplace.captable.proposed import ProposedChanges
from marketplace.captable.report import CapTableReport
from marketplace.captable.scenario import CapTableScenario
from marketplace.client.transport import Listed, Point, Statuses, T
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.domain.metering.contradictions import Contradiction
from marketplace.projections.views.access import PartyName, PartyView, RelationView
from marketplace.projections.views.billing import (
    AccountStatementView,
    AccountView,
    ApprovalView,
    BalanceView,
    Basis,
    BondView,
    ClaimView,
    CreditView,
    EarningsView,
    EntryView,
    ExplanationView,
    HoldView,
    HoursReadingView,
    ServiceLineView,
    StatementView,
    TrialBalanceView,
)
from marketplace.projections.views.delivery import GrantAtView, GrantView, ReliabilityView
from marketplace.projections.views.equity import (
    CapTableView,
    FinancingView,
    InstrumentView,
    IssuerView,
    LiquidityView,
    MfnNoticeView,
    MovementView,
    OfferView,
    PriceObservationView,
    PriceSourceView,
    PrincipalView,
    ProgrammeView,
    ProposalView,
    RightsView,
    StakeholderView,
    StockClassView,
    ValuationView,
    WarrantView,
    WaterfallView,
)
from marketplace.projections.views.metering import AllocationView, ReadingView, UsageDay, UsageView
from marketplace.projections.views.supply import CapacityStep, DepthLevel, IncidentView, LotView, PoolView, SiteView
from marketplace.projections.views.trading import (
    AuctionView,
    BookOrderView,
    BudgetHoldView,
    CertificateView,
    CurveStep,
    DecisionView,
    ExposureView,
    GenerationView,
    IndexPoint,
    ListPriceView,
    MandateView,
    OrderView,
    QuoteView,
)

class _Accounts:
    def deposit(
        self, account_id: str, *, amount_usd: Decimal, reference: str, booked_at: datetime | None = None, **options: Any
    ) -> ReceiptBody: ...
    def withdraw(
        self, account_id: str, *, amount_usd: Decimal, reference: str, booked_at: datetime | None = None, **options: Any
    ) -> ReceiptBody: ...
    def place_hold(
        self, account_id: str, *, payee_account_id: str, amount_usd: Decimal, expires_at: datetime, **options: Any
    ) -> ReceiptBody: ...
    def capture_hold(self, account_id: str, hold_id: str, *, amount_usd: Decimal, **options: Any) -> ReceiptBody: ...
    def release_hold(self, account_id: str, hold_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def set_limit(
        self,
        account_id: str,
        *,
        limit_usd: Decimal | None,
        order_limit_usd: Decimal | None = None,
        week_limit_usd: Decimal | None = None,
        unit: str = "USD",
        **options: Any,
    ) -> ReceiptBody: ...
    def approve(self, account_id: str, approval_id: str, **options: Any) -> ReceiptBody: ...
    def refuse_approval(self, account_id: str, approval_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def withdraw_approval(self, account_id: str, approval_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def list_approvals(
        self, account_id: str, *, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[ApprovalView]: ...
    def list_every_approval(
        self, *, party_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[ApprovalView]: ...
    def close(self, account_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def list_holds(
        self, account_id: str, *, purpose: str | None = None, **listed: Unpack[Listed]
    ) -> Iterator[HoldView]: ...
    def get(self, account_id: str) -> AccountView: ...
    def limit_credit(self, *, provider_id: str, startup_id: str, limit_usd: Decimal, **options: Any) -> ReceiptBody: ...
    def list_credits(self, *, party_id: str | None = None) -> Iterator[CreditView]: ...
    def list(self) -> Iterator[AccountView]: ...
    def list_balances(
        self,
        *,
        at: Point | None = None,
        occurred_until: datetime | None = None,
        party_id: str | None = None,
        unit: str | None = None,
    ) -> Iterator[BalanceView]: ...
    def list_entries(
        self,
        *,
        party_id: str | None = None,
        account: str | None = None,
        account_id: str | None = None,
        **listed: Unpack[Listed],
    ) -> Iterator[EntryView]: ...
    def get_trial_balance(self, *, at: Point | None = None) -> builtins.list[TrialBalanceView]: ...
    def explain_balance(
        self,
        subject_id: str,
        *,
        at: Point | None = None,
        occurred_until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ExplanationView: ...
    def get_statement(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None, last: int | None = None
    ) -> AccountStatementView: ...
    def get_statement_csv(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None
    ) -> bytes: ...
    def get_statement_html(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None
    ) -> bytes: ...

class _ApiKeys:
    def issue(
        self,
        *,
        name: str,
        scopes: tuple[str, ...],
        party_id: str | None = None,
        expires_at: datetime | None = None,
        person: str | None = None,
        **options: Any,
    ) -> IssuedKey: ...
    def revoke(self, key_id: str, *, keep_issued: bool = False, **options: Any) -> None: ...
    def suspend(self, key_id: str, *, reason: str, **options: Any) -> KeyView: ...
    def resume(self, key_id: str, *, reason: str, **options: Any) -> KeyView: ...
    def list(self) -> Iterator[KeyView]: ...

class _Auctions:
    def open(
        self,
        *,
        locks_at: datetime,
        horizon_start: datetime,
        period_hours: Literal[1, 24, 120],
        periods: int,
        seed: int,
        indicative_at: datetime | None = None,
        no_cancel_at: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def get(self, auction_id: str) -> AuctionView: ...
    def list(self, *, status: Statuses = None, **listed: Unpack[Listed]) -> Iterator[AuctionView]: ...
    def get_certificate(self, auction_id: str) -> CertificateView: ...
    def get_book(self, auction_id: str) -> Book: ...
    def get_audit(self, auction_id: str) -> dict[str, Any]: ...
    def list_decisions(self, auction_id: str, *, matched: bool | None = None) -> Iterator[DecisionView]: ...

class _Bonds:
    def post(
        self,
        *,
        party_id: str,
        amount_usd: Decimal,
        lot_id: str | None = None,
        stands_until: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def release(self, bond_id: str, *, lot_id: str | None = None, **options: Any) -> ReceiptBody: ...
    def claim(
        self,
        grant_id: str,
        *,
        period_start: datetime | None = None,
        replacement_ids: tuple[str, ...] = (),
        **options: Any,
    ) -> ReceiptBody: ...
    def answer_claim(
        self, bond_id: str, claim_id: str, *, reason: str, amount_usd: Decimal | None = None, **options: Any
    ) -> ReceiptBody: ...
    def list(self, *, party_id: str | None = None) -> Iterator[BondView]: ...
    def list_claims(
        self, *, party_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[ClaimView]: ...

class _CapTables:
    def get(self, issuer_id: str, *, at: Point | None = None, known: int | None = None) -> CapTableView: ...
    def get_report(
        self, issuer_id: str, *, at: datetime | str | None = None, known: int | None = None
    ) -> CapTableReport: ...
    def explain(
        self,
        issuer_id: str,
        *,
        at: datetime | str | None = None,
        known: int | None = None,
        holder_id: str | None = None,
        security: str | None = None,
    ) -> Explanation: ...
    def run_scenario(
        self, issuer_id: str, *, terms: RoundDraft, at: datetime | None = None, known: int | None = None, **options: Any
    ) -> CapTableScenario: ...
    def plot_rounds(
        self,
        issuer_id: str,
        *,
        terms: RoundDraft,
        range: Range,
        format: Literal["json", "csv"] = "json",
        **options: Any,
    ) -> list[RoundPoint]: ...
    def plot_exits(
        self,
        issuer_id: str,
        *,
        range: Range,
        rounds: tuple[RoundDraft, ...] = (),
        safe_seniority: int | None = None,
        format: Literal["json", "csv"] = "json",
        **options: Any,
    ) -> list[ExitPoint]: ...

class _Clock:
    def get(self) -> ClockView: ...
    def advance(self, *, seconds: int, **options: Any) -> ReceiptBody: ...

class _Events:
    def read(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        type: Sequence[str] = (),
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        event_id: str | None = None,
        command_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> FeedPage: ...
    def get_chain(self, *, sequence: int) -> list[ChainCommand]: ...
    def get_states(self, *, sequence: int) -> StatesAround: ...
    def follow(
        self,
        *,
        after: int = 0,
        type: Sequence[str] = (),
        aggregate: Sequence[str] = (),
        aggregate_id: str | None = None,
        event_id: str | None = None,
        command_id: str | None = None,
        party_id: str | None = None,
        from_: datetime | None = None,
    ) -> Iterator[FeedItem]: ...

class _Financings:
    def agree_holder_terms(
        self, issuer_id: str, *, terms: HolderTerms, approval: Approval, **options: Any
    ) -> ReceiptBody: ...
    def answer_pro_rata(
        self, issuer_id: str, financing_id: str, *, amount_usd: Decimal, holder_id: str | None = None, **options: Any
    ) -> ReceiptBody: ...
    def open(
        self,
        issuer_id: str,
        *,
        name: str,
        terms: RoundDraft,
        closing_days: int = 30,
        open_days: int = 120,
        **options: Any,
    ) -> ReceiptBody: ...
    def price(self, issuer_id: str, financing_id: str, **options: Any) -> ReceiptBody: ...
    def close(self, issuer_id: str, financing_id: str, *, approval: Approval, **options: Any) -> ReceiptBody: ...
    def abandon(self, issuer_id: str, financing_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, issuer_id: str, financing_id: str) -> FinancingView: ...
    def list(self, issuer_id: str) -> Iterator[FinancingView]: ...
    def declare_liquidity(
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
    ) -> ReceiptBody: ...
    def pay_distribution(self, issuer_id: str, liquidity_id: str, **options: Any) -> ReceiptBody: ...
    def withdraw_liquidity(self, issuer_id: str, liquidity_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def get_liquidity_event(self, issuer_id: str, liquidity_id: str) -> LiquidityView: ...
    def list_liquidity_events(self, issuer_id: str) -> Iterator[LiquidityView]: ...

class _Grants:
    def get(self, grant_id: str, *, expand: Sequence[str] = ()) -> GrantView: ...
    def list(
        self,
        *,
        party_id: str | None = None,
        status: Statuses = None,
        expand: Sequence[str] = (),
        **listed: Unpack[Listed],
    ) -> Iterator[GrantView]: ...
    def get_at(self, grant_id: str, *, at: Point | None = None) -> GrantAtView: ...
    def list_at(self, *, at: Point | None, party_id: str | None = None) -> Iterator[GrantAtView]: ...
    def activate(self, grant_id: str, **options: Any) -> ReceiptBody: ...
    def degrade(
        self,
        grant_id: str,
        *,
        nodes_available: int,
        at: datetime,
        reason: str,
        until: datetime | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def suspend(self, grant_id: str, *, at: datetime, reason: str, **options: Any) -> ReceiptBody: ...
    def resume(self, grant_id: str, *, at: datetime, **options: Any) -> ReceiptBody: ...
    def substitute(self, grant_id: str, *, pool_id: str, reason: str, **options: Any) -> ReceiptBody: ...
    def reschedule(
        self, grant_id: str, *, choice: Choice, start: datetime | None = None, **options: Any
    ) -> ReceiptBody: ...
    def transfer(self, grant_id: str, *, startup_id: str, **options: Any) -> ReceiptBody: ...
    def prioritise(self, grant_id: str, *, priority: int, **options: Any) -> ReceiptBody: ...
    def pay_stage(self, grant_id: str, **options: Any) -> ReceiptBody: ...
    def terminate(
        self, grant_id: str, *, at: datetime, reason: str, for_cause: bool = False, **options: Any
    ) -> ReceiptBody: ...
    def resell(
        self,
        grant_id: str,
        *,
        nodes: int,
        start: datetime,
        end: datetime,
        ask_usd_per_gpu_hour: Decimal,
        nodes_min: int = 1,
        duration_hours_min: int = 1,
        mandate_ids: tuple[str, ...] = (),
        **options: Any,
    ) -> ReceiptBody: ...

class _Instruments:
    def invest(
        self, *, startup_id: str, mandate_id: str, amount_usd: Decimal, terms: PrincipalTerms, **options: Any
    ) -> ReceiptBody: ...
    def get(self, instrument_id: str) -> InstrumentView: ...
    def list(
        self,
        *,
        issuer_id: str | None = None,
        holder_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> Iterator[InstrumentView]: ...
    def list_mfn_notices(self, instrument_id: str) -> Iterator[MfnNoticeView]: ...
    def list_movements(self, instrument_id: str, **listed: Unpack[Listed]) -> Iterator[MovementView]: ...
    def amend(
        self, instrument_id: str, *, terms: PrincipalTerms, applies_to_earlier: bool, **options: Any
    ) -> ReceiptBody: ...
    def transfer(self, instrument_id: str, *, holder_id: str, holder_id_after: str, **options: Any) -> ReceiptBody: ...
    def suspend(self, instrument_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def resume(self, instrument_id: str, **options: Any) -> ReceiptBody: ...
    def reverse_principal(
        self,
        instrument_id: str,
        *,
        tranche_id: str,
        principal_usd: Decimal,
        reason: str,
        reduction: Reduction | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def pay_debt(self, instrument_id: str, *, amount_usd: Decimal, **options: Any) -> ReceiptBody: ...
    def cancel(self, instrument_id: str, *, at: datetime, reason: str, **options: Any) -> ReceiptBody: ...
    def repay(self, instrument_id: str, **options: Any) -> ReceiptBody: ...
    def mature(self, instrument_id: str, **options: Any) -> ReceiptBody: ...
    def issue_shares(self, instrument_id: str, **options: Any) -> ReceiptBody: ...
    def notice_mfn(
        self, instrument_id: str, *, later_instrument_id: str, elect_until: datetime, **options: Any
    ) -> ReceiptBody: ...
    def elect_mfn(self, instrument_id: str, *, later_instrument_id: str | None, **options: Any) -> ReceiptBody: ...

class _Issuers:
    def list_principal(self, issuer_id: str, *, at: Point | None = None) -> Iterator[PrincipalView]: ...
    def list_holdings(self, *, holder_id: str) -> Iterator[HoldingView]: ...
    def check_ocf(self, *, party_id: str, source: str, package_base64: str, **options: Any) -> ImportReport: ...
    def import_ocf(self, *, party_id: str, source: str, package_base64: str, **options: Any) -> ReceiptBody: ...
    def export_ocf(self, issuer_id: str) -> bytes: ...
    def form(
        self, *, party_id: str, legal_name: str, jurisdiction: str, formed_on: date, **options: Any
    ) -> ReceiptBody: ...
    def get(self, issuer_id: str) -> IssuerView: ...
    def list(self) -> Iterator[IssuerView]: ...
    def add_stakeholder(
        self, issuer_id: str, *, name: str, kind: StakeholderKind, holder_id: str | None = None, **options: Any
    ) -> ReceiptBody: ...
    def list_stakeholders(self, issuer_id: str) -> Iterator[StakeholderView]: ...
    def create_stock_class(
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
    ) -> ReceiptBody: ...
    def list_stock_classes(self, issuer_id: str) -> builtins.list[StockClassView]: ...
    def adjust_stock_plan(
        self, issuer_id: str, *, shares_reserved: int, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody: ...
    def adjust_authorised(
        self, issuer_id: str, *, class_id: str, shares_authorised: int, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody: ...
    def limit_dilution(
        self, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None = None, **options: Any
    ) -> ReceiptBody: ...
    def record_valuation(
        self, issuer_id: str, *, price_usd_per_share: Decimal, method: str, effective_on: date, **options: Any
    ) -> ReceiptBody: ...
    def list_valuations(self, issuer_id: str) -> Iterator[ValuationView]: ...

class _Lots:
    def offer(
        self,
        *,
        pool_id: str,
        nodes: int,
        start: datetime,
        end: datetime,
        ask_usd_per_gpu_hour: Decimal,
        nodes_min: int = 1,
        duration_hours_min: int = 1,
        mandate_ids: tuple[str, ...] = (),
        further_asks: tuple[AskStep, ...] = (),
        service: ServiceTerms | None = None,
        stages: StageTerms | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def reprice(
        self, lot_id: str, *, ask_usd_per_gpu_hour: Decimal, further_asks: tuple[AskStep, ...] = (), **options: Any
    ) -> ReceiptBody: ...
    def reschedule(
        self, lot_id: str, *, start: datetime, end: datetime, reason: str, **options: Any
    ) -> ReceiptBody: ...
    def pause(self, lot_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def resume(self, lot_id: str, **options: Any) -> ReceiptBody: ...
    def withdraw(self, lot_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, lot_id: str) -> LotView: ...
    def list(
        self,
        *,
        provider_id: str | None = None,
        pool_id: str | None = None,
        gpu_class: str | None = None,
        region: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> Iterator[LotView]: ...

class _Mandates:
    def grant(self, *, holder_id: str, funding: Funding, terms: MandateTerms, **options: Any) -> ReceiptBody: ...
    def amend(self, mandate_id: str, *, terms: MandateTerms, **options: Any) -> ReceiptBody: ...
    def revoke(self, mandate_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def approve_order(self, mandate_id: str, hold_id: str, **options: Any) -> ReceiptBody: ...
    def refuse_order(
        self, mandate_id: str, hold_id: str, *, reason: str, barred_days: int = 0, **options: Any
    ) -> ReceiptBody: ...
    def get(self, mandate_id: str) -> MandateView: ...
    def list_exposure(self, *, holder_id: str | None = None) -> builtins.list[ExposureView]: ...
    def list(
        self, *, holder_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[MandateView]: ...
    def list_holds(self, mandate_id: str) -> Iterator[BudgetHoldView]: ...

class _Market:
    def list_gpu_classes(self) -> list[str]: ...
    def get_depth(self, *, gpu_class: str, at: Point | None = None, limit: int | None = None) -> list[DepthLevel]: ...
    def get_capacity(
        self, *, pool_id: Sequence[str], start: datetime, end: datetime, at: Point | None = None
    ) -> list[CapacityStep]: ...
    def get_index(
        self, *, gpu_class: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[IndexPoint]: ...
    def get_public(self, *, gpu_class: str | None = None) -> PublicMarket: ...
    def list_generations(self) -> list[GenerationView]: ...
    def get_curves(self, *, gpu_class: str, auction_id: str | None = None) -> list[CurveStep]: ...
    def publish_pricelist(self, *, name: str, prices: tuple[ListPrice, ...], **options: Any) -> ReceiptBody: ...
    def get_schedule(self) -> ScheduleTerms: ...
    def publish_schedule(self, *, terms: ScheduleTerms, **options: Any) -> ReceiptBody: ...
    def list_pricelists(self, *, gpu_class: str | None = None) -> Iterator[ListPriceView]: ...
    def list_prices(
        self,
        *,
        pool_id: str | None = None,
        gpu_class: str | None = None,
        auction_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[MarketPrice]: ...
    def list_mandates(self) -> Iterator[MandateOffer]: ...
    def list_reliability(self) -> Iterator[ReliabilityView]: ...
    def get_reliability(self, party_id: str) -> ReliabilityView: ...

class _Operation:
    def get_liveness(self) -> Liveness: ...
    def get_readiness(self) -> Readiness: ...
    def list_projections(self) -> list[ProjectionView]: ...
    def list_stuck(self) -> list[StuckTaskView]: ...
    def rebuild_projection(self, *, name: str) -> JobView: ...
    def verify_projection(self, *, name: str) -> JobView: ...

class _Options:
    def promise(self, issuer_id: str, *, holder_id: str, shares: int, **options: Any) -> ReceiptBody: ...
    def withdraw_promise(self, issuer_id: str, promise_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def grant(
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
    ) -> ReceiptBody: ...
    def exercise(
        self, issuer_id: str, option_id: str, *, class_id: str, shares: int, **options: Any
    ) -> ReceiptBody: ...
    def transfer(
        self, issuer_id: str, option_id: str, *, holder_id: str, holder_id_after: str, **options: Any
    ) -> ReceiptBody: ...
    def cancel(
        self, issuer_id: str, option_id: str, *, shares: int, kind: Cancellation, reason: str, **options: Any
    ) -> ReceiptBody: ...

class _Orders:
    def place(self, *, startup_id: str, terms: OrderTerms, **options: Any) -> ReceiptBody: ...
    def amend(self, order_id: str, *, terms: OrderTerms, **options: Any) -> ReceiptBody: ...
    def cancel(self, order_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, order_id: str, *, expand: Sequence[str] = ()) -> OrderView: ...
    def list(
        self,
        *,
        startup_id: str | None = None,
        status: Statuses = None,
        auction_id: str | None = None,
        expand: Sequence[str] = (),
        **listed: Unpack[Listed],
    ) -> Iterator[OrderView]: ...
    def list_decisions(self, order_id: str) -> Iterator[DecisionView]: ...
    def list_book(self, *, at: Point | None = None) -> Iterator[BookOrderView]: ...

class _Parties:
    def get_portfolio(
        self, party_id: str, *, at: datetime | str | None = None, retail: str | None = None, own_cost: str | None = None
    ) -> Portfolio: ...
    def estimate_recovery(
        self,
        party_id: str,
        *,
        success_part: Decimal,
        multiple: Decimal,
        cost_per_granted_usd: Decimal,
        grants: int,
        trials: int = 1000,
        seed: int = 1,
        multiples: tuple[Decimal, ...] = ...,
        costs_per_granted_usd: tuple[Decimal, ...] = ...,
        **options: Any,
    ) -> Recovery: ...
    def register(
        self, *, name: str, roles: tuple[Role, ...], jurisdiction: str, sector: str | None = None, **options: Any
    ) -> ReceiptBody: ...
    def clear(self, party_id: str, *, checks: tuple[str, ...], **options: Any) -> ReceiptBody: ...
    def suspend(self, party_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def add_role(self, party_id: str, *, role: Role, reason: str, **options: Any) -> ReceiptBody: ...
    def refuse_role(self, party_id: str, *, role: Role, reason: str, **options: Any) -> ReceiptBody: ...
    def record_stage(self, party_id: str, *, stage: Stage, **options: Any) -> ReceiptBody: ...
    def declare_relation(
        self,
        party_id: str,
        *,
        kind: RelationKind,
        related_id: str | None = None,
        owner: str | None = None,
        since: datetime | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody: ...
    def end_relation(self, party_id: str, relation_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def list_relations(self, party_id: str) -> Iterator[RelationView]: ...
    def get(self, party_id: str) -> PartyView: ...
    def list_names(self, *, party_id: Sequence[str] | None = None) -> Iterator[PartyName]: ...
    def list(
        self, *, role: Role | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[PartyView]: ...

class _Pools:
    def open(
        self,
        *,
        site_id: str,
        gpu_class: str,
        interconnect: Interconnect,
        gpus_per_node: int,
        nodes: int,
        power_per_node_kw: int,
        service: ServiceTerms | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def fail_nodes(
        self, pool_id: str, *, incident_id: str, nodes: int, at: datetime, until: datetime | None = None, **options: Any
    ) -> ReceiptBody: ...
    def restore_nodes(self, pool_id: str, *, incident_id: str, at: datetime, **options: Any) -> ReceiptBody: ...
    def list_incidents(
        self, *, open: bool | None = None, created_from: datetime | None = None, created_before: datetime | None = None
    ) -> Iterator[IncidentView]: ...
    def close(self, pool_id: str, *, closes_at: datetime, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, pool_id: str) -> PoolView: ...
    def list(
        self, *, provider_id: str | None = None, gpu_class: str | None = None, region: str | None = None
    ) -> Iterator[PoolView]: ...

class _Proposals:
    def get_rights(self) -> RightsView: ...
    def get(self, proposal_id: str) -> ProposalView: ...
    def get_waterfall(self, proposal_id: str) -> WaterfallView: ...
    def get_changes(self, proposal_id: str) -> ProposedChanges: ...
    def list(
        self, *, issuer_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[ProposalView]: ...
    def agree(self, proposal_id: str, **options: Any) -> ReceiptBody: ...
    def refuse(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def withdraw_consent(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def withdraw(self, proposal_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...

class _Quotes:
    def ask(self, *, startup_id: str, terms: OrderTerms, order_id: str | None = None) -> QuoteAnswer: ...
    def hold(self, *, startup_id: str, terms: OrderTerms, hold_seconds: int = 600, **options: Any) -> ReceiptBody: ...
    def take(self, quote_id: str, **options: Any) -> ReceiptBody: ...
    def release(self, quote_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, quote_id: str) -> QuoteView: ...
    def list(
        self, *, startup_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> Iterator[QuoteView]: ...

class _ServiceLines:
    def propose(
        self, *, grant_id: str, name: str, price_usd_per_hour: Decimal, hours: Decimal, workers: int, **options: Any
    ) -> ReceiptBody: ...
    def approve(self, service_line_id: str, **options: Any) -> ReceiptBody: ...
    def agree(self, service_line_id: str, **options: Any) -> ReceiptBody: ...
    def decline(self, service_line_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def correct_hours(
        self, service_line_id: str, *, source: str, reading: HoursReading, reason: str, **options: Any
    ) -> ReceiptBody: ...
    def void_hours(
        self, service_line_id: str, *, source: str, reading_id: str, reason: str, **options: Any
    ) -> ReceiptBody: ...
    def get(self, service_line_id: str) -> ServiceLineView: ...
    def list(
        self,
        *,
        grant_id: str | None = None,
        party_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> Iterator[ServiceLineView]: ...
    def list_hours(self, service_line_id: str) -> Iterator[HoursReadingView]: ...

class _Sites:
    def register(
        self,
        *,
        provider_id: str,
        name: str,
        region: str,
        jurisdiction: str,
        status: SiteStatus,
        power_contracted_kw: int,
        power_energised_kw: int,
        power_usage_effectiveness: Decimal,
        renewable_share: Decimal,
        **options: Any,
    ) -> ReceiptBody: ...
    def energise(self, site_id: str, *, power_energised_kw: int, at: datetime, **options: Any) -> ReceiptBody: ...
    def derate(
        self, site_id: str, *, power_energised_kw: int, at: datetime, reason: str, **options: Any
    ) -> ReceiptBody: ...
    def schedule_conversion(
        self, site_id: str, *, former_use: str, ready_at: datetime, **options: Any
    ) -> ReceiptBody: ...
    def slip_conversion(self, site_id: str, *, ready_at: datetime, reason: str, **options: Any) -> ReceiptBody: ...
    def get(self, site_id: str) -> SiteView: ...
    def list(self, *, provider_id: str | None = None, status: Statuses = None) -> Iterator[SiteView]: ...

class _Statements:
    def get(self, statement_id: str) -> StatementView: ...
    def list(
        self,
        *,
        party_id: str | None = None,
        grant_id: str | None = None,
        service_line_id: str | None = None,
        status: Statuses = None,
        **listed: Unpack[Listed],
    ) -> Iterator[StatementView]: ...
    def sum_earnings(self, *, start: datetime, end: datetime, party_id: str | None = None) -> EarningsView: ...
    def accept(self, statement_id: str, **options: Any) -> ReceiptBody: ...
    def dispute(
        self,
        statement_id: str,
        *,
        gpu_seconds_counted: int | None = None,
        hours_counted: Decimal | None = None,
        reason: str,
        evidence: tuple[Reference, ...] = (),
        **options: Any,
    ) -> ReceiptBody: ...
    def answer_dispute(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        evidence: tuple[Reference, ...] = (),
        **options: Any,
    ) -> ReceiptBody: ...
    def concede_part(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody: ...
    def refer_dispute(
        self, statement_id: str, *, reason: str, evidence: tuple[Reference, ...] = (), **options: Any
    ) -> ReceiptBody: ...
    def resolve(
        self,
        statement_id: str,
        *,
        gpu_seconds: int | None = None,
        hours: Decimal | None = None,
        reason: str,
        **options: Any,
    ) -> ReceiptBody: ...

class _Stock:
    def issue(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        price_usd_per_share: Decimal,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def offer(
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
    ) -> ReceiptBody: ...
    def list_offers(self, issuer_id: str) -> Iterator[OfferView]: ...
    def waive_first_refusal(
        self, issuer_id: str, offer_id: str, *, approval: Approval | None = None, **options: Any
    ) -> ReceiptBody: ...
    def exercise_first_refusal(
        self,
        issuer_id: str,
        offer_id: str,
        *,
        holder_id: str | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def withdraw_offer(self, issuer_id: str, offer_id: str, *, reason: str, **options: Any) -> ReceiptBody: ...
    def transfer(
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
    ) -> ReceiptBody: ...
    def repurchase(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        price_usd_per_share: Decimal,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def split(
        self,
        issuer_id: str,
        *,
        numerator: int,
        denominator: int,
        fractions: FractionRule | None = None,
        cash_usd_per_share: Decimal | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def convert(
        self, issuer_id: str, *, holder_id: str, class_id: str, shares: int, class_id_after: str, **options: Any
    ) -> ReceiptBody: ...

class _Usage:
    def report(
        self, grant_id: str, *, source: str, readings: tuple[ReadingBody, ...], **options: Any
    ) -> UsageReceipt: ...
    def ingest(self, body: Sequence[Mapping[str, Any]], **options: Any) -> IngestionReceipt: ...
    def keep_evidence(
        self, grant_id: str, *, source: str, samples: tuple[Sample, ...], **options: Any
    ) -> EvidenceReceipt: ...
    def correct(
        self, grant_id: str, *, source: str, reading: ReadingBody, reason: str, **options: Any
    ) -> ReceiptBody: ...
    def void(self, grant_id: str, *, source: str, reading_id: str, reason: str, **options: Any) -> ReceiptBody: ...
    def sum(self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageView: ...
    def sum_days(self, grant_id: str) -> list[UsageDay]: ...
    def list_readings(
        self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[ReadingView]: ...
    def find_contradictions(
        self, grant_id: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[Contradiction]: ...
    def allocate(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        readings: tuple[UseBody, ...],
        provider_id: str | None = None,
        **options: Any,
    ) -> AllocationReceipt: ...
    def correct_allocation(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        reading: UseBody,
        reason: str,
        provider_id: str | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def void_allocation(
        self,
        *,
        startup_id: str,
        gpu_class: str,
        source: str,
        reading_id: str,
        reason: str,
        provider_id: str | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def list_allocations(self) -> Iterator[AllocationView]: ...

class _Warrants:
    def issue(
        self,
        issuer_id: str,
        *,
        holder_id: str,
        class_id: str,
        shares: int,
        exercise_price_usd: Decimal,
        expires_at: datetime,
        settlement: Settlement,
        tranches: tuple[WarrantTranche, ...] = (),
        grant_ids: tuple[str, ...] = (),
        programme_id: str | None = None,
        on_reduction: WarrantReduction | None = None,
        transfer: WarrantTransfer = "none",
        affiliate_ids: tuple[str, ...] = (),
        change_of_control: ChangeOfControl | None = None,
        fair_value: PriceAverage | None = None,
        approval: Approval | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def get(self, issuer_id: str, warrant_id: str) -> WarrantView: ...
    def list(self, issuer_id: str) -> Iterator[WarrantView]: ...
    def exercise(
        self,
        issuer_id: str,
        warrant_id: str,
        *,
        shares: int,
        settlement: Literal["cash", "net"] = "cash",
        tranche: int | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def transfer(
        self, issuer_id: str, warrant_id: str, *, holder_id: str, holder_id_after: str, **options: Any
    ) -> ReceiptBody: ...
    def attest_milestone(
        self, issuer_id: str, warrant_id: str, *, milestone: str, document: str, **options: Any
    ) -> ReceiptBody: ...
    def open_programme(
        self,
        issuer_id: str,
        *,
        name: str,
        customer_ids: tuple[str, ...],
        vendor_ids: tuple[str, ...],
        counts_outside: bool = False,
        **options: Any,
    ) -> ReceiptBody: ...
    def list_programmes(self, issuer_id: str) -> Iterator[ProgrammeView]: ...
    def add_programme_grant(
        self, issuer_id: str, programme_id: str, *, grant_id: str, **options: Any
    ) -> ReceiptBody: ...
    def state_purchases(
        self,
        issuer_id: str,
        programme_id: str,
        *,
        customer_id: str,
        vendor_id: str,
        starts_on: date,
        ends_on: date,
        gpu_seconds: int = 0,
        kilowatts: int = 0,
        purchased_usd: Decimal,
        paid_usd: Decimal,
        document: str,
        excludes_market: bool,
        replaces: str | None = None,
        **options: Any,
    ) -> ReceiptBody: ...
    def name_price_source(
        self, issuer_id: str, *, name: str, recorder_id: str | None = None, **options: Any
    ) -> ReceiptBody: ...
    def list_price_sources(self, issuer_id: str) -> Iterator[PriceSourceView]: ...
    def list_price_observations(self, issuer_id: str, source_id: str) -> Iterator[PriceObservationView]: ...
    def correct_price(
        self,
        issuer_id: str,
        source_id: str,
        *,
        day: date,
        price_usd_per_share: Decimal,
        volume: int,
        reason: str,
        **options: Any,
    ) -> ReceiptBody: ...
    def observe_price(
        self, issuer_id: str, source_id: str, *, day: date, price_usd_per_share: Decimal, volume: int, **options: Any
    ) -> ReceiptBody: ...

class SyncMarketplaceClient:
    last_sequence: int

    def __init__(self, base_url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def close(self) -> None: ...
    accounts: _Accounts
    api_keys: _ApiKeys
    auctions: _Auctions
    bonds: _Bonds
    cap_tables: _CapTables
    clock: _Clock
    events: _Events
    financings: _Financings
    grants: _Grants
    instruments: _Instruments
    issuers: _Issuers
    lots: _Lots
    mandates: _Mandates
    market: _Market
    operation: _Operation
    options: _Options
    orders: _Orders
    parties: _Parties
    pools: _Pools
    proposals: _Proposals
    quotes: _Quotes
    service_lines: _ServiceLines
    sites: _Sites
    statements: _Statements
    stock: _Stock
    usage: _Usage
    warrants: _Warrants

    def command(
        self, path: str, body: Any = None, *, key: str | None = None, if_match: int | None = None, method: str = "POST"
    ) -> ReceiptBody: ...
    def send(
        self,
        path: str,
        answer: type[T],
        body: Any = None,
        *,
        key: str | None = None,
        if_match: int | None = None,
        method: str = "POST",
        fresh: bool = False,
        media_type: str = "application/json",
    ) -> T: ...
    def get(self, path: str, answer: type[T], *, fresh: bool = True, **query: Any) -> T: ...
    def download(self, path: str, **query: Any) -> bytes: ...
    def probe(self, path: str, answer: type[T]) -> T: ...
    def rows(self, path: str, row: type[T], **query: Any) -> Iterator[T]: ...
    def count(self, path: str, **query: Any) -> int | None: ...
    def stream(self, path: str, last_event_id: int, **query: Any) -> Iterator[tuple[int, bytes]]: ...
