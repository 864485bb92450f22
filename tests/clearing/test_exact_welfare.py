"""Welfare is a whole number of micro-dollars, however dear a book is."""

from dataclasses import replace

import pytest

from marketplace.clearing.arrays.allocation import FLOAT_EXACT_MAX, Allocation
from marketplace.clearing.arrays.grid import compile_book
from tests.clearing.books import random_book


def fill(whole):
    """Return an allocation that takes in what gains, in the book's order."""
    allocation = Allocation(compile_book(whole))
    for order in range(len(whole.orders)):
        allocation.insert(order)
    return allocation


def multiply(whole, factor):
    """Return a book in which every price is a multiple of what it was."""
    lots = tuple(replace(lot, ask_usd_per_gpu_hour=lot.ask_usd_per_gpu_hour * factor) for lot in whole.lots)
    orders = tuple(
        replace(
            order,
            bids=tuple(replace(bid, value_usd_per_gpu_hour=bid.value_usd_per_gpu_hour * factor) for bid in order.bids),
        )
        for order in whole.orders
    )
    return replace(whole, lots=lots, orders=orders)


@pytest.mark.parametrize("mandates", [False, True])
def test_prices_a_hundred_million_times_as_high_make_that_much_more_welfare(mandates):
    factor, beyond, within = 10**8, 0, 0
    for seed in range(12):
        whole = random_book(seed, orders=24, pools=2, periods=24, mandates=mandates)
        cheap, dear = fill(whole), fill(multiply(whole, factor))
        assert dear.placed == cheap.placed
        assert dear.exact_micros() == cheap.exact_micros() * factor
        assert dear.total > FLOAT_EXACT_MAX
        costs = dear.cost.sum(axis=1)
        beyond += int((costs >= FLOAT_EXACT_MAX).sum())
        within += int(((costs > 0) & (costs < FLOAT_EXACT_MAX)).sum())
    assert beyond > 0
    assert within > 0
