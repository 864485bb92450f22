"""The price index of a GPU class, from fills alone, with a rule for days with few fills.

The index of a day is the volume-weighted mean price of fills in a run of days that ends on it. The run is the shortest
with at least `FILLS_MIN` fills of at least `STARTUPS_MIN` startups, up to `DAYS_MAX` days. If even `DAYS_MAX` days have
too few, there is no index: list prices, asks and bids never replace a fill. A fill is a whole award, and counts on the
day of the award.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import Final

import msgspec

from marketplace.projections.trading.market.projection import mean_price
from marketplace.projections.views.trading import IndexPoint

FILLS_MIN: Final = 3
STARTUPS_MIN: Final = 2
DAYS_MAX: Final = 30


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """The fills of one startup on one day."""

    day: date
    startup_id: str
    fills: int
    gpu_hours: int
    paid_usd: Decimal


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A public price, from its listing until the next one of the same product."""

    provider: str
    product: str
    region: str
    listed_on: date
    usd_per_gpu_hour: Decimal


def compute_index(traded: Sequence[Traded], listed: Sequence[Listed], start: date, end: date) -> list[IndexPoint]:
    """Return one point per day of ``[start, end)``, given fills from `DAYS_MAX` days earlier on."""
    by_day: dict[date, list[Traded]] = {}
    for row in traded:
        by_day.setdefault(row.day, []).append(row)
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    return [_compute_point(by_day, listed, day) for day in days]


def _compute_point(by_day: Mapping[date, Sequence[Traded]], listed: Sequence[Listed], day: date) -> IndexPoint:
    prices, chosen = list_in_force(listed, day), list[Traded]()
    for days in range(1, DAYS_MAX + 1):
        chosen += by_day.get(day - timedelta(days=days - 1), ())
        fills = sum(row.fills for row in chosen)
        if fills >= FILLS_MIN and len({row.startup_id for row in chosen}) >= STARTUPS_MIN:
            gpu_hours = sum(row.gpu_hours for row in chosen)
            paid = sum((row.paid_usd for row in chosen), Decimal(0))
            return _render(day, mean_price(paid, gpu_hours), (days, fills, gpu_hours), prices)
    return _render(day, None, (0, sum(row.fills for row in chosen), sum(row.gpu_hours for row in chosen)), prices)


def _render(day: date, index: Decimal | None, counted: tuple[int, int, int], prices: list[Decimal]) -> IndexPoint:
    days, fills, gpu_hours = counted
    return IndexPoint(
        day=day,
        index_usd_per_gpu_hour=index,
        days=days,
        fills=fills,
        gpu_hours=gpu_hours,
        list_usd_per_gpu_hour_min=min(prices, default=None),
        list_usd_per_gpu_hour_median=find_median(prices),
        list_prices=len(prices),
    )


def find_median(prices: Sequence[Decimal]) -> Decimal | None:
    """Return the median of prices; None if there are none."""
    return median(prices) if prices else None


def list_in_force(listed: Sequence[Listed], day: date) -> list[Decimal]:
    """Return the latest price on or before a day for every product and region."""
    products: dict[tuple[str, str, str], list[Listed]] = {}
    for row in sorted(listed, key=lambda row: row.listed_on):
        products.setdefault((row.provider, row.product, row.region), []).append(row)
    found = []
    for rows in products.values():
        at = bisect_right(rows, day, key=lambda row: row.listed_on)
        if at:
            found.append(rows[at - 1].usd_per_gpu_hour)
    return found
