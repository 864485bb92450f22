"""Proposals raced by two processes on one log: one stated outcome, and nothing is lost.

See `tests/application/test_rule_races.py` for how a race is played.
"""

import asyncio
from decimal import Decimal

import pytest
from msgspec import structs

from marketplace.application.equity import consents, issuers
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.stock_commands import IssueStock, RepurchaseStock
from marketplace.domain.equity.proposal import DECIDE_WITHIN
from tests.application.equity.test_consents import build, propose, repurchase
from tests.application.equity.test_equity import act, pay_in
from tests.application.test_rule_races import list_codes, race
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


def agree(party_id, proposal_id, at=None):
    """Return the command by which a party agrees, now or at an instant."""

    def command(process):
        context = process.context(party_id)
        return consents.agree(process.handler, context if at is None else structs.replace(context, at=at), proposal_id)

    return command


class ConsentCases:
    """Needs the fixture `log`."""

    async def begin(self, log):
        """Return a market, a trade whose fund holds stock, and the proposal to buy all of it back."""
        market = Market(log)
        trade = await build(market)
        proposal_id = await propose(
            market, trade.startup, trade.issuer, RepurchaseStock, **repurchase(trade, shares=1_000)
        )
        return market, trade, proposal_id

    async def propose_sale(self, market, trade):
        context = market.context(trade.startup)
        await issuers.declare_liquidity(
            market.handler, context, trade.issuer, proceeds_usd=Decimal(1_000_000), safe_seniority=1
        )
        return await consents.find_proposal(market.handler, context), derive_id("liq", context.command_id)

    async def count(self, market, trade):
        return (await market.state("issuer", trade.issuer)).holdings.get((trade.fund, "common"), 0)

    @pytest.mark.parametrize("first", [0, 1])
    async def test_two_last_agreements_at_once_take_effect_once(self, log, first):
        market = Market(log)
        trade = await build(market)
        await market.cancel(trade.startup, trade.order)
        other = await market.party("Other", "fund")
        await pay_in(market, other)
        await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
        issue = {"security_id": derive_id("sec", other), "holder_id": other, "class_id": "common", "shares": 500}
        proposal_id = await propose(
            market, trade.startup, trade.issuer, IssueStock, **issue, price_usd_per_share=Decimal(1)
        )
        steps = [agree(trade.fund, proposal_id), agree(other, proposal_id)]
        answers = await race(market, *(steps if first == 0 else steps[::-1]))
        assert list_codes(answers) == []
        assert (await market.state("proposal", proposal_id)).status == "effective"
        assert (await market.state("issuer", trade.issuer)).holdings[other, "common"] == 500
        ledger = await check_log(log)
        assert ledger.states["account"][rename_id("acc", other)].available_usd == Decimal(5_000_000 - 500)

    @pytest.mark.parametrize("rival", ["refuse", "withdraw", "lapse"])
    @pytest.mark.parametrize("first", ["agree", "rival"])
    async def test_an_agreement_and_what_ends_the_proposal_have_one_outcome(self, log, rival, first):
        market, trade, proposal_id = await self.begin(log)

        def end(process):
            if rival == "refuse":
                return consents.refuse(process.handler, process.context(trade.fund), proposal_id, reason="no")
            if rival == "withdraw":
                return consents.withdraw_proposal(
                    process.handler, process.context(trade.startup), proposal_id, reason="no"
                )
            process.clock.at += DECIDE_WITHIN
            return consents.lapse(process.handler, process.context(), proposal_id)

        steps = [agree(trade.fund, proposal_id, market.clock.now()), end]
        codes = list_codes(await race(market, *(steps if first == "agree" else steps[::-1])))
        status = (await market.state("proposal", proposal_id)).status
        ended = {"refuse": "refused", "withdraw": "withdrawn", "lapse": "lapsed"}[rival]
        if first == "agree":
            assert (status, codes) == ("effective", ["proposal_effective"])
        else:
            assert (status, codes) == (ended, [f"proposal_{ended}"])
        assert await self.count(market, trade) == (0 if status == "effective" else 1_000)
        await check_log(log)

    async def test_an_agreement_after_the_deadline_is_refused_by_every_process(self, log):
        market, trade, proposal_id = await self.begin(log)
        market.clock.at += DECIDE_WITHIN
        late = [agree(trade.fund, proposal_id)(process) for process in (market, market.process("other"))]
        codes = list_codes(await asyncio.gather(*late, return_exceptions=True))
        assert codes == ["deadline_passed"] * 2
        assert await self.count(market, trade) == 1_000

    @pytest.mark.parametrize("first", ["agree", "ground"])
    async def test_a_sale_and_a_change_of_what_it_rests_on_have_one_outcome(self, log, first):
        """New principal makes another waterfall: the sale is void, or nothing is issued beside it."""
        market = Market(log)
        trade = await build(market)
        await market.cancel(trade.startup, trade.order)
        proposal_id, liquidity_id = await self.propose_sale(market, trade)

        async def change(process):
            stock = {"holder_id": derive_id("stk", trade.issuer), "class_id": "common", "shares": 4_000}
            command = IssueStock(
                issuer_id=trade.issuer,
                security_id=derive_id("sec", trade.issuer, "more"),
                price_usd_per_share=Decimal(1),
                **stock,
            )
            return await issuers.act(process.handler, process.context(), command)

        await act(
            market,
            trade.startup,
            AddStakeholder,
            holder_id=derive_id("stk", trade.issuer),
            name="A friend",
            kind="other",
        )
        steps = [agree(trade.fund, proposal_id), change]
        answers = await race(market, *(steps if first == "agree" else steps[::-1]))
        assert list_codes(answers) == (["sale_declared"] if first == "agree" else [])
        status = (await market.state("proposal", proposal_id)).status
        assert status == ("effective" if first == "agree" else "void")
        assert (await market.state("issuer", trade.issuer)).liquidity_id == (liquidity_id if first == "agree" else None)
        await pay_in(market, trade.startup)
        pay = issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, liquidity_id)
        (paid,) = await asyncio.gather(pay, return_exceptions=True)
        assert list_codes([paid]) == ([] if first == "agree" else ["liquidity_unknown"])
        await check_log(log)


class TestConsentsOnMemory(ConsentCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestConsentsOnJetStream(ConsentCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log
