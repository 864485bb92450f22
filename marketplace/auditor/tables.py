"""Compares the projections' tables, by plain SQL, with the state computed from the events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import asyncpg

from marketplace.auditor.equity import Equity
from marketplace.auditor.market import Market
from marketplace.auditor.money import Money
from marketplace.auditor.standing import SUMS, Standing
from marketplace.auditor.stream import Findings

RETRY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Expected:
    """The state computed from the events, up to the last audited sequence."""

    money: Money
    equity: Equity
    market: Market
    standing: Standing
    last: int


Expect = Callable[[int], Awaitable[Expected]]


async def compare_tables(url: str, findings: Findings, expect: Expect, tries: int = 1) -> int:
    """Compare balances, holds, holdings and states; return how many rows were compared.

    The tables may be written meanwhile: they are compared at an instant at which all projections stand at one sequence,
    as one snapshot has them. Any projection that stands elsewhere after the last try is a finding, and nothing is
    compared then.

    Args:
        url: The database.
        findings: What differs.
        expect: Returns the state that the events give, at a sequence if it can read as far.
        tries: How often to look, `RETRY_SECONDS` apart.
    """
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        for attempt in range(1, tries + 1):
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = await connection.fetch("SELECT name, position FROM projection_positions WHERE live")
                expected = await expect(min((row["position"] for row in rows), default=0))
                behind = [row for row in rows if row["position"] != expected.last]
                if not behind:
                    return await _compare(connection, _Comparison(findings, expected.last), expected)
            if attempt < tries:
                await asyncio.sleep(RETRY_SECONDS)
        for row in behind:
            text = f"projection {row['name']} stands at {row['position']}, the log at {expected.last}"
            findings.add("position", expected.last, text)
    finally:
        await connection.close()
    return 0


async def _compare(connection: Any, comparison: "_Comparison", expected: Expected) -> int:
    await _compare_money(connection, comparison, expected.money)
    held = {
        (issuer_id, *row): shares
        for issuer_id, issuer in expected.equity.issuers.items()
        for row, shares in issuer.holdings.items()
    }
    rows = await connection.fetch("SELECT issuer_id, kind, holder_id, security, shares FROM holdings")
    found = {(row["issuer_id"], row["kind"], row["holder_id"], row["security"]): row["shares"] for row in rows}
    comparison.compare("holdings", held, found, absent=0)
    for table, key, statuses in (
        ("orders", "order_id", expected.market.orders),
        ("statements", "statement_id", expected.market.statements),
    ):
        rows = await connection.fetch(f"SELECT {key} AS id, status FROM {table}")  # noqa: S608 - names of this file
        comparison.compare(table, statuses, {row["id"]: row["status"] for row in rows})
    grants = expected.market.grants.items()
    rows = await connection.fetch("SELECT grant_id FROM grants WHERE status = 'completed'")
    completed = {grant_id: True for grant_id, grant in grants if grant.status == "completed"}
    comparison.compare("completed grants", completed, {row["grant_id"]: True for row in rows})
    rows = await connection.fetch(f"SELECT provider_id, {', '.join(SUMS)} FROM reliability")  # noqa: S608 - as above
    sums = {row["provider_id"]: tuple(row[name] for name in SUMS) for row in rows}
    comparison.compare("standing", expected.standing.list_sums(), sums, absent=(0,) * len(SUMS))
    return comparison.rows


async def _compare_money(connection: Any, comparison: "_Comparison", money: Money) -> None:
    balances, holds = {}, {}
    for account_id, account in money.accounts.items():
        balances[f"{account_id}/available"], balances[f"{account_id}/held"] = account.available, account.held
        for hold_id, hold in account.holds.items():
            holds[account_id, hold_id] = (hold.left, hold.captured)
    rows = await connection.fetch("SELECT account, amount FROM balances WHERE account LIKE 'acc\\_%'")
    comparison.compare("balances", balances, {row["account"]: row["amount"] for row in rows}, absent=Decimal(0))
    sums = await connection.fetch("SELECT unit, sum(amount) AS total FROM balances GROUP BY unit")
    comparison.compare("trial balance", {}, {row["unit"]: row["total"] for row in sums}, absent=Decimal(0))
    negative = await connection.fetch(
        "SELECT account, amount FROM balances WHERE amount < 0 AND account ~ '/(committed|delivered|accepted)$'"
    )
    comparison.compare("capacity", {}, {row["account"]: row["amount"] for row in negative}, absent=Decimal(0))
    rows = await connection.fetch("SELECT account_id, hold_id, left_usd, captured_usd FROM holds")
    found = {(row["account_id"], row["hold_id"]): (row["left_usd"], row["captured_usd"]) for row in rows}
    comparison.compare("holds", holds, found)


class _Comparison:
    """Counts compared rows, and reports those that differ."""

    def __init__(self, findings: Findings, last: int) -> None:
        self._findings = findings
        self._last = last
        self.rows = 0

    def compare(self, name: str, expected: Mapping[Any, Any], found: Mapping[Any, Any], absent: Any = None) -> None:
        """Compare one table, and report the rows that differ. A missing row has the value `absent`."""
        keys = {*expected, *found}
        self.rows += len(keys)
        for key in sorted(keys, key=str):
            wanted, stored = expected.get(key, absent), found.get(key, absent)
            if wanted != stored:
                text = f"{name} of {key}: the table says {stored}, the events say {wanted}"
                self._findings.add("table", self._last, text)
