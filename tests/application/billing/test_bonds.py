"""A provider's bond pays startups for hours that it does not deliver, once, and no more than follows from the log."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from msgspec import structs

from events.service import CreditStep
from marketplace.application.access.relations import declare_relation
from marketplace.application.billing import accounts, bonds
from marketplace.application.billing.approvals import set_limit
from marketplace.application.delivery import grants
from marketplace.application.delivery.grants import terminate_grant
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.supply import inventory
from marketplace.auditor.alone import Alone
from marketplace.auditor.bonds import Bonds
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.billing.remedies import ANSWER_WITHIN, CLAIM_WITHIN
from marketplace.domain.delivery.periods import list_periods
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_service_credits import Month
from tests.application.test_rule_races import race
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

WAIT = 60


async def post(market, provider, usd, *, lot=None, days=300):
    until = None if lot else market.day(days)
    context = market.context(provider)
    return await bonds.post_bond(
        market.handler, context, provider, amount_usd=Decimal(usd), lot_id=lot, stands_until=until
    )


async def claim(market, startup, grant, **more):
    return await bonds.claim_bond(market.handler, market.context(startup), grant.issued.grant_id, **more)


async def answer(market, provider, number=-1, *, usd=None, by_platform=False):
    bond = await market.state("bond", rename_id("bnd", provider))
    context = market.context(None if by_platform else provider)
    claim_id, amount = bond.claims[number].claimed.claim_id, None if usd is None else Decimal(usd)
    process = Handler(market.log, market.clock)  # It has read what other processes stored.
    return await bonds.answer_claim(
        process, context, rename_id("bnd", provider), claim_id, amount_usd=amount, reason="as the log says"
    )


async def wait_and_pay(market, provider, number=-1):
    """Let the time for answers end, and pay what was answered."""
    bond_id = rename_id("bnd", provider)
    claimed = (await market.state("bond", bond_id)).claims[number].claimed
    market.clock.at = max(market.clock.at, claimed.answer_until)
    return await bonds.lapse_claim(market.handler, market.context(), bond_id, claimed.claim_id)


async def refuse(attempt):
    with pytest.raises(Refusal) as caught:
        await attempt
    return caught.value.code


async def compete(market, ask="8.99", region="us-east"):
    """List another provider's nodes from day 1 to day 200, so that auctions have two sellers."""
    rival = await market.party("Rival", "provider")
    _, pool = await market.pool(rival, region=region)
    await market.lot(rival, pool, ask=ask, end=200)


async def sell(market, provider, startup, *, lock, ask, nodes=2, start=10, end=90, region="us-east", **wishes):
    """Sell nodes of a new pool and lot of a provider from one day to another, in an auction of a given day."""
    _, pool = await market.pool(provider, nodes=nodes, region=region)
    lot = await market.lot(provider, pool, ask=ask, nodes=nodes, start=start, end=end)
    days = end - start
    order = await market.order(startup, cash="9", nodes=nodes, days=days, earliest=start, latest=start, **wishes)
    auction = await market.auction(lock, horizon=start, periods=days + 1)
    market.clock.at = market.day(lock)
    await market.until_carried_out(auction)
    grant = await market.state("grant", (await market.state("order", order)).grant_id)
    return SimpleNamespace(grant=grant, lot=lot, pool=pool)


def price(grant, nodes, hours):
    return parse_ratio(grant.issued.price_usd_per_gpu_hour) * 8 * nodes * hours


async def sell_elsewhere(market, provider_id, sold):
    """Let a provider end on day 5 what it sold, from day 30 on, and withdraw the lot."""
    market.clock.at, context = market.day(5), market.context(provider_id)
    end = {"at": market.day(30), "reason": "sold to another"}
    await terminate_grant(market.handler, context, sold.grant.issued.grant_id, **end)
    await inventory.withdraw_lot(market.handler, market.context(provider_id), sold.lot, reason="sold to another")


async def trade_with_bond():
    """Return a market and a trade in cash, whose provider gives service credits and has a bond of 5,000 USD."""
    market = Market(MemoryLog())
    step = CreditStep(availability_below=Decimal("0.95"), credit=Decimal("0.01"))
    market.service = structs.replace(market.service, credits=(step,))
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 10_000)
    await post(market, trade.provider, 5_000)
    return market, trade


async def test_hours_that_fail_after_the_cure_time_are_paid_less_the_service_credit_once_and_by_silence():
    market, trade = await trade_with_bond()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        grant, start = month.grant, month.first.start
        await month.lose_a_node(6)
        assert await refuse(claim(market, trade.startup, grant, period_start=start)) == "statement_unknown"
        settled = await month.settle()
        refused = {
            "nobody's period": (trade.startup, {"period_start": start + timedelta(1)}),
            "no early end": (trade.startup, {}),
            "the provider": (trade.provider, {"period_start": start}),
        }
        codes = {why: await refuse(claim(market, who, grant, **more)) for why, (who, more) in refused.items()}
        assert list(codes.values()) == ["period_unknown", "grant_not_defaulted", "wrong_side"]
        before = (await market.account(trade.startup)).available_usd
        receipt = await claim(market, trade.startup, grant, period_start=start)
        market.clock.at += timedelta(seconds=1)
        assert await refuse(claim(market, trade.startup, grant, period_start=start)) == "claim_exists"
        [claimed] = (await market.state("bond", receipt.id)).claims
        damages = round_cents(price(grant, 1, 5 * 24) / 4)
        assert claimed.claimed.amount_usd == damages - settled.service_credit.provider_usd > 0
        context = market.context(trade.provider)
        assert await refuse(bonds.release_bond(market.handler, context, receipt.id)) == "bond_stands"
        market.clock.at += ANSWER_WITHIN
        async with asyncio.timeout(WAIT):
            while (await market.state("bond", receipt.id)).claims[0].status != "settled":
                await market.tick()
        assert (await market.account(trade.startup)).available_usd - before == claimed.claimed.amount_usd
    market.clock.at = month.first.end + CLAIM_WITHIN
    assert await refuse(claim(market, trade.startup, grant, period_start=start)) == "claim_late"
    await check_log(market.log)


async def test_an_early_end_pays_what_the_replacement_costs_more_and_a_share_of_the_rest_in_full_once_there_is_more():
    market = Market(MemoryLog())
    first, second = [await market.party(name, "provider", usd=50_000) for name in ("First", "Second")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market)
    await post(market, first, 3_000)
    async with market.worker():
        old = await sell(market, first, startup, lock=0.5, ask="2")
        early = await sell(market, second, startup, lock=1.5, ask="3", nodes=1)
        await post(market, first, 500, lot=old.lot)
        await sell_elsewhere(market, first, old)
        assert await refuse(claim(market, startup, early.grant)) == "grant_not_defaulted"
        new = await sell(market, second, startup, lock=6, ask="3.50", nodes=1, start=30)
        await market.deliver(new.grant, 60)
    lost, bought = await market.state("grant", old.grant.issued.grant_id), new.grant.issued.grant_id
    for ids in ([early.grant.issued.grant_id], [bought, bought], [lost.issued.grant_id]):
        assert await refuse(claim(market, startup, lost, replacement_ids=ids)) == "replacement_unfit"
    market.clock.at = market.day(90)
    receipt = await claim(market, startup, lost, replacement_ids=[bought])
    [claimed] = [one.claimed for one in (await market.state("bond", receipt.id)).claims]
    hours = 60 * 24
    extra = round_cents((Fraction("3.5") - parse_ratio(lost.issued.price_usd_per_gpu_hour)) * 8 * hours)
    rest = round_cents(price(lost, 1, hours) / 4)
    assert [(item.remedy, item.amount_usd) for item in claimed.items] == [("replacement", extra), ("make_whole", rest)]
    assert claimed.credited_usd == lost.end_fee_usd > 0
    assert claimed.amount_usd == extra + rest - lost.end_fee_usd > 3_500
    before = (await market.account(startup)).available_usd
    await market.keep(first, 50_000)
    await answer(market, first)
    assert (await market.account(startup)).available_usd == before, "others may claim for 72 hours"
    await wait_and_pay(market, first)
    assert (await market.account(startup)).available_usd - before == 3_500
    await market.keep(first, 0)
    await post(market, first, 40_000, days=400)
    assert (await market.account(startup)).available_usd - before == claimed.amount_usd
    market.clock.at = market.day(400) + CLAIM_WITHIN
    await bonds.release_bond(market.handler, market.context(first), receipt.id)
    assert (await market.account(first)).held_usd == 0
    await check_log(market.log)
    assert await find_faults(Bonds, market.log) == []
    for drop in ("bond.claimed", "bond.answered", "bond.paid", "account.hold_captured", "account.hold_released"):
        assert await find_faults(Bonds, market.log, drop=f"{drop}.v1") != []


async def test_one_person_concedes_no_more_of_a_claim_than_its_limit():
    market, trade = await trade_with_bond()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.lose_a_node(6)
        await month.settle()
        await claim(market, trade.startup, month.grant, period_start=month.first.start)
        limit, account_id = (
            structs.replace(market.context(trade.provider), actor_person="p1"),
            rename_id("acc", trade.provider),
        )
        await set_limit(market.handler, limit, account_id, limit_usd=Decimal(100))
        for usd in (None, 101):
            assert await refuse(answer(market, trade.provider, usd=usd)) == "limit_exceeded"
        await answer(market, trade.provider, usd=99)
        assert [use.amount_usd for use in (await market.account(trade.provider)).used] == [99]
    assert await find_faults(Alone, market.log) == []
    assert await find_faults(Alone, market.log, drop="account.limit_used.v1")
    await check_log(market.log)


PAYMENT = ["bond.claimed", "bond.answered", "bond.paid"]
ORDER = [
    "grant.issued",
    "grant.degraded",
    "grant.substituted",
    "grant.degraded",
    "grant.issued",
    "statement.service_credited",
    *PAYMENT,
    "bond.paid",
    "grant.terminated",
    *PAYMENT,
]


async def list_remedies(market):
    """Return the names of the events of defaults and remedies, in the order of the log."""
    names = [event.envelope.type.removeprefix("marketplace.") async for page in market.log.read() for event in page]
    return [name.removesuffix(".v1") for name in names if name.removesuffix(".v1") in ORDER]


async def sum_received(market, payer, payee):
    """Return what one party's account paid to another's."""
    bodies = [
        json.loads(event.body)
        async for page in market.log.read()
        for event in page
        if event.envelope.type == "marketplace.account.credited.v1"
    ]
    sides = rename_id("acc", payer), rename_id("acc", payee)
    mine = [body for body in bodies if (body["payer_account_id"], body["account_id"]) == sides]
    return sum(Decimal(body["amount_usd"]) for body in mine)


async def fail(market, grant, day):
    """Let one of a grant's nodes fail."""
    market.clock.at = market.day(day)
    await market.until("grant", grant.issued.grant_id, "active")
    context, act = market.context(grant.issued.provider_id), {"at": market.day(day), "reason": "a fan"}
    await grants.degrade_grant(market.handler, context, grant.issued.grant_id, nodes_available=1, **act)


async def settle(market, provider, startup, grant, **more):
    """Claim, let the provider admit it, and pay once the time for answers is over."""
    await claim(market, startup, grant, **more)
    await answer(market, provider)
    await wait_and_pay(market, provider)


async def test_remedies_follow_in_their_order_from_the_cure_time_to_the_make_whole_and_every_cent_is_the_defaulters():
    market = Market(MemoryLog())
    step = CreditStep(availability_below=Decimal("0.95"), credit=Decimal("0.01"))
    market.service = structs.replace(market.service, credits=(step,))
    first, second = [await market.party(name, "provider", usd=50_000) for name in ("First", "Second")]
    startup = await market.party("Startup", "startup", usd=900_000)
    await compete(market)
    await post(market, first, 2_000)
    async with market.worker():
        old = await sell(market, first, startup, lock=0.5, ask="2")
        grant_id, terms = old.grant.issued.grant_id, {"reason": "a fan"}
        _, spare = await market.pool(first, nodes=2)
        await market.lot(first, spare, nodes=2, start=10, end=90)

        def move(pool):
            return substitute_grant(market.handler, market.context(first), grant_id, pool_id=pool, **terms)

        await fail(market, old.grant, 12)
        market.clock.at = market.day(14)
        await move(spare)
        await grants.resume_grant(market.handler, market.context(first), grant_id, at=market.clock.now())
        await inventory.withdraw_lot(market.handler, market.context(first), old.lot, reason="broken")
        await fail(market, old.grant, 20)
        assert await refuse(move(old.pool)) == "substitute_full"
        bought = await sell(market, second, startup, lock=21, ask="3.50", nodes=1, start=22, end=32)
        await market.deliver(bought.grant, 10)
        market.clock.at = market.day(40)
        await grants.resume_grant(market.handler, market.context(first), grant_id, at=market.clock.now())
        await market.deliver(old.grant, 30)
        statement_id = list_periods(old.grant)[0].statement_id
        market.clock.at = market.day(40) + timedelta(hours=25)
        market.clock.at = (await market.until("statement", statement_id, "issued")).issued.accept_until
        settled = await market.until("statement", statement_id, "accepted")
        period = {"period_start": market.day(10), "replacement_ids": [bought.grant.issued.grant_id]}
        await settle(market, first, startup, old.grant, **period)
        end = {"at": market.day(60), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(first), grant_id, **end)
        ended = await market.state("grant", grant_id)
        await settle(market, first, startup, ended)
    extra, rest = round_cents(Fraction("1.5") * 8 * 10 * 24), round_cents(price(old.grant, 1, 11 * 24) / 4)
    whole, credit = round_cents(price(old.grant, 2, 30 * 24) / 4), settled.service_credit.provider_usd
    claims = (await market.state("bond", rename_id("bnd", first))).claims
    assert [[(item.remedy, item.amount_usd) for item in one.claimed.items] for one in claims] == [
        [("replacement", extra), ("damages", rest)],
        [("make_whole", whole)],
    ]
    assert [one.claimed.credited_usd for one in claims] == [credit, ended.end_fee_usd]
    due = [extra + rest - credit, whole - ended.end_fee_usd]
    assert [one.claimed.amount_usd for one in claims] == due
    assert [one.paid.get(None, 0) for one in claims] == [2_000, 0], "the bond pays first"
    assert [one.paid_usd for one in claims] == due
    assert await list_remedies(market) == ORDER
    assert await sum_received(market, first, startup) == credit + ended.end_fee_usd + sum(due)
    await check_log(market.log)
    assert await find_faults(Bonds, market.log) == []


async def build_defaults(market, bond_usd=1_000):
    """Return a provider with a bond that ended the grants of two startups, and these startups with them."""
    provider = await market.party("Provider", "provider", usd=50_000)
    startups = [await market.party(name, "startup", usd=400_000) for name in ("One", "Two")]
    if bond_usd:
        await post(market, provider, bond_usd)
    async with market.worker():
        sold = [
            await sell(market, provider, startup, lock=lock, ask="2")
            for startup, lock in zip(startups, (0.5, 1.5), strict=True)
        ]
    market.clock.at = market.day(5)
    for one in sold:
        act = {"at": market.day(30), "reason": "sold to another"}
        await terminate_grant(market.handler, market.context(provider), one.grant.issued.grant_id, **act)
    grants = [await market.state("grant", one.grant.issued.grant_id) for one in sold]
    return provider, startups, grants


@pytest.mark.parametrize("claims", [2, 1])
async def test_two_processes_claim_and_answer_at_once_and_no_cent_is_paid_twice(claims):
    market = Market(MemoryLog())
    provider, startups, grants = await build_defaults(market)
    await market.keep(provider, 50_000)
    both = list(zip(startups, grants, strict=True))[:claims] * (3 - claims)
    steps = [lambda process, who=who, what=what: claim(process, who, what) for who, what in both]
    assert not any(isinstance(one, Exception) for one in await race(market, *steps))
    for turn in (answer, wait_and_pay):
        turns = [
            lambda process, turn=turn, number=number % claims: turn(process, provider, number) for number in (0, 1)
        ]
        await race(market, *turns)
    bond = await market.state("bond", rename_id("bnd", provider))
    assert [one.paid_usd for one in bond.claims] == [Decimal(1_000) / claims] * claims
    assert bond.parts[None].free_usd == 0
    await check_log(market.log)


async def test_a_provider_without_a_bond_keeps_what_may_be_claimed_and_what_is_claimed_and_pays_it():
    market = Market(MemoryLog())
    provider, startups, grants = await build_defaults(market, bond_usd=0)
    account_id, available = rename_id("acc", provider), (await market.account(provider)).available_usd

    async def withdraw(usd):
        named = {"amount_usd": usd, "reference": f"{usd}"}
        return await accounts.withdraw(market.handler, market.context(provider), account_id, **named)

    assert await refuse(withdraw(available)) == "funds_reserved", "its startups have 30 days to claim"
    market.clock.at = market.day(30) + CLAIM_WITHIN
    await claim(market, startups[0], grants[0])
    claimed = (await market.state("bond", rename_id("bnd", provider))).claims[0].claimed.amount_usd
    assert (await market.account(provider)).sum_reserves(market.day(29)) == 2 * claimed
    assert await refuse(withdraw(available)) == "funds_reserved", "it does not empty its account"
    await withdraw(available - claimed)
    before = (await market.account(startups[0])).available_usd
    await answer(market, provider, usd=1_000)
    await answer(market, provider, usd=2_000, by_platform=True)
    await accounts.close_account(market.handler, market.context(provider), account_id, reason="done")
    await wait_and_pay(market, provider)
    assert (await market.account(startups[0])).available_usd - before == 2_000
    left = await market.account(provider)
    assert (left.available_usd, left.sum_reserves(market.clock.at)) == (claimed - 2_000, 0), (
        "what the claim does not come to is free"
    )
    await check_log(market.log)
    assert await find_faults(Bonds, market.log) == []
    for drop in ("account.reserved", "account.debited", "bond.paid"):
        assert await find_faults(Bonds, market.log, drop=f"{drop}.v1") != [], drop


async def test_a_claim_is_paid_as_soon_as_its_provider_has_money_for_it():
    market = Market(MemoryLog())
    provider, (startup, _), (grant, _) = await build_defaults(market, bond_usd=0)
    account_id, bond_id = rename_id("acc", provider), rename_id("bnd", provider)
    market.clock.at = market.day(30) + CLAIM_WITHIN
    left = (await market.account(provider)).available_usd - 300
    await accounts.withdraw(market.handler, market.context(provider), account_id, amount_usd=left, reference="out")
    await market.keep(provider, 200, until=market.day(75))
    await claim(market, startup, grant)
    await answer(market, provider, usd=1_000)
    await answer(market, provider, usd=1_000, by_platform=True)

    async def wait_for(usd):
        async with asyncio.timeout(WAIT):
            while (await market.state("bond", bond_id)).claims[0].paid_usd < usd:
                await market.tick()

    async with market.worker():
        market.clock.at += ANSWER_WITHIN
        await wait_for(100)
        wires = {"amount_usd": Decimal(250), "reference": "in"}
        await accounts.deposit(market.handler, market.context(), account_id, **wires)
        await wait_for(350)
    async with market.worker():
        market.clock.at = market.day(75)
        await wait_for(550)
        wires = {"amount_usd": Decimal(500), "reference": "in again"}
        await accounts.deposit(market.handler, market.context(), account_id, **wires)
        await wait_for(1_000)
    assert (await market.account(provider)).available_usd == 50
    await check_log(market.log)


async def test_who_is_related_claims_nothing_and_what_is_set_apart_is_neither_withdrawn_nor_counted_twice():
    market = Market(MemoryLog())
    provider, (startup, other), (grant, second) = await build_defaults(market)
    context, account_id = market.context(provider), rename_id("acc", provider)
    available = (await market.account(provider)).available_usd
    take = {"amount_usd": available + 1, "reference": "all"}
    assert await refuse(accounts.withdraw(market.handler, context, account_id, **take)) == "funds_insufficient"
    bad = {
        "term_missing": {"amount_usd": Decimal(1)},
        "lot_unknown": {"amount_usd": Decimal(1), "lot_id": "lot_00000000000000000000000000"},
        "funds_insufficient": {"amount_usd": available + 1, "stands_until": market.day(300)},
        "amount_not_positive": {"amount_usd": Decimal(0), "stands_until": market.day(300)},
    }
    for code, body in bad.items():
        attempt = bonds.post_bond(market.handler, market.context(provider), provider, **body)
        assert await refuse(attempt) == code
    attempt = bonds.post_bond(market.handler, market.context(), startup, **bad["term_missing"])
    assert await refuse(attempt) == "role_missing"
    fact = {"kind": "affiliate", "reason": "one partner directs both", "related_id": startup}
    await declare_relation(market.handler, market.context(), provider, **fact)
    with pytest.raises(Refusal, match=f"{startup} .* claims nothing from its bond") as caught:
        await claim(market, startup, grant)
    assert caught.value.code == "parties_related"
    assert await refuse(claim(market, other, grant)) == "grant_unknown"
    fund = {"owner": "lei:5493001kjtiigc8y1r12"}
    for by, end in ((other, fund), (provider, fund), (provider, {"related_id": other})):
        fact = {"kind": "affiliate", "reason": "so that nothing is paid", **end}
        await declare_relation(market.handler, market.context(by), by, **fact)
    await claim(market, other, second)
    await check_log(market.log)
