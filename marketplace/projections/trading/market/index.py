"""The price index of a GPU class, from paid fills of unrelated parties alone, with its revisions.

A fill is an award of which a statement was accepted, and so paid. It counts once, on the day (UTC) of its first
accepted statement of an hour or more, with the GPU-hours that this statement charges, at its price less the service
credit of this statement: what was paid. So a grant that ends before it is delivered and paid counts nowhere, whatever
was granted. Marked awards (`events.grant.Mark`) are no fills. Neither are those of which the provider paid back, for
less usage or for missed availability, more than half of what it was paid, or so much that less than nine tenths are
left of what it was paid at the price that counts. List prices, asks, bids and the prices of backstop orders never
replace a fill. Buyers that are related to each other count as one buyer, and sellers as one seller (`ties.py`).

1. A day *prints* if it has a fill, and the shortest run of days that ends on it and has fills of `PARTIES_MIN` buyers
   and `PARTIES_MIN` sellers, twice as many parties in all, with `GPU_HOURS_MIN` GPU-hours and one of `VOLUME_PARTS` of
   those of the 29 days before, for which rule 2 can hold, is no longer than `DAYS_MAX` days.
2. The fills of that run are weighed by their GPU-hours, but no buyer and no seller weighs more than a third of all.
   Once the class has fills that are `KNOWN_DAYS_MIN` days old, each seller weighs no more than its fills so old, of
   the `CARRY_DAYS_MAX` days before: their GPU-hours, and the part of its fills now that twice their money would pay.
   Those that sold none count together as one seller. So shells weigh what they paid for twice, a month apart,
   whatever volume they sold for next to nothing, and new ones together never outweigh the others.
3. In order of price, the lowest and the highest third of the weight are left out. The weighted mean of the middle
   third is the day's *mean*. So no single buyer and no single seller, at whatever price and volume and with however
   many shells on the other side, moves it beyond what others traded at.
4. If fills of the 30 days before a day could print, those of its run above twice or under half of their mean are left
   out. Else those beyond a factor of four of the median list price of that day are, if there is one. So shells cannot
   print any price on a class that nobody else trades. Where neither applies, as for the mean of those 30 days itself,
   each fill under half of the mean by money weighs only the GPU-hours that its price would pay at
   that mean. So no volume at next to nothing sets a price, or leaves the fills of others out.
5. From one print to the next, the index moves by at most `STEP_MAX` for each day between. The means of the days that
   print are limited one after the other, from the latest that is at least `DAYS_MAX` days old, or else from the first;
   the last one, limited so, is the index. So nobody moves it far in a few days, and what everybody pays for a month
   counts in full.
6. A print is *provisional* if nothing outside its fills bounds it. Without a list price, that are the first prints of
   a class, while it has no fill that is `KNOWN_DAYS_MIN` days old. Later it is a print of a day for which rule 2 leaves
   no run of sellers that sold before: then all of them weigh as if the class were new. Other prints follow from those
   that are not provisional alone, by rules 4 and 5. A contract should not settle on a provisional print.
7. A day that does not print carries the latest print of the `CARRY_DAYS_MAX` days before, and says so.

A day's first value is the one of the end of that day. A fill that is marked or credited back later no longer counts,
and parties whose relation becomes firm later count as one. Each value that changes because of it is a revision, with
the instant of the last such event of that day. All of them can be computed again from events.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Final, NamedTuple

import msgspec

from marketplace.core.money import parse_ratio
from marketplace.projections.trading.market.ties import Tie, Ties
from marketplace.projections.views.trading import IndexPoint, IndexRevision

PARTIES_MIN: Final = 3
GPU_HOURS_MIN: Final = 192
VOLUME_PARTS: Final = 4
"""A run has at least one of so many parts of the GPU-hours of the 29 days before a day: as much as a usual week."""
DAYS_MAX: Final = 30
FACTOR_MAX: Final = 2
LIST_FACTOR_MAX: Final = 4
STEP_MAX: Final = Fraction(1, 20)
CARRY_DAYS_MAX: Final = 366
KNOWN_DAYS_MIN: Final = 30
HISTORY_DAYS: Final = DAYS_MAX + 3 * CARRY_DAYS_MAX
"""So many days before a day decide its index: the print that it carries, what limits that, and what sold before."""
MICRO: Final = 1_000_000
NEW: Final = "new sellers"
"""The name of all sellers together that sold nothing before."""
KEPT_MIN: Final = Fraction(9, 10)
"""The least part of the price that a fill counts at which its provider keeps, of all that it was paid for the grant."""
_PARTS: Final = 1_000
"""In how many parts of a GPU-hour fills are weighed."""
DAY: Final = timedelta(days=1)


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """Fills of one startup by one seller on one day at one price.

    Attributes:
        day: The day on which their first statements were accepted.
        startup_id: Who bought.
        seller_id: Who sold: the provider, or the startup that sold on.
        price_usd_per_gpu_hour: Their price net of service credit, an exact fraction.
        fills: How many.
        gpu_hours: What these statements charge.
        marked_at: When they were marked, or too much of their price credited back, so that they count no more; None:
            never.
    """

    day: date
    startup_id: str
    seller_id: str
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
        is_provisional: Whether nothing outside its fills bounds it.
    """

    day: date
    index_usd_per_gpu_hour: Decimal
    days: int
    fills: int
    gpu_hours: int
    is_provisional: bool


class Volume(NamedTuple):
    """GPU-hours, and what was paid for them in millionths of a USD."""

    gpu_hours: int
    paid: int

    def add(self, row: Traded) -> "Volume":
        """Return this and fills."""
        return Volume(
            self.gpu_hours + row.gpu_hours,
            self.paid + int(parse_ratio(row.price_usd_per_gpu_hour) * row.gpu_hours * MICRO),
        )


class _Fills:
    """Fills by day, as they counted at any instant."""

    def __init__(self, traded: Sequence[Traded], listed: Sequence[Listed], ties: Sequence[Tie]) -> None:
        self._listed = listed
        self._ties = Ties(ties, {trader for row in traded for trader in (row.startup_id, row.seller_id)})
        self._by_day: dict[date, list[Traded]] = {}
        for row in traded:
            self._by_day.setdefault(row.day, []).append(row)
        self._marked: dict[str, list[Traded]] = {}
        self._sold: dict[str, tuple[list[date], list[Volume]]] = {}
        for row in sorted(traded, key=lambda row: row.day):
            if row.marked_at is not None:
                self._marked.setdefault(row.seller_id, []).append(row)
            else:
                days, sums = self._sold.setdefault(row.seller_id, ([], [Volume(0, 0)]))
                days.append(row.day)
                sums.append(sums[-1].add(row))
        self._prints: dict[tuple[date, datetime], Print | None] = {}
        self._limited: dict[tuple[date, datetime], Print] = {}

    def find_print(self, day: date, at: datetime) -> Print | None:
        """Return the latest print on or before a day, by what was known at an instant; None if there is none."""
        for back in range(CARRY_DAYS_MAX + 1):
            found = self._print_day(day - back * DAY, at)
            if found is not None:
                return self._limit(found, at)
        return None

    def _limit(self, found: Print, at: datetime) -> Print:
        """Return a print whose mean moves from the earlier ones by at most `STEP_MAX` for each day between."""
        if (found.day, at) not in self._limited:
            value, day = Fraction(0), found.day
            for known in (*self._list_earlier(found, at), found):
                most, mean = 1 + STEP_MAX * (known.day - day).days, Fraction(known.index_usd_per_gpu_hour)
                value, day = min(max(mean, value / most), value * most) if value else mean, known.day
            limited = found._replace(index_usd_per_gpu_hour=Decimal(round(value * MICRO)) / MICRO)
            self._limited[found.day, at] = limited
        return self._limited[found.day, at]

    def _list_earlier(self, found: Print, at: datetime) -> list[Print]:
        """Return the prints of the days before one in order, from the latest that is `DAYS_MAX` days old or older.

        Of a print that is not provisional, only those that are not provisional either.
        """
        earlier: list[Print] = []
        for back in range(1, CARRY_DAYS_MAX + 1):
            known = self._print_day(found.day - back * DAY, at)
            if known is not None and (found.is_provisional or not known.is_provisional):
                earlier.append(known)
                if back >= DAYS_MAX:
                    break
        return earlier[::-1]

    def _print_day(self, day: date, at: datetime) -> Print | None:
        if day not in self._by_day:
            return None
        if (day, at) not in self._prints:
            self._prints[day, at] = self._compute_print(day, at)
        return self._prints[day, at]

    def _compute_print(self, day: date, at: datetime) -> Print | None:
        groups = self._ties.find_groups(day, at)
        if not self._is_known(day, at):
            is_provisional = not list_in_force(self._listed, day)
            return self._find_run(day, at, groups, None, is_provisional=is_provisional)
        sold = _Sold(self, day, at, groups)
        firm = self._find_run(day, at, groups, sold, is_provisional=False)
        return firm or self._find_run(day, at, groups, None, is_provisional=True)

    def _find_run(
        self, day: date, at: datetime, groups: Mapping[str, str], sold: "_Sold | None", *, is_provisional: bool
    ) -> Print | None:
        """Return the print of the shortest run of days that prints; None if none does."""
        before = [row for back in range(1, DAYS_MAX + 1) for row in self._list_counted(day - back * DAY, at)]
        low, high = self._find_bounds(day, before, groups, sold)
        near = [row for row in before if row.day > day - DAYS_MAX * DAY and _is_near(row, low, high)]
        least = Fraction(_count_known(*_measure(near, groups, sold)), VOLUME_PARTS)
        chosen: list[Traded] = []
        for days in range(1, DAYS_MAX + 1):
            added = [row for row in self._list_counted(day - (days - 1) * DAY, at) if _is_near(row, low, high)]
            chosen += added
            if not chosen:
                return None
            mean = compute_mean(chosen, groups, sold, least, is_bounded=high is not None) if added else None
            if mean is not None:
                gpu_hours = sum(row.gpu_hours for row in chosen)
                return Print(day, mean, days, sum(row.fills for row in chosen), gpu_hours, is_provisional)
        return None

    def _is_known(self, day: date, at: datetime) -> bool:
        """Return whether a fill counts that is old enough to stand beside the fills of a day."""
        first, last = day - CARRY_DAYS_MAX * DAY, day - KNOWN_DAYS_MIN * DAY
        return any(True for known in self._by_day if first <= known <= last for _ in self._list_counted(known, at))

    def count_sold(self, seller: str, day: date, at: datetime) -> Volume:
        """Return what a seller had sold `KNOWN_DAYS_MIN` days before a day, or earlier."""
        first, last = day - CARRY_DAYS_MAX * DAY, day - KNOWN_DAYS_MIN * DAY
        days, sums = self._sold.get(seller, ([], [Volume(0, 0)]))
        before, until = sums[bisect_left(days, first)], sums[bisect_right(days, last)]
        sold = Volume(until.gpu_hours - before.gpu_hours, until.paid - before.paid)
        for row in self._marked.get(seller, ()):
            if first <= row.day <= last and row.marked_at is not None and row.marked_at > at:
                sold = sold.add(row)
        return sold

    def _find_bounds(
        self, day: date, before: Sequence[Traded], groups: Mapping[str, str], sold: "_Sold | None"
    ) -> tuple[Fraction, Fraction | None]:
        """Return between which prices fills of a day count, by the fills before it or else by list prices."""
        mean, factor = compute_mean(before, groups, sold), FACTOR_MAX
        if mean is None and sold is not None:
            mean = compute_mean(before, groups)
        if mean is None:
            mean, factor = find_median(list_in_force(self._listed, day)), LIST_FACTOR_MAX
        return (Fraction(0), None) if mean is None else (Fraction(mean) / factor, Fraction(mean) * factor)

    def _list_counted(self, day: date, at: datetime) -> Iterator[Traded]:
        return (row for row in self._by_day.get(day, ()) if row.marked_at is None or row.marked_at > at)

    def list_changes(self, day: date, after: datetime, now: datetime) -> list[datetime]:
        """Return the last instant of each day at which a mark or relation may have changed the print of a day."""
        marks = (row.marked_at for known, rows in self._by_day.items() if known <= day for row in rows)
        last: dict[date, datetime] = {}
        for at in sorted([*filter(None, marks), *self._ties.list_instants()]):
            if after < at <= now:
                last[at.date()] = at
        return list(last.values())


class _Sold:
    """What sellers, alone or as a group, had sold long enough before a day."""

    def __init__(self, fills: _Fills, day: date, at: datetime, groups: Mapping[str, str]) -> None:
        self._fills, self._day, self._at = fills, day, at
        self._members: dict[str, list[str]] = {}
        for party, group in groups.items():
            self._members.setdefault(group, []).append(party)
        self._known: dict[str, Volume] = {}

    def count(self, group: str) -> Volume:
        """Return what a group of sellers had sold, by its name."""
        if group not in self._known:
            sold = [self._fills.count_sold(seller, self._day, self._at) for seller in self._members.get(group, [group])]
            self._known[group] = Volume(sum(one.gpu_hours for one in sold), sum(one.paid for one in sold))
        return self._known[group]

    def has_sold(self, group: str) -> bool:
        """Return whether a group of sellers was paid anything."""
        return self.count(group).paid > 0


def compute_index(
    traded: Sequence[Traded], listed: Sequence[Listed], ties: Sequence[Tie], start: date, end: date, *, now: datetime
) -> list[IndexPoint]:
    """Return one point per day of ``[start, end)``, by what is known now.

    Args:
        traded: All fills of the `HISTORY_DAYS` days before `start`, and those up to `end`.
        listed: List prices of the class.
        ties: Relations among parties.
        start: The first day.
        end: The day after the last.
        now: Until when events count.
    """
    fills = _Fills(traded, listed, ties)
    days = (start + number * DAY for number in range((end - start).days))
    return [_compute_point(fills, list_in_force(listed, day), day, now) for day in days]


def _compute_point(fills: _Fills, prices: list[Decimal], day: date, now: datetime) -> IndexPoint:
    closes_at = datetime.combine(day + DAY, time(), UTC)
    value = first = fills.find_print(day, min(closes_at, now))
    revisions: list[IndexRevision] = []
    for at in fills.list_changes(day, closes_at, now):
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
        is_provisional=value is not None and value.is_provisional,
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


def _is_near(row: Traded, low: Fraction, high: Fraction | None) -> bool:
    """Return whether a price is within bounds."""
    price = parse_ratio(row.price_usd_per_gpu_hour)
    return low <= price and (high is None or price <= high)


def compute_mean(
    fills: Sequence[Traded],
    groups: Mapping[str, str],
    sold: _Sold | None = None,
    least: Fraction | int = 0,
    *,
    is_bounded: bool = False,
) -> Decimal | None:
    """Return the mean price of the middle third of the weight of fills, in USD per GPU-hour to six places.

    None with fewer than `PARTIES_MIN` buyers or sellers, or twice as many parties in all, or under
    `GPU_HOURS_MIN` GPU-hours, or `least` thousandths, or if no weights keep every party at a third. Buyers of one group
    count as one, and so do sellers. With `sold`, each seller weighs no more than what it had sold; those that had sold
    nothing count as one, and not toward `least`. Unless prices are bounded already, fills under one of `FACTOR_MAX`
    parts of the mean by money weigh only what their price would pay at that mean.
    """
    if len({party for row in fills for party in (row.startup_id, row.seller_id)}) < 2 * PARTIES_MIN:
        return None
    sides, own = _measure(fills, groups, sold)
    if sum(own) < GPU_HOURS_MIN * _PARTS or _count_known(sides, own) < least:
        return None
    prices = [parse_ratio(row.price_usd_per_gpu_hour) for row in fills]
    if not is_bounded and max(prices) > FACTOR_MAX * min(prices):
        usual = _trim(prices, sides, [int(price * weight) for price, weight in zip(prices, own, strict=True)])
        if usual is None:
            return None
        own = [
            weight if FACTOR_MAX * price >= usual else int(weight * price / usual)
            for price, weight in zip(prices, own, strict=True)
        ]
    mean = _trim(prices, sides, own)
    return None if mean is None else Decimal(round(mean * MICRO)) / MICRO


def _trim(
    prices: Sequence[Fraction], sides: tuple[Sequence[str], Sequence[str]], own: Sequence[int]
) -> Fraction | None:
    """Return the mean price of the middle third of the weight of fills; None if no weights keep parties at a third."""
    weights = _weigh(sides, own)
    if weights is None:
        return None
    whole = sum(weights)
    low = max(whole, 3 * _find_most(sides, weights))  # Thirds of a weight, so that all are whole numbers.
    high, passed, paid = 3 * whole - low, 0, Fraction(0)
    for price, weight in sorted(zip(prices, weights, strict=True)):
        inside = min(passed + 3 * weight, high) - max(passed, low)
        if inside > 0:
            paid += price * inside
        passed += 3 * weight
    return paid / (high - low)


def _measure(
    fills: Sequence[Traded], groups: Mapping[str, str], sold: _Sold | None
) -> tuple[tuple[list[str], list[str]], list[int]]:
    """Return buyer and seller of each fill as they count, and what it weighs at most in thousandths of a GPU-hour."""
    buyers = [groups.get(row.startup_id, row.startup_id) for row in fills]
    sellers = [groups.get(row.seller_id, row.seller_id) for row in fills]
    own = [row.gpu_hours * _PARTS for row in fills]
    if sold is None:
        return (buyers, sellers), own
    now: dict[str, Volume] = {}
    for party, row in zip(sellers, fills, strict=True):
        now[party] = now.get(party, Volume(0, 0)).add(row)
    most = {
        party: _cut(whole, sold.count(party)) if sold.has_sold(party) else Fraction(1) for party, whole in now.items()
    }
    cut = [int(each * most[party]) for party, each in zip(sellers, own, strict=True)]
    return (buyers, [party if sold.has_sold(party) else NEW for party in sellers]), cut


def _cut(now: Volume, sold: Volume) -> Fraction:
    """Return which part of a seller's fills weighs, by what it had sold.

    That is no more than it had sold, nor than its price then would pay at one of `FACTOR_MAX` parts of its price now.
    """
    known = Fraction(sold.gpu_hours, now.gpu_hours)
    return min(Fraction(1), known, Fraction(FACTOR_MAX * sold.paid, now.paid) if now.paid else known)


def _count_known(sides: tuple[Sequence[str], Sequence[str]], own: Sequence[int]) -> int:
    """Return what fills weigh at most, without those of new sellers."""
    return sum(each for party, each in zip(sides[1], own, strict=True) if party != NEW)


def _weigh(sides: tuple[Sequence[str], Sequence[str]], own: Sequence[int]) -> list[int] | None:
    """Return what fills weigh, in the unit of `own`, with no buyer or seller above a third of their sum.

    None with too few parties, or if no weights do so. The bound on a party's weight is the largest that
    can be, to the rounding of two parts per fill.

    Args:
        sides: Buyer and seller of each fill.
        own: What each fill weighs at most, in thousandths of a GPU-hour or of a USD.
    """
    buyers, sellers = sides
    volume = sum(own)
    if min(len(set(buyers)), len(set(sellers))) < PARTIES_MIN:
        return None
    bought = _sum_parties(buyers, own)
    low, high, found = 1, volume, None
    while low <= high:
        most = (low + high) // 2
        weights = _cap(buyers, own, bought, most)
        weights = _cap(sellers, weights, _sum_parties(sellers, weights), most)
        if PARTIES_MIN * _find_most(sides, weights) <= sum(weights) + 2 * len(weights):
            low, found = most + 1, weights
        else:
            high = most - 1
    return found if found is not None and 2 * _find_most(sides, found) < sum(found) else None


def _cap(parties: Sequence[str], weights: Sequence[int], sums: Mapping[str, int], most: int) -> list[int]:
    """Return what fills weigh if no party of a side weighs more than `most`."""
    return [
        weight if sums[party] <= most else weight * most // sums[party]
        for party, weight in zip(parties, weights, strict=True)
    ]


def _sum_parties(parties: Sequence[str], weights: Sequence[int]) -> dict[str, int]:
    """Return what each party of a side weighs."""
    sums = dict.fromkeys(parties, 0)
    for party, weight in zip(parties, weights, strict=True):
        sums[party] += weight
    return sums


def _find_most(sides: Sequence[Sequence[str]], weights: Sequence[int]) -> int:
    """Return what the party weighs that weighs most, on either side."""
    return max(max(_sum_parties(parties, weights).values()) for parties in sides)


def find_median(prices: Sequence[Decimal]) -> Decimal | None:
    """Return the median of prices; None if there are none."""
    return median(prices) if prices else None


def is_overcredited(charged_usd: Decimal, credited_usd: Decimal, service_credit: Decimal) -> bool:
    """Return whether so much of a fill was paid back that it counts no more.

    Args:
        charged_usd: What its provider was paid.
        credited_usd: What it paid back.
        service_credit: The share of its price at which it does not count.
    """
    kept_min = max(KEPT_MIN * (1 - Fraction(service_credit)), Fraction(1, 2))
    return Fraction(charged_usd - credited_usd) < kept_min * Fraction(charged_usd)


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
