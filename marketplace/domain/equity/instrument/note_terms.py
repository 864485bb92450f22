"""Checks of the terms of a convertible note."""

from events.types import NoteTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share, require_usd


def require_note(terms: NoteTerms, pointer: str) -> None:
    """Refuse an impossible rate or multiple, and a note that converts at a cap that it does not state.

    Raises:
        Refusal: ``amount_…`` or ``missing_convention``.
    """
    require_share(terms.annual_rate, f"{pointer}/annual_rate")
    require_usd(terms.repayment_multiple, f"{pointer}/repayment_multiple")
    if terms.at_maturity is not None and terms.valuation_cap_usd is None:
        raise Refusal(
            "missing_convention",
            "valuation_cap_usd is missing, and the note converts at its cap when it matures; state it",
            pointer=f"{pointer}/valuation_cap_usd",
            convention="valuation_cap_usd",
        )
