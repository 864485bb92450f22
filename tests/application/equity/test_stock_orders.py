"""Compute for priced stock: every accepted statement buys whole shares in its own append, under the issuer's limit."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.types import MaturityConversion, NoteTerms, StockTerms
from marketplace.application.billing import statements
from marketplace.application.equity import instruments, issuers
from marketplace.application.equity.clawbacks import reverse_principal
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.equity.notes import mature_note
from marketplace.application.steps.stock_agreements import issue_shares
from marketplace.application.trading import orders
from marketplace.auditor.reductions import Reductions
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.commands import BuyerStock
from marketplace.domain.equity.issuer.dilution import measure_dilution
from marketplace.domain.equity.issuer.implied_value import find_implied_cap
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    IssueStock,
    SplitStock,
)
from tests.application.equity.test_equity import act, build_round, found, invest, pay_in
from tests.application.equity.test_note_orders import offer_equity
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, for_cash

PRICE = Decimal("0.70")
STOCK = StockTerms(class_id="common", price_usd_per_share=PRICE, service_consequence="credit")


@pytest.fixture
async def founded(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


async def deliver(market, trade, days=40, after=None):
    return await deliver_for(market, trade, "stock", STOCK, days=days, after=after)


async def deliver_for(market, trade, kind, instrument, *, days, after, **rules):
    """Run an order to its end, `after` something was done between its first statement and the others."""
    trade.order = await offer_equity(market, trade, kind, instrument, days=days, **rules)
    async with market.worker():
        grant = await market.award(trade)
        for index, period in enumerate(list_periods(grant)):
            first = (period.start - grant.issued.start).days
            await market.deliver(grant, (period.end - period.start).days, first=first)
            market.clock.at = period.end + timedelta(days=2)
            await market.until("statement", period.statement_id, "issued")
            market.clock.at = max(market.clock.at, period.end + timedelta(days=9))
            await market.until("statement", period.statement_id, "accepted")
            if index == 0 and after is not None:
                await after()
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    return grant, rename_id("ins", grant.issued.grant_id)


async def authorise(market, trade, shares):
    await act(market, trade.startup, AdjustAuthorisedShares, class_id="common", shares_authorised=shares)


def count(issuer, holder_id):
    return issuer.holdings.get((holder_id, "common"), 0)


async def test_each_statement_buys_shares_and_all_of_them_are_off_by_less_than_one(founded):
    market, trade = founded
    grant, stock = await deliver(market, trade)
    instrument, issuer = await market.state("instrument", stock), await market.state("issuer", trade.issuer)
    assert len(instrument.tranches) == len(instrument.conversions) == len(list_periods(grant)) > 1
    assert (instrument.outstanding_usd, instrument.converted_usd) == (0, instrument.principal_usd)
    assert {conversion.branch for conversion in instrument.conversions} == {"agreed_price"}
    assert count(issuer, trade.fund) == Fraction(instrument.principal_usd) / Fraction(PRICE) // 1
    assert {issuer.securities[conversion.cause].cause for conversion in instrument.conversions} == {stock}
    assert issuer.stakeholders[trade.fund].kind in {"investor", "provider"}
    await check_log(market.log)


async def test_a_split_between_two_statements_counts_for_what_comes_and_a_clawback_takes_what_was_bought(founded):
    market, trade = founded

    async def split():
        await act(market, trade.startup, AdjustAuthorisedShares, class_id="common", shares_authorised=100_000_000)
        await act(
            market, trade.startup, SplitStock, split_id=derive_id("spl", trade.issuer), numerator=3, denominator=1
        )

    _, stock = await deliver(market, trade, after=split)
    instrument, issuer = await market.state("instrument", stock), await market.state("issuer", trade.issuer)
    price = Fraction(PRICE) / 3
    held = count(issuer, trade.fund)
    assert 0 <= Fraction(instrument.principal_usd) / price - held < 3, "one share before the split is three now"
    last = instrument.tranches[-1]
    await reverse_principal(
        market.handler,
        market.context(),
        stock,
        tranche_id=last.tranche_id,
        principal_usd=last.principal_usd,
        reason="an audit",
        reduction="cancel_shares",
    )
    after = await market.state("issuer", trade.issuer)
    assert held - count(after, trade.fund) == instrument.conversions[-1].shares
    assert dict(after.instrument_shares) == {"common": count(after, trade.fund)}
    await check_log(market.log)
    assert await find_faults(Reductions, market.log) == []


async def test_an_order_for_stock_is_kept_to_the_limit_from_its_placing_until_its_shares_are_there(founded):
    market, trade = founded
    most = Decimal("0.0073")
    await limit_dilution(
        market.handler, market.context(trade.startup), trade.issuer, dilution_max=most, valuation_usd=None
    )
    with pytest.raises(Refusal) as caught:
        await offer_equity(
            market, trade, "stock", msgspec.structs.replace(STOCK, price_usd_per_share=PRICE / 2), days=40
        )
    assert caught.value.code == "dilution_exceeded"
    _, stock = await deliver(market, trade)
    issuer = await market.state("issuer", trade.issuer)
    measured = measure_dilution(issuer)
    assert measured.converted == count(issuer, trade.fund) > 0
    assert (dict(issuer.exposures), measured.pending) == ({}, 0)
    assert measured.part == measured.converted / measured.whole <= Fraction(most)
    assert (await market.state("instrument", stock)).undrawn_usd == 0
    await check_log(market.log)


@pytest.mark.parametrize("money", ["compute", "cash"])
async def test_stock_that_is_paid_for_is_issued_although_the_class_is_full(founded, money):
    """A company that authorised its founder's shares only took money and compute, and issued nothing for ever."""
    market, trade = founded
    await authorise(market, trade, 8_000_000)
    if money == "compute":
        _, stock = await deliver(market, trade, days=10)
    else:
        trade.order = await offer_equity(market, trade, "stock", STOCK)
        await market.cancel(trade.startup, trade.order)
        stock = (await invest(market, trade, 7_000, STOCK)).id
    instrument, issuer = await market.state("instrument", stock), await market.state("issuer", trade.issuer)
    held = Fraction(instrument.principal_usd) / Fraction(PRICE) // 1
    assert instrument.outstanding_usd == 0
    assert held == count(issuer, trade.fund) == issuer.classes["common"].shares_authorised - 8_000_000 > 0
    await check_log(market.log)


async def test_principal_below_one_share_is_issued_once_the_stock_is_split(founded):
    market, trade = founded
    dear = msgspec.structs.replace(STOCK, price_usd_per_share=Decimal(25_000))

    async def look():
        stock = next(iter((await market.state("issuer", trade.issuer)).instruments))
        owed_usd = (await market.state("instrument", stock)).outstanding_usd
        split = {"split_id": derive_id("spl", stock), "numerator": 1_000, "denominator": 1}
        await act(market, trade.startup, SplitStock, **split)
        await issue_shares(market.handler, market.context(trade.fund), stock)
        issuer = await market.state("issuer", trade.issuer)
        assert issuer.holdings[trade.fund, "common"] == owed_usd // 25 > 0

    rules = {"valuation_cap_usd_max": Decimal(10**12)}
    await deliver_for(market, trade, "stock", dear, days=40, after=look, **rules)
    await check_log(market.log)


async def test_principal_that_buys_no_whole_share_yet_stays_owed_until_it_does(founded):
    market, trade = founded
    dear = msgspec.structs.replace(STOCK, price_usd_per_share=Decimal(25_000))
    seen = []

    async def look():
        stock = next(iter((await market.state("issuer", trade.issuer)).instruments))
        instrument = await market.state("instrument", stock)
        seen.append((instrument.outstanding_usd, instrument.converted_usd, instrument.principal_usd))
        with pytest.raises(Refusal) as caught:
            await issue_shares(market.handler, market.context(trade.fund), stock)
        seen.append(caught.value.code)
        opened = market.context(trade.startup)
        await issuers.open_financing(market.handler, opened, trade.issuer, name="A", terms=build_round(trade.fund))
        financing = derive_id("fin", opened.command_id)
        with pytest.raises(Refusal) as caught:
            await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
        seen.append(caught.value.code)
        reason = {"reason": "the stock is owed"}
        await issuers.abandon_financing(
            market.handler, market.context(trade.startup), trade.issuer, financing, **reason
        )

    rules = {"valuation_cap_usd_max": Decimal(10**12)}
    _, stock = await deliver_for(market, trade, "stock", dear, days=40, after=look, **rules)
    (outstanding, converted, principal), *codes = seen
    assert (outstanding, converted, codes) == (principal, 0, ["conversion_empty", "shares_owed"])
    assert 0 < principal < 25_000
    instrument = await market.state("instrument", stock)
    assert 25_000 <= instrument.principal_usd == instrument.converted_usd
    assert count(await market.state("issuer", trade.issuer), trade.fund) == instrument.principal_usd // 25_000
    await check_log(market.log)


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({"price_usd_per_share": Decimal(1_000_000)}, {}, "conversion_empty"),
        ({"class_id": "gold"}, {}, "stock_class_unknown"),
        ({"price_usd_per_share": Decimal(0)}, {}, "amount_not_positive"),
        ({"price_usd_per_share": Decimal("1e-13")}, {}, "amount_too_precise"),
        ({"service_consequence": None}, {}, "consequence_missing"),
        ({}, {"valuation_cap_usd_max": Decimal(6_299_999)}, "cap_outside_range"),
        ({}, {"valuation_cap_usd_min": Decimal(6_300_001)}, "cap_outside_range"),
    ],
)
async def test_stock_that_cannot_be_or_is_unwelcome_is_refused_when_it_is_offered(founded, changes, rules, code):
    market, trade = founded
    with pytest.raises(Refusal) as caught:
        await offer_equity(market, trade, "stock", msgspec.structs.replace(STOCK, **changes), **rules)
    assert caught.value.code == code


async def test_stock_that_is_split_between_order_and_match_buys_as_many_shares_more(founded):
    """Split 100 : 1 at an unchanged price, the order bought a hundredth of what its holder had set budget aside for."""
    market, trade = founded
    trade.order = await offer_equity(market, trade, "stock", STOCK, valuation_cap_usd_max=Decimal(6_300_000))
    await authorise(market, trade, 2_000_000_000)
    await act(market, trade.startup, SplitStock, split_id=derive_id("spl", trade.issuer), numerator=100, denominator=1)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        issued = await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = issued.issued.accept_until
        await market.until("grant", grant.issued.grant_id, "completed")
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    bought = Fraction(instrument.principal_usd) / (Fraction(PRICE) / 100) // 1
    assert count(await market.state("issuer", trade.issuer), trade.fund) == bought > 0
    await check_log(market.log)


async def lend_until_tonight(market, trade):
    """Let the fund lend by a note that is due, and becomes stock of a class that does not exist yet."""
    become = MaturityConversion(
        class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    terms = NoteTerms(
        annual_rate=Decimal("0.1"),
        interest="simple",
        day_count="thirty_360",
        matures_on=market.clock.now().date(),
        valuation_cap_usd=Decimal(9_000_000),
        at_maturity=become,
    )
    await pay_in(market, trade.fund, 2_000)
    mandate = await market.mandate(
        trade.fund, **for_cash(1_000), instrument_kinds=("convertible_note",), note_days_min=1
    )
    members = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(1_000), "terms": terms}
    context = market.context(trade.startup)
    before = msgspec.structs.replace(context, at=context.at - timedelta(days=1))
    return (await instruments.invest(market.handler, before, **members)).id


async def test_a_company_buys_none_with_its_stock_while_its_order_is_locked(founded):
    """Shares for a shell would undo the order as 900 million shares at the same price would."""
    market, trade = founded
    shell = await market.party("Shell", "startup", usd=1_000)
    shell_issuer = await market.issuer(shell)
    await found(market, shell)
    await authorise(market, trade, 2_000_000_000)
    stock = {"price_usd_per_share": Decimal(1), "buyer_issuer_id": trade.issuer, "class_id": "common"}
    context, members = market.context(shell), {"proceeds_usd": Decimal(900_000_000), "safe_seniority": 1}
    await issuers.declare_liquidity(
        market.handler, context, shell_issuer, **members, stock=BuyerStock(buyer="Startup", **stock)
    )
    await agree_all(market, context)
    liquidity = derive_id("liq", context.command_id)
    await pay_in(market, shell)
    rules = {"valuation_cap_usd_max": Decimal(1_000_000_000)}
    auction = await market.auction(locks_at=0.7, no_cancel_at=0.6)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
        order = await offer_equity(market, trade, "stock", STOCK, **rules)
        market.clock.at = market.day(0.6)
        await market.until("order", order, "locked")
        with pytest.raises(Refusal) as caught:
            await issuers.pay_distribution(
                market.handler, market.context(shell), shell_issuer, liquidity, auction_ids=(auction,)
            )
        assert caught.value.code == "market_deciding"


async def test_shares_issued_after_an_order_end_it_before_the_lock_and_are_refused_once_it_is_locked(founded):
    """With 900 million shares more at the same price, the holder would get a hundredth of the company.

    A note would do the same as it is signed. One that was signed before counts already, so it becomes stock meanwhile.
    """
    market, trade = founded
    rules = {"valuation_cap_usd_max": Decimal(1_000_000_000)}
    trade.order = await offer_equity(market, trade, "stock", STOCK, **rules)
    await authorise(market, trade, 2_000_000_000)
    issue = {"holder_id": trade.startup, "class_id": "common", "price_usd_per_share": Decimal("0.0001")}
    security_id = derive_id("sec", trade.issuer)
    await act(market, trade.startup, IssueStock, security_id=security_id, shares=900_000_000, **issue)
    auction = await market.auction(locks_at=1.1, no_cancel_at=0.9, horizon=2)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
        assert (await market.state("order", trade.order)).status == "cancelled", "it wins nothing and displaces nobody"
        note = await lend_until_tonight(market, trade)
        order = await offer_equity(market, trade, "stock", STOCK, latest=2, **rules)
        market.clock.at = market.day(0.9)
        await market.until("order", order, "locked")
        other = market.process("other")
        with pytest.raises(Refusal) as caught:
            await act_agreed(other, trade.startup, IssueStock, security_id=derive_id("sec", auction), shares=1, **issue)
        assert caught.value.code == "market_deciding"
        assert order not in str(caught.value), "holders who vote read it too"
        with pytest.raises(Refusal) as caught:
            await lend_until_tonight(other, trade)
        assert caught.value.code == "market_deciding"
        assert not (await market.state("instrument", note)).conversions
        market.clock.at = market.day(1)
        await mature_note(other.handler, other.context(trade.startup), note, strict=True)
        assert (trade.fund, "common") in (await market.state("issuer", trade.issuer)).holdings
        market.clock.at = market.day(1.1)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "matched"
    events = [event async for page in market.log.read() for event in page]
    bodies = [event.body for event in events if event.envelope.type.endswith("order.cancelled.v1")]
    assert b"at the agreed price" in bodies[-1]
    await check_log(market.log)


async def test_a_mandate_that_takes_safes_takes_no_stock(founded):
    market, trade = founded
    with pytest.raises(Refusal) as caught:
        await offer_equity(market, trade, "safe", STOCK)
    assert caught.value.code == "instrument_kind_unwelcome"


async def test_cash_buys_stock_at_once(founded):
    market, trade = founded
    await offer_equity(market, trade, "stock", STOCK, valuation_cap_usd_max=Decimal(6_311_520))
    receipt = await instruments.invest(
        market.handler,
        market.context(trade.startup),
        startup_id=trade.startup,
        mandate_id=trade.mandate,
        amount_usd=Decimal("1000.01"),
        terms=msgspec.structs.replace(STOCK, service_consequence=None),
    )
    instrument = await market.state("instrument", receipt.id)
    issuer = await market.state("issuer", trade.issuer)
    assert (instrument.outstanding_usd, count(issuer, trade.fund)) == (0, 1_428)
    await check_log(market.log)


@pytest.mark.parametrize("by", ["statement", "silence", "cash"])
async def test_neither_a_statement_nor_cash_undoes_an_order_for_shares_that_an_auction_has_locked(founded, by):
    """Its mandate takes the company at its present value. What a statement buys counts since it was agreed on."""
    market, trade = founded
    trade.order = await offer_equity(market, trade, "stock", STOCK)
    invest = {"mandate_id": trade.mandate, "amount_usd": Decimal(1_000), "startup_id": trade.startup}
    async with market.worker():
        grant = await market.award(trade)
        statement = list_periods(grant)[0].statement_id
        await market.deliver(grant, 10)
        market.clock.at = market.day(13)
        due = (await market.until("statement", statement, "issued")).issued.accept_until
        cap = find_implied_cap(await market.state("issuer", trade.issuer), STOCK)
        order, auction = await offer_at(market, trade, cap, due)
        market.clock.at = due - timedelta(hours=1)
        await market.until("order", order, "locked")

        async def grow():
            other = market.process("other")
            context = other.context(trade.startup)
            if by == "cash":
                plain = msgspec.structs.replace(STOCK, service_consequence=None)
                await instruments.invest(other.handler, context, terms=plain, **invest)
            else:
                await statements.accept_statement(other.handler, context, statement)

        if by == "silence":
            market.clock.at = due
            await market.until("statement", statement, "accepted")
        elif by == "statement":
            await grow()
        else:
            with pytest.raises(Refusal) as caught:
                await grow()
            assert caught.value.code == "market_deciding"
        market.clock.at = due + timedelta(hours=1)
        await market.until_carried_out(auction)
        assert (await market.state("order", order)).status == "matched"
        if by == "cash":
            await grow()
    await check_log(market.log)


async def offer_at(market, trade, cap, due):
    """Place an order for stock under a mandate that takes a company up to a cap, for an auction around an instant."""
    await pay_in(market, trade.fund, 40_000)
    rules = {"instrument_kinds": ("stock",), "valuation_cap_usd_max": cap}
    mandate = await market.mandate(trade.fund, budget=40_000, **rules)
    _, pool = await market.pool(trade.provider)
    await market.lot(trade.provider, pool, start=20, mandate_ids=(mandate,))
    terms = market.terms(cash="1", equity="3", days=10, earliest=22, latest=22, mandate_ids=(mandate,))
    terms = msgspec.structs.replace(terms, instrument=STOCK)
    context = market.context(trade.startup)
    order = await orders.place_order(market.handler, context, startup_id=trade.startup, terms=terms)
    days = [(due + shift - market.day(0)) / timedelta(days=1) for shift in (-timedelta(hours=1), timedelta(hours=1))]
    return order.id, await market.auction(no_cancel_at=days[0], locks_at=days[1], horizon=21)
