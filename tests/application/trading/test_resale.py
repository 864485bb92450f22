"""Resale: what a startup does not use is sold on, delivered by the provider as before, and paid to the cent."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import SimpleNamespace

import pytest
from msgspec import structs

from events.schedule import EndTerms, NoticeFee
from marketplace.application.billing import accounts, statements
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory, sites
from marketplace.application.supply.schedules import publish_schedule
from marketplace.application.trading.auctions import lock_auction
from marketplace.application.trading.resale import resell_grant
from marketplace.auditor.binding import Binding
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.fees import Fees
from marketplace.auditor.stream import Findings
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import ceil_cents, parse_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.delivery.grant_notice import find_owed
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.domain.supply.schedule import STANDARD
from marketplace.domain.trading.book.book import build_book
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.runtime.auctions.clearing import compute_book_hash
from tests.support.market.auditing import audit_log, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAY = timedelta(days=1)


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def resell(market, trade, grant, *, ask="2", nodes=1, first=5, last=8, party=None, **more):
    """Offer nodes from one day of the grant to another."""
    start = grant.issued.start
    receipt = await resell_grant(
        market.handler,
        market.context(party or trade.startup),
        grant.issued.grant_id,
        nodes=nodes,
        start=start + first * DAY,
        end=start + last * DAY,
        ask_usd_per_gpu_hour=Decimal(ask),
        **more,
    )
    return receipt.id


async def buy(market, *, cash="4", days=3, at=6, nodes=1):
    """Let another startup win what it can from a second auction; nothing but the resale is for sale there."""
    buyer = await market.party("Buyer", "startup", usd=100_000)
    await market.issuer(buyer)
    order = await market.order(buyer, cash=cash, days=days, nodes=nodes, earliest=at, latest=at)
    auction = await market.auction(locks_at=2, horizon=2)
    market.clock.at = market.day(2)
    await market.until_carried_out(auction, seconds=60)
    return SimpleNamespace(buyer=buyer, order=order, auction=auction)


async def sell_on(market, *, cash="4", ask="2", trade_cash="1", equity="3"):
    """Bring a grant of four nodes over ten days to a market where one node of it is sold on for three days."""
    trade = await market.trade(days=10, nodes=4, cash=trade_cash, equity=equity)
    grant = await market.award(trade)
    lot = await resell(market, trade, grant, ask=ask)
    sale = await buy(market, cash=cash)
    bought_id = (await market.state("order", sale.order)).grant_id
    assert bought_id is not None
    bought = await market.state("grant", bought_id)
    source = await market.state("grant", grant.issued.grant_id)
    return SimpleNamespace(trade=trade, lot=lot, sale=sale, bought=bought, source=source)


async def report(market, grant, parts):
    """Report runs of days with so many nodes each."""
    readings = tuple(
        Measurement(
            reading_id=f"{grant.issued.grant_id}-{first}",
            start=grant.issued.start + first * DAY,
            end=grant.issued.start + last * DAY,
            nodes=nodes,
        )
        for first, last, nodes in parts
    )
    market.clock.at = max(market.clock.at, *(reading.end for reading in readings))
    provider = market.context(grant.issued.provider_id)
    return await usage.report_usage(
        market.handler, provider, grant.issued.grant_id, source="dcgm", measurements=readings
    )


async def settle(market, *all_grants):
    """Let every statement be issued and accepted by silence, and every grant end."""
    for grant in sorted(all_grants, key=lambda each: each.end):
        for period in list_periods(grant):
            market.clock.at = max(market.clock.at, period.end + timedelta(hours=25))
            issued = await market.until("statement", period.statement_id, "issued", seconds=60)
            market.clock.at = max(market.clock.at, issued.issued.accept_until)
        await market.until("grant", grant.issued.grant_id, "completed", seconds=60)


async def test_what_is_sold_above_its_price_pays_the_provider_and_the_seller_the_rest(market):
    async with market.worker():
        done = await sell_on(market, cash="4", ask="3")
        before = {name: await market.account(party) for name, party in _parties(done)}
        await report(market, done.bought, [(0, 3, 1)])
        await report(market, done.source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
        await settle(market, done.bought, done.source)
    ledger = await check_log(market.log)
    [statement] = [s for s in ledger.states["statement"].values() if s.issued.grant_id == done.bought.issued.grant_id]
    charges, hours = statement.charges, 3 * 24 * 8
    assert (done.bought.issued.resale.seller_id, done.bought.issued.provider_id) == (
        done.trade.startup,
        done.trade.provider,
    )
    assert charges.cash_usd == parse_ratio(done.bought.issued.price_usd_per_gpu_hour) * hours == 3 * hours
    assert charges.provider_usd == parse_ratio(done.source.issued.price_usd_per_gpu_hour) * hours == 2 * hours
    assert (charges.reseller_receives_usd, charges.reseller_pays_usd, charges.principal_usd) == (hours, 0, 0)
    own = compute_totals(build_tariff(done.source.issued), (4 * 10 - 3) * 24 * 8 * 3600)
    got = {name: await market.account(party) for name, party in _parties(done)}
    assert got["provider"].available_usd == own.provider_usd + charges.provider_usd
    assert _spent(before, got, "buyer") == charges.cash_usd
    assert _spent(before, got, "startup") == own.cash_usd - charges.reseller_receives_usd
    assert _spent(before, got, "fund") == own.holder_usd
    instrument = ledger.states["instrument"][done.source.issued.equity.instrument_id]
    assert instrument.principal_usd == instrument.commitment_usd == own.principal_usd


def _parties(done):
    trade = done.trade
    return [("provider", trade.provider), ("startup", trade.startup), ("fund", trade.fund), ("buyer", done.sale.buyer)]


def _spent(before, after, name):
    had, has = before[name], after[name]
    return had.available_usd + had.held_usd - has.available_usd - has.held_usd


async def test_what_is_sold_below_its_price_is_made_up_for_by_the_seller(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="0.5")
        sale = await buy(market, cash="1.5")
        bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
        seller = await market.account(trade.startup)
        hours = 3 * 24 * 8
        assert bought.issued.resale.commitment_usd == Decimal("1.5") * hours
        assert seller.holds[bought.issued.resale.hold_id].left_usd == Decimal("1.5") * hours
        source = await market.state("grant", grant.issued.grant_id)
        await report(market, bought, [(0, 3, 1)])
        await report(market, source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
        await settle(market, bought, source)
    assert (await market.account(trade.provider)).available_usd == Decimal(2) * 4 * 10 * 24 * 8
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.account(sale.buyer)).held_usd == 0
    ledger = await check_log(market.log)
    [statement] = [s for s in ledger.states["statement"].values() if s.issued.grant_id == bought.issued.grant_id]
    assert (statement.charges.cash_usd, statement.charges.reseller_pays_usd) == (hours / 2, Decimal("1.5") * hours)


async def test_what_a_seller_keeps_for_others_is_not_set_aside_for_its_buyer(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="0.5")
        await spend_hold(market, grant, left=100)
        await market.keep(trade.startup, (await market.account(trade.startup)).available_usd)
        sale = await buy(market, cash="1.5")
    assert (await market.state("order", sale.order)).status == "unmatched"
    events = [event async for page in market.log.read() for event in page]
    (said,) = (event.body for event in events if event.envelope.type.endswith("order.unmatched.v1"))
    assert b"the seller lacks" in said
    assert b"available" not in said, "the buyer is not told the seller's balance"
    await check_log(market.log)


async def spend_hold(market, grant, *, left):
    """Leave less in the hold of a grant than its hours cost, as a repeated charge of a period does."""
    account_id = grant.issued.startup_account_id
    command = AdjustHold(
        account_id=account_id, hold_id=grant.issued.hold_id, amount_usd=Decimal(left), reason="charged again"
    )

    async def work(unit):
        await unit.decide(ACCOUNT, account_id, command)

    await market.handler.run(market.context(), ACCOUNT, account_id, work)


async def test_the_commitments_of_the_seller_shrink_as_it_sells(market):
    async with market.worker():
        done = await sell_on(market)
    sold = done.source.resold[0]
    whole = compute_totals(build_tariff(done.source.issued), done.source.gpu_seconds_granted)
    left = compute_totals(build_tariff(done.source.issued), done.source.gpu_seconds_granted - sold.gpu_seconds)
    startup = await market.account(done.trade.startup)
    assert startup.holds[done.source.issued.hold_id].left_usd == left.cash_usd < whole.cash_usd
    mandate = await market.state("mandate", done.trade.mandate)
    assert mandate.used_usd == left.holder_usd
    instrument = await market.state("instrument", done.source.issued.equity.instrument_id)
    assert instrument.undrawn_usd == left.principal_usd
    pool = await market.state("pool", done.trade.pool)
    assert sum(load.amount * (load.end - load.start) // DAY for load in pool.reserved()) == 4 * 10
    await check_log(market.log)


async def test_the_sellers_meter_counts_no_more_than_it_kept(market):
    async with market.worker():
        done = await sell_on(market)
        _, answers = await report(market, done.source, [(0, 5, 4), (5, 8, 4), (5, 8, 1)])
    assert [answer.outcome for answer in answers] == ["accepted", "rejected", "accepted"]
    assert answers[1].code == "nodes_above_grant"
    assert answers[1].message.startswith("0 GPUs are already reported")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"party": "stranger"}, "grant_unknown"),
        ({"first": -3, "last": 8}, "resale_outside_grant"),
        ({"first": 5, "last": 11}, "resale_outside_grant"),
        ({"nodes": 5}, "resale_above_grant"),
        ({"ask": "1.4"}, "ask_below_principal"),
        ({"nodes": 1, "nodes_min": 2}, "nodes_min_above_nodes"),
    ],
)
async def test_what_is_not_its_own_to_sell_is_refused(market, changes, code):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        stranger = await market.party("Stranger", "startup")
        if "party" in changes:
            changes = {**changes, "party": stranger}
        with pytest.raises(Refusal) as caught:
            await resell(market, trade, grant, **changes)
    assert caught.value.code == code


async def test_the_floor_of_a_resale_holds_for_a_later_ask_too_and_no_event_tells_it(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        lot_id = await resell(market, trade, grant)
        seller, ask = market.context(trade.startup), Decimal("1.4")
        with pytest.raises(Refusal) as caught:
            await inventory.reprice_lot(market.handler, seller, lot_id, ask_usd_per_gpu_hour=ask)
    assert caught.value.code == "ask_below_principal"
    floor = caught.value.facts["floor_usd_per_gpu_hour"]
    events = await market.log.load(f"marketplace.lot.{lot_id}")
    assert events
    assert not any(floor in event.body.decode() for event in events)


async def test_what_is_offered_is_not_offered_twice_and_what_was_delivered_not_at_all(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        await resell(market, trade, grant, nodes=3)
        with pytest.raises(Refusal) as twice:
            await resell(market, trade, grant, nodes=2, first=7, last=9)
        market.clock.at = grant.issued.start + 6 * DAY
        with pytest.raises(Refusal) as late:
            await resell(market, trade, grant, nodes=1)
        await grants.terminate_grant(
            market.handler, market.context(), grant.issued.grant_id, at=market.clock.at, reason="done"
        )
        with pytest.raises(Refusal) as ended:
            await resell(market, trade, grant, nodes=1, first=8, last=9)
    assert (twice.value.code, late.value.code) == ("resale_above_grant", "capacity_delivered")
    assert ended.value.code == "grant_terminated"


@pytest.mark.parametrize("by", ["buyer", "provider", "seller"])
async def test_resold_capacity_keeps_the_notice_and_the_fee_of_the_deal_that_it_comes_from(market, by):
    fees = (NoticeFee(notice_hours_min=0, share=Decimal("0.1")),)
    deal = EndTerms(value_usd_min=Decimal(9_000), notice_hours_min=80, fees=fees)
    small = EndTerms(value_usd_min=Decimal(0), notice_hours_min=0)
    terms = structs.replace(STANDARD, ends=(small, deal))
    await publish_schedule(market.handler, market.context(), terms=terms)
    async with market.worker():
        done = await sell_on(market, ask="0.5", cash="1", trade_cash="4", equity="0")
        grant = (done.source if by == "seller" else done.bought).issued
        party = {"buyer": done.sale.buyer, "provider": done.trade.provider, "seller": done.trade.startup}[by]
        market.clock.at = max(market.clock.at, grant.start - timedelta(hours=60))
        noticed_at = market.clock.at
        if by == "provider":
            await market.deposit(party, 10_000)
        for hours in (61, 80):
            act = grants.terminate_grant(
                market.handler,
                market.context(party),
                grant.grant_id,
                at=noticed_at + timedelta(hours=hours),
                reason="a better price",
            )
            if hours == 80:
                await act
                continue
            with pytest.raises(Refusal) as early:
                await act
            assert early.value.code == "notice_too_short"
    ended = await market.state("grant", grant.grant_id)
    price = parse_ratio(grant.price_usd_per_gpu_hour) if by == "buyer" else find_owed(grant)
    assert ended.end_fee_usd == ceil_cents(price * Fraction(ended.gpu_seconds_ended, 3600) / 10) > 0
    assert await find_faults(Fees, market.log) == []


async def test_a_provider_stops_no_resale_by_ending_a_grant_when_it_ends_anyway(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        await resell(market, trade, grant)
        act = {"at": grant.end, "reason": "no rivals"}
        await grants.terminate_grant(market.handler, market.context(trade.provider), grant.issued.grant_id, **act)
        later = act | {"at": grant.end + timedelta(1)}
        with pytest.raises(Refusal) as caught:
            await grants.terminate_grant(market.handler, market.context(trade.provider), grant.issued.grant_id, **later)
        assert caught.value.code == "outside_grant"
        sale = await buy(market)
        assert (await market.state("order", sale.order)).status == "matched"
    await check_log(market.log)


async def test_a_grant_that_ends_takes_its_offers_off_the_market_and_leaves_what_was_sold(market):
    async with market.worker():
        done = await sell_on(market)
        open_lot = await resell(market, done.trade, done.source, nodes=2, first=8, last=10)
        await grants.terminate_grant(
            market.handler,
            market.context(done.trade.startup),
            done.source.issued.grant_id,
            at=done.source.issued.start + 6 * DAY,
            reason="out of money",
        )
    assert (await market.state("lot", open_lot)).status == "withdrawn"
    pool = await market.state("pool", done.trade.pool)
    assert not pool.list_resales(done.source.issued.grant_id)
    kept = pool.reservations[done.bought.issued.grant_id]
    assert (kept.start, kept.end, kept.lots[0].lot_id) == (
        done.bought.issued.start,
        done.bought.issued.end,
        done.trade.lot,
    )
    await check_log(market.log)


async def test_a_grant_that_was_sold_on_in_part_moves_with_what_it_kept(market):
    async with market.worker():
        done = await sell_on(market)
    source, bought = done.source.issued, done.bought.issued
    provider = market.context(done.trade.provider)
    _, other = await market.pool(done.trade.provider)
    lot = await market.lot(done.trade.provider, other, ask="2", nodes=4)
    move = {"pool_id": other, "reason": "the hall is refitted"}
    with pytest.raises(Refusal) as refused:
        await substitute_grant(market.handler, provider, source.grant_id, **move)
    assert refused.value.code == "resale_offered"
    await substitute_grant(market.handler, market.context(), source.grant_id, **move)
    moved = (await market.state("pool", other)).reservations[source.grant_id]
    counts = {
        day: sum(share.nodes for share in moved.lots if share.start <= source.start + day * DAY < share.end)
        for day in (1, 2, 5, 8, 9)
    }
    assert counts == {1: 4, 2: 4, 5: 3, 8: 4, 9: 4}
    assert {share.lot_id for share in moved.lots} == {lot}
    left = (await market.state("pool", done.trade.pool)).reservations
    assert left[source.grant_id].end == market.clock.now()
    assert left[bought.grant_id].end == bought.end
    await check_log(market.log)


async def test_a_seller_buys_nothing_of_itself_and_a_buyer_sells_nothing_on(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        await resell(market, trade, grant)
        own = await market.order(trade.startup, cash="9", days=3, nodes=1, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction, seconds=60)
        assert (await market.state("order", own)).status == "unmatched"
        market.clock.at = market.day(2)
        buyer = await market.party("Buyer", "startup", usd=100_000)
        await market.issuer(buyer)
        order = await market.order(buyer, cash="4", days=3, nodes=1, earliest=6, latest=6)
        second = await market.auction(locks_at=3, horizon=3)
        market.clock.at = market.day(3)
        await market.until_carried_out(second, seconds=60)
        bought = await market.state("grant", (await market.state("order", order)).grant_id)
        with pytest.raises(Refusal) as caught:
            await resell(market, SimpleNamespace(startup=buyer), bought, first=1, last=2, ask="9")
    assert caught.value.code == "grant_bought"


async def test_resold_nodes_are_sold_beside_fresh_ones_where_a_site_is_short_of_power(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        site_id = (await market.state("pool", trade.pool)).opened.site_id
        later = market.day(80)
        provider = market.context(trade.provider)
        await sites.derate_site(
            market.handler, provider, site_id, power_energised_kw=40, at=later, reason="a transformer is replaced"
        )
        lot = await resell(market, trade, grant)
        sale = await buy(market)
        order = await market.state("order", sale.order)
        bought = await market.state("grant", order.grant_id)
    frozen = (await market.state("auction", sale.auction)).locked.book
    assert {limit.limit_id for limit in frozen.limits} == {f"power/{site_id}"}
    assert bought.issued.resale is not None
    assert [share.lot_id for share in bought.issued.lots] == [lot]
    await check_log(market.log)


async def test_a_lot_in_a_frozen_book_is_not_withdrawn(market):
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        lot = await resell(market, trade, grant)
    book, opened = await freeze_book(market)
    seller = market.context(trade.startup)
    with pytest.raises(Refusal) as caught:
        await inventory.withdraw_lot(market.handler, seller, lot, reason="needed", auction_ids=[opened])
    assert (caught.value.code, lot in {row.lot_id for row in book.lots}) == ("lot_frozen", True)
    async with market.worker():
        await market.until_carried_out(opened, seconds=60)
        await inventory.withdraw_lot(
            market.handler, market.context(trade.startup), lot, reason="needed", auction_ids=[opened]
        )
    assert (await market.state("lot", lot)).status == "withdrawn"


async def freeze_book(market):
    """Open a second auction and freeze its book as an auctioneer does that stops right after."""
    opened = await market.auction(locks_at=2, horizon=2)
    market.clock.at = market.day(2)
    found = {"pool": {}, "lot": {}, "site": {}}
    async for page in market.log.read():
        for recorded in page:
            _, aggregate, id = recorded.subject.split(".")  # noqa: A001
            if aggregate in found:
                found[aggregate][id] = (await market.handler.cache.load(DECIDERS[aggregate], id)).state
    goods = Supply(pools=found["pool"], lots=found["lot"], mandates={}, sites=found["site"])
    auction = await market.state("auction", opened)
    book = build_book(auction.opened, goods, [])
    await lock_auction(market.handler, market.context(), opened, book=book, book_hash=compute_book_hash(book))
    return book, opened


async def settle_sold(market):
    """Resell a node for three days at 3.00, of which the provider is owed 2.00, deliver it and have it paid."""
    done = await sell_on(market, cash="4", ask="3")
    await settle_bought(market, done)
    return done


async def settle_bought(market, done):
    """Deliver three days of a node that was resold, and have them paid."""
    await report(market, done.bought, [(0, 3, 1)])
    period = list_periods(done.bought)[0]
    market.clock.at = period.end + timedelta(hours=25)
    await market.until("statement", period.statement_id, "issued", seconds=60)
    await statements.accept_statement(market.handler, market.context(done.sale.buyer), period.statement_id)
    await market.until("statement", period.statement_id, "accepted", seconds=60)


async def void_all(market, done):
    """Take back what was metered of the sold hours, and wait until the buyer has some of its money."""
    paid = (await market.account(done.sale.buyer)).available_usd
    await usage.void_usage(
        market.handler,
        market.context(done.trade.provider),
        done.bought.issued.grant_id,
        source="dcgm",
        reading_id=f"{done.bought.issued.grant_id}-0",
        reason="the meter was wrong",
    )
    async with asyncio.timeout(60):
        while (await market.account(done.sale.buyer)).available_usd == paid:
            await market.tick()


async def count_all(market, done):
    return {name: (await market.account(party)).available_usd for name, party in _parties(done)}


async def test_a_credit_for_a_resold_hour_takes_back_what_each_of_them_got(market):
    async with market.worker():
        done = await settle_sold(market)
        paid = await count_all(market, done)
        await void_all(market, done)
    got = await count_all(market, done)
    hours = 3 * 24 * 8
    changed = {name: got[name] - paid[name] for name in got}
    assert changed == {"provider": -2 * hours, "startup": -hours, "fund": 0, "buyer": 3 * hours}
    await check_log(market.log)


async def test_a_credit_for_a_resold_hour_waits_for_the_seller_s_part_alone(market):
    """The buyer got nothing, also of the provider's part, until the seller had money for its own."""
    hours = 3 * 24 * 8
    async with market.worker():
        done = await settle_sold(market)
        seller = rename_id("acc", done.trade.startup)
        account = await market.state("account", seller)
        left = account.available_usd - account.count_free(market.clock.now())
        await market.withdraw_free(done.trade.startup)
        paid = await count_all(market, done)
        await void_all(market, done)
        got = await count_all(market, done)
        changed = {name: got[name] - paid[name] for name in got}
        assert changed == {"provider": -2 * hours, "startup": -left, "fund": 0, "buyer": 2 * hours + left}
        for number in range(2):
            named = {"amount_usd": hours - left, "reference": f"in {number}"}
            await accounts.deposit(market.handler, market.context(), seller, **named)
        named = {"amount_usd": Decimal(hours), "reference": "before the buyer"}
        with pytest.raises(Refusal, match="covers corrections"):
            await accounts.withdraw(market.handler, market.context(done.trade.startup), seller, **named)
        market.clock.at += timedelta(hours=2)
        async with asyncio.timeout(60):
            while (await market.account(done.sale.buyer)).available_usd != paid["buyer"] + 3 * hours:
                await market.tick()
    account = await market.state("account", seller)
    assert account.available_usd == hours - left
    assert account.count_free(market.clock.now()) == hours - 2 * left, "a tenth is still kept for corrections"
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []
    faults = await find_faults(Fees, market.log, "account.reserved.v1")
    assert any("57.60 USD" in text and "and keeps 0, and 576.00 are due" in text for *_, text in faults), faults


async def sell_for_own_equity(market):
    """Resell a node for three days to a buyer that pays a part in equity, which the seller itself takes."""
    make = market.party

    async def make_seller_a_fund(name, *roles, **more):
        return await make(name, *roles, *(("fund",) if name == "Startup" else ()), **more)

    market.party = make_seller_a_fund
    trade = await market.trade(days=10, nodes=4, cash="4", equity="0")
    grant = await market.award(trade)
    budgets = {"budget": 20_000, "direct_budget_usd": Decimal(1_000), "issuer_usd_max": Decimal(21_000)}
    mandate_ids = (await market.mandate(trade.startup, "cash", credit="0.8", **budgets),)
    await resell(market, trade, grant, ask="3", mandate_ids=mandate_ids)
    buyer = await market.party("Buyer", "startup", usd=100_000)
    await market.issuer(buyer)
    terms = {"cash": "1", "equity": "3", "days": 3, "nodes": 1, "earliest": 6, "latest": 6}
    order = await market.order(buyer, mandate_ids=mandate_ids, **terms)
    auction = await market.auction(locks_at=2, horizon=2)
    market.clock.at = market.day(2)
    await market.until_carried_out(auction, seconds=60)
    bought = await market.state("grant", (await market.state("order", order)).grant_id)
    return SimpleNamespace(trade=trade, sale=SimpleNamespace(buyer=buyer), bought=bought)


async def test_a_seller_that_takes_its_buyer_s_equity_owes_itself_nothing_of_a_credit(market):
    """Its account kept what it lacked for itself, and the auditor missed what it did not pay."""
    async with market.worker():
        done = await sell_for_own_equity(market)
        await settle_bought(market, done)
        charges = (await market.state("statement", list_periods(done.bought)[0].statement_id)).charges
        assert charges.reseller_receives_usd > charges.cash_usd > 0
        seller = rename_id("acc", done.trade.startup)
        account = await market.state("account", seller)
        named = {"amount_usd": account.count_free(market.clock.now()), "reference": "out"}
        await accounts.withdraw(market.handler, market.context(done.trade.startup), seller, **named)
        paid = await count_all(market, done)
        await void_all(market, done)
    got = await count_all(market, done)
    lacks_usd = sum(
        usd
        for cause, (usd, _) in (await market.account(done.trade.startup)).reserves.items()
        if cause.startswith("rst_")
    )
    assert got["buyer"] - paid["buyer"] == charges.cash_usd - lacks_usd
    assert paid["provider"] - got["provider"] == charges.provider_usd
    assert await find_faults(Fees, market.log) == []
    await check_log(market.log)


@pytest.mark.parametrize("by", ["provider", "platform"])
async def test_what_a_grant_offers_for_resale_is_offered_anew_where_it_moves(market, by):
    """Otherwise a provider would take its reseller off the market by a node that it reports as failed."""
    async with market.worker():
        trade = await market.trade(days=10, nodes=4)
        grant = await market.award(trade)
        grant_id, provider = grant.issued.grant_id, partial(market.context, trade.provider)
        lots = [await resell(market, trade, grant, ask="3", nodes=2), await resell(market, trade, grant, ask="4")]
        await inventory.withdraw_lot(market.handler, market.context(trade.startup), lots[1], reason="needed")
        market.clock.at = grant.issued.start + DAY / 4
        await market.until("grant", grant_id, "active")
        at = market.clock.now()
        await grants.degrade_grant(
            market.handler, provider(), grant_id, nodes_available=3, at=at, reason="a node failed"
        )
        _, other = await market.pool(trade.provider)
        await market.lot(trade.provider, other, ask="2", nodes=4)
        move = {"pool_id": other, "reason": "a node failed"}
        await substitute_grant(market.handler, provider() if by == "provider" else market.context(), grant_id, **move)
        pool, before = await market.state("pool", other), (await market.state("lot", lots[0])).listed
        [lot_id] = pool.list_resales(grant_id)
        anew = (await market.state("lot", lot_id)).listed
        assert anew == structs.replace(before, lot_id=lot_id, pool_id=other)
        assert not (await market.state("pool", trade.pool)).list_resales(grant_id)
        await grants.resume_grant(market.handler, provider(), grant_id, at=market.clock.now())
        await inventory.withdraw_lot(market.handler, provider(), trade.lot, reason="sold elsewhere")
        sale = await buy(market)
        bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
    assert (bought.issued.resale.lot_id, bought.pool_id) == (lot_id, other)
    await check_log(market.log)
    assert await audit_log(market.log) == []
    dropped = find_faults(_bind, market.log, lambda message: message.read().get("lot_id") == lots[0])
    assert await dropped != [], "it offered nothing like it"


def _bind(findings):
    return Binding(findings, Capacity(Findings()))


async def test_what_is_left_of_an_offer_that_moves_is_no_less_than_its_least(market):
    async with market.worker():
        done = await sell_on(market, ask="2")
        lot = await resell(market, done.trade, done.source, nodes=3, first=5, last=8, nodes_min=2)
        _, other = await market.pool(done.trade.provider)
        await market.lot(done.trade.provider, other, ask="2", nodes=4)
        grant_id = done.source.issued.grant_id
        market.clock.at = done.source.issued.start + 6 * DAY
        move = {"pool_id": other, "reason": "by order"}
        await substitute_grant(market.handler, market.context(), grant_id, **move)
        [lot_id] = (await market.state("pool", other)).list_resales(grant_id)
        anew = (await market.state("lot", lot_id)).listed
    assert (anew.nodes, anew.start, anew.end) == (3, market.clock.now(), done.source.issued.start + 8 * DAY)
    assert (await market.state("lot", lot)).status == "withdrawn"
    await check_log(market.log)
