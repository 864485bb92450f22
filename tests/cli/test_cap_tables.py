"""`marketplace explain holding`, `what-if` and `book` as processes, on a real log and real projections."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from marketplace.application.clock import advance_clock
from marketplace.core.ids import rename_id
from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.application.equity.test_equity import found, invest
from tests.captable.company import ROUND
from tests.support.commands import run_command
from tests.support.market.market import Market

ROOT = Path(__file__).parents[2]


class Shell:
    """Runs our command line against the servers of a test."""

    def __init__(self, nats_url, database_url):
        self.environment = {"MARKETPLACE_NATS_URL": nats_url, "MARKETPLACE_DATABASE_URL": database_url}

    async def run(self, *arguments, code=0):
        ended, output = await run_command(*arguments, environment=self.environment)
        assert ended == code, output
        return output


@pytest.mark.timeout(300)
async def test_a_cap_table_is_explained_and_played_and_a_portfolio_is_shown(
    tmp_path, jetstream_log: JetStreamLog, nats_server: NatsServers, database_url: str
):
    market = Market(jetstream_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    engine = build_engine(database_url)
    await migrate(engine)
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    await engine.dispose()
    shell, issuer = Shell(nats_server.url, database_url), rename_id("iss", trade.startup)

    held = f"{rename_id('acc', trade.startup)}/held"
    told = await shell.run("explain", "balance", held)
    assert {line.split()[3].strip(",") for line in told.splitlines() if line[:1] in "+-"} == {held}
    told = await shell.run("explain", "holding", issuer)
    assert "stock common of Founders: 8,000,000" in told
    founders, total = (next(line for line in told.splitlines() if word in line) for word in ("Founders", "total"))
    assert [cell.strip() for cell in founders.split("│")[1:-1]] == [
        "Founders",
        "8,000,000",
        "100.0000%",
        "8,000,000",
        "8,000,000",
        "88.8889%",
    ]
    assert "9,000,000" in total
    assert "(pool, not granted)" in told
    assert "50,000" in next(
        line for line in told.splitlines() if rename_id("iss", trade.startup) not in line and "ins_" in line
    )
    assert "authorised/common: 10,000,000" in told
    assert "+50,000.00" in told or "+50,000" in told
    assert "approval_missing issuer.stock_issued.v1" in told
    one = await shell.run("explain", "holding", issuer, "--holder", trade.fund)
    assert "stock common" not in one
    assert f"held by {trade.fund}" in one
    past = await shell.run("explain", "holding", issuer, "--known", "3", code=2)
    assert "issuer_unknown" in past
    await shell.run("explain", "holding", issuer, "--at", "yesterday", code=2)

    recorded = (await jetstream_log.health()).last_sequence
    terms = tmp_path / "round.json"
    terms.write_bytes(msgspec.json.encode(ROUND))
    span = ("--low", "10000000", "--high", "40000000", "--points", "4")
    lines = list(csv.DictReader(io.StringIO(await shell.run("what-if", "round", issuer, "--terms", terms, *span))))
    assert {line["pre_money_usd"] for line in lines} == {f"{n}0000000.00" for n in range(1, 5)}
    parts = [Decimal(line["part"]) for line in lines if line["pre_money_usd"] == "40000000.00"]
    assert abs(sum(parts) - 1) < Decimal("0.00001")
    exits = json.loads(await shell.run("what-if", "exit", issuer, *span, "--after", terms, "--format", "json"))
    for point in exits:
        assert sum(Decimal(holder["amount_usd"]) for holder in point["holders"]) == Decimal(point["proceeds_usd"])
    await shell.run("what-if", "round", issuer, "--terms", tmp_path / "none.json", *span, code=2)
    assert (await jetstream_log.health()).last_sequence == recorded
    assert {line["holder"] for line in lines} >= {"Founders", "not granted"}

    await see_portfolio(shell, market, trade.fund)


async def see_portfolio(shell, market, fund_id):
    """See a portfolio now and, once the clock went on, at market time; and ask the recovery question."""
    portfolio = json.loads(await shell.run("portfolio", "show", fund_id, "--json"))
    assert portfolio["sums"]["cost_usd"] == portfolio["sums"]["mark_usd"] == "50000.00"
    assert "MOIC 1.000000" in await shell.run("portfolio", "show", fund_id)
    await advance_clock(market.handler, market.context(), seconds=40 * 86_400)
    later = json.loads(await shell.run("portfolio", "show", fund_id, "--json"))
    assert datetime.fromisoformat(later["at"]) > datetime.now(UTC) + timedelta(days=39)
    answer = await shell.run("portfolio", "recovery", "--success-part", "0.1", "--multiple", "20", "--trials", "200")
    assert "part needed at 0.5" in answer
    assert "portfolios of seed 1" in answer
