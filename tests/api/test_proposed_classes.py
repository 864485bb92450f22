"""A proposal shows the terms of each class of stock that it names, and what its reader may do with it."""

from contextlib import AsyncExitStack
from decimal import Decimal

from marketplace.api.http.bodies.equity import BuyerStockBody
from tests.api.test_information_rights import buy, join
from tests.api.test_note_walk import begin, form_company

GOLD = {
    "class_id": "gold",
    "kind": "preferred",
    "shares_authorised": 100_000,
    "price_per_share_usd": Decimal("1.25"),
    "liquidation_multiple": Decimal(1_000),
    "seniority": 5,
    "participation": "full",
}


async def test_a_proposal_shows_what_shares_of_a_dear_class_would_get_first(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, startup = parties.issuer_id, parties.startup
        friend_id, friend = await join(parties, stack)
        await buy(parties, parties.fund_id, 1_000_000, parties.fund)
        creates = await startup.issuers.create_stock_class(issuer, **GOLD)
        (created,) = (await startup.proposals.get(creates.id)).classes
        assert (created.class_id, created.preference_usd, created.shares_outstanding) == ("gold", 1_250, 0)
        await parties.fund.proposals.agree(creates.id)

        await startup.issuers.add_stakeholder(issuer, name="F", kind="investor", holder_id=friend_id)
        issues = await startup.stock.issue(
            issuer, holder_id=friend_id, class_id="gold", shares=7_200, price_usd_per_share=Decimal("1.25")
        )
        parties.fund.last_sequence = friend.last_sequence = startup.last_sequence
        for voter in (parties.fund, friend):
            (gold,) = (await voter.proposals.get(issues.id)).classes
            assert (gold.price_per_share_usd, gold.liquidation_multiple, gold.preference_usd) == (1.25, 1_000, 1_250)
            assert (gold.seniority, gold.participation, gold.conversion_price_usd) == (5, "full", 1.25)
            assert (await voter.proposals.get_changes(issues.id)).preference_added_usd == 9_000_000
        assert gold.shares_outstanding is None, "a voter that holds nothing reads terms alone"


async def test_a_sale_for_stock_shows_the_class_that_the_buyer_pays_with(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        shell_id, shell = await join(parties, stack, "startup")
        shell_issuer = await form_company(shell, shell_id)
        await parties.startup.issuers.create_stock_class(parties.issuer_id, **GOLD)
        stock = BuyerStockBody(
            buyer="Acme", price_usd_per_share=Decimal(1), buyer_issuer_id=parties.issuer_id, class_id="gold"
        )
        proposed = (await shell.financings.declare_liquidity(shell_issuer, proceeds_usd=Decimal(9_000), stock=stock)).id
        (gold,) = (await shell.proposals.get(proposed)).classes
        assert (gold.issuer_id, gold.preference_usd) == (parties.issuer_id, 1_250)
        assert gold.shares_outstanding is None, "of the buyer, nothing but terms"


async def test_who_ended_an_issue_by_a_refusal_may_take_it_back(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, startup, fund = parties.issuer_id, parties.startup, parties.fund
        friend_id, friend = await join(parties, stack)
        await buy(parties, parties.fund_id, 1_000_000, fund)
        await startup.issuers.add_stakeholder(issuer, name="F", kind="investor", holder_id=friend_id)
        cheap = {"holder_id": friend_id, "class_id": "common", "shares": 9, "price_usd_per_share": Decimal("0.001")}
        proposed = (await startup.stock.issue(issuer, **cheap)).id
        await fund.proposals.refuse(proposed, reason="offer it to all")
        for _ in range(2):
            shown = await fund.proposals.get(proposed)
            assert (shown.status, shown.may) == ("refused", ("agree",))
            await fund.proposals.agree(proposed)
        friend.last_sequence = fund.last_sequence
        assert (await friend.proposals.get(proposed)).may == ()
        startup.last_sequence = fund.last_sequence
        again = (await startup.stock.issue(issuer, **cheap)).id
        assert "pro_rata" in {each.electorate for each in (await startup.proposals.get(again)).consents}


async def test_an_investor_of_a_buyer_may_take_back_the_refusal_that_ended_a_purchase_for_stock(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        startup, fund = parties.startup, parties.fund
        shell_id, shell = await join(parties, stack, "startup")
        shell_issuer = await form_company(shell, shell_id)
        await buy(parties, parties.fund_id, 1_000_000, fund)
        stock = BuyerStockBody(
            buyer="Acme", price_usd_per_share=Decimal(1), buyer_issuer_id=parties.issuer_id, class_id="common"
        )
        sale = {"proceeds_usd": Decimal(9_000), "stock": stock}
        proposed = (await shell.financings.declare_liquidity(shell_issuer, **sale)).id
        startup.last_sequence = shell.last_sequence
        assert "buyer_pro_rata" in {each.electorate for each in (await startup.proposals.get(proposed)).consents}
        await startup.proposals.agree(proposed)
        fund.last_sequence = startup.last_sequence
        await fund.proposals.refuse(proposed, reason="offer it to all")
        shown = await fund.proposals.get(proposed)
        assert (shown.status, shown.may) == ("refused", ("agree",))
        await fund.proposals.agree(proposed)
