"""Suspension freezes money: it may arrive, and what was agreed before is still paid, but nothing else leaves."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.access import parties, relations
from marketplace.application.billing import accounts, holds
from marketplace.application.equity import consents, instruments, issuers
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.stock_commands import RepurchaseStock, TransferStock
from tests.application.equity.test_consents import build, propose, repurchase, vote
from tests.application.equity.test_equity import act
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market


async def suspend(market, party_id):
    await parties.suspend_party(market.handler, market.context(), party_id, reason="fraud report")


async def refused(work, code="party_suspended"):
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code == code


async def test_a_party_suspended_for_fraud_can_neither_withdraw_nor_hold_for_a_mule(memory_log):
    market = Market(memory_log)
    thief, mule = await market.party("Thief", "fund", usd=500), await market.party("Mule", "startup")
    account_id = rename_id("acc", thief)

    async def hold():
        context = market.context(thief)
        await holds.place_hold(
            market.handler,
            context,
            account_id,
            payee_account_id=rename_id("acc", mule),
            amount_usd=Decimal(200),
            expires_at=market.clock.now() + timedelta(days=2),
        )
        return derive_id("hld", context.command_id)

    before = await hold()

    async def withdraw(party_id=thief):
        context = market.context(party_id)
        money = {"amount_usd": Decimal(10), "reference": context.command_id}
        await accounts.withdraw(market.handler, context, account_id, **money)

    def capture(party_id):
        context = market.context(party_id)
        return holds.capture_hold(market.handler, context, account_id, before, amount_usd=Decimal(50))

    await suspend(market, thief)
    await refused(withdraw())
    await refused(hold())
    await refused(capture(thief))
    await refused(capture(mule))
    await capture(None)
    await accounts.deposit(market.handler, market.context(), account_id, amount_usd=Decimal(7), reference="late wire")
    assert (await market.account(thief)).available_usd == 307
    await withdraw(None)
    await parties.clear_party(market.handler, market.context(), thief, checks=("court order",))
    await withdraw()
    await suspend(market, mule)
    await refused(holds.release_hold(market.handler, market.context(mule), account_id, before, reason="to a friend"))


@pytest.mark.parametrize("side", ["startup", "provider", "fund"])
async def test_nothing_is_matched_for_a_party_that_is_suspended_since_the_order_was_placed(memory_log, side):
    market = Market(memory_log)
    trade = await market.trade()
    await suspend(market, getattr(trade, side))
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(trade.auction)
    order = await market.state("order", trade.order)
    assert order.status == ("open" if side == "startup" else "unmatched")
    assert all(not hold.committed_usd for hold in (await market.state("mandate", trade.mandate)).holds.values())
    await check_log(memory_log)


async def test_nobody_draws_on_the_mandate_of_a_suspended_fund(memory_log):
    market = Market(memory_log)
    fund, startup = await market.party("Fund", "fund", usd=1_000), await market.party("Startup", "startup", usd=100)
    await market.issuer(startup)
    mandate = await market.mandate(fund, budget=1_000)
    terms = (await market.state("mandate", mandate)).terms
    await suspend(market, fund)
    await refused(mandates.amend_mandate(market.handler, market.context(fund), mandate, terms=terms))
    investment = {"startup_id": startup, "mandate_id": mandate, "amount_usd": Decimal(100), "terms": SAFE}
    await refused(instruments.invest(market.handler, market.context(startup), **investment))
    await refused(market.order(startup, cash="0.01", equity="1", mandate_ids=(mandate,), nodes=1, days=1))


async def test_a_suspended_holder_neither_transfers_its_stock_nor_agrees_to_lose_it(memory_log):
    market = Market(memory_log)
    trade = await build(market)
    bought_back = await propose(market, trade.startup, trade.issuer, RepurchaseStock, **repurchase(trade))
    await suspend(market, trade.fund)
    transfer = {
        "transfer_id": derive_id("trf", trade.fund),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": 10,
        "at": market.clock.now(),
    }
    await refused(propose(market, trade.fund, trade.issuer, TransferStock, **transfer))
    await refused(vote(market, trade.fund, bought_back))
    await consents.refuse(market.handler, market.context(trade.fund), bought_back, reason="too cheap")


async def test_stock_does_not_leave_a_holder_that_is_suspended_since_it_agreed(memory_log):
    market = Market(memory_log)
    trade, mule = await build(market), await market.party("Mule", "fund")
    await act(market, trade.startup, AddStakeholder, holder_id=mule, name="Mule", kind="investor")
    transfer = {
        "transfer_id": derive_id("trf", mule),
        "holder_id": trade.fund,
        "holder_id_after": mule,
        "class_id": "common",
        "shares": 10,
        "at": market.clock.now(),
    }
    proposal_id = await propose(market, trade.startup, trade.issuer, TransferStock, **transfer)
    await vote(market, trade.fund, proposal_id)
    await suspend(market, trade.fund)
    await refused(vote(market, mule, proposal_id))
    await parties.clear_party(market.handler, market.context(), trade.fund, checks=("court order",))
    assert (await vote(market, mule, proposal_id)).status == "effective"


async def test_a_suspended_company_prices_nothing_and_a_suspended_party_states_no_relation(memory_log):
    """A company that was suspended for fraud recorded what a share is worth, by which a net exercise counts."""
    market = Market(memory_log)
    trade = await build(market)
    await suspend(market, trade.startup)
    value = {"price_usd_per_share": Decimal(9), "method": "mine", "effective_on": market.clock.now().date()}
    valued = RecordValuation(issuer_id=trade.issuer, **value)
    await refused(issuers.record_valuation(market.handler, market.context(trade.startup), valued))
    round_id = derive_id("fin", trade.startup)
    await refused(issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, round_id))
    told = {"kind": "affiliate", "reason": "x", "related_id": trade.fund}
    await refused(relations.declare_relation(market.handler, market.context(trade.startup), trade.startup, **told))
    await relations.declare_relation(market.handler, market.context(), trade.startup, **told)
