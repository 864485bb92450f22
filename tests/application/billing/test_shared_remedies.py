"""What a provider owes for undelivered hours goes to those who bear their price, each its share, to the cent."""

import dataclasses
import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from marketplace.application.delivery.grants import degrade_grant, terminate_grant
from marketplace.auditor.bearing import Bearing
from marketplace.auditor.claims import Claims
from marketplace.auditor.deciders import Deciders
from marketplace.auditor.fees import Fees
from marketplace.auditor.stream import Findings
from marketplace.core.ids import rename_id
from marketplace.core.money import floor_cents, parse_ratio
from marketplace.domain.billing.remedies import CLAIM_WITHIN, HOLDER_WITHIN
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_bonds import claim, compete, post, refuse, sell, wait_and_pay
from tests.application.billing.test_hostile_claims import CREDITS, read_claims
from tests.application.billing.test_service_credits import Month
from tests.application.trading.test_resale import buy, resell
from tests.support.market.auditing import find_faults, read_messages
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
    assert await find_faults(Claims, market.log) == []
    assert await find_faults(Deciders, market.log) == []


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
        await market.deliver(new.grant, 10)
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


async def test_the_fund_claims_in_the_last_week_what_the_startup_has_not_and_it_is_claimed_once(market):
    trade = await market.trade()
    await market.deposit(trade.provider, 50_000)
    other = await market.party("Elsewhere", "fund")
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at = market.day(5)
        end = {"at": market.day(20), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(trade.provider), grant.issued.grant_id, **end)
        over = grant.issued.end + CLAIM_WITHIN
        for at, party, code in (
            (market.clock.at, trade.fund, "claim_early"),
            (over - HOLDER_WITHIN - timedelta(seconds=1), trade.fund, "claim_early"),
            (over - HOLDER_WITHIN, other, "grant_unknown"),
            (over - HOLDER_WITHIN, trade.provider, "wrong_side"),
        ):
            market.clock.at = at
            assert await refuse(claim(market, party, grant)) == code
        await claim(market, trade.fund, grant)
        assert await refuse(claim(market, trade.startup, grant)) == "claim_exists"
        [claimed] = await read_claims(market, trade.provider)
        whole = claimed.claimed.amount_usd
        part = floor_cents(Fraction(whole) * (1 - parse_ratio(grant.issued.cash_share)))
        assert (claimed.claimed.by, claimed.claimed.holder_id) == ("holder", trade.fund)
        before = await count(market, trade.startup, trade.fund)
        await wait_and_pay(market, trade.provider)
        after = await count(market, trade.startup, trade.fund)
        assert [one - was for one, was in zip(after, before, strict=True)] == [whole - part, part]
    await check(market)


async def award_and_end(market, trade):
    """Award a grant, and let its provider give notice on day 5 that it ends on day 20; return it as awarded."""
    grant = await market.award(trade)
    market.clock.at = market.day(5)
    end = {"at": market.day(20), "reason": "sold to another"}
    await terminate_grant(market.handler, market.context(trade.provider), grant.issued.grant_id, **end)
    return grant


async def test_a_provider_that_takes_the_equity_itself_claims_nothing_from_itself(market):
    trade = await market.trade(funding="own_capacity")
    await market.deposit(trade.provider, 50_000)
    async with market.worker():
        grant = await award_and_end(market, trade)
        market.clock.at = grant.issued.end + CLAIM_WITHIN - HOLDER_WITHIN
        assert await refuse(claim(market, trade.provider, grant)) == "wrong_side"


_ENDED = []


@pytest.fixture
async def ended(market):
    """Return the log of a grant that its provider ended for a fee, and of the claim for it; it is played once."""
    if not _ENDED:
        trade = await market.trade()
        await market.deposit(trade.provider, 50_000)
        async with market.worker():
            grant = await award_and_end(market, trade)
            await claim(market, trade.startup, grant)
        _ENDED.extend(await read_messages(market.log))
    return list(_ENDED)


def plant(log, event_type, **fields):
    """Return a log with other members in the events of a type."""
    planted = []
    for one in log:
        body = one.read()
        if one.event_type == event_type:
            body |= {name: value(body) for name, value in fields.items()}
        planted.append(dataclasses.replace(one, body=json.dumps(body).encode()))
    return planted


def ask_for(seconds=0, usd="0"):
    """Return items of a claim with more or fewer seconds, or another amount."""

    def ask(body):
        return [
            {
                **item,
                "gpu_seconds": item["gpu_seconds"] + seconds,
                "amount_usd": f"{Decimal(item['amount_usd']) + Decimal(usd)}",
            }
            for item in body["items"]
        ]

    return ask


def audit(log):
    part = Claims(Findings())
    for message in log:
        part.take([message])
    return [text for _, _, text in part.findings.kept]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"items": ask_for(seconds=-3_600)}, "GPU-seconds of early ends"),
        ({"items": ask_for(usd="0.01")}, "of make_whole"),
        ({"credited_usd": lambda _: "0.00"}, "were paid for the early ends"),
        ({"by": lambda _: "holder"}, "while its startup alone may claim"),
        ({"by": lambda _: "holder"}, "as the holder"),
        ({"holder_id": lambda _: None}, "as the holder that pays"),
        ({"made_at": lambda _: "2100-01-01T00:00:00Z"}, "more than 30 days after"),
    ],
)
async def test_the_auditor_computes_what_an_early_end_leaves_and_who_may_claim_it(ended, fields, found):
    assert audit(ended) == []
    texts = audit(plant(ended, "bond.claimed.v1", **fields))
    assert any(found in text for text in texts), texts


@pytest.mark.parametrize("by", ["startup", "holder"])
async def test_a_reseller_that_adds_to_the_price_gets_that_part_of_what_the_provider_owes_for_it(market, by):
    """The buyer pays a part of what the provider is owed, and has no more of it than that part either."""
    trade = await market.trade(cash="3", equity="0", nodes=4)
    await market.deposit(trade.provider, 50_000)
    async with market.worker():
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="0.5")
        sale = await buy(market, cash="1")
        bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
        market.clock.at = market.day(3)
        end = {"at": market.day(6), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(trade.provider), bought.issued.grant_id, **end)
        added = 1 - parse_ratio(bought.issued.price_usd_per_gpu_hour) / parse_ratio(grant.issued.price_usd_per_gpu_hour)
        assert added > 0
        claimant = bought.startup_id
        if by == "holder":
            assert await refuse(claim(market, trade.startup, bought)) == "claim_early"
            market.clock.at, claimant = bought.issued.end + CLAIM_WITHIN - HOLDER_WITHIN, trade.startup
        await claim(market, claimant, bought)
        [claimed] = await read_claims(market, trade.provider)
        whole = claimed.claimed.amount_usd
        part = floor_cents(Fraction(whole) * added)
        [holder] = claimed.claimed.holders
        assert (holder.party_id, holder.amount_usd) == (trade.startup, part)
        assert (claimed.claimed.by, claimed.claimed.holder_id) == (by, trade.startup)
        before = await count(market, bought.startup_id, trade.startup)
        await wait_and_pay(market, trade.provider)
        after = await count(market, bought.startup_id, trade.startup)
        assert [one - was for one, was in zip(after, before, strict=True)] == [whole - part, part]
    await check(market)
    assert await find_faults(Bearing, market.log, holders=[]) != []
    assert await find_faults(Claims, market.log, holder_id=None) != []
