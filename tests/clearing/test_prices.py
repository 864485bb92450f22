"""Among the lawful uniform prices the published ones are those that the stated aims choose.

The aims are computed here from book and published clearing alone, and compared with every lawful price on a grid.
"""

import itertools
import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Book, Lot, Order, Pool
from marketplace.clearing.program import pricing
from marketplace.clearing.verify.verifier import find_violations
from tests.clearing.books import book, market_book, order

QUARTERS = [Fraction(quarter, 4) for quarter in range(33)]
TOLERANCE = Fraction(1, 1_000)
"""US dollars; prices are whole micro-dollars."""


class Published:
    """What a clearing of a book of one pool published, and what it leaves idle."""

    def __init__(self, cleared_book, clearing):
        self.book = cleared_book
        self.periods = range(cleared_book.periods)
        self.hours = cleared_book.pools[0].gpus_per_node * cleared_book.period_hours
        self.matches = {each.order_id: each.match for each in clearing.decisions if each.match is not None}
        used = dict.fromkeys(((lot.lot_id, period) for lot in cleared_book.lots for period in self.periods), 0)
        for match in self.matches.values():
            for share in match.lots:
                for period in range(share.from_period, share.to_period):
                    used[share.lot_id, period] += share.nodes
        self.offers = [
            [(Fraction(lot.ask_usd_per_gpu_hour), lot.nodes, used[lot.lot_id, period]) for lot in self._list(period)]
            for period in self.periods
        ]
        self.load = [sum(in_use for _, _, in_use in offers) for offers in self.offers]
        self.prices = [Fraction(0)] * cleared_book.periods
        for run in clearing.prices:
            for period in range(run.from_period, run.to_period):
                self.prices[period] = Fraction(run.price_usd_per_gpu_hour)

    def _list(self, period):
        return [lot for lot in self.book.lots if lot.from_period <= period < lot.to_period]

    def bound(self, period):
        """Return the least and the highest lawful price of a period."""
        asks = [ask for ask, _, in_use in self.offers[period] if in_use]
        if not asks:
            idle = min((ask for ask, nodes, _ in self.offers[period] if nodes), default=Fraction(0))
            return idle, idle
        bids = [
            Fraction(bid.value_usd_per_gpu_hour)
            for each in self.book.orders
            for bid in each.bids
            if each.start_earliest <= period < each.start_latest + each.duration_periods
        ]
        return max(asks), max(*asks, *bids)

    def is_lawful(self, prices):
        """Tell whether accepted orders can pay the prices, and every period's is within its bounds."""
        bounds = [self.bound(period) for period in self.periods]
        return all(low <= price <= high for price, (low, high) in zip(prices, bounds, strict=True)) and all(
            sum(prices[match.start_period : match.end_period])
            <= Fraction(match.value_usd_per_gpu_hour) * (match.end_period - match.start_period)
            for match in self.matches.values()
        )

    def judge(self, prices):
        """Return the four aims at some prices: forgone where nodes are idle, by all rejected, change, and payment."""
        idle = sum(
            max(0, prices[period] - ask) * (nodes - in_use) * self.hours
            for period in self.periods
            for ask, nodes, in_use in self.offers[period]
            if self.load[period]
        )
        free = sum(
            self._gain(each, prices, [sum(n - u for _, n, u in offers) for offers in self.offers], is_paid=True)
            for each in self._rejected()
        )
        every = sum(
            self._gain(each, prices, [sum(n for _, n, _ in offers) for offers in self.offers])
            for each in self._rejected()
        )
        change = sum(
            abs(prices[period] - prices[period + 1])
            for period in self.periods[:-1]
            if self.load[period] and self.load[period + 1]
            if self._list(period) == self._list(period + 1)
        )
        paid = sum(price * load * self.hours for price, load in zip(prices, self.load, strict=True))
        return (idle + free, every, change, paid)

    def list_idle(self):
        """Return idle nodes, ask and cause of each lot and period with an idle node that asks less than the price."""
        idle = {}
        for period, price in enumerate(self.prices):
            dearest = max((ask for ask, _, in_use in self.offers[period] if in_use), default=price)
            for lot, (ask, nodes, in_use) in zip(self._list(period), self.offers[period], strict=True):
                if self.load[period] and nodes > in_use and ask < price:
                    cause = "used_lot" if price == dearest else "rejected_orders"
                    idle[lot.lot_id, period] = (nodes - in_use, ask, price, cause)
        return idle

    def read_idle(self, clearing):
        """Return the same as the clearing states it, and check its total."""
        idle = {
            (row.lot_id, period): (row.nodes, row.ask_usd_per_gpu_hour, row.price_usd_per_gpu_hour, row.cause)
            for row in clearing.idle_supply
            for period in range(row.from_period, row.to_period)
        }
        total = sum((price - ask) * nodes * self.hours for nodes, ask, price, _ in idle.values())
        assert clearing.certificate.idle_supply_usd == total
        return idle

    def _rejected(self):
        return [each for each in self.book.orders if each.order_id not in self.matches]

    def _find_dearest(self, nodes, period):
        """Return the ask of the dearest idle node that so many nodes take in a period, the cheapest first."""
        for ask, offered, in_use in sorted(self.offers[period]):
            nodes -= offered - in_use
            if nodes <= 0:
                return ask
        raise AssertionError("they fit")

    def _gain(self, each, prices, room, *, is_paid=False):
        """Return what an order would gain on its best start; with `is_paid` where it pays the dearest idle node."""
        last = min(each.start_latest, self.book.periods - each.duration_periods)
        best = Fraction(0)
        for start in range(each.start_earliest, last + 1):
            run = range(start, start + each.duration_periods)
            if not all(room[period] >= each.nodes for period in run):
                continue
            asked = sum(self._find_dearest(each.nodes, period) for period in run) if is_paid else 0
            if asked <= Fraction(each.bids[0].value_usd_per_gpu_hour) * len(run):
                worth = Fraction(each.bids[0].value_usd_per_gpu_hour) * len(run) - sum(prices[p] for p in run)
                best = max(best, worth * each.nodes * self.hours)
        return best


def quarter_book(seed):
    """Make a book of one pool over three periods whose asks and values are whole quarters of a dollar."""
    pick = random.Random(seed)
    lots = tuple(
        Lot(f"l{at}", "p", pick.randint(1, 4), 0, pick.choice((2, 3, 3)), Decimal(pick.randint(4, 12)) / 4)
        for at in range(pick.randint(1, 3))
    )
    orders = []
    for at in range(pick.randint(3, 7)):
        duration = pick.randint(1, 3)
        first = pick.randint(0, 3 - duration)
        bid = Bid("p", Decimal(pick.randint(4, 24)) / 4)
        orders.append(Order(f"o{at}", pick.randint(1, 4), duration, first, pick.randint(first, 3 - duration), (bid,)))
    return Book(24, 3, (Pool("p", 8),), lots, tuple(orders))


def quarters(pick, low, high):
    return Decimal(pick.randint(low, high)) / 4


def is_better(found, other):
    """Tell whether the first aims that differ are better in `other`."""
    for mine, theirs in zip(found, other, strict=True):
        if abs(mine - theirs) > TOLERANCE:
            return theirs < mine
    return False


@pytest.mark.parametrize("seed", [*range(38), 74, 103])
def test_no_lawful_price_on_a_grid_serves_the_aims_better(seed):
    cleared_book = quarter_book(seed)
    clearing = clear(cleared_book, seed=1)
    assert find_violations(cleared_book, clearing) == ()
    published = Published(cleared_book, clearing)
    assert published.is_lawful(published.prices)
    found = published.judge(published.prices)
    assert published.list_idle() == published.read_idle(clearing)
    bounds = [published.bound(period) for period in published.periods]
    grids = [[low, *(price for price in QUARTERS if low < price < high), high] for low, high in bounds]
    for prices in itertools.product(*grids):
        if published.is_lawful(prices):
            assert not is_better(found, published.judge(prices)), (prices, published.prices)


def test_identical_days_have_one_price_that_some_bid_would_pay():
    asks = (("a", 20, 0, 10, "2"),)
    long = [
        order(f"long{at}", 4, 10, (0, 0), value=value) for at, value in enumerate(("3.6", "3.5", "3.2", "3", "2.8"))
    ]
    rejected = [order(f"out{at}", 4, 10, (0, 0), value="2.4") for at in range(3)]
    published = Published(made := book(*long, *rejected, lots=asks), clear(made, seed=1))
    assert set(published.prices) == {Fraction(12, 5)}


@pytest.mark.parametrize("seed", range(16))
def test_identical_periods_have_identical_prices(seed):
    """The same lots over all periods, orders for the whole horizon, and the same orders for each single period."""
    pick = random.Random(seed)
    days = pick.randint(2, 6)
    lots = tuple(
        (f"l{at}", pick.randint(1, 6), 0, days, str(quarters(pick, 4, 16))) for at in range(pick.randint(1, 3))
    )
    long = [
        order(f"o{at}", pick.randint(1, 4), days, (0, 0), value=str(quarters(pick, 4, 28)))
        for at in range(pick.randint(1, 4))
    ]
    daily = [(pick.randint(1, 3), str(quarters(pick, 4, 28))) for _ in range(pick.randint(0, 4))]
    same = [
        order(f"d{day}_{at}", nodes, 1, (day, day), value=value)
        for day in range(days)
        for at, (nodes, value) in enumerate(daily)
    ]
    published = Published(made := book(*long, *same, lots=lots, periods=days), clear(made, seed=1))
    assert len(set(published.prices)) == 1


def test_nobody_pays_more_than_an_idle_node_asks():
    days = [order(f"day{day}_{at}", 4, 1, (day, day), value="3") for day in range(10) for at in range(4)]
    published = Published(made := book(*days, lots=(("a", 20, 0, 10, "2"),)), clear(made, seed=1))
    assert published.load == [16] * 10
    assert set(published.prices) == {Fraction(2)}


@pytest.mark.parametrize(("dummy", "shill"), [("50", "4.9"), ("7", "4.9"), ("9", "5.7")])
def test_nodes_that_nobody_pays_and_an_order_too_large_for_the_others_raise_no_price_above_an_idle_ask(dummy, shill):
    orders = order("honest", 2, 10, (0, 0), value="9.5"), order("shill", 4, 10, (0, 0), value=shill)
    made = book(*orders, lots=(("a", 4, 0, 10, "2.1"), ("dummy", 4, 0, 10, dummy)))
    clearing = clear(made, seed=1)
    assert set(Published(made, clearing).prices) == {Fraction("2.1")}
    assert clearing.idle_supply == ()


def test_a_price_that_the_solver_left_above_an_idle_ask_without_a_gain_is_lowered(monkeypatch):
    days = [order(f"day{at}", 4, 1, (0, 0), value="3") for at in range(4)]
    made = book(*days, lots=(("a", 20, 0, 1, "2"),), periods=1)
    choose = pricing.choose_prices
    monkeypatch.setattr(pricing, "choose_prices", lambda *given: [price + 12 for price in choose(*given)])
    clearing = clear(made, seed=1)
    assert [run.price_usd_per_gpu_hour for run in clearing.prices] == [2]
    assert clearing.idle_supply == ()


def test_a_used_lot_gets_its_ask_above_every_bid_where_the_run_pays_for_it_elsewhere():
    lots = (("cheap", 1, 0, 1, "1"), ("dear", 1, 1, 2, "4"))
    made = book(order("run", 1, 2, (0, 0), value="3"), lots=lots, periods=2)
    published = Published(made, clearing := clear(made, seed=1))
    assert find_violations(made, clearing) == ()
    assert published.prices[1] == 4 > published.matches["run"].value_usd_per_gpu_hour == 3
    assert sum(published.prices) <= 2 * 3


def test_a_price_above_an_idle_ask_that_a_used_lot_asks_says_so():
    wide = order("wide", 3, 2, (0, 0), value="5")
    made = book(wide, lots=(("a", 2, 0, 2, "1"), ("b", 2, 0, 1, "3"), ("c", 2, 1, 2, "2")), periods=2)
    narrow = replace(made, orders=(replace(wide, nodes=2, bids=(replace(wide.bids[0], lot_ids=("b", "c")),)),))
    clearing = clear(narrow, seed=1)
    assert find_violations(narrow, clearing) == ()
    told = [(row.lot_id, row.from_period, row.price_usd_per_gpu_hour, row.cause) for row in clearing.idle_supply]
    assert told == [("a", 0, 3, "used_lot"), ("a", 1, 2, "used_lot")]
    assert clearing.certificate.idle_supply_usd == (2 + 1) * 2 * 8 * made.period_hours


@pytest.mark.parametrize("seed", range(12))
def test_more_supply_raises_no_price_of_a_divisible_book(seed):
    pick = random.Random(seed)
    wishes = [
        order(f"o{at}", 1, 1, (day := pick.randrange(6), day), value=str(Decimal(pick.randint(100, 900)) / 100))
        for at in range(60)
    ]
    lots = [(f"l{at}", pick.randint(1, 4), 0, 6, str(Decimal(pick.randint(100, 500)) / 100)) for at in range(3)]
    more = [*lots, ("more", pick.randint(1, 3), 0, 6, str(Decimal(pick.randint(100, 500)) / 100))]
    before, after = (
        Published(made := book(*wishes, lots=offered, periods=6), clear(made, seed=1)) for offered in (lots, more)
    )
    assert before.judge(before.prices)[:2] == after.judge(after.prices)[:2] == (0, 0)
    for period in range(6):
        if before.load[period]:
            assert after.prices[period] <= before.prices[period]


def test_a_large_market_prices_no_period_above_every_bid_that_could_use_it():
    made = market_book(3)
    clearing = clear(made, seed=3, iterations=2)
    highest = {}
    for each in made.orders:
        for bid in each.bids:
            for period in range(each.start_earliest, min(each.start_latest + each.duration_periods, made.periods)):
                cell = (bid.pool_id, period)
                highest[cell] = max(highest.get(cell, Decimal(0)), bid.value_usd_per_gpu_hour)
    asks = {lot.lot_id: lot for lot in made.lots}
    used = {}
    for decision in clearing.decisions:
        for share in () if decision.match is None else decision.match.lots:
            for period in range(share.from_period, share.to_period):
                cell, ask = (decision.match.pool_id, period), asks[share.lot_id].ask_usd_per_gpu_hour
                used[cell] = max(used.get(cell, Decimal(0)), ask)
    assert len(used) > 500
    for run in clearing.prices:
        for period in range(run.from_period, run.to_period):
            cell = (run.pool_id, period)
            if cell in used:
                assert run.price_usd_per_gpu_hour <= max(highest[cell], used[cell])
