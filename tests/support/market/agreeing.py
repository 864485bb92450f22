"""Let all those agree whom a proposal asks, and investors decline their part of a round, each with its own key."""

from decimal import Decimal

from marketplace.application.equity import consents, issuers
from marketplace.core.ids import rename_id


async def agree_all(market, context):
    """Carry out the proposal that a command of `context` made."""
    proposal_id = await consents.find_proposal(market.handler, context)
    proposal = await market.state("proposal", proposal_id)
    for party_id in sorted(proposal.voters - proposal.agreed):
        if (await market.state("proposal", proposal_id)).status == "open":
            await consents.agree(market.handler, market.context(party_id), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"


async def act_agreed(market, startup, build, **members):
    """Carry out an act of a company, with the agreements that it needs."""
    context = market.context(startup)
    await issuers.act(market.handler, context, build(issuer_id=rename_id("iss", startup), **members))
    if await consents.find_proposal(market.handler, context) is not None:
        await agree_all(market, context)


async def decline_all(market, issuer_id):
    """Decline, for every holder without a duty, its part of the open round, so that it is priced at once."""
    financing = (await market.state("issuer", issuer_id)).find_open_financing()
    for offer in financing.opened.pro_rata:
        if offer.duty is None and offer.holder_id not in financing.answers:
            context, financing_id = market.context(offer.holder_id), financing.opened.financing_id
            await issuers.answer_pro_rata(market.handler, context, issuer_id, financing_id, amount_usd=Decimal(0))
