"""`marketplace plot`: the console's charts as SVG files, for reports. Each shows what the key may see in the API."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number

from marketplace.captable.plots import POINTS_MAX, Range
from marketplace.cli.calling import run_call
from marketplace.cli.console import configure_logging
from marketplace.cli.output import CONSOLE
from marketplace.client import MarketplaceClient
from marketplace.console.equity.scenarios import list_stages
from marketplace.console.market.capacity import load_lanes, sort_pools
from marketplace.core.errors import Refusal
from marketplace.plots.areas import render_waterfall
from marketplace.plots.calendar import render_calendar
from marketplace.plots.curves import render_curves
from marketplace.plots.flow import render_flow
from marketplace.plots.history import render_history
from marketplace.plots.svg import render_file

app = App(name="plot")
ApiUrl = Annotated[str, Parameter(env_var="MARKETPLACE_API_URL")]
ApiKey = Annotated[str, Parameter(env_var="MARKETPLACE_API_KEY")]
Days = Annotated[int, Parameter(validator=Number(gte=1, lte=366))]
_URL: Final = "http://127.0.0.1:8000"
Draw = Callable[[MarketplaceClient], Awaitable[str]]


@app.command
def index(gpu_class: str, /, *, to: Path, days: Days = 90, api_key: ApiKey, api_url: ApiUrl = _URL) -> int:
    """Draw the index of a GPU class beside the median of public list prices.

    Args:
        gpu_class: For example `H100_SXM`.
        to: The file, `.svg`.
        days: How many days, the last one today.
        api_key: An API key.
        api_url: Where the API is.
    """

    async def draw(client: MarketplaceClient) -> str:
        end = (await client.clock.get()).now + timedelta(days=1)
        return render_history(
            gpu_class, await client.market.get_index(gpu_class=gpu_class, start=end - timedelta(days=days), end=end)
        )

    return _write(draw, to, api_key, api_url)


@app.command
def curves(gpu_class: str, auction_id: str, /, *, to: Path, api_key: ApiKey, api_url: ApiUrl = _URL) -> int:
    """Draw supply and demand of a GPU class in a cleared auction, with its prices.

    Args:
        gpu_class: For example `H100_SXM`.
        auction_id: For example `auc_01k…`.
        to: The file, `.svg`.
        api_key: An API key.
        api_url: Where the API is.
    """

    async def draw(client: MarketplaceClient) -> str:
        steps = await client.market.get_curves(gpu_class=gpu_class, auction_id=auction_id)
        found = client.market.list_prices(auction_id=auction_id, gpu_class=gpu_class)
        return render_curves(gpu_class, steps, [one.price_usd_per_gpu_hour async for one in found])

    return _write(draw, to, api_key, api_url)


@app.command
def capacity(*, to: Path, days: Days = 30, api_key: ApiKey, api_url: ApiUrl = _URL) -> int:
    """Draw the capacity of every pool that the key sees from now on: sold, resold, failed and idle nodes.

    Args:
        to: The file, `.svg`.
        days: How many days.
        api_key: An API key.
        api_url: Where the API is.
    """

    async def draw(client: MarketplaceClient) -> str:
        now = (await client.clock.get()).now
        start = now.replace(minute=0, second=0, microsecond=0)
        pools = sort_pools([one async for one in client.pools.list()])
        return render_calendar(await load_lanes(client, pools, start, start + timedelta(days=days)), now=now)

    return _write(draw, to, api_key, api_url)


@app.command
def dilution(issuer_id: str, /, *, to: Path, api_key: ApiKey, api_url: ApiUrl = _URL) -> int:
    """Draw who owns which part of a company before and after its last six closed rounds, and now.

    Args:
        issuer_id: For example `iss_01k…`.
        to: The file, `.svg`.
        api_key: A key of the company, of a holder, or of the platform.
        api_url: Where the API is.
    """

    async def draw(client: MarketplaceClient) -> str:
        issuer = await client.issuers.get(issuer_id)
        rounds = [one async for one in client.financings.list(issuer_id)]
        return render_flow(issuer.legal_name, await list_stages(client, issuer, rounds, None))

    return _write(draw, to, api_key, api_url)


@app.command
def waterfall(
    issuer_id: str,
    /,
    *,
    to: Path,
    low: Decimal,
    high: Decimal,
    points: Annotated[int, Parameter(validator=Number(gte=2, lte=POINTS_MAX))] = 61,
    safe_seniority: int | None = None,
    api_key: ApiKey,
    api_url: ApiUrl = _URL,
) -> int:
    """Draw what a sale of a company would pay its holders over a range of proceeds.

    Args:
        issuer_id: For example `iss_01k…`.
        to: The file, `.svg`.
        low: Lowest proceeds in dollars.
        high: Highest proceeds in dollars.
        points: How many, at most 200.
        safe_seniority: Rank of SAFEs among preferred stock; needed if its classes have several ranks.
        api_key: A key of the company, of a holder, or of the platform.
        api_url: Where the API is.
    """

    async def draw(client: MarketplaceClient) -> str:
        of = Range(low_usd=low, high_usd=high, points=points)
        issuer = await client.issuers.get(issuer_id)
        played = await client.cap_tables.plot_exits(issuer_id, range=of, safe_seniority=safe_seniority)
        return render_waterfall(issuer.legal_name, played)

    return _write(draw, to, api_key, api_url)


def _write(draw: Draw, to: Path, api_key: str, api_url: str) -> int:
    configure_logging()

    async def main() -> None:
        if to.suffix != ".svg":
            raise Refusal(
                "file_unsupported", f"charts are written as SVG; name a file that ends in .svg, not {to.name}"
            )
        async with MarketplaceClient(api_url, api_key) as client:
            drawing = render_file(await draw(client))
        try:
            await asyncio.to_thread(to.write_text, drawing, encoding="utf-8")
        except OSError as error:
            raise Refusal("file_missing", f"{to} cannot be written: {error.strerror}; check the path") from error
        CONSOLE.print(f"wrote {to}", soft_wrap=True)

    return run_call(main(), api_url)
