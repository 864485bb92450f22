"""What hostile parties tried before and after the lock of an auction, and what it does now."""

import asyncio
from asyncio import gather
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from msgspec import structs

from events.order import OrderUnmatched
from events.schedule import EndTerms, NoticeFee
from events.service import STANDARD_SERVICE
from marketplace.application.access.parties import record_stage
from marketplace.application.billing import accounts, bonds
from marketplace.application.billing.approvals import approve, find_approval, set_limit
from marketplace.application.delivery.grants import activate_grant, degrade_grant, terminate_grant, transfer_grant
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory, sites
from marketplace.application.supply.schedules import publish_schedule
from marketplace.application.trading import auctions, mandates, orders
from marketplace.application.trading.quotes import hold_quote, take_quote
from marketplace.auditor.binding import Binding
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.fees import Fees
from marketplace.auditor.market import Market as Course
from marketplace.auditor.stream import Findings
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.core.money import ceil_cents, parse_ratio, round_cents
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.grant import find_price
from marketplace.domain.supply.schedule import STANDARD
from marketplace.domain.trading.auction import BindAuction
from marketplace.domain.trading.mandate import MANDATE
from marketplace.execution.handler import Handler
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_service_credits import Month
from tests.application.trading.test_related import relate
from tests.application.trading.test_resale import freeze_book, resell
from tests.support.market.auditing import find_faults
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS

CHANGES = {
    "reprice": (inventory.reprice_lot, {"ask_usd_per_gpu_hour": Decimal(4)}),
    "pause": (inventory.pause_lot, {"reason": "a better price elsewhere"}),
    "withdraw": (inventory.withdraw_lot, {"reason": "a better price elsewhere"}),
    "reschedule": (inventory.reschedule_lot, {"reason": "a better price elsewhere"}),
}


@pytest.fixture
def market():
    return Market(MemoryLog())


async def change(market, trade, what, auction_ids=()):
    """Let the provider change its lot, and return the code of the refusal with its facts; None if it may."""
    act, more = CHANGES[what]
    span = {"start": market.day(2), "end": market.day(91)} if what == "reschedule" else {}
    context = market.context(trade.provider)
    try:
        await act(market.handler, context, trade.lot, **more, **span, auction_ids=auction_ids)
    except Refusal as refusal:
        return refusal.code, refusal.facts
    return None


@pytest.mark.parametrize("what", CHANGES)
async def test_a_lot_stays_as_it_is_from_the_no_cancel_phase_on(market, what):
    trade = await market.trade()
    auction = await market.auction(no_cancel_at=0.4)
    market.clock.at = market.day(0.4)
    frozen = {"auction_id": auction, "lot_id": trade.lot, "frozen_until": render_instant(market.day(0.5))}
    code, facts = await change(market, trade, what, [trade.auction, auction])
    assert (code, {name: facts[name] for name in frozen}) == ("lot_frozen", frozen)
    async with market.worker():
        grant = await market.award(trade)
        await market.until_carried_out(auction)
    assert grant is not None
    assert await change(market, trade, what, [trade.auction, auction]) is None
    await check_log(market.log)


@pytest.mark.parametrize("restored", [False, True])
async def test_power_that_is_derated_once_orders_are_bound_stays_at_its_ask(market, restored):
    """A date before the phase, stated in it, does not help either."""
    trade = await market.trade(equity="0", cash="3", no_cancel_at=0.4)
    site_id, handler = (await market.state("pool", trade.pool)).opened.site_id, market.handler
    before = (await market.state("site", site_id)).power_energised_kw
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
    less = {"power_energised_kw": 0, "at": market.day(0.3), "reason": "a fuse blew"}
    await sites.derate_site(handler, market.context(trade.provider), site_id, **less)
    if restored:
        more = {"power_energised_kw": before, "at": market.clock.now()}
        await sites.energise_site(handler, market.context(trade.provider), site_id, **more)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
    order = await market.state("order", trade.order)
    assert order.status == ("matched" if restored else "unmatched")
    if not restored:
        (lost,) = [event.lost for event in await list_events(market) if isinstance(event, OrderUnmatched)]
        assert (lost.provider_id, lost.cause) == (trade.provider, "site_power_exceeded")
    await check_log(market.log)


@pytest.mark.parametrize("late", ["slipped", "scheduled"])
@pytest.mark.parametrize("live", [0, 10_000])
async def test_a_site_that_is_told_to_be_late_once_orders_are_bound_is_sold_as_it_was(market, live, late):
    """With power that is live already the order wins, and its startup may end, shorten or move the grant."""
    provider, startup = await market.party("P", "provider"), await market.party("S", "startup", usd=100_000)
    _, pool = await market.pool(provider, status="planned", power_energised_kw=live)
    site_id, handler = (await market.state("pool", pool)).opened.site_id, market.handler
    lot = await market.lot(provider, pool)
    if late == "slipped":
        first = {"former_use": "mining", "ready_at": market.day(1)}
        await sites.schedule_conversion(handler, market.context(provider), site_id, **first)
    order = await market.order(startup, latest=1)
    auction = await market.auction(no_cancel_at=0.4)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", order, "locked")
        if late == "slipped":
            more = {"ready_at": market.day(20), "reason": "a transformer"}
            await sites.slip_conversion(handler, market.context(provider), site_id, **more)
        else:
            more = {"former_use": "mining", "ready_at": market.day(20)}
            await sites.schedule_conversion(handler, market.context(provider), site_id, **more)
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
        market.clock.at += timedelta(minutes=11)
        async with asyncio.timeout(60):
            while late == "slipped" and (await market.state("lot", lot)).start != market.day(20):
                await market.tick()
    assert (await market.state("order", order)).status == ("matched" if live else "unmatched")
    if not live:
        (lost,) = [event.lost for event in await list_events(market) if isinstance(event, OrderUnmatched)]
        assert (lost.provider_id, lost.cause) == (provider, "site_power_exceeded")
    await check_log(market.log)


async def test_a_lot_that_an_auction_froze_until_just_now_is_moved_later_and_not_withdrawn(market, monkeypatch):
    """The auction was completed between the refused move and what would have followed it."""
    provider = await market.party("P", "provider")
    _, pool = await market.pool(provider, status="planned")
    site_id = (await market.state("pool", pool)).opened.site_id
    lot, move, refused = await market.lot(provider, pool), inventory.reschedule_lot, []

    async def refuse_once(*args, **more):
        if not refused:
            refused.append(True)
            raise Refusal("lot_frozen", "an auction keeps it as it is")
        return await move(*args, **more)

    monkeypatch.setattr(inventory, "reschedule_lot", refuse_once)
    late = {"former_use": "mining", "ready_at": market.day(20)}
    async with market.worker():
        await sites.schedule_conversion(market.handler, market.context(provider), site_id, **late)
        async with asyncio.timeout(20):
            while (moved := await market.state("lot", lot)).start != market.day(20) and moved.status != "withdrawn":
                market.clock.at += timedelta(minutes=1)
                await market.tick()
    assert (moved.status, moved.start, refused) == ("listed", market.day(20), [True])
    await check_log(market.log)


@pytest.mark.parametrize("no_cancel_at", [0.4, None])
@pytest.mark.parametrize("restored", [False, True])
async def test_nodes_that_fail_once_orders_are_bound_stay_at_their_ask(market, restored, no_cancel_at):
    """The match breaks like one whose supply is withdrawn after the lock, unless the supply is back by then."""
    trade = await market.trade(equity="0", cash="3", no_cancel_at=no_cancel_at)
    nodes = (await market.state("pool", trade.pool)).opened.nodes
    incident, handler = {"pool_id": trade.pool, "incident_id": "one"}, market.handler
    async with market.worker():
        market.clock.at = market.day(no_cancel_at or 0.5)
        if no_cancel_at:
            await market.until("order", trade.order, "locked")
    await inventory.fail_nodes(handler, market.context(trade.provider), **incident, nodes=nodes, at=market.day(0.3))
    if restored:
        await inventory.restore_nodes(handler, market.context(trade.provider), **incident, at=market.clock.now())
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
    order = await market.state("order", trade.order)
    if restored:
        grant = await market.state("grant", order.grant_id)
        assert (order.status, grant.issued.nodes) == ("matched", 2)
    else:
        assert order.status == "unmatched"
        (lost,) = [event.lost for event in await list_events(market) if isinstance(event, OrderUnmatched)]
        assert (lost.provider_id, lost.cause) == (trade.provider, "nodes_failed")
    await check_log(market.log)


@pytest.mark.parametrize("posted", [0, 300, 9_000])
async def test_a_broken_match_is_claimed_from_the_bond_at_once_by_the_schedule_and_paid_to_the_order_that_lost_it(
    market, posted
):
    """What an end of its grant would cost: the make-whole, a quarter of the price, is more than any fee."""
    trade = await market.trade(equity="0", cash="3", no_cancel_at=0.4)
    await market.deposit(trade.provider, 20_000)
    provider, bond_id = market.context(trade.provider), rename_id("bnd", trade.provider)
    if posted:
        await bonds.post_bond(market.handler, provider, trade.provider, amount_usd=Decimal(posted), lot_id=trade.lot)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
    incident = {"pool_id": trade.pool, "incident_id": "one", "nodes": 4, "at": market.day(0.4)}
    await inventory.fail_nodes(market.handler, market.context(trade.provider), **incident)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
        (lost,) = [event.lost for event in await list_events(market) if isinstance(event, OrderUnmatched)]
        assert lost.damages_usd == round_cents(Fraction(lost.price_usd) / 4) > 0
        [claim] = (await market.state("bond", bond_id)).claims
        assert (claim.claimed.startup_id, claim.claimed.amount_usd) == (trade.startup, lost.damages_usd)
        kept = sum(amount for amount, _ in (await market.account(trade.provider)).reserves.values())
        part = min(Decimal(posted) / 10, lost.damages_usd)
        assert kept == lost.damages_usd - part, "the account keeps what the bond does not pay"
        before = (await market.account(trade.startup)).available_usd
        market.clock.at = claim.claimed.answer_until
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await market.account(trade.startup)).available_usd == before:
                await market.tick()
    assert (await market.account(trade.startup)).available_usd - before == lost.damages_usd
    [paid] = (await market.state("bond", bond_id)).claims
    assert paid.paid.get(trade.lot, 0) == part, "the bond of the lot pays first, with a tenth of its money"
    assert await find_faults(Bonds, market.log) == []
    assert await find_faults(Bonds, market.log, drop="bond.claimed.v1") != []
    assert [item.remedy for item in claim.claimed.items] == ["broken_match"]
    await check_log(market.log)


@pytest.mark.parametrize(
    ("nodes", "start", "meter", "wins"),
    [(2, 3, "provider", True), (2, 3, "startup", True), (4, 41, "startup", True), (4, 41, "provider", False)],
    ids=["beside", "beside, by its tenant", "after it, by its tenant", "after it"],
)
async def test_evidence_of_a_grants_gpus_breaks_no_match_of_other_nodes(market, nodes, start, meter, wins):
    """A provider's own evidence undid a bound order without a trace, and a rival's tenant took an honest one's sale."""
    trade = await market.trade(equity="0", cash="3")
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        market.clock.at = market.day(2)
        startup = await market.party("Other", "startup", usd=100_000)
        order_id = await market.order(startup, cash="3", equity="0", nodes=nodes, days=2, earliest=start, latest=start)
        auction = await market.auction(locks_at=2.5, horizon=3, no_cancel_at=2.4)
        market.clock.at = market.day(2.4)
        await market.until("order", order_id, "locked")
        failed = {"incident_id": "meters/one", "nodes": 2, "grant_id": grant_id, "meter": meter}
        failed["at"] = market.clock.now()
        await inventory.fail_nodes(market.handler, market.context(), trade.pool, **failed)
        market.clock.at = market.day(2.5)
        await market.until_carried_out(auction)
    order = await market.state("order", order_id)
    assert order.status == ("matched" if wins else "unmatched")
    unmatched = [event for event in await list_events(market) if isinstance(event, OrderUnmatched)]
    assert [event.lost.damages_usd > 0 for event in unmatched] == ([] if wins else [True]), "its own meter is its word"
    await check_log(market.log)


async def list_events(market):
    return [parse_event(recorded) async for page in market.log.read(0) for recorded in page]


async def test_a_mandate_undoes_no_order_that_an_auction_has_bound(market):
    trade = await market.trade()
    auction = await market.auction(no_cancel_at=0.4)
    mandate = await market.state("mandate", trade.mandate)
    hold_id = (await market.state("order", trade.order)).hold_id
    lower = structs.replace(mandate.terms, usd_per_gpu_hour_max=Decimal(1))
    acts = {
        mandates.refuse_order: {"hold_id": hold_id, "reason": "no"},
        mandates.amend_mandate: {"terms": lower},
        mandates.revoke_mandate: {"reason": "no"},
    }

    async def do(act):
        context, more = market.context(trade.fund), acts[act]
        await act(market.handler, context, trade.mandate, **more, auction_ids=[trade.auction, auction])

    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        for act in acts:
            with pytest.raises(Refusal) as caught:
                await do(act)
            assert caught.value.code == "mandate_bound"
            assert caught.value.facts["order_id"] == trade.order
        market.clock.at = market.day(0.5)
        await market.until("order", trade.order, "matched")
        await market.until_carried_out(auction)
        await market.until_carried_out(trade.auction)
    await do(mandates.amend_mandate)
    await do(mandates.revoke_mandate)
    await check_log(market.log)


@pytest.mark.parametrize(
    ("expires", "status"), [(0.45, "expired"), (0.5, "expired"), (0.51, "matched")], ids=["before", "at", "after"]
)
async def test_an_auction_binds_no_order_that_expires_before_its_lock(market, expires, status):
    trade = await market.trade(no_cancel_at=0.4)
    startup = await market.party("Brief", "startup", usd=50_000)
    order = await market.order(startup, cash="9", nodes=1, days=2, latest=1, expires_at=market.day(expires))
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        market.clock.at = market.day(0.45)
        await market.until("order", order, status if expires == 0.45 else "open", "locked")
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
        await market.until("order", order, status)
    account = await market.account(startup)
    assert (account.held_usd == 0) is (status == "expired")
    await check_log(market.log)
    assert await find_faults(Course, market.log) == []


async def test_the_clock_binds_orders_and_mandates_although_no_worker_has_locked_one(market):
    """An amendment for which one person asked before the phase does not take effect in it either."""
    trade = await market.trade()
    earlier, auction = trade.auction, await market.auction(no_cancel_at=0.4)
    terms = (await market.state("order", trade.order)).terms
    lower = structs.replace((await market.state("mandate", trade.mandate)).terms, usd_per_gpu_hour_max=Decimal(1))
    asked = {}
    for party_id, ask in (
        (trade.startup, lambda **more: orders.amend_order(**more, order_id=trade.order, terms=market.terms(cash="9"))),
        (trade.fund, lambda **more: mandates.amend_mandate(**more, mandate_id=trade.mandate, terms=lower)),
    ):
        account_id = rename_id("acc", party_id)
        first, asking = (structs.replace(market.context(party_id), actor_person="p1") for _ in range(2))
        limits = {"limit_usd": Decimal(0), "order_limit_usd": Decimal(1)}
        await set_limit(market.handler, first, account_id, **limits)
        await ask(handler=market.handler, context=asking)
        asked[account_id] = party_id, await find_approval(market.handler, asking, account_id)
    market.clock.at = market.day(0.4)

    async def try_all():
        handler, by, named = market.handler, trade.startup, {"auction_ids": [earlier, auction]}
        acts = [
            orders.cancel_order(handler, market.context(by), trade.order, reason="no", **named),
            orders.amend_order(handler, market.context(by), trade.order, terms=terms, **named),
        ]
        for account_id, (party_id, approval_id) in asked.items():
            second = structs.replace(market.context(party_id), actor_person="p2")
            acts.append(approve(handler, second, account_id, approval_id, **named))
        return [getattr(outcome, "code", None) for outcome in await gather(*acts, return_exceptions=True)]

    assert await try_all() == ["order_locked"] * 3 + ["mandate_bound"]
    other = await market.party("Other", "startup", usd=100_000)
    late = await market.order(other, days=10, earliest=3)
    bind = BindAuction(auction_id=auction, orders=0)
    await auctions.record_step(market.handler, market.context(), bind)
    await orders.cancel_order(market.handler, market.context(other), late, reason="no", auction_ids=[auction])
    market.clock.at = market.day(0.5)
    assert await try_all() == ["order_locked"] * 3 + ["mandate_bound"]


@pytest.mark.parametrize("no_cancel_at", [None, 0.4], ids=["lock only", "no-cancel phase"])
async def test_what_is_offered_after_the_lock_time_waits_for_the_next_auction_however_late_the_worker_is(
    market, no_cancel_at
):
    """A worker that stood still, or a clock that jumped: those who were there can no longer answer a late offer."""
    trade = await market.trade(equity="0", cash="3", nodes=4, no_cancel_at=no_cancel_at)
    later = await market.lot(trade.provider, (await market.pool(trade.provider))[1], ask="1", start=200, end=201)
    rival = await market.party("Rival", "startup", usd=1_000_000)
    amended = await market.order(rival, cash="9", nodes=4, days=40, earliest=200, latest=210)
    at_once = await market.order(rival, cash="2.5", nodes=4, days=40, latest=1)
    other = (await market.pool(trade.provider))[1]
    market.clock.at = market.day(0.5)
    in_time = await market.lot(trade.provider, other, ask="2.9", start=1, end=91)
    market.clock.at += timedelta(microseconds=1)
    placed = await market.order(rival, cash="9", nodes=4, days=40, latest=1)
    terms, auctions_ = market.terms(cash="9", nodes=4, days=40, latest=1), {"auction_ids": [trade.auction]}
    await orders.amend_order(market.handler, market.context(rival), amended, terms=terms, **auctions_)
    listed = await market.lot(trade.provider, (await market.pool(trade.provider))[1], ask="0.5")
    span = {"start": market.day(1), "end": market.day(91), "reason": "free earlier"}
    await inventory.reschedule_lot(market.handler, market.context(trade.provider), later, **span, **auctions_)
    async with market.worker():
        market.clock.at += timedelta(hours=1)
        grant = await market.award(trade)
    book = (await market.state("auction", trade.auction)).locked.book
    assert {row.lot_id for row in book.lots} == {trade.lot, in_time}
    assert {row.order_id for row in book.orders} == {trade.order, at_once}
    assert [share.lot_id for share in grant.issued.lots] == [trade.lot]
    assert (await market.state("order", at_once)).status == "unmatched"
    assert [(await market.state("order", each)).status for each in (placed, amended)] == ["open", "open"]
    following = await market.auction(locks_at=0.7)
    async with market.worker():
        market.clock.at = market.day(0.7)
        await market.until_carried_out(following)
    assert {row.lot_id for row in (await market.state("auction", following)).locked.book.lots} >= {listed, later}
    assert [(await market.state("order", each)).status for each in (placed, amended)] == ["matched", "matched"]
    await check_log(market.log)
    assert await find_faults(Course, market.log) == []


@pytest.mark.parametrize(("approved_at", "is_matched"), [(0.5, True), (0.51, False)])
async def test_an_order_whose_holder_approves_it_after_the_lock_time_waits_too(market, approved_at, is_matched):
    trade = await market.trade(approval_above_usd=Decimal(1))
    hold_id = (await market.state("order", trade.order)).hold_id
    market.clock.at = market.day(approved_at)
    await mandates.approve_order(market.handler, market.context(trade.fund), trade.mandate, hold_id)
    async with market.worker():
        market.clock.at = market.day(0.52)
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == ("matched" if is_matched else "open")
    await check_log(market.log)


LATE = {
    "limit": ({"cash": "9", "principal_usd_max": Decimal("0.01")}, "3", False),
    "limit beside cash": ({"cash": "9", "principal_usd_max": Decimal("0.01")}, "0", True),
    "group": ({"cash": "400", "group": "one"}, "3", False),
    "nothing": ({"cash": "9"}, "3", True),
}


@pytest.mark.parametrize(("late", "equity", "is_matched"), LATE.values(), ids=LATE)
async def test_no_order_that_a_startup_places_in_the_no_cancel_phase_undoes_its_bound_one(
    market, late, equity, is_matched
):
    trade = await market.trade(no_cancel_at=0.4)
    await market.cancel(trade.startup, trade.order)
    paid = {"cash": "1", "equity": equity, "mandate_ids": (trade.mandate,)} if equity != "0" else {"cash": "4"}
    trade.order = await market.order(trade.startup, days=40, latest=1, group="one", **paid)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        order = await market.order(trade.startup, nodes=1, days=1, latest=1, **late)
        assert await market.award(trade) is not None
    assert ((await market.state("order", order)).status == "matched") == is_matched
    await check_log(market.log)


@pytest.mark.parametrize(("ends", "status"), [(0.45, "cancelled"), (0.5, "cancelled"), (0.55, "matched")])
async def test_a_mandate_that_ends_before_the_lock_pays_for_no_bound_order_and_a_later_one_does(market, ends, status):
    trade = await market.trade(no_cancel_at=0.4, expires_at=market.day(ends))
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked", "cancelled")
        market.clock.at = market.day(0.6)
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", trade.order)).status == status


async def test_the_platform_ends_a_mandate_at_any_time(market):
    trade = await market.trade()
    await market.auction(no_cancel_at=0.4)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        await mandates.revoke_mandate(market.handler, market.context(), trade.mandate, reason="fraud")
    assert (await market.state("mandate", trade.mandate)).revoked


async def test_a_deposit_is_neither_withdrawn_nor_freed_in_the_lock(market):
    trade = await market.trade()
    await market.auction(no_cancel_at=0.4)
    async with market.worker():
        market.clock.at = market.day(0.4)
        await market.until("order", trade.order, "locked")
        account = await market.account(trade.startup)
        assert account.held_usd > 0
        out = {"amount_usd": account.available_usd + Decimal("0.01"), "reference": "out"}
        with pytest.raises(Refusal, match="deposit the difference") as caught:
            await accounts.withdraw(
                market.handler, market.context(trade.startup), rename_id("acc", trade.startup), **out
            )
        assert caught.value.code == "funds_insufficient"
        with pytest.raises(Refusal) as caught:
            await market.cancel(trade.startup, trade.order)
        assert caught.value.code == "order_locked"
        assert (await market.account(trade.startup)).held_usd == account.held_usd


async def test_a_pool_closes_only_once_an_auction_that_has_bound_orders_to_its_lots_has_settled(market):
    trade = await market.trade()
    auction = await market.auction(no_cancel_at=0.4)
    market.clock.at = market.day(0.4)
    act = {"closes_at": market.day(60), "reason": "a better price", "auction_ids": [trade.auction, auction]}
    with pytest.raises(Refusal) as caught:
        await inventory.announce_closing(market.handler, market.context(trade.provider), trade.pool, **act)
    assert caught.value.code == "lot_frozen"
    async with market.worker():
        grant = await market.award(trade)
        await market.until_carried_out(auction)
        assert grant is not None
        await inventory.announce_closing(market.handler, market.context(trade.provider), trade.pool, **act)
        await market.until("lot", trade.lot, "withdrawn")
    await check_log(market.log)


async def test_neither_side_takes_a_resale_or_a_lot_from_an_auction_by_what_it_does_to_a_grant(market):
    trade = await market.trade(days=10, nodes=2)
    friend = await market.party("Friend", "startup", usd=100)
    async with market.worker():
        grant = await market.award(trade)
    _, pool = await market.pool(trade.provider)
    await market.lot(trade.provider, pool, mandate_ids=(trade.mandate,))
    grant_id = grant.issued.grant_id
    await resell(market, trade, grant)
    auction = await market.auction(locks_at=2, horizon=2, no_cancel_at=1.9)
    market.clock.at, end = market.day(1.9), {"at": market.day(10), "reason": "a better price"}
    acts = {
        trade.startup: ((transfer_grant, {"startup_id": friend}), (terminate_grant, end)),
        trade.provider: ((terminate_grant, end), (substitute_grant, {"pool_id": pool, "reason": "a better price"})),
    }
    for act, more, by in [(*each, by) for by, acts_of in acts.items() for each in acts_of]:
        with pytest.raises(Refusal) as caught:
            await act(market.handler, market.context(by), grant_id, **more, auction_ids=[trade.auction, auction])
        assert (act, caught.value.code) == (act, "lot_frozen")
    await activate_grant(market.handler, market.context(trade.provider), grant_id)
    for nodes in (1, 0):
        degrade = {"nodes_available": nodes, "at": market.day(1.9), "reason": "a fire"}
        await degrade_grant(market.handler, market.context(trade.provider), grant_id, **degrade)
        for by in (trade.provider, None):
            with pytest.raises(Refusal) as caught:
                await substitute_grant(
                    market.handler, market.context(by), grant_id, pool_id=pool, reason="a fire", auction_ids=[auction]
                )
            assert caught.value.code == "lot_frozen"
    await check_log(market.log)


@pytest.mark.parametrize("nodes", [4, 5])
async def test_nodes_that_fail_in_the_lock_move_no_grant_onto_a_lot_before_the_bound_order_got_its_nodes(market, nodes):
    trade = await market.trade(days=10, nodes=1)
    buyer = await market.party("Buyer", "startup", usd=100_000)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        _, pool = await market.pool(trade.provider, nodes=nodes)
        await market.lot(trade.provider, pool, nodes=nodes)
        order = await market.order(buyer, cash="4", days=3, nodes=4, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2, no_cancel_at=1.9)
        market.clock.at = market.day(1.9)
        await market.until("order", order, "locked")
        await market.until("grant", grant_id, "active")
        context = market.context(trade.provider)
        incident = {"incident_id": "one", "nodes": 4, "at": market.day(1.9)}
        await inventory.fail_nodes(market.handler, context, trade.pool, **incident)
        assert (await market.until("grant", grant_id, "degraded")).pool_id == trade.pool
        market.clock.at = market.day(2)
        await market.until_carried_out(auction)
        bought = await market.state("order", order)
        assert (await market.state("grant", bought.grant_id)).pool_id == pool
        if nodes == 5:
            assert (await market.until("grant", grant_id, "active")).pool_id == pool
    moved = await market.state("grant", grant_id)
    assert (moved.status, moved.pool_id) == (("active", pool) if nodes == 5 else ("degraded", trade.pool))
    await check_log(market.log)


async def test_a_provider_that_reports_an_outage_in_the_lock_to_stop_a_resale_loses_the_match(market):
    trade = await market.trade(days=10, nodes=4)
    buyer = await market.party("Buyer", "startup", usd=100_000)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await resell(market, trade, await market.state("grant", grant_id))
        order = await market.order(buyer, cash="4", days=3, nodes=1, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2, no_cancel_at=1.9)
        market.clock.at = market.day(1.9)
        await market.until("order", order, "locked")
        await market.until("grant", grant_id, "active")
        outage = {"nodes_available": 3, "at": market.day(1.9), "reason": "maintenance"}
        await degrade_grant(market.handler, market.context(trade.provider), grant_id, **outage)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction)
    events = [parse_event(event) async for page in market.log.read() for event in page]
    [lost] = [event.lost for event in events if isinstance(event, OrderUnmatched) and event.order_id == order]
    assert (lost.provider_id, lost.cause, lost.gpu_seconds) == (trade.provider, "grant_degraded", 8 * 3 * 86_400)


async def test_after_the_lock_an_ask_changes_for_later_auctions_and_a_lot_in_the_book_stays(market):
    trade = await market.trade()
    _, auction = await freeze_book(market)
    refused = {what: await change(market, trade, what, [auction]) for what in CHANGES}
    assert {what for what, answer in refused.items() if answer is not None} == {"withdraw", "reschedule"}
    assert {code for code, _ in filter(None, refused.values())} == {"lot_frozen"}


async def sell(market, *, usd, start=61, days=20, price="3", parts=1, equity_parts=0):
    """Sell four nodes from day 61 on, in an auction of the first day, and return the trade and its grant.

    The last `equity_parts` of the parts are paid in equity alone.
    """
    provider = await market.party("Provider", "provider", usd=usd)
    startup = await market.party("Startup", "startup", usd=100_000, sector="robotics")
    _, pool = await market.pool(provider)
    mandate_ids = ()
    if equity_parts:
        await market.issuer(startup)
        mandate_ids = (await market.mandate(await market.party("Fund", "fund", usd=1_000_000), credit="1"),)
    await market.lot(provider, pool, end=181, mandate_ids=mandate_ids)
    asked = {"nodes": 4 // parts, "days": days, "earliest": start, "latest": start}
    paid = [{"cash": price}] * (parts - equity_parts)
    paid += [{"cash": "0", "equity": price, "mandate_ids": mandate_ids}] * equity_parts
    orders = [await market.order(startup, **asked, **each) for each in paid]
    auction = await market.auction(periods=182)
    trade = SimpleNamespace(provider=provider, startup=startup, order=orders[0], auction=auction, orders=orders)
    async with market.worker():
        return trade, await market.award(trade)


@pytest.mark.parametrize("by", ["startup", "provider"])
async def test_who_takes_capacity_ahead_and_ends_it_shortly_before_the_start_pays_the_other_side(market, by):
    trade, grant = await sell(market, usd=10_000)
    grant_id, price_usd = grant.issued.grant_id, parse_ratio(grant.issued.price_usd_per_gpu_hour) * 4 * 8 * 20 * 24
    before = {side: (await market.account(getattr(trade, side))).available_usd for side in ("startup", "provider")}
    before["startup"] += grant.issued.cash_commitment_usd
    market.clock.at = grant.issued.start - timedelta(hours=73)
    act = {"at": grant.issued.start, "reason": "a change of plans"}
    await terminate_grant(market.handler, market.context(getattr(trade, by)), grant_id, **act)
    fee = ceil_cents(Fraction(price_usd) / 10)
    after = {side: (await market.account(getattr(trade, side))).available_usd for side in before}
    other = "startup" if by == "provider" else "provider"
    assert (after[by] - before[by], after[other] - before[other]) == (-fee, fee)
    assert (await market.state("grant", grant_id)).end_fee_usd == fee
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []
    payment = "account.hold_captured.v1" if by == "startup" else "account.debited.v1"
    assert await find_faults(Fees, market.log, drop=payment) != []


async def test_a_provider_without_the_fee_ends_nothing_and_pays_what_it_has_when_its_pool_closes(market):
    trade, grant = await sell(market, usd=None)
    grant_id, context = grant.issued.grant_id, market.context(trade.provider)
    market.clock.at = grant.issued.start - timedelta(hours=73)
    act = {"at": grant.issued.start, "reason": "a better price elsewhere"}
    with pytest.raises(Refusal) as caught:
        await terminate_grant(market.handler, context, grant_id, **act)
    assert caught.value.code == "funds_insufficient"
    await market.deposit(trade.provider, 10_000)
    await market.keep(trade.provider, 9_995)
    with pytest.raises(Refusal) as caught:
        await terminate_grant(market.handler, context, grant_id, **act)
    assert caught.value.code == "funds_reserved", "what it keeps for corrections ends nothing"
    await terminate_grant(market.handler, market.context(), grant_id, **act, by="provider")
    assert (await market.state("grant", grant_id)).end_fee_usd == 5
    assert (await market.account(trade.provider)).available_usd == 9_995


async def test_an_end_by_the_platform_for_a_side_costs_what_its_deal_does_and_an_ended_part_counts_no_more(market):
    steps = ((0, "0.1"), (50_000, "0.2"))
    ends = tuple(
        EndTerms(
            value_usd_min=Decimal(value),
            notice_hours_min=0,
            fees=(NoticeFee(notice_hours_min=0, share=Decimal(share)),),
        )
        for value, share in steps
    )
    await publish_schedule(market.handler, market.context(), terms=structs.replace(STANDARD, ends=ends))
    trade, grant = await sell(market, usd=20_000, days=40, parts=4)
    price_usd = find_price(grant.issued)
    assert 3 * price_usd < 50_000 <= 4 * price_usd
    act = {"closes_at": grant.issued.start + timedelta(days=10), "reason": "the lease ends"}
    process = Handler(market.log, market.clock)  # It has read what the worker stored.
    await inventory.announce_closing(process, market.context(trade.provider), grant.pool_id, **act)
    [kept] = (await market.account(trade.provider)).reserves.values()
    assert kept[0] == 4 * price_usd * Fraction(3, 4) / 5
    for order, share in zip(trade.orders, ("0.2", "0.1"), strict=False):
        grant_id = (await market.state("order", order)).grant_id
        end = {"at": grant.issued.start, "reason": "the lease ends", "by": "provider"}
        await terminate_grant(process, market.context(), grant_id, **end)
        assert (await market.state("grant", grant_id)).end_fee_usd == price_usd * Fraction(share)
    assert await find_faults(Fees, market.log) == []


@pytest.mark.parametrize(
    ("value", "hours", "parts", "equity_parts"),
    [(None, 73, 1, 0), (1, 168, 1, 0), (50_000, 720, 1, 0), (50_000, 720, 4, 2)],
)
async def test_a_larger_deal_takes_a_longer_notice_in_parts_too_and_a_schedule_waives_the_fee(
    market, value, hours, parts, equity_parts
):
    if value is not None:
        fees = (NoticeFee(notice_hours_min=hours, share=Decimal("0.1")),) if parts > 1 else ()
        ends = (EndTerms(value_usd_min=Decimal(value), notice_hours_min=hours, fees=fees),)
        terms = structs.replace(STANDARD, ends=ends, hold_share_per_hour=Decimal(0))
        await publish_schedule(market.handler, market.context(), terms=terms)
    trade, grant = await sell(market, usd=10_000, days=40, parts=parts, equity_parts=equity_parts)
    grant_id, start = grant.issued.grant_id, grant.issued.start
    for notice in (hours - 1, hours):
        market.clock.at = start - timedelta(hours=notice)
        context = market.context(trade.provider)
        act = {"at": start, "reason": "a better price elsewhere"}
        if notice < hours and hours > 73:
            with pytest.raises(Refusal) as caught:
                await terminate_grant(market.handler, context, grant_id, **act)
            assert caught.value.code == "notice_too_short"
        else:
            await terminate_grant(market.handler, context, grant_id, **act)
    ended = await market.state("grant", grant_id)
    assert (ended.status, bool(ended.end_fee_usd)) == ("terminated", value is None or parts > 1)
    assert await find_faults(Fees, market.log) == []


async def test_an_order_of_a_cent_is_refused_and_so_is_one_above_the_quota(market):
    startup = await market.party("Startup", "startup", usd=100_000)
    with pytest.raises(Refusal) as caught:
        await market.order(startup, nodes=1, days=1, cash="0.001")
    assert (caught.value.code, caught.value.facts["set_aside_usd"]) == ("order_too_small", "0.20")
    terms = structs.replace(STANDARD, orders_max=2)
    await publish_schedule(market.handler, market.context(), terms=terms)
    placed = [await market.order(startup, nodes=1, days=1) for _ in range(2)]
    with pytest.raises(Refusal) as caught:
        await market.order(startup, nodes=1, days=1)
    assert caught.value.code == "holds_exhausted"
    await market.cancel(startup, placed[0])
    rival, sister = [await market.party(name, "startup", usd=100_000) for name in ("Rival", "Sister")]
    own = await market.order(sister, nodes=1, days=1)
    await relate(market, rival, by=rival, related_id=startup)
    await market.order(rival, nodes=1, days=1)
    await market.order(startup, nodes=1, days=1)
    await relate(market, sister, related_id=startup)
    with pytest.raises(Refusal) as caught:
        await market.order(sister, nodes=1, days=1)
    assert caught.value.code == "holds_exhausted", "who is one owner with another has one quota with it"
    cheaper = market.terms(nodes=1, days=1, cash="2")
    await orders.amend_order(market.handler, market.context(sister), own, terms=cheaper)
    await market.order(rival, nodes=1, days=1)


@pytest.mark.parametrize("taken", [False, True], ids=["auction", "quote"])
async def test_a_stage_that_the_platform_records_undoes_no_order_that_is_bound(market, taken):
    """The company is of the stage that the mandate takes when the order is locked, or the quote held."""
    trade = await market.trade(days=10, no_cancel_at=0.4)
    mandate = await market.state("mandate", trade.mandate)
    await record_stage(market.handler, market.context(), trade.startup, stage="seed")
    terms = structs.replace(mandate.terms, stages=("seed",))
    await mandates.amend_mandate(market.handler, market.context(trade.fund), trade.mandate, terms=terms)
    quote = None
    if taken:
        await market.cancel(trade.startup, trade.order)
        asked = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), days=10)
        async with open_desk(market) as desk:
            who, by = {"startup_id": trade.startup}, market.context(trade.startup)
            quote = await hold_quote(market.handler, by, desk.quoter, **who, terms=asked, hold_seconds=600)
    async with market.worker():
        if quote is None:
            market.clock.at = market.day(0.4)
            await market.until("order", trade.order, "locked")
        await record_stage(market.handler, market.context(), trade.startup, stage="growth")
        if quote is None:
            assert await market.award(trade) is not None
        else:
            await take_quote(market.handler, market.context(trade.startup), quote.id)
    with pytest.raises(Refusal) as caught:
        await market.order(trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,))
    assert caught.value.code == "stage_unwelcome", "what is not bound yet is asked by the present stage"
    await check_log(market.log)


class Bound:
    """What the auditor knows of bound orders, beside the capacity on which that rests."""

    def __init__(self, findings):
        self.findings, self.capacity = findings, Capacity(Findings())
        self.binding = Binding(findings, self.capacity)

    def take(self, decision):
        self.binding.take(decision)
        self.capacity.take(decision)


@pytest.mark.parametrize("drops", ["in the phase", "before it"])
async def test_an_order_is_held_to_the_score_that_its_provider_had_when_it_was_bound(market, drops):
    """A provider voided a reading of its shell in the phase, was too bad for a bound order, and restored it after."""
    market.service = structs.replace(STANDARD_SERVICE, credits=())
    trade = await market.trade(cash="3", equity="0")
    async with market.worker() as worker:
        month = Month(market, trade, await market.award(trade))
        await month.settle()
        assert worker.market.list_reliability() == {trade.provider: 1}
        terms = {"cash": "3", "nodes": 1, "earliest": 60, "latest": 62, "provider_reliability_min": Decimal("0.99")}
        order = await market.order(trade.startup, **terms)
        today = (market.clock.at - market.day(0)).days
        auction = await market.auction(today + 2, today + 3, 40, today + 1)
        if drops == "in the phase":
            market.clock.at = market.day(today + 1)
            await market.until("order", order, "locked")
        context, why = market.context(trade.provider), {"reading_id": "day-20", "reason": "another grant's"}
        await usage.void_usage(market.handler, context, month.grant_id, source="dcgm", **why)
        await market.until("statement", name_adjustment(month.first.statement_id, 0), "accepted")
        market.clock.at = market.day(today + 2)
        await market.until_carried_out(auction)
        assert worker.market.list_reliability()[trade.provider] < Fraction(99, 100)
        expected = "matched" if drops == "in the phase" else "unmatched"
        assert (await market.state("order", order)).status == expected
        after = await market.order(trade.startup, **terms)
        later = await market.auction(today + 4, today + 5, 40)
        market.clock.at = market.day(today + 4)
        await market.until_carried_out(later)
        assert (await market.state("order", after)).status == "unmatched", "it counts from the next auction on"
    await check_log(market.log)
    assert await find_faults(Bound, market.log) == []
    faults = await find_faults(Bound, market.log, drop="statement.credited.v1")
    assert [rule for rule, _, _ in faults] == ["bound"] * (1 if drops == "in the phase" else 2)


async def test_an_early_end_that_reads_a_mandate_behind_the_log_is_decided_again(market):
    """A process that had read the mandate before its order was placed failed with an error that names no rule."""
    behind, grant_mandate = market.process("behind"), market.mandate

    async def mandate(*args, **rules):
        mandate_id = await grant_mandate(*args, **rules)
        await behind.handler.cache.load(MANDATE, mandate_id)
        return mandate_id

    market.mandate = mandate
    async with market.worker():
        trade = await market.trade(days=10)
        grant = await market.award(trade)
    end = {"at": grant.issued.start + timedelta(days=5), "reason": "no longer needed"}
    await terminate_grant(behind.handler, behind.context(trade.startup), grant.issued.grant_id, **end)
    held = (await market.state("mandate", trade.mandate)).holds[grant.issued.hold_id]
    assert held.total_usd == grant.issued.equity.budget_commitment_usd / 2
