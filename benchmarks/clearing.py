"""Benchmark (e): clearing, how its cost grows with a book, and how good its answers are by size.

    uv run --group bench python -m benchmarks.clearing [--orders 200 500 1000 2000 5000 10000] [--seeds 3] [--small 20]

Markets come from seeds (`benchmarks/markets.py`). Growth: books of more and more orders on 60 pools, the whole of
`clear` with its defaults, prices, reasons and certificate included; the exponent of seconds over placements is fitted.
Seconds are of processor time, of both threads, so that they mean the same on a busy machine.
Quality: the share of the linear bound by kind and size, worst and mean over the seeds. Price rules: over small books,
welfare against the optimum that knows no prices, which HiGHS proves to a hundredth of a percent.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.markets import write_cluster, write_synthetic
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Book, Clearing
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns, new_solver
from marketplace.cli.instance import parse_instance_dir

GROWTH_POOLS = 60
SIZES = (("small", 200, 20), ("medium", 1_000, 40), ("large", 2_000, 60), ("cluster", 2_267, 24))
OPTIMUM_GAP = 1e-4


def make_book(folder: Path, kind: str, seed: int, orders: int, pools: int) -> Book:
    write = write_cluster if kind == "cluster" else write_synthetic
    return parse_instance_dir(write(folder / f"{kind}_{seed}_{orders}", seed, orders, pools))


def measure(book: Book) -> tuple[Clearing, float]:
    begun = time.process_time()
    clearing = clear(book, seed=1)
    return clearing, time.process_time() - begun


def solve_unpriced(book: Book) -> float:
    """Return the best welfare in US dollars where no prices are asked for."""
    grid = compile_book(book)
    candidates, table, columns = CandidateTable(grid), RowTable(grid), list_columns(grid)
    solver = new_solver(1)
    solver.setOptionValue("mip_rel_gap", OPTIMUM_GAP)
    solver.passModel(build_program(grid, candidates, table, columns, np.zeros(table.rows), whole=True).model)
    solver.run()
    return float(solver.getInfo().objective_function_value)


def show_growth(folder: Path, sizes: list[int]) -> None:
    print(f"\n{'orders':>8} {'placements':>11} {'seconds':>9} {'ms/placement':>13} {'of the bound':>13}")
    points = []
    for orders in sizes:
        book = make_book(folder, "growth", 1, orders, GROWTH_POOLS)
        placements = len(list_columns(compile_book(book)).candidate)
        clearing, seconds = measure(book)
        points.append((placements, seconds))
        share = 1 - clearing.certificate.gap
        print(f"{orders:>8,} {placements:>11,} {seconds:>9.1f} {1e3 * seconds / placements:>13.2f} {share:>13.2%}")
    if len(points) > 1:
        sizes, times = np.log(np.array(points)).T
        slope = np.polyfit(sizes, times, 1)[0]
        print(f"seconds grow as placements to the power {slope:.2f}")


def show_quality(folder: Path, seeds: int) -> None:
    print(f"\n{'market':>8} {'orders':>8} {'pools':>6} {'worst':>8} {'mean':>8} {'slowest':>9}")
    for kind, orders, pools in SIZES if seeds else ():
        found = [measure(make_book(folder, kind, seed, orders, pools)) for seed in range(101, 101 + seeds)]
        shares = [float(1 - clearing.certificate.gap) for clearing, _ in found]
        slowest = max(seconds for _, seconds in found)
        mean = statistics.mean(shares)
        print(f"{kind:>8} {orders:>8,} {pools:>6} {min(shares):>8.2%} {mean:>8.2%} {slowest:>7.1f} s")


def show_price_rules(folder: Path, count: int) -> None:
    losses = []
    for seed in range(201, 201 + count):
        book = make_book(folder, "priced", seed, 200, 20)
        clearing, _ = measure(book)
        losses.append(1 - float(clearing.certificate.welfare_usd) / solve_unpriced(book))
    if losses:
        print(f"\nwelfare lost against the optimum without price rules, {count} small books:")
        print(f"median {statistics.median(losses):.3%}, worst {max(losses):.3%}")


def main(sizes: list[int], seeds: int, small: int) -> None:
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="marketplace-benchmark-") as name:
        show_growth(Path(name), sizes)
        show_quality(Path(name), seeds)
        show_price_rules(Path(name), small)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, nargs="*", default=[200, 500, 1_000, 2_000, 5_000, 10_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", type=int, default=20)
    given = parser.parse_args()
    main(given.orders, given.seeds, given.small)
