"""Warrants over time: they vest as compute is accepted, and end by the timer."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from events.vesting import DeliveryMilestone, WarrantTranche
from marketplace.application.equity import warrants
from marketplace.core.ids import derive_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from tests.application.equity.test_equity import act, deliver_all, found, pay_in
from tests.application.equity.test_reductions import correct
from tests.application.equity.test_sale_and_end import declare, pay
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


async def test_a_warrant_vests_by_accepted_delivery_and_ends_by_the_timer(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.fund, name="Fund", kind="investor")
    async with market.worker():
        grant = await market.award(trade)
        warrant = derive_id("wrt", trade.issuer)
        terms = IssueWarrant(
            issuer_id=trade.issuer,
            warrant_id=warrant,
            holder_id=trade.fund,
            class_id="common",
            shares=1_000,
            exercise_price_usd=Decimal(1),
            expires_at=grant.end + timedelta(days=90),
            settlement="cash",
            tranches=(
                WarrantTranche(shares=400, conditions=((DeliveryMilestone(gpu_seconds=1),),)),
                WarrantTranche(shares=600, conditions=((DeliveryMilestone(gpu_seconds=10**12),),)),
            ),
            grant_ids=(grant.issued.grant_id,),
        )
        context = market.context(trade.startup)
        await warrants.issue_warrant(market.handler, context, terms)
        await agree_all(market, context)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
        state = (await market.state("issuer", trade.issuer)).warrants[warrant]
        assert (state.vested, state.shares_exercisable) == (frozenset({0}), 400)
        await pay_in(market, trade.fund, 400)
        await warrants.exercise_warrant(
            market.handler,
            market.context(trade.fund),
            trade.issuer,
            exercise_id=derive_id("exr", warrant),
            warrant_id=warrant,
            shares=400,
            net=False,
        )
        market.clock.at = grant.end + timedelta(days=91)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if (await market.state("issuer", trade.issuer)).warrants[warrant].expired:
                    break
                await asyncio.sleep(0.02)
    issuer = (await check_log(market.log)).states["issuer"][trade.issuer]
    assert issuer.holdings[trade.fund, "common"] == 400
    assert issuer.warrants[warrant].shares_outstanding == 0


async def issue_both(market, trade, grant, exercise_price_usd):
    """Let the company issue a warrant that keeps what has vested and one that is clawed back. Return their ids."""
    await act(market, trade.startup, AddStakeholder, holder_id=trade.provider, name="Provider", kind="provider")
    delivered = DeliveryMilestone(gpu_seconds=10 * 86_400 * grant.issued.nodes * grant.issued.gpus_per_node)
    issued = {}
    for policy in ("keep", "claw_back"):
        context = market.context(trade.startup)
        issued[policy] = derive_id("wrt", context.command_id)
        terms = IssueWarrant(
            issuer_id=trade.issuer,
            warrant_id=issued[policy],
            holder_id=trade.provider,
            class_id="common",
            shares=400,
            exercise_price_usd=exercise_price_usd,
            expires_at=market.clock.now() + timedelta(days=900),
            settlement="cash",
            tranches=(WarrantTranche(shares=400, conditions=((delivered,),)),),
            grant_ids=(grant.issued.grant_id,),
            on_reduction=policy,
        )
        await warrants.issue_warrant(market.handler, context, terms)
        await agree_all(market, context)
    return issued


async def test_a_credit_takes_back_what_is_not_exercised_where_the_warrant_says_so(memory_log):
    market = Market(memory_log)
    trade, grant = await deliver_all(market)
    await pay_in(market, trade.provider, 400)
    issued = await issue_both(market, trade, grant, Decimal(1))
    for policy in ("keep", "claw_back"):
        use = {"exercise_id": derive_id("exr", issued[policy]), "warrant_id": issued[policy], "net": False}
        provider = market.context(trade.provider)
        await warrants.exercise_warrant(market.handler, provider, trade.issuer, **use, shares=150)
    await correct(market, trade, grant)
    async with market.worker(), asyncio.timeout(PATIENCE_SECONDS):
        while (await market.state("issuer", trade.issuer)).warrants[issued["claw_back"]].shares_exercisable:
            await market.tick()
    issuer = (await check_log(market.log)).states["issuer"][trade.issuer]
    left = [issuer.warrants[issued[policy]].shares_exercisable for policy in ("keep", "claw_back")]
    assert (left, issuer.holdings[trade.provider, "common"]) == ([250, 0], 300)


async def test_a_credit_beside_a_sale_takes_back_what_the_sale_would_have_paid(memory_log):
    """The worker did not run: the payment itself sees that delivery no longer suffices."""
    market = Market(memory_log)
    trade, grant = await deliver_all(market)
    issued = await issue_both(market, trade, grant, Decimal("0.0001"))
    sale = await declare(market, trade)
    before = (await market.state("issuer", trade.issuer)).sales[sale].declared.waterfall
    await correct(market, trade, grant)
    await pay(market, trade, sale)
    after = (await check_log(market.log)).states["issuer"][trade.issuer].sales[sale].declared.waterfall
    paid = [{row.security: row.amount_usd for row in each.payouts} for each in (before, after)]
    assert paid[0][issued["claw_back"]] == paid[0][issued["keep"]] > 0
    assert (paid[1][issued["claw_back"]], paid[1][issued["keep"]]) == (0, paid[0][issued["keep"]])
