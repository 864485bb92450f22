"""Principal is taken back after its round: its shares go in the same append, or a debt is paid."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.financing import Approval
from marketplace.application.billing import accounts
from marketplace.application.equity import issuers
from marketplace.application.equity.clawbacks import pay_debt, reverse_principal
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.state import total_shares
from marketplace.domain.equity.issuer.stock_commands import SplitStock
from tests.application.equity.test_equity import act, build_round, deliver_all, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling


@pytest.fixture
async def closed(memory_log):
    """A market whose only grant was delivered, and whose drawdown converted in Series A."""
    market = Market(memory_log)
    trade, grant = await deliver_all(market)
    opened = market.context(trade.startup)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=build_round(trade.fund))
    financing = derive_id("fin", opened.command_id)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    paper = Approval(document="consent 7")
    await pay_in(market, trade.fund)
    closing = market.context(trade.startup)
    await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=paper)
    await agree_all(market, closing)
    return market, trade, rename_id("ins", grant.issued.grant_id)


async def take_back(market, instrument_id, amount_usd, reason="an audit", **settled):
    instrument = await market.state("instrument", instrument_id)
    return await reverse_principal(
        market.handler,
        market.context(),
        instrument_id,
        tranche_id=instrument.tranches[0].tranche_id,
        principal_usd=Decimal(amount_usd),
        reason=reason,
        **settled,
    )


async def test_the_shares_that_it_bought_are_cancelled_in_the_same_append(closed):
    market, trade, instrument_id = closed
    before = await market.state("issuer", trade.issuer)
    (conversion,) = (await market.state("instrument", instrument_id)).conversions
    counted = Meddling(market.log)
    other = market.process("other", counted)
    await act(market, trade.startup, SplitStock, split_id=derive_id("spl", trade.issuer), numerator=2, denominator=1)
    instrument = await market.state("instrument", instrument_id)
    await reverse_principal(
        other.handler,
        other.context(),
        instrument_id,
        tranche_id=instrument.tranches[0].tranche_id,
        principal_usd=instrument.principal_usd,
        reason="nothing was delivered",
        reduction="cancel_shares",
    )
    assert len(counted.appends) == 1
    ledger = await check_log(market.log)
    after = ledger.states["issuer"][trade.issuer]
    assert total_shares(after).stock == 2 * (total_shares(before).stock - conversion.shares)
    clawed = ledger.states["instrument"][instrument_id]
    assert (clawed.principal_usd, clawed.converted_usd, clawed.debt_usd) == (0, 0, 0)


async def test_a_debt_is_paid_by_the_holder_to_the_startup(closed):
    market, trade, instrument_id = closed
    await take_back(market, instrument_id, 10, reduction="debt")
    await accounts.deposit(
        market.handler,
        market.context(),
        rename_id("acc", trade.fund),
        amount_usd=Decimal(4),
        reference="for the debt",
    )
    fund, startup = (await market.account(trade.fund)).available_usd, await market.account(trade.startup)
    with pytest.raises(Refusal) as caught:
        await pay_debt(market.handler, market.context(trade.startup), instrument_id, amount_usd=Decimal(10))
    assert str(caught.value) == (f"only the holder of instrument {instrument_id} may do this; this key is its issuer's")
    pays = {"instrument_id": instrument_id, "amount_usd": Decimal(4)}
    await market.keep(trade.fund, fund - 3)
    with pytest.raises(Refusal) as caught:
        await pay_debt(market.handler, market.context(trade.fund), **pays)
    assert caught.value.code == "funds_reserved", "what its account keeps for another pays no debt"
    await market.keep(trade.fund, 0)
    await pay_debt(market.handler, market.context(trade.fund), **pays)
    assert (await market.account(trade.fund)).available_usd == fund - 4
    assert (await market.account(trade.startup)).available_usd == startup.available_usd + 4
    assert (await market.state("instrument", instrument_id)).debt_usd == 6
    await check_log(market.log)


async def test_a_clawback_of_shares_needs_a_settlement_and_a_repeat_answers_as_the_first_time(closed):
    market, _, instrument_id = closed
    with pytest.raises(Refusal) as caught:
        await take_back(market, instrument_id, 10)
    assert (caught.value.code, caught.value.facts["convention"]) == ("missing_convention", "reduction")
    context = market.context()
    instrument = await market.state("instrument", instrument_id)
    command = {
        "tranche_id": instrument.tranches[0].tranche_id,
        "principal_usd": Decimal(10),
        "reason": "an audit",
        "reduction": "cancel_shares",
    }
    first = await reverse_principal(market.handler, context, instrument_id, **command)
    market.clock.at += timedelta(days=1)
    again = await reverse_principal(market.handler, context, instrument_id, **command)
    assert again.sequence == first.sequence
    assert (await market.state("instrument", instrument_id)).principal_usd == instrument.principal_usd - 10
