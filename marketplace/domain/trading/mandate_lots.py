"""Which lots may name a mandate: of its providers and sites, and resold only where it says so."""

from marketplace.core.errors import Refusal
from marketplace.domain.trading.mandate_rules import Asked


def require_lot_welcome(mandate: Asked, *, provider_id: str, site_id: str, resold: bool) -> None:
    """Refuse a lot that names a mandate which does not pay for such capacity.

    Raises:
        Refusal: ``provider_unwelcome`` · ``site_unwelcome`` · ``resale_unwelcome``.
    """
    terms = mandate.terms
    for what, id_, allowed in (
        ("provider", provider_id, terms.provider_ids),
        ("site", site_id, terms.site_ids),
    ):
        if allowed and id_ not in allowed:
            text = f"mandate {mandate.mandate_id} accepts lots of {', '.join(allowed)}, not of {id_}; do not name it"
            raise Refusal(f"{what}_unwelcome", text, pointer="/mandate_ids")
    if resold and not terms.resale:
        text = f"mandate {mandate.mandate_id} pays for no resold capacity; do not name it"
        raise Refusal("resale_unwelcome", text, pointer="/mandate_ids")
