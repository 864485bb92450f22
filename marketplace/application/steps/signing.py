"""Signing: an instrument and its issuer's note of it stand in one atomic append, so that no closing can miss it."""

from marketplace.application.steps.dilution import track_instrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, IssueInstrument
from marketplace.domain.equity.issuer.issuer import ISSUER, SignInstrument
from marketplace.execution.unit_of_work import UnitOfWork


async def sign_instrument(unit: UnitOfWork, issue: IssueInstrument) -> None:
    """Issue an instrument, and let its issuer take note."""
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
