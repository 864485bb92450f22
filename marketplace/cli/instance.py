"""Reads clearing instances from CSV files and writes solutions, so that the engine can be judged from outside.

An instance is a folder of `pools.csv`, `lots.csv` and `orders.csv`; one period is one day.
"""

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from marketplace.clearing.book import check_book
from marketplace.clearing.model import Bid, Book, Clearing, Lot, Order, Pool
from marketplace.core.errors import Refusal

PERIOD_HOURS = 24
PERIODS_LEAST = 90


def parse_instance_dir(path: Path | str) -> Book:
    """Read an instance: every pool of an accepted class, region and interconnect becomes a bid of its order.

    The horizon is 90 periods, or more where lots last longer.

    Raises:
        Refusal: `malformed_instance` where a file or column is missing or holds no number, else as `check_book`.
    """
    folder = Path(path)
    pool_rows = _load_rows(folder / "pools.csv")
    try:
        lots = tuple(_parse_lot(row) for row in _load_rows(folder / "lots.csv"))
        book = Book(
            PERIOD_HOURS,
            max([PERIODS_LEAST, *(lot.to_period for lot in lots)]),
            tuple(Pool(row["pool_id"], int(row["gpus_per_node"])) for row in pool_rows),
            lots,
            tuple(_parse_order(row, pool_rows) for row in _load_rows(folder / "orders.csv")),
        )
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise Refusal("malformed_instance", f"{folder} cannot be read: {error!r}") from error
    check_book(book)
    return book


def _load_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise Refusal("malformed_instance", f"{path} cannot be opened: {error.strerror}") from error


def _parse_lot(row: Mapping[str, str]) -> Lot:
    return Lot(
        row["lot_id"],
        row["pool_id"],
        int(row["nodes"]),
        int(row["from_period"]),
        int(row["to_period"]),
        Decimal(row["ask_usd_per_gpu_hour"]),
    )


def _parse_order(row: Mapping[str, str], pools: Iterable[Mapping[str, str]]) -> Order:
    classes, regions = set(row["gpu_classes"].split("|")), set(row["regions"].split("|"))
    limit = Decimal(row["limit_usd_per_gpu_hour"])
    return Order(
        row["order_id"],
        int(row["nodes"]),
        int(row["duration_periods"]),
        int(row["start_earliest"]),
        int(row["start_latest"]),
        tuple(
            Bid(pool["pool_id"], limit)
            for pool in pools
            if pool["gpu_class"] in classes
            and pool["region"] in regions
            and (row["infiniband_required"] != "1" or pool["interconnect"] == "infiniband")
        ),
    )


def write_solution(clearing: Clearing, path: Path) -> None:
    """Write the accepted orders as `order_id,pool_id,start_period,nodes`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["order_id", "pool_id", "start_period", "nodes"])
        for decision in clearing.decisions:
            if decision.match is not None:
                match = decision.match
                writer.writerow([decision.order_id, match.pool_id, match.start_period, match.nodes])


def write_prices(clearing: Clearing, path: Path) -> None:
    """Write the prices as `pool_id,period,price_usd_per_gpu_hour`, one row per pool and period."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pool_id", "period", "price_usd_per_gpu_hour"])
        for run in clearing.prices:
            for period in range(run.from_period, run.to_period):
                writer.writerow([run.pool_id, period, format(run.price_usd_per_gpu_hour, "f")])
