"""Compute for warrants: every accepted statement buys rights in its own append, under the issuer's limit."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.types import WarrantTerms
from marketplace.application.equity import instruments, warrants
from marketplace.application.equity.clawbacks import reverse_principal
from marketplace.application.equity.dilution import limit_dilution
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.dilution import measure_dilution
from marketplace.domain.equity.issuer.stock_commands import AdjustAuthorisedShares, SplitStock
from tests.application.equity.test_equity import act, found, pay_in
from tests.application.equity.test_note_orders import offer_equity
from tests.application.equity.test_stock_orders import deliver_for
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

PRICE, STRIKE = Decimal("0.50"), Decimal("0.30")


@pytest.fixture
async def founded(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


def agree(market, **changes):
    terms = WarrantTerms(
        class_id="common",
        price_usd_per_share=PRICE,
        exercise_price_usd=STRIKE,
        expires_at=market.day(600),
        service_consequence="credit",
    )
    return msgspec.structs.replace(terms, **changes)


async def deliver(market, trade, days=40, after=None):
    return await deliver_for(market, trade, "warrant", agree(market), days=days, after=after)


def count(issuer):
    return sum(warrant.shares_outstanding for warrant in issuer.warrants.values())


async def exercise(market, trade, warrant_id, shares):
    await pay_in(market, trade.fund)
    await warrants.exercise_warrant(
        market.handler,
        market.context(trade.fund),
        trade.issuer,
        exercise_id=derive_id("exr", warrant_id, str(shares)),
        warrant_id=warrant_id,
        shares=shares,
        net=False,
    )


async def test_each_statement_buys_rights_and_all_of_them_are_off_by_less_than_one(founded):
    market, trade = founded
    grant, instrument_id = await deliver(market, trade)
    instrument, issuer = await market.state("instrument", instrument_id), await market.state("issuer", trade.issuer)
    assert len(instrument.tranches) == len(issuer.warrants) == len(list_periods(grant)) > 1
    assert (instrument.outstanding_usd, instrument.converted_usd) == (0, instrument.principal_usd)
    assert count(issuer) == Fraction(instrument.principal_usd) / Fraction(PRICE) // 1
    assert {conversion.cause for conversion in instrument.conversions} == set(issuer.warrants)
    assert {
        (each.issued.cause, each.issued.holder_id, each.issued.exercise_price_usd) for each in issuer.warrants.values()
    } == {(instrument_id, trade.fund, STRIKE)}
    assert all(warrant.shares_exercisable == warrant.shares_outstanding for warrant in issuer.warrants.values())
    assert issuer.holdings.get((trade.fund, "common"), 0) == 0
    first = min(issuer.warrants)
    await exercise(market, trade, first, 100)
    after = await market.state("issuer", trade.issuer)
    assert after.holdings[trade.fund, "common"] == 100
    assert count(after) == count(issuer) - 100
    await check_log(market.log)


async def test_a_split_counts_for_what_comes_and_what_is_there_and_a_clawback_takes_the_rights(founded):
    market, trade = founded

    async def split():
        await act(market, trade.startup, AdjustAuthorisedShares, class_id="common", shares_authorised=100_000_000)
        name = derive_id("spl", trade.issuer)
        await act(market, trade.startup, SplitStock, split_id=name, numerator=3, denominator=1)

    _, instrument_id = await deliver(market, trade, after=split)
    instrument, issuer = await market.state("instrument", instrument_id), await market.state("issuer", trade.issuer)
    rights = count(issuer)
    assert 0 <= Fraction(instrument.principal_usd) / (Fraction(PRICE) / 3) - rights < 3
    assert {warrant.exercise_price_usd for warrant in issuer.warrants.values()} == {Fraction(STRIKE) / 3}
    last, bought = instrument.tranches[-1], instrument.conversions[-1]
    await exercise(market, trade, bought.cause, 10)
    taken = {"tranche_id": last.tranche_id, "principal_usd": last.principal_usd, "reason": "an audit"}
    await reverse_principal(market.handler, market.context(), instrument_id, **taken, reduction="cancel_shares")
    after, state = await market.state("issuer", trade.issuer), await market.state("instrument", instrument_id)
    assert after.warrants[bought.cause].shares_outstanding == 0
    assert count(after) == rights - bought.shares
    assert state.debt_usd == Decimal("1.66"), "ten rights at a third of their price, that were exercised, are owed"
    await check_log(market.log)


async def test_an_order_for_a_warrant_is_kept_to_the_limit_from_its_placing_on(founded):
    market, trade = founded
    most = Decimal("0.0102")
    await limit_dilution(
        market.handler, market.context(trade.startup), trade.issuer, dilution_max=most, valuation_usd=None
    )
    with pytest.raises(Refusal) as caught:
        await offer_equity(market, trade, "warrant", agree(market, price_usd_per_share=PRICE / 2), days=40)
    assert caught.value.code == "dilution_exceeded"
    await deliver(market, trade)
    issuer = await market.state("issuer", trade.issuer)
    measured = measure_dilution(issuer)
    assert measured.warrants == count(issuer) > 0
    assert (dict(issuer.exposures), measured.pending, measured.converted) == ({}, 0, 0)
    assert measured.part == measured.warrants / measured.whole <= Fraction(most)
    await check_log(market.log)


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({"class_id": "gold"}, {}, "stock_class_unknown"),
        ({"price_usd_per_share": Decimal(0)}, {}, "amount_not_positive"),
        ({"exercise_price_usd": Decimal(-1)}, {}, "amount_not_positive"),
        ({"exercise_price_usd": Decimal("1e-13")}, {}, "amount_too_precise"),
        ({"expires_at": datetime(2040, 1, 1)}, {}, "time_naive"),  # noqa: DTZ001 - that is the point
        ({"service_consequence": None}, {}, "consequence_missing"),
        ({}, {"valuation_cap_usd_max": Decimal(7_199_999)}, "cap_outside_range"),
        ({}, {"valuation_cap_usd_min": Decimal(7_200_001)}, "cap_outside_range"),
    ],
)
async def test_a_warrant_that_cannot_be_or_is_unwelcome_is_refused_when_it_is_offered(founded, changes, rules, code):
    market, trade = founded
    with pytest.raises(Refusal) as caught:
        await offer_equity(market, trade, "warrant", agree(market, **changes), **rules)
    assert caught.value.code == code


async def test_a_warrant_outlives_what_buys_it(founded):
    market, trade = founded
    for days, code in ((100, "warrant_too_short"), (101, None)):
        terms = agree(market, expires_at=market.day(1 + days))
        if code is None:
            await offer_equity(market, trade, "warrant", terms, warrant_days_min=100)
            continue
        short = msgspec.structs.replace(terms, expires_at=terms.expires_at - timedelta(microseconds=1))
        with pytest.raises(Refusal) as caught:
            await offer_equity(market, trade, "warrant", short)
        assert caught.value.code == code


async def test_a_mandate_that_takes_stock_takes_no_warrant(founded):
    market, trade = founded
    with pytest.raises(Refusal) as caught:
        await offer_equity(market, trade, "stock", agree(market))
    assert caught.value.code == "instrument_kind_unwelcome"


async def test_cash_buys_a_warrant_at_once_that_may_cost_nothing_to_exercise(founded):
    market, trade = founded
    await offer_equity(market, trade, "warrant", agree(market))
    receipt = await instruments.invest(
        market.handler,
        market.context(trade.startup),
        startup_id=trade.startup,
        mandate_id=trade.mandate,
        amount_usd=Decimal("1000.01"),
        terms=agree(market, service_consequence=None, exercise_price_usd=Decimal(0)),
    )
    instrument, issuer = await market.state("instrument", receipt.id), await market.state("issuer", trade.issuer)
    ((warrant_id, warrant),) = issuer.warrants.items()
    assert (instrument.outstanding_usd, warrant.shares_outstanding, warrant.exercise_price_usd) == (0, 2_000, 0)
    await exercise(market, trade, warrant_id, 2_000)
    assert (await market.state("issuer", trade.issuer)).holdings[trade.fund, "common"] == 2_000
    await check_log(market.log)
