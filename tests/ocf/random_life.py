"""A company's life at random, decided by the real deciders: every act that a history can hold, in any order."""

from datetime import date, timedelta
from decimal import Decimal

from events.financing import Approval
from events.vesting import DateMilestone, DeliveryMilestone, PriceMilestone, VestingSchedule, WarrantTranche
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer import commands, rights_commands, stock_commands
from tests.captable.company import FORMED_ON, FUND, PROVIDER, Life, make_id

HOLDERS = [make_id("stk", number) for number in range(1, 5)] + [FUND, PROVIDER]
NAMES = ["Ada Çelik", 'Bo "Q" O\'Neill', "株式会社 計算", "👩 Γαλήνη", "क्‍ष \\u0000", "x" * 200]
KINDS = ["founder", "employee", "investor", "provider", "other"]
SHARES = [1, 2, 3, 7, 999, 10_000, 250_000, 1_000_003]
PRICES = ["0.000001", "0.0001", "0.333333", "1", "12.5", "999999"]
STEPS = [0, 0, 1, 3600, 86_400, 86_400, 2_592_000, 31_536_000]
PAPERS = [None, Approval(document="minutes/1.pdf"), Approval(document="Beschluß №7", note="überall")]


class RandomLife(Life):
    """A life whose acts choose from what is there, and after which nothing has changed where one is refused."""

    def __init__(self, random):
        super().__init__()
        self.random, self.count = random, 0
        self.done = set()

    def number(self, prefix):
        self.count += 1
        return make_id(prefix, self.count)

    def pick(self, choices):
        choices = choices if isinstance(choices, list | tuple) else sorted(choices)
        if not choices:
            raise Refusal("nothing", "there is nothing to choose from")
        return self.random.choice(choices)

    def price(self):
        return Decimal(self.pick(PRICES))

    def shares(self, most=10**9):
        return min(self.pick(SHARES), most)

    def paper(self):
        return self.pick(PAPERS)

    def attempt(self, act):
        """Do one act, or nothing of it."""
        before = (list(self.acts), self.issuer, dict(self.instruments), self.time)
        self.step = timedelta(seconds=self.pick(STEPS))
        try:
            act(self)
        except Refusal:
            self.acts, self.issuer, self.instruments, self.time = before
        else:
            self.done.add(act.__name__)

    def together(self):
        """Let everything that follows in this act happen at the instant of what came before."""
        self.step = timedelta(0)

    def find_holding(self):
        return self.pick(self.issuer.holdings.items())

    def find_class(self, kind):
        return self.pick({name for name, each in self.issuer.classes.items() if each.created.kind == kind})


def form(life):
    formed = {"party_id": make_id("pty", 1), "legal_name": life.pick(NAMES), "jurisdiction": life.pick(["US", "DE"])}
    life.act(commands.FormIssuer, **formed, formed_on=FORMED_ON.date())


def add_stakeholder(life):
    life.act(commands.AddStakeholder, holder_id=life.pick(HOLDERS), name=life.pick(NAMES), kind=life.pick(KINDS))


def create_common(life):
    name = life.pick(["common", "common-b", "1st_class"])
    life.act(
        stock_commands.CreateStockClass,
        class_id=name,
        kind="common",
        shares_authorised=life.pick([10**7, 10**12, 10**12]),
    )


def create_preferred(life):
    participation = life.pick(["none", "full", "capped"])
    protection = life.pick([None, "weighted_average", "full_ratchet"])
    life.act(
        stock_commands.CreateStockClass,
        class_id=life.pick(["seed", "seed-2", "seed_2"]),
        kind="preferred",
        shares_authorised=life.pick([10**6, 10**9]),
        price_per_share_usd=life.price(),
        liquidation_multiple=Decimal(life.pick(["1", "1.5", "0.333333"])),
        seniority=life.pick([0, 1, 9]),
        participation=participation,
        participation_cap_multiple=Decimal(3) if participation == "capped" else None,
        price_protection=protection,
        protection_basis="fully_diluted" if protection == "weighted_average" else None,
        first_refusal=life.pick([False, True]),
    )


def issue_stock(life):
    life.act(
        stock_commands.IssueStock,
        security_id=life.number("sec"),
        holder_id=life.pick(HOLDERS),
        class_id=life.pick(set(life.issuer.classes)),
        shares=life.shares(),
        price_usd_per_share=life.pick([Decimal(0), life.price()]),
        approval=life.paper(),
    )


def transfer(life):
    (holder_id, class_id), held = life.find_holding()
    moved = {"holder_id": holder_id, "holder_id_after": life.pick(HOLDERS), "class_id": class_id}
    life.act(
        stock_commands.TransferStock,
        transfer_id=life.number("trf"),
        **moved,
        shares=life.pick([held, life.shares(held)]),
        at=life.time,
        approval=life.paper(),
    )


def offer(life):
    (holder_id, class_id), held = life.find_holding()
    transfer_id = life.number("trf")
    terms = {"holder_id": holder_id, "holder_id_after": life.pick(HOLDERS), "class_id": class_id}
    terms["shares"] = life.shares(held)
    until = life.time + timedelta(days=30)
    price = life.price()
    life.act(
        stock_commands.OfferStock,
        transfer_id=transfer_id,
        **terms,
        price_usd_per_share=price,
        decide_until=until,
        at=life.time,
    )
    after = life.pick(["waive", "exercise", "company", "withdraw", "wait"])
    if after == "waive":
        life.act(stock_commands.WaiveFirstRefusal, transfer_id=transfer_id, approval=life.paper())
        life.act(stock_commands.TransferStock, transfer_id=transfer_id, **terms, at=life.time)
    elif after == "withdraw":
        life.act(stock_commands.WithdrawOffer, transfer_id=transfer_id, reason="no")
    elif after != "wait":
        taker = life.pick(HOLDERS) if after == "exercise" else None
        life.act(stock_commands.ExerciseFirstRefusal, transfer_id=transfer_id, holder_id=taker, at=life.time)


def repurchase(life):
    (holder_id, class_id), held = life.find_holding()
    life.act(
        stock_commands.RepurchaseStock,
        repurchase_id=life.number("rep"),
        holder_id=holder_id,
        class_id=class_id,
        shares=life.pick([held, life.shares(held)]),
        price_usd_per_share=life.pick([Decimal(0), life.price()]),
        approval=life.paper(),
    )


def split(life):
    numerator, denominator = life.pick([(2, 1), (3, 2), (1, 2), (1, 3), (1, 10), (10, 1), (7, 1), (6, 4)])
    fractions = life.pick([None, "cash_in_lieu", "give_up", "round_up"])
    life.act(
        stock_commands.SplitStock,
        split_id=life.number("spl"),
        numerator=numerator,
        denominator=denominator,
        fractions=fractions,
        cash_usd_per_share=life.price() if fractions == "cash_in_lieu" else None,
    )


def convert_stock(life):
    (holder_id, class_id), held = life.find_holding()
    life.act(
        stock_commands.ConvertStock,
        conversion_id=life.number("cnv"),
        holder_id=holder_id,
        class_id=class_id,
        shares=life.pick([held, life.shares(held)]),
        class_id_after=life.find_class("common"),
    )


def adjust_authorised(life):
    most = life.pick([10**6, 10**9, 10**14])
    class_id = life.pick(set(life.issuer.classes))
    life.act(stock_commands.AdjustAuthorisedShares, class_id=class_id, shares_authorised=most, approval=life.paper())


def adjust_plan(life):
    life.act(stock_commands.AdjustStockPlan, shares_reserved=life.pick([0, 999, 10**6, 10**7]), approval=life.paper())


def promise(life):
    life.act(
        rights_commands.PromiseOption, promise_id=life.number("prm"), holder_id=life.pick(HOLDERS), shares=life.shares()
    )


def withdraw_promise(life):
    life.act(rights_commands.WithdrawPromise, promise_id=life.pick(life.issuer.promises), reason="left")


def grant(life):
    schedule = VestingSchedule(
        starts_on=life.time.date(),
        tranches=48,
        months_between=1,
        cliff_tranches=12,
        allocation=life.pick(["CUMULATIVE_ROUNDING", "BACK_LOADED"]),
    )
    promised = life.pick([None, *sorted(life.issuer.promises)])
    life.act(
        rights_commands.GrantOption,
        option_id=life.number("opt"),
        holder_id=life.pick(HOLDERS),
        shares=life.shares() if promised is None else life.issuer.promises[promised],
        exercise_price_usd=life.price(),
        vesting=life.pick([None, None, schedule]),
        promise_id=promised,
        approval=life.paper(),
    )


def exercise_option(life):
    option_id = life.pick({key for key, each in life.issuer.options.items() if each.shares_outstanding})
    left = life.issuer.options[option_id].shares_outstanding
    life.act(
        rights_commands.ExerciseOption,
        exercise_id=life.number("exr"),
        option_id=option_id,
        class_id=life.find_class("common"),
        shares=life.pick([left, life.shares(left)]),
        at=life.time,
    )


def transfer_option(life):
    option_id = life.pick({key for key, each in life.issuer.options.items() if each.shares_outstanding})
    holder_id = life.issuer.options[option_id].holder_id
    sides = {"holder_id": holder_id, "holder_id_after": life.pick([FUND, PROVIDER])}
    life.act(rights_commands.TransferOption, transfer_id=life.number("trf"), option_id=option_id, **sides)


def cancel_option(life):
    option_id = life.pick({key for key, each in life.issuer.options.items() if each.shares_outstanding})
    left = life.issuer.options[option_id].shares_outstanding
    life.act(
        rights_commands.CancelOption,
        cancellation_id=life.number("can"),
        option_id=option_id,
        shares=life.pick([left, life.shares(left)]),
        kind=life.pick(["forfeited", "cancelled", "expired"]),
        reason="ausgeschieden, für immer",
        at=life.time + timedelta(days=life.pick([0, 4_000])),
    )


def issue_warrant(life):
    shares = life.shares()
    milestones = (DeliveryMilestone(gpu_seconds=3_600), PriceMilestone(price_usd_per_share=Decimal(2)))
    some = WarrantTranche(shares=shares // 2, conditions=(milestones, (DateMilestone(day=date(2025, 1, 1)),)))
    parts = (some, WarrantTranche(shares=shares - shares // 2))
    life.act(
        rights_commands.IssueWarrant,
        warrant_id=life.number("wrt"),
        holder_id=life.pick(HOLDERS),
        class_id=life.pick(set(life.issuer.classes)),
        shares=shares,
        exercise_price_usd=life.price(),
        expires_at=life.time + timedelta(days=life.pick([1, 400, 4_000])),
        settlement=life.pick(["cash", "net", "either"]),
        tranches=parts if life.pick([False, shares > 1]) else (),
        grant_ids=(make_id("grt", 9),) if life.pick([False, True]) else (),
        approval=life.paper(),
    )


def vest_warrants(life):
    delivered = {make_id("grt", 9): rights_commands.Delivery(gpu_seconds=life.pick([0, 7_200]))}
    life.act(rights_commands.VestWarrants, delivered=delivered, at=life.time)


def exercise_warrant(life):
    warrant_id = life.pick({key for key, each in life.issuer.warrants.items() if each.shares_outstanding})
    left = life.issuer.warrants[warrant_id].shares_outstanding
    life.act(
        rights_commands.ExerciseWarrant,
        exercise_id=life.number("exr"),
        warrant_id=warrant_id,
        shares=life.pick([left, life.shares(left)]),
        at=life.time,
        fair_value_usd=life.pick([None, life.price()]),
        delivered={make_id("grt", 9): rights_commands.Delivery(gpu_seconds=7_200)},
    )


def expire_warrant(life):
    warrant_id = life.pick(set(life.issuer.warrants))
    life.act(rights_commands.ExpireWarrant, warrant_id=warrant_id, at=life.time)


def value(life):
    method = life.pick(["409A", "409A", "sale", "Gutachten"])
    effective = life.time.date() - timedelta(days=life.pick([0, 30, 4_000]))
    life.act(commands.RecordValuation, price_usd_per_share=life.price(), method=method, effective_on=effective)
