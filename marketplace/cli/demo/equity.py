"""A priced round in which a SAFE converts, and a sale that pays holders by the waterfall. All who are asked agree."""

from decimal import Decimal
from typing import Final

from events.financing import Approval, Investment
from marketplace.cli.demo import tables
from marketplace.cli.demo.play import Play
from marketplace.client.market import MarketplaceClient
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.terms import RoundDraft

PRICE_PLACES: Final = 4
APPROVAL: Final = Approval(document="board consent of the demonstration", note="signed by all directors")


async def take_round(play: Play) -> None:
    """Close the scenario's priced round, whose new money is the lead's alone: holders decline their parts."""
    financing = play.scenario.financing
    client, issuer_id = play.client(financing.startup), rename_id("iss", play.ids[financing.startup])
    before = await client.cap_tables.get(issuer_id)
    terms = RoundDraft(
        class_id=financing.stock_class.lower().replace(" ", "-"),
        pre_money_usd=financing.pre_money_usd,
        investments=(Investment(holder_id=play.ids[financing.investor], amount_usd=financing.investment_usd),),
        pool_post_money=financing.pool_post_money,
        pool_timing="pre_money",
        pricing_convention=financing.pricing_convention,
        capitalization_definition="yc_standard",
        share_rounding="floor",
        price_places=PRICE_PLACES,
        price_rounding="half_even",
        liquidation_multiple=financing.liquidation_multiple,
        seniority=1,
        participation="none",
    )
    await client.financings.open(issuer_id, name=financing.stock_class, terms=terms)
    opened = [one async for one in client.financings.list(issuer_id)][-1]
    for offer in opened.pro_rata:
        holder = play.client(play.names[offer.holder_id])
        await holder.financings.answer_pro_rata(issuer_id, opened.financing_id, amount_usd=Decimal(0))
    await client.financings.price(issuer_id, opened.financing_id)
    account_id = rename_id("acc", play.ids[financing.investor])
    await play.platform.accounts.deposit(
        account_id, amount_usd=financing.investment_usd, reference=f"the money of {opened.financing_id}"
    )
    closing = await client.financings.close(issuer_id, opened.financing_id, approval=APPROVAL)
    await let_agree(play, client, closing.id)
    closed = [one async for one in client.financings.list(issuer_id)][-1]
    assert closed.status == "closed", closed.status
    tables.show_round(play, before, closed, await client.cap_tables.get(issuer_id))


async def let_agree(play: Play, company: MarketplaceClient, proposal_id: str) -> None:
    """Let every party that a company's proposal asks agree to it, each with its own key."""
    proposal = await company.proposals.get(proposal_id)
    for vote in proposal.votes:
        if vote.vote == "asked" and proposal.status == "open":
            voter = play.client(play.names[vote.party_id])
            await voter.proposals.agree(proposal_id)
            proposal = await voter.proposals.get(proposal_id)
    assert proposal.status == "effective", (proposal.status, proposal.reason)


async def sell(play: Play) -> None:
    """Sell the scenario's other startup and pay every holder."""
    acquisition = play.scenario.acquisition
    client, issuer_id = play.client(acquisition.startup), rename_id("iss", play.ids[acquisition.startup])
    account_id = rename_id("acc", play.ids[acquisition.startup])
    await play.platform.accounts.deposit(
        account_id, amount_usd=acquisition.price_usd, reference="proceeds of the acquisition"
    )
    sale = await client.financings.declare_liquidity(issuer_id, proceeds_usd=acquisition.price_usd, safe_seniority=1)
    await let_agree(play, client, sale.id)
    declared = [one async for one in client.financings.list_liquidity_events(issuer_id)][-1]
    await play.client(acquisition.startup).financings.pay_distribution(issuer_id, declared.liquidity_id)
    paid = [one async for one in client.financings.list_liquidity_events(issuer_id)][-1]
    assert paid.status == "paid", paid.status
    stakeholders = {one.holder_id: one.name async for one in client.issuers.list_stakeholders(issuer_id)}
    tables.show_sale(play, paid, stakeholders)
