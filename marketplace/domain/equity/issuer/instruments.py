"""Instruments that may become equity of an issuer."""

from collections.abc import Sequence

from events.issuer import IssuerEvent, IssuerInstrumentSigned
from events.issuer_dilution import Exposure
from marketplace.core.money import require_usd
from marketplace.domain.equity.issuer.commands import SignInstrument
from marketplace.domain.equity.issuer.dilution import require_agreed, require_class, require_room
from marketplace.domain.equity.issuer.rules import is_repeated, require_no_sale
from marketplace.domain.equity.issuer.state import Issuer


def sign_instrument(command: SignInstrument, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the registration of an instrument; nothing if it is recorded."""
    event = IssuerInstrumentSigned(
        issuer_id=command.issuer_id,
        instrument_id=command.instrument_id,
        holder_id=command.holder_id,
        commitment_usd=command.commitment_usd,
        terms=command.terms,
        split_ratio=command.split_ratio,
        invested_on=command.invested_on,
    )
    if is_repeated("instrument", command.instrument_id, state.instruments, event):
        return []
    require_no_sale(state)
    require_usd(command.commitment_usd, "/commitment_usd")
    require_class(state, command.terms)
    exposures = (Exposure(terms=command.terms, amount_usd=command.commitment_usd),)
    require_room(state, command.instrument_id, exposures)
    if command.by_limit:
        require_agreed(state, exposures, (command.related_ids | {command.holder_id},), command.split_ratio)
    return [event]
