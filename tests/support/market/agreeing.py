"""Let all those agree whom a proposal asks, each with its own key."""

from marketplace.application.equity import consents


async def agree_all(market, context):
    """Carry out the proposal that a command of `context` made."""
    proposal_id = await consents.find_proposal(market.handler, context)
    proposal = await market.state("proposal", proposal_id)
    for party_id in sorted(proposal.voters - proposal.agreed):
        await consents.agree(market.handler, market.context(party_id), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
