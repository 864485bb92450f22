"""Prices to win hold beside groups, links, limits and sizes: the price is accepted, and a cent less is not."""

from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.clearing.engine import clear
from tests.clearing.ruled_books import random_ruled_book

CENT = Decimal("0.01")


def raise_to(book, order_id, price):
    """Return the book with every bid of an order lifted to a price; bids that then read alike differ by mandate."""
    orders = tuple(
        replace(
            order,
            bids=tuple(
                replace(bid, value_usd_per_gpu_hour=max(price, bid.value_usd_per_gpu_hour), mandate_id=str(at))
                for at, bid in enumerate(order.bids)
            ),
        )
        if order.order_id == order_id
        else order
        for order in book.orders
    )
    return replace(book, orders=orders)


def is_matched(book, order_id):
    return next(one for one in clear(book, seed=1).decisions if one.order_id == order_id).match is not None


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_the_price_to_win_wins_beside_rules_and_a_cent_less_loses(first):
    exact = 0
    for seed in range(first, first + 10):
        book = random_ruled_book(seed)
        for decision in clear(book, seed=1).decisions:
            proven = decision.price_to_win_range
            if proven is None or proven.guarantee != "exact":
                continue
            exact += 1
            price = decision.price_to_win_usd_per_gpu_hour
            assert is_matched(raise_to(book, decision.order_id, price), decision.order_id)
            assert not is_matched(raise_to(book, decision.order_id, price - CENT), decision.order_id)
    assert exact
