"""Price lists: public cloud prices of a GPU-hour, to compare with the market's own prices."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import Event, GpuClass, Id, Text, UsdPerGpuHour


class ListPrice(msgspec.Struct, frozen=True, kw_only=True):
    """One public price.

    Attributes:
        gpu_class: Class of the GPU.
        provider: Who asks it.
        product: Which of the provider's products, where it has several for the class.
        region: Where, in the provider's words; None: everywhere or not said.
        usd_per_gpu_hour: The price.
        listed_on: Day on which it was read or published.
        source: Where it can be looked up.
    """

    gpu_class: GpuClass
    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    product: Annotated[str, Meta(max_length=100)] = ""
    region: Annotated[str, Meta(max_length=100)] | None = None
    usd_per_gpu_hour: UsdPerGpuHour
    listed_on: date
    source: Text


class PricelistPublished(Event, frozen=True, kw_only=True, tag="pricelist.published.v1"):
    """A dated table of public prices was imported. If rows are for the same price, the later table applies.

    Attributes:
        pricelist_id: The table.
        name: What it is called.
        prices: Its rows.
    """

    pricelist_id: Id
    name: Text
    prices: tuple[ListPrice, ...]


PricelistEvent = PricelistPublished
