"""`marketplace what-if`: rounds and sales over a range of prices, on a scenario that is not recorded."""

import csv
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from events.financing import RoundTerms
from events.plain_json import encode_plain
from marketplace.captable.branch import Branch, begin_branch
from marketplace.captable.plots import (
    Range,
    list_exit_lines,
    list_prices,
    list_round_lines,
    play_exits,
    play_rounds,
)
from marketplace.cli.console import NatsUrl, configure_logging, run
from marketplace.cli.holding import parse_instant
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.terms import RoundDraft, settle_terms
from marketplace.execution.clock import load_market_time
from marketplace.execution.history import Histories, load_history
from marketplace.runtime.process.config import load_settings
from marketplace.runtime.process.log import open_log

app = App(name="what-if")
Format = Annotated[Literal["csv", "json"], Parameter(name="--format")]


@app.command(name="round")
def round_(
    issuer_id: str,
    /,
    *,
    terms: Path,
    low: Decimal,
    high: Decimal,
    points: int = 21,
    at: str | None = None,
    form: Format = "csv",
    nats_url: NatsUrl = None,
) -> int:
    """Print the price, and shares and dilution of every holder, at each pre-money valuation.

    Args:
        issuer_id: For example `iss_01k…`.
        terms: JSON file of a round's terms, as in the event `issuer.financing_opened`.
        low: Lowest pre-money valuation in dollars.
        high: Highest pre-money valuation in dollars.
        points: How many, at most 200.
        at: Begin the scenario at this RFC 3339 instant; market time by default.
        form: CSV with a line per price and holder, or JSON.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()
    of = Range(low_usd=low, high_usd=high, points=points)

    async def main() -> None:
        branch = await _begin(issuer_id, at, nats_url)
        played = play_rounds(branch, _load_terms(terms), list_prices(of))
        _print(form, played, list_round_lines(played))

    return run(main())


@app.command(name="exit")
def exit_(
    issuer_id: str,
    /,
    *,
    low: Decimal,
    high: Decimal,
    points: int = 21,
    after: tuple[Path, ...] = (),
    safe_seniority: int | None = None,
    at: str | None = None,
    form: Format = "csv",
    nats_url: NatsUrl = None,
) -> int:
    """Print what every holder is paid at each price of a sale.

    Args:
        issuer_id: For example `iss_01k…`.
        low: Lowest proceeds in dollars.
        high: Highest proceeds in dollars.
        points: How many, at most 200.
        after: JSON files of rounds to close in the scenario first, in order.
        safe_seniority: Rank of SAFEs among preferred stock; needed if its classes have several ranks.
        at: Begin the scenario at this RFC 3339 instant; market time by default.
        form: CSV with a line per price and holder, or JSON.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()
    of = Range(low_usd=low, high_usd=high, points=points)

    async def main() -> None:
        branch = await _begin(issuer_id, at, nats_url)
        rounds = [_load_terms(path) for path in after]
        played = play_exits(branch, list_prices(of), rounds, safe_seniority)
        _print(form, played, list_exit_lines(played))

    return run(main())


async def _begin(issuer_id: str, at: str | None, nats_url: str | None) -> Branch:
    async with open_log(load_settings(nats_url=nats_url)) as log:
        history = await load_history(Histories(log), issuer_id)
        instant = await load_market_time(log) if at is None else parse_instant(at)
    return begin_branch(history, instant)


def _load_terms(path: Path) -> RoundTerms:
    try:
        return settle_terms(msgspec.json.decode(path.read_bytes(), type=RoundDraft))
    except (OSError, msgspec.MsgspecError) as error:
        raise Refusal("terms_unreadable", f"{path} does not contain the terms of a round: {error}") from error


def _print(form: str, points: Sequence[Any], lines: Sequence[tuple[str, ...]]) -> None:
    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
    else:
        sys.stdout.write(msgspec.json.format(encode_plain(points), indent=2).decode() + "\n")
