"""`marketplace portfolio`: a fund's or provider's holdings, their value, and whether they will be paid back."""

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter
from rich.table import Column, Table

from events.plain_json import encode_plain
from marketplace.application.equity.portfolios import load_portfolio, parse_prices
from marketplace.captable.portfolio import Portfolio, ask_recovery
from marketplace.captable.positions import Prices
from marketplace.cli.console import DatabaseUrl, NatsUrl, configure_logging, run
from marketplace.cli.holding import parse_instant
from marketplace.cli.output import CONSOLE
from marketplace.cli.projections import open_both
from marketplace.equity.recovery import Assumptions
from marketplace.execution.clock import load_market_time
from marketplace.execution.history import Histories
from marketplace.projections.engine.database import reachable

app = App(name="portfolio")
_MULTIPLES: Final = tuple(Decimal(each) for each in (2, 5, 10, 20, 50))
_COSTS: Final = (Decimal(1), Decimal("0.5"), Decimal("0.25"))
Json = Annotated[bool, Parameter(name="--json")]


@app.command
def show(
    party_id: str,
    /,
    *,
    at: str | None = None,
    retail: str | None = None,
    own_cost: str | None = None,
    as_json: Json = False,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """Print a holder's positions with cost and mark, multiples, rate of return, and the effect of a provider's failure.

    Args:
        party_id: For example `pty_01k…`.
        at: As of this RFC 3339 instant; market time by default.
        retail: List prices in USD per GPU-hour, for example H100_SXM:2.99,A100:1.10.
        own_cost: The holder's own cost of a GPU-hour, in the same form.
        as_json: Print JSON with all data.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        prices = Prices(parse_prices(retail, "/retail"), parse_prices(own_cost, "/own_cost"))
        async with open_both(nats_url, database_url) as (log, engine), reachable(), engine.connect() as connection:
            instant = await load_market_time(log) if at is None else parse_instant(at)
            portfolio = await load_portfolio(connection, Histories(log), party_id, at=instant, prices=prices)
        if as_json:
            CONSOLE.print(msgspec.json.format(encode_plain(portfolio), indent=2).decode())
        else:
            _tell(portfolio)

    return run(main())


@app.command
def recovery(
    *,
    success_part: Decimal,
    multiple: Decimal,
    cost_per_granted_usd: Decimal = Decimal(1),
    grants: int = 20,
    trials: int = 10_000,
    seed: int = 1,
) -> int:
    """Print which part of granted compute must succeed to be paid back, and how often that happens by chance.

    Args:
        success_part: Chance of one company's success, from 0 to 1.
        multiple: What a success returns per dollar granted.
        cost_per_granted_usd: The holder's own cost of a granted dollar.
        grants: Companies, each granted the same.
        trials: Portfolios to draw, at most 100,000.
        seed: The same seed draws the same portfolios.
    """

    async def main() -> None:
        assumed = Assumptions(success_part, multiple, cost_per_granted_usd, grants, trials, seed)
        answer = ask_recovery(assumed, _MULTIPLES, _COSTS)
        table = Table("multiple", *(f"part needed at {cost}" for cost in answer.costs_per_granted_usd))
        for row in answer.table:
            table.add_row(str(row.multiple), *(f"{part:.2%}" for part in row.parts))
        CONSOLE.print(table)
        CONSOLE.print(
            f"assumed: {grants} grants of equal size, each succeeds with chance {success_part} and then returns "
            f"{multiple} per dollar granted, otherwise nothing; a granted dollar costs {cost_per_granted_usd};"
            f" {trials:,} "
            f"portfolios of seed {seed}",
            soft_wrap=True,
        )
        CONSOLE.print(
            f"paid back in {answer.paid_back_part:.2%} of them; {answer.mean_multiple:.2f} per dollar on average"
        )

    return run(main())


def _tell(portfolio: Portfolio) -> None:
    names = ("status", "cost", "mark", "method", "undrawn", "received", "realised", "unrealised")
    table = Table("company", Column("position", overflow="fold"), *names)
    for line in portfolio.positions:
        received = (line.undrawn_usd, line.distributed_usd, line.realised_usd, line.unrealised_usd)
        amounts = (line.cost_usd, line.mark_usd, line.mark_method, *received)
        shown = (each if isinstance(each, str) else f"{each:,}" for each in amounts)
        table.add_row(line.issuer_name, f"{line.kind}\n{line.instrument_id}", line.status, *shown)
    CONSOLE.print(table)
    sums = portfolio.sums
    rates = ", ".join(f"{rate:.2%}" for rate in sums.xirr) or "no rate"
    CONSOLE.print(
        f"cost {sums.cost_usd:,}, mark {sums.mark_usd:,}, received {sums.distributed_usd:,}, "
        f"undrawn {sums.undrawn_usd:,}",
        soft_wrap=True,
    )
    CONSOLE.print(f"MOIC {sums.moic}, DPI {sums.dpi}, TVPI {sums.tvpi}, XIRR {sums.xirr_status}: {rates}")
    for row in portfolio.concentration:
        CONSOLE.print(f"{row.dimension} {row.name}: {row.exposure_usd:,} ({row.part:.2%})", soft_wrap=True)
    for provider in portfolio.providers:
        CONSOLE.print(f"if {provider.provider_id} fails: {provider.undrawn_usd:,} USD never accrue", soft_wrap=True)
