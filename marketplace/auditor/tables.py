"""Compares the projections' tables, by plain SQL, with the state computed from the events."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from marketplace.auditor.equity import Equity
from marketplace.auditor.market import Market
from marketplace.auditor.money import Money
from marketplace.auditor.stream import Findings


@dataclass(frozen=True, slots=True)
class Expected:
    """The state computed from the events, up to the last audited sequence."""

    money: Money
    equity: Equity
    market: Market
    last: int


async def compare_tables(url: str, findings: Findings, expected: Expected) -> int:
    """Compare balances, holds, holdings and states; return how many rows were compared.

    A projection that is not at the last sequence is a finding; nothing is compared then.
    """
    last = expected.last
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            behind = await connection.fetch(
                "SELECT name, position FROM projection_positions WHERE live AND position <> $1", last
            )
            for row in behind:
                text = f"projection {row['name']} stands at {row['position']}, the log at {last}"
                findings.add("position", last, text)
            if behind:
                return 0
            return await _compare(connection, _Comparison(findings, last), expected)
    finally:
        await connection.close()


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
