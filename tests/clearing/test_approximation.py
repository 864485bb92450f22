"""An approximation is ready at once, and what it says is true of the book: its bound, and the interval of a price."""

from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.clearing.model import Bid
from marketplace.clearing.program.dual_descent import descend
from marketplace.clearing.quotes import prepared_book
from marketplace.clearing.quotes.prepared_book import approximate, estimate, prepare
from tests.clearing.books import market_book, order, random_book
from tests.clearing.ruled_books import random_ruled_book


@pytest.fixture
def large(monkeypatch):
    """Let no book be small enough to be solved at once."""
    monkeypatch.setattr("marketplace.clearing.quotes.prepared_book.EXACT_COLUMNS_MAX_OF_BOOK", 0)


def test_a_small_book_is_solved_as_ever():
    given = random_book(4, orders=8)
    assert approximate(given, seed=1).solved.proven
    assert not approximate(given, seed=1).approximated


@pytest.mark.usefixtures("large")
def test_the_interval_of_an_approximation_encloses_the_price_that_wins():
    compared = 0
    for seed in range(30):
        whole = random_book(seed, orders=3 + seed % 6, pools=1 + seed % 2, periods=8, mandates=seed % 3 == 0)
        rest, mine = replace(whole, orders=whole.orders[:-1]), whole.orders[-1]
        sure, rough = estimate(prepare(rest, seed=1), mine), estimate(approximate(rest, seed=1), mine)
        price = sure.price_to_win_usd_per_gpu_hour
        if price is not None and sure.sure and not rough.sure and rough.lower_usd_per_gpu_hour is not None:
            compared += 1
            assert rough.lower_usd_per_gpu_hour <= price, seed
            assert rough.upper_usd_per_gpu_hour is None or price <= rough.upper_usd_per_gpu_hour, seed
    assert compared >= 10


@pytest.mark.usefixtures("large")
def test_prices_of_the_book_before_serve_the_one_that_changed():
    given = market_book(3, orders=60, pools=6)
    before = prepare(given, seed=1)
    changed = replace(given, orders=given.orders[1:])
    plain, known = approximate(changed, seed=1), approximate(changed, seed=1, prior=before)
    true = prepare(changed, seed=1)
    assert true.solved.bound <= known.solved.bound < plain.solved.bound
    assert known.solved.allocation.total <= true.solved.bound * 10**6


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("shift", [-5, 3, 400])
def test_prices_of_a_book_of_other_days_are_read_on_the_same_days(shift):
    lots = market_book(3, orders=60, pools=6)
    before = prepare(lots, seed=1)
    later = replace(
        lots,
        lots=tuple(
            replace(lot, from_period=max(lot.from_period - shift, 0), to_period=lot.to_period - shift)
            for lot in lots.lots
            if lot.to_period - shift > 0 and lot.to_period - shift <= lots.periods
        ),
        orders=tuple(
            replace(each, start_earliest=each.start_earliest - shift, start_latest=each.start_latest - shift)
            for each in lots.orders
            if each.start_earliest >= shift
        ),
    )
    found = approximate(later, seed=1, prior=before, shift=shift)
    assert found.solved.bound >= prepare(later, seed=1).solved.bound
    asked = order("mine", 8, 10, (0, 20), *(Bid(f"p{pool}", Decimal(4)) for pool in range(6)))
    assert estimate(found, asked).reason is not None or estimate(found, asked).placements


def check_allocation(prepared):
    """No pool carries more than it has, everyone could be charged a price, and rules hold."""
    allocation = prepared.solved.allocation
    assert not any(allocation.is_overloaded(pool) for pool in range(len(allocation.members)))
    assert not allocation.list_unsupported()
    assert not allocation.breaks_rules()
    assert allocation.total == pytest.approx(allocation.welfare())
    assert allocation.total <= prepared.solved.bound * 10**6


@pytest.mark.usefixtures("large")
def test_orders_that_come_are_brought_into_what_is_known(monkeypatch):
    given = market_book(3, orders=60, pools=6)
    before = approximate(replace(given, orders=given.orders[:55]), seed=1)
    monkeypatch.setattr("marketplace.clearing.quotes.prepared_book.list_columns", None)
    grown = approximate(given, seed=1, prior=before)
    check_allocation(grown)
    monkeypatch.undo()
    assert (grown.approximated, grown.book_hash) == (True, prepare(given, seed=1).book_hash)
    assert before.solved.allocation.total <= grown.solved.allocation.total
    assert prepare(given, seed=1).solved.allocation.total <= grown.solved.bound * 10**6
    assert len(before.solved.allocation.placed) == 55


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("change", ["an order gone", "a lot smaller", "a lot more", "an order worth less"])
def test_what_changed_is_gone_on_with(monkeypatch, change):
    given = market_book(3, orders=60, pools=6)
    lot, first = given.lots[0], given.orders[0]
    changed = {
        "an order gone": replace(given, orders=given.orders[1:]),
        "a lot smaller": replace(given, lots=(replace(lot, nodes=1), *given.lots[1:])),
        "a lot more": replace(given, lots=(*given.lots, replace(lot, lot_id="more"))),
        "an order worth less": replace(
            given,
            orders=(
                replace(first, bids=tuple(replace(bid, value_usd_per_gpu_hour=Decimal("0.01")) for bid in first.bids)),
                *given.orders[1:],
            ),
        ),
    }[change]
    before = prepare(given, seed=1)
    monkeypatch.setattr("marketplace.clearing.quotes.prepared_book.greedy", None)
    found = approximate(changed, seed=1, prior=before)
    monkeypatch.undo()
    check_allocation(found)
    true = prepare(changed, seed=1).solved
    assert float(found.solved.bound) >= true.allocation.total / 10**6
    assert found.solved.allocation.total >= 0.9 * true.allocation.total


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("seed", range(12))
def test_any_book_is_warm_started_or_approximated_anew(seed):
    given = random_ruled_book(seed, orders=6) if seed % 2 else random_book(seed, orders=12, pools=2, periods=8)
    before = approximate(replace(given, orders=given.orders[:-1]), seed=1)
    found = approximate(given, seed=1, prior=before)
    check_allocation(found)
    assert float(found.solved.bound) >= prepare(given, seed=1).solved.allocation.total / 10**6


@pytest.mark.usefixtures("large")
def test_a_book_that_became_another_is_approximated_anew(monkeypatch):
    pool = market_book(3, orders=120, pools=6)
    anew = []
    monkeypatch.setattr(prepared_book, "descend", lambda *given: anew.append(len(given)) or descend(*given))
    known = approximate(replace(pool, orders=pool.orders[:60]), seed=1)
    for first in range(1, 61):
        known = approximate(replace(pool, orders=pool.orders[first : first + 60]), seed=1, prior=known)
        check_allocation(known)
    assert 3 <= len(anew) <= 10
