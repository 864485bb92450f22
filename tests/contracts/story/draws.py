"""What an agreement of the story fixes about its draw: window, class and price are those of the grant."""

from events.draw import DrawTerms, PriceSource
from events.grant import GrantIssued


def state_draw(grant: GrantIssued, *, cash: str, principal: str, source: PriceSource) -> DrawTerms:
    """Return the terms at which a grant draws its instrument down; cash and principal are fractions per GPU-hour."""
    return DrawTerms(
        start=grant.start,
        end=grant.end,
        gpu_class=grant.gpu_class,
        price_usd_per_gpu_hour=grant.price_usd_per_gpu_hour,
        cash_usd_per_gpu_hour=cash,
        principal_usd_per_gpu_hour=principal,
        acceptance_hours=168,
        source=source,
    )
