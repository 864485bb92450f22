"""Bodies of market data."""

from typing import Annotated

from msgspec import Meta

from events.pricelist import ListPrice
from events.types import Text
from marketplace.api.http.bodies import Body


class PublishPricelistBody(Body, frozen=True, kw_only=True):
    """A dated table of public prices.

    Attributes:
        name: What it is called.
        prices: Its rows.
    """

    name: Text
    prices: Annotated[tuple[ListPrice, ...], Meta(min_length=1, max_length=1_000)]
