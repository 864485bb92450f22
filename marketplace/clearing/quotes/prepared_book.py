"""A book solved once and asked many times: what a further order would have to be worth, and where.

A quote is the engine's own answer to an order that lost: the book's allocation without it, and the order's marginal
insertion there. So a quote and the decision of an auction on the same book name the same number.

The linear program takes most of the time that a large book needs. An approximation does without it: any prices of lots
that are not under their asks prove a bound. It starts from the prices of an earlier book, or from the asks, and
improves them by dual descent. Where an earlier book has the same periods and differs little, its allocation is the
warm start (`warm_start.py`).
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Grid, compile_book
from marketplace.clearing.arrays.ruled import list_rule_reasons
from marketplace.clearing.book import check_book
from marketplace.clearing.book_rules import check_links
from marketplace.clearing.codec import hash_book
from marketplace.clearing.explain.reasons import find_hopeless
from marketplace.clearing.explain.winning import price_to_win
from marketplace.clearing.model import Book, Order, Reason
from marketplace.clearing.money import usd
from marketplace.clearing.program.bound import Micros, Shadow, bound_of
from marketplace.clearing.program.dual_descent import descend
from marketplace.clearing.program.program import CandidateTable, list_columns
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.search.marginal import Insertion, find_insertions
from marketplace.clearing.search.search import greedy
from marketplace.clearing.search.solving import EXACT_COLUMNS_MAX as EXACT_COLUMNS_MAX_OF_BOOK
from marketplace.clearing.search.solving import Solved, solve
from marketplace.clearing.search.warm_start import extend_grid, grow, resume

EXACT_COLUMNS_MAX = 64
"""The most placements for which a quote is computed to the cent, which then takes up to some 200 ms."""

EXACT_CANDIDATES_MAX = 2_000
"""The most candidates of a book whose quotes are computed to the cent: each program is written from all of them."""

SHARED_MIN = Fraction(4, 5)
"""The least part of orders and lots that a book shares with the one whose prices it takes over. The more a book
changes, the weaker the bound that these prices prove."""

PLACEMENTS_MAX = 48
"""The most placements that a quote computes: two for each bid and size, the best by shadow prices and by free nodes."""


@dataclass(frozen=True, slots=True)
class PreparedBook:
    """A book and the allocation from which quotes are answered; a quote does not change them.

    If `approximated`, the bound is valid but weaker, and the allocation is found without a search. `origin` names the
    orders and lots of the book for which the prices were computed, if that was an earlier one.
    """

    book: Book
    book_hash: str
    solved: Solved
    seed: int
    approximated: bool = False
    origin: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to serve a quoted order: a bid, by its index in the order, and a run of periods, the end excluded.

    `price_usd_per_gpu_hour` is the least value, in whole cents, at which the order is worth more there than what it
    displaces, and covers the asks. `displaced` is the number of orders that would find no other placement.
    """

    bid: int
    pool_id: str
    mandate_id: str | None
    start_period: int
    end_period: int
    price_usd_per_gpu_hour: Decimal
    displaced: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The value that an order needs to win on a prepared book.

    If `sure`, both bounds are the price to win: at it the order is accepted on this book, and at a cent less it is
    rejected. Otherwise, no optimal clearing has the order below `lower_usd_per_gpu_hour`, and every one has it from
    `upper_usd_per_gpu_hour` on; None if that is more than an offer may be. Without a price, `reason` says why no price
    would win.
    """

    price_to_win_usd_per_gpu_hour: Decimal | None
    lower_usd_per_gpu_hour: Decimal | None
    upper_usd_per_gpu_hour: Decimal | None
    sure: bool
    placements: tuple[Placement, ...]
    reason: Reason | None


def prepare(book: Book, *, seed: int) -> PreparedBook:
    """Solve a book without the search's rounds, which takes seconds at 1,000 orders; a small book to its optimum.

    Raises:
        Refusal: As `check_book`.
    """
    check_book(book)
    return PreparedBook(book, hash_book(book), solve(compile_book(book), seed, 0), seed)


def approximate(book: Book, *, seed: int, prior: PreparedBook | None = None, shift: int = 0) -> PreparedBook:
    """Approximate a book at once, without its linear program; solve a small one to its optimum, as `prepare` does.

    Args:
        book: The book.
        seed: As of the clearing.
        prior: An earlier book of the same market, solved or approximated; its shadow prices serve this one, and
            its allocation where it has the same periods.
        shift: How many periods later than the prior book this one begins.

    Raises:
        Refusal: As `check_book`.
    """
    origin = None if prior is None or shift else _find_origin(prior, book)
    grown = None if prior is None or origin is None else grow(prior.book, prior.solved, book)
    if grown is not None:
        return PreparedBook(book, hash_book(book), grown, seed, approximated=True, origin=origin)
    check_book(book)
    grid = compile_book(book)
    candidates, columns = CandidateTable(grid), list_columns(grid)
    if len(columns.candidate) <= EXACT_COLUMNS_MAX_OF_BOOK:
        return PreparedBook(book, hash_book(book), solve(grid, seed, 0), seed)
    lots = _carry_prices(grid, prior, shift)
    known = None if prior is None or origin is None else prior.solved.allocation
    allocation = None if prior is None or known is None else resume(grid, book, prior.book, known)
    shadow = Shadow(grid, lots if allocation is not None else descend(grid, candidates, columns, lots))
    bound = bound_of(grid, candidates, columns, shadow)
    if allocation is None:
        allocation, origin = greedy(grid, Prospects(grid, candidates, columns, shadow)), None
    solved = Solved(allocation, shadow, bound, 0, proven=False)
    return PreparedBook(book, hash_book(book), solved, seed, approximated=True, origin=origin)


def leave_out(prepared: PreparedBook, order_id: str) -> PreparedBook:
    """Return a book without one of its orders and those that depend on it, as `approximate` makes it from the book."""
    gone = {order_id}
    while more := {order.order_id for order in prepared.book.orders if order.parent_id in gone} - gone:
        gone |= more
    left = tuple(order for order in prepared.book.orders if order.order_id not in gone)
    if len(left) == len(prepared.book.orders):
        return prepared
    return approximate(replace(prepared.book, orders=left), seed=prepared.seed, prior=prepared)


def _find_origin(prior: PreparedBook, book: Book) -> frozenset[str] | None:
    """Return the names of the book whose prices this one can take over; None if too much has changed."""
    names, mine = prior.origin or _name_all(prior.book), _name_all(book)
    return names if len(names & mine) >= SHARED_MIN * max(len(names), len(mine)) else None


def _name_all(book: Book) -> frozenset[str]:
    return frozenset(order.order_id for order in book.orders) | frozenset(lot.lot_id for lot in book.lots)


def _carry_prices(grid: Grid, prior: PreparedBook | None, shift: int) -> list[Micros]:
    """Return prices of lots that are not under their asks, those of a prior book where it had the lot."""
    known = {} if prior is None else _map_prices(prior.solved.shadow)
    found = []
    for arrays in grid.pool_arrays:
        cells = np.repeat(np.array(arrays.asks_micro, dtype=np.int64)[:, None], grid.periods, axis=1)
        for step, lot_id in enumerate(arrays.lot_ids):
            row = known.get(lot_id, cells[step, :0])[max(shift, 0) :]
            begin = max(-shift, 0)
            length = max(min(len(row), grid.periods - begin), 0)
            part = cells[step, begin : begin + length]
            cells[step, begin : begin + length] = np.maximum(part, row[:length])
        found.append(cells)
    return found


def _map_prices(shadow: Shadow) -> dict[str, Micros]:
    return {
        lot_id: cells[step]
        for arrays, cells in zip(shadow.grid.pool_arrays, shadow.lots, strict=True)
        for step, lot_id in enumerate(arrays.lot_ids)
    }


def estimate(prepared: PreparedBook, order: Order) -> Estimate:
    """Return what an order would have to be worth on a prepared book; its own offer does not count.

    Raises:
        Refusal: As `check_book`, where the order breaks a rule.
    """
    book = replace(prepared.book, orders=(*prepared.book.orders, order))
    solved = _admit(prepared, book)
    grid, at = solved.allocation.grid, len(prepared.book.orders)
    insertions = find_insertions(solved.allocation, solved.shadow, at, PLACEMENTS_MAX)
    if solved.proven and (
        len(grid.candidates) > EXACT_CANDIDATES_MAX or len(list_columns(grid, (at,)).candidate) > EXACT_COLUMNS_MAX
    ):
        solved = replace(solved, proven=False)
    price = price_to_win(solved, prepared.seed, at)
    if price is None:
        reason = find_hopeless(grid, at, order)
        if reason is None:
            reason = next(iter(list_rule_reasons(book, solved.allocation, at)), None)
        return Estimate(None, None, None, sure=False, placements=(), reason=reason)
    upper = None if price.upper_micro is None else usd(price.upper_micro)
    return Estimate(
        usd(price.value_micro),
        usd(price.lower_micro),
        upper,
        sure=price.exact,
        placements=tuple(_render(order, grid, insertion) for insertion in insertions),
        reason=None,
    )


def _render(order: Order, grid: Grid, insertion: Insertion) -> Placement:
    candidate = grid.candidates[insertion.candidate]
    bid = order.bids[candidate.bid]
    end = insertion.start + order.duration_periods
    return Placement(
        candidate.bid,
        bid.pool_id,
        bid.mandate_id,
        insertion.start,
        end,
        usd(insertion.value_micro),
        len(insertion.displaced),
        candidate.nodes,
    )


def _admit(prepared: PreparedBook, book: Book) -> Solved:
    """Return the solved book with its last order added, out and worth nothing.

    The others were checked when the book was solved, so only the last one and its link to them are checked.
    """
    check_book(replace(book, orders=(replace(book.orders[-1], parent_id=None),)))
    check_links(book)
    known, at = prepared.solved, len(book.orders) - 1
    grid = extend_grid(known.allocation.grid, book, worthless=True)
    if grid is None:
        grid = compile_book(book)
        grid = replace(
            grid,
            candidates=tuple(
                replace(candidate, value=0) if candidate.order == at else candidate for candidate in grid.candidates
            ),
        )
        fresh = Allocation(grid)
        fresh.restore([*known.allocation.placed, None])
        return Solved(fresh, Shadow(grid, known.shadow.lots), known.bound, known.rounds, known.proven)
    return Solved(known.allocation.branch(grid), known.shadow, known.bound, known.rounds, known.proven)
