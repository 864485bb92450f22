"""`marketplace clear`: clear an instance from CSV files, offline, with the engine that the auctions use."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import cyclopts
from rich.table import Table

from marketplace.clearing.bundle import render_bundle
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Clearing
from marketplace.clearing.verify.verifier import verify
from marketplace.cli.instance import parse_instance_dir, write_prices, write_solution
from marketplace.cli.output import CONSOLE, OUT_OF_MEMORY, tell
from marketplace.cli.price_loss import render_price_loss
from marketplace.core.errors import Refusal
from marketplace.runtime.auctions.forking import choose_workers

EXIT_REFUSED = 2
EXIT_FAILED = 1
app = cyclopts.App(name="clear")


@app.default
def clear_command(
    instance: Path,
    *,
    solution: Path,
    prices: Path,
    certificate: Path | None = None,
    seed: int = 1,
    iterations: Annotated[
        int | None, cyclopts.Parameter(help="Rounds of search; default by the size of the book.")
    ] = None,
) -> int:
    """Clear an instance, verify the result independently and write it.

    Args:
        instance: Folder of pools.csv, lots.csv and orders.csv.
        solution: Where to write the accepted orders (CSV).
        prices: Where to write the price per pool and period (CSV).
        certificate: Where to write the book and the whole result, which `marketplace auction verify` checks (JSON).
        seed: Seed of the search; the same seed gives the same answer.
        iterations: Rounds of search.

    Returns:
        The exit code: 0, 2 if the instance was refused, or 1 if memory ran out.
    """
    begun = time.perf_counter()
    try:
        book = parse_instance_dir(instance)
        clearing = clear(book, seed=seed, iterations=iterations, workers=choose_workers())
        verify(book, clearing)
    except Refusal as refusal:
        tell(refusal)
        return EXIT_REFUSED
    except MemoryError:
        tell(OUT_OF_MEMORY)
        return EXIT_FAILED
    write_solution(clearing, solution)
    write_prices(clearing, prices)
    if certificate is not None:
        text = json.dumps(render_bundle(book, clearing), indent=1, sort_keys=True)
        certificate.write_text(text + "\n", encoding="utf-8")
    CONSOLE.print(_summary(clearing, instance.name, time.perf_counter() - begun))
    return 0


def _summary(clearing: Clearing, name: str, seconds: float) -> Table:
    certificate = clearing.certificate
    accepted = sum(decision.match is not None for decision in clearing.decisions)
    regretted = [decision.regret_usd for decision in clearing.decisions if decision.regret_usd]
    table = Table(title=f"Cleared {name}", show_header=False)
    for label, value in (
        ("accepted orders", f"{accepted} of {len(clearing.decisions)}"),
        ("welfare", f"{certificate.welfare_usd:,.2f} USD"),
        ("upper bound (LP)", f"{certificate.lp_bound_usd:,.2f} USD"),
        ("share of the bound", f"{100 - 100 * certificate.gap:.3f} %"),
        ("cost of uniform prices", render_price_loss(certificate)),
        ("idle supply in the money", f"{certificate.idle_supply_usd:,.2f} USD"),
        ("in the money, yet out", f"{len(regretted)} (regret {sum(regretted):,.2f} USD)"),
        ("search rounds, seed", f"{certificate.iterations}, {certificate.seed}"),
        ("decisions", certificate.decisions_hash[:16]),
        ("verified", "independently, every rule holds"),
        ("wall time", f"{seconds:.2f} s"),
    ):
        table.add_row(label, value)
    return table


if __name__ == "__main__":
    sys.exit(app())
