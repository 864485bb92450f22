"""Which amendments keep an order's place in the queue: those that are no worse for any possible seller.

An order's place dates from its placing. It breaks ties in admission. It is also the order of the book, by which the
engine breaks ties. An amendment keeps the place if all of the following holds. Any other amendment moves the order to
the end of the queue, as if it were placed anew:

- every class that was offered still is, at no less cash and no less equity; further classes may be added
- the start window contains the previous one; acceptable regions, interconnects and mandates stay acceptable
- it expires no earlier, and stands for further auctions if it did
- everything else is the same: nodes, duration, the instrument's terms
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from events.order import OrderTerms


def keeps_priority(before: OrderTerms, after: OrderTerms) -> bool:
    """Return whether an amended order is no worse for any possible seller, so that it keeps its place."""
    rules = dict.fromkeys(OrderTerms.__struct_fields__, _is_same) | _RULES
    return _holds_offers(before, after) and all(
        rule(getattr(before, name), getattr(after, name)) for name, rule in rules.items()
    )


def _holds_offers(before: OrderTerms, after: OrderTerms) -> bool:
    offers = {offer.gpu_class: offer for offer in after.offers}
    for known in before.offers:
        offer = offers.get(known.gpu_class)
        if offer is None or offer.cash_usd_per_gpu_hour < known.cash_usd_per_gpu_hour:
            return False
        if offer.equity_usd_per_gpu_hour < known.equity_usd_per_gpu_hour:
            return False
    return True


def _is_same(before: object, after: object) -> bool:
    return before == after


def _is_earlier(before: datetime, after: datetime) -> bool:
    return after <= before


def _is_later(before: datetime | None, after: datetime | None) -> bool:
    return after is None or (before is not None and after >= before)


def _holds_regions(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    return not after or (bool(before) and set(before) <= set(after))


def _holds_all(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    return set(before) <= set(after)


_RULES: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "offers": lambda _before, _after: True,
    "start_earliest": _is_earlier,
    "start_latest": _is_later,
    "expires_at": _is_later,
    "regions": _holds_regions,
    "mandate_ids": _holds_all,
    "interconnect": lambda before, after: after in {"any", before},
    "standing": lambda before, after: after or not before,
}
