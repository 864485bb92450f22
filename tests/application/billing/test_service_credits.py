"""A period below the promised availability is credited as it is settled, without anyone claiming it."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.core.ids import rename_id
from marketplace.domain.billing.settlement import build_tariff, compute_charges, compute_service_credit, subtract_credit
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.log.memory import MemoryLog
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, Market

WAIT = 60
DAY = 2 * 8 * 86_400


class Month:
    """A grant of forty days of two nodes, one of which does not work for three days of the first thirty."""

    def __init__(self, market, trade, grant):
        self.market, self.trade, self.grant = market, trade, grant
        self.grant_id = grant.issued.grant_id
        self.first = list_periods(grant)[0]

    async def lose_a_node(self, days):
        market, start = self.market, self.grant.issued.start
        at = start + timedelta(days=3)
        market.clock.at = at
        await market.until("grant", self.grant_id, "active", seconds=WAIT)
        provider = market.context(self.trade.provider)
        await grants.degrade_grant(market.handler, provider, self.grant_id, nodes_available=1, at=at, reason="cooling")
        market.clock.at = at + timedelta(days=days)
        provider = market.context(self.trade.provider)
        await grants.resume_grant(market.handler, provider, self.grant_id, at=market.clock.now())

    async def settle(self):
        market = self.market
        await market.deliver(self.grant, 30)
        market.clock.at = self.first.end + timedelta(hours=25)
        issued = await market.until("statement", self.first.statement_id, "issued", seconds=WAIT)
        market.clock.at = issued.issued.accept_until
        return await market.until("statement", self.first.statement_id, "accepted", seconds=WAIT)

    async def end(self):
        market = self.market
        market.clock.at = max(market.clock.at, self.grant.end + timedelta(hours=25))
        last = list_periods(self.grant)[-1].statement_id
        issued = await market.until("statement", last, "issued", seconds=WAIT)
        market.clock.at = max(market.clock.at, issued.issued.accept_until)
        await market.until("grant", self.grant_id, "completed", seconds=WAIT)
        return await check_log(market.log)


async def begin(**trade):
    market = Market(MemoryLog())
    made = await market.trade(**trade)
    return market, made


@pytest.mark.parametrize("funding", ["cash", "own_capacity", "own_cash"])
async def test_startup_holder_and_issuer_get_their_share_back_to_the_cent(funding):
    market, trade = await begin(funding=funding)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        before = (await market.account(trade.startup)).available_usd
        await month.lose_a_node(6)
        settled = await month.settle()
        service = settled.issued.service
        assert (service.availability, service.met, service.credit) == ("9/10", False, Decimal("0.25"))
        assert service.gpu_seconds_delivered == 27 * DAY, "what is metered of a node that failed is not charged"
        charges = compute_charges(build_tariff(month.grant.issued), 0, 27 * DAY)
        credit = compute_service_credit(charges, Decimal("0.25"))
        assert (settled.charges, settled.service_credit) == (charges, credit)
        assert (await market.account(trade.startup)).available_usd - before == credit.cash_usd
        instrument = await market.state("instrument", rename_id("ins", month.grant_id))
        assert instrument.principal_usd == subtract_credit(charges, credit).principal_usd
        ledger = await month.end()
    net = sum(one.net.provider_usd for one in ledger.states["statement"].values())
    cash = sum(one.net.cash_usd for one in ledger.states["statement"].values())
    account = ledger.states["account"][rename_id("acc", trade.provider)]
    received = account.available_usd + account.held_usd
    paid_by_others = {"cash": net, "own_capacity": cash, "own_cash": cash + 1_000_000}[funding]
    assert received == paid_by_others


async def test_a_period_above_the_promise_is_not_credited():
    market, trade = await begin()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        assert month.grant.issued.service == INCIDENTS
        await month.lose_a_node(0.5)
        settled = await month.settle()
        assert (settled.issued.service.availability, settled.service_credit) == ("119/120", None)
        await month.end()


async def test_what_is_taken_back_later_is_paid_back_less_what_was_credited_of_it():
    market, trade = await begin()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.lose_a_node(6)
        settled = await month.settle()
        await usage.void_usage(
            market.handler,
            market.context(trade.provider),
            month.grant_id,
            source="dcgm",
            reading_id="day-20",
            reason="another grant's",
        )
        name = name_adjustment(month.first.statement_id, 0)
        credit = await market.until("statement", name, "accepted", seconds=WAIT)
        left = compute_charges(build_tariff(month.grant.issued), 0, 26 * DAY)
        due = subtract_credit(left, compute_service_credit(left, Decimal("0.25")))
        for amount in ("provider_usd", "cash_usd", "holder_usd", "principal_usd"):
            assert getattr(settled.net, amount) - getattr(credit.net, amount) == getattr(due, amount)
        account = await market.account(trade.provider)
        assert account.available_usd == due.provider_usd
        await month.end()


async def test_an_order_that_asks_for_a_better_provider_is_told_what_the_statements_say():
    market, trade = await begin()
    async with market.worker() as worker:
        month = Month(market, trade, await market.award(trade))
        await month.lose_a_node(6)
        await month.settle()
        assert worker.market.list_reliability() == {trade.provider: Fraction(9, 10)}
        terms = {"cash": "3", "nodes": 1, "earliest": 60, "latest": 62}
        picky = await market.order(trade.startup, **terms, provider_reliability_min=Decimal("0.91"))
        content = await market.order(trade.startup, **terms, provider_reliability_min=Decimal("0.9"))
        today = (market.clock.at - market.day(0)).days
        auction = await market.auction(locks_at=today + 2, horizon=today + 3, periods=40)
        market.clock.at = market.day(today + 2)
        await market.until_carried_out(auction, seconds=WAIT)
        assert (await market.state("order", content)).status == "matched"
        assert (await market.state("order", picky)).status == "unmatched"
