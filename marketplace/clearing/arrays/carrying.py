"""Which lots of a pool carry what runs on it, and what that costs: the cheapest way, exactly.

Layers are the sets of lots that bids may use. If any two are nested or disjoint, the fast path serves narrower layers
first, each from the cheapest lots that are left. It finds the cheapest assignment whenever there is one. If layers
overlap otherwise, as when two mandates share one lot of three, that order can fail although another one works. By the
theorem of Hall and Ford-Fulkerson, the most nodes that a set A of lots carries are then

    rank(A) = min over closed U of  (needs of layers not within U) + (offer of lots in both A and U),

where closed sets are unions of layers. What lots carry is a matroid, so that filling them by rising ask, each as far as
the rank grows, is the cheapest way (Edmonds, Submodular functions, matroids and certain polyhedra, 1970).
"""

from functools import lru_cache
from typing import Final

import numpy as np

from marketplace.clearing.arrays.grid import Flags, Floats, Grid, OrderRow, PoolArrays
from marketplace.core.errors import Refusal

UNIONS_MAX: Final = 1_024
"""The most closed sets of a pool's lots; a book with more is refused."""


@lru_cache(maxsize=1_024)
def is_laminar(layers: tuple[tuple[int, ...], ...]) -> bool:
    """Return whether any two of the sets are nested or disjoint."""
    sets = [frozenset(layer) for layer in layers]
    return all(one <= two or two <= one or not one & two for one in sets for two in sets)


def list_unions(layers: tuple[tuple[int, ...], ...]) -> list[frozenset[int]]:
    """Return every union of the sets, the empty one included.

    Raises:
        Refusal: ``lots_too_entangled``.
    """
    unions = {frozenset[int]()}
    for layer in layers:
        unions |= {union | frozenset(layer) for union in unions}
        if len(unions) > UNIONS_MAX:
            raise Refusal(
                "lots_too_entangled",
                f"bids on one pool name {len(layers)} sets of lots that overlap in more than {UNIONS_MAX} ways; let"
                " lots of a pool name the same mandates",
                sets=len(layers),
            )
    return sorted(unions, key=lambda union: (len(union), sorted(union)))


def stack(arrays: PoolArrays, loads: Floats, begin: int, end: int) -> tuple[Floats, Floats, Flags, Floats]:
    """Assign lots to the layers in each period of a span, at the least cost.

    Args:
        arrays: The pool.
        loads: Nodes wanted, one row per layer, one column per period of the span.
        begin: First period.
        end: Period after the last.

    Returns:
        Per period: the asks of the used nodes summed, the highest used ask, whether something did not fit, and the
        nodes left per step.
    """
    offered = arrays.offered[:, begin:end]
    if is_laminar(arrays.layers):
        used, short = _use_in_turn(arrays, loads, offered)
    else:
        used, short = _use_by_rank(arrays, loads, offered)
    top = np.zeros(end - begin)
    for step, ask in enumerate(arrays.ask.tolist()):
        np.maximum(top, ask, out=top, where=used[step] > 0)
    return arrays.ask @ used, top, short, offered - used


def stack_alone(arrays: PoolArrays, layer: int, nodes: int, begin: int, end: int) -> tuple[Floats, Floats]:
    """Return the asks of nodes of one layer per period on the otherwise empty pool, and 1 where they do not fit.

    Raises:
        Refusal: ``lots_too_entangled``.
    """
    loads = np.zeros((len(arrays.layers), end - begin))
    loads[layer] = nodes
    cost, _, short, _ = stack(arrays, loads, begin, end)
    return cost, short.astype(np.float64)


def stack_candidate(grid: Grid, order_row: OrderRow, at: int) -> tuple[Floats, Floats]:
    """Return `stack_alone` of an order's candidate over all periods in which the order may run."""
    candidate, end = grid.candidates[at], order_row.last + order_row.duration
    arrays = grid.pool_arrays[candidate.pool]
    return stack_alone(arrays, candidate.layer, candidate.nodes, order_row.first, end)


def _use_in_turn(arrays: PoolArrays, loads: Floats, offered: Floats) -> tuple[Floats, Flags]:
    left = offered.copy()
    short = np.zeros(offered.shape[1], dtype=np.bool_)
    for layer, steps in enumerate(arrays.layers):
        need = loads[layer]
        if not need.any():
            continue
        for step in steps:
            take = np.minimum(left[step], need)
            left[step] -= take
            need = need - take
        short |= need > 0
    return offered - left, short


@lru_cache(maxsize=1_024)
def _list_memberships(layers: tuple[tuple[int, ...], ...]) -> tuple[Floats, Floats]:
    """Return, per union, which layers are not within it, and which prefix of steps holds which of its steps."""
    unions = list_unions(layers)
    steps = range(1 + max(step for layer in layers for step in layer))
    outside = np.array([[float(not set(layer) <= union) for layer in layers] for union in unions])
    within = np.array(
        [[[float(step in union and step <= last) for step in steps] for last in steps] for union in unions]
    )
    return outside, within


def _use_by_rank(arrays: PoolArrays, loads: Floats, offered: Floats) -> tuple[Floats, Flags]:
    outside, within = _list_memberships(arrays.layers)
    rank = ((outside @ loads)[:, None, :] + within @ offered).min(axis=0)
    return np.diff(rank, axis=0, prepend=0.0), rank[-1] < loads.sum(axis=0)
