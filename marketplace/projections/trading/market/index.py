"""The price index of a GPU class, from fills of unrelated parties alone, with its revisions.

A fill is a whole award. It counts on the day of the award (UTC), with its GPU-hours and its price. Marked awards
(`events.grant.Mark`) are no fills; list prices, asks and bids never replace one.

1. A day *prints* if it has a fill, and the shortest run of days that ends on it and has fills of `BUYERS_MIN` buyers
   with `GPU_HOURS_MIN` GPU-hours in all is no longer than `DAYS_MAX` days.
2. The fills of that run are weighed by their GPU-hours, but no buyer weighs more than a third of all.
3. In order of price, the lowest and the highest third of the weight are left out. The index is the weighted mean of the
   middle third. So no single buyer, at whatever price and volume, moves the index beyond what others paid.
4. If fills of the 30 days before a day could print, those of its run above twice or under half of their index are left
   out. So a few unrelated shells move the index by a factor of two at most in that time.
5. A day that does not print carries the latest print of the `CARRY_DAYS_MAX` days before, and says so.

A day's first value is the one of the end of that day. A fill that is marked later no longer counts. Each value that
changes because of it is a revision, with the instant of the last mark on the day of the marking. All of them can be
computed again from events.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Final, NamedTuple

import msgspec

from marketplace.core.money import parse_ratio
from marketplace.projections.views.trading import IndexPoint, IndexRevision

BUYERS_MIN: Final = 3
GPU_HOURS_MIN: Final = 192
DAYS_MAX: Final = 30
FACTOR_MAX: Final = 2
CARRY_DAYS_MAX: Final = 366
MICRO: Final = 1_000_000
DAY: Final = timedelta(days=1)
_THIRD: Final = Fraction(1, 3)


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """Fills of one startup on one day at one price.

    Attributes:
        day: The day of their awards.
        startup_id: Who bought.
        price_usd_per_gpu_hour: Their price, an exact fraction.
        fills: How many.
        gpu_hours: Their volume.
        marked_at: When they were marked, so that they count no more; None: never.
    """

    day: date
    startup_id: str
    price_usd_per_gpu_hour: str
    fills: int
    gpu_hours: int
    marked_at: datetime | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A public price, from its listing until the next one of the same product."""

    provider: str
    product: str
    region: str
    listed_on: date
    usd_per_gpu_hour: Decimal


class Print(NamedTuple):
    """The index of a day that prints.

    Attributes:
        day: The day.
        index_usd_per_gpu_hour: The index, rounded half to even to six places.
        days: How many days its fills are from.
        fills: How many fills.
        gpu_hours: Their volume.
    """

    day: date
    index_usd_per_gpu_hour: Decimal
    days: int
    fills: int
    gpu_hours: int


class _Fills:
    """Fills by day, as they counted at any instant."""

    def __init__(self, traded: Sequence[Traded]) -> None:
        self._by_day: dict[date, list[Traded]] = {}
        for row in traded:
            self._by_day.setdefault(row.day, []).append(row)
        self._prints: dict[tuple[date, datetime], Print | None] = {}

    def find_print(self, day: date, at: datetime) -> Print | None:
        """Return the latest print on or before a day, by what was known at an instant; None if there is none."""
        for back in range(CARRY_DAYS_MAX + 1):
            found = self._print_day(day - back * DAY, at)
            if found is not None:
                return found
        return None

    def _print_day(self, day: date, at: datetime) -> Print | None:
        if day not in self._by_day:
            return None
        if (day, at) not in self._prints:
            self._prints[day, at] = self._compute_print(day, at)
        return self._prints[day, at]

    def _compute_print(self, day: date, at: datetime) -> Print | None:
        before = self._find_before(day, at)
        chosen: list[Traded] = []
        for days in range(1, DAYS_MAX + 1):
            chosen += (row for row in self._list_counted(day - (days - 1) * DAY, at) if _is_near(row, before))
            if not chosen:
                return None
            if _is_enough(chosen):
                gpu_hours = sum(row.gpu_hours for row in chosen)
                return Print(day, compute_mean(chosen), days, sum(row.fills for row in chosen), gpu_hours)
        return None

    def _find_before(self, day: date, at: datetime) -> Fraction | None:
        """Return the index of all fills of the days before a day together; None if they are too few."""
        days = range(1, DAYS_MAX + 1)
        rows = [row for days_before in days for row in self._list_counted(day - days_before * DAY, at)]
        return Fraction(compute_mean(rows)) if _is_enough(rows) else None

    def _list_counted(self, day: date, at: datetime) -> Iterator[Traded]:
        return (row for row in self._by_day.get(day, ()) if row.marked_at is None or row.marked_at > at)

    def list_marks(self, day: date, after: datetime, now: datetime) -> list[datetime]:
        """Return the last mark of each day after an instant and up to now, among fills that may count on a day."""
        last: dict[date, datetime] = {}
        for known, rows in self._by_day.items():
            for row in rows if known <= day else ():
                if row.marked_at is not None and after < row.marked_at <= now:
                    marked_on = row.marked_at.date()
                    last[marked_on] = max(row.marked_at, last.get(marked_on, row.marked_at))
        return [last[marked_on] for marked_on in sorted(last)]


def compute_index(
    traded: Sequence[Traded], listed: Sequence[Listed], start: date, end: date, now: datetime
) -> list[IndexPoint]:
    """Return one point per day of ``[start, end)``, by what is known now.

    `traded` are all fills of `DAYS_MAX` and `CARRY_DAYS_MAX` days before `start`, and those up to `end`.
    """
    fills = _Fills(traded)
    days = (start + number * DAY for number in range((end - start).days))
    return [_compute_point(fills, list_in_force(listed, day), day, now) for day in days]


def _compute_point(fills: _Fills, prices: list[Decimal], day: date, now: datetime) -> IndexPoint:
    closes_at = datetime.combine(day + DAY, time(), UTC)
    value = first = fills.find_print(day, min(closes_at, now))
    revisions: list[IndexRevision] = []
    for at in fills.list_marks(day, closes_at, now):
        revised = fills.find_print(day, at)
        if revised != value:
            number, value = len(revisions) + 1, revised
            revisions.append(IndexRevision(revision=number, revised_at=at, index_usd_per_gpu_hour=_get_price(value)))
    status = "none" if value is None else "printed" if value.day == day else "carried"
    return IndexPoint(
        day=day,
        index_usd_per_gpu_hour=_get_price(value),
        status=status,
        print_day=None if value is None else value.day,
        days=0 if value is None else value.days,
        fills=0 if value is None else value.fills,
        gpu_hours=0 if value is None else value.gpu_hours,
        is_closed=now >= closes_at,
        revision=len(revisions),
        first_usd_per_gpu_hour=_get_price(first),
        revisions=tuple(revisions),
        list_usd_per_gpu_hour_min=min(prices, default=None),
        list_usd_per_gpu_hour_median=find_median(prices),
        list_prices=len(prices),
    )


def _get_price(value: Print | None) -> Decimal | None:
    return None if value is None else value.index_usd_per_gpu_hour


def _is_enough(rows: Sequence[Traded]) -> bool:
    """Return whether fills have enough buyers and volume to print."""
    return len({row.startup_id for row in rows}) >= BUYERS_MIN and sum(row.gpu_hours for row in rows) >= GPU_HOURS_MIN


def _is_near(row: Traded, before: Fraction | None) -> bool:
    """Return whether a price is within the factor of what was paid before."""
    price = parse_ratio(row.price_usd_per_gpu_hour)
    return before is None or before <= FACTOR_MAX * price <= FACTOR_MAX**2 * before


def compute_mean(fills: Sequence[Traded]) -> Decimal:
    """Return the mean price of the middle third of the weight of fills of three buyers or more."""
    by_buyer: dict[str, int] = {}
    for row in fills:
        by_buyer[row.startup_id] = by_buyer.get(row.startup_id, 0) + row.gpu_hours
    most = _find_weight_max(sorted(by_buyer.values(), reverse=True))
    scales = {buyer: min(Fraction(1), most / gpu_hours) for buyer, gpu_hours in by_buyer.items()}
    weighed = sorted((parse_ratio(row.price_usd_per_gpu_hour), row.gpu_hours * scales[row.startup_id]) for row in fills)
    whole = sum((weight for _, weight in weighed), Fraction(0))
    low, high, passed, paid = whole * _THIRD, whole * 2 * _THIRD, Fraction(0), Fraction(0)
    for price, weight in weighed:
        inside = min(passed + weight, high) - max(passed, low)
        paid += price * max(inside, Fraction(0))
        passed += weight
    return Decimal(round(paid / (high - low) * MICRO)) / MICRO


def _find_weight_max(volumes: Sequence[int]) -> Fraction:
    """Return the most that one buyer weighs, a third of what all weigh then; volumes come largest first."""
    whole, (first, second, *_) = sum(volumes), volumes
    if 3 * first <= whole:
        return Fraction(first)
    most = Fraction(whole - first, 2)
    return most if second <= most else Fraction(whole - first - second)


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
