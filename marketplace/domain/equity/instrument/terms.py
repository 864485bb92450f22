"""Checks of the terms on which principal becomes equity.

Refusals: amounts, time_naive, conversion_empty, missing_convention for a note, discount_whole, cap_below_commitment;
for a drawdown, note_too_short, warrant_too_short, consequence_missing.
"""

from datetime import datetime
from decimal import Decimal

from events.types import NoteTerms, PricedTerms, PrincipalTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_price_per_share, require_share, require_usd


def require_instrument(terms: PrincipalTerms, commitment_usd: Decimal, pointer: str) -> None:
    """Refuse an instrument with an impossible price, cap or discount, or one that a round could not convert.

    Raises:
        Refusal: ``amount_…`` · ``time_naive`` · ``conversion_empty`` · ``missing_convention`` of a note ·
            ``discount_whole`` · ``cap_below_commitment``.
    """
    if isinstance(terms, PricedTerms):
        require_priced(terms, pointer)
        _require_whole_share(terms, commitment_usd, pointer)
        return
    if isinstance(terms, NoteTerms):
        require_note(terms, pointer)
    cap = terms.valuation_cap_usd
    if cap is not None:
        require_usd(cap, f"{pointer}/valuation_cap_usd")
    if terms.discount is not None:
        require_share(terms.discount, f"{pointer}/discount")
        if terms.discount == 1:
            raise Refusal(
                "discount_whole",
                "a discount of 1 makes the price 0; state the fraction that is taken off, such as 0.20",
                pointer=f"{pointer}/discount",
                discount=str(terms.discount),
            )
    if cap is not None and cap <= commitment_usd:
        raise Refusal(
            "cap_below_commitment",
            f"a cap of {cap} USD does not exceed the principal of {commitment_usd} USD, which would buy the whole"
            " company; raise the cap or lower the principal",
            pointer=f"{pointer}/valuation_cap_usd",
            valuation_cap_usd=str(cap),
            commitment_usd=str(commitment_usd),
        )


def _require_whole_share(terms: PricedTerms, commitment_usd: Decimal, pointer: str) -> None:
    if commitment_usd < terms.price_usd_per_share:
        raise Refusal(
            "conversion_empty",
            f"{commitment_usd} USD buy no whole share at {terms.price_usd_per_share} USD; raise the principal, or split"
            " the stock and state the price of a new share",
            pointer=f"{pointer}/price_usd_per_share",
            price_usd_per_share=str(terms.price_usd_per_share),
            commitment_usd=str(commitment_usd),
        )


def require_priced(terms: PricedTerms, pointer: str) -> None:
    """Refuse impossible prices and expiries.

    Raises:
        Refusal: ``amount_…`` or ``time_naive``.
    """
    require_price_per_share(terms.price_usd_per_share, f"{pointer}/price_usd_per_share")
    if isinstance(terms, WarrantTerms):
        require_price_per_share(terms.exercise_price_usd, f"{pointer}/exercise_price_usd", zero=True)
        require_aware(terms.expires_at, f"{pointer}/expires_at")


def require_note(terms: NoteTerms, pointer: str) -> None:
    """Refuse an impossible rate or multiple, and a note that converts at a cap that it does not state.

    Raises:
        Refusal: ``amount_…``, ``multiple_out_of_range`` or ``missing_convention``.
    """
    require_share(terms.annual_rate, f"{pointer}/annual_rate")
    require_usd(terms.repayment_multiple, f"{pointer}/repayment_multiple")
    if terms.repayment_multiple < 1:
        raise Refusal(
            "multiple_out_of_range",
            f"a sale would repay {terms.repayment_multiple} of the note's principal; state 1 or more",
            pointer=f"{pointer}/repayment_multiple",
        )
    if terms.at_maturity is not None and terms.valuation_cap_usd is None:
        raise Refusal(
            "missing_convention",
            "valuation_cap_usd is missing, and the note converts at its cap when it matures; state it",
            pointer=f"{pointer}/valuation_cap_usd",
            convention="valuation_cap_usd",
        )


def require_drawdown(terms: PrincipalTerms, commitment_usd: Decimal, until: datetime, pointer: str) -> None:
    """Refuse terms on which delivered usage cannot become equity.

    Args:
        terms: The terms.
        commitment_usd: The most principal that may be drawn.
        until: When the last usage may accrue.
        pointer: Where the terms stand in the command.

    Raises:
        Refusal: As `require_instrument` · ``note_too_short`` · ``warrant_too_short`` · ``consequence_missing``.
    """
    require_instrument(terms, commitment_usd, pointer)
    require_lasting(terms, until, f"{pointer}/{'matures_on' if isinstance(terms, NoteTerms) else 'expires_at'}")
    require_consequence(terms, pointer)


def require_lasting(terms: PrincipalTerms, until: datetime, pointer: str) -> None:
    """Refuse a note that matures, or a warrant that expires, while delivered usage may still accrue.

    Args:
        terms: The terms.
        until: When the last usage may accrue.
        pointer: What the command may change.

    Raises:
        Refusal: ``note_too_short`` · ``warrant_too_short``.
    """
    match terms:
        case NoteTerms() if terms.matures_on < until.date():
            raise Refusal(
                "note_too_short",
                f"the note matures on {terms.matures_on}, and delivered usage may accrue until {until.date()};"
                " let it mature then or later",
                pointer=pointer,
                matures_on=terms.matures_on.isoformat(),
                matures_on_min=until.date().isoformat(),
            )
        case WarrantTerms() if terms.expires_at < until:
            raise Refusal(
                "warrant_too_short",
                f"the warrant expires at {render_instant(terms.expires_at)}, and delivered usage may accrue until"
                f" {render_instant(until)}; let it expire then or later",
                pointer=pointer,
                expires_at=render_instant(terms.expires_at),
                expires_at_min=render_instant(until),
            )
        case _:
            pass


def require_consequence(terms: PrincipalTerms, pointer: str) -> None:
    """Refuse drawdown terms that do not state the remedy for a period below the promised availability.

    Raises:
        Refusal: ``consequence_missing``.
    """
    if terms.service_consequence is None:
        raise Refusal(
            "consequence_missing",
            "the consequence of a period below the promised availability is missing; state roll_forward, exclude or"
            " credit",
            pointer=f"{pointer}/service_consequence",
            convention="service_consequence",
        )
