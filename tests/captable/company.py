"""A company whose life has every kind of act, decided by the real deciders, as a history."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from events.financing import Approval, Investment, LaterPrincipal, RoundTerms
from events.types import SafeTerms
from marketplace.captable.history import Act, build_history
from marketplace.domain.equity.instrument import commands
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.stock import find_purchase
from marketplace.domain.equity.issuer.commands import (
    AddStakeholder,
    CloseFinancing,
    DeclareLiquidity,
    FormIssuer,
    OpenFinancing,
    PayDistribution,
    PriceFinancing,
    RecordValuation,
    SignInstrument,
)
from marketplace.domain.equity.issuer.financing.financing import list_conversions
from marketplace.domain.equity.issuer.holder_commands import AnswerProRata
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import (
    CancelOption,
    ExerciseOption,
    ExerciseWarrant,
    ExpireWarrant,
    GrantOption,
    IssueWarrant,
    PromiseOption,
    WithdrawPromise,
)
from marketplace.domain.equity.issuer.sale.liquidity import list_repayments
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    ConvertStock,
    CreateStockClass,
    ExerciseFirstRefusal,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
    WaiveFirstRefusal,
)
from tests.domain.build import draw


def make_id(prefix, number):
    return f"{prefix}_{number:026d}"


ISS, FUND, PROVIDER, INVESTOR = make_id("iss", 1), make_id("pty", 8), make_id("pty", 9), make_id("pty", 10)
FOUNDER, COFOUNDER, EMPLOYEE = (make_id("stk", number) for number in range(1, 4))
SAFE, DRAWDOWN, LATER = (make_id("ins", number) for number in range(1, 4))
SERIES_A = make_id("fin", 1)
OPTION, WARRANT = make_id("opt", 1), make_id("wrt", 1)
FORMED_ON = datetime(2024, 1, 2, 9, tzinfo=UTC)
MINUTES = Approval(document="minutes/2024-01-02.pdf", note="board consent")
CAP_20M = SafeTerms(
    conversion_timing="post_money",
    valuation_cap_usd=Decimal(20_000_000),
    discount=Decimal("0.20"),
    service_consequence="credit",
)
CAP_18M = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(18_000_000), service_consequence="credit")
ROUND = RoundTerms(
    class_id="series-a",
    pre_money_usd=Decimal(40_000_000),
    investments=(Investment(holder_id=INVESTOR, amount_usd=Decimal(10_000_000)),),
    pool_post_money=Decimal("0.10"),
    pool_timing="pre_money",
    pricing_convention="percent_ownership",
    capitalization_definition="yc_standard",
    share_rounding="floor",
    price_places=4,
    price_rounding="half_even",
    liquidation_multiple=Decimal(1),
    seniority=1,
    participation="none",
)


class Life:
    """Decides one act after another, a day apart, and remembers them as the log would."""

    def __init__(self, issuer_id=ISS):
        self.issuer_id = issuer_id
        self.acts, self.issuer, self.instruments = [], None, {}
        self.time, self.step = FORMED_ON, timedelta(days=1)

    def act(self, build, **members):
        command = build(issuer_id=self.issuer_id, **members)
        events = ISSUER.decide(command, self.issuer)
        self.issuer = ISSUER.fold(events, self.issuer)
        self._remember(self.issuer_id, events)

    def deed(self, command):
        before = self.instruments.get(command.instrument_id)
        events = INSTRUMENT.decide(command, before)
        self.instruments[command.instrument_id] = INSTRUMENT.fold(events, before)
        self._remember(command.instrument_id, events)

    def _remember(self, aggregate, events):
        self.time += self.step
        for event in events:
            self.acts.append(Act(len(self.acts) + 1, self.time, aggregate, event))

    def sign(self, instrument_id, holder_id, terms, amount_usd, grant_id=None):
        issue = commands.IssueInstrument(
            instrument_id=instrument_id,
            issuer_id=self.issuer_id,
            holder_id=holder_id,
            terms=terms,
            commitment_usd=Decimal(amount_usd),
            funding="paid_at_once" if grant_id is None else "drawdown",
            grant_id=grant_id,
            draw=None if grant_id is None else draw(),
        )
        self.deed(issue)
        signed = {"instrument_id": instrument_id, "holder_id": holder_id, "terms": terms}
        self.act(SignInstrument, **signed, commitment_usd=issue.commitment_usd)

    def buy(self, instrument_id, cause):
        """Let what is outstanding buy at its agreed price, as an issue of shares or rights, and return the purchase."""
        purchase = find_purchase(self.instruments[instrument_id], Fraction(1))
        self.deed(
            commands.ConvertInstrument(
                instrument_id=instrument_id,
                cause=cause,
                principal_usd=purchase.run.principal_usd,
                amount_exact=Fraction(purchase.run.principal_usd),
                branch="agreed_price",
                price=purchase.price_usd,
                class_id=purchase.terms.class_id,
                shares_exact=purchase.shares_exact,
                shares=purchase.shares,
            )
        )
        return purchase

    def accrue(self, instrument_id, number, amount_usd, statement_id=None, part_ids=()):
        self.deed(
            commands.AccruePrincipal(
                instrument_id=instrument_id,
                tranche_id=make_id("trn", number),
                principal_usd=Decimal(amount_usd),
                statement_id=statement_id,
                on_day=self.time.date(),
                part_ids=part_ids,
            )
        )

    def list_converting(self):
        return tuple(each for key in sorted(self.instruments) for each in self.instruments[key].list_converting())

    def sell(self, liquidity_id, proceeds_usd):
        """Declare the sale of the company, and pay it."""
        members = {"liquidity_id": liquidity_id, "at": self.time}
        proceeds = Decimal(proceeds_usd)
        self.act(DeclareLiquidity, **members, proceeds_usd=proceeds, instruments=self.list_converting())
        self.pay_sale(liquidity_id)

    def together(self):
        """Let what follows happen at the instant of what came before, in a life whose time runs by itself."""

    def pay_sale(self, liquidity_id):
        """Pay a declared sale, which ends all instruments."""
        outstanding = tuple(
            LaterPrincipal(instrument_id=key, holder_id=each.holder_id, amount_usd=each.outstanding_usd)
            for key, each in sorted(self.instruments.items())
            if each.outstanding_usd
        )
        self.act(PayDistribution, liquidity_id=liquidity_id, outstanding=outstanding, at=self.time)
        self.together()
        for repayment in list_repayments(self.issuer, liquidity_id, outstanding):
            self.deed(repayment)

    @property
    def history(self):
        return build_history(self.issuer_id, self.acts)


def found(life):
    """Form it, with two founders, a pool, a split, a transfer, a repurchase, an option and a warrant."""
    life.act(
        FormIssuer,
        party_id=make_id("pty", 1),
        legal_name="Lattice Bio, Inc.",
        jurisdiction="US",
        formed_on=FORMED_ON.date(),
    )
    for holder_id, name, kind in (
        (FOUNDER, "Ada Founder", "founder"),
        (COFOUNDER, "Bo Founder", "founder"),
        (EMPLOYEE, 'Cy "Quote" Employee', "employee"),
        (FUND, "Tidewater Ventures LP", "investor"),
    ):
        life.act(AddStakeholder, holder_id=holder_id, name=name, kind=kind)
    life.act(CreateStockClass, class_id="common", kind="common", shares_authorised=10_000_000)
    price = Decimal("0.0001")
    for number, holder_id, shares in ((1, FOUNDER, 2_000_000), (2, FOUNDER, 500_000), (3, COFOUNDER, 1_500_000)):
        issued = {"security_id": make_id("sec", number), "holder_id": holder_id, "class_id": "common"}
        life.act(IssueStock, **issued, shares=shares, price_usd_per_share=price, approval=MINUTES)
    moved = {"holder_id": FOUNDER, "holder_id_after": COFOUNDER, "class_id": "common", "shares": 2_100_000}
    life.act(TransferStock, transfer_id=make_id("trf", 1), **moved, at=life.time)
    bought = {"holder_id": COFOUNDER, "class_id": "common", "shares": 100_000, "price_usd_per_share": price}
    life.act(RepurchaseStock, repurchase_id=make_id("rep", 1), **bought)
    life.act(AdjustStockPlan, shares_reserved=500_000, approval=MINUTES)
    life.act(SplitStock, split_id=make_id("spl", 1), numerator=2, denominator=1)
    life.act(GrantOption, option_id=OPTION, holder_id=EMPLOYEE, shares=100_000, exercise_price_usd=Decimal("0.25"))
    exercised = {"option_id": OPTION, "class_id": "common", "shares": 40_000}
    life.act(ExerciseOption, exercise_id=make_id("exr", 1), **exercised, at=life.time)
    life.act(RecordValuation, price_usd_per_share=Decimal("0.25"), method="409A", effective_on=date(2024, 1, 15))
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    warrant = {"warrant_id": WARRANT, "holder_id": FUND, "class_id": "common", "shares": 50_000}
    terms = {"exercise_price_usd": Decimal("0.50"), "expires_at": expires_at, "settlement": "either"}
    life.act(IssueWarrant, **warrant, **terms)
    used = {"warrant_id": WARRANT, "shares": 15_000, "fair_value_usd": Decimal("1.50")}
    life.act(ExerciseWarrant, exercise_id=make_id("exr", 2), **used, at=life.time)


def change_rights(life):
    """Promise, cancel, convert, refuse and let expire: acts that only the sidecar tells in full."""
    life.act(PromiseOption, promise_id=make_id("prm", 1), holder_id=EMPLOYEE, shares=7_000)
    life.act(PromiseOption, promise_id=make_id("prm", 2), holder_id=EMPLOYEE, shares=3_000)
    life.act(WithdrawPromise, promise_id=make_id("prm", 2), reason="left before it was granted")
    cancelled = {"option_id": OPTION, "shares": 25_000, "kind": "cancelled", "reason": "left"}
    life.act(CancelOption, cancellation_id=make_id("can", 1), **cancelled, at=life.time)
    exercised = {"option_id": OPTION, "class_id": "common", "shares": 5_000}
    life.act(ExerciseOption, exercise_id=make_id("exr", 3), **exercised, at=life.time)
    life.act(AdjustAuthorisedShares, class_id="common", shares_authorised=30_000_000, approval=MINUTES)
    preferred = {"class_id": "seed", "kind": "preferred", "shares_authorised": 1_000_000, "first_refusal": True}
    price = {"price_per_share_usd": Decimal("0.50"), "liquidation_multiple": Decimal(1)}
    life.act(CreateStockClass, **preferred, **price, participation="capped", participation_cap_multiple=Decimal(3))
    for number, shares in ((11, 60_000), (12, 40_000)):
        issued = {"security_id": make_id("sec", number), "holder_id": FUND, "class_id": "seed", "shares": shares}
        life.act(IssueStock, **issued, price_usd_per_share=Decimal("0.50"))
    converted = {"holder_id": FUND, "class_id": "seed", "shares": 70_000, "class_id_after": "common"}
    life.act(ConvertStock, conversion_id=make_id("cnv", 1), **converted)
    offer = {"holder_id": FUND, "holder_id_after": EMPLOYEE, "class_id": "seed", "shares": 10_000}
    terms = {"price_usd_per_share": Decimal("0.75"), "decide_until": life.time + timedelta(days=90)}
    for number in (2, 3):
        life.act(OfferStock, transfer_id=make_id("trf", number), **offer, **terms, at=life.time)
    life.act(WaiveFirstRefusal, transfer_id=make_id("trf", 2), approval=MINUTES)
    life.act(TransferStock, transfer_id=make_id("trf", 2), **offer, at=life.time)
    life.act(ExerciseFirstRefusal, transfer_id=make_id("trf", 3), holder_id=FOUNDER, at=life.time)
    life.act(ExpireWarrant, warrant_id=WARRANT, at=datetime(2031, 1, 1, tzinfo=UTC))


def borrow(life):
    """Sign a SAFE paid in cash, and a drawdown whose tranches accrue, reverse and change terms."""
    life.sign(SAFE, FUND, CAP_20M, 250_000)
    life.accrue(SAFE, 1, 250_000)
    life.sign(DRAWDOWN, PROVIDER, CAP_20M, 620_000, grant_id=make_id("grt", 1))
    for number, amount in ((2, 160_000), (3, 140_000)):
        life.accrue(DRAWDOWN, number, amount, make_id("stm", number))
    life.deed(
        commands.ReversePrincipal(
            instrument_id=DRAWDOWN, tranche_id=make_id("trn", 3), principal_usd=Decimal(40_000), reason="clawback"
        )
    )
    life.deed(commands.AmendInstrument(instrument_id=DRAWDOWN, terms=CAP_18M, applies_to_earlier=True))


def decline(life, financing_id):
    """Let every holder decline its part of a round, at once."""
    step, life.step = life.step, timedelta(0)
    for offer in life.issuer.financings[financing_id].opened.pro_rata:
        declined = {"holder_id": offer.holder_id, "amount_usd": Decimal(0)}
        life.act(AnswerProRata, financing_id=financing_id, **declined, at=life.time)
    life.step = step


def finance(life):
    """Price and close Series A, in which everything outstanding converts."""
    life.act(OpenFinancing, financing_id=SERIES_A, name="Series A", terms=ROUND, at=life.time)
    decline(life, SERIES_A)
    instruments = life.list_converting()
    life.act(PriceFinancing, financing_id=SERIES_A, instruments=instruments, at=life.time)
    before = life.issuer
    life.act(CloseFinancing, financing_id=SERIES_A, instruments=instruments, approval=MINUTES, at=life.time)
    life.step = timedelta(0)
    for conversion in list_conversions(before, SERIES_A):
        life.deed(conversion)
    life.step = timedelta(days=1)


def claw_back(life):
    """Take half of the first tranche back after its conversion, and 1,000 dollars of the second as a debt; pay it."""
    held = life.issuer.holdings.get((PROVIDER, life.instruments[DRAWDOWN].conversions[0].class_id), 0)
    audit = {"instrument_id": DRAWDOWN, "reason": "audit", "shares_held": held}
    half = {"tranche_id": make_id("trn", 2), "principal_usd": Decimal(80_000), "reduction": "cancel_shares"}
    life.deed(commands.ReversePrincipal(**audit, **half))
    taken = life.instruments[DRAWDOWN].find_tranche(make_id("trn", 2)).reversals["audit"].taken
    cancelled = {"holder_id": PROVIDER, "class_id": taken.class_id, "shares": taken.shares, "cause": DRAWDOWN}
    life.act(RepurchaseStock, repurchase_id=make_id("rep", 2), **cancelled, price_usd_per_share=Decimal(0))
    owed = {"tranche_id": make_id("trn", 3), "principal_usd": Decimal(1_000), "reduction": "debt"}
    life.deed(commands.ReversePrincipal(**audit, **owed))
    life.deed(commands.PayDebt(instrument_id=DRAWDOWN, cause=make_id("pay", 1), amount_usd=Decimal(400)))


def go_on(life):
    """Accrue again, sign another SAFE, lapse the rest of the drawdown."""
    life.accrue(DRAWDOWN, 4, 50_000, make_id("stm", 4))
    life.sign(LATER, FUND, CAP_20M, 100_000)
    life.accrue(LATER, 5, 100_000)
    life.deed(commands.LapseInstrument(instrument_id=DRAWDOWN, reason="grant completed"))


def live():
    life = Life()
    for chapter in (found, borrow, finance, go_on):
        chapter(life)
    return life
