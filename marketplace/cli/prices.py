"""`marketplace prices`: compare the market's prices with other clouds' list prices, and import those."""

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter
from rich.table import Table

from events.pricelist import ListPrice
from marketplace.cli.calling import run_call
from marketplace.cli.console import DatabaseUrl, NatsUrl, configure_logging, run
from marketplace.cli.output import CONSOLE
from marketplace.cli.projections import open_both
from marketplace.client import MarketplaceClient
from marketplace.core.errors import Refusal
from marketplace.execution.clock import load_market_time
from marketplace.projections.engine.database import reachable
from marketplace.projections.supply.capacity import list_classes
from marketplace.projections.trading.market.queries import list_list_prices, load_index
from marketplace.projections.views.trading import IndexPoint, ListPriceView

app = App(name="prices")
OURS: Final = Path(__file__).parent / "scenario" / "list_prices.json"
ROWS_MAX: Final = 1_000
_COLUMNS: Final = ("class", "provider", "region", "usd_per_gpu_hour", "date", "source")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@app.command(name="import")
def import_file(
    file: Path = OURS,
    /,
    *,
    api_url: Annotated[str, Parameter(env_var="MARKETPLACE_API_URL")] = "http://127.0.0.1:8000",
    api_key: Annotated[str, Parameter(env_var="MARKETPLACE_API_KEY")],
) -> int:
    """Import a dated table of list prices. Importing the same table again changes nothing.

    Args:
        file: CSV with the columns class, provider, region, usd_per_gpu_hour, date and source, and product if a provider
            has several; by default the table that comes with this release.
        api_url: Where the API is.
        api_key: A key of the platform, such as the one that `marketplace up` prints.
    """
    configure_logging()

    async def main() -> None:
        prices = parse_prices(file)
        async with MarketplaceClient(api_url, api_key) as client:
            receipt = await client.market.publish_pricelist(name=file.name, prices=prices)
        CONSOLE.print(f"{file.name}: {len(prices)} prices, the market has them as {receipt.id}")

    return run_call(main(), api_url)


@app.command
def show(gpu_class: str | None = None, /, *, nats_url: NatsUrl = None, database_url: DatabaseUrl = None) -> int:
    """Print the index of each class, or of one, beside its list prices.

    Args:
        gpu_class: For example `H100_SXM`; all by default.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        async with open_both(nats_url, database_url) as (log, engine), reachable(), engine.connect() as connection:
            now = await load_market_time(log)
            today = now.date()
            listed = await list_list_prices(connection, gpu_class=gpu_class, limit=ROWS_MAX)
            known = {row.gpu_class for row in listed} | set(await list_classes(connection))
            points = {
                name: (await load_index(connection, name, start=today, end=today + timedelta(days=1), now=now))[0]
                for name in ([gpu_class] if gpu_class is not None else sorted(known))
            }
        CONSOLE.print(_render_index(points))
        CONSOLE.print(_render_listed(listed))

    return run(main())


def _render_index(points: Mapping[str, IndexPoint]) -> Table:
    table = Table(
        "class", "index", "print", "days", "fills", "GPU-hours", "list, least", "list, median", "index / median"
    )
    for name, point in points.items():
        index, middle = point.index_usd_per_gpu_hour, point.list_usd_per_gpu_hour_median
        share = f"{index / middle:.0%}" if index is not None and middle else ""
        table.add_row(
            name,
            _show(index),
            "" if point.print_day is None else str(point.print_day),
            str(point.days),
            f"{point.fills:,}",
            f"{point.gpu_hours:,}",
            _show(point.list_usd_per_gpu_hour_min),
            _show(middle),
            share,
        )
    return table


def _render_listed(rows: Iterable[ListPriceView]) -> Table:
    table = Table("class", "provider", "product", "region", "list price", "date", "source")
    for row in rows:
        price = _show(row.usd_per_gpu_hour)
        table.add_row(row.gpu_class, row.provider, row.product, row.region, price, str(row.listed_on), row.source)
    return table


def _show(price: Decimal | None) -> str:
    return "" if price is None else f"{price:,.2f}"


def parse_prices(file: Path) -> tuple[ListPrice, ...]:
    """Return the rows of a table of list prices: CSV, or a ``.json`` in the form of the one in this release.

    In the JSON, rows without a known day are skipped.

    Raises:
        Refusal: ``file_missing``; or ``prices_malformed``, for CSV with the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal("file_missing", f"{file} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise Refusal("prices_malformed", f"{file} is not text in UTF-8: {error}; export it as CSV in UTF-8") from error
    if file.suffix == ".json":
        try:
            rows = [_rename(row) for row in msgspec.json.decode(text)["prices"] if _DAY.fullmatch(row["date"])]
        except (msgspec.DecodeError, LookupError, TypeError) as error:
            raise Refusal("prices_malformed", f"{file} is no table of this release: {error!r}; use CSV") from error
    else:
        reader = csv.DictReader(text.splitlines())
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise Refusal("prices_malformed", f"{file} lacks the columns {', '.join(missing)}; add them to line 1")
        rows = [{name: row.get(name) or "" for name in (*_COLUMNS, "product")} for row in reader]
    return tuple(_parse_row(row, file, line) for line, row in enumerate(rows, start=2))


def _rename(row: Mapping[str, Any]) -> dict[str, str]:
    return {**row, "class": row["gpu_class"], "product": row["key"], "region": ""}


def _parse_row(row: Mapping[str, str], file: Path, line: int) -> ListPrice:
    fields = {
        "gpu_class": row["class"],
        "provider": row["provider"],
        "product": row["product"],
        "region": row["region"] or None,
        "usd_per_gpu_hour": row["usd_per_gpu_hour"],
        "listed_on": row["date"],
        "source": row["source"],
    }
    try:
        price = msgspec.convert(fields, ListPrice)
        date.fromisoformat(row["date"])
    except (msgspec.ValidationError, ValueError) as error:
        raise Refusal("prices_malformed", f"{file}, line {line}: {error}; correct it", line=line) from error
    return price
