"""What a company and its holders agree on: sales and drag-along, pro rata rights; and a buyer's stock."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.financing import Approval
from events.issuer_holders import DragAlong, HolderTerms, StatedAgreement
from marketplace.application.access import parties
from marketplace.application.billing import accounts
from marketplace.application.equity import consents, issuers
from marketplace.application.equity.dilution import limit_dilution
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.information import limit_event
from marketplace.domain.equity.issuer import holder_terms
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock, SplitStock, TransferStock
from marketplace.domain.equity.proposal import DECIDE_WITHIN
from tests.application.equity.test_equity import act, build_round, found, pay_in
from tests.application.trading.test_resale import sell_on
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import CountedVotes, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

NOBODY = f"pty_{'0' * 26}"
PAPER = Approval(document="stockholders' agreement")


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def hold(market, startup, holder_id, shares, class_id="common"):
    """Let a party hold shares of a startup."""
    await pay_in(market, holder_id)
    await act(market, startup, AddStakeholder, holder_id=holder_id, name=holder_id[-6:], kind="investor")
    await act_agreed(
        market,
        startup,
        IssueStock,
        security_id=derive_id("sec", holder_id, class_id),
        holder_id=holder_id,
        class_id=class_id,
        shares=shares,
        price_usd_per_share=Decimal("0.01"),
    )


async def agree_on(market, trade, **terms):
    context = market.context(trade.startup)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=HolderTerms(**terms), approval=PAPER)
    await agree_all(market, context)


async def propose_sale(market, trade, **changes):
    context = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, context, trade.issuer, **{"proceeds_usd": Decimal(1_000_000), "safe_seniority": 1, **changes}
    )
    return await consents.find_proposal(market.handler, context), derive_id("liq", context.command_id)


async def vote(market, party_id, proposal_id):
    await consents.agree(market.handler, market.context(party_id), proposal_id)
    return (await market.state("proposal", proposal_id)).status


async def list_asked(market, proposal_id):
    made = (await market.state("proposal", proposal_id)).made
    return {consent.electorate: (len(consent.voters), consent.share_needed) for consent in made.consents}


async def test_the_holders_vote_on_their_terms_and_a_share_above_half_is_asked_for_a_sale(market, held):
    trade, bank, angel = held
    context = market.context(trade.startup)
    terms = HolderTerms(sale_share_needed=Decimal("0.8"))
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert await list_asked(market, proposal_id) == {"class/common": (3, None)}
    assert await vote(market, trade.fund, proposal_id) == "open"
    assert await vote(market, bank, proposal_id) == "effective"
    sale, _ = await propose_sale(market, trade)
    assert await list_asked(market, sale) == {"class/common": (3, Decimal("0.8"))}
    assert await vote(market, trade.fund, sale) == "open"
    await consents.refuse(market.handler, market.context(angel), sale, reason="0.2 can block nothing")
    assert await vote(market, bank, sale) == "effective", "1,600 of 2,000 are 0.8"
    await check_log(market.log)


async def test_a_drag_along_binds_the_class_that_refuses(market, held):
    trade, bank, angel = held
    await act_agreed(
        market,
        trade.startup,
        CreateStockClass,
        class_id="seed",
        kind="preferred",
        shares_authorised=10_000,
        price_per_share_usd=Decimal("0.01"),
        liquidation_multiple=Decimal(1),
        seniority=1,
    )
    await act_agreed(
        market,
        trade.startup,
        IssueStock,
        security_id=derive_id("sec", angel, "seed"),
        holder_id=angel,
        class_id="seed",
        shares=100,
        price_usd_per_share=Decimal("0.01"),
    )
    sale, _ = await propose_sale(market, trade)
    assert set(await list_asked(market, sale)) == {"class/common", "class/seed"}
    await consents.refuse(market.handler, market.context(angel), sale, reason="more")
    assert (await market.state("proposal", sale)).status == "refused"
    await agree_on(market, trade, drag_along=DragAlong(share_needed=Decimal("0.7")))
    sale, _ = await propose_sale(market, trade)
    assert await list_asked(market, sale) == {"holders": (3, Decimal("0.7"))}
    await consents.refuse(market.handler, market.context(angel), sale, reason="more")
    assert await vote(market, trade.fund, sale) == "open"
    assert await vote(market, bank, sale) == "effective", "1,600 of 2,100 are more than 0.7"
    await check_log(market.log)


async def test_founders_without_a_key_count_in_a_drag_along_as_the_company_states(market, held):
    trade, bank, angel = held
    founders = [derive_id("stk", trade.startup, name) for name in ("Ada", "Bo")]
    for founder, shares in zip(founders, (5_000, 3_000), strict=True):
        await act(market, trade.startup, AddStakeholder, holder_id=founder, name="Founder", kind="founder")
        issue = {"class_id": "common", "shares": shares, "price_usd_per_share": Decimal("0.01")}
        security_id = derive_id("sec", founder)
        await act_agreed(market, trade.startup, IssueStock, security_id=security_id, holder_id=founder, **issue)
    await agree_on(market, trade, drag_along=DragAlong(share_needed=Decimal("0.7")))
    sale, _ = await propose_sale(market, trade)
    assert await list_asked(market, sale) == {"class/common": (3, None)}, "2,000 of 10,000 shares drag nobody"
    stated = tuple(StatedAgreement(holder_id=founder, document="signed.pdf") for founder in founders[:1])
    sale, liquidity = await propose_sale(market, trade, agreed=stated)
    made = (await market.state("proposal", sale)).made
    assert founders[0] in str(made.effects), "the others read who agreed, by the company's statement"
    holders = next(consent for consent in made.consents if consent.electorate == "holders")
    assert {voter.party_id: voter.weight for voter in holders.voters} == {
        trade.startup: 5_000,
        trade.fund: 1_000,
        bank: 600,
        angel: 400,
    }
    assert holders.weight_absent == 3_000
    await consents.refuse(market.handler, market.context(angel), sale, reason="more")
    assert (await market.state("proposal", sale)).status == "refused", "6,600 of 10,000 are less than 0.7"
    stated = tuple(StatedAgreement(holder_id=founder, document="signed.pdf") for founder in founders)
    sale, liquidity = await propose_sale(market, trade, agreed=stated)
    assert await list_asked(market, sale) == {"holders_here": (3, None)}, "the company's word alone drags nobody"
    await consents.refuse(market.handler, market.context(angel), sale, reason="more")
    assert await vote(market, bank, sale) == "open"
    assert await vote(market, trade.fund, sale) == "effective"
    assert (await market.state("issuer", trade.issuer)).sales[liquidity].declared.agreed == stated
    await check_log(market.log)


@pytest.mark.parametrize(("holder", "code"), [("fund", "holder_votes_itself"), ("stranger", "stakeholder_unknown")])
async def test_the_company_states_no_agreement_of_a_party_or_a_stranger(market, held, holder, code):
    trade, *_ = held
    holder_id = trade.fund if holder == "fund" else derive_id("stk", trade.fund, holder)
    with pytest.raises(Refusal) as caught:
        await propose_sale(market, trade, agreed=(StatedAgreement(holder_id=holder_id, document="signed.pdf"),))
    assert caught.value.code == code


async def test_directors_agree_by_majority_besides_the_holders(market, held):
    trade, bank, angel = held
    director = await market.party("Director", "fund")
    await agree_on(market, trade, directors=(director, bank, angel))
    sale, _ = await propose_sale(market, trade)
    assert await list_asked(market, sale) == {"directors": (3, None), "class/common": (3, None)}
    assert await vote(market, trade.fund, sale) == "open"
    assert await vote(market, director, sale) == "open"
    assert await vote(market, bank, sale) == "effective"
    context = market.context(trade.startup)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=HolderTerms(), approval=PAPER)
    struck = await consents.find_proposal(market.handler, context)
    assert set(await list_asked(market, struck)) == {"directors", "class/common"}, "holders alone strike no director"


async def open_round(market, trade, investor=None):
    context = market.context(trade.startup)
    terms = build_round(investor or trade.fund)
    await issuers.open_financing(market.handler, context, trade.issuer, name="Series A", terms=terms)
    return derive_id("fin", context.command_id)


async def take(market, trade, financing, holder_id, amount_usd):
    await issuers.answer_pro_rata(
        market.handler, market.context(holder_id), trade.issuer, financing, amount_usd=Decimal(amount_usd)
    )


async def price(market, trade, financing):
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)


async def test_a_company_takes_no_part_of_its_own_round_by_right(market, held):
    """It paid itself, and a sale then paid the company for shares that had cost it nothing."""
    trade, bank, _ = held
    await agree_on(market, trade, pro_rata=(trade.startup, bank))
    lead = await market.party("Lead", "fund")
    financing = await open_round(market, trade, lead)
    offers = (await market.state("issuer", trade.issuer)).find_open_financing().opened.pro_rata
    assert {trade.startup, bank}.intersection(each.holder_id for each in offers) == {bank}
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, trade.startup, "300")
    assert caught.value.code == "pro_rata_unknown"


async def test_a_holder_joins_a_round_by_its_right_and_pays_as_it_closes(market, held):
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata=(bank, angel), pro_rata_days=7, pro_rata_waived=(trade.fund,))
    lead = await market.party("Lead", "fund")
    await pay_in(market, lead)
    financing = await open_round(market, trade, lead)
    opened = (await market.state("issuer", trade.issuer)).financings[financing].opened
    offers = {offer.holder_id: offer.amount_max_usd for offer in opened.pro_rata}
    assert set(offers) == {bank, angel}
    assert opened.pro_rata_until == market.clock.now() + timedelta(days=7)
    with pytest.raises(Refusal) as caught:
        await price(market, trade, financing)
    assert caught.value.code == "pro_rata_open"
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, bank, offers[bank] + Decimal("0.01"))
    assert caught.value.code == "amount_above_pro_rata"
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, trade.fund, "1")
    assert caught.value.code == "pro_rata_unknown"
    before = await market.account(bank)
    await parties.suspend_party(market.handler, market.context(), bank, reason="fraud report")
    answer = {"financing_id": financing, "amount_usd": offers[bank]}
    for sender, holder, code in ((bank, None, "party_suspended"), (angel, bank, "party_unknown")):
        with pytest.raises(Refusal) as caught:
            await issuers.answer_pro_rata(
                market.handler, market.context(sender), trade.issuer, **answer, holder_id=holder
            )
        assert caught.value.code == code
    await issuers.answer_pro_rata(market.handler, market.context(), trade.issuer, **answer, holder_id=bank)
    await parties.clear_party(market.handler, market.context(), bank, checks=("court order",))
    assert (await market.account(bank)).available_usd == before.available_usd - offers[bank]
    await take(market, trade, financing, angel, "0")
    await price(market, trade, financing)
    closing = market.context(trade.startup)
    company = (await market.account(trade.startup)).available_usd
    await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, closing)
    assert f"holder/{bank}" not in await list_asked(market, proposal_id), "it has signed by its answer"
    await agree_all(market, closing)
    issuer = await market.state("issuer", trade.issuer)
    terms = issuer.financings[financing].terms
    assert {each.holder_id: each.amount_usd for each in terms.investments}[bank] == offers[bank]
    assert issuer.holdings[bank, "series-a"] > 0
    raised = sum(each.amount_usd for each in terms.investments)
    assert (await market.account(trade.startup)).available_usd == company + raised
    await check_log(market.log)


async def test_silence_declines_and_an_abandoned_round_releases_the_money(market, held):
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata=(bank, angel))
    financing = await open_round(market, trade)
    before = await market.account(bank)
    await take(market, trade, financing, bank, "1")
    market.clock.at += timedelta(days=10)
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, angel, "1")
    assert caught.value.code == "pro_rata_closed"
    await price(market, trade, financing)
    pricing = (await market.state("issuer", trade.issuer)).financings[financing].pricing
    assert [each.holder_id for each in pricing.allotments] == [trade.fund], "a dollar buys no share and stops nobody"
    more = {"amount_usd": Decimal(1_000), "reference": "more of the fund's"}
    await accounts.deposit(market.handler, market.context(), rename_id("acc", trade.fund), **more)
    closing = market.context(trade.startup)
    await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, closing)
    assert await vote(market, bank, proposal_id) == "open", "it is no majority of its class"
    market.clock.at += DECIDE_WITHIN + timedelta(seconds=1)
    await consents.lapse(market.handler, market.context(), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "lapsed"
    issuer = await market.state("issuer", trade.issuer)
    assert issuer.financings[financing].status == "open", "a silent holder closes no round and ends none"
    assert (await market.account(bank)).available_usd == before.available_usd - 1
    await issuers.abandon_financing(
        market.handler, market.context(trade.startup), trade.issuer, financing, reason="no lead"
    )
    assert (await market.account(bank)).available_usd == before.available_usd
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, angel, "1")
    assert caught.value.code == "financing_abandoned"


async def test_a_pro_rata_right_is_lost_only_with_its_holders_agreement(market, held):
    trade, bank, _ = held
    await agree_on(market, trade, pro_rata=(bank,))
    context = market.context(trade.startup)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=HolderTerms(), approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert f"holder/{bank}" in await list_asked(market, proposal_id)


async def test_who_sold_all_answers_what_it_was_offered_and_its_right_is_asked_about_no_more(market, held):
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata=(bank, angel))
    issue = {"class_id": "common", "shares": 10, "price_usd_per_share": Decimal("0.01"), "holder_id": angel}
    asked = await propose_issue(market, trade, "before", **issue)
    assert f"holder/{bank}" in asked
    lead = await market.party("Lead", "fund")
    await pay_in(market, lead)
    financing = await open_round(market, trade, lead)
    held_shares = (await market.state("issuer", trade.issuer)).holdings[bank, "common"]
    gift = {"transfer_id": derive_id("trf", bank), "holder_id": bank, "holder_id_after": angel, "class_id": "common"}
    await act_agreed(market, trade.startup, TransferStock, **gift, shares=held_shares, at=market.clock.now())
    await take(market, trade, financing, bank, "0")
    with pytest.raises(Refusal) as caught:
        await take(market, trade, financing, NOBODY, "0")
    assert caught.value.code == "issuer_unknown"
    asked = await propose_issue(market, trade, "after", **issue)
    assert f"holder/{bank}" not in asked
    assert f"holder/{angel}" in asked
    context = market.context(trade.startup)
    terms = HolderTerms(pro_rata=(angel,))
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert f"holder/{bank}" not in await list_asked(market, proposal_id)


async def propose_issue(market, trade, name, **members):
    context = market.context(trade.startup)
    command = IssueStock(issuer_id=trade.issuer, security_id=derive_id("sec", trade.fund, name), **members)
    await issuers.act(market.handler, context, command)
    return await list_asked(market, await consents.find_proposal(market.handler, context))


async def build_buyer(market):
    """Return a startup with stock of its own, and a fund that holds some of it."""
    buyer, owner = await market.party("Buyer", "startup"), await market.party("Owner", "fund")
    await market.issuer(buyer)
    await found(market, buyer)
    await hold(market, buyer, owner, 1_000)
    return buyer, owner


async def test_a_seller_does_not_find_out_a_buyers_classes_and_a_wrong_one_ends_the_sale(market, held):
    """It was answered 404 for a class that the buyer does not have, and 202 for one that it has."""
    trade, bank, _ = held
    buyer, owner = await build_buyer(market)
    offer = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": rename_id("iss", buyer), "class_id": "gold"}
    stock = BuyerStock(buyer="Buyer", **offer)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10_000), stock=stock)
    for party_id in (trade.fund, bank, buyer):
        assert await vote(market, party_id, sale) == "open"
    assert await vote(market, owner, sale) == "void"
    await hold(market, buyer, trade.startup, 1)
    with pytest.raises(Refusal) as caught:
        await propose_sale(market, trade, proceeds_usd=Decimal(10_000), stock=stock)
    assert caught.value.code == "stock_class_unknown", "a holder sees the classes"
    await check_log(market.log)


async def test_the_stock_of_a_buyer_that_is_here_lands_in_its_cap_table(market, held):
    trade, bank, _ = held
    buyer, owner = await build_buyer(market)
    stock = BuyerStock(
        buyer="Buyer", price_usd_per_share=Decimal("0.01"), buyer_issuer_id=rename_id("iss", buyer), class_id="common"
    )
    sale, liquidity = await propose_sale(market, trade, proceeds_usd=Decimal(10_000), stock=stock)
    assert {"buyer", "buyer_class/common"} <= set(await list_asked(market, sale))
    for party_id in (trade.fund, bank, buyer):
        assert await vote(market, party_id, sale) == "open"
    assert await vote(market, owner, sale) == "effective"
    await pay_in(market, trade.startup)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, liquidity)
    payouts = (await market.state("issuer", trade.issuer)).sales[liquidity].declared.waterfall.payouts
    due = sum(payout.buyer_shares for payout in payouts if payout.holder_id == bank)
    assert (await market.state("issuer", rename_id("iss", buyer))).holdings[bank, "common"] == due > 0
    await check_log(market.log)


@pytest.mark.parametrize("usd", [100_000, 1_000])
async def test_a_buyer_that_assumes_grants_goes_on_with_them_in_cash(market, usd):
    trade = await market.trade()
    await found(market, trade.startup)
    async with market.worker():
        grant = await market.award(trade)
    buyer, _ = await build_buyer(market)
    await accounts.deposit(
        market.handler, market.context(), rename_id("acc", buyer), amount_usd=Decimal(usd), reference="for compute"
    )
    issuer_id = rename_id("iss", buyer)
    stock = BuyerStock(buyer="Buyer", price_usd_per_share=Decimal("0.01"))
    members = {"proceeds_usd": Decimal(10_000), "assumed_by": issuer_id}
    with pytest.raises(Refusal) as caught:
        await propose_sale(market, trade, **members, stock=stock)
    assert caught.value.code == "buyer_differs"
    stock = structs.replace(stock, buyer_issuer_id=issuer_id, class_id="common")
    sale, liquidity = await propose_sale(market, trade, **members, stock=stock)
    for party_id in sorted((await market.state("proposal", sale)).voters - {trade.startup}):
        await vote(market, party_id, sale)
    await pay_in(market, trade.startup)
    before = await market.account(trade.startup)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, liquidity)
    async with market.worker():
        ended = await market.until("grant", grant.issued.grant_id, "terminated")
    successor = await market.state("grant", derive_id("grt", grant.issued.grant_id, "assumed"))
    assert ended.end == grant.issued.start, "it had not begun"
    account = await market.account(buyer)
    if usd < 100_000:
        assert (successor, account.held_usd, ended.issued.equity is None) == (None, 0, False)
        return
    issued = successor.issued
    assert (issued.startup_id, issued.equity, issued.end) == (buyer, None, grant.end)
    assert issued.price_usd_per_gpu_hour == grant.issued.price_usd_per_gpu_hour
    assert account.held_usd == issued.cash_commitment_usd > grant.issued.cash_commitment_usd
    assert (await market.account(trade.startup)).held_usd < before.held_usd
    await market.deliver(successor, 10)
    await check_log(market.log)


async def test_a_buyer_that_pays_cash_agrees_to_take_over_what_was_not_resold_and_nothing_that_came_later(market):
    """All capacity ended where a buyer paid for the company in cash, and where any of it had been resold."""
    async with market.worker():
        resold = await sell_on(market)
        trade, source = resold.trade, resold.source
        buyer = await market.party("Taker", "startup", usd=100_000)
        issuer_id = rename_id("iss", buyer)
        await market.issuer(buyer)
        await act(market, trade.startup, CreateStockClass, class_id="common", kind="common", shares_authorised=9_000)
        await hold(market, trade.startup, trade.fund, 9_000)
        sale, liquidity = await propose_sale(market, trade, proceeds_usd=Decimal(10_000), assumed_by=issuer_id)
        proposal = await market.state("proposal", sale)
        assert {"buyer": (1, None)}.items() <= (await list_asked(market, sale)).items()
        (declared,) = consents.parse_effects(proposal.made)
        (promised,) = declared.assumed.grants
        assert promised.grant_id == source.issued.grant_id
        hidden = limit_event(declared, trade.fund, "own")
        assert (hidden.assumed.grants, limit_event(declared, buyer, "own").assumed) == ((), declared.assumed)
        for party_id in sorted(proposal.voters):
            await vote(market, party_id, sale)
        await pay_in(market, trade.startup)
        await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, liquidity)
        ended = await market.until("grant", source.issued.grant_id, "terminated")
    issued = (await market.state("grant", derive_id("grt", source.issued.grant_id, "assumed"))).issued
    assert (issued.nodes, issued.startup_id, issued.start, issued.end) == (3, buyer, ended.end, source.end)
    assert 0 < (await market.account(buyer)).held_usd == issued.cash_commitment_usd <= promised.cash_usd_max
    bought = await market.state("grant", resold.bought.issued.grant_id)
    assert (bought.status, bought.end) == (resold.bought.status, resold.bought.end)
    await check_log(market.log)


async def test_a_buyer_that_splits_before_it_pays_pays_by_a_new_declaration(market, held):
    trade, bank, _ = held
    buyer, owner = await build_buyer(market)
    stock = BuyerStock(
        buyer="Buyer", price_usd_per_share=Decimal("0.01"), buyer_issuer_id=rename_id("iss", buyer), class_id="common"
    )
    sale, liquidity = await propose_sale(market, trade, proceeds_usd=Decimal(10_000), stock=stock)
    for party_id in (trade.fund, bank, buyer, owner):
        await vote(market, party_id, sale)
    await act(market, buyer, SplitStock, split_id=derive_id("spl", buyer), numerator=10, denominator=1)
    await pay_in(market, trade.startup)
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, liquidity)
    assert caught.value.code == "buyer_split"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"buyer_issuer_id": NOBODY.replace("pty", "iss"), "class_id": "common"}, "issuer_unknown"),
        ({"buyer_issuer_id": None}, "class_missing"),
    ],
)
async def test_a_buyer_that_is_here_is_named_with_its_class(market, held, changes, code):
    trade, _, _ = held
    buyer, _ = await build_buyer(market)
    named = {"buyer_issuer_id": changes["buyer_issuer_id"] or rename_id("iss", buyer)}
    stock = BuyerStock(buyer="B", price_usd_per_share=Decimal(1), **{**changes, **named})
    with pytest.raises(Refusal) as caught:
        await propose_sale(market, trade, stock=stock)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"sale_share_needed": Decimal("0.5")}, "share_not_majority"),
        ({"drag_along": DragAlong(share_needed=Decimal("1.1"))}, "share_not_majority"),
        ({"drag_along": DragAlong(share_needed=Decimal("0.9"), classes=("gold",))}, "stock_class_unknown"),
        ({"directors": (NOBODY, NOBODY)}, "party_repeated"),
        ({"directors": (NOBODY.replace("pty", "stk"),)}, "party_unknown"),
        ({"directors": (NOBODY,)}, "party_unknown"),
        ({"pro_rata": (NOBODY,)}, "stakeholder_unknown"),
    ],
)
async def test_terms_that_cannot_be_are_refused(market, held, terms, code):
    trade, _, _ = held
    with pytest.raises(Refusal) as caught:
        await agree_on(market, trade, **terms)
    assert caught.value.code == code


async def test_a_party_makes_a_limited_number_of_proposals_in_a_time(market, held, monkeypatch):
    """A clerk's void proposals kept a company from selling itself and from closing its round for 14 days."""
    trade, _, _ = held
    monkeypatch.setattr(holder_terms, "PROPOSALS_MAX", 5)
    made = len((await market.state("issuer", trade.issuer)).proposals)
    terms = HolderTerms(sale_share_needed=Decimal("0.8"))

    async def propose_terms():
        context = market.context(trade.startup)
        await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)

    for attempt, times in ((propose_terms, 5 - made), (lambda: propose_sale(market, trade), 5)):
        for _ in range(times):
            await attempt()
        with pytest.raises(Refusal) as caught:
            await attempt()
        assert caught.value.code == "proposals_too_many"
    gift = {
        "transfer_id": derive_id("trf", trade.fund),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": 1,
        "at": market.clock.now(),
    }
    await issuers.act(market.handler, market.context(trade.fund), TransferStock(issuer_id=trade.issuer, **gift))
    market.clock.at += timedelta(days=14)
    await propose_sale(market, trade)
    await check_log(market.log)


@pytest.mark.parametrize(("most", "asked"), [("0.3", True), (None, True), ("0.1", False)])
async def test_the_holders_vote_on_more_dilution_than_the_limit_allows(market, held, most, asked):
    trade, bank, _ = held
    dilution_max = None if most is None else Decimal(most)
    first = market.context(trade.startup)
    await limit_dilution(
        market.handler, first, trade.issuer, dilution_max=Decimal("0.2"), valuation_usd=Decimal(10_000_000)
    )
    await agree_all(market, first)
    context = market.context(trade.startup)
    valued = Decimal(10_000_000)
    await limit_dilution(market.handler, context, trade.issuer, dilution_max=dilution_max, valuation_usd=valued)
    before = (await market.state("issuer", trade.issuer)).limit
    assert before.dilution_max == (Decimal("0.2") if asked else dilution_max)
    if asked:
        proposal_id = await consents.find_proposal(market.handler, context)
        await vote(market, trade.fund, proposal_id)
        assert await vote(market, bank, proposal_id) == "effective"
        after = (await market.state("issuer", trade.issuer)).limit
        assert (None if after is None else after.dilution_max) == dilution_max


async def propose_terms(market, trade, **terms):
    """Propose holder terms; return the proposal, or None if they took effect at once, and who is asked."""
    context = market.context(trade.startup)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=HolderTerms(**terms), approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    return proposal_id, set() if proposal_id is None else set(await list_asked(market, proposal_id))


async def test_who_would_see_less_agrees_itself(market, held):
    """A majority let a small holder see its own rows alone, before it sold the company."""
    trade, bank, angel = held
    proposal_id, asked = await propose_terms(market, trade, depth="own")
    assert asked == {"class/common", *(f"holder/{each}" for each in (trade.fund, bank, angel))}
    for party_id in (trade.fund, bank):
        assert await vote(market, party_id, proposal_id) == "open"
    assert await vote(market, angel, proposal_id) == "effective"
    deeper, asked = await propose_terms(market, trade, depth="summary", depths={"common": "full"})
    assert asked == {"class/common"}, "who sees more is not asked"
    assert await vote(market, trade.fund, deeper) == "open"
    assert await vote(market, bank, deeper) == "effective"
    _, asked = await propose_terms(market, trade, depth="summary")
    assert asked == {"class/common", *(f"holder/{each}" for each in (trade.fund, bank, angel))}
    await check_log(market.log)
    assert await find_faults(CountedVotes, market.log) == []

    def is_of_angel(message):
        return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == angel

    assert any(angel in text for _, _, text in await find_faults(CountedVotes, market.log, drop=is_of_angel))


async def test_terms_of_before_show_a_later_holder_no_less_than_without_terms(market, held):
    """What a fund that joined could see had been reduced before by a company and its friend."""
    trade, bank, _ = held
    await agree_on(market, trade, depth="own")
    late = await market.party("Late", "fund", usd=9_000)
    await hold(market, trade.startup, late, 100)
    issuer = await market.state("issuer", trade.issuer)
    assert (bank in issuer.bound, late in issuer.bound) == (True, False)
    _, asked = await propose_terms(market, trade, depth="own", pro_rata_days=11)
    assert f"holder/{late}" in asked
    assert f"holder/{bank}" not in asked, "it agreed to that before"


async def test_directors_that_a_company_named_alone_decide_nothing_for_later_holders(market):
    """A stranger whom a company had named before anybody held something could veto every sale and every other terms."""
    trade = await market.trade()
    await found(market, trade.startup)
    stranger = await market.party("Stranger", "fund")
    proposal_id, asked = await propose_terms(market, trade, directors=(stranger,))
    assert asked == {f"holder/{stranger}"}
    assert await vote(market, stranger, proposal_id) == "effective"
    await hold(market, trade.startup, trade.fund, 400)
    sale, _ = await propose_sale(market, trade)
    assert set(await list_asked(market, sale)) == {"class/common"}
    proposal_id, asked = await propose_terms(market, trade)
    assert asked == {"class/common"}
    assert await vote(market, trade.fund, proposal_id) == "effective"
    await check_log(market.log)
    assert await find_faults(CountedVotes, market.log) == []


async def test_a_director_agrees_to_be_one_and_is_not_asked_again(market, held):
    """A party was named that never agreed, and its silence then held up every sale."""
    trade, bank, angel = held
    director = await market.party("Director", "fund")
    proposal_id, asked = await propose_terms(market, trade, directors=(director,))
    assert asked == {"class/common", f"holder/{director}"}
    for party_id in (trade.fund, bank, angel):
        assert await vote(market, party_id, proposal_id) == "open"
    assert await vote(market, director, proposal_id) == "effective"
    _, asked = await propose_terms(market, trade, directors=(director, angel))
    assert asked == {"directors", "class/common", f"holder/{angel}"}
    await check_log(market.log)
    assert await find_faults(CountedVotes, market.log) == []


async def test_directors_stay_while_those_who_agreed_to_them_decide(market, held):
    """Who joins with the majority of a group is not bound by directors whom others named, but they still see a sale."""
    trade, bank, _ = held
    await agree_on(market, trade, directors=(bank,))
    late = await market.party("Late", "fund", usd=9_000)
    await hold(market, trade.startup, late, 100)
    _, asked = await propose_terms(market, trade)
    assert "directors" in asked, "100 of 2,100 shares are no majority"
    await hold(market, trade.startup, await market.party("Later", "fund", usd=9_000), 9_000)
    _, asked = await propose_terms(market, trade)
    assert "directors" not in asked
    sale, _ = await propose_sale(market, trade)
    assert "directors" in await list_asked(market, sale)
    await check_log(market.log)
