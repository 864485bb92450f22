"""What providers and startups tried with bonds, each line once played for a gain."""

import asyncio
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from events.service import STANDARD_SERVICE, CreditStep
from marketplace.application.billing import bonds
from marketplace.application.billing.statements import accept_statement, dispute_statement, resolve_statement
from marketplace.application.delivery import grants
from marketplace.application.delivery.grants import terminate_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.replacements import Replacements
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.billing.dispute import DECISION
from marketplace.domain.billing.remedies import ANSWER_WITHIN, CLAIM_WITHIN
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_bonds import (
    WAIT,
    answer,
    build_defaults,
    claim,
    compete,
    fail,
    post,
    price,
    refuse,
    sell,
    sell_elsewhere,
    settle,
    wait_and_pay,
)
from tests.application.billing.test_service_credits import Month
from tests.application.test_rule_races import list_codes, race
from tests.application.trading.test_resale import buy, resell
from tests.support.market.auditing import audit_log, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market():
    """A market whose service credits are smaller than damages, so that there is something to claim."""
    market = Market(MemoryLog())
    market.service = replace(market.service, credits=CREDITS)
    return market


CREDITS = (
    CreditStep(availability_below=Decimal("0.95"), credit=Decimal("0.01")),
    CreditStep(availability_below=Decimal("0.899"), credit=Decimal("0.02")),
)


async def check(market):
    await check_log(market.log)
    assert await find_faults(Bonds, market.log) == []
    assert await find_faults(Replacements, market.log) == []


async def read_claims(market, provider):
    return (await market.state("bond", rename_id("bnd", provider))).claims


async def until_settled(market, provider):
    async with asyncio.timeout(WAIT):
        while any(one.status != "settled" for one in await read_claims(market, provider)):
            await market.tick()
    return await read_claims(market, provider)


async def test_a_claim_that_its_provider_contests_for_nothing_is_settled_in_the_middle_if_nobody_decides(market):
    provider, startups, defaults = await build_defaults(market)
    receipt = await claim(market, startups[0], defaults[0])
    await answer(market, provider, usd=100)
    [contested] = await read_claims(market, provider)
    assert contested.due_usd == 100
    claim_id = contested.claimed.claim_id
    assert await refuse(bonds.lapse_claim(market.handler, market.context(), receipt.id, claim_id)) == "answer_not_due"
    async with market.worker():
        market.clock.at += DECISION
        [settled] = await until_settled(market, provider)
    middle = (contested.claimed.amount_usd + 100) / 2
    assert settled.due_usd == middle.quantize(Decimal("0.01"), ROUND_FLOOR)
    await check(market)
    for drop in ("bond.claimed.v1", "bond.answered.v1"):
        assert await find_faults(Bonds, market.log, drop=drop) != []


async def lose(market, trade, *, days=6):
    """Let a node fail for days of the first period, which the startup disputes after that."""
    month = Month(market, trade, await market.award(trade))
    await month.lose_a_node(days)
    return month


async def test_a_dispute_does_not_outlast_the_time_for_a_claim_and_what_it_may_still_credit_is_not_claimed(market):
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 10_000)
    await post(market, trade.provider, 5_000)
    async with market.worker():
        month = await lose(market, trade)
        await market.deliver(month.grant, 30)
        market.clock.at = month.first.end + timedelta(hours=25)
        await market.until("statement", month.first.statement_id, "issued")
        context = market.context(trade.startup)
        claimed = {"gpu_seconds_counted": 1_000_000, "reason": "less was delivered"}
        await dispute_statement(market.handler, context, month.first.statement_id, **claimed)
        at = month.first.start + timedelta(days=10)
        outage = {"nodes_available": 0, "at": at, "until": at + timedelta(hours=2), "reason": "cooling"}
        await grants.degrade_grant(market.handler, market.context(trade.provider), month.grant_id, **outage)
        await claim(market, trade.startup, month.grant, period_start=month.first.start)
        before = (await market.account(trade.startup)).available_usd
        market.clock.at += timedelta(days=1)
        await answer(market, trade.provider)
        market.clock.at += ANSWER_WITHIN
        async with asyncio.timeout(WAIT):
            while not (await read_claims(market, trade.provider))[0].paid:
                await market.tick()
    [claimed] = await read_claims(market, trade.provider)
    stated = await market.state("statement", month.first.statement_id)
    assert stated.service.credit == CREDITS[0].credit, "as it was stated, before the report of the cooling"
    credit = round_cents(Fraction(stated.charges.provider_usd) * Fraction(CREDITS[1].credit))
    assert claimed.claimed.credited_usd == credit > 0
    assert (await market.account(trade.startup)).available_usd - before == claimed.due_usd > 0
    await check(market)


async def test_an_outage_that_is_reported_late_is_claimed_for_thirty_days_from_its_report(market):
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 5_000)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.settle()
        market.clock.at = month.first.end + CLAIM_WITHIN + timedelta(days=1)
        at = month.first.start + timedelta(days=3)
        outage = {"nodes_available": 1, "at": at, "until": at + timedelta(days=6), "reason": "cooling"}
        context = market.context(trade.provider)
        await grants.degrade_grant(market.handler, context, month.grant_id, **outage)
        grant = await market.state("grant", month.grant_id)
        await market.until("statement", name_adjustment(month.first.statement_id, 0), "accepted")
        await claim(market, trade.startup, grant, period_start=month.first.start)
    [claimed] = await read_claims(market, trade.provider)
    assert claimed.claimed.amount_usd + claimed.claimed.credited_usd == round_cents(price(grant, 1, 5 * 24) / 4)
    await check(market)


async def accept_by_silence(market, period):
    """Let the statement of a period be issued, and accepted because nobody answers it."""
    market.clock.at = period.end + timedelta(hours=25)
    issued = await market.until("statement", period.statement_id, "issued")
    market.clock.at = issued.issued.accept_until
    await market.until("statement", period.statement_id, "accepted")


async def claim_silent_days(market, trade, *, metered):
    """Return a settled month of which only the first days were metered, once its startup claimed the others."""
    month = Month(market, trade, await market.award(trade))
    await market.deliver(month.grant, metered)
    await accept_by_silence(market, month.first)
    await claim(market, trade.startup, month.grant, period_start=month.first.start)
    return month


async def test_hours_that_no_meter_counts_are_claimed_although_nobody_reports_a_failure(market):
    market.service = replace(STANDARD_SERVICE, credits=CREDITS)
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 20_000)
    async with market.worker():
        month = await claim_silent_days(market, trade, metered=10)
    [claimed] = await read_claims(market, trade.provider)
    damages = round_cents(price(month.grant, 2, 19 * 24) / 4)
    assert [item.amount_usd for item in claimed.claimed.items] == [damages]
    assert claimed.claimed.amount_usd == damages - claimed.claimed.credited_usd
    await check(market)


async def test_readings_that_arrive_after_a_claim_lower_it_before_it_is_answered(market):
    market.service = replace(STANDARD_SERVICE, credits=CREDITS)
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 20_000)
    async with market.worker():
        month = await claim_silent_days(market, trade, metered=10)
        await market.deliver(month.grant, 10, first=10)
        before = (await market.account(trade.startup)).available_usd
        market.clock.at += ANSWER_WITHIN
        [settled] = await until_settled(market, trade.provider)
    rest = round_cents(price(month.grant, 2, 9 * 24) / 4)
    assert settled.due_usd == max(rest - settled.claimed.credited_usd, 0)
    assert (await market.account(trade.startup)).available_usd - before == settled.due_usd
    await check(market)


async def test_a_credit_that_a_late_outage_raises_lowers_a_claim_that_waits(market):
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 5_000)
    async with market.worker():
        month = await lose(market, trade)
        await month.settle()
        await claim(market, trade.startup, month.grant, period_start=month.first.start)
        at = month.first.start + timedelta(days=10)
        outage = {"nodes_available": 0, "at": at, "until": at + timedelta(hours=2), "reason": "cooling"}
        context = market.context(trade.provider)
        await grants.degrade_grant(market.handler, context, month.grant_id, **outage)
        [waiting] = await read_claims(market, trade.provider)
        credit = await market.until("statement", name_adjustment(month.first.statement_id, 0), "accepted")
        await answer(market, trade.provider)
        [settled] = await read_claims(market, trade.provider)
    more = credit.sign * credit.service_credit.provider_usd
    damages = [round_cents(price(month.grant, 1, hours) / 4) for hours in (5 * 24, 5 * 24 + 4)]
    less = more - (damages[1] - damages[0])
    assert settled.due_usd == waiting.claimed.amount_usd - less < waiting.claimed.amount_usd
    await check(market)


async def test_a_replacement_counts_for_one_provider_alone(market):
    providers = [await market.party(name, "provider", usd=90_000) for name in ("First", "Second", "Third")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market)
    async with market.worker():
        sold = [
            await sell(market, provider, startup, lock=lock, ask="2", nodes=1)
            for provider, lock in zip(providers[:2], (0.5, 1.5), strict=True)
        ]
        market.clock.at = market.day(5)
        for provider, one in zip(providers, sold, strict=False):
            await post(market, provider, 20_000)
            end = {"at": market.day(30), "reason": "sold to another"}
            await terminate_grant(market.handler, market.context(provider), one.grant.issued.grant_id, **end)
            await inventory.withdraw_lot(market.handler, market.context(provider), one.lot, reason="sold")
        new = await sell(market, providers[2], startup, lock=6, ask="3.50", nodes=1, start=30)
        await market.deliver(new.grant, 30)
    ids = [new.grant.issued.grant_id]
    lost = [await market.state("grant", one.grant.issued.grant_id) for one in sold]
    market.clock.at = market.day(60)
    claims = [lambda process, one=one: claim(process, startup, one, replacement_ids=ids) for one in lost]
    answers = await race(market, *claims)
    assert list_codes(answers) == ["replacement_claimed"], "also where two processes decide at once"
    await claim(market, startup, lost[1])
    await check(market)


async def release(market, provider, lot):
    return await bonds.release_bond(market.handler, market.context(provider), rename_id("bnd", provider), lot_id=lot)


async def test_the_bond_of_a_withdrawn_lot_is_free_thirty_days_after_its_last_grant(market):
    provider = await market.party("Provider", "provider", usd=50_000)
    startup = await market.party("Startup", "startup", usd=400_000)
    _, pool = await market.pool(provider)
    empty = await market.lot(provider, pool, nodes=1, start=10, end=300)
    await post(market, provider, 700, lot=empty)
    assert await refuse(release(market, provider, empty)) == "bond_stands"
    await inventory.withdraw_lot(market.handler, market.context(provider), empty, reason="none wants it")
    await release(market, provider, empty)
    async with market.worker():
        sold = await sell(market, provider, startup, lock=0.5, ask="2", start=10, end=90)
    await post(market, provider, 500, lot=sold.lot)
    await inventory.withdraw_lot(market.handler, market.context(provider), sold.lot, reason="closing")
    market.clock.at = market.day(5)
    end = {"at": market.day(30), "reason": "sold to another"}
    await terminate_grant(market.handler, market.context(provider), sold.grant.issued.grant_id, **end)
    market.clock.at = market.day(120) - timedelta(seconds=1)
    assert await refuse(release(market, provider, sold.lot)) == "bond_stands"
    market.clock.at = market.day(120)
    await release(market, provider, sold.lot)
    assert await refuse(claim(market, startup, await market.state("grant", sold.grant.issued.grant_id))) == "claim_late"
    await check(market)


async def test_two_grants_under_one_incident_claim_its_nodes_once(market):
    provider = await market.party("Provider", "provider", usd=50_000)
    startups = [await market.party(name, "startup", usd=400_000) for name in ("One", "Two")]
    await post(market, provider, 20_000)
    _, pool = await market.pool(provider, nodes=4)
    await market.lot(provider, pool, nodes=4, start=1, end=91)
    orders = [await market.order(one, cash="3", nodes=2, days=30, earliest=1, latest=1) for one in startups]
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
        ids = [(await market.state("order", order)).grant_id for order in orders]
        market.clock.at = market.day(4)
        for grant_id in ids:
            await market.until("grant", grant_id, "active")
        context = market.context(provider)
        act = {"incident_id": "inc_01jdm5v5tze1xa6a4sbz1gk3c4", "nodes": 3, "at": market.day(4)}
        await inventory.fail_nodes(market.handler, context, pool, **act)
        for grant_id in ids:
            await market.until("grant", grant_id, "degraded", "suspended")
        market.clock.at = market.day(8)
        over = {"incident_id": act["incident_id"], "at": market.day(8)}
        await inventory.restore_nodes(market.handler, market.context(provider), pool, **over)
        for grant_id in ids:
            await market.until("grant", grant_id, "active")
        states = [await market.state("grant", grant_id) for grant_id in ids]
        for grant in states:
            await market.deliver(grant, 30)
        firsts = [list_periods(grant)[0] for grant in states]
        market.clock.at = firsts[0].end + timedelta(hours=25)
        for first in firsts:
            await market.until("statement", first.statement_id, "issued")
        market.clock.at += timedelta(days=7)
        for startup, grant, first in zip(startups, states, firsts, strict=True):
            await market.until("statement", first.statement_id, "accepted")
            await claim(market, startup, grant, period_start=first.start)
    claims = await read_claims(market, provider)
    seconds = sum(item.gpu_seconds for one in claims for item in one.claimed.items)
    assert seconds == 3 * 8 * 3 * 86_400, "three nodes for four days less the cure time of a day"
    await check(market)


async def test_nodes_that_work_for_a_minute_each_day_use_the_cure_time_of_their_period_once(market):
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 50_000)
    await post(market, trade.provider, 40_000)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        start = month.first.start
        await month.settle()
        for day in range(20):
            at = start + timedelta(days=day)
            outage = {"nodes_available": 0, "at": at, "until": at + timedelta(hours=23, minutes=59), "reason": "a fan"}
            context = market.context(trade.provider)
            await grants.degrade_grant(market.handler, context, month.grant_id, **outage)
        async with asyncio.timeout(WAIT):
            while await is_open(market, month.first.statement_id):
                await market.tick()
        grant = await market.state("grant", month.grant_id)
        await claim(market, trade.startup, grant, period_start=start)
    [claimed] = await read_claims(market, trade.provider)
    seconds = sum(item.gpu_seconds for item in claimed.claimed.items)
    assert seconds == 2 * 8 * (20 * (86_400 - 60) - 86_400)
    await check(market)


async def is_open(market, statement_id, days=20):
    """Return whether the outages of so many days are not all credited yet."""
    lost, number = 0, 0
    while (more := await market.state("statement", name_adjustment(statement_id, number))) is not None:
        lost, number = more.service.gpu_seconds_unavailable, number + 1
    return lost < 2 * 8 * days * (86_400 - 60)


async def test_an_end_for_cause_is_made_whole_for_the_nodes_that_failed_alone(market):
    trade = await market.trade(cash="3", equity="0", nodes=4)
    await market.deposit(trade.provider, 50_000)
    await post(market, trade.provider, 40_000)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        at = month.first.start + timedelta(days=3)
        market.clock.at = at
        await market.until("grant", month.grant_id, "active")
        failed = {"nodes_available": 3, "at": at, "reason": "a fan"}
        await grants.degrade_grant(market.handler, market.context(trade.provider), month.grant_id, **failed)
        market.clock.at = at + timedelta(days=1)
        end = {"at": market.clock.at, "reason": "one of four nodes failed", "for_cause": True}
        await terminate_grant(market.handler, market.context(trade.startup), month.grant_id, **end)
    grant = await market.state("grant", month.grant_id)
    await claim(market, trade.startup, grant)
    [claimed] = await read_claims(market, trade.provider)
    assert claimed.claimed.amount_usd == round_cents(price(grant, 1, 36 * 24) / 4)


@pytest.mark.parametrize("door", ["resume", "restore"])
async def test_a_repair_that_is_dated_back_to_before_an_end_for_cause_takes_nothing_of_the_make_whole(market, door):
    trade = await market.trade(cash="3", equity="0", nodes=4)
    await market.deposit(trade.provider, 50_000)
    handler = market.handler
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        market.clock.at = at = month.first.start + timedelta(days=3)
        provider = market.context(trade.provider)
        await market.until("grant", month.grant_id, "active")
        if door == "restore":
            await inventory.fail_nodes(handler, provider, trade.pool, incident_id="one", nodes=4, at=at)
            await market.until("grant", month.grant_id, "degraded")
        else:
            failed = {"nodes_available": 0, "at": at, "reason": "a way out"}
            await grants.degrade_grant(handler, provider, month.grant_id, **failed)
        market.clock.at = at + timedelta(hours=25)
        end = {"at": market.clock.at + timedelta(minutes=30), "reason": "nothing works", "for_cause": True}
        await terminate_grant(handler, market.context(trade.startup), month.grant_id, **end)
        kept = (await market.account(trade.provider)).sum_reserves(market.clock.at)
        market.clock.at += timedelta(minutes=1)
        back, provider = market.clock.at - timedelta(minutes=58), market.context(trade.provider)
        if door == "restore":
            await inventory.restore_nodes(handler, provider, trade.pool, incident_id="one", at=back)
        else:
            await grants.resume_grant(handler, provider, month.grant_id, at=back)
        async with asyncio.timeout(WAIT):
            while (grant := await market.state("grant", month.grant_id)).nodes_working < 4:
                await market.tick()
    await claim(market, trade.startup, grant)
    [claimed] = await read_claims(market, trade.provider)
    assert claimed.claimed.amount_usd == round_cents(price(grant, 4, 36 * 24 - Fraction(3, 2)) / 4) == kept
    await check_log(market.log)


async def test_a_replacement_at_a_friends_price_costs_the_defaulter_at_most_its_own_price_again(market):
    first, friend = [await market.party(name, "provider", usd=90_000) for name in ("First", "Friend")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market, ask="8.999")
    await post(market, first, 60_000)
    async with market.worker():
        old = await sell(market, first, startup, lock=0.5, ask="2", nodes=1)
        await sell_elsewhere(market, first, old)
        new = await sell(market, friend, startup, lock=6, ask="8.99", nodes=1, start=30)
        await market.deliver(new.grant, 60)
    lost = await market.state("grant", old.grant.issued.grant_id)
    market.clock.at = market.day(90)
    await claim(market, startup, lost, replacement_ids=[new.grant.issued.grant_id])
    [claimed] = await read_claims(market, first)
    [item] = claimed.claimed.items
    assert (item.remedy, item.amount_usd) == ("replacement", round_cents(price(lost, 1, 60 * 24)))


async def test_a_provider_owes_damages_on_its_own_price_for_what_was_resold_for_more(market):
    trade = await market.trade(cash="3", equity="0", nodes=4)
    await market.deposit(trade.provider, 50_000)
    await post(market, trade.provider, 40_000)
    async with market.worker():
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="90")
        bought = await buy(market, cash="95")
        market.clock.at = market.day(3)
        resold = await market.state("grant", (await market.state("order", bought.order)).grant_id)
        end = {"at": market.day(6), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(trade.provider), resold.issued.grant_id, **end)
    resold = await market.state("grant", resold.issued.grant_id)
    assert parse_ratio(resold.issued.price_usd_per_gpu_hour) > parse_ratio(resold.issued.resale.owed_usd_per_gpu_hour)
    owed = parse_ratio(resold.issued.resale.owed_usd_per_gpu_hour)
    assert resold.end_fee_usd == round_cents(owed * 8 * 3 * 24 / 10)
    await claim(market, resold.startup_id, resold)
    [claimed] = await read_claims(market, trade.provider)
    hours = Fraction(sum(item.gpu_seconds for item in claimed.claimed.items), 3_600)
    assert claimed.claimed.amount_usd + claimed.claimed.credited_usd == round_cents(owed * hours / 4)


async def leave_unpaid(market, grant_id, *, at, since):
    """End a grant as `collect_stage` does: by its startup, as if it was announced when a stage was missed."""

    async def work(unit):
        grant = await unit.get(GRANT, grant_id)
        await grants._terminate(unit, grant, at, "a stage was not paid", by="startup", noticed_at=since)

    await market.handler.run(market.context(), GRANT, grant_id, work)


async def test_an_end_that_is_brought_forward_after_its_claim_is_claimed_too(market):
    """A provider announced the last days alone, let them be claimed, and ended the rest without a make-whole."""
    provider = await market.party("Provider", "provider", usd=50_000)
    startup = await market.party("Startup", "startup", usd=900_000)
    async with market.worker():
        sold = await sell(market, provider, startup, lock=0.5, ask="2")
    grant_id = sold.grant.issued.grant_id
    for day, last in ((5, 80), (6, 20)):
        market.clock.at = market.day(day)
        end = {"at": market.day(last), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(provider), grant_id, **end)
        if last == 20:
            await leave_unpaid(market, grant_id, at=market.day(19), since=market.day(4))
        grant = await market.state("grant", grant_id)
        await claim(market, startup, grant)
        market.clock.at += timedelta(hours=1)
        assert await refuse(claim(market, startup, grant)) == "claim_exists"
    await answer(market, provider, 0)
    await answer(market, provider, 1)
    claims = await read_claims(market, provider)
    fees = [ended.fee_usd for ended in grant.terminations if ended.by == "provider"]
    whole = [round_cents(price(grant, 2, days * 24) / 4) for days in (10, 60)]
    assert [one.claimed.credited_usd for one in claims] == fees
    assert [one.due_usd for one in claims] == [rest - fee for rest, fee in zip(whole, fees, strict=True)]
    await check(market)


EU = {"regions": ("eu-west",)}


@pytest.mark.parametrize(
    ("rivals", "asked", "asks", "costs"),
    [
        ({}, {}, {}, None),
        ({"us-east": "2.50", "eu-west": "4.50"}, {}, EU, None),
        ({"us-east": "4.50"}, {}, {"backstop": True}, None),
        ({"us-east": "2.50", "eu-west": "4.50"}, {}, {}, "0.50"),
        ({"us-east": "2.50", "eu-west": "3.50"}, EU, EU, "1.50"),
        ({"us-east": "2.50", "eu-west": "4.50"}, EU, EU, "2"),
    ],
    ids=["alone", "narrower", "backstop", "open", "as before", "cheapest as before"],
)
async def test_a_startup_buys_a_replacement_from_its_own_shell_only_at_a_price_of_the_market(
    market, rivals, asked, asks, costs
):
    """A shell that nobody has declared asks twice the price, and the order is written so that only it is served."""
    first, shell = [await market.party(name, "provider", usd=90_000) for name in ("First", "Shell")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await post(market, first, 60_000)
    async with market.worker():
        old = await sell(market, first, startup, lock=0.5, ask="2", nodes=1, region="eu-west", **asked)
        await sell_elsewhere(market, first, old)
        for region, ask in rivals.items():
            await compete(market, ask, region)
        new = await sell(market, shell, startup, lock=6, ask="4", nodes=1, start=30, region="eu-west", **asks)
        await market.deliver(new.grant, 60)
    lost, ids = await market.state("grant", old.grant.issued.grant_id), [new.grant.issued.grant_id]
    market.clock.at = market.day(90)
    if costs is None:
        assert await refuse(claim(market, startup, lost, replacement_ids=ids)) == "replacement_unfit"
        await claim(market, startup, lost)
    else:
        await claim(market, startup, lost, replacement_ids=ids)
    [claimed] = await read_claims(market, first)
    hours = 8 * 60 * 24
    due = {"make_whole": round_cents(price(lost, 1, 60 * 24) / 4)}
    if costs is not None:
        due = {"replacement": round_cents(Fraction(costs) * hours)}
    assert {item.remedy: item.amount_usd for item in claimed.claimed.items} == due
    await check(market)
    unseen = await find_faults(Replacements, market.log, drop="auction.book_frozen.v1")
    assert [rule for rule, _, _ in unseen] == ["replacement"] * (costs is not None)


async def join(market):
    """Register a provider with a bond and a startup, beside rivals, and return both."""
    first = await market.party("First", "provider", usd=50_000)
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market)
    await post(market, first, 20_000)
    return first, startup


async def replace_lost(market, first, startup):
    """Let a provider end what it sold from day 30 on, and another one sell a replacement; return both sales."""
    second = await market.party("Second", "provider", usd=50_000)
    old = await sell(market, first, startup, lock=0.5, ask="2", nodes=1)
    await sell_elsewhere(market, first, old)
    return old, await sell(market, second, startup, lock=6, ask="3.50", nodes=1, start=30)


async def meter_replacement(market, new):
    """Let the provider of a replacement report ten days as one reading; return the grant's id."""
    grant_id, start = new.grant.issued.grant_id, new.grant.issued.start
    reading = Measurement(reading_id="all", start=start, end=start + timedelta(days=10), nodes=1)
    market.clock.at = reading.end
    provider = market.context(new.grant.issued.provider_id)
    await usage.report_usage(market.handler, provider, grant_id, source="dcgm", measurements=(reading,))
    return grant_id


async def void_replacement(market, new):
    """Let the provider of a replacement void what `meter_replacement` reported."""
    void = {"source": "dcgm", "reading_id": "all", "reason": "nothing ran"}
    provider = market.context(new.grant.issued.provider_id)
    await usage.void_usage(market.handler, provider, new.grant.issued.grant_id, **void)


async def test_a_replacement_that_is_ended_after_the_claim_was_paid_only_for_what_it_delivered(market):
    first, startup = await join(market)
    async with market.worker():
        old, new = await replace_lost(market, first, startup)
        await market.deliver(new.grant, 10)
        lost = await market.state("grant", old.grant.issued.grant_id)
        await claim(market, startup, lost, replacement_ids=[new.grant.issued.grant_id])
        await answer(market, first)
    [claimed] = await read_claims(market, first)
    items = {item.remedy: item.gpu_seconds for item in claimed.claimed.items}
    assert items == {"replacement": 8 * 10 * 86_400, "make_whole": 8 * 50 * 86_400}
    assert claimed.due_usd == claimed.claimed.amount_usd
    await check(market)


@pytest.mark.parametrize(
    ("days", "conceded", "counts"),
    [(10, None, 10), (5, None, 5), (0, None, 0), (30, 0, 0), (30, 8 * 12 * 86_400, 12)],
    ids=["all", "half", "nothing", "conceded", "conceded in part"],
)
async def test_a_replacement_counts_for_what_it_delivered_and_its_statements_charge(market, days, conceded, counts):
    """A tenant named nodes that nobody ever ran, for which it paid nothing, and got their price from the bond."""
    first, startup = await join(market)
    async with market.worker():
        old, new = await replace_lost(market, first, startup)
        if days:
            await market.deliver(new.grant, days)
        market.clock.at = market.day(40) if conceded is None else market.day(60) + timedelta(hours=25)
        if conceded is not None:
            [first_period, *_] = list_periods(new.grant)
            await market.until("statement", first_period.statement_id, "issued")
            said = {"gpu_seconds_counted": conceded, "reason": "no more ran"}
            await dispute_statement(market.handler, market.context(startup), first_period.statement_id, **said)
        lost = await market.state("grant", old.grant.issued.grant_id)
        await claim(market, startup, lost, replacement_ids=[new.grant.issued.grant_id])
    [claimed] = await read_claims(market, first)
    hours = {item.remedy: Fraction(item.gpu_seconds, 8 * 86_400) for item in claimed.claimed.items}
    assert hours == {name: n for name, n in (("replacement", counts), ("make_whole", 60 - counts)) if n}
    await check(market)
    if counts:
        unseen = await find_faults(Replacements, market.log, drop="usage.reported.v1")
        assert [rule for rule, _, _ in unseen] == ["replacement"]


@pytest.mark.parametrize("stated", [True, False])
async def test_what_a_replacement_no_longer_charges_goes_back_to_who_paid_for_it(market, stated):
    """A tenant kept 19,804.80 of a replacement that its shell voided once the claim was paid; 3,676.80 were due."""
    first, startup = await join(market)
    async with market.worker():
        old, new = await replace_lost(market, first, startup)
        new_id = await meter_replacement(market, new)
        lost = await market.state("grant", old.grant.issued.grant_id)
        await settle(market, first, startup, lost, replacement_ids=[new_id])
        [claimed] = await read_claims(market, first)
        assert claimed.paid_usd == claimed.due_usd == claimed.claimed.amount_usd
        [period, *_] = list_periods(new.grant)
        if stated:
            await accept_by_silence(market, period)
        await void_replacement(market, new)
        if stated:
            await market.until("statement", name_adjustment(period.statement_id, 0), "accepted")
        else:
            for each in list_periods(new.grant):
                market.clock.at = each.end + timedelta(hours=25)
                issued = await market.until("statement", each.statement_id, "issued")
                market.clock.at = issued.issued.accept_until
            await market.until("grant", new_id, "completed")
    [claimed] = await read_claims(market, first)
    due = round_cents(price(old.grant, 1, 60 * 24) / 4) - claimed.claimed.credited_usd
    assert claimed.paid_usd - sum(claimed.returned.values()) == claimed.counted_usd == due
    await check(market)
    assert await find_faults(Bonds, market.log, drop="account.debited.v1") != []


@pytest.mark.parametrize("taken_back", ["conceded", "voided", "kept"])
async def test_a_claim_that_invented_readings_lowered_is_made_again_once_they_are_taken_back(market, taken_back):
    """A provider that delivered two days stated the month while it had time to answer, and then took that back."""
    market.service = replace(STANDARD_SERVICE, credits=CREDITS)
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 20_000)
    async with market.worker():
        month = await claim_silent_days(market, trade, metered=2)
        period = {"period_start": month.first.start}
        span = {"start": month.first.start + timedelta(days=2), "end": month.first.end}
        reading = Measurement(reading_id="invented", nodes=2, **span)
        provider, meter = market.context(trade.provider), {"source": "dcgm"}
        await usage.report_usage(market.handler, provider, month.grant_id, measurements=(reading,), **meter)
        late = name_adjustment(month.first.statement_id, 0)
        added = await market.until("statement", late, "issued")
        market.clock.at += ANSWER_WITHIN
        [settled] = await until_settled(market, trade.provider)
        assert settled.due_usd == 0 < settled.claimed.amount_usd
        assert await refuse(claim(market, trade.startup, month.grant, **period)) == "grant_not_defaulted"
        if taken_back == "conceded":
            said = {"gpu_seconds_counted": 0, "reason": "nothing ran"}
            await dispute_statement(market.handler, market.context(trade.startup), late, **said)
            said = {"gpu_seconds": 0, "reason": "you are right"}
            await resolve_statement(market.handler, market.context(trade.provider), late, **said)
        market.clock.at = max(market.clock.at, added.issued.accept_until)
        await market.until("statement", late, "accepted")
        if taken_back == "voided":
            context, why = market.context(trade.provider), {"reading_id": "invented", "reason": "nothing ran"}
            await usage.void_usage(market.handler, context, month.grant_id, **meter, **why)
            await market.until("statement", name_adjustment(month.first.statement_id, 1), "accepted")
        if taken_back == "kept":
            assert await refuse(claim(market, trade.startup, month.grant, **period)) == "grant_not_defaulted"
            return
        await claim(market, trade.startup, month.grant, **period)
        market.clock.at += ANSWER_WITHIN
        [_, again] = await until_settled(market, trade.provider)
        assert await refuse(claim(market, trade.startup, month.grant, **period)) == "claim_exists"
    damages = round_cents(price(month.grant, 2, 27 * 24) / 4)
    assert [item.amount_usd for item in again.claimed.items] == [damages]
    assert again.due_usd == again.claimed.amount_usd == damages - again.claimed.credited_usd > 0
    await check(market)
    settled_first = await find_faults(Bonds, market.log, drop="bond.answered.v1")
    assert "is claimed a second time" in str(settled_first)
    kept = await find_faults(Bonds, market.log, drop=lambda one: one.event_type.startswith(("statement.", "usage.")))
    assert "nothing was lowered since" in str(kept)


@pytest.mark.parametrize("paid", [True, False], ids=["paid", "conceded"])
@pytest.mark.parametrize("late_days", [28, 14])
async def test_hours_that_are_charged_after_all_are_not_paid_for_as_undelivered_too(market, paid, late_days):
    """A tenant kept a quarter of the price of hours that were not metered, once late readings charged them in full."""
    market.service = replace(STANDARD_SERVICE, credits=CREDITS)
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 20_000)
    await post(market, trade.provider, 20_000)
    async with market.worker():
        month = await claim_silent_days(market, trade, metered=2)
        await answer(market, trade.provider)
        if paid:
            await wait_and_pay(market, trade.provider)
        [before] = await read_claims(market, trade.provider)
        damages = round_cents(price(month.grant, 2, 27 * 24) / 4)
        assert before.due_usd == damages - before.claimed.credited_usd > 0
        assert before.paid_usd == (before.due_usd if paid else 0)
        start = month.first.start + timedelta(days=2)
        reading = Measurement(reading_id="late", nodes=2, start=start, end=start + timedelta(days=late_days))
        provider = market.context(trade.provider)
        await usage.report_usage(market.handler, provider, month.grant_id, source="dcgm", measurements=(reading,))
        late = name_adjustment(month.first.statement_id, 0)
        await market.until("statement", late, "issued")
        await accept_statement(market.handler, market.context(trade.startup), late)
        settled = await market.until("statement", late, "accepted")
        left = round_cents(price(month.grant, 2, 13 * 24) / 4) if late_days == 14 else Decimal(0)
        due = max(left - before.claimed.credited_usd - settled.service_credit.provider_usd, Decimal(0))
        market.clock.at += ANSWER_WITHIN
        async with asyncio.timeout(WAIT):
            while (await read_claims(market, trade.provider))[0].paid_usd < due:
                await market.tick()
    [after] = await read_claims(market, trade.provider)
    assert after.paid_usd - sum(after.returned.values()) == after.counted_usd == due < before.due_usd
    await check(market)
    assert await audit_log(market.log) == []
    if paid:
        kept = await find_faults(Bonds, market.log, drop="statement.accepted.v1")
        assert "nothing else was charged" in str(kept)


async def test_a_conceded_claim_falls_with_its_replacement_before_it_is_paid(market):
    """Only what was paid went back: a tenant whose replacement was voided in the 72 hours was paid in full for it."""
    first, startup = await join(market)
    async with market.worker():
        old, new = await replace_lost(market, first, startup)
        new_id = await meter_replacement(market, new)
        [period, *_] = list_periods(new.grant)
        await accept_by_silence(market, period)
        lost = await market.state("grant", old.grant.issued.grant_id)
        await claim(market, startup, lost, replacement_ids=[new_id])
        await answer(market, first)
        [conceded] = await read_claims(market, first)
        await void_replacement(market, new)
        await market.until("statement", name_adjustment(period.statement_id, 0), "accepted")
        market.clock.at += ANSWER_WITHIN
        due = round_cents(price(old.grant, 1, 60 * 24) / 4) - conceded.claimed.credited_usd
        async with asyncio.timeout(WAIT):
            while (await read_claims(market, first))[0].paid_usd < due:
                await market.tick()
    [claimed] = await read_claims(market, first)
    assert claimed.paid_usd == claimed.due_usd == claimed.counted_usd == due < conceded.due_usd
    await check(market)
    assert await audit_log(market.log) == []


async def test_a_replacement_that_is_named_once_a_claim_is_settled_does_not_open_it(market):
    """A startup took the share of the price, and then the difference of what it had bought before it claimed."""
    first, second = [await market.party(name, "provider", usd=50_000) for name in ("First", "Second")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market)
    await post(market, first, 20_000)
    async with market.worker():
        old = await sell(market, first, startup, lock=0.5, ask="2")
        await fail(market, old.grant, 12)
        await inventory.withdraw_lot(market.handler, market.context(first), old.lot, reason="broken")
        new = await sell(market, second, startup, lock=14, ask="3.50", nodes=1, start=15, end=25)
        await market.deliver(new.grant, 10)
        period = list_periods(old.grant)[0]
        market.clock.at = period.end + timedelta(hours=25)
        market.clock.at = (await market.until("statement", period.statement_id, "issued")).issued.accept_until
        await market.until("statement", period.statement_id, "accepted")
        await settle(market, first, startup, old.grant, period_start=period.start)
        again = {"period_start": period.start, "replacement_ids": [new.grant.issued.grant_id]}
        assert await refuse(claim(market, startup, old.grant, **again)) == "claim_exists"
    await check(market)
