"""Staged prepayment: the security and a stage are set aside, and whoever stops paying leaves no hour unpaid."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.stages import CreditTerms, StageTerms
from marketplace.application.billing import accounts
from marketplace.application.billing.approvals import set_limit
from marketplace.application.billing.credits import limit_credit
from marketplace.application.billing.disputes import answer_dispute, refer_dispute
from marketplace.application.billing.statements import accept_statement, dispute_statement, resolve_statement
from marketplace.application.delivery import grants
from marketplace.application.equity.issuers import declare_liquidity, pay_distribution
from marketplace.application.supply import inventory
from marketplace.application.trading import resale
from marketplace.application.trading.mandates import revoke_mandate
from marketplace.auditor.disputes import Disputes
from marketplace.auditor.equity import Equity
from marketplace.auditor.fees import Fees
from marketplace.auditor.market import Market as AuditedMarket
from marketplace.auditor.money import Money
from marketplace.auditor.stages import Stages
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.stages import compute_damages, compute_funding
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.supply.stages import CURE
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_platform_fees import publish
from tests.application.equity.test_equity import found
from tests.application.test_rule_races import list_codes, race
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, Market

HOUR = timedelta(hours=1)
DAY = 2 * 8 * 86_400
MONTH = StageTerms(hours=720, security_hours=240)
SERVICE = structs.replace(INCIDENTS, notice_hours_min=120)


class Deal:
    """Two nodes for 80 days at 1.90 dollars, half in equity, in stages of 30 days with a security of ten."""

    def __init__(self, usd=16_000, fee=True):
        self.market, self.usd, self.fee = Market(MemoryLog()), usd, fee

    async def close(self):
        market = self.market
        market.service = SERVICE
        if self.fee:
            await publish(market)
        self.fund = await market.party("Fund", "fund", usd=1_000_000)
        self.provider = await market.party("Provider", "provider")
        self.startup = await market.party("Startup", "startup", usd=self.usd, sector="robotics")
        await market.issuer(self.startup)
        mandate = await market.mandate(self.fund, budget=900_000, credit="1")
        _, self.pool = await market.pool(self.provider)
        self.lot = await self.list_lot(MONTH, (mandate,))
        self.order = await market.order(
            self.startup, cash="1", equity="1", mandate_ids=(mandate,), days=80, latest=1, stages=MONTH
        )
        self.held = (await market.account(self.startup)).held_usd
        market.clock.at = market.day(0.4)
        self.auction = await market.auction()

    async def list_lot(self, stages, mandate_ids=(), nodes=4):
        market = self.market
        receipt = await inventory.list_lot(
            market.handler,
            market.context(self.provider),
            pool_id=self.pool,
            nodes=nodes,
            start=market.day(1),
            end=market.day(91),
            ask_usd_per_gpu_hour=Decimal("1.9"),
            mandate_ids=mandate_ids,
            stages=stages,
        )
        return receipt.id

    async def award(self):
        market = self.market
        market.clock.at = market.day(0.5)
        await market.until_carried_out(self.auction)
        self.grant_id = (await market.state("order", self.order)).grant_id
        self.issued = (await self.grant()).issued
        return await self.grant()

    async def grant(self):
        return await self.market.state("grant", self.grant_id)

    async def wait(self, accept):
        while not accept(await self.grant()):
            await self.market.tick()
        return await self.grant()

    async def move(self, days, accept):
        """Let days since the start of the grant pass, and wait for what they bring."""
        self.market.clock.at = self.issued.start + timedelta(days=days)
        return await self.wait(accept)

    async def lend(self, usd, by=None):
        market = self.market
        context = market.context(by or self.provider)
        await limit_credit(market.handler, context, self.provider, startup_id=self.startup, limit_usd=Decimal(usd))

    async def top_up(self, usd, reference):
        context, account_id = self.market.context(), rename_id("acc", self.startup)
        await accounts.deposit(self.market.handler, context, account_id, amount_usd=Decimal(usd), reference=reference)

    async def withdraw(self, usd):
        account_id, context = rename_id("acc", self.startup), self.market.context(self.startup)
        await accounts.withdraw(self.market.handler, context, account_id, amount_usd=Decimal(usd), reference="out")

    async def pay(self):
        return await grants.pay_stage(self.market.handler, self.market.context(self.startup), self.grant_id)

    async def resell(self):
        span = {"start": self.market.day(40), "end": self.market.day(41)}
        context = self.market.context(self.startup)
        await resale.resell_grant(
            self.market.handler, context, self.grant_id, nodes=1, ask_usd_per_gpu_hour=Decimal(3), **span
        )

    async def settle(self):
        """Let silence accept every statement, and wait until nothing is set aside any more."""
        grant = await self.grant()
        self.market.clock.at = max(self.market.clock.at, grant.end + 25 * HOUR)
        last = list_periods(grant)[-1].statement_id
        await self.market.until("statement", last, "issued", "accepted")
        self.market.clock.at += timedelta(days=8)
        while (await self.market.account(self.startup)).held_usd:
            self.market.clock.at += HOUR  # a statement that a busy worker issues late may be disputed before it is paid
            await self.market.tick()

    async def require_clean(self, drop):
        await check_log(self.market.log)
        for part in (Stages, Money):
            assert await find_faults(part, self.market.log) == []
        assert await find_faults(Stages, self.market.log, drop=drop)


async def refuse(coroutine):
    with pytest.raises(Refusal) as caught:
        await coroutine
    return caught.value.code


@pytest.mark.parametrize("announces", [False, True])
async def test_a_stage_that_is_never_paid_ends_the_grant_and_pays_the_withheld_notice_from_the_security(announces):
    """Also where its startup ended the grant a second early for a cent."""
    deal = Deal()
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        tariff, first = build_tariff(deal.issued), compute_totals(build_tariff(deal.issued), 40 * DAY).startup_usd
        held = (await market.account(deal.startup)).held_usd
        assert held == first <= deal.held < deal.issued.cash_commitment_usd
        assert await refuse(deal.resell()) == "grant_staged"
        if announces:
            end = {"at": deal.issued.end - timedelta(seconds=1), "reason": "done a second early"}
            await grants.terminate_grant(market.handler, market.context(deal.startup), deal.grant_id, **end)
        announced = await deal.grant()
        assert bool(announced.end_fee_usd) is announces
        await market.deliver(grant, 30)
        missed = (await deal.wait(lambda one: one.missed)).missed
        due_usd = compute_funding(deal.issued, 2, deal.issued.end) - first + announced.end_fee_usd
        assert (missed.stage, missed.amount_usd, missed.cure_until) == (2, due_usd, market.clock.now() + CURE)
        assert await refuse(deal.pay()) == "funds_insufficient"
        await market.deliver(grant, 3, first=30)
        withheld = (await deal.wait(lambda one: one.withheld)).withheld
        assert withheld.ends_at == withheld.at + timedelta(hours=120)
        await market.deliver(grant, 1, first=33)
        pool = await market.state("pool", deal.pool)
        assert pool.reservations[deal.grant_id].end == announced.end, "nobody else buys the withheld nodes"
        ended = await deal.move(38, lambda one: one.end <= withheld.ends_at)
        (past,) = ended.withholdings
        assert (past.gpu_seconds, past.damages_usd) == (5 * DAY, compute_damages(deal.issued, 5 * DAY))
        assert (ended.terminated.by, ended.end, past.is_paid) == ("startup", withheld.ends_at, False)
        await deal.settle()
        paid = compute_totals(tariff, 33 * DAY)
        left = (await market.account(deal.startup)).available_usd
        assert left == deal.usd - paid.startup_usd - past.damages_usd - ended.end_fee_usd == 0, (
            "the fee of the end takes the rest"
        )
        got = paid.provider_usd - paid.provider_fee_usd + past.damages_usd + ended.end_fee_usd
        assert (await market.account(deal.provider)).available_usd == got, "the withheld day is not charged"
        instrument = await market.state("instrument", rename_id("ins", deal.grant_id))
        assert instrument.principal_usd == paid.principal_usd, "only delivery accrues"
    await deal.require_clean("account.hold_placed.v1")


async def test_a_provider_that_delivered_nothing_is_paid_nothing_for_a_stage_that_was_not_paid():
    deal = Deal()
    market = deal.market
    await deal.close()
    async with market.worker():
        await deal.award()
        await deal.move(30, lambda one: one.missed)
        withheld = (await deal.move(33, lambda one: one.withheld)).withheld
        ended = await deal.move(38, lambda one: one.end <= withheld.ends_at)
        (past,) = ended.withholdings
        assert (past.gpu_seconds, past.damages_usd, past.is_paid) == (0, 0, False)
        assert (ended.terminated.by, ended.end_fee_usd) == ("platform", 0)
        await deal.settle()
        assert (await market.account(deal.startup)).available_usd == deal.usd
    await check_log(market.log)
    assert await find_faults(Stages, market.log) == []


async def test_stages_are_set_aside_as_they_begin_and_a_late_one_resumes_delivery_for_the_withheld_hours():
    deal = Deal(fee=False)
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        assert (
            await refuse(grants.pay_stage(market.handler, market.context(deal.provider), deal.grant_id)) == "wrong_side"
        )
        await deal.move(30, lambda one: one.missed)
        await deal.move(33, lambda one: one.withheld)
        await deal.top_up(20_000, "late")
        await market.keep(deal.startup, 20_000, market.clock.now() + timedelta(days=2))
        assert await refuse(deal.pay()) == "funds_reserved", "what another statement needs pays no stage"
        await grants.collect_stage(market.handler, market.context(), deal.grant_id)
        assert (await deal.grant()).withheld, "nor does a timer take it"
        market.clock.at += timedelta(days=2)
        await deal.pay()
        resumed = await deal.grant()
        (past,) = resumed.withholdings
        assert (past.is_paid, past.gpu_seconds, resumed.missed, resumed.withheld) == (True, 2 * DAY, None, None)
        assert (await market.account(deal.startup)).held_usd == compute_funding(
            deal.issued, 2, deal.issued.end
        ) - past.damages_usd
        await deal.move(60, lambda one: one.stages_paid == 3)
        assert await refuse(deal.pay()) == "stages_paid"
        await market.deliver(grant, 80)
        await deal.settle()
        cash = compute_totals(build_tariff(deal.issued), 80 * DAY).cash_usd
        assert deal.usd + 20_000 - (await market.account(deal.startup)).available_usd == cash, "withheld or delivered"
    await deal.require_clean("grant.withheld.v1")


async def test_the_last_money_pays_one_of_two_stages_that_begin_at_once():
    deal = Deal(usd=100_000, fee=False)
    market = deal.market
    await deal.close()
    mandates = (await market.state("order", deal.order)).terms.mandate_ids
    terms = {"equity": "1", "mandate_ids": mandates, "days": 80, "latest": 1, "stages": MONTH}
    other = await market.order(deal.startup, cash="1", **terms)
    async with market.worker():
        await deal.award()
    both = [(await market.state("order", order)).grant_id for order in (deal.order, other)]
    account = await market.account(deal.startup)
    await deal.withdraw(account.available_usd - account.held_usd // 2)  # more than a stage, and less than two
    market.clock.at = deal.issued.start + timedelta(days=30)
    steps = [
        lambda process, grant_id=grant_id: grants.collect_stage(process.handler, process.context(), grant_id)
        for grant_id in both
    ]
    assert list_codes(await race(market, *steps)) == []
    after = [await market.state("grant", grant_id) for grant_id in both]
    assert [(one.stages_paid, one.missed is None) for one in after] == [(2, True), (1, False)]
    await check_log(market.log)


class CreditDeal(Deal):
    """The same for cash alone, of which its provider gives credit; the startup has only what the rest needs."""

    def __init__(self, usd, credit):
        super().__init__(usd)
        self.credit = Decimal(credit)

    async def close(self):
        market = self.market
        market.service = SERVICE
        await publish(market)
        self.provider = await market.party("Provider", "provider")
        self.other = await market.party("Other", "provider")
        self.startup = await market.party("Startup", "startup", "fund", usd=self.usd)
        _, self.pool = await market.pool(self.other)
        self.provider, owner = self.other, self.provider
        await self.list_lot(MONTH)
        self.provider = owner
        _, self.pool = await market.pool(self.provider)
        await self.list_lot(MONTH)
        assert await refuse(self.buy()) == "credit_exhausted"
        assert await refuse(self.lend(10, by=self.startup)) == "party_unknown"
        await self.lend(self.credit)
        self.order = await self.buy()
        market.clock.at = market.day(0.4)
        self.auction = await market.auction()

    async def buy(self):
        credit = CreditTerms(provider_id=self.provider, amount_usd=self.credit)
        return await self.market.order(self.startup, cash="2", days=80, latest=1, stages=MONTH, credit=credit)

    async def limit(self, usd):
        context = structs.replace(self.market.context(self.startup), actor_person="p1")
        await set_limit(self.market.handler, context, rename_id("acc", self.startup), limit_usd=Decimal(usd))

    async def give(self, party_id):
        context = self.market.context(self.startup)
        await grants.transfer_grant(self.market.handler, context, self.grant_id, startup_id=party_id)

    async def sell(self, usd):
        """Let the company be sold for some dollars of its own, which its founder gets."""
        market = self.market
        issuer = await market.issuer(self.startup)
        await found(market, self.startup)
        context = market.context()  # its founder has no key, so one person of the company may not sell it
        await declare_liquidity(market.handler, context, issuer, proceeds_usd=Decimal(usd))
        sale = derive_id("liq", context.command_id)
        await pay_distribution(market.handler, market.context(self.startup), issuer, sale)

    async def count_taken(self):
        return (await self.market.account(self.startup)).sum_credit(self.provider)


async def pay_late(deal, statement_id, due):
    """Pay the cash of a statement whose equity part is settled."""
    market = deal.market
    assert (await market.account(deal.provider)).available_usd == due.holder_usd > 0, "the cash part stays due"
    await deal.top_up(due.cash_usd + due.startup_fee_usd, "late")
    market.clock.at += timedelta(hours=2)
    await market.until("statement", statement_id, "accepted")
    assert (await market.account(deal.provider)).available_usd == due.provider_usd - due.provider_fee_usd
    assert (await market.state("instrument", rename_id("ins", deal.grant_id))).principal_usd == due.principal_usd


async def close_on_credit(**rules):
    """Return a deal whose startup has no money, half in equity and half on its provider's credit, and the mandate."""
    deal = Deal(usd=0)
    market = deal.market
    market.service = SERVICE
    deal.fund = await market.party("Fund", "fund", usd=1_000_000)
    deal.provider = await market.party("Provider", "provider")
    deal.startup = await market.party("Startup", "startup", sector="robotics")
    await market.issuer(deal.startup)
    mandate = await market.mandate(deal.fund, budget=900_000, credit="1", **rules)
    _, deal.pool = await market.pool(deal.provider)
    await deal.list_lot(MONTH, (mandate,))
    await deal.lend(31_000)
    credit = CreditTerms(provider_id=deal.provider, amount_usd=Decimal(31_000))
    offer = {"cash": "1", "equity": "1", "mandate_ids": (mandate,), "stages": MONTH, "credit": credit}
    deal.order = await market.order(deal.startup, days=80, latest=1, **offer)
    market.clock.at = market.day(0.4)
    deal.auction = await market.auction()
    return deal, mandate


async def dispute(deal, statement_id, counted):
    market = deal.market
    claimed = {"gpu_seconds_counted": counted, "reason": "no other node worked"}
    await dispute_statement(market.handler, market.context(deal.startup), statement_id, **claimed)


async def lose_by_silence(deal, statement_id):
    """Let the provider insist in a dispute, and the startup not answer."""
    await answer_dispute(deal.market.handler, deal.market.context(deal.provider), statement_id, reason="look again")


async def decide_all(deal, statement_id):
    """Let both sides of a dispute insist, and the platform decide for the provider."""
    market = deal.market
    for party_id in (deal.provider, deal.startup):
        await answer_dispute(market.handler, market.context(party_id), statement_id, reason="look again")
    await refer_dispute(market.handler, market.context(deal.provider), statement_id, reason="they worked")
    stated = (await market.state("statement", statement_id)).charges.gpu_seconds
    await resolve_statement(market.handler, market.context(), statement_id, gpu_seconds=stated, reason="they did")


async def dispute_all(deal, statement_id):
    """Dispute everything of a statement, let the provider insist, and the time to answer pass."""
    market = deal.market
    await dispute(deal, statement_id, 0)
    await answer_dispute(market.handler, market.context(deal.provider), statement_id, reason="they did")
    market.clock.at += timedelta(days=8)
    while not (await market.state("statement", statement_id)).settled:
        await market.tick()
    return await market.state("statement", statement_id)


@pytest.mark.parametrize(("lose", "status"), [(decide_all, "resolved"), (lose_by_silence, "disputed")])
async def test_a_startup_that_never_pays_ties_up_no_more_of_a_holders_budget_than_the_grant_could_deliver(lose, status):
    """Statements on credit may stay unpaid for ever; the budget of 80 days was held with them, also after a revoke.

    Nor does a decision of the platform wait for the startup's cash: without it, silence would settle at the middle.
    And what silence settles of a dispute is due like any statement.
    """
    deal, mandate = await close_on_credit()
    market = deal.market
    async with market.worker():
        grant = await deal.award()
        await market.deliver(grant, 30)
        market.clock.at = deal.issued.start + timedelta(days=31, hours=1)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        await dispute(deal, list_periods(grant)[0].statement_id, 0)
        await lose(deal, list_periods(grant)[0].statement_id)
        assert (await market.state("statement", list_periods(grant)[0].statement_id)).status == status
        await deal.move(39, lambda one: one.missed)
        await deal.move(43, lambda one: one.withheld)
        ended = await deal.move(48, lambda one: one.status == "terminated")
        await revoke_mandate(market.handler, market.context(deal.fund), mandate, reason="it does not pay")
        days = (ended.end - deal.issued.start) / timedelta(days=1)
        most = compute_totals(build_tariff(deal.issued), int(days * DAY))
        due = (await market.state("statement", list_periods(grant)[0].statement_id)).charges
        assert days == 48
        assert (await market.account(deal.fund)).held_usd == most.holder_usd - due.holder_usd
        instrument = await market.state("instrument", rename_id("ins", deal.grant_id))
        assert (instrument.principal_usd, instrument.open_usd) == (
            due.principal_usd,
            most.principal_usd - due.principal_usd,
        )
        await pay_late(deal, list_periods(grant)[0].statement_id, due)
        await market.deliver(grant, 8, first=30)
        market.clock.at = deal.issued.start + timedelta(days=49, hours=1)
        last = list_periods(await deal.grant())[-1].statement_id
        charges = (await market.until("statement", last, "issued")).charges
        after = await dispute_all(deal, last)
        assert (after.status, after.settled.charges.principal_usd) == ("disputed", charges.principal_usd)
        assert charges.holder_usd > 0
        assert (await market.account(deal.fund)).held_usd == most.holder_usd - due.holder_usd - charges.holder_usd
    await check_log(market.log)
    for part in (Stages, Money, Equity, Fees, Disputes, AuditedMarket):
        assert await find_faults(part, market.log) == []


async def test_a_decision_without_money_is_settled_by_a_deposit_also_after_silence_paid_the_undisputed_part():
    deal, _ = await close_on_credit(startup_accepts_alone=False)
    market = deal.market
    async with market.worker():
        grant = await deal.award()
        await market.deliver(grant, 30)
        market.clock.at = deal.issued.start + timedelta(days=31, hours=1)
        first = list_periods(grant)[0].statement_id
        accept_until = (await market.until("statement", first, "issued")).issued.accept_until
        market.clock.at += timedelta(days=6)
        await dispute(deal, first, DAY)
        with pytest.raises(Refusal) as caught:
            await accept_statement(market.handler, market.context(deal.fund), first)
        assert (caught.value.code, *caught.value.facts) == ("funds_insufficient", "account_id")
        assert "available" not in caught.value.message, "the startup's balance is its own"
        assert caught.value.message.startswith(f"{deal.startup} pays this")
        market.clock.at = accept_until
        await deal.wait(lambda one: one.missed)
        await deal.top_up(400, "a day")
        market.clock.at += 2 * HOUR
        await deal.wait(lambda one: one.missed is None)
        assert not (await market.state("statement", first)).settled.is_cash_due
        await decide_all(deal, first)
        assert (await market.state("statement", first)).status == "resolved"
        await deal.wait(lambda one: one.missed)
        await deal.top_up(31_000, "the rest")
        market.clock.at += timedelta(hours=2)
        await market.until("statement", first, "accepted")
    await check_log(market.log)


async def test_a_run_on_credit_is_paid_by_its_statements_and_ends_like_a_missed_stage_where_they_are_not_paid():
    deal = CreditDeal(usd=0, credit=62_000)
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        assert deal.issued.provider_id == deal.provider, "another provider's lot does not serve it"
        assert (await market.account(deal.startup)).held_usd == 0, "nothing is set aside within the credit"
        await deal.lend(0)
        assert await refuse(deal.buy()) == "credit_exhausted"
        await deal.limit(50_000)
        assert await refuse(deal.give(deal.other)) == "role_missing"
        assert await refuse(deal.give(await market.party("Mule", "startup"))) == "limit_exceeded", "nothing is held"
        await market.deliver(grant, 29)
        first = list_periods(grant)[0].statement_id
        market.clock.at = deal.issued.start + timedelta(days=31, hours=1)
        await market.until("statement", first, "issued")
        due = (await market.state("statement", first)).charges
        await deal.top_up(10, "some")
        assert await refuse(deal.withdraw(5)) == "funds_reserved", "what is due is not withdrawn"
        spend = market.order(deal.startup, cash="0.02", nodes=1, earliest=40, latest=45)
        assert await refuse(spend) == "funds_reserved", "nor spent otherwise"
        assert await refuse(market.mandate(deal.startup, budget=5)) == "funds_reserved"
        assert await refuse(deal.sell(9)) == "funds_insufficient", "nor paid to the owners"
        await market.deliver(grant, 8, first=30)
        missed = (await deal.move(39, lambda one: one.missed)).missed
        assert missed.amount_usd == due.cash_usd + due.startup_fee_usd
        await deal.move(43, lambda one: one.withheld)
        await deal.top_up(due.cash_usd + due.startup_fee_usd, "late")
        market.clock.at += timedelta(hours=2)
        await market.until("statement", first, "accepted")
        assert not (await deal.grant()).withheld, "delivery goes on once the statement is paid"
        await market.deliver(grant, 1, first=29)
        await market.until("statement", name_adjustment(first, 0), "issued")
        assert await refuse(deal.withdraw(5)) == "funds_reserved", "what an adjustment charges is due too"
        assert await deal.count_taken() == deal.issued.credit_usd * 2 / Decimal("1.9"), "what its offer could cost"
        await deal.top_up(10_000, "rest")
        market.clock.at = grant.end + 25 * HOUR
        await market.until("statement", list_periods(grant)[-1].statement_id, "issued", "accepted")
        market.clock.at += timedelta(days=8)
        while await deal.count_taken():
            await market.tick()
        paid = compute_totals(build_tariff(deal.issued), 38 * DAY).startup_usd - due.cash_usd - due.startup_fee_usd
        assert (await market.account(deal.startup)).available_usd == 10_010 - paid
    await deal.require_clean("account.credit_limited.v1")


async def test_a_statement_that_is_paid_once_the_notice_of_a_missed_stage_is_over_begins_no_new_notice():
    deal = CreditDeal(usd=30_000, credit=10_000)
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        await market.deliver(grant, 29)
        first = list_periods(grant)[0].statement_id
        market.clock.at = deal.issued.start + timedelta(days=31, hours=1)
        await market.until("statement", first, "issued")
        await deal.wait(lambda one: one.missed)
        withheld = (await deal.move(35, lambda one: one.withheld)).withheld
    market.clock.at = withheld.ends_at
    await accept_statement(market.handler, market.context(deal.startup), first)
    assert (await deal.grant()).withheld == withheld
    async with market.worker():
        ended = await deal.wait(lambda one: one.terminated)
    assert ended.end == withheld.ends_at
    await deal.require_clean("grant.withheld.v1")


async def test_a_staged_grant_on_credit_that_is_ended_early_is_over_once_its_statements_are_paid():
    """The auditor waited for an event that such a grant never has, and reported an honest end."""
    deal = CreditDeal(usd=0, credit=62_000)
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        await deal.top_up(60_000, "all")
        await market.deliver(grant, 5)
        market.clock.at = deal.issued.start + timedelta(days=5)
        end = {"at": deal.issued.start + timedelta(days=11), "reason": "done early"}
        await grants.terminate_grant(market.handler, market.context(deal.startup), deal.grant_id, **end)
        await market.deliver(grant, 6, first=5)
        await deal.settle()
        while await deal.count_taken():
            await market.tick()
    await deal.require_clean("statement.accepted.v1")


async def test_the_fee_of_an_announced_end_on_credit_is_not_asked_for_again():
    """It was due once more as a stage, so that delivery was withheld and the grant ended a week early."""
    deal = CreditDeal(usd=0, credit=62_000)
    market = deal.market
    await deal.close()
    async with market.worker():
        grant = await deal.award()
        await deal.top_up(10_000, "for the fee")
        end = {"at": deal.issued.start + timedelta(days=40), "reason": "done early"}
        await grants.terminate_grant(market.handler, market.context(deal.startup), deal.grant_id, **end)
        fee_usd = (await deal.grant()).end_fee_usd
        assert fee_usd > 0
        await deal.withdraw(10_000 - fee_usd)
        await market.deliver(grant, 30)
        market.clock.at = deal.issued.start + timedelta(days=31, hours=1)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        for _ in range(20):
            await market.tick()
        ended = await deal.grant()
        assert (ended.missed, ended.withheld) == (None, None)
    await check_log(market.log)
