"""What one person alone gives away by other means than a payment counts toward the limit of its account."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from marketplace.application.access.parties import suspend_party
from marketplace.application.billing import accounts, bonds, disputes, statements
from marketplace.application.billing.approvals import approve, find_approval, refuse_approval, set_limit
from marketplace.application.delivery import grants
from marketplace.application.supply import inventory
from marketplace.application.trading import orders
from marketplace.application.trading.quotes import hold_quote, release_quote
from marketplace.application.trading.resale import resell_grant
from marketplace.auditor.alone import Alone
from marketplace.auditor.persons import Persons
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from tests.support.market.auditing import find_faults
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAY = timedelta(days=1)
LIMIT = 40


class Deal:
    """A grant of two nodes over forty days, paid in cash, and what one person of a side does with it."""

    def __init__(self, market, trade, grant):
        self.market, self.trade, self.grant = market, trade, grant
        self.grant_id, self.start = grant.issued.grant_id, grant.issued.start

    async def limit(self, party_id, usd=LIMIT):
        context = structs.replace(self.market.context(party_id), actor_person="p1")
        await set_limit(self.market.handler, context, rename_id("acc", party_id), limit_usd=Decimal(usd))

    async def end(self, party_id, days=5):
        market, at = self.market, self.market.clock.now() + days * DAY
        await grants.terminate_grant(market.handler, market.context(party_id), self.grant_id, at=at, reason="done")

    async def close(self, party_id, days=20):
        market = self.market
        act = {"closes_at": market.clock.now() + days * DAY, "reason": "the lease ends"}
        await inventory.announce_closing(market.handler, market.context(party_id), self.grant.pool_id, **act)

    async def give(self, party_id):
        market = self.market
        mule = await market.party("Mule", "startup")
        await grants.transfer_grant(market.handler, market.context(party_id), self.grant_id, startup_id=mule)

    async def resell(self, party_id, ask="0.01", days=2):
        market, start = self.market, self.start + 20 * DAY
        span = {"nodes": 1, "start": start, "end": start + days * DAY}
        context = market.context(party_id)
        asked = {"ask_usd_per_gpu_hour": Decimal(ask)}
        return (await resell_grant(market.handler, context, self.grant_id, **span, **asked)).id

    async def reprice(self, party_id):
        market, lot_id = self.market, await self.resell(party_id, ask="9")
        context = market.context(party_id)
        await inventory.reprice_lot(market.handler, context, lot_id, ask_usd_per_gpu_hour=Decimal("0.01"))

    async def hold(self, party_id, days=30):
        market, context = self.market, self.market.context(party_id)
        async with open_desk(market) as desk:
            terms = market.terms(cash="4", nodes=2, days=days, earliest=2, latest=2)
            asked = {"startup_id": party_id, "terms": terms, "hold_seconds": 3_600}
            return (await hold_quote(market.handler, context, desk.quoter, **asked)).id


@pytest.fixture
async def deal(memory_log):
    market = Market(memory_log)
    trade = await market.trade(cash="3", equity="0")
    async with market.worker():
        grant = await market.award(trade)
    await market.deposit(trade.provider, 10_000)
    return Deal(market, trade, grant)


def refuse_above(amount):
    return pytest.raises(Refusal, match=f"may let {amount} go in 24")


@pytest.mark.parametrize(
    ("side", "act"),
    [
        ("startup", Deal.end),
        ("provider", Deal.end),
        ("provider", Deal.close),
        ("startup", Deal.give),
        ("startup", Deal.resell),
        ("startup", Deal.reprice),
        ("startup", Deal.hold),
    ],
)
async def test_one_person_gives_away_no_more_than_the_limit(deal, side, act):
    party_id = getattr(deal.trade, side)
    await deal.limit(party_id)
    with refuse_above(LIMIT):
        await act(deal, party_id)
    await check_log(deal.market.log)


async def test_within_the_limit_one_person_does_it_and_what_it_did_counts(deal):
    startup, market = deal.trade.startup, deal.market
    await deal.limit(startup)
    quote_id = await deal.hold(startup, days=5)
    await release_quote(market.handler, market.context(startup), quote_id, reason="changed plans")
    assert 0 < (used := sum(use.amount_usd for use in (await market.account(startup)).used)) < LIMIT
    await deal.resell(startup, ask="9")
    assert sum(use.amount_usd for use in (await market.account(startup)).used) == used, (
        "a price above its own is no gift"
    )
    with refuse_above(LIMIT):
        await deal.resell(startup, ask="1.50", days=9)
    await check_log(market.log)


async def test_a_closing_that_is_put_off_counts_only_what_it_costs_more(deal):
    provider, market = deal.trade.provider, deal.market
    await deal.limit(provider, usd=5_000)
    await deal.close(provider)
    used = (await market.account(provider)).used
    assert sum(use.amount_usd for use in used) == (await market.account(provider)).reserves[deal.grant.pool_id][0] > 0
    market.clock.at += timedelta(hours=1)
    await deal.close(provider, days=22)
    assert (await market.account(provider)).used == used
    assert await find_faults(Alone, market.log) == []
    assert await find_faults(Alone, market.log, drop="account.limit_used.v1")
    await check_log(market.log)


async def test_one_person_gives_no_capacity_away_that_equity_pays(memory_log):
    """What principal pays is not in the hold, and a grant for equity alone was given to a mule."""
    market = Market(memory_log)
    trade = await market.trade(cash="0", equity="3", resale=True)
    async with market.worker():
        deal = Deal(market, trade, await market.award(trade))
    await deal.limit(trade.startup)
    with refuse_above(LIMIT):
        await deal.give(trade.startup)


@pytest.mark.parametrize("act", [Deal.end, Deal.give, Deal.resell, Deal.hold])
async def test_without_a_limit_one_person_does_all_of_it(deal, act):
    await act(deal, deal.trade.startup)
    assert (await deal.market.account(deal.trade.startup)).used == ()


@pytest.mark.parametrize("side", ["startup", "provider"])
async def test_a_suspended_party_ends_no_grant_for_a_fee_and_the_platform_does(deal, side):
    market, party_id = deal.market, getattr(deal.trade, side)
    await suspend_party(market.handler, market.context(), party_id, reason="fraud")
    before = [(await market.account(one)).available_usd for one in (deal.trade.startup, deal.trade.provider)]
    with pytest.raises(Refusal) as caught:
        await deal.end(party_id)
    assert caught.value.code == "party_suspended"
    assert before == [(await market.account(one)).available_usd for one in (deal.trade.startup, deal.trade.provider)]
    await deal.end(None)


async def test_a_key_of_the_platform_without_the_scope_for_it_does_nothing_in_a_partys_name(deal):
    market, trade = deal.market, deal.trade
    period = list_periods(deal.grant)[0]
    async with market.worker():
        market.clock.at = deal.start
        await market.until("grant", deal.grant_id, "active")
        await market.deliver(deal.grant, 30)
        market.clock.at = period.end + timedelta(hours=25)
        await market.until("statement", period.statement_id, "issued")
    clerk, decider = [structs.replace(market.context(), decides=decides) for decides in (False, True)]

    def act(context):
        bond = {"amount_usd": Decimal(5), "stands_until": market.day(300)}
        asked = {"startup_id": trade.startup, "terms": market.terms(nodes=1, days=2, earliest=50, latest=60)}
        at = market.clock.now() + 5 * DAY
        return [
            orders.place_order(market.handler, context, **asked),
            bonds.post_bond(market.handler, context, trade.provider, **bond),
            statements.accept_statement(market.handler, context, period.statement_id),
            disputes.refer_dispute(market.handler, context, period.statement_id, reason="unclear"),
            grants.transfer_grant(market.handler, context, deal.grant_id, startup_id=trade.startup),
            grants.terminate_grant(market.handler, context, deal.grant_id, at=at, reason="done"),
        ]

    for attempt in act(clerk):
        with pytest.raises(Refusal) as caught:
            await attempt
        assert (caught.value.code, caught.value.facts["scope"]) == ("scope_missing", "rights:decide")
    await statements.accept_statement(market.handler, decider, period.statement_id)


class Buyer:
    """A startup whose clerk p1 buys, with limits of 2 USD a GPU-hour an order and 3 USD in 7 days."""

    def __init__(self, market, startup):
        self.market, self.startup, self.account_id = market, startup, rename_id("acc", startup)

    def act_as(self, person):
        return structs.replace(self.market.context(self.startup), actor_person=person)

    async def limit(self, hours):
        limits = {"limit_usd": None, "order_limit_usd": Decimal(hours * 2), "week_limit_usd": Decimal(hours * 3)}
        await set_limit(self.market.handler, self.act_as("p1"), self.account_id, **limits)

    async def order(self, cash, instead_of=None):
        """Return the order, and the request that waits for a second person; None if there is none."""
        handler, context = self.market.handler, self.act_as("p1")
        terms = self.market.terms(cash=str(cash), nodes=2, days=2, earliest=10, latest=20)
        if instead_of is None:
            receipt = await orders.place_order(handler, context, startup_id=self.startup, terms=terms)
        else:
            receipt = await orders.amend_order(handler, context, instead_of, terms=terms)
        return receipt.id, await find_approval(handler, context, self.account_id)

    async def approve(self, person, approval_id):
        await approve(self.market.handler, self.act_as(person), self.account_id, approval_id)

    async def held(self):
        return (await self.market.account(self.startup)).held_usd


async def test_one_person_buys_within_the_limits_and_above_them_a_second_one_approves(memory_log):
    """A clerk who buys from an accomplice at any price spends what its party lets one person spend, and no more."""
    market, hours = Market(memory_log), 2 * 8 * 48
    startup = await market.party("Startup", "startup")
    await market.deposit(startup, 1_000_000)
    buyer = Buyer(market, startup)
    await buyer.limit(hours)
    first, at_once = await buyer.order(2)
    dear, asked = await buyer.order(900)
    assert (at_once, await buyer.held()) == (None, hours * 902), "what waits is held"
    with pytest.raises(Refusal) as caught:
        await buyer.approve("p1", asked)
    assert caught.value.code == "person_same"
    await refuse_approval(market.handler, buyer.act_as("p2"), buyer.account_id, asked, reason="nobody costs so much")
    assert (await buyer.held(), await market.state("order", dear)) == (hours * 2, None)
    assert await buyer.order(1, first) == (first, None)
    assert (await buyer.order(2))[1] is None, "what is freed is spent again"
    _, waits = await buyer.order(1)
    assert waits is not None, "many small orders are one large one"
    await buyer.approve("p2", waits)
    assert await buyer.held() == hours * 4
    _, waits = await buyer.order(5, first)
    assert waits is not None, "an amendment buys too"
    await buyer.approve("p2", waits)
    assert (await market.state("order", first)).cash_hold_usd == hours * 5
    await check_log(market.log)
    for drop in ("account.approval_given.v1", "account.hold_released.v1"):
        assert await find_faults(Persons, market.log, drop), drop
    assert await find_faults(Persons, market.log) == []


async def test_a_held_quote_counts_as_an_order_and_waits_for_nobody(deal):
    startup = deal.trade.startup
    await set_limit(
        deal.market.handler,
        structs.replace(deal.market.context(startup), actor_person="p1"),
        rename_id("acc", startup),
        limit_usd=None,
        order_limit_usd=Decimal(LIMIT),
    )
    with pytest.raises(Refusal, match="may spend 40 on an order and any sum in 7 days; place an order"):
        await deal.hold(startup)


async def test_one_person_promises_principal_within_the_limits_too(memory_log):
    """A clerk who gave the company's equity for compute, and no cash, needed nobody."""
    market = Market(memory_log)
    trade = await market.trade()
    buyer = Buyer(market, trade.startup)
    await buyer.limit(400)
    context = buyer.act_as("p1")
    terms = market.terms(cash="0", equity="2", mandate_ids=(trade.mandate,), nodes=2, days=2)
    await orders.place_order(market.handler, context, startup_id=trade.startup, terms=terms)
    assert await find_approval(market.handler, context, buyer.account_id) is not None
    context = buyer.act_as("p1")
    terms = market.terms(cash="2", equity="1", mandate_ids=(trade.mandate,), nodes=1, days=1)
    placed = await orders.place_order(market.handler, context, startup_id=trade.startup, terms=terms)
    assert await find_approval(market.handler, context, buyer.account_id) is None, "576 of 800, a third of it principal"
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), nodes=1, days=1)
    for _ in range(2):
        await orders.amend_order(market.handler, buyer.act_as("p1"), placed.id, terms=terms)
    assert await find_approval(market.handler, context, buyer.account_id) is None, "amended, an order counts once"
    assert await find_faults(Persons, market.log) == []
    faults = await find_faults(Persons, market.log, principal_usd="417.00")
    assert [text for _, _, text in faults if "bought for 384.00 USD and owes 417.00" in text]


async def test_one_person_alone_does_not_close_an_account_that_has_a_limit(memory_log):
    market = Market(memory_log)
    fund, other = await market.party("Fund", "fund"), await market.party("Other", "fund")
    limited = structs.replace(market.context(fund), actor_person="p1")
    await set_limit(market.handler, limited, rename_id("acc", fund), limit_usd=Decimal(LIMIT))

    async def close(party_id, by):
        await accounts.close_account(market.handler, market.context(by), rename_id("acc", party_id), reason="done")
        return (await market.account(party_id)).closed

    with pytest.raises(Refusal) as caught:
        await close(fund, fund)
    assert caught.value.code == "limit_exceeded"
    assert [await close(other, other), await close(fund, None)] == [True, True]
