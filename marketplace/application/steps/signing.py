"""Sign an instrument: it and its issuer's entry are stored in one atomic append, so that no closing misses it."""

from marketplace.application.steps.dilution import track_instrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, IssueInstrument
from marketplace.domain.equity.issuer.issuer import ISSUER, SignInstrument
from marketplace.execution.unit_of_work import UnitOfWork


async def sign_instrument(unit: UnitOfWork, issue: IssueInstrument) -> None:
    """Issue an instrument, and register it with its issuer."""
    await unit.decide(INSTRUMENT, issue.instrument_id, issue)
    note = SignInstrument(
        issuer_id=issue.issuer_id,
        instrument_id=issue.instrument_id,
        holder_id=issue.holder_id,
        commitment_usd=issue.commitment_usd,
        terms=issue.terms,
    )
    await unit.decide(ISSUER, issue.issuer_id, note)
    await track_instrument(unit, issue.instrument_id)
