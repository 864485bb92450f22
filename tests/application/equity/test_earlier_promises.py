"""What a company set before a holder came permits nothing beside it, and drags nobody who did not agree."""

from decimal import Decimal

import pytest
from msgspec import structs

from events.financing import Approval
from events.issuer_holders import DragAlong, HolderTerms, StatedAgreement
from events.types import SafeTerms, StockTerms
from marketplace.application.equity import consents, instruments, issuers
from marketplace.application.equity.dilution import limit_dilution
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock
from tests.application.equity.test_equity import act, found
from tests.application.equity.test_holder_terms import hold, list_asked, propose_sale, vote
from tests.application.equity.test_note_orders import offer_equity
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, for_cash

CHEAP = StockTerms(class_id="common", price_usd_per_share=Decimal("0.01"), service_consequence="credit")
STOCK = StockTerms(class_id="common", price_usd_per_share=Decimal("0.9"))
SAFE = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(90_000), service_consequence="credit")


@pytest.fixture
async def founded(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    return market, trade


async def set_limit(market, trade, *, agreed=True):
    context = market.context(trade.startup)
    limit = {"dilution_max": Decimal("0.99"), "valuation_usd": Decimal(10_000_000)}
    await limit_dilution(market.handler, context, trade.issuer, **limit)
    if agreed:
        await agree_all(market, context)


async def agree_on(market, trade, *, agreed=True, **terms):
    context, paper = market.context(trade.startup), Approval(document="stockholders' agreement")
    terms = HolderTerms(**terms)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=paper)
    if agreed:
        await agree_all(market, context)


async def draw(market, trade, terms=STOCK, usd=900_000):
    """Let a fund that is new pay the company by its mandate; return the fund."""
    fund = await market.party("Newcomer", "fund", usd=2_000_000)
    rules = {**for_cash(usd), "valuation_cap_usd_min": Decimal(1_000_000), "valuation_cap_usd_max": Decimal(12_000_000)}
    mandate = await market.mandate(fund, instrument_kinds=("stock", "safe"), **rules)
    context = market.context(trade.startup)
    members = {"mandate_id": mandate, "amount_usd": Decimal(usd), "terms": terms}
    await instruments.invest(market.handler, context, startup_id=trade.startup, **members)
    if await consents.find_proposal(market.handler, context) is not None:
        await agree_all(market, context)
    return fund


async def refuse(code, asked):
    with pytest.raises(Refusal) as caught:
        await asked
    assert caught.value.code == code, caught.value.message
    return caught.value


@pytest.mark.parametrize(("kind", "terms"), [("stock", CHEAP), ("safe", SAFE)])
async def test_a_limit_that_the_company_set_alone_permits_nothing_beside_a_later_holder(founded, kind, terms):
    """The fund's 720,000 shares of 10 M became 720,000 of 777 M for compute of 1,536 USD, within "the limit"."""
    market, trade = founded
    await set_limit(market, trade, agreed=False)
    fund = await draw(market, trade)
    code = "dilution_unagreed" if kind == "stock" else "cap_below_holders"
    refusal = await refuse(code, offer_equity(market, trade, kind, terms))
    assert refusal.facts["holders"] == [fund]
    await set_limit(market, trade)
    assert await offer_equity(market, trade, kind, terms), "the fund has agreed now"
    await check_log(market.log)


async def test_a_limit_that_an_earlier_holder_agreed_to_permits_nothing_beside_a_later_one(founded):
    market, trade = founded
    friend = await market.party("Friend", "fund")
    await hold(market, trade.startup, friend, 8_000)
    await set_limit(market, trade)
    assert (await market.state("issuer", trade.issuer)).limited == {friend}
    await set_limit(market, trade, agreed=False)
    fund = await draw(market, trade)
    refusal = await refuse("dilution_unagreed", offer_equity(market, trade, "stock", CHEAP))
    assert refusal.facts["holders"] == [fund]


async def test_whoever_has_most_of_a_group_does_not_decide_a_limit_alone(founded):
    """Its principal of 960,000 for two days of a node was the majority of the SAFEs, and let the limit be 0.999."""
    market, trade = founded
    most = await draw(market, trade)
    least = await draw(market, trade, usd=700_000)
    context = market.context(trade.startup)
    limit = {"dilution_max": Decimal("0.999"), "valuation_usd": None}
    await limit_dilution(market.handler, context, trade.issuer, **limit)
    proposal = await consents.find_proposal(market.handler, context)
    assert set(await list_asked(market, proposal)) == {"class/common", "disinterested_class/common"}
    assert await vote(market, most, proposal) == "open"
    assert await vote(market, least, proposal) == "effective"


@pytest.mark.parametrize("again", [False, True])
async def test_a_drag_along_of_before_takes_no_class_from_who_came_since(founded, again):
    """The fund's 900,000 of preferred were sold for 10 USD by the founders and a friend with 800,000 cheap shares."""
    market, trade = founded
    friend, founder = await market.party("Friend", "fund"), derive_id("stk", trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=founder, name="Founder", kind="founder")
    issue = {"security_id": derive_id("sec", founder), "class_id": "common", "shares": 900_000}
    await act(market, trade.startup, IssueStock, **issue, holder_id=founder, price_usd_per_share=Decimal("0.0001"))
    await hold(market, trade.startup, friend, 800_000)
    preferred = {"price_per_share_usd": Decimal("0.9"), "liquidation_multiple": Decimal(1), "seniority": 1}
    seed = {"class_id": "seed", "kind": "preferred", "shares_authorised": 1_000_000, **preferred}
    await act_agreed(market, trade.startup, CreateStockClass, **seed)
    drag = {"drag_along": DragAlong(share_needed=Decimal("0.51"))}
    await agree_on(market, trade, **drag)
    await draw(market, trade, structs.replace(STOCK, class_id="seed", price_usd_per_share=Decimal("0.9")))
    if again:
        await agree_on(market, trade, **drag)
    stated = (StatedAgreement(holder_id=founder, document="signed.pdf"),)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10), agreed=stated)
    assert ("class/seed" in await list_asked(market, sale)) is not again
    assert "class/common" not in await list_asked(market, sale), "those who agreed are bound"
    await check_log(market.log)


@pytest.mark.parametrize("later", [{"discount": Decimal("0.99")}, {"valuation_cap_usd": Decimal(100_000)}])
async def test_a_range_counts_what_a_most_favoured_safe_may_still_elect(founded, later):
    """It elected the terms of a SAFE of 1 USD after the fund had paid 900,000, and got all of a sale."""
    market, trade = founded
    friend = await market.party("Friend", "fund", usd=200_000)
    mandate = await market.mandate(friend, instrument_kinds=("safe",), uncapped=True, **for_cash(200_000))
    favoured = SafeTerms(conversion_timing="pre_money", most_favoured_nation=True)
    signed = []
    for usd, terms in ((90_000, favoured), (1, SafeTerms(conversion_timing="pre_money", **later))):
        context = market.context(trade.startup)
        members = {"mandate_id": mandate, "amount_usd": Decimal(usd), "terms": terms}
        receipt = await instruments.invest(market.handler, context, startup_id=trade.startup, **members)
        signed.append(receipt.id)
    await refuse("cap_outside_range", draw(market, trade))
    declined = {"later_instrument_id": None}
    clerk = structs.replace(market.context(friend), agrees=False)
    await refuse("scope_missing", instruments.elect_mfn(market.handler, clerk, signed[0], **declined))
    await instruments.elect_mfn(market.handler, market.context(friend), signed[0], **declined)
    await draw(market, trade)
    await check_log(market.log)


async def test_a_company_whose_sale_is_declared_draws_on_no_mandate_and_offers_no_equity(founded):
    """It had the fund's 900,000 for 59 days without interest, and paid them back beside a sale of 100 M."""
    market, trade = founded
    placed = await offer_equity(market, trade, "stock", structs.replace(CHEAP, price_usd_per_share=Decimal("0.9")))
    context = market.context(trade.startup)
    proceeds = {"proceeds_usd": Decimal(100_000_000), "safe_seniority": 1}
    await issuers.declare_liquidity(market.handler, context, trade.issuer, **proceeds)
    await refuse("sale_declared", draw(market, trade))
    await refuse("sale_declared", offer_equity(market, trade, "safe", SAFE))
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", placed)).status == "cancelled"


async def offer_in_auction(market, trade):
    """Return an auction that binds its orders at noon and locks soon after, and an open order that offers a SAFE."""
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    auction = await market.auction(locks_at=0.7, no_cancel_at=0.6)
    safe = structs.replace(SAFE, valuation_cap_usd=Decimal(12_000_000))
    return auction, await offer_equity(market, trade, "safe", safe)


@pytest.mark.parametrize("bound", ["recorded", "about to be"])
async def test_no_sale_is_declared_while_an_auction_has_bound_an_order_that_pays_in_equity(founded, bound):
    """A startup that had bid too much declared a sale, without anybody's agreement, and its bound order was let go."""
    market, trade = founded
    auction, order = await offer_in_auction(market, trade)
    other = market.process("other")

    def declare():
        context, sale = other.context(trade.startup), {"proceeds_usd": Decimal(1_000_000), "safe_seniority": 1}
        return issuers.declare_liquidity(other.handler, context, trade.issuer, **sale, auction_ids=(auction,))

    market.clock.at = market.day(0.6)
    if bound == "about to be":
        await refuse("market_deciding", declare())
    async with market.worker():
        await market.until("order", order, "locked")
        refusal = await refuse("market_deciding", declare())
        assert order not in str(refusal), "holders who vote read it too"
        market.clock.at = market.day(0.7)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "matched"
    assert await declare()
    await check_log(market.log)


async def test_the_last_agreement_to_a_sale_waits_for_the_auction_that_has_bound_such_an_order(founded):
    market, trade = founded
    friend = await market.party("Friend", "fund")
    await hold(market, trade.startup, friend, 8_000)
    await set_limit(market, trade)
    auction, order = await offer_in_auction(market, trade)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(1_000_000), safe_seniority=1)
    market.clock.at = market.day(0.6)
    async with market.worker():
        await market.until("order", order, "locked")
        await refuse("market_deciding", vote(market, friend, sale))
        assert (await market.state("proposal", sale)).status == "open"
        market.clock.at = market.day(0.7)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "matched"
    await check_log(market.log)
