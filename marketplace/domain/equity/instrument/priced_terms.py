"""Checks of terms under which principal buys shares, or rights to them, at an agreed price."""

from events.types import PricedTerms, WarrantTerms
from marketplace.core.money import require_price_per_share
from marketplace.domain.refusals import require_aware


def require_priced(terms: PricedTerms, pointer: str) -> None:
    """Refuse impossible prices and expiries.

    Raises:
        Refusal: ``amount_…`` or ``time_naive``.
    """
    require_price_per_share(terms.price_usd_per_share, f"{pointer}/price_usd_per_share")
    if isinstance(terms, WarrantTerms):
        require_price_per_share(terms.exercise_price_usd, f"{pointer}/exercise_price_usd", zero=True)
        require_aware(terms.expires_at, f"{pointer}/expires_at")
