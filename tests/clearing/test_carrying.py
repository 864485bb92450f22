"""Which lots carry what: against every way of handing them out, one by one."""

import itertools
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from marketplace.clearing.arrays.carrying import UNIONS_MAX, is_laminar, list_unions, stack
from marketplace.clearing.arrays.grid import PoolArrays
from marketplace.clearing.arrays.node_assignment import assign
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from tests.clearing.books import book, market_book, order


def make_yard(asks, offered, layers):
    asks = tuple(sorted(asks))
    return PoolArrays(
        8, tuple("abcd"[: len(asks)]), asks, np.array(asks, float), np.array(offered, float), layers, plain=False
    )


@st.composite
def pool_arrays(draw):
    steps = draw(st.integers(1, 4))
    subsets = [s for size in range(1, steps + 1) for s in itertools.combinations(range(steps), size)]
    layers = draw(st.lists(st.sampled_from(subsets), min_size=1, max_size=4, unique=True))
    layers = tuple(sorted({*layers, tuple(range(steps))}, key=lambda s: (len(s), s)))
    asks = draw(st.lists(st.integers(1, 5), min_size=steps, max_size=steps))
    offered = [[draw(st.integers(0, 3))] for _ in range(steps)]
    needs = [draw(st.integers(0, 3)) for _ in layers]
    return make_yard(asks, offered, layers), needs


def list_assignments(layers, needs, offered):
    """Return the nodes used per step of every way to hand steps out to layers."""
    found = {tuple(0 for _ in offered)}
    for layer, need in zip(layers, needs, strict=True):
        for _ in range(need):
            found = {
                tuple(used + (at == step) for at, used in enumerate(state))
                for state in found
                for step in layer
                if state[step] < offered[step]
            }
    return found


@settings(max_examples=400)
@given(pool_arrays())
def test_lots_carry_all_that_they_can_and_as_cheaply_as_they_can(drawn):
    arrays, needs = drawn
    offered = [int(nodes) for nodes in arrays.offered[:, 0]]
    candidates = list_assignments(arrays.layers, needs, offered)
    cost, top, short, left = stack(arrays, np.array(needs, float)[:, None], 0, 1)
    assert bool(short[0]) == (not candidates)
    if candidates:
        used = [int(nodes) for nodes in arrays.offered[:, 0] - left[:, 0]]
        assert tuple(used) in candidates
        cheapest = min(
            sum(n * ask for n, ask in zip(candidate, arrays.asks_micro, strict=True)) for candidate in candidates
        )
        assert cost[0] == cheapest == sum(n * ask for n, ask in zip(used, arrays.asks_micro, strict=True))
        assert top[0] == max((ask for n, ask in zip(used, arrays.asks_micro, strict=True) if n), default=0)


@settings(max_examples=400)
@given(pool_arrays())
def test_what_lots_carry_is_handed_out_to_the_layers_that_may_use_them(drawn):
    arrays, needs = drawn
    *_, short, left = stack(arrays, np.array(needs, float)[:, None], 0, 1)
    assume(not short[0])
    used = [int(nodes) for nodes in arrays.offered[:, 0] - left[:, 0]]
    quotas = assign(arrays.layers, {layer: need for layer, need in enumerate(needs) if need}, used)
    for layer, quota in quotas.items():
        assert sum(quota.values()) == needs[layer]
        assert {step for step, nodes in quota.items() if nodes} <= set(arrays.layers[layer])
    for step, nodes in enumerate(used):
        assert sum(quota.get(step, 0) for quota in quotas.values()) == nodes


def test_sets_are_laminar_when_any_two_are_nested_or_disjoint():
    assert is_laminar(((0,), (1,), (0, 1), (0, 1, 2)))
    assert not is_laminar(((0, 1), (0, 2), (0, 1, 2)))


def test_two_orders_whose_mandates_share_one_lot_both_run():
    """In turn, the first would take the cheap lot that only the second can use beside it."""
    lots = (("a", 4, 0, 10, "1"), ("b", 4, 0, 10, "2"), ("c", 1, 0, 10, "3"))
    wants = [
        order(name, 4, 10, (0, 0), Bid("p", Decimal(5), lot_ids))
        for name, lot_ids in (("x", ("a", "b")), ("y", ("a", "c")))
    ]
    made = book(*wants, lots=lots)
    result = clear(made, seed=1)
    assert [decision.match is not None for decision in result.decisions] == [True, True]
    assert find_violations(made, result) == ()


@pytest.mark.parametrize("seed", [0, 4])
def test_every_rule_holds_on_a_market_whose_mandates_overlap(seed):
    made = market_book(seed, orders=120, pools=8, mandates=True)
    result = clear(made, seed=seed)
    assert find_violations(made, result) == ()
    assert clear(made, seed=seed) == result


def test_sets_that_overlap_in_too_many_ways_are_refused_by_name():
    with pytest.raises(Refusal) as refused:
        list_unions(tuple((at,) for at in range(UNIONS_MAX.bit_length())))
    assert refused.value.code == "lots_too_entangled"
