"""Price lists: dated tables of the public prices of clouds.

Subject: ``marketplace.pricelist.<pricelist_id>``. The id derives from the content, so that a table is imported once.

Invariant: a table has at most one price per class, provider, product, region and day.

Refusals in order: pricelist_exists · prices_missing · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · price_repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Final

import msgspec

from events.pricelist import ListPrice, PricelistEvent, PricelistPublished
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import require_price
from marketplace.domain.refusals import refuse_exists

PRICES_MAX: Final = 1_000


class PublishPricelist(msgspec.Struct, frozen=True, kw_only=True):
    """Import a table."""

    pricelist_id: str
    name: str
    prices: tuple[ListPrice, ...]


@dataclass(frozen=True, slots=True)
class Pricelist:
    """An imported table."""

    published: PricelistPublished


PricelistState = Pricelist | None


def decide(command: PublishPricelist, state: PricelistState) -> Sequence[PricelistEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    event = PricelistPublished(pricelist_id=command.pricelist_id, name=command.name, prices=command.prices)
    if state is not None:
        if state.published == event:
            return []
        raise refuse_exists("pricelist", command.pricelist_id)
    if not 1 <= len(command.prices) <= PRICES_MAX:
        raise Refusal(
            "prices_missing",
            f"a table has between 1 and {PRICES_MAX} prices, this one has {len(command.prices)}",
            pointer="/prices",
        )
    for index, price in enumerate(command.prices):
        require_price(price.usd_per_gpu_hour, f"/prices/{index}/usd_per_gpu_hour")
    seen: set[tuple[object, ...]] = set()
    for index, price in enumerate(command.prices):
        key = (price.gpu_class, price.provider, price.product, price.region, price.listed_on)
        if key in seen:
            raise Refusal(
                "price_repeated",
                f"{price.provider} has two prices for {price.product or price.gpu_class} on {price.listed_on}; keep"
                " one",
                pointer=f"/prices/{index}",
            )
        seen.add(key)
    return [event]


def find_list_price(pricelist: Pricelist, gpu_class: str) -> Decimal | None:
    """Return the median price of a class over a table's rows, in USD per GPU-hour; None if it has none."""
    prices = [row.usd_per_gpu_hour for row in pricelist.published.prices if row.gpu_class == gpu_class]
    return median(prices) if prices else None


def evolve(state: PricelistState, event: PricelistEvent) -> PricelistState:
    """Return the state after an event."""
    assert state is None, "a table is published once"
    return Pricelist(event)


PRICELIST: Decider[PublishPricelist, PricelistEvent, PricelistState] = Decider("pricelist", "prl", None, decide, evolve)
