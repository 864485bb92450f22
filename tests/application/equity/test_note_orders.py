"""Compute for a convertible note: it is drawn by accepted delivery, each tranche earns from its day; it converts."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.financing import Approval
from events.mandate import MandateTerms
from events.types import NoteTerms
from marketplace.application.billing import accounts, statements
from marketplace.application.equity import instruments, issuers
from marketplace.application.supply import inventory
from marketplace.application.trading import mandates, orders
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from tests.application.equity.test_equity import build_round, found, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def offer_equity(market, trade, kind, instrument, *, days=10, latest=1, **rules):
    """Let the fund take instruments of a kind, and the startup offer one for some days of compute."""
    rules = MandateTerms(
        instrument_kinds=(kind,),
        equity_credit=Decimal("0.8"),
        budget_usd=Decimal(50_000),
        issuer_usd_max=Decimal(50_000),
        direct_budget_usd=Decimal(50_000),
        startup_accepts_alone=True,
        **rules,
    )
    await accounts.deposit(
        market.handler,
        market.context(),
        rename_id("acc", trade.fund),
        amount_usd=Decimal(100_000),
        reference=f"for {kind} {market.count}",
    )
    mandate = await mandates.grant_mandate(
        market.handler, market.context(trade.fund), holder_id=trade.fund, funding="cash", terms=rules
    )
    trade.mandate = mandate.id
    await inventory.withdraw_lot(market.handler, market.context(trade.provider), trade.lot, reason="listed anew")
    trade.lot = await market.lot(trade.provider, trade.pool, mandate_ids=(mandate.id,))
    terms = market.terms(cash="1", equity="3", mandate_ids=(mandate.id,), days=days, latest=latest)
    terms = msgspec.structs.replace(terms, instrument=instrument)
    receipt = await orders.place_order(
        market.handler, market.context(trade.startup), startup_id=trade.startup, terms=terms
    )
    return receipt.id


async def offer_note(market, trade, **changes):
    """Offer a note for ten days of compute."""
    note = NoteTerms(
        annual_rate=Decimal("0.10"),
        interest="simple",
        day_count="actual_365",
        matures_on=(market.day(1) + timedelta(days=400)).date(),
        valuation_cap_usd=Decimal(10_000_000),
        service_consequence="credit",
    )
    return await offer_equity(market, trade, "convertible_note", msgspec.structs.replace(note, **changes))


@pytest.fixture
async def founded(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


async def test_a_note_is_drawn_by_delivery_and_converts_with_interest_of_each_day(founded):
    market, trade = founded
    trade.order = await offer_note(market, trade)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    note = rename_id("ins", grant.issued.grant_id)
    (tranche,) = (await market.state("instrument", note)).tranches
    closing = tranche.interest_from + timedelta(days=73)
    market.clock.at += closing - market.clock.now().date() - timedelta(days=31)
    opened = market.context(trade.startup)
    terms = msgspec.structs.replace(build_round(trade.fund), closing_date=closing)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=terms)
    financing = derive_id("fin", opened.command_id)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    await pay_in(market, trade.fund)
    context = market.context(trade.startup)
    await issuers.close_financing(
        market.handler, context, trade.issuer, financing, approval=Approval(document="consent 8")
    )
    await agree_all(market, context)
    (conversion,) = (await market.state("instrument", note)).conversions
    assert conversion.interest_until == closing
    assert Fraction(conversion.amount_exact) == Fraction(tranche.accrued_usd) * Fraction(102, 100)
    await check_log(market.log)


async def test_a_statement_of_a_note_that_fell_due_is_accepted_once_the_note_is_extended(founded):
    market, trade = founded
    trade.order = await offer_note(market, trade)
    async with market.worker():
        grant = await market.award(trade)
        note = rename_id("ins", grant.issued.grant_id)
        signed = (await market.state("instrument", note)).terms
        early = msgspec.structs.replace(signed, matures_on=(grant.end + timedelta(days=3)).date())
        amend = {"applies_to_earlier": True}
        await instruments.amend_instrument(market.handler, market.context(), note, terms=early, **amend)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", statement, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        with pytest.raises(Refusal) as caught:
            await statements.accept_statement(market.handler, market.context(trade.startup), statement)
        assert caught.value.code == "note_matured"
        await instruments.amend_instrument(market.handler, market.context(), note, terms=signed, **amend)
        market.clock.at += timedelta(hours=2)
        await market.until("statement", statement, "accepted")
        await market.until("grant", grant.issued.grant_id, "completed")
    assert (await market.state("instrument", note)).outstanding_usd > 0
    await check_log(market.log)


async def test_a_note_that_would_fall_due_while_it_is_drawn_is_refused_when_it_is_offered(founded):
    market, trade = founded
    with pytest.raises(Refusal) as caught:
        await offer_note(market, trade, matures_on=(market.day(1) + timedelta(days=60)).date())
    assert caught.value.code == "note_too_short"


async def test_a_mandate_that_takes_safes_only_takes_no_note(founded):
    market, trade = founded
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), days=10, latest=1)
    note = NoteTerms(
        annual_rate=Decimal("0.10"),
        interest="simple",
        day_count="actual_365",
        matures_on=(market.day(1) + timedelta(days=400)).date(),
        service_consequence="credit",
    )
    with pytest.raises(Refusal) as caught:
        await orders.place_order(
            market.handler,
            market.context(trade.startup),
            startup_id=trade.startup,
            terms=msgspec.structs.replace(terms, instrument=note),
        )
    assert caught.value.code == "instrument_kind_unwelcome"
