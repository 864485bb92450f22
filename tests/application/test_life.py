"""What becomes of orders and grants when things go otherwise: time, silence, disputes, early ends, other money."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from marketplace.application.billing import statements
from marketplace.application.delivery import grants
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.runtime import worker
from tests.support.market.deciding import decide
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def test_an_order_expires_on_time_also_after_a_restart(market):
    startup = await market.party("Startup", "startup", usd=10_000)
    order = await market.order(startup, latest=3)
    later = await market.order(startup, latest=9, expires_at=market.day(4))
    async with market.worker():
        market.clock.at = market.day(2)
        fresh = await market.order(startup, latest=3)
    market.clock.at = market.day(3)
    async with market.worker():
        await market.until("order", order, "expired")
        await market.until("order", fresh, "expired")
        assert (await market.state("order", later)).status == "open"
        market.clock.at = market.day(4)
        await market.until("order", later, "expired")
    assert (await market.account(startup)).held_usd == 0
    await check_log(market.log)


async def test_a_standing_order_that_lost_keeps_its_holds_until_it_expires(market):
    startup = await market.party("Startup", "startup", usd=10_000)
    order = await market.order(startup, latest=9, standing=True)
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
        state = await market.state("order", order)
        assert (state.status, (await market.account(startup)).held_usd) == ("open", state.cash_hold_usd)
        second = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(second)
        assert (await market.state("order", order)).status == "open"
        market.clock.at = market.day(9)
        await market.until("order", order, "expired")
    assert (await market.account(startup)).held_usd == 0
    await check_log(market.log)


async def test_silence_accepts_a_statement_seven_days_after_it_was_issued(market):
    trade = await market.trade(days=10)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(hours=25)
        issued = await market.until("statement", statement, "issued")
        market.clock.at = issued.issued.accept_until - timedelta(seconds=1)
        with pytest.raises(Refusal):
            await statements.accept_statement(market.handler, market.context(), statement, by="silence")
        market.clock.at = issued.issued.accept_until
        await market.until("grant", grant.issued.grant_id, "completed")
    ledger = await check_log(market.log)
    assert ledger.states["statement"][statement].charges.gpu_seconds == 2 * 8 * 10 * 86_400


async def test_the_fund_that_pays_disputes_and_the_startups_higher_claim_does_not_stand_for_it(market):
    trade = await market.trade(days=10)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", statement, "issued")
        half = 2 * 8 * 5 * 86_400
        dispute = partial(statements.dispute_statement, market.handler, reason="five days were down")
        stranger = await market.party("Stranger", "fund")
        for party, code in ((trade.provider, "wrong_side"), (stranger, "statement_unknown")):
            with pytest.raises(Refusal) as caught:
                await dispute(market.context(party), statement, gpu_seconds_counted=half)
            assert caught.value.code == code
        await dispute(market.context(trade.fund), statement, gpu_seconds_counted=half)
        with pytest.raises(Refusal) as caught:
            await dispute(market.context(trade.startup), statement, gpu_seconds_counted=2 * half - 1)
        assert caught.value.code == "count_above_statement"
        await statements.accept_statement(market.handler, market.context(trade.startup), statement)
        provider = market.context(trade.provider)
        with pytest.raises(Refusal) as caught:
            await statements.resolve_statement(
                market.handler, provider, statement, gpu_seconds=2 * half - 1, reason="as the startup says"
            )
        assert caught.value.code == "concession_above_count"
        provider = market.context(trade.provider)
        await statements.resolve_statement(market.handler, provider, statement, gpu_seconds=half, reason="agreed")
    ledger = await check_log(market.log)
    state = ledger.states["statement"][statement]
    assert (state.charges.gpu_seconds, state.disputed.by) == (half, "holder")


async def test_a_provider_that_pays_itself_disputes_no_statement_of_its_own(market):
    trade = await market.trade(days=10, funding="own_capacity")
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", statement, "issued")
        with pytest.raises(Refusal) as caught:
            await statements.dispute_statement(
                market.handler, market.context(trade.provider), statement, gpu_seconds_counted=1, reason="for myself"
            )
    assert caught.value.code == "wrong_side"


@pytest.mark.parametrize("by", ["provider", "platform"])
async def test_a_disputed_statement_settles_what_it_is_resolved_to(market, by):
    trade = await market.trade(days=10)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", statement, "issued")
        half = 2 * 8 * 5 * 86_400
        startup, provider = market.context(trade.startup), market.context(trade.provider)
        await statements.dispute_statement(
            market.handler, startup, statement, gpu_seconds_counted=half, reason="five days were down"
        )
        market.clock.at = grant.end + timedelta(days=4)
        with pytest.raises(Refusal) as caught:
            await statements.resolve_statement(
                market.handler, provider, statement, gpu_seconds=half + 1, reason="they were not"
            )
        assert caught.value.code == "concession_above_count"
        for side, party in (("startup", trade.startup), ("holder", trade.fund)):
            context = market.context(party)
            with pytest.raises(Refusal) as caught:
                await statements.resolve_statement(market.handler, context, statement, gpu_seconds=half, reason="mine")
            assert caught.value.code == "wrong_side"
            assert caught.value.facts == {"id": statement, "side": side, "allowed": ["provider"]}
        if by == "provider":
            provider = market.context(trade.provider)
            await statements.resolve_statement(market.handler, provider, statement, gpu_seconds=half, reason="agreed")
        else:
            await decide(market, trade, statement, half)
        await market.until("grant", grant.issued.grant_id, "completed")
    ledger = await check_log(market.log)
    charges = ledger.states["statement"][statement].charges
    instrument = ledger.states["instrument"][rename_id("ins", grant.issued.grant_id)]
    assert (charges.gpu_seconds, instrument.status) == (half, "lapsed")
    assert instrument.principal_usd == charges.principal_usd
    assert (await market.account(trade.provider)).available_usd == charges.provider_usd
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.state("mandate", trade.mandate)).used_usd == charges.holder_usd


async def test_a_grant_that_ends_midway_settles_what_was_delivered_and_frees_the_rest(market):
    trade = await market.trade(days=40)
    async with market.worker():
        grant = await market.award(trade)
        market.clock.at = grant.issued.start
        await market.until("grant", grant.issued.grant_id, "active")
        await market.deliver(grant, 35)
        end = grant.issued.start + timedelta(days=35)
        await grants.terminate_grant(
            market.handler, market.context(), grant.issued.grant_id, at=end, reason="out of money", by="startup"
        )
        for period in list_periods(await market.state("grant", grant.issued.grant_id)):
            market.clock.at = max(market.clock.at, period.end + timedelta(days=1))
            issued = await market.until("statement", period.statement_id, "issued")
            market.clock.at = issued.issued.accept_until
            await market.until("statement", period.statement_id, "accepted")
        await market.until("instrument", rename_id("ins", grant.issued.grant_id), "lapsed")
    ledger = await check_log(market.log)
    assert len(ledger.states["statement"]) == 2
    assert sum(s.charges.gpu_seconds for s in ledger.states["statement"].values()) == 2 * 8 * 35 * 86_400
    assert (await market.account(trade.startup)).held_usd == 0
    pool = await market.state("pool", trade.pool)
    assert pool.reservations[grant.issued.grant_id].end == end


async def test_an_early_end_frees_the_cash_and_budget_of_the_hours_that_it_cuts_at_once(market):
    """They stayed held until the last statement was settled, which a dispute may put off for months."""
    trade = await market.trade(days=60)
    await market.deposit(trade.startup, 100_000)
    async with market.worker():
        grant = await market.award(trade)
        issued, fees = grant.issued, ZERO
        await market.deliver(grant, 10)

        def price(days):
            return compute_totals(build_tariff(issued), issued.nodes * issued.gpus_per_node * days * 86_400)

        for days in (25, 15):
            end = {"at": issued.start + timedelta(days=days), "reason": "a smaller model"}
            await grants.terminate_grant(market.handler, market.context(trade.startup), issued.grant_id, **end)
            account = await market.account(trade.startup)
            assert account.holds[issued.hold_id].left_usd == price(days).startup_usd
            fees += (await market.state("grant", issued.grant_id)).terminations[-1].fee_usd
            assert account.holds[issued.hold_id].captured_usd == fees > 0
            assert (await market.state("mandate", trade.mandate)).used_usd == price(days).holder_usd
        await market.deliver(grant, 5, first=10)
        [period] = list_periods(await market.state("grant", issued.grant_id))
        market.clock.at = period.end + timedelta(days=1)
        market.clock.at = (await market.until("statement", period.statement_id, "issued")).issued.accept_until
        await market.until("instrument", rename_id("ins", issued.grant_id), "lapsed")
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.account(trade.provider)).available_usd == price(15).provider_usd + fees
    await check_log(market.log)


async def test_a_statement_whose_predecessor_could_not_be_stored_waits_for_it(market, monkeypatch):
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    trade = await market.trade(days=40)
    meddling = Meddling(market.log)
    meddling.faults["marketplace.statement.issued.v1"] = "lost"
    async with market.worker(meddling):
        grant = await market.award(trade)
        market.clock.at = grant.end + timedelta(days=2)
        for period in list_periods(grant):
            await market.until("statement", period.statement_id, "issued")
    assert not meddling.faults


async def test_a_grant_that_ends_before_it_began_frees_everything_at_once(market):
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
    await grants.terminate_grant(
        market.handler, market.context(), grant.issued.grant_id, at=market.day(0), reason="fire", by="provider"
    )
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.state("mandate", trade.mandate)).used_usd == 0
    assert (await market.state("instrument", rename_id("ins", grant.issued.grant_id))).status == "lapsed"
    await check_log(market.log)


async def test_a_grant_cannot_be_ended_in_the_past(market):
    trade = await market.trade(days=40)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 32)
        await market.until("grant", grant.issued.grant_id, "active")
    await grants.terminate_grant(
        market.handler, market.context(), grant.issued.grant_id, at=market.day(3), reason="fire", by="provider"
    )
    assert (await market.state("grant", grant.issued.grant_id)).end == market.clock.at


async def test_a_transferred_grant_is_used_by_another_and_paid_by_the_first(market):
    trade = await market.trade(days=10)
    other = await market.party("Other", "startup")
    async with market.worker():
        grant = await market.award(trade)
        context = market.context(trade.startup)
        await grants.transfer_grant(market.handler, context, grant.issued.grant_id, startup_id=other)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    state = await market.state("grant", grant.issued.grant_id)
    assert (state.startup_id, state.issued.startup_id) == (other, trade.startup)
    assert (await market.account(other)).available_usd == 0
    assert (await market.account(trade.startup)).available_usd < 100_000
    await check_log(market.log)


async def test_who_gets_a_grant_unasked_owes_nothing_and_hands_it_back(market):
    trade = await market.trade(days=10)
    other = await market.party("Other", "startup")
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        await grants.transfer_grant(market.handler, market.context(trade.startup), grant_id, startup_id=other)
        await market.deliver(grant, 3)
        await grants.transfer_grant(market.handler, market.context(other), grant_id, startup_id=trade.startup)
        await market.deliver(grant, 7, first=3)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant_id, "completed")
    state = await market.state("grant", grant_id)
    assert (state.startup_id, state.issued.startup_id) == (trade.startup, trade.startup)
    account = await market.account(other)
    assert (account.available_usd, account.held_usd) == (0, 0)
    await check_log(market.log)


async def test_a_holder_that_pays_itself_as_the_provider_neither_gains_nor_loses(market):
    trade = await market.trade(funding="own_cash", cash="0", days=10)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    account = await market.account(trade.fund)
    assert account.available_usd + account.held_usd == 1_000_000
    assert account.available_usd > 0
    await check_log(market.log)


MONEY = [
    ("cash only", {"cash": "3", "equity": "0"}, "startup"),
    ("equity only", {"cash": "0", "equity": "3"}, "fund"),
    ("own capacity", {"cash": "0", "equity": "3", "funding": "own_capacity"}, None),
]


@pytest.mark.parametrize(("offer", "payer"), [row[1:] for row in MONEY], ids=[row[0] for row in MONEY])
async def test_who_pays_follows_from_the_offer_and_the_mandate(market, offer, payer):
    trade = await market.trade(**offer, days=10)
    before = {name: (await market.account(getattr(trade, name))) for name in ("startup", "fund")}
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    ledger = await check_log(market.log)
    charges = next(iter(ledger.states["statement"].values())).charges
    received = (await market.account(trade.provider)).available_usd
    assert received == (charges.provider_usd if payer else 0)
    for name, account in before.items():
        after = await market.account(getattr(trade, name))
        paid = account.available_usd + account.held_usd - after.available_usd - after.held_usd
        assert paid == (charges.provider_usd if name == payer else Decimal(0))
    assert len(ledger.states["instrument"]) == (0 if payer == "startup" else 1)
    assert all(instrument.principal_usd > 0 for instrument in ledger.states["instrument"].values())
