"""Let the platform decide a dispute, after each side has answered and one has asked it."""

from marketplace.application.billing import disputes, statements


async def decide(market, trade, statement_id, gpu_seconds, reason="as the meters say"):
    """Carry a dispute to the platform, which settles it at an amount."""
    for party_id in (trade.provider, trade.startup):
        await disputes.answer_dispute(market.handler, market.context(party_id), statement_id, reason="no")
    await disputes.refer_dispute(market.handler, market.context(trade.provider), statement_id, reason="please decide")
    named = {"gpu_seconds": gpu_seconds, "reason": reason}
    await statements.resolve_statement(market.handler, market.context(), statement_id, **named)
