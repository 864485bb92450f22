"""A startup shortens or moves a grant whose site is late, without asking its provider."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest

from events.stages import StageTerms
from events.types import NoteTerms
from marketplace.application.billing import bonds
from marketplace.application.delivery import grants
from marketplace.application.delivery.rescheduling import reschedule_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory, sites
from marketplace.application.trading import mandates
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.claims import Claims
from marketplace.auditor.market import Market as Course
from marketplace.auditor.reschedules import Reschedules
from marketplace.auditor.stages import Stages
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.stages import compute_funding
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from tests.application.supply.test_sites import convert, slip
from tests.application.trading.test_resale import resell
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def choose(market, party, grant_id, choice, day=None):
    start = None if day is None else market.day(day)
    context = market.context(party)
    return await reschedule_grant(market.handler, context, grant_id, choice=choice, start=start)


async def refuse(attempt):
    with pytest.raises(Refusal) as caught:
        await attempt
    return caught.value


async def check(market):
    await check_log(market.log)
    for part in (Bonds, Capacity, Course, Reschedules, Stages):
        assert await find_faults(part, market.log) == []


async def deliver_all(market, grant_id, days):
    """Let a grant begin, deliver all of its days and let its statement be accepted by silence."""
    grant = await market.state("grant", grant_id)
    market.clock.at = grant.issued.start
    await market.until("grant", grant_id, "active")
    await market.deliver(grant, days)
    market.clock.at = grant.end + timedelta(hours=25)
    statement = await market.until("statement", list_periods(grant)[0].statement_id, "issued")
    market.clock.at = statement.issued.accept_until
    return await market.until("grant", grant_id, "completed")


async def test_a_shortened_grant_keeps_its_end_and_what_was_set_aside_for_the_hours_before_is_free(market):
    trade, site = await convert(market, 1)
    await market.deposit(trade.provider, 5_000)
    async with market.worker():
        grant = await market.award(trade)
        grant_id, before = grant.issued.grant_id, await market.account(trade.startup)
        await slip(market, trade, site, 4.9)
        await choose(market, trade.startup, grant_id, "shortened")
        after = await market.state("grant", grant_id)
        assert (after.issued.start, after.end) == (market.day(4.9) + timedelta(minutes=24), market.day(11))
        [changed] = after.rescheduled
        hours = int((after.issued.start - market.day(1)).total_seconds()) // 3_600
        assert changed.gpu_seconds_cut == 16 * 3_600 * hours == 16 * 3_600 * 94
        tariff = build_tariff(grant.issued)
        whole, left = (compute_totals(tariff, known.gpu_seconds_granted) for known in (grant, after))
        account = await market.account(trade.startup)
        assert before.held_usd - account.held_usd == whole.startup_usd - left.startup_usd > 0
        mandate = await market.state("mandate", trade.mandate)
        assert mandate.used_usd == left.holder_usd == after.issued.equity.budget_commitment_usd
        instrument = await market.state("instrument", rename_id("ins", grant_id))
        assert instrument.open_usd == left.principal_usd == after.issued.equity.principal_commitment_usd
        pool = await market.state("pool", trade.pool)
        assert [load.start for load in pool.reserved()] == [after.issued.start]
        assert (await refuse(choose(market, trade.startup, grant_id, "shortened"))).code == "site_on_time"
        due = round_cents(parse_ratio(grant.issued.price_usd_per_gpu_hour) * 16 * (94 - 24) / 4)
        kept = (await market.account(trade.provider)).reserves
        assert [amount for amount, _ in kept.values()] == [due], "the make-whole of the hours beyond the cure time"
        receipt = await bonds.claim_bond(market.handler, market.context(trade.startup), grant_id)
        claimed = (await market.state("bond", receipt.id)).claims[0].claimed
        assert (claimed.amount_usd, [item.remedy for item in claimed.items]) == (due, ["make_whole"])
        done = await deliver_all(market, grant_id, 6)
        assert not done.outages
    await check(market)


async def test_a_moved_grant_has_the_same_length_price_and_lots_from_when_its_site_is_ready(market):
    trade, site = await convert(market, 1)
    async with market.worker(), market.worker():
        grant = await market.award(trade)
        grant_id, before = grant.issued.grant_id, await market.account(trade.startup)
        await slip(market, trade, site, 3)
        await choose(market, trade.startup, grant_id, "moved")
        after = await market.state("grant", grant_id)
        assert (after.issued.start, after.end, after.issued.nodes) == (market.day(3), market.day(13), 2)
        assert {share.lot_id for share in after.lots} == {trade.lot}
        assert (await market.account(trade.startup)).held_usd == before.held_usd
        assert after.issued.cash_commitment_usd == grant.issued.cash_commitment_usd
        site_state = await market.state("site", site)
        [(_, [drawn])] = site_state.drawn.items()
        assert (drawn.start, drawn.end) == (market.day(3), market.day(13))
        assert (await refuse(bonds.claim_bond(market.handler, market.context(trade.startup), grant_id))).code == (
            "grant_not_defaulted"
        )
        done = await deliver_all(market, grant_id, 10)
        assert done.end == market.day(13)
    await check(market)


async def test_a_grant_whose_site_slips_again_in_the_instant_of_its_move_moves_again_with_its_reservation(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        for day in (3, 5):
            await slip(market, trade, site, day)
            await choose(market, trade.startup, grant_id, "moved")
        grant, pool = await market.state("grant", grant_id), await market.state("pool", trade.pool)
        reserved = pool.reservations[grant_id]
        assert (grant.issued.start, grant.end) == (reserved.start, reserved.end) == (market.day(5), market.day(15))
        assert min(share.start for share in grant.lots) == market.day(5)
    await check(market)


async def test_no_move_leaves_a_note_less_time_for_its_usage_than_the_order_had_to(market):
    """Run and tail end on 2026-04-14 with the first move, and two days later with the second."""
    market.instrument = NoteTerms(
        annual_rate=Decimal("0.1"),
        interest="simple",
        day_count="thirty_360",
        matures_on=date(2026, 4, 14),
        valuation_cap_usd=Decimal(900_000_000),
        service_consequence="credit",
    )
    trade = await market.trade(days=10, status="planned", instrument_kinds=("convertible_note",), note_days_min=30)
    site, context = (await market.state("pool", trade.pool)).opened.site_id, market.context(trade.provider)
    await sites.schedule_conversion(market.handler, context, site, former_use="mine", ready_at=market.day(1))
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 3)
        await choose(market, trade.startup, grant_id, "moved")
        await slip(market, trade, site, 5)
        refused = await refuse(choose(market, trade.startup, grant_id, "moved"))
        assert (refused.code, refused.pointer) == ("note_too_short", "/start")
        await choose(market, trade.startup, grant_id, "shortened")
    await check(market)


async def test_a_move_is_refused_where_the_hours_are_sold_to_somebody_else_and_names_the_first_of_them(market):
    trade, site = await convert(market, 1)
    other = await market.party("Other", "startup", usd=100_000)
    async with market.worker():
        order = await market.order(other, nodes=3, days=5, earliest=12, latest=12, cash="9")
        grant_id = (await market.award(trade)).issued.grant_id
        await market.until("order", order, "matched")
        await slip(market, trade, site, 3)
        refused = await refuse(choose(market, trade.startup, grant_id, "moved"))
        assert (refused.code, refused.pointer, refused.facts["at"]) == ("hours_taken", "/start", "2026-01-13T00:00:00Z")
        for day, code in ((40, "start_too_late"), (2, "start_too_early"), (17.01, "start_unaligned")):
            assert (await refuse(choose(market, trade.startup, grant_id, "moved", day))).code == code
        await choose(market, trade.startup, grant_id, "moved", 17)
    assert (await market.state("grant", grant_id)).issued.start == market.day(17)
    await check(market)


async def until_lot_begins(market, lot_id, at):
    while (await market.state("lot", lot_id)).start != at:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def sell_again(market, trade, start, end):
    """List all nodes of the pool at a higher price, as its provider, from one day to another."""
    nodes = (await market.state("pool", trade.pool)).opened.nodes
    return await market.lot(trade.provider, trade.pool, ask="3.9", nodes=nodes, start=start, end=end)


async def test_hours_given_up_for_a_slip_on_paper_are_sold_to_nobody_and_the_grant_moves_back_to_them(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        await slip(market, trade, site, 21)
        await until_lot_begins(market, trade.lot, market.day(21))
        await choose(market, trade.startup, grant_id, "moved")
        provider = market.context(trade.provider)
        energised = {"power_energised_kw": 10_000, "at": market.clock.now()}
        await sites.energise_site(market.handler, provider, site, **energised)
        refused = await refuse(sell_again(market, trade, 1, 11))
        assert (refused.code, refused.facts["offered"]) == ("pool_full", 2)
        pool = await market.state("pool", trade.pool)
        assert [(share.start, share.end) for share in pool.reservations[grant_id].kept] == [
            (market.day(1), market.day(11))
        ]
        assert pool.list_drawn(grant_id)[0].start == market.day(21), "hours that are kept draw no power"
        refused = await refuse(choose(market, trade.startup, grant_id, "moved", 0.9))
        assert (refused.code, refused.facts["nearest"]) == ("start_unaligned", "2026-01-02T00:00:00Z")
        await choose(market, trade.startup, grant_id, "moved", 1)
        after = await market.state("grant", grant_id)
        assert (after.issued.start, after.end, after.rescheduled[-1].gpu_seconds_cut) == (
            grant.issued.start,
            grant.end,
            0,
        )
        assert after.lots == grant.lots
        done = await deliver_all(market, grant_id, 10)
        assert done.end == grant.end
    await check(market)


@pytest.mark.parametrize("side", ["startup", "provider"])
async def test_hours_kept_for_a_moved_grant_are_free_once_its_startup_gives_notice_and_not_by_its_provider(
    market, side
):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 21)
        await until_lot_begins(market, trade.lot, market.day(21))
        await choose(market, trade.startup, grant_id, "moved")
        energised = {"power_energised_kw": 10_000, "at": market.clock.now()}
        await sites.energise_site(market.handler, market.context(trade.provider), site, **energised)
        await market.deposit(trade.provider, 1_000)
        context = market.context(getattr(trade, side))
        await grants.terminate_grant(market.handler, context, grant_id, at=market.day(25), reason="changed plans")
        if side == "provider":
            assert (await refuse(sell_again(market, trade, 1, 11))).code == "pool_full"
        else:
            await sell_again(market, trade, 1, 11)
        reservation = (await market.state("pool", trade.pool)).reservations[grant_id]
        assert reservation.end == market.day(25)
    await check(market)


async def test_a_grant_moves_back_over_free_hours_and_of_a_shortened_one_the_cure_time_is_kept(market):
    """The site is late for a part of what was given up, and the slip is longer than the grant."""
    trade, site = await convert(market, 1)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        await slip(market, trade, site, 21)
        await choose(market, trade.startup, grant_id, "moved")
        await slip(market, trade, site, 4)
        refused = await refuse(choose(market, trade.startup, grant_id, "moved", 3))
        assert (refused.code, refused.facts["nearest"]) == ("start_too_early", "2026-01-05T00:00:00Z")
        await choose(market, trade.startup, grant_id, "moved", 4)
        after, pool = await market.state("grant", grant_id), await market.state("pool", trade.pool)
        assert (after.issued.start, after.end) == (market.day(4), market.day(14))
        assert [share.end for share in pool.reservations[grant_id].kept] == [market.day(4)]
        await slip(market, trade, site, 8)
        await choose(market, trade.startup, grant_id, "shortened")
        pool = await market.state("pool", trade.pool)
        assert [share.end for share in pool.reservations[grant_id].kept] == [market.day(4), market.day(5)]
    await check(market)


async def test_of_a_grant_that_is_shortened_twice_no_more_than_one_cure_time_is_kept(market):
    """For the hours beyond it the provider owes the make-whole, and sells them to others."""
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        for day in (1.5, 2.5):
            await slip(market, trade, site, day)
            await choose(market, trade.startup, grant_id, "shortened")
        kept = (await market.state("pool", trade.pool)).reservations[grant_id].kept
        assert [(share.start, share.end) for share in kept] == [
            (market.day(1), market.day(1.5)),
            (market.day(1.5), market.day(2)),
        ]
    await check(market)


@pytest.mark.parametrize("door", ["withdrawn", "rescheduled", "listed anew", "closing"])
async def test_a_late_provider_takes_no_hours_from_a_move_by_what_it_lists(market, door):
    trade, site = await convert(market, 1)
    provider = market.context(trade.provider)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        if door == "rescheduled":
            span = {"start": market.day(1), "end": market.day(11), "reason": "shorter"}
            await inventory.reschedule_lot(market.handler, provider, trade.lot, **span)
        elif door == "closing":
            closing = {"closes_at": market.day(60), "reason": "the lease ends"}
            await inventory.announce_closing(market.handler, provider, trade.pool, **closing)
        else:
            await inventory.withdraw_lot(market.handler, provider, trade.lot, reason="other plans")
        await slip(market, trade, site, 11)
        if door == "listed anew":
            lot = await sell_again(market, trade, 11, 91)
        await choose(market, trade.startup, grant_id, "moved")
        after = await market.state("grant", grant_id)
        assert (after.issued.start, after.end) == (market.day(11), market.day(21))
        assert after.issued.price_usd_per_gpu_hour == grant.issued.price_usd_per_gpu_hour
        assert {share.lot_id for share in after.lots} == {lot if door == "listed anew" else trade.lot}
    await check(market)


async def test_a_grant_that_began_without_power_is_shortened_as_often_as_it_is_dark_and_then_delivered(market):
    trade = await market.trade(days=10)
    site = (await market.state("pool", trade.pool)).opened.site_id
    provider = market.context(trade.provider)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        assert (await refuse(choose(market, trade.startup, grant_id, "shortened"))).code == "site_on_time"
        await sites.derate_site(market.handler, provider, site, power_energised_kw=0, at=market.day(0.6), reason="fire")
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(1.01)
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "site_power_exceeded"
        await choose(market, trade.startup, grant_id, "shortened")
        anew = await market.state("grant", grant_id)
        assert (anew.status, anew.issued.start) == ("issued", market.day(1) + timedelta(hours=1))
        market.clock.at = anew.issued.start
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(3) - timedelta(minutes=1)
        for party in (trade.provider, trade.fund):
            assert (await refuse(choose(market, party, grant_id, "shortened"))).code == "wrong_side"
        await choose(market, trade.startup, grant_id, "shortened")
        energise, at = market.context(trade.provider), market.clock.at
        await sites.energise_site(market.handler, energise, site, power_energised_kw=1_000, at=at)
        assert (await market.state("grant", grant_id)).issued.start == market.day(3)
        receipt = await bonds.claim_bond(market.handler, market.context(trade.startup), grant_id)
        [item] = (await market.state("bond", receipt.id)).claims[0].claimed.items
        assert item.gpu_seconds == 16 * 3_600 * (48 - 24), "one cure time, also where the hours were taken off in parts"
        await deliver_all(market, grant_id, 8)
        assert (await refuse(choose(market, trade.startup, grant_id, "shortened"))).code == "grant_completed"
    await check(market)


@pytest.mark.parametrize("choice", ["shortened", "moved"])
async def test_a_startup_to_whom_nothing_came_gets_another_span_once_its_report_is_not_answered(market, choice):
    trade = await market.trade(days=10)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        market.clock.at = market.day(3)
        await market.until("grant", grant_id, "active")
        startup = market.context(trade.startup)
        await grants.suspend_grant(market.handler, startup, grant_id, at=market.day(3), reason="no node answers")
        refused = await refuse(choose(market, trade.startup, grant_id, choice))
        assert (refused.code, refused.facts["due"]) == ("cause_unanswered", "2026-01-05T00:00:00Z")
        market.clock.at = market.day(4)
        await choose(market, trade.startup, grant_id, choice)
        anew = await market.state("grant", grant_id)
        assert (anew.status, anew.issued.start) == ("issued", market.day(4))
        assert anew.end == (market.day(11) if choice == "shortened" else market.day(14))
        done = await deliver_all(market, grant_id, 7 if choice == "shortened" else 10)
        assert not done.outages
    await check(market)


async def test_a_grant_that_its_own_meter_counts_or_whose_site_is_ready_after_its_end_keeps_its_span(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 12)
        assert (await refuse(choose(market, trade.startup, grant_id, "shortened"))).code == "ready_after_end"
        await mandates.revoke_mandate(market.handler, market.context(trade.fund), trade.mandate, reason="enough")
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "mandate_revoked"
        await grants.terminate_grant(
            market.handler, market.context(trade.startup), grant_id, at=market.day(1), reason="late", for_cause=True
        )
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "grant_terminated"
    await check(market)


async def test_a_grant_whose_own_meter_counted_or_whose_first_period_is_over_keeps_its_span(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 20)
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(1) + timedelta(hours=2)
        reading = Measurement(reading_id="own", start=market.day(1), end=market.day(1) + timedelta(hours=1), nodes=1)
        for party in (trade.provider, trade.startup):
            assert (await refuse(choose(market, trade.startup, grant_id, "shortened"))).code == "ready_after_end"
            report = {"source": party, "measurements": (reading,)}
            await usage.report_usage(market.handler, market.context(party), grant_id, **report)
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "capacity_delivered"
        market.clock.at = market.day(11)
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "period_over"


async def test_readings_of_dark_nodes_neither_stop_a_choice_nor_are_charged(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 4)
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(2)
        reading = Measurement(reading_id="dark", start=market.day(1), end=market.day(2), nodes=2)
        provider = market.context(trade.provider)
        await usage.report_usage(market.handler, provider, grant_id, source="dcgm", measurements=(reading,))
        await choose(market, trade.startup, grant_id, "shortened")
        late = msgspec.structs.replace(reading, reading_id="late")
        _, answers = await usage.report_usage(
            market.handler, market.context(trade.provider), grant_id, source="dcgm", measurements=(late,)
        )
        assert [answer.code for answer in answers] == ["outside_grant"]
        done = await deliver_all(market, grant_id, 7)
    events = [event async for page in market.log.read() for event in page]
    completed = [msgspec.json.decode(each.body) for each in events if each.envelope.type.endswith("grant.completed.v1")]
    assert [each["gpu_seconds_accepted"] for each in completed] == [done.gpu_seconds_granted]
    await check(market)


async def test_a_staged_grant_that_is_shortened_sets_aside_what_its_stages_need(market):
    stages = StageTerms(hours=720, security_hours=240)
    provider = await market.party("Provider", "provider")
    startup = await market.party("Startup", "startup", usd=200_000)
    site, pool = await market.pool(provider, status="planned")
    context = market.context(provider)
    await sites.schedule_conversion(market.handler, context, site, former_use="mine", ready_at=market.day(1))
    await inventory.list_lot(
        market.handler,
        market.context(provider),
        pool_id=pool,
        nodes=4,
        start=market.day(1),
        end=market.day(91),
        ask_usd_per_gpu_hour=Decimal(2),
        stages=stages,
    )
    order = await market.order(startup, days=50, latest=1, stages=stages)
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
        grant_id = (await market.state("order", order)).grant_id
        before = (await market.account(startup)).held_usd
        await sites.slip_conversion(
            market.handler, market.context(provider), site, ready_at=market.day(21), reason="transformer"
        )
        await choose(market, startup, grant_id, "shortened")
        after = await market.state("grant", grant_id)
        assert (await market.account(startup)).held_usd == compute_funding(after.issued, 1, after.end) < before
    await check(market)


async def resell_part(market, trade, grant, *, first, last):
    """Let a stranger buy one node of a grant from one day of the grant to another."""
    await resell(market, trade, grant, first=first, last=last)
    buyer = await market.party("Buyer", "startup", usd=100_000)
    await market.issuer(buyer)
    day = {"days": last - first, "earliest": 1 + first, "latest": 1 + first}
    order = await market.order(buyer, cash="4", nodes=1, **day)
    auction = await market.auction(locks_at=0.8, horizon=1)
    market.clock.at = market.day(0.8)
    await market.until_carried_out(auction)
    return await market.state("grant", (await market.state("order", order)).grant_id)


async def test_a_grant_in_part_resold_is_shortened_by_its_own_hours_and_moves_if_no_resold_one_is_left_behind(
    market,
):
    """Otherwise its provider's shell would take the choice from it, by a node-hour that it buys."""
    trade, site = await convert(market, 1)
    await market.deposit(trade.provider, 5_000)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        bought = await resell_part(market, trade, grant, first=2, last=4)
        before = await market.account(trade.startup)
        await slip(market, trade, site, 2)
        await choose(market, trade.startup, grant_id, "moved")
        moved = await market.state("grant", grant_id)
        assert (moved.issued.start, moved.end, moved.rescheduled[0].gpu_seconds_cut) == (
            market.day(2),
            market.day(12),
            0,
        )
        assert (await market.account(trade.startup)).held_usd == before.held_usd
        await slip(market, trade, site, 4)
        assert (await refuse(choose(market, trade.startup, grant_id, "moved"))).code == "hours_resold"
        await choose(market, trade.startup, grant_id, "shortened")
        after = await market.state("grant", grant_id)
        own = 8 * 86_400 * (2 * 2 - 1)
        assert (after.issued.start, after.rescheduled[1].gpu_seconds_cut) == (market.day(4), own)
        tariff = build_tariff(grant.issued)
        whole, left = (compute_totals(tariff, seconds) for seconds in (moved.gpu_seconds_left, after.gpu_seconds_left))
        assert moved.gpu_seconds_left - after.gpu_seconds_left == own
        assert before.held_usd - (await market.account(trade.startup)).held_usd == whole.startup_usd - left.startup_usd
        reserved = (await market.state("pool", trade.pool)).reservations
        assert [(share.start, share.nodes) for share in reserved[grant_id].lots if share.start < market.day(5)] == [
            (market.day(4), 1)
        ]
        assert (reserved[bought.issued.grant_id].start, reserved[bought.issued.grant_id].end) == (
            market.day(3),
            market.day(5),
        )
        due = round_cents(parse_ratio(grant.issued.price_usd_per_gpu_hour) * 8 * (24 * 2 * 2 - 24 - 24 * 2) / 4)
        receipt = await bonds.claim_bond(market.handler, market.context(trade.startup), grant_id)
        assert (await market.state("bond", receipt.id)).claims[0].claimed.amount_usd == due
    await check(market)
    assert await find_faults(Claims, market.log) == []
    assert await find_faults(Reschedules, market.log, drop="grant.resold.v1") != []
