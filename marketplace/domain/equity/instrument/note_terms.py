"""What the terms of a convertible note have to say, whoever states them."""

from events.types import NoteTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share, require_usd


def require_note(terms: NoteTerms, pointer: str) -> None:
    """Refuse a rate or multiple that cannot be, and a note that becomes stock at a cap that it does not state.

    Raises:
        Refusal: ``amount_…`` or ``missing_convention``.
    """
    require_share(terms.annual_rate, f"{pointer}/annual_rate")
    require_usd(terms.repayment_multiple, f"{pointer}/repayment_multiple")
    if terms.at_maturity is not None and terms.valuation_cap_usd is None:
        raise Refusal(
            "missing_convention",
            "valuation_cap_usd is not given, and a note becomes stock at its cap when it falls due; state it",
            pointer=f"{pointer}/valuation_cap_usd",
            convention="valuation_cap_usd",
        )
