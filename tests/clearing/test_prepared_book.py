"""A quote is the number that an auction on the same book would name, and it is the threshold where it says so."""

from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid
from marketplace.clearing.quotes.prepared_book import estimate, prepare
from marketplace.core.errors import Refusal
from tests.clearing.books import book, market_book, order, random_book

CENT = Decimal("0.01")


def ask(whole):
    """Return the estimate for a book's last order, and the book without it."""
    rest = replace(whole, orders=whole.orders[:-1])
    return estimate(prepare(rest, seed=1), whole.orders[-1])


def decide(whole, value):
    """Return what an auction decides for the last order if every bid of it is worth `value`."""
    last = whole.orders[-1]
    bids = tuple(replace(bid, value_usd_per_gpu_hour=value) for bid in last.bids)
    return clear(replace(whole, orders=(*whole.orders[:-1], replace(last, bids=bids))), seed=1).decisions[-1]


def list_sure():
    for seed in range(40):
        whole = random_book(seed, orders=2 + seed % 6, pools=1 + seed % 2, periods=8, mandates=seed % 3 == 0)
        answer = ask(whole)
        if answer.sure:
            yield seed, whole, answer


def test_a_sure_price_wins_and_a_cent_less_loses():
    found = list(list_sure())
    assert len(found) >= 10
    for seed, whole, answer in found:
        price = answer.price_to_win_usd_per_gpu_hour
        assert decide(whole, price).match is not None, seed
        if price:
            assert decide(whole, price - CENT).match is None, seed


def test_the_quote_is_the_number_that_a_loser_is_told():
    told = 0
    for seed, whole, answer in list_sure():
        price = answer.price_to_win_usd_per_gpu_hour
        if price > CENT:
            decision = decide(whole, CENT / 2)
            assert decision.price_to_win_usd_per_gpu_hour == price, seed
            told += 1
    assert told >= 5


def test_free_capacity_costs_its_ask_and_a_cent():
    answer = ask(book(order("mine", 2, 3, (0, 2))))
    assert (answer.price_to_win_usd_per_gpu_hour, answer.sure) == (Decimal("1.01"), True)
    first = answer.placements[0]
    assert (first.pool_id, first.price_usd_per_gpu_hour, first.displaced) == ("p", Decimal(1), 0)
    assert first.end_period - first.start_period == 3


def test_capacity_that_others_want_costs_what_they_would_gain():
    answer = ask(book(order("theirs", 4, 10, (0, 0), value="3"), order("mine", 4, 10, (0, 0))))
    assert (answer.price_to_win_usd_per_gpu_hour, answer.sure) == (Decimal("3.01"), True)
    assert answer.placements[0].displaced == 1


def test_what_no_price_would_win_has_a_reason():
    answer = ask(book(order("mine", 5, 3, (0, 2))))
    assert answer.price_to_win_usd_per_gpu_hour is None
    assert (answer.reason.code, answer.reason.facts["largest_nodes"], answer.placements) == ("never_feasible", "4", ())
    nowhere = replace(order("mine", 1, 1, (0, 0)), bids=())
    assert estimate(prepare(book(), seed=1), nowhere).reason.code == "no_eligible_pool"


def test_asking_leaves_the_book_as_it_was():
    prepared = prepare(market_book(3, orders=60, pools=6), seed=1)
    before = (list(prepared.solved.allocation.placed), prepared.solved.allocation.total)
    asked = order("mine", 8, 10, (0, 20), *(Bid(f"p{pool}", Decimal(4)) for pool in range(6)))
    first = estimate(prepared, asked)
    assert estimate(prepared, asked) == first
    assert (list(prepared.solved.allocation.placed), prepared.solved.allocation.total) == before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_an_order_offers_does_not_change_its_quote(seed):
    prepared = prepare(market_book(seed, orders=60, pools=6, mandates=True), seed=1)
    answers = [
        estimate(prepared, order("mine", 8, 10, (0, 20), *(Bid(f"p{pool}", Decimal(value)) for pool in range(6))))
        for value in ("0.01", "4")
    ]
    assert answers[0] == answers[1]
    assert answers[0].lower_usd_per_gpu_hour <= answers[0].upper_usd_per_gpu_hour


def test_lots_that_no_other_order_names_together_are_quoted():
    lots = (("a", 4, 0, 10, "1"), ("b", 4, 0, 10, "2"))
    prepared = prepare(book(order("theirs", 4, 10, (0, 0)), lots=lots), seed=1)
    answer = estimate(prepared, order("mine", 4, 10, (0, 0), Bid("p", Decimal(5), ("b",))))
    assert answer.price_to_win_usd_per_gpu_hour == Decimal("2.01")
    assert answer.placements[0].displaced == 0


def test_an_order_that_breaks_a_rule_is_refused():
    with pytest.raises(Refusal) as refused:
        estimate(prepare(book(), seed=1), order("mine", 0, 1, (0, 0)))
    assert refused.value.code == "invalid_quantity"


@pytest.mark.parametrize(("parent", "code"), [("nobody", "unknown_parent"), ("mine", "linked_cycle")])
def test_a_link_that_leads_nowhere_is_refused_at_its_place_in_the_book(parent, code):
    mine = replace(order("mine", 1, 1, (0, 0)), parent_id=parent)
    with pytest.raises(Refusal) as refused:
        ask(book(order("theirs", 1, 1, (0, 0)), mine))
    assert (refused.value.code, refused.value.pointer) == (code, "/orders/1/parent_id")
