"""A loser raised to its price to win is accepted, and for a cent less rejected, by the whole engine run again."""

from decimal import Decimal

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Book, Lot, Order, Pool
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.money import PRICE_MAX_USD_PER_GPU_HOUR
from tests.clearing.books import book, market_book, order
from tests.clearing.tight_books import find_decision, raise_order, tight_book

CENT = Decimal("0.01")
BOOKS_PER_TEST = 10


def wins(given, order_id, value, seed):
    """Tell whether the engine, run on the book with the order raised to a value, accepts it."""
    return find_decision(clear(raise_order(given, order_id, value), seed=seed), order_id).match is not None


def losers(clearing):
    return [decision for decision in clearing.decisions if decision.match is None]


@pytest.mark.parametrize("first", range(0, 240, BOOKS_PER_TEST))
def test_the_price_to_win_wins_and_a_cent_less_loses(first):
    checked = 0
    for seed in range(first, first + BOOKS_PER_TEST):
        given = tight_book(seed)
        lost = losers(clear(given, seed=seed))
        for decision in lost[seed % max(1, len(lost)) :][:1]:
            price = decision.price_to_win_usd_per_gpu_hour
            if price is None:
                assert not wins(given, decision.order_id, PRICE_MAX_USD_PER_GPU_HOUR, seed)
                continue
            assert decision.price_to_win_range.guarantee == "exact"
            assert wins(given, decision.order_id, price, seed), (seed, decision.order_id)
            assert not wins(given, decision.order_id, price - CENT, seed), (seed, decision.order_id)
            checked += 1
    assert checked > 0


def _bids(**values):
    return tuple(Bid(pool_id, Decimal(value)) for pool_id, value in values.items())


TIES = [
    # Two alike want the only slot.
    book(order("one", 4, 10, (0, 0)), order("two", 4, 10, (0, 0))),
    # A bid is worth just the ask of its lot, which gains nothing.
    book(order("even", 1, 1, (0, 0), value="1")),
    # Found by the property: at 6.01 HiGHS, given a start, took 101.00 for the best where 101.08 was.
    Book(
        1,
        2,
        (Pool("p", 1), Pool("q", 8)),
        (Lot("a", "p", 6, 0, 2, Decimal(1)), Lot("b", "q", 1, 0, 2, Decimal(1))),
        (
            order("o0", 1, 1, (0, 0), *_bids(q=5)),
            order("o1", 1, 1, (0, 0), *_bids(p=4)),
            order("o2", 1, 1, (0, 1), *_bids(q=7)),
            order("o3", 1, 1, (1, 2), *_bids(p=3, q=5)),
            order("o4", 1, 1, (1, 3), *_bids(p=5, q=4)),
            order("o5", 2, 1, (1, 2), *_bids(p=3)),
            order("o6", 1, 1, (0, 0), *_bids(q=2)),
            order("o7", 1, 1, (1, 3), *_bids(p=1, q=6)),
        ),
    ),
]


@pytest.mark.parametrize("given", TIES)
def test_the_price_to_win_holds_in_known_ties(given):
    for decision in losers(clear(given, seed=327)):
        price = decision.price_to_win_usd_per_gpu_hour
        assert decision.price_to_win_range.guarantee == "exact"
        assert wins(given, decision.order_id, price, 327)
        assert not wins(given, decision.order_id, price - CENT, 327)


def test_raising_leaves_bids_above_the_price_as_they_are():
    given = tight_book(127)
    raised = raise_order(given, "o0", Decimal(2))
    pairs = zip(given.orders[0].bids, raised.orders[0].bids, strict=True)
    assert all(
        after.value_usd_per_gpu_hour == max(before.value_usd_per_gpu_hour, Decimal(2)) for before, after in pairs
    )


def test_on_a_book_too_large_for_it_the_decision_says_between_which_prices_the_threshold_lies():
    ranges = [
        (decision.price_to_win_range, decision.price_to_win_usd_per_gpu_hour)
        for decision in losers(clear(market_book(3, orders=120, pools=8), seed=3, iterations=1))
        if decision.price_to_win_usd_per_gpu_hour is not None
    ]
    assert ranges
    for proven, price in ranges:
        assert proven.guarantee == "indicative"
        assert proven.lower_usd_per_gpu_hour <= price
        assert proven.upper_usd_per_gpu_hour is None or price <= proven.upper_usd_per_gpu_hour


@pytest.mark.parametrize("seed", range(12))
def test_the_proven_range_holds_the_exact_threshold(seed, monkeypatch):
    """Where the same book is solved exactly, its thresholds lie within what is proven without that."""
    given = tight_book(seed)
    exact = clear(given, seed=seed)
    monkeypatch.setattr("marketplace.clearing.search.solving.EXACT_COLUMNS_MAX", -1)
    for decision in losers(clear(given, seed=seed)):
        other, proven = find_decision(exact, decision.order_id), decision.price_to_win_range
        price = other.price_to_win_usd_per_gpu_hour
        if proven is None or price is None:
            continue
        assert proven.lower_usd_per_gpu_hour <= price
        if proven.upper_usd_per_gpu_hour is not None:
            assert price <= proven.upper_usd_per_gpu_hour


def test_a_book_of_many_bids_and_losers_is_not_solved_again_for_every_loser():
    """Such a book kept the engine for ten minutes after an hour of faults, and no auction behind it was locked."""
    pools = [f"p{at}" for at in range(52)]
    lots = tuple(Lot(f"l{pool}", pool, 1, 0, 1, Decimal(2)) for pool in pools)
    orders = tuple(
        Order(f"o{at}", 1, 1, 0, 0, tuple(Bid(pool, Decimal(at % 7 + 1) / 4) for pool in pools)) for at in range(268)
    )
    crowded = Book(24, 6, tuple(Pool(pool, 8) for pool in pools), lots, orders)
    clearing = clear(crowded, seed=1)
    assert find_violations(crowded, clearing) == ()
    found = [each.price_to_win_range for each in clearing.decisions if each.price_to_win_range is not None]
    assert len(found) == 268
    assert {each.guarantee for each in found} == {"indicative"}
