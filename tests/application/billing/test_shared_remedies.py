"""What a provider owes for undelivered hours goes to those who bear their price, each its share, to the cent."""

from datetime import timedelta
from fractions import Fraction

import pytest
from msgspec.structs import replace

from marketplace.application.delivery.grants import degrade_grant, terminate_grant
from marketplace.auditor.bearing import Bearing
from marketplace.auditor.fees import Fees
from marketplace.core.ids import rename_id
from marketplace.core.money import floor_cents, parse_ratio
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_bonds import claim, compete, post, sell, wait_and_pay
from tests.application.billing.test_hostile_claims import CREDITS, read_claims
from tests.application.billing.test_service_credits import Month
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market():
    """A market whose service credits are smaller than damages."""
    market = Market(MemoryLog())
    market.service = replace(market.service, credits=CREDITS)
    return market


async def count(market, *parties):
    accounts = [await market.account(party) for party in parties]
    return [account.available_usd + account.held_usd for account in accounts]


async def check(market):
    await check_log(market.log)
    assert await find_faults(Bearing, market.log) == []
    assert await find_faults(Fees, market.log) == []


@pytest.mark.parametrize("funding", ["cash", "own_capacity"])
async def test_a_providers_end_pays_its_fee_and_the_make_whole_to_startup_and_fund_as_they_bear_the_price(
    market,
    funding,
):
    trade = await market.trade(funding=funding)
    await market.deposit(trade.provider, 50_000)
    await post(market, trade.provider, 3_000)
    async with market.worker():
        grant = await market.award(trade)
        principal = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
        before = await count(market, trade.startup, trade.fund)
        market.clock.at = market.day(5)
        end = {"at": market.day(20), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(trade.provider), grant.issued.grant_id, **end)
        grant = await market.state("grant", grant.issued.grant_id)
        fee = grant.end_fee_usd
        share = 1 - parse_ratio(grant.issued.cash_share) if funding == "cash" else Fraction(0)
        part = floor_cents(Fraction(fee) * share)
        after = await count(market, trade.startup, trade.fund)
        assert [one - was for one, was in zip(after, before, strict=True)] == [fee - part, part]
        assert bool(part) is (funding == "cash")
        await claim(market, trade.startup, grant)
        [claimed] = await read_claims(market, trade.provider)
        whole = claimed.claimed.amount_usd
        part = floor_cents(Fraction(whole) * share)
        expected = [(trade.fund, part)] if part else []
        assert [(one.party_id, one.amount_usd) for one in claimed.claimed.holders] == expected
        before = await count(market, trade.startup, trade.fund)
        await wait_and_pay(market, trade.provider)
        after = await count(market, trade.startup, trade.fund)
        assert [one - was for one, was in zip(after, before, strict=True)] == [whole - part, part]
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    assert instrument.principal_usd == principal.principal_usd, "what is owed as equity does not change"
    await check(market)


async def test_damages_follow_the_price_and_the_difference_of_a_replacement_follows_who_bears_its_price(market):
    trade = await market.trade(nodes=4)
    await market.deposit(trade.provider, 50_000)
    await compete(market, ask="4.5")
    rival = await market.party("Second", "provider", usd=10_000)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        market.clock.at = at = month.first.start + timedelta(days=3)
        await market.until("grant", month.grant_id, "active")
        failed = {"nodes_available": 0, "at": at, "reason": "a fan"}
        await degrade_grant(market.handler, market.context(trade.provider), month.grant_id, **failed)
        market.clock.at = at + timedelta(days=1)
        end = {"at": market.clock.at, "reason": "nothing works", "for_cause": True}
        await terminate_grant(market.handler, market.context(trade.startup), month.grant_id, **end)
        lock = (market.clock.at - market.day(0)) / timedelta(days=1) + 1
        new = await sell(market, rival, trade.startup, lock=lock, ask="4", nodes=1, start=10, end=20)
    lost = await market.state("grant", month.grant_id)
    market.clock.at = market.day(21)
    await claim(market, trade.startup, lost, replacement_ids=[new.grant.issued.grant_id])
    [claimed] = await read_claims(market, trade.provider)
    [bought, rest] = claimed.claimed.items
    assert (bought.remedy, rest.remedy) == ("replacement", "make_whole")
    share = 1 - parse_ratio(lost.issued.cash_share)
    [holder] = claimed.claimed.holders
    assert (holder.party_id, holder.amount_usd) == (trade.fund, floor_cents(Fraction(rest.amount_usd) * share)), (
        "the startup alone pays for the replacement"
    )
    await check(market)
    assert await find_faults(Bearing, market.log, drop="grant.issued.v1"), "the auditor computes the shares itself"
