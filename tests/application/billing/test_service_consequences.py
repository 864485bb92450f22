"""What a period below the promise does to a drawdown, by the name in the terms of its instrument."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.service import ServiceTerms
from marketplace.application.billing import statements
from marketplace.application.delivery import grants
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.billing.settlement import build_tariff, compute_charges, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.log.memory import MemoryLog
from tests.support.market import market as market_module
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, SAFE, Market

WAIT = 60
DAY = 2 * 8 * 86_400
ZERO = Decimal(0)


class Draw:
    """A grant of forty days that draws an instrument down, and lost a node for six days of its first period."""

    def __init__(self, market, trade, grant):
        self.market, self.trade, self.grant = market, trade, grant
        self.grant_id = grant.issued.grant_id

    async def lose_a_node(self, day, days):
        market, at = self.market, self.grant.issued.start + timedelta(days=day)
        for moment, nodes in ((at, 1), (at + timedelta(days=days), None)):
            market.clock.at = max(market.clock.at, moment)
            await market.until("grant", self.grant_id, "active", "degraded", seconds=WAIT)
            provider = market.context(self.trade.provider)
            if nodes is None:
                await grants.resume_grant(market.handler, provider, self.grant_id, at=moment)
            else:
                await grants.degrade_grant(
                    market.handler, provider, self.grant_id, nodes_available=nodes, at=moment, reason="cooling"
                )

    async def settle(self, index):
        """Deliver a period in full, and let silence accept its statement."""
        market = self.market
        period = list_periods(await market.state("grant", self.grant_id))[index]
        first = (period.start - self.grant.issued.start).days
        meter = market.process(f"meter of period {index}")
        _, answers = await meter.deliver(self.grant, (period.end - period.start).days, first=first)
        assert {answer.outcome for answer in answers} == {"accepted"}, answers[0]
        market.clock.at = max(market.clock.at, period.end + timedelta(hours=25))
        issued = await market.until("statement", period.statement_id, "issued", "accepted", seconds=WAIT)
        market.clock.at = max(market.clock.at, issued.issued.accept_until)
        return await market.until("statement", period.statement_id, "accepted", seconds=WAIT)

    async def instrument(self):
        return await self.market.state("instrument", rename_id("ins", self.grant_id))

    async def end(self):
        await self.market.until("grant", self.grant_id, "completed", seconds=WAIT)
        return await check_log(self.market.log)


@pytest.fixture
def start(monkeypatch):
    """Return what begins a draw under terms that name a consequence."""

    async def begin(consequence, *, offered=None, **trade):
        terms = msgspec.structs.replace(SAFE, service_consequence=consequence)
        monkeypatch.setattr(market_module, "SAFE", terms)
        market = Market(MemoryLog())
        market.service = msgspec.structs.replace(INCIDENTS, consequence=offered or consequence)
        return market, await market.trade(**trade)

    return begin


async def test_what_a_month_below_the_promise_did_not_deliver_rolls_forward(start):
    market, trade = await start("roll_forward")
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        end = draw.grant.end
        await draw.lose_a_node(3, 6)
        rolled = await draw.settle(0)
        assert (rolled.service.consequence, rolled.charges.gpu_seconds) == ("roll_forward", 27 * DAY)
        assert rolled.service_credit is None
        longer = await market.state("grant", draw.grant_id)
        assert longer.extensions == ((end, end + timedelta(days=3)),)
        reservation = (await market.state("pool", trade.pool)).reservations[draw.grant_id]
        assert (reservation.start, reservation.end) == (draw.grant.issued.start, longer.end)
        await market.process("meter of the extension").deliver(draw.grant, 3, first=40)
        kept, third = await draw.settle(1), list_periods(longer)[2].statement_id
        again = await market.until("statement", third, "issued", "accepted", seconds=WAIT)
        market.clock.at = max(market.clock.at, again.issued.accept_until)
        ledger = await draw.end()
    assert (kept.issued.gpu_seconds_before, again.charges.gpu_seconds, again.service.met) == (27 * DAY, 3 * DAY, True)
    instrument = ledger.states["instrument"][rename_id("ins", draw.grant_id)]
    totals = compute_totals(build_tariff(draw.grant.issued), 40 * DAY)
    assert instrument.principal_usd == totals.principal_usd == instrument.issued.commitment_usd
    assert instrument.issued.draw.end == end, "the window stands as it was signed"
    provider = ledger.states["account"][rename_id("acc", trade.provider)]
    assert provider.available_usd == totals.provider_usd


@pytest.mark.parametrize(("nodes", "remedy"), [(2, "roll_forward"), (3, "credit")])
async def test_what_rolls_forward_waits_for_an_auction_that_froze_the_lot_and_takes_what_it_leaves(
    start, nodes, remedy
):
    market, trade = await start("roll_forward")
    buyer = await market.party("Buyer", "startup", usd=100_000)
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        order = await market.order(buyer, cash="4", days=3, nodes=nodes, earliest=41, latest=41)
        auction = await market.auction(locks_at=33, horizon=41, no_cancel_at=32)
        market.clock.at = market.day(32)
        await market.until("order", order, "locked")
        period = list_periods(draw.grant)[0]
        market.clock.at = period.end + timedelta(hours=25)
        with pytest.raises(Refusal) as caught:
            await statements.issue_statement(market.handler, market.context(), draw.grant_id, 0, [auction])
        assert caught.value.code == "lot_frozen"
        market.clock.at = market.day(33)
        assert (await market.until("order", order, "matched", "unmatched", seconds=WAIT)).status == "matched"
        await market.until_carried_out(auction, seconds=WAIT)
        market.clock.at += timedelta(minutes=20)
        issued = await market.until("statement", period.statement_id, "issued", seconds=WAIT)
    assert issued.service.consequence == remedy
    assert len((await market.state("grant", draw.grant_id)).extensions) == (remedy == "roll_forward")
    await check_log(market.log)


@pytest.mark.parametrize(
    ("named", "offered", "days"),
    [("roll_forward", None, 89), ("roll_forward", "credit", 40), ("exclude", "credit", 40)],
)
async def test_a_month_is_credited_where_there_is_no_room_or_the_provider_offers_no_other_remedy(
    start, named, offered, days
):
    market, trade = await start(named, offered=offered, days=days)
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        statement = await draw.settle(0)
    assert (statement.service.consequence, statement.service.credit) == ("credit", Decimal("0.25"))
    assert (await market.state("grant", draw.grant_id)).extensions == ()


async def test_what_an_excluded_month_did_not_deliver_lapses_and_the_rest_is_paid(start):
    market, trade = await start("exclude")
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        statement = await draw.settle(0)
        await draw.settle(1)
        ledger = await draw.end()
    delivered = compute_charges(build_tariff(draw.grant.issued), 0, 27 * DAY)
    assert (statement.charges, statement.service_credit) == (delivered, None)
    instrument = ledger.states["instrument"][rename_id("ins", draw.grant_id)]
    totals = compute_totals(build_tariff(draw.grant.issued), 37 * DAY)
    assert (instrument.principal_usd, instrument.status) == (totals.principal_usd, "lapsed")


async def test_a_tranche_cites_terms_version_statement_and_what_its_period_came_to(start):
    market, trade = await start("credit")
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        statement = await draw.settle(0)
        (tranche,) = (await draw.instrument()).tranches
    assert (tranche.statement_id, tranche.terms_version) == (statement.issued.statement_id, 1)
    assert tranche.service == statement.service
    assert (tranche.service.consequence, tranche.service.availability) == ("credit", "9/10")
    assert tranche.accrued_usd == statement.net.principal_usd


async def test_cash_alone_rolls_forward_where_the_grant_says_so(start):
    market = Market(MemoryLog())
    provider, startup = (
        await market.party("Provider", "provider"),
        await market.party("Startup", "startup", usd=100_000),
    )
    await market.issuer(startup)
    _, pool = await market.pool(provider)
    terms = ServiceTerms(availability_min=Decimal("0.95"), consequence="roll_forward")
    await market.lot(provider, pool, service=terms)
    order = await market.order(startup, cash="3", days=10, latest=1)
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction, seconds=WAIT)
        grant = await market.state("grant", (await market.state("order", order)).grant_id)
        assert grant.issued.service == terms
        trade = type("Trade", (), {"provider": provider})
        draw = Draw(market, trade, grant)
        await draw.lose_a_node(3, 6)
        assert (await draw.settle(0)).service.consequence == "roll_forward"
        after = (await market.state("grant", draw.grant_id)).extensions
        assert after[0][0] == grant.end + timedelta(hours=25)
        assert after[0][1] - after[0][0] == timedelta(days=3)
