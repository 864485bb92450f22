"""Draw terms: the window, unit and prices of a grant, fixed in the instrument that it draws down."""

from datetime import timedelta
from typing import Final

from events.draw import DrawTerms, PriceSource
from events.grant import GrantIssued
from marketplace.core.money import render_ratio
from marketplace.domain.billing.settlement import build_tariff
from marketplace.domain.delivery.periods import ACCEPTANCE

ACCEPTANCE_HOURS: Final = ACCEPTANCE // timedelta(hours=1)


def build_draw(grant: GrantIssued, quote_id: str | None) -> DrawTerms:
    """Return the terms at which delivery of a grant accrues as principal of its instrument.

    Args:
        grant: The grant, as it is issued.
        quote_id: The held quote that it took; None if it won an auction.
    """
    source, tariff = _name_source(grant, quote_id), build_tariff(grant)
    return DrawTerms(
        start=grant.start,
        end=grant.end,
        gpu_class=grant.gpu_class,
        price_usd_per_gpu_hour=grant.price_usd_per_gpu_hour,
        cash_usd_per_gpu_hour=render_ratio(tariff.price * tariff.cash_share),
        principal_usd_per_gpu_hour=render_ratio(tariff.price * tariff.principal_share),
        acceptance_hours=ACCEPTANCE_HOURS,
        source=source,
    )


def _name_source(grant: GrantIssued, quote_id: str | None) -> PriceSource:
    if grant.auction_id is None:
        assert quote_id is not None, "a grant that won no auction took a quote"
        return PriceSource(kind="quote", id=quote_id)
    if grant.resale is None:
        return PriceSource(kind="auction", id=grant.auction_id)
    return PriceSource(kind="resale", id=grant.auction_id, seller_grant_id=grant.resale.grant_id)
