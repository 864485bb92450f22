"""What a period below the promise does to a drawdown, by the name in the terms of its instrument."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.service import ServiceTerms
from marketplace.application.delivery import grants
from marketplace.core.ids import rename_id
from marketplace.core.money import parse_ratio
from marketplace.domain.billing.settlement import build_tariff, compute_charges, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.equity.drawdown import Delivery, DrawdownTerms, draw_down
from marketplace.log.memory import MemoryLog
from tests.support.market import market as market_module
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market

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

    async def begin(consequence, **trade):
        terms = msgspec.structs.replace(SAFE, service_consequence=consequence)
        monkeypatch.setattr(market_module, "SAFE", terms)
        market = Market(MemoryLog())
        return market, await market.trade(**trade)

    return begin


async def test_a_month_below_the_promise_rolls_forward_without_charge_or_dilution(start):
    market, trade = await start("roll_forward")
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        end = draw.grant.end
        await draw.lose_a_node(3, 6)
        rolled = await draw.settle(0)
        assert (rolled.is_rolled, rolled.charges.gpu_seconds, rolled.charges.provider_usd) == (True, 30 * DAY, ZERO)
        assert rolled.service_credit is None
        longer = await market.state("grant", draw.grant_id)
        assert longer.extensions == ((end, end + timedelta(days=30)),)
        assert (longer.end, (await draw.instrument()).principal_usd) == (end + timedelta(days=30), ZERO)
        reservation = (await market.state("pool", trade.pool)).reservations[draw.grant_id]
        assert (reservation.start, reservation.end) == (draw.grant.issued.start, longer.end)
        kept, again = await draw.settle(1), await draw.settle(2)
        ledger = await draw.end()
    assert (kept.issued.gpu_seconds_before, again.charges.gpu_seconds, again.service.met) == (0, 30 * DAY, True)
    assert again.issued.gpu_seconds_before == kept.charges.gpu_seconds
    instrument = ledger.states["instrument"][rename_id("ins", draw.grant_id)]
    totals = compute_totals(build_tariff(draw.grant.issued), 40 * DAY)
    assert instrument.principal_usd == totals.principal_usd == instrument.issued.commitment_usd
    assert instrument.issued.draw.end == end, "the window stands as it was signed"
    provider = ledger.states["account"][rename_id("acc", trade.provider)]
    assert provider.available_usd == totals.provider_usd
    price = parse_ratio(draw.grant.issued.price_usd_per_gpu_hour) / Fraction(draw.grant.issued.value_usd_per_gpu_hour)
    engine = draw_down(
        DrawdownTerms(instrument.issued.commitment_usd, price * 3, Fraction(99, 100), "roll_forward"),
        [
            Delivery(
                one.issued.statement_id, Fraction(one.charges.gpu_seconds, 3600), parse_ratio(one.service.availability)
            )
            for one in (rolled, kept, again)
        ],
    )
    assert abs(engine.principal_usd - Fraction(instrument.principal_usd)) < Fraction(1, 100)


async def test_where_there_is_no_room_the_month_is_excluded_instead(start):
    market, trade = await start("roll_forward", days=80)
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        statement = await draw.settle(0)
    assert statement.service.consequence == "exclude"
    assert (await market.state("grant", draw.grant_id)).extensions == ()


async def test_an_excluded_month_accrues_nothing_and_its_cash_is_credited(start):
    market, trade = await start("exclude")
    async with market.worker():
        draw = Draw(market, trade, await market.award(trade))
        await draw.lose_a_node(3, 6)
        statement = await draw.settle(0)
        await draw.settle(1)
        ledger = await draw.end()
    full = compute_charges(build_tariff(draw.grant.issued), 0, 30 * DAY)
    assert statement.charges.cash_usd == statement.charges.provider_usd == full.cash_usd
    assert (statement.charges.principal_usd, statement.charges.holder_usd) == (ZERO, ZERO)
    assert statement.service_credit.cash_usd == statement.service_credit.provider_usd == round(full.cash_usd / 4, 2)
    instrument = ledger.states["instrument"][rename_id("ins", draw.grant_id)]
    after = compute_charges(build_tariff(draw.grant.issued), 30 * DAY, 10 * DAY)
    assert (instrument.principal_usd, instrument.status) == (after.principal_usd, "lapsed")


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
        await market.until("auction", auction, "settled", seconds=WAIT)
        grant = await market.state("grant", (await market.state("order", order)).grant_id)
        assert grant.issued.service == terms
        trade = type("Trade", (), {"provider": provider})
        draw = Draw(market, trade, grant)
        await draw.lose_a_node(3, 6)
        assert (await draw.settle(0)).is_rolled
        after = (await market.state("grant", draw.grant_id)).extensions
        assert after[0][0] == grant.end + timedelta(hours=25)
        assert after[0][1] - after[0][0] == timedelta(days=10)
