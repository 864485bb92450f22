"""What one party tried with orders, lots, grants and disputes of its own."""

from contextlib import nullcontext, suppress
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise

import pytest

from marketplace.application.access.parties import suspend_party
from marketplace.application.billing import disputes, statements
from marketplace.application.delivery.grants import terminate_grant, transfer_grant
from marketplace.application.trading.resale import resell_grant
from marketplace.auditor.disputes import Disputes
from marketplace.auditor.fees import Fees
from marketplace.core.errors import Refusal
from marketplace.domain.billing.dispute import ANSWER
from marketplace.domain.billing.remedies import find_credited, find_ending
from marketplace.domain.delivery.periods import ACCEPTANCE, list_periods
from marketplace.domain.supply.schedule import STANDARD, compute_end_fee
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_adjustments import DAY
from tests.application.billing.test_hostile_meters import AuditedCauses
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market():
    return Market(MemoryLog())


async def test_a_party_in_both_roles_does_not_buy_of_itself(market):
    both = await market.party("Both", "provider", "startup", usd=100_000)
    _, pool = await market.pool(both)
    await market.lot(both, pool)
    order = await market.order(both, cash="9", nodes=2, days=5)
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "unmatched"
    await check_log(market.log)


async def test_who_ends_a_grant_again_pays_once_unless_it_ends_earlier_then_each_pays_for_what_it_ended(market):
    trade = await market.trade(cash="3", equity="0")
    await market.deposit(trade.provider, 50_000)
    async with market.worker():
        grant = await market.award(trade)
    fees = []
    for side, days, is_refused in (
        (trade.provider, 60, True),
        (trade.provider, 20, False),
        (trade.provider, 20, False),
        (trade.provider, 30, True),
        (trade.startup, 35, True),
        (None, 25, False),
    ):
        end = {"at": market.day(days), "reason": "sold to another", "by": "startup"}
        with pytest.raises(Refusal, match="already") if is_refused else nullcontext():
            await terminate_grant(market.handler, market.context(side), grant.issued.grant_id, **end)
        if days > 40:
            continue
        ended = await market.state("grant", grant.issued.grant_id)
        fees.append((ended.end, ended.end_fee_usd))
    assert len(set(fees)) == 1
    assert (await market.account(trade.provider)).available_usd == 50_000 - fees[0][1]
    for side, days in ((trade.startup, 15), (trade.provider, 10)):
        end = {"at": market.day(days), "reason": "sooner"}
        await terminate_grant(market.handler, market.context(side), grant.issued.grant_id, **end)
    ended = await market.state("grant", grant.issued.grant_id)
    first, startups, last = (known.fee_usd for known in ended.terminations)
    assert (ended.end, first, startups) == (market.day(10), fees[0][1], last)
    assert (await market.account(trade.provider)).available_usd == 50_000 - first + startups - last
    gaps = [(gap.start, gap.end) for gap in find_ending(ended).gaps]
    assert gaps == [(market.day(10), market.day(15)), (market.day(20), market.day(41))], "the startup ended the rest"
    assert find_credited(find_ending(ended), ()) == first + last
    assert await find_faults(Fees, market.log) == []
    assert await find_faults(Fees, market.log, drop="grant.terminated.v1")
    await check_log(market.log)


async def test_who_uses_a_grant_by_transfer_ends_it_for_cause_alone_since_another_pays_the_fee(market):
    trade = await market.trade(cash="3", equity="0")
    user = await market.party("User", "startup")
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
    await transfer_grant(market.handler, market.context(trade.startup), grant_id, startup_id=user)
    end = {"at": market.day(10), "reason": "the provider asked for it"}
    with pytest.raises(Refusal) as caught:
        await terminate_grant(market.handler, market.context(user), grant_id, **end)
    assert caught.value.code == "wrong_side"
    for party in (user, trade.startup):
        with pytest.raises(Refusal) as caught:
            await terminate_grant(market.handler, market.context(party), grant_id, **end, for_cause=True)
        assert caught.value.code == "cause_missing"
    await terminate_grant(market.handler, market.context(trade.startup), grant_id, **end)
    assert (await market.state("grant", grant_id)).terminated.fee_usd > 0
    await check_log(market.log)


async def test_who_pays_names_another_user_while_the_first_is_suspended_and_the_provider_ends_nothing(market):
    trade = await market.trade(cash="3", equity="0")
    user, other = [await market.party(name, "startup") for name in ("User", "Other")]
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
    hand_on = partial(transfer_grant, market.handler, grant_id=grant_id)
    await hand_on(market.context(trade.startup), startup_id=user)
    span = {"nodes": 1, "start": market.day(20), "end": market.day(22), "ask_usd_per_gpu_hour": Decimal(4)}
    for act, code in (
        (hand_on(market.context(trade.startup), startup_id=other), "grant_transferred"),
        (resell_grant(market.handler, market.context(trade.startup), grant_id, **span), "grant_transferred"),
        (hand_on(market.context(trade.provider), startup_id=other), "wrong_side"),
        (hand_on(market.context(other), startup_id=other), "grant_unknown"),
    ):
        with pytest.raises(Refusal) as caught:
            await act
        assert caught.value.code == code
    await suspend_party(market.handler, market.context(), user, reason="sanctions")
    end = {"at": market.day(10), "reason": "its user is suspended", "for_cause": True}
    with pytest.raises(Refusal) as caught:
        await terminate_grant(market.handler, market.context(trade.provider), grant_id, **end)
    assert caught.value.code == "cause_missing"
    await hand_on(market.context(trade.startup), startup_id=trade.startup)
    assert (await market.state("grant", grant_id)).startup_id == trade.startup
    await suspend_party(market.handler, market.context(), trade.startup, reason="sanctions")
    await terminate_grant(market.handler, market.context(trade.provider), grant_id, **end)
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


async def test_two_payers_that_take_turns_to_claim_a_second_less_move_no_end_beyond_a_week_after_acceptance(market):
    trade = await market.trade(startup_accepts_alone=False)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 30)
        first = list_periods(grant)[0]
        market.clock.at = first.end + timedelta(hours=25)
        stated = await market.until("statement", first.statement_id, "issued")
        claim = stated.charges.gpu_seconds
        for day in range(ACCEPTANCE.days):
            market.clock.at = stated.issued.accept_until - ACCEPTANCE + timedelta(days=day)
            claim -= 1
            context = market.context((trade.startup, trade.fund)[day % 2])
            act = {"gpu_seconds_counted": claim, "reason": "a second less"}
            with suppress(Refusal):
                await statements.dispute_statement(market.handler, context, first.statement_id, **act)
        latest = stated.issued.accept_until + ANSWER
        assert (await market.state("statement", first.statement_id)).dispute.answer_until <= latest
        market.clock.at = latest
        settled = await market.until("statement", first.statement_id, "accepted")
    assert settled.charges.gpu_seconds >= 30 * DAY - ACCEPTANCE.days
    assert await find_faults(Disputes, market.log) == []
    await check_log(market.log)


async def test_a_provider_that_lets_its_own_deadline_pass_neither_refers_nor_answers_after_it(market):
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 30)
        first = list_periods(grant)[0]
        market.clock.at = first.end + timedelta(hours=25)
        await market.until("statement", first.statement_id, "issued")
    claim = {"gpu_seconds_counted": 10 * DAY, "reason": "less was delivered"}
    await statements.dispute_statement(market.handler, market.context(trade.startup), first.statement_id, **claim)
    market.clock.at += ANSWER
    for act in (disputes.refer_dispute, disputes.answer_dispute):
        with pytest.raises(Refusal) as caught:
            await act(market.handler, market.context(trade.provider), first.statement_id, reason="wait")
        assert caught.value.code == "answer_period_over"
    async with market.worker():
        settled = await market.until("statement", first.statement_id, "accepted")
    assert (settled.charges.gpu_seconds, settled.ended_by) == (10 * DAY, "silence")
    assert await find_faults(Disputes, market.log) == []
    await check_log(market.log)


def test_a_deal_that_is_split_into_small_grants_is_ended_at_a_shorter_notice_for_no_smaller_fee():
    whole = Fraction(1_000_000)
    for small, large in pairwise(STANDARD.ends):
        for hours in (0, 73, 168, 719):
            parts = 10 * compute_end_fee(small.fees, whole / 10, timedelta(hours=hours))
            assert parts >= compute_end_fee(large.fees, whole, timedelta(hours=max(hours, large.notice_hours_min)))
