"""Read clearing instances from CSV files and write solutions, so that others can evaluate the engine.

An instance is a folder of `pools.csv`, `lots.csv` and `orders.csv`; one period is one day.
"""

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, NamedTuple

from marketplace.clearing.book import check_book
from marketplace.clearing.model import Bid, Book, Clearing, Lot, Order, Pool
from marketplace.core.errors import Refusal

PERIOD_HOURS = 24
PERIODS_LEAST = 90


def parse_instance_dir(path: Path | str) -> Book:
    """Read an instance. Every pool of an accepted class, region and interconnect becomes a bid of its order.

    The horizon is 90 periods, or more if lots last longer. Unknown columns are ignored.

    Raises:
        Refusal: `malformed_instance`, with file, line and column, if a file or column is missing, a line has another
            number of cells than the header, or a cell has an invalid value; otherwise as `check_book`.
    """
    folder = Path(path)
    pool_rows = _load_rows(folder / "pools.csv", ("pool_id", "gpu_class", "region", "interconnect", "gpus_per_node"))
    lot_rows = _load_rows(folder / "lots.csv", _LOT_COLUMNS)
    order_rows = _load_rows(folder / "orders.csv", _ORDER_COLUMNS)
    lots = tuple(_parse_lot(row) for row in lot_rows)
    book = Book(
        PERIOD_HOURS,
        max([PERIODS_LEAST, *(lot.to_period for lot in lots)]),
        tuple(Pool(row.text("pool_id"), row.whole("gpus_per_node")) for row in pool_rows),
        lots,
        tuple(_parse_order(row, pool_rows) for row in order_rows),
    )
    check_book(book)
    return book


_LOT_COLUMNS: Final = ("lot_id", "pool_id", "nodes", "from_period", "to_period", "ask_usd_per_gpu_hour")
_ORDER_COLUMNS: Final = (
    "order_id",
    "nodes",
    "duration_periods",
    "start_earliest",
    "start_latest",
    "gpu_classes",
    "regions",
    "infiniband_required",
    "limit_usd_per_gpu_hour",
)


class _Row(NamedTuple):
    """One line of a file, with its position."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        return self.cells[column]

    def names(self, column: str) -> set[str]:
        return set(self.cells[column].split("|"))

    def whole(self, column: str) -> int:
        try:
            return int(self.cells[column])
        except ValueError:
            raise self._refuse(column, "a whole number") from None

    def exact(self, column: str) -> Decimal:
        try:
            return Decimal(self.cells[column])
        except InvalidOperation:
            raise self._refuse(column, "a decimal number") from None

    def flag(self, column: str) -> bool:
        if self.cells[column] not in {"0", "1"}:
            raise self._refuse(column, "0 or 1")
        return self.cells[column] == "1"

    def _refuse(self, column: str, expected: str) -> Refusal:
        return _refuse(self.path, f"line {self.line}, column {column}: {self.cells[column]!r} is not {expected}")


def _refuse(path: Path, fault: str) -> Refusal:
    return Refusal("malformed_instance", f"{path}: {fault}")


def _load_rows(path: Path, columns: Iterable[str]) -> list[_Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [column for column in columns if header.count(column) != 1]
            if missing:
                raise _refuse(path, f"the first line must name each of these columns once: {', '.join(missing)}")
            return [_parse_line(path, reader.line_num, header, cells) for cells in reader if cells]
    except OSError as error:
        raise Refusal("malformed_instance", f"{path} cannot be opened: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refuse(path, f"this is not CSV in UTF-8: {error}") from error


def _parse_line(path: Path, line: int, header: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(header):
        raise _refuse(path, f"line {line} has {len(cells)} cells, the first line has {len(header)}")
    return _Row(path, line, dict(zip(header, cells, strict=True)))


def _parse_lot(row: _Row) -> Lot:
    return Lot(
        row.text("lot_id"),
        row.text("pool_id"),
        row.whole("nodes"),
        row.whole("from_period"),
        row.whole("to_period"),
        row.exact("ask_usd_per_gpu_hour"),
    )


def _parse_order(row: _Row, pools: Iterable[_Row]) -> Order:
    classes, regions = row.names("gpu_classes"), row.names("regions")
    limit, needs_infiniband = row.exact("limit_usd_per_gpu_hour"), row.flag("infiniband_required")
    return Order(
        row.text("order_id"),
        row.whole("nodes"),
        row.whole("duration_periods"),
        row.whole("start_earliest"),
        row.whole("start_latest"),
        tuple(
            Bid(pool.text("pool_id"), limit)
            for pool in pools
            if pool.text("gpu_class") in classes
            and pool.text("region") in regions
            and (not needs_infiniband or pool.text("interconnect") == "infiniband")
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
