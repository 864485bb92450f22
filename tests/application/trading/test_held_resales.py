"""Held quotes on what startups resell: set aside for a stated time, then sold as an auction sells it, or free again."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from events.service import ServiceTerms
from marketplace.application.billing import accounts
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.supply import inventory
from marketplace.application.trading.quotes import hold_quote, release_quote, take_quote
from marketplace.application.trading.resale import resell_grant
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.trading.resale import require_move_needed
from marketplace.execution.handler import Handler
from tests.application.test_rule_races import list_codes, race
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAY = timedelta(days=1)


async def begin(log, *, ask="2.50", nodes=1):
    """Bring a grant of all four nodes over ten days, half in equity, of which nodes are for sale for three days."""
    market = Market(log)
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="1", equity="3")
        grant = await market.award(trade)
    start = grant.issued.start
    lot = await resell_grant(
        market.handler,
        market.context(trade.startup),
        grant.issued.grant_id,
        nodes=nodes,
        start=start + 5 * DAY,
        end=start + 8 * DAY,
        ask_usd_per_gpu_hour=Decimal(ask),
    )
    buyer = await market.party("Buyer", "startup", usd=100_000)
    return SimpleNamespace(market=market, trade=trade, grant=grant, lot=lot.id, buyer=buyer)


@pytest.fixture
async def sale(memory_log):
    return await begin(memory_log)


async def hold(sale, desk, *, buyer=None, handler=None, nodes=1, cash="4", seconds=600):
    market, buyer = sale.market, buyer or sale.buyer
    return await hold_quote(
        handler or market.handler,
        market.context(buyer),
        desk.quoter,
        startup_id=buyer,
        terms=market.terms(cash=cash, nodes=nodes, days=3, earliest=6, latest=6),
        hold_seconds=seconds,
    )


async def hold_one(sale, **more):
    async with open_desk(sale.market) as desk:
        return (await hold(sale, desk, **more)).id


async def take(sale, quote_id, handler=None):
    return await take_quote(handler or sale.market.handler, sale.market.context(sale.buyer), quote_id)


async def pool_of(sale):
    return await sale.market.state("pool", sale.trade.pool)


async def test_what_is_held_stays_the_sellers_and_is_sold_to_nobody_else(sale):
    quote_id = await hold_one(sale)
    market, pool = sale.market, await pool_of(sale)
    match = (await market.state("quote", quote_id)).held.match
    assert ([share.lot_id for share in match.lots], parse_ratio(match.price_usd_per_gpu_hour) >= Decimal("2.5")) == (
        [sale.lot],
        True,
    )
    assert pool.list_holders(sale.grant.issued.grant_id) == [match.grant_id]
    assert not any(load.amount for load in pool.unsold(sale.lot, match.start, match.end))
    rival = await market.party("Rival", "startup", usd=100_000)
    with pytest.raises(Refusal) as refused:
        await hold_one(sale, buyer=rival)
    assert refused.value.code == "never_feasible"
    order = await market.order(rival, cash="9", days=3, nodes=1, earliest=6, latest=6)
    market.clock.at += timedelta(seconds=1)
    auction = await market.auction(locks_at=0.505, horizon=2)
    async with market.worker():
        market.clock.at = market.day(0.505)
        await market.until_carried_out(auction, seconds=60)
    assert (await market.state("order", order)).status == "unmatched"
    await check_log(market.log)


async def test_what_a_seller_sets_aside_for_a_held_sale_is_kept_until_the_quote_ends(memory_log):
    """It was paid for holds that nobody could take, because the money that it posts at the sale was gone."""
    sale = await begin(memory_log, ask="6")
    market, seller = sale.market, sale.trade.startup
    account_id, context = rename_id("acc", seller), market.context(seller)

    async def withdraw(amount_usd):
        named = {"amount_usd": amount_usd, "reference": f"all {amount_usd}"}
        await accounts.withdraw(market.handler, context, account_id, **named)

    released = await hold_one(sale, cash="9")
    await release_quote(market.handler, market.context(sale.buyer), released, reason="not needed")
    quote_id = await hold_one(sale, cash="9")
    account = await market.account(seller)
    free_usd = account.count_free(market.clock.now())
    assert set(account.reserves) & {released, quote_id} == {quote_id}
    with pytest.raises(Refusal) as refused:
        await withdraw(account.available_usd)
    assert refused.value.code in {"funds_insufficient", "funds_reserved"}
    await withdraw(free_usd)
    await take(sale, quote_id)
    bought = await market.state("grant", rename_id("grt", quote_id))
    assert bought.issued.resale.seller_id == seller
    assert quote_id not in (await market.account(seller)).reserves
    await check_log(market.log)


async def test_a_seller_that_lacks_what_it_sets_aside_for_a_sale_is_paid_for_no_hold(memory_log):
    sale = await begin(memory_log, ask="6")
    market, seller = sale.market, sale.trade.startup
    await market.keep(seller, (await market.account(seller)).available_usd)
    with pytest.raises(Refusal) as refused:
        await hold_one(sale, cash="9")
    assert refused.value.code == "funds_insufficient"


async def test_what_is_taken_is_sold_with_its_principal_first(sale):
    market, issued = sale.market, sale.grant.issued
    quote_id = await hold_one(sale)
    await take(sale, quote_id)
    await take(sale, quote_id)
    bought = await market.state("grant", rename_id("grt", quote_id))
    source = await market.state("grant", issued.grant_id)
    sold = source.resold[0]
    assert (bought.issued.resale.seller_id, bought.issued.resale.grant_id) == (sale.trade.startup, issued.grant_id)
    unpromised = ServiceTerms(availability_min=Decimal(0), measure=issued.service.measure, detection=None)
    assert (bought.issued.provider_id, bought.issued.service) == (sale.trade.provider, unpromised)
    assert (sold.resale_grant_id, sold.gpu_seconds) == (bought.issued.grant_id, 3 * 24 * 8 * 3600)
    whole = compute_totals(build_tariff(issued), source.gpu_seconds_granted)
    left = compute_totals(build_tariff(issued), source.gpu_seconds_left)
    seller = await market.account(sale.trade.startup)
    instrument = await market.state("instrument", issued.equity.instrument_id)
    assert seller.holds[issued.hold_id].left_usd == left.cash_usd < whole.cash_usd
    assert (await market.state("mandate", sale.trade.mandate)).used_usd == left.holder_usd < whole.holder_usd
    assert instrument.undrawn_usd == left.principal_usd < whole.principal_usd
    assert (await market.account(sale.buyer)).held_usd == bought.issued.cash_commitment_usd
    pool = await pool_of(sale)
    assert pool.list_holders(issued.grant_id) == []
    assert pool.reservations[bought.issued.grant_id].lots[0].lot_id == sale.trade.lot
    await check_log(market.log)


async def test_what_is_let_go_or_runs_out_is_for_sale_again(sale):
    market = sale.market
    async with open_desk(market) as desk:
        first = (await hold(sale, desk)).id
        await release_quote(market.handler, market.context(sale.buyer), first, reason="changed plans")
        assert (await market.account(sale.buyer)).held_usd == 0
        second = (await hold(sale, desk)).id
        async with market.worker():
            market.clock.at += timedelta(seconds=600)
            await market.until("quote", second, "expired")
        assert (await market.account(sale.buyer)).held_usd == 0
        third = (await hold(sale, desk)).id
    assert (await pool_of(sale)).list_holders(sale.grant.issued.grant_id) == [rename_id("grt", third)]
    await check_log(market.log)


class RaceCases:
    async def test_of_many_who_hold_the_last_resold_node_one_does(self, log):
        sale = await begin(log)
        rivals = [await sale.market.party(f"Rival {number}", "startup", usd=100_000) for number in range(4)]
        async with open_desk(sale.market) as desk:
            handlers = [Handler(log, sale.market.clock) for _ in rivals]
            held = await asyncio.gather(
                *(hold(sale, desk, buyer=rival, handler=own) for rival, own in zip(rivals, handlers, strict=True)),
                return_exceptions=True,
            )
        assert sum(not isinstance(one, BaseException) for one in held) == 1, held
        assert all(isinstance(one, Refusal) for one in held if isinstance(one, BaseException)), held
        assert len((await pool_of(sale)).list_holders(sale.grant.issued.grant_id)) == 1
        await check_log(log)

    async def test_taking_and_the_end_of_the_sellers_grant_have_one_winner(self, log):
        sale = await begin(log)
        quote_id, grant_id = await hold_one(sale), sale.grant.issued.grant_id
        market = sale.market
        takes, ends = (Handler(log, market.clock) for _ in range(2))
        taken, _ = await asyncio.gather(
            take(sale, quote_id, takes),
            grants.terminate_grant(ends, market.context(), grant_id, at=market.clock.now(), reason="the lease ended"),
            return_exceptions=True,
        )
        quote = await market.state("quote", quote_id)
        bought = await market.state("grant", rename_id("grt", quote_id))
        assert (await market.state("grant", grant_id)).status == "terminated"
        if isinstance(taken, Refusal):
            assert (taken.code, quote.status, bought) == ("quote_released", "released", None)
            assert (await market.account(sale.buyer)).held_usd == 0
        else:
            assert (quote.status, bought.status) == ("taken", "issued")
            assert (await pool_of(sale)).reservations[bought.issued.grant_id].end == bought.issued.end
        await check_log(log)

    @pytest.mark.parametrize("first", ["list", "transfer"])
    async def test_who_passed_a_grant_on_sells_nothing_of_it(self, log, first):
        """The seller lists further nodes and lets another startup use the grant, each without having seen the other."""
        sale = await begin(log)
        market, issued = sale.market, sale.grant.issued
        other = await market.party("Other", "startup")
        await inventory.withdraw_lot(
            market.handler, market.context(sale.trade.startup), sale.lot, reason="not for sale yet"
        )

        def list_nodes(process):
            return resell_grant(
                process.handler,
                process.context(sale.trade.startup),
                issued.grant_id,
                nodes=1,
                start=issued.start + 5 * DAY,
                end=issued.start + 8 * DAY,
                ask_usd_per_gpu_hour=Decimal("2.50"),
            )

        def transfer(process):
            context = process.context(sale.trade.startup)
            return grants.transfer_grant(process.handler, context, issued.grant_id, startup_id=other)

        steps = (list_nodes, transfer) if first == "list" else (transfer, list_nodes)
        assert list_codes(await race(market, *steps)) == []
        sale.market = market.process("buyer")
        with pytest.raises(Refusal) as refused:
            await hold_one(sale)
        assert refused.value.code == "quote_unavailable"
        assert (await market.state("grant", issued.grant_id)).resold == ()
        await check_log(log)


class TestRaceOnMemory(RaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestRaceOnJetStream(RaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


@pytest.mark.parametrize("end", ["terminate", "substitute"])
async def test_what_ends_the_sellers_grant_without_it_lets_the_quote_go(sale, end):
    market, grant_id = sale.market, sale.grant.issued.grant_id
    quote_id = await hold_one(sale)
    if end == "terminate":
        at = market.clock.now()
        await grants.terminate_grant(market.handler, market.context(), grant_id, at=at, reason="by order")
    else:
        provider = sale.trade.provider
        _, other = await market.pool(provider)
        await market.lot(provider, other, ask="2", nodes=4)
        move = {"pool_id": other, "reason": "the hall is refitted"}
        with pytest.raises(Refusal) as refused:
            await substitute_grant(market.handler, market.context(provider), grant_id, **move)
        assert refused.value.code == "resale_offered", "a provider does not move its reseller off the market"
        closing = {"closes_at": market.clock.now() + timedelta(days=90), "reason": "the hall is refitted"}
        await inventory.announce_closing(market.handler, market.context(provider), sale.trade.pool, **closing)
        with pytest.raises(Refusal) as refused:
            await substitute_grant(market.handler, market.context(provider), grant_id, **move)
        assert refused.value.code == "resale_offered", "a closing that is announced may be put off"
        grant, last_day = await market.state("grant", grant_id), closing["closes_at"] - timedelta(days=1)
        with pytest.raises(Refusal):
            require_move_needed(grant, await pool_of(sale), last_day - timedelta(seconds=1))
        require_move_needed(grant, await pool_of(sale), last_day)
        await substitute_grant(market.handler, market.context(), grant_id, **move)
    assert (await market.state("quote", quote_id)).status == "released"
    assert (await market.account(sale.buyer)).held_usd == 0
    assert (await pool_of(sale)).list_holders(grant_id) == []
    with pytest.raises(Refusal) as refused:
        await take(sale, quote_id)
    assert refused.value.code == "quote_released"
    await check_log(market.log)


async def test_a_seller_does_not_take_back_what_is_held(sale):
    market, grant_id = sale.market, sale.grant.issued.grant_id
    quote_id = await hold_one(sale)
    other = await market.party("Other", "startup")
    seller = sale.trade.startup
    ends = (
        grants.transfer_grant(market.handler, market.context(seller), grant_id, startup_id=other),
        grants.terminate_grant(
            market.handler, market.context(seller), grant_id, at=market.day(60), reason="no longer needed"
        ),
    )
    for end in ends:
        with pytest.raises(Refusal) as refused:
            await end
        assert refused.value.code == "resale_held"
    await inventory.withdraw_lot(market.handler, market.context(seller), sale.lot, reason="needed after all")
    with pytest.raises(Refusal) as gone:
        await hold_one(sale, buyer=await market.party("Rival", "startup", usd=100_000))
    assert gone.value.code == "never_feasible"
    await take(sale, quote_id)
    assert (await market.state("grant", rename_id("grt", quote_id))).status == "issued"
    assert sale.lot not in (await pool_of(sale)).resales
    await check_log(market.log)


async def test_a_grant_whose_nodes_fail_sells_nothing_until_they_work_again(sale):
    market, grant_id = sale.market, sale.grant.issued.grant_id
    market.clock.at = sale.grant.issued.start + DAY
    await grants.activate_grant(market.handler, market.context(sale.trade.provider), grant_id)
    quote_id = await hold_one(sale, seconds=3_600)
    provider = market.context(sale.trade.provider)
    at = market.clock.now()
    await grants.degrade_grant(market.handler, provider, grant_id, nodes_available=3, at=at, reason="a node failed")
    with pytest.raises(Refusal) as refused:
        await take(sale, quote_id)
    assert refused.value.code == "grant_degraded"
    assert (await market.state("quote", quote_id)).status == "held"
    market.clock.at += timedelta(minutes=5)
    context = market.context(sale.trade.provider)
    await grants.resume_grant(market.handler, context, grant_id, at=market.clock.now())
    await take(sale, quote_id)
    assert (await market.state("grant", rename_id("grt", quote_id))).status == "issued"
    await check_log(market.log)


async def test_of_a_grant_that_may_not_be_sold_on_nothing_is_held(sale):
    market, grant_id = sale.market, sale.grant.issued.grant_id
    market.clock.at = sale.grant.issued.start + DAY
    provider = sale.trade.provider
    await grants.activate_grant(market.handler, market.context(provider), grant_id)
    await grants.suspend_grant(
        market.handler, market.context(provider), grant_id, at=market.clock.now(), reason="the fibre is cut"
    )
    with pytest.raises(Refusal) as refused:
        await hold_one(sale)
    assert refused.value.code == "quote_unavailable"
    assert (await market.account(sale.buyer)).held_usd == 0
