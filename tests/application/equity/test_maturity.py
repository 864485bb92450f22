"""A note falls due on its day by the clock in the log, after a restart too; it is extended, repaid or converted."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.mandate import MandateTerms
from events.registry import parse_body, render_type
from events.types import MaturityConversion, NoteTerms
from marketplace.application.billing import approvals
from marketplace.application.equity import consents, instruments, issuers
from marketplace.application.equity.notes import mature_note
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    RepurchaseStock,
    SplitStock,
)
from tests.application.equity.test_equity import build_round, found
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import OfferedParts, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


def build_terms(market, days=60, **more):
    return NoteTerms(
        annual_rate=Decimal("0.10"),
        interest="simple",
        day_count="thirty_360",
        matures_on=market.clock.at.date() + timedelta(days=days),
        valuation_cap_usd=Decimal(9_000_000),
        **more,
    )


STOCK = MaturityConversion(
    class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
)


@pytest.fixture
async def lent(memory_log):
    """A market in which a fund may lend to a company of nine million shares."""
    market = Market(memory_log)
    fund = await market.party("Fund", "fund", usd=100_000)
    startup = await market.party("Startup", "startup", usd=200_000)
    await market.issuer(startup)
    await found(market, startup)
    terms = MandateTerms(
        instrument_kinds=("convertible_note",),
        note_days_min=1,
        equity_credit=Decimal(1),
        budget_usd=Decimal(50_000),
        issuer_usd_max=Decimal(50_000),
        direct_budget_usd=Decimal(50_000),
    )
    mandate = await mandates.grant_mandate(
        market.handler, market.context(fund), holder_id=fund, funding="cash", terms=terms
    )
    return market, fund, startup, mandate.id


async def lend(market, startup, mandate, terms, amount=36_000):
    receipt = await instruments.invest(
        market.handler,
        market.context(startup),
        startup_id=startup,
        mandate_id=mandate,
        amount_usd=Decimal(amount),
        terms=terms,
    )
    return receipt.id


async def wait_for(market, instrument_id, accept):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            state = await market.state("instrument", instrument_id)
            if accept(state):
                return state
            await asyncio.sleep(0.02)


def at_start_of(day):
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def test_it_falls_due_on_the_day_after_its_last_and_also_where_nobody_worked_on_that_day(lent):
    market, _, startup, mandate = lent
    terms = build_terms(market)
    note = await lend(market, startup, mandate, terms)
    async with market.worker():
        market.clock.at = at_start_of(terms.matures_on) + timedelta(hours=23)
        await market.party("Somebody else", "fund")
        assert (await market.state("instrument", note)).matured == frozenset()
    market.clock.at += timedelta(days=5)
    restarted = market.process("restarted")
    async with restarted.worker():
        state = await wait_for(restarted, note, lambda state: state.matured)
    assert state.matured == {terms.matures_on}
    events = [event async for page in market.log.read() for event in page]
    tag = "instrument.matured.v1"
    told = [parse_body(tag, event.body) for event in events if event.envelope.type == render_type(tag)]
    assert len(told) == 1
    assert told[0].principal_usd == 36_000
    assert Fraction(told[0].amount_exact) == 36_000 + Fraction(3_600) * count_thirty(told[0], state) / 360
    await check_log(market.log)


def count_thirty(event, state):
    """Return the days of 30/360 between the first day of interest and the last."""
    first, last = state.tranches[0].interest_from, event.matures_on
    end = 30 if last.day == 31 and first.day >= 30 else last.day
    return 360 * (last.year - first.year) + 30 * (last.month - first.month) + end - min(first.day, 30)


async def test_what_was_extended_before_does_not_fall_due_and_what_fell_due_is_extended_or_repaid(lent):
    market, fund, startup, mandate = lent
    terms = build_terms(market)
    extended = msgspec.structs.replace(terms, matures_on=terms.matures_on + timedelta(days=90))
    first, second = [await lend(market, startup, mandate, terms, 10_000) for _ in range(2)]
    amend = {"terms": extended, "applies_to_earlier": True}
    await instruments.amend_instrument(market.handler, market.context(), first, **amend)
    async with market.worker():
        market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
        await wait_for(market, second, lambda state: state.matured)
        assert (await market.state("instrument", first)).matured == frozenset()
        await instruments.amend_instrument(market.handler, market.context(), second, **amend)
        market.clock.at = at_start_of(extended.matures_on + timedelta(days=1))
        for note in (first, second):
            await wait_for(market, note, lambda state: extended.matures_on in state.matured)
    before = (await market.account(fund)).available_usd
    await instruments.repay_note(market.handler, market.context(startup), first)
    repaid = await market.state("instrument", first)
    assert (await market.account(fund)).available_usd == before + repaid.repaid.amount_usd
    assert repaid.repaid.amount_usd > 10_000
    await check_log(market.log)


async def test_it_becomes_stock_at_its_cap_in_the_same_append(lent):
    market, fund, startup, mandate = lent
    terms = build_terms(market, at_maturity=STOCK)
    note = await lend(market, startup, mandate, terms)
    async with market.worker():
        market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
        state = await wait_for(market, note, lambda state: state.conversions)
    (conversion,) = state.conversions
    assert Fraction(conversion.price_usd_per_share) == 1
    assert conversion.shares == int(Fraction(conversion.amount_exact)) > 36_000
    assert state.outstanding_usd == 0
    issuer = await market.state("issuer", rename_id("iss", startup))
    assert issuer.holdings[fund, "common"] == conversion.shares
    assert fund in issuer.stakeholders
    ledger = await check_log(market.log)
    assert ledger.states["instrument"][note].matured == {terms.matures_on}


async def test_a_company_that_shrinks_before_the_maturity_does_not_make_the_notes_shares_dearer(lent):
    """Founders' stock shrank to 100 shares for the day of the conversion, and 36,000 USD bought 0 of 9 M."""
    market, fund, startup, mandate = lent
    terms = build_terms(market, at_maturity=STOCK)
    note = await lend(market, startup, mandate, terms)
    await act_agreed(market, startup, AdjustStockPlan, shares_reserved=0)
    await act_agreed(
        market,
        startup,
        RepurchaseStock,
        repurchase_id=derive_id("rep", startup),
        holder_id=startup,
        class_id="common",
        shares=7_999_900,
        price_usd_per_share=Decimal(0),
    )
    await act_agreed(market, startup, SplitStock, split_id=derive_id("spl", startup), numerator=1, denominator=2)
    async with market.worker():
        market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
        state = await wait_for(market, note, lambda state: state.matured)
    (conversion,) = state.conversions
    assert Fraction(conversion.price_usd_per_share) == 2
    assert (await market.state("issuer", rename_id("iss", startup))).holdings[fund, "common"] == conversion.shares
    assert 18_000 < conversion.shares == Fraction(conversion.amount_exact) // 2
    await check_log(market.log)


async def test_where_the_class_is_too_small_the_company_withholds_no_shares(lent):
    """A company kept a note due, without interest, by authorising too few shares."""
    market, fund, startup, mandate = lent
    terms = build_terms(market, at_maturity=STOCK)
    note = await lend(market, startup, mandate, terms)
    small = {"class_id": "common", "shares_authorised": 8_000_000}
    await act_agreed(market, startup, AdjustAuthorisedShares, **small)
    with pytest.raises(Refusal) as caught:
        await mature_note(market.handler, market.context(fund), note)
    assert caught.value.code == "note_runs"
    async with market.worker():
        market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
        state = await wait_for(market, note, lambda state: state.matured)
    (conversion,) = state.conversions
    assert (state.outstanding_usd, conversion.interest_until) == (0, terms.matures_on)
    issuer = await market.state("issuer", rename_id("iss", startup))
    assert issuer.holdings[fund, "common"] == conversion.shares > 18_000
    assert issuer.classes["common"].shares_authorised == 8_000_000 + conversion.shares
    await mature_note(market.handler, market.context(fund), note, strict=True)
    assert (await market.state("instrument", note)).conversions == (conversion,)
    await check_log(market.log)


async def test_a_note_that_becomes_stock_states_its_cap(lent):
    market, _, startup, mandate = lent
    uncapped = msgspec.structs.replace(build_terms(market, at_maturity=STOCK), valuation_cap_usd=None)
    with pytest.raises(Refusal) as caught:
        await lend(market, startup, mandate, uncapped)
    assert (caught.value.code, caught.value.facts["convention"]) == ("missing_convention", "valuation_cap_usd")


async def propose(market, party_id, use_case, note, **members):
    """Send an act on a note, and return the proposal that it became, if it became one."""
    context = market.context(party_id)
    await use_case(market.handler, context, note, **members)
    return await consents.find_proposal(market.handler, context)


async def test_a_matured_note_is_not_repaid_out_of_an_open_round_without_its_holder(lent):
    """A company priced a round in which the note was worth eight times its principal, and repaid it a day too late."""
    market, fund, startup, mandate = lent
    terms = build_terms(market)
    note = await lend(market, startup, mandate, terms, 10_000)
    context, issuer = market.context(startup), rename_id("iss", startup)
    await issuers.open_financing(market.handler, context, issuer, name="Series A", terms=build_round(fund))
    market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
    await mature_note(market.handler, market.context(), note)
    proposal_id = await propose(market, startup, instruments.repay_note, note)
    assert (await market.state("proposal", proposal_id)).voters == {fund}
    assert (await market.state("instrument", note)).repaid is None
    await consents.agree(market.handler, market.context(fund), proposal_id)
    assert (await market.state("instrument", note)).repaid.early
    assert await find_faults(OfferedParts, market.log) == []
    faults = await find_faults(OfferedParts, market.log, drop="proposal.agreed.v1")
    assert [(rule, "without its holder" in text) for rule, _, text in faults] == [("consent", True)]


async def test_a_note_is_repaid_before_its_maturity_only_with_its_holders_agreement(lent):
    market, fund, startup, mandate = lent
    terms = build_terms(market)
    note, other = [await lend(market, startup, mandate, terms, 10_000) for _ in range(2)]
    market.clock.at += timedelta(days=30)
    before = (await market.account(fund)).available_usd
    proposal_id = await propose(market, startup, instruments.repay_note, note)
    assert (await market.state("proposal", proposal_id)).voters == {fund}
    assert (await market.state("instrument", note)).status == "active"
    assert (await market.account(fund)).available_usd == before
    refused = await propose(market, startup, instruments.repay_note, other)
    market.clock.at += timedelta(days=1)
    clerk = msgspec.structs.replace(market.context(fund), actor_person="p1")
    await approvals.set_limit(market.handler, clerk, rename_id("acc", fund), limit_usd=Decimal(20_000))
    await consents.agree(market.handler, market.context(fund), proposal_id)
    with pytest.raises(Refusal) as caught:
        await consents.agree(market.handler, market.context(fund), refused)
    assert caught.value.code == "person_missing", "one person gives up what the note would become"
    clerk = msgspec.structs.replace(market.context(fund), actor_person="p1")
    await consents.agree(market.handler, clerk, refused)
    assert (await market.state("proposal", refused)).agreed == frozenset(), "it waits for a second person"
    await consents.refuse(market.handler, market.context(fund), refused, reason="a round is near")
    assert (await market.state("instrument", other)).outstanding_usd == 10_000
    assert (await market.state("proposal", proposal_id)).status == "effective"
    repaid = (await market.state("instrument", note)).repaid
    assert (repaid.early, (await market.account(fund)).available_usd) == (True, before + repaid.amount_usd)
    market.clock.at = at_start_of(terms.matures_on)
    assert await propose(market, startup, instruments.repay_note, other) is None
    assert (await market.state("instrument", other)).repaid.early is False
    await check_log(market.log)


async def test_an_instrument_is_amended_by_one_side_only_when_the_other_agrees(lent):
    market, fund, startup, mandate = lent
    terms = build_terms(market)
    note = await lend(market, startup, mandate, terms)
    better = msgspec.structs.replace(terms, valuation_cap_usd=Decimal(5_000_000))
    changes = {"terms": better, "applies_to_earlier": True}
    for proposer, voter in ((startup, fund), (fund, startup)):
        proposal_id = await propose(market, proposer, instruments.amend_instrument, note, **changes)
        assert (await market.state("proposal", proposal_id)).voters == {voter}
        assert (await market.state("instrument", note)).terms != changes["terms"]
        market.clock.at += timedelta(days=1)
        await consents.agree(market.handler, market.context(voter), proposal_id)
        assert (await market.state("proposal", proposal_id)).status == "effective"
        assert (await market.state("instrument", note)).terms == changes["terms"]
        changes["terms"] = terms
    stranger = await market.party("Stranger", "fund")
    with pytest.raises(Refusal) as caught:
        await propose(market, stranger, instruments.amend_instrument, note, **changes)
    assert caught.value.code == "instrument_unknown"
    await check_log(market.log)


async def test_a_note_that_matures_beside_a_sale_becomes_stock_once_the_sale_is_withdrawn(lent):
    """It stayed due without interest until somebody asked for its conversion."""
    market, _, startup, mandate = lent
    terms = build_terms(market, days=30, at_maturity=STOCK)
    note = await lend(market, startup, mandate, terms, 10_000)
    context, issuer = market.context(startup), rename_id("iss", startup)
    await issuers.declare_liquidity(market.handler, context, issuer, proceeds_usd=Decimal(50_000_000), safe_seniority=1)
    sale = derive_id("liq", context.command_id)
    if await consents.find_proposal(market.handler, context) is not None:
        await agree_all(market, context)
    market.clock.at = at_start_of(terms.matures_on + timedelta(days=1))
    async with market.worker():
        await market.party("Somebody else", "fund")
        await asyncio.sleep(0.2)
        assert (await market.state("instrument", note)).conversions == ()
        context = market.context(startup)
        await issuers.withdraw_liquidity(market.handler, context, issuer, sale, reason="the buyer left")
        await agree_all(market, context)
        market.clock.at += timedelta(hours=1)
        state = await wait_for(market, note, lambda state: state.conversions)
    assert state.conversions[0].cause.startswith("sec_")
