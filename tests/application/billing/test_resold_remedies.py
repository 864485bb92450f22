"""Who buys resold hours has the remedies of the price it pays, and the platform its fee of it."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import SimpleNamespace

import pytest
from msgspec import structs

from marketplace.application.access.relations import declare_relation
from marketplace.application.billing import accounts, bonds, disputes, statements
from marketplace.application.billing.approvals import set_limit
from marketplace.application.delivery import grants
from marketplace.auditor.alone import Alone
from marketplace.auditor.bearing import Bearing
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.claims import Claims
from marketplace.auditor.deciders import Deciders
from marketplace.auditor.disputes import Disputes
from marketplace.auditor.fees import Fees
from marketplace.auditor.reaches import Reaches
from marketplace.auditor.replacements import Replacements
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.billing.remedies import ANSWER_WITHIN
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.trading.resale import lacks_ask, require_seller_funds
from tests.application.billing.test_platform_fees import publish
from tests.application.trading.test_resale import buy, report, resell, sell_on, settle
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAY = timedelta(days=1)
HOURS = 3 * 24 * 8


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def sell(market, *, ask="3", cash="4", trade_cash="1", equity="3"):
    """Resell a node for three days. The provider is owed 2.00 an hour for it."""
    return await sell_on(market, ask=ask, cash=cash, trade_cash=trade_cash, equity=equity)


async def deliver(market, done):
    """Meter all that was sold and kept, and settle it."""
    await report(market, done.bought, [(0, 3, 1)])
    await report(market, done.source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
    await settle(market, done.bought, done.source)


@pytest.mark.parametrize(("ask", "trade_cash", "equity", "cash"), [("3", "1", "3", "4"), ("0.5", "2.5", "0", "1.5")])
async def test_the_platform_takes_its_fee_of_what_a_reseller_earns_or_adds(market, ask, trade_cash, equity, cash):
    platform = await publish(market)
    async with market.worker():
        done = await sell(market, ask=ask, cash=cash, trade_cash=trade_cash, equity=equity)
        seller = done.trade.startup
        resale, price = done.bought.issued.resale, parse_ratio(done.bought.issued.price_usd_per_gpu_hour)
        margin = price - parse_ratio(resale.owed_usd_per_gpu_hour)
        fee = round_cents(abs(margin) * HOURS * Fraction("0.05" if margin > 0 else "0.02"))
        added = max(-margin, 0) * HOURS
        assert resale.commitment_usd == (added + Fraction(fee) if added else 0)
        before = [await market.account(party) for party in (seller, platform)]
        await report(market, done.bought, [(0, 3, 1)])
        await settle(market, done.bought)
        after = [await market.account(party) for party in (seller, platform)]
    ledger = await check_log(market.log)
    [statement] = [s for s in ledger.states["statement"].values() if s.issued.grant_id == done.bought.issued.grant_id]
    charges = statement.charges
    assert charges.reseller_fee_usd == fee > 0
    [spent, earned] = [
        was.available_usd + was.held_usd - now.available_usd - now.held_usd
        for was, now in zip(before, after, strict=True)
    ]
    assert Fraction(spent) == Fraction(fee) - margin * HOURS
    assert -earned == charges.provider_fee_usd + charges.startup_fee_usd + fee
    assert await find_faults(Fees, market.log) == []


async def test_a_reseller_keeps_a_tenth_of_what_it_receives_for_sixty_days(market):
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        market.clock.at = (await market.state("statement", statement_id)).issued.accept_until
        settled = await market.until("statement", statement_id, "accepted", seconds=60)
    assert settled.charges.reseller_receives_usd == HOURS
    account = await market.account(done.trade.startup)
    assert account.reserves[statement_id] == (Decimal("57.60"), market.clock.at + 60 * DAY)


async def deposit(market, party):
    more = {"amount_usd": Decimal(10_000), "reference": f"more-{party}"}
    await accounts.deposit(market.handler, market.context(), rename_id("acc", party), **more)


async def end_early(market, done, *, by_buyer):
    """End what was sold: by its provider, after notice; or by its buyer for cause, once all were dark."""
    grant_id, start = done.bought.issued.grant_id, done.bought.issued.start
    provider = market.context(done.trade.provider)
    if not by_buyer:
        end = {"at": start, "reason": "sold to another"}
        await grants.terminate_grant(market.handler, provider, grant_id, **end)
        return
    market.clock.at = start
    await market.until("grant", grant_id, "active")
    await grants.suspend_grant(market.handler, provider, grant_id, at=start, reason="dark")
    market.clock.at = start + timedelta(hours=25)
    cause = {"at": market.clock.now(), "reason": "dark", "for_cause": True}
    await grants.terminate_grant(market.handler, market.context(done.sale.buyer), grant_id, **cause)


async def claim_all(market, done):
    """Claim what is owed for the end, and let 72 hours pass. Return what provider and seller paid of it."""
    before = {
        party: await _count(market, party) for party in (done.trade.provider, done.trade.startup, done.sale.buyer)
    }
    buyer, grant_id = market.context(done.sale.buyer), done.bought.issued.grant_id
    await bonds.claim_bond(market.handler, buyer, grant_id)
    market.clock.at += ANSWER_WITHIN
    async with market.worker():
        for party in (done.trade.provider, done.trade.startup):
            bond = await market.state("bond", rename_id("bnd", party))
            for claim in bond.claims:
                bond_id, claim_id = rename_id("bnd", party), claim.claimed.claim_id
                await bonds.lapse_claim(market.handler, market.context(), bond_id, claim_id)
    after = {party: await _count(market, party) for party in before}
    return [after[party] - before[party] for party in before]


async def _count(market, party):
    account = await market.account(party)
    return account.available_usd + account.held_usd


@pytest.mark.parametrize("by_buyer", [False, True], ids=["provider ends", "for cause"])
async def test_who_buys_resold_hours_is_owed_by_the_price_that_it_pays(market, by_buyer):
    """A shell bought for next to nothing and resold at a price: fee and make-whole were a share of next to nothing."""
    async with market.worker():
        done = await sell(market)
        await deposit(market, done.trade.provider)
        bond = await market.state("bond", rename_id("bnd", done.trade.startup))
        [part] = bond.parts.values()
        assert part.posted_usd == 200 >= Fraction(HOURS) / 4, "a quarter of what it receives, to one digit"
        await end_early(market, done, by_buyer=by_buyer)
    grant = await market.state("grant", done.bought.issued.grant_id)
    hours, fee = Fraction(grant.gpu_seconds_ended, 3_600), grant.end_fee_usd
    assert bool(fee) is not by_buyer
    paid = await claim_all(market, done)
    due = [round_cents(rate * hours / 4) for rate in (2, 1)]
    assert paid == [fee - due[0], -due[1], sum(due) - fee]
    assert sum(due) == round_cents(3 * hours / 4), "as if the provider had sold the hours at the price"
    with pytest.raises(Refusal) as again:
        await bonds.claim_bond(market.handler, market.context(done.sale.buyer), grant.issued.grant_id)
    assert again.value.code == "claim_exists"
    await require_clean(market)


async def require_clean(market):
    await check_log(market.log)
    for check in (Bonds, Claims, Reaches, Replacements, Bearing, Deciders, Disputes, Fees):
        assert await find_faults(check, market.log) == []


async def test_a_buyer_that_is_related_to_its_seller_claims_from_the_provider_alone(market):
    async with market.worker():
        done = await sell(market)
        await deposit(market, done.trade.provider)
        await end_early(market, done, by_buyer=False)
    related = {"kind": "affiliate", "reason": "sisters by now", "related_id": done.trade.startup}
    await declare_relation(market.handler, market.context(), done.sale.buyer, **related)
    await bonds.claim_bond(market.handler, market.context(done.sale.buyer), done.bought.issued.grant_id)
    claims = [
        len((await market.state("bond", rename_id("bnd", party))).claims)
        for party in (done.trade.provider, done.trade.startup)
    ]
    assert claims == [1, 0]
    await require_clean(market)


async def test_a_seller_contests_its_own_claim_and_has_its_bond_back_once_nothing_can_be_claimed(market):
    async with market.worker():
        done = await sell(market)
        await deposit(market, done.trade.provider)
        await end_early(market, done, by_buyer=False)
    seller, bond_id = done.trade.startup, rename_id("bnd", done.trade.startup)
    await bonds.claim_bond(market.handler, market.context(done.sale.buyer), done.bought.issued.grant_id)
    [claim] = (await market.state("bond", bond_id)).claims
    answer = {"amount_usd": Decimal(0), "reason": "the provider and the buyer are one"}
    other = market.context(done.trade.provider)
    with pytest.raises(Refusal) as stranger:
        await bonds.answer_claim(market.handler, other, bond_id, claim.claimed.claim_id, **answer)
    assert stranger.value.code == "bond_unknown"
    await bonds.answer_claim(market.handler, market.context(seller), bond_id, claim.claimed.claim_id, **answer)
    platform = market.context()
    await bonds.answer_claim(market.handler, platform, bond_id, claim.claimed.claim_id, **answer)
    with pytest.raises(Refusal) as early:
        await bonds.release_bond(market.handler, market.context(seller), bond_id, lot_id=done.lot)
    assert early.value.code == "bond_stands"
    market.clock.at = done.bought.issued.end + timedelta(days=31)
    await bonds.release_bond(market.handler, market.context(seller), bond_id, lot_id=done.lot)
    await require_clean(market)


async def test_a_seller_that_cannot_post_sells_nothing_and_its_buyer_is_not_told_why(market):
    """What a resale frees of its seller's own cash is posted first; who paid next to nothing brings the rest."""
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        lot = await resell(market, trade, grant, ask="20")
        await market.keep(trade.startup, (await market.account(trade.startup)).available_usd)
        sale = await buy(market, cash="30")
        assert (await market.state("order", sale.order)).status == "unmatched"
        await deposit(market, trade.startup)
        await bonds.post_bond(
            market.handler, market.context(trade.startup), trade.startup, amount_usd=Decimal(5), lot_id=lot
        )
        with pytest.raises(Refusal) as general:
            await bonds.post_bond(
                market.handler,
                market.context(trade.startup),
                trade.startup,
                amount_usd=Decimal(5),
                stands_until=grant.end,
            )
        assert general.value.code == "role_missing"
    await require_clean(market)


async def test_a_seller_that_moved_the_money_that_its_offer_needs_breaks_the_match_and_owes_its_buyer(market):
    """A reseller that found a better buyer after the lock emptied its account: the match failed, and cost nothing."""
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="20")
        seller, bond_id = trade.startup, rename_id("bnd", trade.startup)
        await market.withdraw_free(seller)
        sale = await buy(market, cash="30")
        [claim] = (await market.state("bond", bond_id)).claims
        claimed = claim.claimed
        assert (claimed.startup_id, claimed.items[0].remedy) == (sale.buyer, "broken_match")
        assert Decimal(0) < claimed.amount_usd < 20 * HOURS
        assert not getattr(await market.state("bond", rename_id("bnd", trade.provider)), "claims", ())
        await deposit(market, seller)
        market.clock.at += ANSWER_WITHIN
        async with asyncio.timeout(60):
            while (await market.account(sale.buyer)).available_usd != 100_000 + claimed.amount_usd:
                await market.tick()
    ledger = await check_log(market.log)
    assert ledger.states["order"][sale.order].status == "unmatched"
    await require_clean(market)


def test_a_seller_breaks_a_match_only_if_it_lacks_what_its_own_ask_takes():
    for free, beyond, least, breaks in (("5", "9", "5", False), ("5", "9", "6", True)):
        with pytest.raises(Refusal) as refused:
            require_seller_funds(Decimal(free), Decimal(beyond), Decimal(least))
        assert lacks_ask(refused.value) is breaks
    require_seller_funds(Decimal(9), Decimal(9), Decimal(12))


async def state(market, done):
    """Let the hours that were sold be metered and stated in full. Return the id of the statement."""
    await report(market, done.bought, [(0, 3, 1)])
    [period] = list_periods(done.bought)
    market.clock.at = max(market.clock.at, period.end + timedelta(hours=25))
    await market.until("statement", period.statement_id, "issued", seconds=60)
    return period.statement_id


async def refuse(act):
    with pytest.raises(Refusal) as caught:
        await act
    return caught.value.code


NOTHING = {"gpu_seconds": 0, "reason": "none of it was delivered"}
WHY = {"reason": "all of it was delivered"}


async def dispute(market, done, statement_id):
    claim = {"gpu_seconds_counted": 0, "reason": "nothing came"}
    buyer = market.context(done.sale.buyer)
    await statements.dispute_statement(market.handler, buyer, statement_id, **claim)


async def test_a_provider_and_its_shell_take_no_reseller_s_part_by_a_dispute_that_the_provider_concedes(market):
    """The shell had the hours for nothing, and the reseller, which may say no word, nothing of its part."""
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        handler, parties = market.handler, done.trade
        provider, seller = parties.provider, parties.startup
        resolve, answer = statements.resolve_statement, disputes.answer_dispute
        assert await refuse(resolve(handler, market.context(provider), statement_id, **NOTHING)) == "reseller_disagrees"
        part = {**NOTHING, "gpu_seconds": 3_600}
        for act in (disputes.concede_part, answer):
            assert await refuse(act(handler, market.context(provider), statement_id, **part)) == "reseller_disagrees"
        assert await refuse(statements.accept_statement(handler, market.context(seller), statement_id)) == "wrong_side"
        stranger = await market.party("Stranger", "startup")
        assert await refuse(answer(handler, market.context(stranger), statement_id, **WHY)) == "statement_unknown"
        await answer(handler, market.context(seller), statement_id, **WHY)
        assert (await market.state("statement", statement_id)).dispute.awaits == "payers"
        market.clock.at += timedelta(days=6)
        await answer(handler, market.context(done.sale.buyer), statement_id, **WHY)
        market.clock.at += timedelta(days=3)
        assert await refuse(resolve(handler, market.context(provider), statement_id, **NOTHING)) == "reseller_disagrees"
        await disputes.refer_dispute(handler, market.context(seller), statement_id, **WHY)
        assert await refuse(answer(handler, market.context(seller), statement_id, **WHY)) == "statement_referred"
        await resolve(handler, market.context(), statement_id, gpu_seconds=HOURS * 3_600, **WHY)
        settled = await market.until("statement", statement_id, "accepted")
    assert settled.charges.reseller_receives_usd == HOURS
    await require_clean(market)


async def test_one_person_of_a_seller_gives_up_no_more_of_resold_hours_than_its_limit(market):
    """A clerk answered its shell's dispute with 0, and the provider settled at that."""
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        seller = structs.replace(market.context(done.trade.startup), actor_person="p1")
        await set_limit(market.handler, seller, rename_id("acc", done.trade.startup), limit_usd=Decimal(100))
        answer, clerk = disputes.answer_dispute, partial(market.context, done.trade.startup)
        assert await refuse(answer(market.handler, clerk(), statement_id, **NOTHING)) == "limit_exceeded"
        most = {**WHY, "gpu_seconds": (HOURS - 60) * 3_600}
        await answer(market.handler, clerk(), statement_id, **most)
        less = {**WHY, "gpu_seconds": (HOURS - 120) * 3_600}
        assert await refuse(answer(market.handler, clerk(), statement_id, **less)) == "limit_exceeded"
    assert await find_faults(Alone, market.log) == []
    faults = await find_faults(Alone, market.log, drop="account.limit_used.v1")
    assert any("given up" in text for _, _, text in faults)
    await require_clean(market)


@pytest.mark.parametrize("says", ["agrees", "is silent"])
async def test_what_a_reseller_agrees_to_or_lets_pass_its_provider_may_concede(market, says):
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        provider, seller = done.trade.provider, done.trade.startup
        half = {"gpu_seconds": HOURS * 1_800, "reason": "half of it"}
        if says == "agrees":
            await disputes.answer_dispute(market.handler, market.context(seller), statement_id, **half)
            less = {**half, "gpu_seconds": HOURS * 1_800 - 1}
            concede = disputes.concede_part(market.handler, market.context(provider), statement_id, **less)
            assert await refuse(concede) == "reseller_disagrees"
            await disputes.concede_part(market.handler, market.context(provider), statement_id, **half)
            assert (await market.state("statement", statement_id)).dispute.position == HOURS * 1_800
            await disputes.answer_dispute(market.handler, market.context(seller), statement_id, **NOTHING)
            await statements.resolve_statement(market.handler, market.context(provider), statement_id, **NOTHING)
        market.clock.at += timedelta(days=8)
        settled = await market.until("statement", statement_id, "accepted", seconds=60)
    assert settled.charges.reseller_receives_usd == 0
    await require_clean(market)


async def test_a_provider_s_silence_takes_no_part_of_a_reseller_that_agreed_to_less(market):
    """Provider and shell let the week pass, and the shell had all for nothing."""
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        half = {"gpu_seconds": HOURS * 1_800, "reason": "half of it"}
        await disputes.answer_dispute(market.handler, market.context(done.trade.startup), statement_id, **half)
        market.clock.at += timedelta(days=8)
        settled = await market.until("statement", statement_id, "accepted", seconds=60)
    assert settled.charges.reseller_receives_usd == HOURS, "the payers were to answer"
    await require_clean(market)


async def test_a_reseller_s_answer_stands_against_its_provider_s_later_silence(market):
    """Who had insisted once lost its part in the next round, when it and its provider said nothing."""
    async with market.worker():
        done = await sell(market)
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        await disputes.answer_dispute(market.handler, market.context(done.trade.startup), statement_id, **WHY)
        await disputes.answer_dispute(market.handler, market.context(done.sale.buyer), statement_id, **WHY)
        assert (await market.state("statement", statement_id)).dispute.awaits == "provider"
        market.clock.at += timedelta(days=8)
        async with asyncio.timeout(60):
            while (await market.state("statement", statement_id)).dispute.awaits == "provider":
                await market.tick()
        assert (await market.state("statement", statement_id)).dispute.awaits == "platform"
        platform = market.context()
        await statements.resolve_statement(market.handler, platform, statement_id, gpu_seconds=HOURS * 3_600, **WHY)
        settled = await market.until("statement", statement_id, "accepted", seconds=60)
    assert settled.charges.reseller_receives_usd == HOURS
    await require_clean(market)
    silenced = await find_faults(Disputes, market.log, "statement.referred.v1", by="silence")
    assert any("by silence of the provider" in text for *_, text in silenced), silenced


async def test_a_reseller_that_adds_to_the_price_loses_nothing_by_a_dispute_and_has_no_say(market):
    async with market.worker():
        done = await sell(market, ask="0.5", cash="1.5", trade_cash="2.5", equity="0")
        statement_id = await state(market, done)
        await dispute(market, done, statement_id)
        seller = market.context(done.trade.startup)
        assert await refuse(disputes.answer_dispute(market.handler, seller, statement_id, **WHY)) == "count_none"
        provider = market.context(done.trade.provider)
        await statements.resolve_statement(market.handler, provider, statement_id, **NOTHING)
        await market.until("statement", statement_id, "accepted")
    await require_clean(market)


async def outbid(market, *, cash="9", ask="2.5"):
    """Resell a node for three days at the price that two shells make who outbid each other; its seller asks 2.50."""
    trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
    grant = await market.award(trade)
    lot = await resell(market, trade, grant, ask=ask)
    other = await market.party("Other shell", "startup", usd=100_000)
    await market.order(other, cash=str(Decimal(cash) - 1), days=3, nodes=1, earliest=6, latest=6)
    sale = await buy(market, cash=cash)
    bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
    assert parse_ratio(bought.issued.price_usd_per_gpu_hour) >= Fraction(cash) - 1 > Fraction(ask)
    source = await market.state("grant", grant.issued.grant_id)
    return SimpleNamespace(trade=trade, lot=lot, sale=sale, bought=bought, source=source)


@pytest.mark.parametrize("by_buyer", [False, True], ids=["provider ends", "for cause"])
@pytest.mark.parametrize("beyond", [0, 500])
async def test_a_seller_owes_no_more_than_it_staked_at_its_ask_and_earned(market, by_buyer, beyond):
    """A provider ended its reseller's hours that shells had bought at their own price, and took its free money."""
    async with market.worker():
        done = await outbid(market)
        seller = market.context(done.trade.startup)
        bond = await market.state("bond", rename_id("bnd", done.trade.startup))
        assert bond.parts[done.lot].posted_usd == done.bought.issued.resale.bond_usd == 80, "576 h at 0.50, a quarter"
        if beyond:
            more = {"amount_usd": Decimal(beyond), "lot_id": done.lot}
            await bonds.post_bond(market.handler, seller, done.trade.startup, **more)
        await deposit(market, done.trade.provider)
        await end_early(market, done, by_buyer=by_buyer)
    [_, paid, _] = await claim_all(market, done)
    [claim] = (await market.state("bond", rename_id("bnd", done.trade.startup))).claims
    whole = sum(item.amount_usd for item in claim.claimed.items)
    assert -paid == min(80 + beyond, whole)
    assert whole > 500, "a quarter of what the shells bid beyond its own price"
    await require_clean(market)
    further = str(claim.claimed.reach_usd + 1)
    texts = [text for _, _, text in await find_faults(Reaches, market.log, reach_usd=further)]
    assert any("staked and earned" in text for text in texts)
    with pytest.raises(Refusal) as again:
        await bonds.claim_bond(market.handler, market.context(done.sale.buyer), done.bought.issued.grant_id)
    assert again.value.code == "claim_exists"


async def test_a_seller_s_earnings_of_the_resale_pay_beyond_its_bond(market):
    """Two days are delivered and paid; then the provider ends the third."""
    async with market.worker():
        done = await outbid(market)
        grant_id, start = done.bought.issued.grant_id, done.bought.issued.start
        await deposit(market, done.trade.provider)
        end = {"at": start + 2 * DAY, "reason": "sold to another"}
        await grants.terminate_grant(market.handler, market.context(done.trade.provider), grant_id, **end)
        await report(market, done.bought, [(0, 2, 1)])
        ended = await market.state("grant", grant_id)
        await settle_statements(market, ended)
    margin = parse_ratio(done.bought.issued.price_usd_per_gpu_hour) - 2
    [_, paid, _] = await claim_all(market, done)
    due = round_cents(margin * 24 * 8 / 4)
    assert due > 80
    assert -paid == due, "its bond, and then what it earned"
    await require_clean(market)


async def settle_statements(market, grant):
    for period in list_periods(grant):
        market.clock.at = max(market.clock.at, period.end + timedelta(hours=25))
        issued = await market.until("statement", period.statement_id, "issued", seconds=60)
        market.clock.at = max(market.clock.at, issued.issued.accept_until)
        await market.until("statement", period.statement_id, "accepted", seconds=60)
