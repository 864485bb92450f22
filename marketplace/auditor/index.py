"""Recomputes the price index of a class from the raw events: paid awards, credits, marks, list prices and relations.

`check` takes a published answer of ``GET /v1/market/index`` and names each closed day whose value, fills, print day,
list prices or revisions do not follow from the events.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

PARTIES: Final = 3
"""So many buyers and so many sellers at least, and the part of the weight that one of them has at most."""
GPU_HOURS: Final = 192
RUN_DAYS: Final = 30
CARRY_DAYS: Final = 366
NEAR: Final = 2
NEAR_LISTED: Final = 4
STEP: Final = Fraction(1, 20)
"""The part by which the index moves at most, for each day from one print to the next."""
_DAY: Final = timedelta(days=1)
_MILLION: Final = 1_000_000
_HOUR: Final = 3_600
Sold = tuple[Counter[str], Counter[str]]
"""What each seller sold: GPU-hours, and millionths of a USD."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Fill(NamedTuple):
    """Awards first paid on one day, of one seller to one buyer, at one price; left out from `marked_at` on."""

    day: date
    buyer: str
    seller: str
    price: Fraction
    marked_at: datetime | None


@dataclass(slots=True)
class Tie:
    """A relation: its ends, and what was said of it: when, since when it holds, and whether for everybody."""

    ends: tuple[str, str]
    words: list[tuple[datetime, datetime | None, bool]] = field(default_factory=list)
    ended: date | None = None

    def counts(self, day: date, at: datetime, *, firm: bool) -> bool:
        """Return whether it counts for a day, by what was said until `at`."""
        if self.ended is not None and self.ended < day:
            return False
        begun = [since if firm else said for said, since, is_firm in self.words if said <= at and is_firm == firm]
        return any(since is None or since.date() <= day for since in begun)


class Print(NamedTuple):
    """The index of a day that prints."""

    day: date
    value: Decimal
    days: int
    fills: int
    gpu_hours: int
    provisional: bool


@dataclass(slots=True)
class Award:
    """A grant, and what its provider was paid and paid back, in USD.

    Attributes:
        gpu_class: Its class.
        buyer: Who bought.
        seller: Who sold.
        price: Its price.
        marked_at: When the index ceased to count it.
        day: When an hour or more was first paid; None: not yet.
        gpu_hours: What was paid then.
        statement_id: The statement that was paid then.
        counted: The part of the price at which it counts, without that statement's service credit.
        charged: What its provider was paid in all.
        credited: What it paid back, also as service credit.
    """

    gpu_class: str
    buyer: str
    seller: str
    price: Fraction
    marked_at: datetime | None
    day: date | None = None
    gpu_hours: int = 0
    statement_id: str = ""
    counted: Fraction = Fraction(1)
    charged: Decimal = Decimal(0)
    credited: Decimal = Decimal(0)


@dataclass(slots=True)
class Index:
    """Folds what the index rests on.

    Attributes:
        awards: What the index counts of each grant.
        backstops: Orders that name their own price.
        listed: Prices by class, then by provider, product and region, then by day.
        ties: Relations by id.
        now: Time of the last event.
    """

    findings: Findings
    awards: dict[str, Award] = field(default_factory=dict)
    backstops: set[str] = field(default_factory=set)
    listed: dict[str, dict[tuple[str, str, str], dict[date, Decimal]]] = field(default_factory=dict)
    ties: dict[str, Tie] = field(default_factory=dict)
    now: datetime = _NEVER

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command."""
        for message in decision:
            if "ce-time" in message.headers:
                self.now = parse_instant(message.headers["ce-time"])
            match message.event_type:
                case "order.placed.v1" | "grant.issued.v1":
                    self._award(message.read())
                case "grant.marked.v1":
                    self._mark(message.read()["grant_id"])
                case "statement.accepted.v1":
                    self._pay(message.read())
                case "statement.credited.v1" | "statement.service_credited.v1":
                    self._credit(message.read())
                case "pricelist.published.v1":
                    self._list(message.read()["prices"])
                case "register.relation_stated.v1" | "register.relation_found.v1":
                    self._relate(message.read(), is_stated="stated" in message.event_type)
                case "register.relation_ended.v1":
                    body = message.read()
                    self.ties[body["relation_id"]].ended = parse_instant(body["at"]).date()

    def _award(self, body: dict[str, Any]) -> None:
        """Fold an award, or an order that may win one."""
        if "grant_id" not in body:
            self.backstops |= {body["order_id"]} if body["terms"].get("backstop") else set()
            return
        seller = (body.get("resale") or {}).get("seller_id") or body["provider_id"]
        is_left_out = body.get("mark") not in {None, "backstop"} or body.get("order_id") in self.backstops
        price, marked_at = Fraction(body["price_usd_per_gpu_hour"]), self.now if is_left_out else None
        self.awards[body["grant_id"]] = Award(body["gpu_class"], body["startup_id"], seller, price, marked_at)

    def _mark(self, grant_id: str) -> None:
        award = self.awards[grant_id]
        award.marked_at = award.marked_at or self.now

    def _pay(self, body: dict[str, Any]) -> None:
        award, seconds = self.awards.get(body["grant_id"]), body["charges"]["gpu_seconds"]
        if award is None:
            return
        award.charged += Decimal(body["charges"]["provider_usd"])
        if award.day is None and seconds >= _HOUR:
            award.day, award.gpu_hours = self.now.date(), seconds // _HOUR
            award.statement_id = body["statement_id"]

    def _credit(self, body: dict[str, Any]) -> None:
        award = self.awards.get(body["grant_id"])
        if award is None:
            return
        if "credit" in body:
            award.credited += Decimal(body["credit"]["provider_usd"])
            if body["statement_id"] == award.statement_id:
                award.counted = 1 - Fraction(body["service"]["credit"])
        else:
            before = (body.get("service_credit") or {}).get("provider_usd", 0)
            award.credited += Decimal(body["charges"]["provider_usd"]) - Decimal(before)
        kept, charged = Fraction(award.charged - award.credited), Fraction(award.charged)
        if 2 * kept < charged or 10 * kept < 9 * award.counted * charged:
            award.marked_at = award.marked_at or self.now

    def _list(self, prices: Sequence[dict[str, Any]]) -> None:
        for row in prices:
            product = row["provider"], row.get("product", ""), row.get("region") or ""
            days = self.listed.setdefault(row["gpu_class"], {}).setdefault(product, {})
            days[date.fromisoformat(row["listed_on"])] = Decimal(row["usd_per_gpu_hour"])

    def _relate(self, body: dict[str, Any], *, is_stated: bool) -> None:
        ends = body["party_id"], body.get("related_id") or body["owner"]
        tie = self.ties.setdefault(body["relation_id"], Tie(ends))
        since = None if body.get("since") is None else parse_instant(body["since"])
        if is_stated and tie.words:
            before = [begun for _, begun, _ in tie.words]
            since = None if since is None or None in before else min(since, *filter(None, before))
        tie.ended = None
        tie.words.append((self.now, since, bool(body.get("firm")) if is_stated else True))

    def check(self, gpu_class: str, points: Sequence[Mapping[str, Any]], sequence: int) -> None:
        """Compare the closed days of a published index with the events.

        Args:
            gpu_class: The class.
            points: Its days, as ``GET /v1/market/index`` answers them.
            sequence: The position to name in findings.
        """
        book = _Book(self, gpu_class)
        for point in points:
            day = date.fromisoformat(str(point["day"]))
            if datetime.combine(day + _DAY, time(), UTC) <= self.now:
                for name, value in book.describe(day).items():
                    stated = _read(point[name])
                    text = f"{gpu_class} {day}: {name} is {stated}, the events give {value}"
                    self.findings.require(stated == value, "index", sequence, text)


def _read(value: Any) -> Any:
    """Return a published value in a form that compares: numbers as decimals, revisions as pairs."""
    if isinstance(value, list):
        return [(parse_instant(one["revised_at"]), _read(one["index_usd_per_gpu_hour"])) for one in value]
    is_number = isinstance(value, str) and value[:1].isdigit() and "-" not in value
    return Decimal(value) if is_number else value


class _Book:
    """The fills of one class, and its prints as they were at any instant."""

    def __init__(self, index: Index, gpu_class: str) -> None:
        self._now, self._listed = index.now, index.listed.get(gpu_class, {})
        self._rows: dict[Fill, list[int]] = defaultdict(list)
        for award in index.awards.values():
            if award.gpu_class == gpu_class and award.day is not None:
                price = award.price * award.counted
                fill = Fill(award.day, award.buyer, award.seller, price, award.marked_at)
                self._rows[fill].append(award.gpu_hours)
        self._days: dict[date, list[Fill]] = defaultdict(list)
        for fill in self._rows:
            self._days[fill.day].append(fill)
        self._known: dict[tuple[date, datetime], Print | None] = {}
        traders = {trader for fill in self._rows for trader in (fill.buyer, fill.seller)}
        known = sorted(index.ties.values(), key=lambda tie: (tie.words[0][0], tie.ends))
        roots: dict[str, str] = {}
        for tie in known:
            _join(roots, *tie.ends)
        counts = Counter(_root(roots, trader) for trader in traders)
        self._ties = [tie for tie in known if counts[_root(roots, tie.ends[0])] > 1]

    def describe(self, day: date) -> dict[str, Any]:
        """Return what is to be published of a closed day."""
        closes_at = datetime.combine(day + _DAY, time(), UTC)
        value = first = self._find(day, closes_at)
        revisions = []
        for at in self._list_changes(day, closes_at):
            revised = self._find(day, at)
            if revised != value:
                value = revised
                revisions.append((at, None if value is None else value.value))
        prices = sorted(self._list_prices(day))
        status = "none" if value is None else "printed" if value.day == day else "carried"
        return {
            "index_usd_per_gpu_hour": None if value is None else value.value,
            "first_usd_per_gpu_hour": None if first is None else first.value,
            "status": status,
            "print_day": None if value is None else value.day.isoformat(),
            "days": 0 if value is None else value.days,
            "fills": 0 if value is None else value.fills,
            "gpu_hours": 0 if value is None else value.gpu_hours,
            "is_provisional": value is not None and value.provisional,
            "revisions": revisions,
            "list_usd_per_gpu_hour_median": _find_median(prices),
        }

    def _list_changes(self, day: date, after: datetime) -> list[datetime]:
        """Return the last instant of each later day at which a mark or a relation may have changed a day's print."""
        instants = {fill.marked_at for fill in self._rows if fill.day <= day and fill.marked_at is not None}
        instants |= {said for tie in self._ties for said, _, _ in tie.words}
        by_day = {at.date(): at for at in sorted(instants) if after < at <= self._now}
        return list(by_day.values())

    def _find(self, day: date, at: datetime) -> Print | None:
        """Return the latest print of a day or the days before, as it was at an instant."""
        for back in range(CARRY_DAYS + 1):
            known = self._print(day - back * _DAY, at)
            if known is not None:
                return known._replace(value=self._limit(known, at))
        return None

    def _limit(self, last: Print, at: datetime) -> Decimal:
        """Return the value of a print, at most a step for each day from those before it."""
        found = {last.day: last.value}
        for back in range(1, CARRY_DAYS + 1):
            known = self._print(last.day - back * _DAY, at)
            if known is not None and (last.provisional or not known.provisional):
                found[known.day] = known.value
                if back >= RUN_DAYS:
                    break
        days = sorted(found)
        value = Fraction(found[days[0]])
        for before, day in pairwise(days):
            room = 1 + (day - before).days * STEP
            value = max(value / room, min(value * room, Fraction(found[day])))
        return Decimal(round(value * _MILLION)) / _MILLION

    def _list(self, day: date, at: datetime) -> list[Fill]:
        return [fill for fill in self._days.get(day, ()) if fill.marked_at is None or fill.marked_at > at]

    def _print(self, day: date, at: datetime) -> Print | None:
        """Return what a day prints, before it is limited by the days before; None if it does not."""
        if day not in self._days:
            return None
        if (day, at) not in self._known:
            self._known[day, at] = self._compute(day, at)
        return self._known[day, at]

    def _compute(self, day: date, at: datetime) -> Print | None:
        name = self._group(day, at)
        sold = self._count_sold(day, at, name)
        if sold is None:
            return self._search(day, at, name, None, provisional=not any(True for _ in self._list_prices(day)))
        firm = self._search(day, at, name, sold, provisional=False)
        return firm or self._search(day, at, name, None, provisional=True)

    def _search(
        self, day: date, at: datetime, name: Callable[[str], str], sold: Sold | None, *, provisional: bool
    ) -> Print | None:
        """Return the print of the shortest run of days that prints, of sellers that had sold before if `sold`."""
        earlier = [fill for back in range(1, RUN_DAYS + 1) for fill in self._list(day - back * _DAY, at)]
        middle, factor = self._mean(earlier, name, sold), NEAR
        if middle is None:
            middle = self._mean(earlier, name)
        if middle is None:
            middle, factor = _find_median(sorted(self._list_prices(day))), NEAR_LISTED

        def is_near(fill: Fill) -> bool:
            return middle is None or Fraction(middle) / factor <= fill.price <= Fraction(middle) * factor

        usual = [fill for fill in earlier if (day - fill.day).days < RUN_DAYS and is_near(fill)]
        _, sellers, weights = self._weigh(usual, name, sold)
        least = sum(weight for seller, weight in zip(sellers, weights, strict=True) if seller is not None)
        run: list[Fill] = []
        for days in range(1, RUN_DAYS + 1):
            added = [fill for fill in self._list(day - (days - 1) * _DAY, at) if is_near(fill)]
            run += added
            if not run:
                return None
            value = self._mean(run, name, sold, least, bounded=middle is not None) if added else None
            if value is not None:
                counts = [hours for fill in run for hours in self._rows[fill]]
                return Print(day, value, days, len(counts), sum(counts), provisional)
        return None

    def _count_sold(self, day: date, at: datetime, name: Callable[[str], str]) -> Sold | None:
        """Return what each seller had sold long enough before a day: GPU-hours, and millionths of a USD."""
        old = [
            fill
            for known in self._days
            if RUN_DAYS <= (day - known).days <= CARRY_DAYS
            for fill in self._list(known, at)
        ]
        return self._sum_sold(old, [name(fill.seller) for fill in old]) if old else None

    def _sum_sold(self, fills: Sequence[Fill], sellers: Sequence[str]) -> Sold:
        sold: Sold = (Counter(), Counter())
        for seller, fill in zip(sellers, fills, strict=True):
            hours = sum(self._rows[fill])
            sold[0][seller] += hours
            sold[1][seller] += int(fill.price * hours * _MILLION)
        return sold

    def _weigh(
        self, fills: Sequence[Fill], name: Callable[[str], str], sold: Sold | None
    ) -> tuple[list[str], list[str | None], list[int]]:
        """Return buyer, seller (None: one that had sold nothing) and thousandths of a GPU-hour of each fill."""
        hours = [sum(self._rows[fill]) for fill in fills]
        buyers, sellers = [name(fill.buyer) for fill in fills], [name(fill.seller) for fill in fills]
        if sold is None:
            return buyers, [*sellers], [1_000 * each for each in hours]
        old_hours, old_paid = sold
        new_hours, new_paid = self._sum_sold(fills, sellers)
        parts: dict[str, Fraction] = {}
        for seller in set(sellers):
            part = Fraction(1)
            if old_paid[seller]:
                part = min(part, Fraction(old_hours[seller], new_hours[seller]))
                if new_paid[seller]:
                    part = min(part, Fraction(NEAR * old_paid[seller], new_paid[seller]))
            parts[seller] = part
        weights = [int(1_000 * each * parts[seller]) for seller, each in zip(sellers, hours, strict=True)]
        return buyers, [seller if old_paid[seller] else None for seller in sellers], weights

    def _list_prices(self, day: date) -> Iterator[Decimal]:
        for prices in self._listed.values():
            days = [known for known in prices if known <= day]
            if days:
                yield prices[max(days)]

    def _group(self, day: date, at: datetime) -> Callable[[str], str]:
        """Return what names the trader that a party is part of, by the relations that count for a day."""
        owners, traders = dict[str, str](), dict[str, str]()
        for tie in self._ties:
            if tie.counts(day, at, firm=True):
                _join(owners, *tie.ends)
        joined = set()
        for tie in self._ties:
            if tie.counts(day, at, firm=False):
                one, other = (_root(owners, end) for end in tie.ends)
                if one != other and one not in joined:
                    joined.add(one)
                    _join(traders, one, other)
        return lambda party: _root(traders, _root(owners, party))

    def _mean(
        self,
        fills: Sequence[Fill],
        name: Callable[[str], str],
        sold: Sold | None = None,
        usual: int = 0,
        *,
        bounded: bool = False,
    ) -> Decimal | None:
        """Return the mean price of the middle third by weight; None if the fills do not print.

        They have to weigh a quarter of `usual`, without new sellers. Where no prices are left out, fills under half of
        the mean by money weigh what their money would buy at it.
        """
        buyers, sellers, own = self._weigh(fills, name, sold)
        if min(len(set(side)) for side in (buyers, sellers)) < PARTIES or sum(own) < 1_000 * GPU_HOURS:
            return None
        if len({party for fill in fills for party in (fill.buyer, fill.seller)}) < 2 * PARTIES:
            return None
        if 4 * sum(each for seller, each in zip(sellers, own, strict=True) if seller is not None) < usual:
            return None
        sides = [buyers, [seller or "" for seller in sellers]]
        prices = [fill.price for fill in fills]
        if not bounded and any(NEAR * price < max(prices) for price in prices):
            money = [int(price * each) for price, each in zip(prices, own, strict=True)]
            mean = _take_middle(prices, sides, money)
            if mean is None:
                return None
            own = [
                int(price * each / mean) if NEAR * price < mean else each
                for price, each in zip(prices, own, strict=True)
            ]
        value = _take_middle(prices, sides, own)
        return None if value is None else Decimal(round(value * _MILLION)) / _MILLION


def _take_middle(prices: Sequence[Fraction], sides: Sequence[Sequence[str]], own: Sequence[int]) -> Fraction | None:
    """Return the mean price of the middle third by weight; None if no bound leaves nobody above a third."""
    weights = _bound(sides, own)
    if weights is None:
        return None
    whole, most = sum(weights), _count_most(sides, weights)
    start, passed, paid = max(whole, 3 * most), 0, Fraction(0)
    stop = 3 * whole - start
    for price, weight in sorted(zip(prices, weights, strict=True)):
        inside = min(passed + 3 * weight, stop) - max(passed, start)
        paid += price * max(inside, 0)
        passed += 3 * weight
    return paid / (stop - start)


def _root(parents: Mapping[str, str], party: str) -> str:
    while party in parents:
        party = parents[party]
    return party


def _join(parents: dict[str, str], one: str, other: str) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one != other:
        parents[one] = other


def _sum(side: Sequence[str], weights: Sequence[int]) -> dict[str, int]:
    sums = dict.fromkeys(side, 0)
    for party, weight in zip(side, weights, strict=True):
        sums[party] += weight
    return sums


def _count_most(sides: Sequence[Sequence[str]], weights: Sequence[int]) -> int:
    return max(max(_sum(side, weights).values()) for side in sides)


def _cut(sides: Sequence[Sequence[str]], weights: Sequence[int], most: int) -> list[int]:
    """Return the weights with each buyer, then each seller, cut to `most` in proportion."""
    cut = list(weights)
    for side in sides:
        sums = _sum(side, cut)
        cut = [
            each if sums[party] <= most else each * most // sums[party] for party, each in zip(side, cut, strict=True)
        ]
    return cut


def _bound(sides: Sequence[Sequence[str]], weights: Sequence[int]) -> list[int] | None:
    """Return the weights under the highest bound that leaves nobody above a third; None if there is none."""

    def fits(cut: Sequence[int]) -> bool:
        return PARTIES * _count_most(sides, cut) <= sum(cut) + 2 * len(cut)

    below, above = 0, sum(weights) + 1
    while above - below > 1:
        bound = (below + above) // 2
        below, above = (bound, above) if fits(_cut(sides, weights, bound)) else (below, bound)
    cut = _cut(sides, weights, below)
    return cut if below and 2 * _count_most(sides, cut) < sum(cut) else None


def _find_median(prices: Sequence[Decimal]) -> Decimal | None:
    """Return the median of sorted prices; None if there are none."""
    half = len(prices) // 2
    return None if not prices else prices[half] if len(prices) % 2 else (prices[half - 1] + prices[half]) / 2
