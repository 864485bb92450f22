"""Ablation of the clearing engine: what each technique is worth on books of every kind and size.

    uv run --group bench python -m benchmarks.ablation [--techniques ...] [--books ...] [--workers 2]

Each technique is switched off alone, by replacing a function or a constant of the engine for the time of one run; the
engine itself has no such switches. Every run allocates a book and sets its prices. The first figure is the welfare that
is lost without the technique, in points of the share of the linear bound; it is the same in every run, since the engine
counts its work. The second is processor time without the technique over processor time with it; both of a book are
taken by one process, one after the other. A technique pays where it gains 0.1 point or a tenth of the time on any book.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.ablation_books import BOOKS
from benchmarks.machine import describe_machine
from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.program import covers, integer
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.program.dual_descent import descend
from marketplace.clearing.program.generating import Generated
from marketplace.clearing.program.pricing import set_prices
from marketplace.clearing.program.program import new_solver
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.search import diving, marginal, neighbourhood, search, solving
from marketplace.clearing.search.marginal import ImprovingInsertion
from marketplace.clearing.search.neighbourhood import Neighbourhoods
from marketplace.clearing.search.ruin import Ruin
from marketplace.clearing.search.solving import solve

POINT_LEAST = 0.1
TIME_LEAST = 1.1
Change = tuple[Any, str, Any]
ALL = ("tiny", "small", "medium", "large")
SEARCHED = ALL[1:]
ROUNDS = ALL[2:]


@dataclass(frozen=True)
class Technique:
    """One thing to switch off, how, and on which sizes of books it plays a part."""

    name: str
    changes: Callable[[], Sequence[Change]]
    sizes: tuple[str, ...] = SEARCHED


def _nothing(*_: object, **__: object) -> None:
    """Stand in for a step that is left out."""


def _each_cutting(**values: Any) -> list[Change]:
    names = ("DEPTH_OF_FEW", "DEPTH", "DEPTH_OF_MANY", "DEPTH_OF_HUGE")
    depths = [(name, getattr(diving, name)) for name in names]
    return [(diving, name, replace(depth, cutting=replace(depth.cutting, **values))) for name, depth in depths]


def _each_reach(**values: Any) -> list[Change]:
    names = ("ROUND_LIMITS", "ROUND_LIMITS_OF_BRIEF", "ROUND_LIMITS_OF_EQUALS")
    found: list[Change] = [(search, "SMALL_LIMITS", replace(search.SMALL_LIMITS, **values))]
    return found + [
        (search, name, tuple(replace(reach, **values) for reach in getattr(search, name))) for name in names
    ]


def _only_reach(at: int) -> list[Change]:
    names = ("ROUND_LIMITS", "ROUND_LIMITS_OF_BRIEF", "ROUND_LIMITS_OF_EQUALS")
    return [(search, name, getattr(search, name)[at : at + 1 or None]) for name in names]


def _one_greedy() -> list[Change]:
    def greedy(grid: Any, prospects: Prospects) -> Allocation:
        allocation, surplus = Allocation(grid), prospects.best
        orders = [order for order, best in enumerate(surplus.tolist()) if best > float("-inf")]
        ranked = sorted(orders, key=lambda order: (-surplus[order] / search._size(grid, order), order))  # noqa: SLF001 - the engine's own priority
        for order in allocation.sort_by_depth(ranked):
            allocation.insert(order)
        return allocation

    return [(solving, "greedy", greedy)]


def _no_generation() -> list[Change]:
    def stay(_grid: Any, prospects: Prospects, _tables: Any, relaxation: Any, kept: Any) -> Generated:
        loss = prospects.loss.copy()
        loss[kept] = relaxation.read_losses()
        return Generated(relaxation, kept, loss, None)  # type: ignore[arg-type]

    return [(diving, "generate", stay), (diving, "GENERATIONS", 1), (diving, "ROUNDS_FIRST", 20)]


def _no_dives() -> list[Change]:
    return [
        (solving, "dive", lambda root: Allocation(root.grid)),
        (Neighbourhoods, "dive", _nothing),
    ]


def _unlifted() -> list[Change]:
    def weigh(self: covers.Cover, order: Any, size: Any) -> Any:
        found = np.zeros(len(order))
        for whose, nodes, factor in self.members:
            found[(order == whose) & (size == nodes)] = factor
        return found

    return [(covers.Cover, "weigh", weigh)]


def _cold() -> list[Change]:
    """Let programs begin without the present placements, as the second try of `solve_program` does."""

    class Cold:
        def __init__(self, solver: Any) -> None:
            self._solver = solver

        def setSolution(self, *_: object) -> None:  # noqa: N802 - the solver's own name
            """Take no start."""

        def __getattr__(self, name: str) -> Any:
            return getattr(self._solver, name)

    return [(integer, "new_solver", lambda seed: Cold(new_solver(seed)))]


def _no_losses() -> list[Change]:
    return [(Neighbourhoods, "_losses", lambda self: np.ones(len(self.grid.pool_arrays)))]


def _descent() -> list[Change]:
    """Take prices of subgradient rounds in place of the linear program's, as quotes do at first."""

    def relax(grid: Any, candidates: Any, _table: Any, columns: Any, _seed: int) -> Any:
        asks = [
            np.repeat(np.array(arrays.asks_micro, dtype=np.int64)[:, None], grid.periods, axis=1)
            for arrays in grid.pool_arrays
        ]
        return Shadow(grid, descend(grid, candidates, columns, asks))

    return [(solving, "solve_relaxation", relax)]


def _whole_rounds() -> list[Change]:
    return [(search, name, 10_000) for name in ("PATIENCE_ROUNDS", "PATIENCE_ROUNDS_SMALL", "PATIENCE_ROUNDS_SHORT")]


def _one_patience() -> list[Change]:
    return [(search, "_patience", lambda *_: search.PATIENCE_ROUNDS_SHORT)]


TECHNIQUES = (
    Technique("exact program of tiny books", lambda: [(solving, "EXACT_COLUMNS_MAX", 0)], ("tiny",)),
    Technique(
        "symmetric orders dropped", lambda: [(solving, "drop_symmetric", lambda _g, _c, columns: columns)], ROUNDS
    ),
    Technique("greedy by several priorities", _one_greedy),
    Technique("cover cuts", lambda: [(covers.Covers, "find", _nothing)]),
    Technique("lifting of cuts", _unlifted),
    Technique("cuts within dives", lambda: _each_cutting(every=0)),
    Technique("column generation", _no_generation),
    Technique("losses at cut prices", lambda: [(Prospects, "sharpen", _nothing)]),
    Technique("dives", _no_dives),
    Technique("ruins", lambda: [(Ruin, "run", _nothing)]),
    Technique("insertions at the margin", lambda: [(ImprovingInsertion, "run", _nothing)]),
    Technique("waits of insertions", lambda: [(marginal, "WAITS_SHORT", (np.inf,))], ROUNDS),
    Technique("neighbourhood programs", lambda: [(Neighbourhoods, "begin", lambda *_: [])]),
    Technique("large neighbourhoods", lambda: _only_reach(-1)),
    Technique("small neighbourhoods", lambda: _only_reach(0)),
    Technique("several widths", lambda: [(neighbourhood, "WIDTHS", (4,))]),
    Technique("several losses", lambda: _each_reach(losses=(0.03,))),
    Technique("pools by losses", _no_losses),
    Technique(
        "kept placements affordable",
        lambda: [(Neighbourhoods, "_affordable", lambda _s, columns, _f: np.ones(len(columns), np.bool_))],
    ),
    Technique("program of all orders", lambda: [(Neighbourhoods, "decide_whole", _nothing)], ("small",)),
    Technique("end near the proof", lambda: [(neighbourhood, "ENOUGH", -1.0)], ("small",)),
    Technique("small programs given up early", lambda: [*_each_reach(work=neighbourhood.WORK_WELL)]),
    Technique("solver without six parts", lambda: [(integer, "WITHOUT", ())]),
    Technique("present placements as start", _cold),
    Technique("patience of rounds", _whole_rounds),
    Technique("patience by size and gap", _one_patience),
    Technique(
        "treatment of equal pools",
        lambda: [(search, "has_equals", lambda _: False), (solving, "has_equals", lambda _: False)],
        ROUNDS,
    ),
    Technique("linear program's prices", _descent),
)


@contextmanager
def without(technique: Technique | None) -> Iterator[None]:
    """Run what follows without a technique."""
    with ExitStack() as stack:
        for target, name, value in () if technique is None else technique.changes():
            stack.enter_context(patch.object(target, name, value))
        yield


@dataclass(frozen=True)
class Outcome:
    """One book without one technique: points of welfare lost, and processor time as a multiple of that with it."""

    book: str
    technique: str
    points: float
    times: float


def run(book: str, technique: Technique | None, rounds: int | None) -> tuple[float, float, float]:
    """Return the welfare and the bound in US dollars, and seconds of processor time."""
    grid = compile_book(BOOKS[book]())
    begun = time.process_time()
    with without(technique):
        solved = solve(grid, 1, rounds)
        set_prices(solved.allocation)
    return solved.allocation.exact_micros() / 1e6, float(solved.bound), time.process_time() - begun


def measure(book: str, names: Sequence[str], rounds: int | None) -> list[Outcome]:
    """Return what a book loses without each of some techniques; the engine itself runs before, between and after."""
    welfare, bound, first = run(book, None, rounds)
    seconds, found = [first], []
    size = book.partition(",")[0]
    mine = [technique for technique in TECHNIQUES if technique.name in names and size in technique.sizes]
    for at, technique in enumerate(mine, 1):
        less, _, taken = run(book, technique, rounds)
        found.append(Outcome(book, technique.name, 100 * (welfare - less) / bound, taken))
        print(f"{book:<20} {technique.name:<36} {found[-1].points:+8.3f} {taken / first:7.2f}", flush=True)
        if at == len(mine) // 2 or at == len(mine):
            again, _, taken = run(book, None, rounds)
            assert again == welfare, f"{book}: {again} where it was {welfare}"
            seconds.append(taken)
    usual = sum(seconds) / len(seconds)
    spread = max(seconds) / min(seconds) - 1
    print(f"{book}: {welfare / bound:.3%} of the bound in {usual:.2f} s, which varies by {spread:.0%}", flush=True)
    return [replace(one, times=one.times / usual) for one in found]


def show_table(outcomes: list[Outcome]) -> None:
    """Print, as a table of Markdown, where each technique is worth most."""
    print("\n| technique | points of welfare, at most | on | time without it, at most | on | pays |")
    print("|---|---|---|---|---|---|")
    for technique in TECHNIQUES:
        mine = [one for one in outcomes if one.technique == technique.name]
        if mine:
            gain, slow = max(mine, key=lambda one: one.points), max(mine, key=lambda one: one.times)
            pays = gain.points >= POINT_LEAST or slow.times >= TIME_LEAST
            cells = (technique.name, f"{gain.points:.2f}", gain.book, f"{slow.times:.2f}", slow.book)
            print(f"| {' | '.join(cells)} | {'yes' if pays else 'no'} |")


def main(names: Sequence[str], books: Sequence[str], workers: int, rounds: int | None) -> None:
    print(describe_machine())
    with ProcessPoolExecutor(workers) as executor:
        found = [executor.submit(measure, book, names, rounds) for book in reversed(books)]
        show_table([one for each in found for one in each.result()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--techniques", nargs="+", default=[technique.name for technique in TECHNIQUES])
    parser.add_argument("--books", nargs="+", default=list(BOOKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="rounds of search of each book; by its size when not stated")
    given = parser.parse_args()
    main(given.techniques, given.books, given.workers, given.rounds)
