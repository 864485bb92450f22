"""What a provider says of resold hours long after they were settled costs the provider, not who resold them."""

from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from marketplace.application.billing import bonds, disputes
from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.auditor.late import Late
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.billing.statement_chain import name_adjustment
from tests.application.billing.test_platform_fees import publish
from tests.application.billing.test_resold_remedies import (
    HOURS,
    WHY,
    deposit,
    dispute,
    require_clean,
    sell,
    state,
)
from tests.application.trading.test_resale import resell
from tests.support.market.auditing import audit_log, find_faults
from tests.support.market.market import Market

DAY = timedelta(days=1)


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def deliver(market, **terms):
    """Resell a node for three days, of whose price the provider is owed two thirds, and settle them in full."""
    done = await sell(market, **terms)
    statement_id = await state(market, done)
    market.clock.at = (await market.state("statement", statement_id)).issued.accept_until
    await market.until("statement", statement_id, "accepted", seconds=60)
    await deposit(market, done.trade.provider)
    return done, statement_id


async def take_back(market, done, statement_id, how="void", number=0):
    """Say as the provider, late, that none of what was sold on was delivered. Return the credit of it."""
    provider, issued = market.context(done.trade.provider), done.bought.issued
    if how == "void":
        reading = {"source": "dcgm", "reading_id": f"{issued.grant_id}-0", "reason": "the meter was wrong"}
        await usage.void_usage(market.handler, provider, issued.grant_id, **reading)
    else:
        span = {"at": issued.start, "until": issued.end, "reason": "they were dark"}
        await grants.degrade_grant(market.handler, provider, issued.grant_id, nodes_available=0, **span)
    return (await market.until("statement", name_adjustment(statement_id, number), "accepted", seconds=60)).issued


async def count(market, *parties):
    accounts = [await market.account(party) for party in parties]
    return [account.available_usd + account.held_usd for account in accounts]


async def require_fair(market):
    await require_clean(market)
    assert await audit_log(market.log) == []


@pytest.mark.parametrize("how", ["void", "degrade"])
@pytest.mark.parametrize("fees", [False, True], ids=["no fee", "platform fee"])
async def test_sixty_days_after_its_settlement_a_reseller_keeps_its_part_and_owes_nothing(market, how, fees):
    """A provider told of an outage 91 days later; its shell had all back, and damages of the reseller's bond."""
    if fees:
        await publish(market)
    async with market.worker():
        done, statement_id = await deliver(market)
        market.clock.at += 60 * DAY
        parties = done.trade.startup, done.sale.buyer, done.trade.provider
        before = await count(market, *parties)
        credit = await take_back(market, done, statement_id, how)
        after = await count(market, *parties)
        assert (credit.charges.provider_usd, credit.charges.reseller_receives_usd) == (2 * HOURS, 0)
        assert (credit.charges.cash_usd, credit.reseller_keeps_usd) == (2 * HOURS, HOURS)
        paid = [now - was for was, now in zip(before, after, strict=True)]
        given = [0, credit.charges.startup_fee_usd, credit.charges.provider_fee_usd]
        assert paid == [given[0], 2 * HOURS + given[1], given[2] - 2 * HOURS]
        assert not (await market.account(parties[0])).reserves.get(rename_id("rst", credit.statement_id))
        if how == "degrade":
            buyer, issued = market.context(done.sale.buyer), done.bought.issued
            await bonds.claim_bond(market.handler, buyer, issued.grant_id, period_start=issued.start)
            assert [await count_claims(market, party) for party in (done.trade.provider, done.trade.startup)] == [1, 0]
    await require_fair(market)
    found = await find_faults(Late, market.log, accept_until="2027-01-01T00:00:00Z")
    assert any("are due" in text for *_, text in found), found


async def count_claims(market, party):
    return len(getattr(await market.state("bond", rename_id("bnd", party)), "claims", ()))


async def test_until_then_a_late_word_takes_a_reseller_s_part_as_an_early_one(market):
    async with market.worker():
        done, statement_id = await deliver(market)
        market.clock.at += 60 * DAY - timedelta(seconds=1)
        before = await count(market, done.trade.startup, done.sale.buyer)
        credit = await take_back(market, done, statement_id, "degrade")
        after = await count(market, done.trade.startup, done.sale.buyer)
        assert (credit.charges.reseller_receives_usd, credit.reseller_keeps_usd) == (HOURS, 0)
        assert [now - was for was, now in zip(before, after, strict=True)] == [-HOURS, 3 * HOURS]
    await require_fair(market)


@pytest.mark.parametrize("kept", [HOURS, HOURS // 2], ids=["insists", "agrees to half"])
async def test_what_a_reseller_said_in_a_dispute_stands_against_its_provider_s_later_word(market, kept):
    """The provider could not concede against the reseller's answer, so it voided the readings in the same minute."""
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        seller = market.context(done.trade.startup)
        least = WHY if kept == HOURS else {**WHY, "gpu_seconds": kept * 3_600}
        await disputes.answer_dispute(market.handler, seller, statement_id, **least)
        market.clock.at += timedelta(days=8)
        settled = await market.until("statement", statement_id, "accepted", seconds=60)
        assert settled.charges.gpu_seconds == HOURS * 3_600
        await deposit(market, done.trade.provider)
        credit = await take_back(market, done, statement_id)
        assert (credit.charges.gpu_seconds, credit.reseller_keeps_usd) == (HOURS * 3_600, kept)
        assert credit.charges.reseller_receives_usd == HOURS - kept
    await require_fair(market)


async def test_a_holder_claims_from_a_reseller_while_it_may_not_yet_claim_from_its_provider(market):
    """A late word gave the provider's startup more time alone, and by its end the reseller owed nothing any more."""
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="1", equity="3")
        source = await market.award(trade)
        await resell(market, trade, source, ask="3", mandate_ids=(trade.mandate,))
        buyer = await market.party("Buyer", "startup", usd=100_000)
        await market.issuer(buyer)
        terms = {"cash": "2", "equity": "3", "mandate_ids": (trade.mandate,), "days": 3, "nodes": 1}
        order = await market.order(buyer, **terms, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction, seconds=60)
        bought = await market.state("grant", (await market.state("order", order)).grant_id)
        done = SimpleNamespace(trade=trade, bought=bought)
        statement_id = await state(market, done)
        market.clock.at = accept_until = (await market.state("statement", statement_id)).issued.accept_until
        await market.until("statement", statement_id, "accepted", seconds=60)
        await deposit(market, trade.provider)
        market.clock.at += 45 * DAY
        await take_back(market, done, statement_id, "degrade")
        claim = partial(
            bonds.claim_bond, market.handler, grant_id=bought.issued.grant_id, period_start=bought.issued.start
        )
        parties = trade.provider, trade.startup
        with pytest.raises(Refusal) as caught:
            await claim(market.context(trade.fund))
        assert caught.value.code == "claim_early"
        made = []
        for days in (57, 72):
            market.clock.at = accept_until + days * DAY
            await claim(market.context(trade.fund))
            made.append([await count_claims(market, party) for party in parties])
    assert made == [[0, 1], [1, 1]]
    assert await audit_log(market.log) == []
