"""Warrants of public filings, from grant to exercise, with every number that the filings state.

What a filing leaves open is chosen here, and the test says so.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from events.order import ClassOffer
from events.vesting import (
    AmountMilestone,
    AttestedMilestone,
    DateMilestone,
    LaterPrice,
    PowerMilestone,
    PriceAverage,
    PriceMilestone,
    Proportion,
    WarrantTranche,
)
from marketplace.application.billing import accounts
from marketplace.application.equity import consents, issuers, warrants
from marketplace.application.supply import inventory, sites
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer import commands
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.programme_commands import (
    CorrectPrice,
    NamePriceSource,
    OpenProgramme,
    StatePurchases,
)
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock, SplitStock
from tests.application.equity.test_consents import propose, vote
from tests.application.equity.test_equity import act
from tests.application.equity.test_holder_terms import PAPER
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import CountedVotes, OfferedParts, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

BILLION = 1_000_000_000


@dataclass
class Deal:
    """A vendor that issues, a customer with an affiliate, an exchange that records prices, an engineer that attests."""

    market: Market
    vendor: str
    customer: str
    affiliate: str
    exchange: str
    engineer: str
    programme: str = ""
    source: str = ""
    warrant: str = ""
    statements: int = 0

    @property
    def issuer(self):
        return rename_id("iss", self.vendor)

    async def issue(self, shares, price, *tranches, years=10, **terms):
        context = self.market.context(self.vendor)
        self.warrant = derive_id("wrt", context.command_id)
        command = IssueWarrant(
            issuer_id=self.issuer,
            warrant_id=self.warrant,
            holder_id=self.customer,
            shares=shares,
            exercise_price_usd=Decimal(price),
            expires_at=self.market.clock.now() + timedelta(days=365 * years),
            tranches=tranches,
            programme_id=self.programme,
            **{"class_id": "common", "settlement": "cash", **terms},
        )
        await warrants.issue_warrant(self.market.handler, context, command)
        await agree_all(self.market, context)

    async def pay(self, usd, kilowatts=0, *, excludes_market=True):
        """State payments outside this market: the vendor proposes, the customer agrees."""
        await agree_all(self.market, await self.state(usd, kilowatts, excludes_market=excludes_market))

    async def state(self, usd, kilowatts=0, *, excludes_market=True):
        """Propose a statement of payments outside this market, and return its context."""
        self.statements += 1
        day = date(2026, 1, 1) - timedelta(days=self.statements)
        context = self.market.context(self.vendor)
        command = StatePurchases(
            issuer_id=self.issuer,
            purchases_id=derive_id("pur", context.command_id),
            programme_id=self.programme,
            customer_id=self.customer,
            vendor_id=self.vendor,
            starts_on=day,
            ends_on=day,
            gpu_seconds=0,
            kilowatts=kilowatts,
            purchased_usd=Decimal(usd),
            paid_usd=Decimal(usd),
            document="statement signed by both",
            excludes_market=excludes_market,
            at=context.at,
        )
        await warrants.state_purchases(self.market.handler, context, command)
        return context

    async def observe(self, price, volume=1_000, sender=None):
        await warrants.observe_price(
            self.market.handler,
            self.market.context(sender or self.exchange),
            self.issuer,
            self.source,
            day=self.market.clock.now().date(),
            price_usd_per_share=Decimal(price),
            volume=volume,
        )

    async def attest(self, milestone, sender):
        await warrants.attest_milestone(
            self.market.handler,
            self.market.context(sender),
            self.issuer,
            self.warrant,
            milestone=milestone,
            document="report",
        )

    async def exercise(self, shares, *, tranche=None, net=False, sender=None):
        context = self.market.context(sender or self.customer)
        await warrants.exercise_warrant(
            self.market.handler,
            context,
            self.issuer,
            exercise_id=derive_id("exr", context.command_id),
            warrant_id=self.warrant,
            shares=shares,
            net=net,
            tranche=tranche,
        )
        assert await consents.find_proposal(self.market.handler, context) is None

    async def refuse(self, code, *arguments, **named):
        with pytest.raises(Refusal) as caught:
            await self.exercise(*arguments, **named)
        assert caught.value.code == code

    async def read(self):
        """Return vested and unused, and exercisable shares of each tranche."""
        held = (await self.market.state("issuer", self.issuer)).warrants[self.warrant]
        return [(each.outstanding - each.unvested, each.exercisable) for each in held.tranches]

    async def count_vested(self):
        return sum(vested for vested, _ in await self.read())

    async def deposit(self, usd, party=None):
        account = rename_id("acc", party or self.customer)
        reference = f"wire-{account}-{usd}"
        await accounts.deposit(
            self.market.handler, self.market.context(), account, amount_usd=Decimal(usd), reference=reference
        )

    async def read_money(self, party):
        return (await self.market.account(party)).available_usd

    async def count_shares(self, party=None):
        issuer = await self.market.state("issuer", self.issuer)
        return issuer.holdings.get((party or self.customer, "common"), 0)


@pytest.fixture
async def deal(memory_log):
    market = Market(memory_log)
    vendor = await market.party("Vendor", "startup", "provider", usd=10_000)
    customer = await market.party("Customer", "startup", usd=10_000_000)
    affiliate = await market.party("Affiliate", "startup", usd=1)
    exchange, engineer = await market.party("Exchange", "fund"), await market.party("Engineer", "fund")
    made = Deal(market, vendor, customer, affiliate, exchange, engineer)
    await market.issuer(vendor)
    await act(market, vendor, CreateStockClass, class_id="common", kind="common", shares_authorised=2 * BILLION)
    for party, name in ((vendor, "Founders"), (customer, "Customer"), (affiliate, "Affiliate")):
        await act(market, vendor, AddStakeholder, holder_id=party, name=name, kind="other")
    stock = {"security_id": derive_id("sec", vendor), "holder_id": vendor, "class_id": "common", "shares": BILLION}
    await act(market, vendor, IssueStock, **stock, price_usd_per_share=Decimal("0.0001"))
    made.programme, made.source = derive_id("prg", vendor), derive_id("src", vendor)
    sides = {"customer_ids": (customer, affiliate), "vendor_ids": (vendor,)}
    programme = {"programme_id": made.programme, "name": "Purchases", "counts_outside": True, **sides}
    await act(market, vendor, OpenProgramme, **programme)
    await act_agreed(market, vendor, NamePriceSource, source_id=made.source, name="Exchange", recorder_id=exchange)
    return made


def ratable(shares, start, end, **terms):
    proportion = Proportion(basis="paid", from_usd=Decimal(start), to_usd=Decimal(end))
    return WarrantTranche(shares=shares, proportion=proportion, **terms)


def by_payment(shares, usd, **terms):
    milestone = AmountMilestone(basis="paid", amount_usd=Decimal(usd))
    return WarrantTranche(shares=shares, conditions=((milestone,),), **terms)


async def deliver_gigawatt(deal):
    """Let the customer buy and use 1,000 racks of a megawatt each for two days, by an auction of this market."""
    market = deal.market
    site = await sites.register_site(
        market.handler,
        market.context(deal.vendor),
        provider_id=deal.vendor,
        name="Gigawatt",
        region="us-east",
        jurisdiction="US",
        status="operating",
        power_contracted_kw=2_000_000,
        power_energised_kw=2_000_000,
        power_usage_effectiveness=Decimal("1.2"),
        renewable_share=Decimal("0.5"),
    )
    pool = await inventory.open_pool(
        market.handler,
        market.context(deal.vendor),
        site_id=site.id,
        gpu_class="MI450",
        interconnect="infiniband",
        gpus_per_node=200,
        nodes=1_000,
        power_per_node_kw=1_000,
    )
    await market.lot(deal.vendor, pool.id, nodes=1_000)
    offers = (ClassOffer(gpu_class="MI450", cash_usd_per_gpu_hour=Decimal(3), equity_usd_per_gpu_hour=Decimal(0)),)
    await deal.deposit("40000000.00", deal.customer)
    racks = {"nodes": 1_000, "gpus_per_node": 200}
    order = await market.order(deal.customer, equity="0", days=2, latest=1, offers=offers, **racks)
    auction = await market.auction()
    market.clock.at = market.day(0.5)
    await market.until_carried_out(auction)
    grant = await market.state("grant", (await market.state("order", order)).grant_id)
    context = market.context(deal.customer)
    await warrants.add_programme_grant(market.handler, context, deal.issuer, deal.programme, grant.issued.grant_id)
    await market.deliver(grant, 2)
    market.clock.at = grant.end + timedelta(days=2)
    await market.until("statement", list_periods(grant)[0].statement_id, "issued")
    market.clock.at = grant.end + timedelta(days=20)
    await market.until("grant", grant.issued.grant_id, "completed")


async def test_160_000_000_shares_at_a_cent_for_6_gigawatts_with_price_targets_up_to_600(deal):
    """The filing states the first and the last gigawatt and the highest target; six equal steps are chosen here."""
    market = deal.market
    average = PriceAverage(source_id=deal.source, days=30)
    works = AttestedMilestone(name="technical", description="the cluster trains", attester_id=deal.engineer)
    sells = AttestedMilestone(name="commercial", description="revenue from it")
    shares = (26_666_666, 26_666_666, *(26_666_667,) * 4)
    tranches = tuple(
        WarrantTranche(
            shares=count,
            conditions=(
                (PowerMilestone(kilowatts=1_000_000 * (index + 1), hours=48),),
                (PriceMilestone(price_usd_per_share=Decimal(100 * (index + 1)), average=average),),
            ),
            exercise_conditions=((works,), (sells,)),
        )
        for index, count in enumerate(shares)
    )
    assert sum(shares) == 160_000_000
    terms = {"transfer": "affiliates", "affiliate_ids": (deal.affiliate,)}
    await deal.issue(160_000_000, "0.01", *tranches, years=5, **terms)
    async with market.worker():
        await deliver_gigawatt(deal)
    deal.market = market = market.process("after the delivery")
    assert await deal.count_vested() == 0, "a gigawatt is delivered, but no price is recorded"
    await deal.observe(99)
    assert await deal.count_vested() == 0
    market.clock.at += timedelta(days=1)
    await deal.observe(101)
    assert await deal.read() == [(26_666_666, 0), *[(0, 0)] * 5]
    await deal.refuse("warrant_not_exercisable", 1)
    await deal.pay(0, kilowatts=5_000_000)
    assert await deal.count_vested() == 26_666_666
    for price in (300, 600):
        market.clock.at += timedelta(days=31)
        await deal.observe(price)
    assert await deal.read() == [(count, 0) for count in shares]
    for sender, code in ((deal.customer, "attested_by_beneficiary"), (deal.vendor, "attested_by_issuer")):
        with pytest.raises(Refusal) as caught:
            await deal.attest("technical", sender)
        assert caught.value.code == code
    await deal.attest("technical", deal.engineer)
    await deal.refuse("warrant_not_exercisable", 1)
    await deal.attest("commercial", None)
    assert await deal.read() == [(count, count) for count in shares]
    await transfer(deal, deal.affiliate)
    await deal.refuse("issuer_unknown", 1)
    await deal.refuse("funds_insufficient", 160_000_000, sender=deal.affiliate)
    await deal.deposit("1599999.00", deal.affiliate)
    before = await deal.read_money(deal.vendor)
    await deal.exercise(160_000_000, sender=deal.affiliate)
    assert await deal.count_shares(deal.affiliate) == 160_000_000
    assert await deal.read_money(deal.affiliate) == 0
    assert await deal.read_money(deal.vendor) == before + 1_600_000
    await check_log(market.log)


async def transfer(deal, party):
    context = deal.market.context(deal.customer)
    await warrants.transfer_warrant(
        deal.market.handler,
        context,
        deal.issuer,
        deal.warrant,
        holder_id=deal.customer,
        holder_id_after=party,
    )
    await agree_all(deal.market, context)


async def test_16_000_000_shares_over_2_100_000_000_dollars_the_last_7_000_000_at_a_later_price(deal):
    """15,000,000 shares over 2.1 bn are 140 dollars a share, so the first 9,000,000 are vested at 1.12 bn."""
    market = deal.market
    later = LaterPrice(tranche=1, multiple=Decimal("0.9"), average=PriceAverage(source_id=deal.source, days=30))
    await deal.issue(
        16_000_000,
        "22.9841",
        WarrantTranche(shares=1_000_000),
        ratable(8_000_000, 0, 1_120_000_000),
        ratable(7_000_000, 1_120_000_000, 2_100_000_000, later_price=later),
    )
    assert await deal.read() == [(1_000_000, 1_000_000), (0, 0), (0, 0)]
    await deal.pay(139)
    assert await deal.count_vested() == 1_000_000
    await deal.pay(1)
    assert await deal.count_vested() == 1_000_001
    await deal.refuse("warrant_unvested", 1_000_002)
    await deal.observe(20, 1_000)
    market.clock.at += timedelta(days=1)
    await deal.pay(1_119_999_860)
    assert await deal.count_vested() == 9_000_000
    issuer = await market.state("issuer", deal.issuer)
    assert issuer.warrants[deal.warrant].tranches[2].price_usd is None, "the day's price is not recorded yet"
    await deal.observe(22, 3_000)
    issuer = await market.state("issuer", deal.issuer)
    assert issuer.warrants[deal.warrant].tranches[2].price_usd == Fraction("19.35"), "90% of 21.50"
    await deal.pay(490_000_000)
    assert await deal.read() == [(1_000_000, 1_000_000), (8_000_000, 8_000_000), (3_500_000, 3_500_000)]
    await deal.pay(490_000_000)
    assert await deal.count_vested() == 16_000_000
    await deal.refuse("tranche_missing", 16_000_000)
    await deal.deposit("206856900")
    await deal.exercise(1_000_000, tranche=0)
    await deal.exercise(8_000_000, tranche=1)
    assert await deal.read_money(deal.customer) == 10_000_000, "9,000,000 at 22.9841"
    await deal.refuse("funds_insufficient", 7_000_000)
    await deal.deposit("135450000")
    await deal.exercise(7_000_000)
    assert await deal.read_money(deal.customer) == 10_000_000, "7,000,000 at 19.35"
    assert await deal.count_shares() == 16_000_000
    assert await deal.read_money(deal.vendor) == 206_856_900 + 135_450_000 + 10_000
    await check_log(market.log)


async def test_55_286_696_shares_of_which_four_tranches_of_7_274_565_vest_per_50_000_000_dollars(deal):
    """5,819,652 and four times 7,274,565 are 34,917,912, for 200 M of payments.

    20,368,784 are left for the other 400 M, which is exactly eight times 2,546,098 per 50 M. Neither that step nor a
    price is in the numbers that were given: 1.1893 for the first two parts and a later price for the third are chosen.
    """
    assert 55_286_696 - 5_819_652 - 4 * 7_274_565 == 20_368_784 == 8 * 2_546_098
    later = LaterPrice(tranche=4, multiple=Decimal("0.9"), average=PriceAverage(source_id=deal.source, days=30))
    await deal.issue(
        55_286_696,
        "1.1893",
        WarrantTranche(shares=5_819_652),
        *(by_payment(7_274_565, 50_000_000 * step) for step in range(1, 5)),
        *(by_payment(2_546_098, 50_000_000 * step, later_price=later) for step in range(5, 13)),
    )
    assert await deal.count_vested() == 5_819_652
    await deal.pay("49999999.99")
    assert await deal.count_vested() == 5_819_652
    await deal.pay("0.01")
    assert await deal.count_vested() == 5_819_652 + 7_274_565
    await deal.pay(150_000_000)
    assert await deal.count_vested() == 34_917_912
    await deal.observe("2.20")
    for step in range(1, 9):
        await deal.pay(50_000_000)
        assert await deal.count_vested() == 34_917_912 + step * 2_546_098
    assert await deal.count_vested() == 55_286_696
    await deal.deposit("41527872.75")
    for tranche, count in enumerate((5_819_652, *(7_274_565,) * 4)):
        await deal.exercise(count, tranche=tranche)
    cost = await deal.read_money(deal.vendor) - 10_000
    assert cost == Decimal("6921312.13") + 4 * Decimal("8651640.16"), "each at 1.1893, up to the cent"
    before = await deal.read_money(deal.customer)
    await deal.deposit("40330192.32")
    await deal.exercise(20_368_784)
    assert before == await deal.read_money(deal.customer), "at 1.98, 90% of 2.20"
    assert await deal.count_shares() == 55_286_696
    await check_log(deal.market.log)


async def test_7_945_399_shares_at_23_6956_over_4_000_000_000_dollars_and_ten_years(deal):
    market = deal.market
    await deal.issue(7_945_399, "23.6956", WarrantTranche(shares=1_324_233), ratable(6_621_166, 0, 4 * BILLION))
    await deal.pay(BILLION)
    assert await deal.read() == [(1_324_233, 1_324_233), (1_655_291, 1_655_291)]
    await act_agreed(
        market, deal.vendor, SplitStock, split_id=derive_id("spl", deal.vendor), numerator=2, denominator=1
    )
    assert await deal.read() == [(2_648_466, 2_648_466), (3_310_583, 3_310_583)], "half a share has become one"
    await deal.pay(3 * BILLION)
    assert await deal.count_vested() == 15_890_798
    await deal.deposit("188271496.60")
    await deal.exercise(15_890_798)
    assert await deal.count_shares() == 2 * 7_945_399
    assert await deal.read_money(deal.vendor) == Decimal("188270996.55") + 10_000, "15,890,798 at 11.8478"


async def test_what_is_not_exercised_in_ten_years_has_expired(deal):
    await deal.issue(7_945_399, "23.6956", WarrantTranche(shares=1_324_233), ratable(6_621_166, 0, 4 * BILLION))
    deal.market.clock.at += timedelta(days=3_650, microseconds=1)
    await deal.refuse("warrant_expired", 1)


async def test_53_141_755_shares_at_13_49_of_which_13_283_445_vest_at_signing_exercised_net(deal):
    """What the other 39,858,310 vest by was not given; they vest in proportion to 2 bn of payments here."""
    mean = PriceAverage(source_id=deal.source, days=30)
    await deal.issue(
        53_141_755,
        "13.49",
        WarrantTranche(shares=13_283_445),
        ratable(39_858_310, 0, 2 * BILLION),
        settlement="either",
        fair_value=mean,
    )
    with pytest.raises(Refusal) as caught:
        await deal.exercise(13_283_445, net=True)
    assert caught.value.code == "fair_value_missing"
    await deal.observe("26.98")
    await deal.exercise(13_283_445, net=True)
    assert await deal.count_shares() == 13_283_445 // 2, "at twice the price, half of the rights pay for the other half"
    await deal.pay(2 * BILLION)
    await deal.deposit("537688601.90")
    await deal.exercise(39_858_310)
    assert await deal.count_shares() == 13_283_445 // 2 + 39_858_310
    assert await deal.read_money(deal.vendor) == Decimal("537688601.90") + 10_000
    await check_log(deal.market.log)


async def test_neither_side_states_purchases_alone(deal):
    await deal.issue(100, "1", by_payment(100, 10))
    for sender in (deal.vendor, deal.customer):
        context = deal.market.context(sender)
        command = StatePurchases(
            issuer_id=deal.issuer,
            purchases_id=derive_id("pur", context.command_id),
            programme_id=deal.programme,
            customer_id=deal.customer,
            vendor_id=deal.vendor,
            starts_on=date(2025, 6, 1),
            ends_on=date(2025, 6, 30),
            gpu_seconds=0,
            kilowatts=0,
            purchased_usd=Decimal(10),
            paid_usd=Decimal(10),
            document="mine",
            excludes_market=True,
            at=context.at,
        )
        await warrants.state_purchases(deal.market.handler, context, command)
        assert await consents.find_proposal(deal.market.handler, context) is not None
    assert await deal.count_vested() == 0


async def test_an_investor_refuses_purchases_elsewhere_that_would_vest_a_large_warrant(deal):
    """Company and customer stated a billion that nobody had paid, and nobody but the founder voted."""
    market = deal.market
    fund = await market.party("Fund", "fund", usd=1_000_000)
    await hold_stock(deal, fund, 100_000, 5)
    await deal.issue(200_000_000, "0.01", by_payment(200_000_000, 1_000_000_000))
    proposal_id = await consents.find_proposal(market.handler, await deal.state(1_000_000_000))
    asked = {each.electorate: each for each in (await market.state("proposal", proposal_id)).made.consents}
    assert [voter.party_id for voter in asked["pro_rata"].voters] == [fund]
    await consents.agree(market.handler, market.context(deal.customer), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "open"
    await consents.refuse(market.handler, market.context(fund), proposal_id, reason="nobody paid")
    assert (await market.state("proposal", proposal_id)).status == "refused"
    assert await deal.count_vested() == 0
    await deal.pay(1_000_000_000)
    assert await deal.count_vested() == 200_000_000, "the fund agreed"
    await check_log(market.log)
    for part in (OfferedParts, CountedVotes):
        assert await find_faults(part, market.log) == []
    silent = await find_faults(OfferedParts, market.log, drop=lambda each: _is_of(fund, each))
    assert "pro_rata" in {kind for kind, *_ in silent}


async def test_few_investors_stop_no_purchases_of_a_large_warrant(deal):
    """One small investor refused what a customer had paid, and its refusal stood for half a year."""
    market = deal.market
    large, small = await market.party("Large", "fund", usd=1_000_000), await market.party("Small", "fund", usd=50_000)
    await hold_stock(deal, large, 100_000, 5)
    await hold_stock(deal, small, 5_000, 5)
    await deal.issue(200_000_000, "0.01", by_payment(200_000_000, 1_000_000_000))
    for usd in (400_000_000, 600_000_000):
        proposal_id = await consents.find_proposal(market.handler, await deal.state(usd))
        asked = {each.electorate for each in (await market.state("proposal", proposal_id)).made.consents}
        assert f"holder/{small}" not in asked, "its silence agrees, though its refusal stands"
        await consents.refuse(market.handler, market.context(small), proposal_id, reason="nobody paid")
        for party in (deal.customer, large):
            await vote(market, party, proposal_id)
        market.clock.at += timedelta(days=8)
        await consents.carry_out_waived(market.handler, market.context(), proposal_id)
        assert (await market.state("proposal", proposal_id)).status == "effective"
    assert await deal.count_vested() == 200_000_000
    for part in (OfferedParts, CountedVotes):
        assert await find_faults(part, market.log) == []


async def hold_stock(deal, party, shares, usd):
    """Let a party buy common stock of the vendor, so that it is an investor."""
    if party not in (await deal.market.state("issuer", deal.issuer)).stakeholders:
        await act(deal.market, deal.vendor, AddStakeholder, holder_id=party, name="Investor", kind="investor")
    stock = {"holder_id": party, "class_id": "common", "shares": shares, "price_usd_per_share": Decimal(usd)}
    await act_agreed(deal.market, deal.vendor, IssueStock, security_id=derive_id("sec", party), **stock)


async def test_purchases_that_no_warrant_counts_any_more_ask_no_investor(deal):
    """The warrant was exercised, so that nothing more vests by what is stated; the auditor asked for its investors."""
    market = deal.market
    await hold_stock(deal, await market.party("Fund", "fund", usd=1_000_000), 100_000, 5)
    await deal.issue(100, "1", by_payment(100, 1_000))
    await deal.pay(1_000)
    await deal.exercise(100)
    await deal.pay(1)
    for part in (OfferedParts, CountedVotes):
        assert await find_faults(part, market.log) == []


async def test_a_customer_that_is_an_investor_refuses_purchases_as_their_side(deal):
    """Its refusal stands for nothing else, as it is asked as a side, not as an investor."""
    market, fund = deal.market, await deal.market.party("Fund", "fund", usd=2_000_000)
    angel = await market.party("Angel", "fund", usd=1_000)
    await hold_stock(deal, fund, 300_000, 5)
    await hold_stock(deal, deal.customer, 100_000, 5)
    await deal.issue(100, "1", by_payment(100, 1_000), transfer="affiliates", affiliate_ids=(deal.affiliate,))
    context = market.context(deal.customer)
    move = {"holder_id": deal.customer, "holder_id_after": deal.affiliate}
    await warrants.transfer_warrant(market.handler, context, deal.issuer, deal.warrant, **move)
    await agree_all(market, context)
    proposal_id = await consents.find_proposal(market.handler, await deal.state(1_000))
    await consents.refuse(market.handler, market.context(deal.customer), proposal_id, reason="not paid")
    await act(market, deal.vendor, AddStakeholder, holder_id=angel, name="Angel", kind="investor")
    stock = {"security_id": derive_id("sec", angel), "holder_id": angel, "class_id": "common", "shares": 1_000}
    proposal_id = await propose(market, deal.vendor, deal.issuer, IssueStock, **stock, price_usd_per_share=Decimal(1))
    for party in (angel, fund, deal.affiliate):
        assert (await vote(market, party, proposal_id)).status == "open", "the customer has a week to refuse"
    market.clock.at += timedelta(days=8)
    await consents.carry_out_waived(market.handler, market.context(), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective", "the customer was silent"
    for part in (OfferedParts, CountedVotes):
        assert await find_faults(part, market.log) == []


async def test_few_investors_refuse_no_purchases_of_a_small_warrant_also_after_a_consolidation(deal):
    """The auditor compared the price of a share before it with the preference of one after it."""
    investors = await found_senior(deal)
    await deal.issue(100, "1", by_payment(100, 1_000), class_id="senior", on_reduction="keep")
    ratio = {"split_id": derive_id("spl", deal.vendor), "numerator": 1, "denominator": 2, "approval": PAPER}
    await act_agreed(deal.market, deal.vendor, SplitStock, **ratio)
    await refuse_in_vain(deal, *investors)


async def test_few_investors_refuse_no_purchases_once_a_later_price_is_fixed_above_the_preference(deal):
    """To the auditor its tranche cost nothing for ever, so that any investor could refuse."""
    investors = await found_senior(deal)
    await deal.observe(5)
    later = LaterPrice(tranche=0, multiple=Decimal("0.9"), average=PriceAverage(source_id=deal.source, days=30))
    tranches = by_payment(50, 1_000), by_payment(50, 2_000, later_price=later)
    await deal.issue(100, "1", *tranches, class_id="senior", on_reduction="keep")
    await deal.pay(1_000)
    warrant = (await deal.market.state("issuer", deal.issuer)).warrants[deal.warrant]
    assert [each.price_usd for each in warrant.tranches] == [1, Fraction("4.5")]
    await refuse_in_vain(deal, *investors)


async def found_senior(deal):
    """Let a large and a small investor hold common stock, and create preferred stock of one dollar a share."""
    market = deal.market
    large, small = await market.party("Large", "fund", usd=1_000_000), await market.party("Small", "fund", usd=50_000)
    await hold_stock(deal, large, 100_000, 5)
    await hold_stock(deal, small, 5_000, 5)
    rank = {"price_per_share_usd": Decimal(1), "liquidation_multiple": Decimal(1), "seniority": 1}
    senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 1_000, **rank}
    await act_agreed(market, deal.vendor, CreateStockClass, **senior)
    return large, small


async def refuse_in_vain(deal, large, small):
    """Let the small investor refuse purchases that the others agree to, which take effect."""
    market = deal.market
    proposal_id = await consents.find_proposal(market.handler, await deal.state(1_000))
    await consents.refuse(market.handler, market.context(small), proposal_id, reason="nobody paid")
    for party in (deal.customer, large):
        await vote(market, party, proposal_id)
    market.clock.at += timedelta(days=8)
    await consents.carry_out_waived(market.handler, market.context(), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
    assert await find_faults(OfferedParts, market.log) == []


def _is_of(party_id, message):
    """Return whether a message is a party's agreement to a proposal of purchases."""
    return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == party_id


async def test_a_valuation_of_the_company_or_a_price_of_a_party_fires_no_price_milestone(deal):
    level = PriceMilestone(price_usd_per_share=Decimal(5))
    await deal.issue(100, "1", WarrantTranche(shares=100, conditions=((level,),)))
    value = {"price_usd_per_share": Decimal(50), "method": "409A", "effective_on": date(2026, 1, 1)}
    await issuers.record_valuation(
        deal.market.handler,
        deal.market.context(deal.vendor),
        commands.RecordValuation(issuer_id=deal.issuer, **value),
    )
    assert await deal.count_vested() == 0
    for sender in (deal.customer, deal.vendor, deal.affiliate, deal.engineer):
        with pytest.raises(Refusal) as caught:
            await deal.observe(50, sender=sender)
        assert caught.value.code in {"not_recorder", "issuer_unknown"}
    await issuers.record_valuation(
        deal.market.handler, deal.market.context(), commands.RecordValuation(issuer_id=deal.issuer, **value)
    )
    assert await deal.count_vested() == 100


async def test_a_price_is_corrected_by_its_recorder_until_a_warrant_counted_it_and_then_by_agreement(deal):
    average = PriceAverage(source_id=deal.source, days=30)
    level = PriceMilestone(price_usd_per_share=Decimal(5), average=average)
    await deal.issue(100, "1", WarrantTranche(shares=100, conditions=((level,),)))
    await deal.observe(3)

    async def correct(price, sender=deal.exchange):
        context = deal.market.context(sender)
        command = CorrectPrice(
            issuer_id=deal.issuer,
            source_id=deal.source,
            day=deal.market.clock.now().date(),
            price_usd_per_share=Decimal(price),
            volume=1_000,
            reason="a digit was lost",
            recorder_id=sender,
        )
        await warrants.correct_price(deal.market.handler, context, command)
        return context

    for sender in (deal.customer, deal.vendor, deal.engineer):
        with pytest.raises(Refusal) as caught:
            await correct(6, sender)
        assert caught.value.code in {"not_recorder", "issuer_unknown"}
    assert await consents.find_proposal(deal.market.handler, await correct(4)) is None
    assert await deal.count_vested() == 0
    await correct(6)
    assert await deal.count_vested() == 100, "the corrected price reaches the level"
    context = await correct(2)
    made = (await deal.market.state("proposal", await consents.find_proposal(deal.market.handler, context))).made
    assert {consent.electorate for consent in made.consents} == {f"holder/{deal.customer}", "company"}
    await agree_all(deal.market, context)
    source = (await deal.market.state("issuer", deal.issuer)).price_sources[deal.source]
    assert [price for price, _ in source.prices.values()] == [2]
    assert await deal.count_vested() == 100, "what has vested stays"
    await check_log(deal.market.log)


async def test_a_statement_says_that_it_excludes_this_market(deal):
    with pytest.raises(Refusal) as caught:
        await deal.pay(10, excludes_market=False)
    assert caught.value.code == "market_included"


async def test_a_day_vests_by_the_timer_and_what_waits_for_another_tranche_with_it(deal):
    market = deal.market
    day = market.clock.now().date() + timedelta(days=3)
    await deal.issue(100, "1", WarrantTranche(shares=100, conditions=((DateMilestone(day=day),),)))
    async with market.worker():
        market.clock.at = datetime.combine(day, datetime.min.time(), market.clock.at.tzinfo)
        for _ in range(400):
            if await deal.count_vested():
                break
            await market.tick()
    assert await deal.count_vested() == 100


NOBODY = f"pty_{'0' * 26}"


@pytest.mark.parametrize("part", ["recorder", "customer", "vendor", "attester"])
async def test_nobody_who_is_not_here_records_attests_or_counts(deal, part):
    """A recorder that does not exist was accepted, voted on, and never recorded a price."""
    source = {"source_id": derive_id("src", NOBODY), "name": "Exchange", "recorder_id": NOBODY}
    programme = {"programme_id": derive_id("prg", NOBODY), "name": "Purchases"}
    works = AttestedMilestone(name="technical", description="the cluster trains", attester_id=NOBODY)
    act_of = {
        "recorder": lambda: act(deal.market, deal.vendor, NamePriceSource, **source),
        "customer": lambda: act(
            deal.market, deal.vendor, OpenProgramme, **programme, customer_ids=(NOBODY,), vendor_ids=(deal.vendor,)
        ),
        "vendor": lambda: act(
            deal.market, deal.vendor, OpenProgramme, **programme, customer_ids=(deal.vendor,), vendor_ids=(NOBODY,)
        ),
        "attester": lambda: deal.issue(10, "1", WarrantTranche(shares=10, conditions=((works,),))),
    }
    with pytest.raises(Refusal) as caught:
        await act_of[part]()
    assert caught.value.code == "party_unknown"
