"""Nobody spends the holder's money on a statement before the holder was heard, unless its mandate leaves that open."""

from datetime import timedelta

import pytest

from marketplace.application.billing import statements
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.periods import list_periods
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


class Billed:
    """A market where a fund pays for a grant's first statement, and both who pay may act on it."""

    def __init__(self, market, trade, statement_id, seconds):
        self.market, self.trade, self.statement_id, self.seconds = market, trade, statement_id, seconds

    async def accept(self, side):
        context = self.market.context(getattr(self.trade, side))
        await statements.accept_statement(self.market.handler, context, self.statement_id)

    async def dispute(self, side, less):
        claimed = {"gpu_seconds_counted": self.seconds - less, "reason": "the meter ran on"}
        context = self.market.context(getattr(self.trade, side))
        await statements.dispute_statement(self.market.handler, context, self.statement_id, **claimed)

    async def concede(self, less):
        context = self.market.context(self.trade.provider)
        settled = {"gpu_seconds": self.seconds - less, "reason": "conceded"}
        await statements.resolve_statement(self.market.handler, context, self.statement_id, **settled)

    async def read(self):
        return await self.market.state("statement", self.statement_id)


@pytest.fixture
async def billed(memory_log):
    market = Market(memory_log)
    trade = await market.trade(startup_accepts_alone=False)
    async with market.worker():
        grant = await market.award(trade)
    await market.deliver(grant, 10)
    first = list_periods(grant)[0]
    market.clock.at = first.end + timedelta(hours=25)
    await statements.issue_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    seconds = (await market.state("statement", first.statement_id)).charges.gpu_seconds
    yield Billed(market, trade, first.statement_id, seconds)
    await check_log(market.log)


@pytest.mark.parametrize("sides", [("startup", "fund"), ("fund", "startup")])
async def test_a_statement_settles_once_both_who_pay_accept_it(billed, sides):
    before = await billed.market.account(billed.trade.fund)
    for _ in range(2):
        await billed.accept(sides[0])
    assert (await billed.read()).status == "issued"
    assert await billed.market.account(billed.trade.fund) == before
    await billed.accept(sides[1])
    assert (await billed.read()).status == "accepted"
    assert (await billed.market.account(billed.trade.fund)).held_usd < before.held_usd


async def test_the_holder_disputes_what_the_startup_accepted_at_once(billed):
    await billed.accept("startup")
    await billed.dispute("fund", 3_600)
    await billed.concede(3_600)
    assert (await billed.read()).charges.gpu_seconds == billed.seconds - 3_600


@pytest.mark.parametrize("sides", [("startup", "fund"), ("fund", "startup")])
@pytest.mark.parametrize("lowers", [True, False])
async def test_a_concession_to_one_does_not_close_a_statement_to_the_other(billed, sides, lowers):
    one, other = sides
    await billed.dispute(one, 1)
    with pytest.raises(Refusal) as caught:
        await billed.concede(1)
    assert caught.value.code == "acceptance_period_runs"
    if lowers:
        await billed.dispute(other, 7_200)
    else:
        await billed.accept(other)
    await billed.concede(7_200 if lowers else 1)
    assert (await billed.read()).charges.gpu_seconds == billed.seconds - (7_200 if lowers else 1)


async def test_silence_of_the_holder_settles_after_the_acceptance_period(billed):
    await billed.accept("startup")
    billed.market.clock.at = (await billed.read()).issued.accept_until
    async with billed.market.worker():
        await billed.market.until("statement", billed.statement_id, "accepted")
