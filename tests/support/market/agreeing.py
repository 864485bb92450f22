"""Let all those agree whom a proposal asks, each with its own key."""

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
