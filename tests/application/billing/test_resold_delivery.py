"""Resold hours count as delivered by the measure of the seller's grant, for and against the provider of both."""

from datetime import timedelta
from fractions import Fraction

import pytest

from events.service import STANDARD_SERVICE
from marketplace.application.billing import bonds
from marketplace.application.delivery import grants
from marketplace.auditor.standing import Standing
from marketplace.core.ids import rename_id
from marketplace.core.money import round_cents
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.delivery.reliability import Record, ReliabilityState, compute_reliability, evolve
from marketplace.log.events import parse_event
from tests.application.billing.test_resold_remedies import HOURS, deposit, sell
from tests.application.trading.test_resale import report, settle
from tests.support.market.auditing import audit_log, read_messages
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    market = Market(memory_log)
    market.service = STANDARD_SERVICE
    return market


async def deliver_rest(market, done):
    """Meter what the seller kept, and let all statements be stated and accepted by silence."""
    await report(market, done.source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
    await settle(market, done.bought, done.source)


async def rate(market, provider_id):
    """Return the reliability of a provider by the domain, and the score that the auditor finds."""
    known = ReliabilityState()
    async for page in market.log.read():
        for stored in page:
            known = evolve(known, parse_event(stored))
    standing = Standing()
    for message in await read_messages(market.log):
        standing.take([message])
    return compute_reliability(known.records.get(provider_id, Record())), standing.list_scores().get(provider_id, 1)


async def test_who_does_not_deliver_resold_hours_owes_for_them_and_loses_standing(market):
    """A provider that metered nothing kept a score of 1, its buyer had no claim, and the reseller's margin was gone."""
    async with market.worker():
        done = await sell(market)
        await deposit(market, done.trade.provider)
        await deliver_rest(market, done)
        buyer, issued = market.context(done.sale.buyer), done.bought.issued
        await bonds.claim_bond(market.handler, buyer, issued.grant_id, period_start=issued.start)
    owed = []
    for party in (done.trade.provider, done.trade.startup):
        [claim] = (await market.state("bond", rename_id("bnd", party))).claims
        owed.append(claim.claimed.amount_usd)
    failed = HOURS - 24 * 8
    assert owed == [round_cents(rate * failed / 4) for rate in (2, 1)], "beyond the cure time, a quarter of each part"
    found, score = await rate(market, done.trade.provider)
    assert (found.uptime, found.completion, found.score) == (Fraction(37, 40), 1, score), "72 of 960 node-hours"
    await check_log(market.log)
    assert await audit_log(market.log) == []


async def test_what_is_delivered_of_resold_hours_keeps_the_provider_s_standing(market):
    async with market.worker():
        done = await sell(market)
        await report(market, done.bought, [(0, 3, 1)])
        await deliver_rest(market, done)
    found, score = await rate(market, done.trade.provider)
    assert (found.uptime, found.completion, found.score) == (1, 1, score)
    grant = await market.state("grant", done.bought.issued.grant_id)
    assert (grant.issued.service.measure, grant.issued.service.availability_min) == ("metered", 0)
    [statement] = [await market.state("statement", each.statement_id) for each in list_periods(grant)]
    assert (statement.service.met, statement.service_credit) == (True, None), "no promise besides"


async def test_a_late_outage_of_resold_hours_counts_like_one_that_was_reported_at_once(market):
    async with market.worker():
        done = await sell(market)
        await report(market, done.bought, [(0, 3, 1)])
        await deliver_rest(market, done)
        [period] = list_periods(done.bought)
        await deposit(market, done.trade.provider)
        issued = done.bought.issued
        span = {"at": issued.start, "until": issued.start + timedelta(days=1), "reason": "they were dark"}
        provider = market.context(done.trade.provider)
        await grants.degrade_grant(market.handler, provider, issued.grant_id, nodes_available=0, **span)
        await market.until("statement", name_adjustment(period.statement_id, 0), "accepted", seconds=60)
    found, score = await rate(market, done.trade.provider)
    assert (found.uptime, found.score) == (Fraction(39, 40), score), "24 of 960 node-hours"
    assert await audit_log(market.log) == []
