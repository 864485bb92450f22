"""Checks limits, groups and links of a result, and charges their dual prices, anew from the book; part of the verifier.

Violations: `group` (two of a group are accepted), `link` (a child without its parent), `limit` (more is taken than
there is), `rule_price` (a price that is negative, or of a rule or a period that the book does not have).
"""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Final

from marketplace.clearing.model import Bid, Book, Clearing, Match, Order, Use

Finding = tuple[str, str, str]
Cell = tuple[str, int | None]
MILLION: Final = 1_000_000
_NOTHING: Final = Fraction(0)


class RuleAudit:
    """The rules between the orders of one book, and the prices that a result puts on them."""

    def __init__(self, book: Book, clearing: Clearing) -> None:
        self.book = book
        self.rooms: dict[Cell, Fraction] = {}
        for limit in book.limits:
            span = (None,) if limit.from_period is None else range(limit.from_period, limit.to_period or 0)
            for period in span:
                self.rooms[limit.limit_id, period] = Fraction(limit.amount)
        self.clearing = clearing
        self.limit_price: dict[Cell, Fraction] = {}
        self.group_price: dict[str, Fraction] = {}
        self.link_price: dict[str, Fraction] = {}
        self.children: dict[str, list[str]] = defaultdict(list)
        for order in book.orders:
            if order.parent_id is not None:
                self.children[order.parent_id].append(order.order_id)
        self.wrong = tuple(self._take_in_prices())
        spanned = {limit.limit_id for limit in book.limits if limit.from_period is not None}
        self.price_sums = {
            limit_id: [0, *accumulate(self._price_micro(limit_id, period) for period in range(book.periods))]
            for limit_id in spanned
        }
        self._over: dict[tuple[str, Fraction], list[int]] = {}

    def _take_in_prices(self) -> Iterator[Finding]:
        groups = {order.group_id for order in self.book.orders}
        links = {order.order_id for order in self.book.orders if order.parent_id is not None}
        for price in self.clearing.rule_prices:
            span = (None,) if price.from_period is None else range(price.from_period, price.to_period or 0)
            if price.rule == "limit":
                known = all((price.rule_id, period) in self.rooms for period in span)
            else:
                known = price.rule_id in (groups if price.rule == "group" else links)
            if price.price_usd < 0 or not known:
                yield ("rule_price", price.rule_id, f"{price.price_usd} on a {price.rule} proves nothing")
            elif price.rule == "limit":
                self.limit_price.update(dict.fromkeys(((price.rule_id, at) for at in span), Fraction(price.price_usd)))
            else:
                prices = self.group_price if price.rule == "group" else self.link_price
                prices[price.rule_id] = Fraction(price.price_usd)

    def _price_micro(self, limit_id: str, period: int | None) -> int:
        return int(self.limit_price.get((limit_id, period), _NOTHING) * MILLION)

    def rent(self) -> Fraction:
        """Return what limits (price times room) and groups (price) earn, in US dollars. Links earn nothing."""
        limits = sum((price * self.rooms[cell] for cell, price in self.limit_price.items()), Fraction(0))
        return limits + sum(self.group_price.values(), Fraction(0))

    def charge(self, order: Order, bid: Bid, nodes: int, start: int) -> Fraction:
        """Return what an order pays for the rules' room at their prices, in US dollars; less where it makes room."""
        if not self.clearing.rule_prices:
            return _NOTHING
        total = self.group_price.get(order.group_id or "", Fraction(0))
        total += self.link_price.get(order.order_id, Fraction(0))
        total -= sum(
            (self.link_price.get(child, Fraction(0)) for child in self.children.get(order.order_id, ())), Fraction(0)
        )
        for use in bid.uses:
            price = self._price_micro(use.limit_id, None) * order.duration_periods
            if use.limit_id in self.price_sums:
                sums = self.price_sums[use.limit_id]
                price = sums[start + order.duration_periods] - sums[start]
            if price:
                total += Fraction(use.amount_per_node_period) * nodes * price / MILLION
        return total

    def fits_alone(self, order: Order, bid: Bid, nodes: int, start: int) -> bool:
        """Return whether an order keeps every limit when it is the only one."""
        for use in bid.uses:
            each = Fraction(use.amount_per_node_period) * nodes
            if use.limit_id in self.price_sums:
                over = self._count_over(use.limit_id, each)
                if over[start + order.duration_periods] != over[start]:
                    return False
            elif each * order.duration_periods > self.rooms[use.limit_id, None]:
                return False
        return True

    def _count_over(self, limit_id: str, each: Fraction) -> list[int]:
        """Return in how many periods before each one an amount finds no room."""
        if (limit_id, each) not in self._over:
            rooms = (self.rooms.get((limit_id, period), each) for period in range(self.book.periods))
            self._over[limit_id, each] = [0, *accumulate(int(each > room) for room in rooms)]
        return self._over[limit_id, each]

    def _list_amounts(self, use: Use, duration: int, nodes: int, start: int) -> Iterator[tuple[Cell, Fraction]]:
        each = Fraction(use.amount_per_node_period) * nodes
        yield (use.limit_id, None), each * duration
        for period in range(start, start + duration):
            yield (use.limit_id, period), each

    def find(self, matched: Iterator[tuple[Order, Match]]) -> Iterator[Finding]:
        """Yield what the accepted orders break."""
        yield from self.wrong
        accepted = list(matched)
        names = {order.order_id for order, _ in accepted}
        served: dict[str, str] = {}
        taken: dict[Cell, Fraction] = defaultdict(Fraction)
        for order, match in accepted:
            if order.group_id is not None and served.setdefault(order.group_id, order.order_id) != order.order_id:
                yield ("group", order.order_id, f"is accepted beside {served[order.group_id]} of the same group")
            if order.parent_id is not None and order.parent_id not in names:
                yield ("link", order.order_id, f"is accepted without {order.parent_id}")
            for cell, amount in self._list_takings(order, match):
                taken[cell] += amount
        for (limit_id, period), amount in taken.items():
            room = self.rooms.get((limit_id, period))
            if room is not None and amount > room:
                when = "over all periods" if period is None else f"in period {period}"
                yield ("limit", limit_id, f"is taken {_show(amount)} {when}, it is {_show(room)}")

    def _list_takings(self, order: Order, match: Match) -> Iterator[tuple[Cell, Fraction]]:
        """Yield what a match takes of each limit."""
        bid = find_bid(order, match)
        for use in bid.uses if bid is not None else ():
            yield from self._list_amounts(use, order.duration_periods, match.nodes, match.start_period)


def find_bid(order: Order, match: Match) -> Bid | None:
    """Return the bid that fits a match, the one that takes least of all limits if several do; None without one."""
    lots = {share.lot_id for share in match.lots}
    fitting = [
        bid
        for bid in order.bids
        if (bid.pool_id, bid.mandate_id, bid.value_usd_per_gpu_hour)
        == (match.pool_id, match.mandate_id, match.value_usd_per_gpu_hour)
        and match.nodes in list_sizes(order, bid)
        and (bid.lot_ids is None or lots <= set(bid.lot_ids))
    ]
    return min(fitting, key=lambda bid: sum(use.amount_per_node_period for use in bid.uses), default=None)


def list_sizes(order: Order, bid: Bid) -> list[int]:
    """Return the sizes at which a bid takes its order."""
    return sorted({order.nodes, *order.sizes} if bid.sizes is None else set(bid.sizes))


def _show(amount: Fraction) -> str:
    return str(Decimal(round(amount * 1_000_000)).scaleb(-6))
