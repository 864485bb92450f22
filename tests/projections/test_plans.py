"""Lists stay quick in a large market: PostgreSQL reads each by an index, with every filter.

The tables are filled with made-up rows, and PostgreSQL is asked for the plan of every query. The platform's filter of
the feed by type has no index: it reads at most `FILTERED_MAX` events for a page.
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from marketplace.projections.access.parties import list_parties
from marketplace.projections.billing.accounts.queries import list_accounts, list_balances, list_entries
from marketplace.projections.billing.approvals import list_approvals
from marketplace.projections.billing.bonds import list_claims
from marketplace.projections.billing.holds import list_holds
from marketplace.projections.billing.service_lines import list_service_lines
from marketplace.projections.billing.statements import find_latest_statements, list_statements
from marketplace.projections.delivery.grants import find_grants, list_grants, list_grants_at
from marketplace.projections.engine.queries import Window
from marketplace.projections.engine.schema import METADATA
from marketplace.projections.equity.instruments import list_instruments
from marketplace.projections.equity.proposals import list_proposals
from marketplace.projections.feed.queries import EventFilter, list_concerned, list_events
from marketplace.projections.metering.usage import list_readings
from marketplace.projections.supply.capacity.incidents import list_incidents
from marketplace.projections.supply.inventory import list_lots, list_pools
from marketplace.projections.trading.auctions import find_decisions, list_auctions, list_decisions
from marketplace.projections.trading.mandates import list_mandates
from marketplace.projections.trading.orders import list_book, list_orders
from marketplace.projections.trading.quotes import list_quotes

ROWS = 10_000
PARTY = "party of nothing"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEWEST = Window(order="newest")
SPANS = {"startup_id", "provider_id", "payer_id", "holder_id", "party_id", "proposer_id", "related_id"}
STATUSES = ("open", "locked", "matched", "issued", "active", "completed", "held", "cleared")
TABLES = (
    "account_approvals account_reserves accounts auctions balances bond_claims decisions entries event_index "
    "event_parties grant_history grants holds hours_readings instruments lots mandates order_history orders parties "
    "pools proposals quotes outages readings service_lines sites statements"
)
COST_MAX = 500
"""In PostgreSQL's units. A query that reads the history of orders as a whole by its index costs three times as much."""
Query = Callable[[AsyncConnection], Awaitable[Any]]
QUERIES: dict[str, Query] = {
    "orders": list_orders,
    "orders of a startup": lambda c: list_orders(c, startup_id=PARTY),
    "newest orders": lambda c: list_orders(c, window=NEWEST),
    "newest orders of a startup": lambda c: list_orders(c, startup_id=PARTY, window=NEWEST),
    "orders in statuses": lambda c: list_orders(c, status=["open", "locked"]),
    "newest orders of a startup in a status": lambda c: list_orders(c, startup_id=PARTY, status="open", window=NEWEST),
    "orders of an auction": lambda c: list_orders(c, auction_id="auction of nothing"),
    "count of a startup's orders": lambda c: list_orders(c, startup_id=PARTY, window=Window(counts=True)),
    "orders of a day": lambda c: list_orders(c, window=Window(created_from=NOW, created_before=NOW)),
    "book of a startup": lambda c: list_book(c, startup_id=PARTY),
    "past book of a startup": lambda c: list_book(c, startup_id=PARTY, at=ROWS),
    "grants": list_grants,
    "grants of a party": lambda c: list_grants(c, party_id=PARTY),
    "newest grants of a party": lambda c: list_grants(c, party_id=PARTY, window=NEWEST),
    "grants in a status": lambda c: list_grants(c, status="active"),
    "newest grants of a party in a status": lambda c: list_grants(c, party_id=PARTY, status="active", window=NEWEST),
    "some grants": lambda c: find_grants(c, {f"grant {number}" for number in range(100)}),
    "past grants of a party": lambda c: list_grants_at(c, ROWS, party_id=PARTY),
    "statements of a party": lambda c: list_statements(c, party_id=PARTY),
    "newest statements of a party": lambda c: list_statements(c, party_id=PARTY, window=NEWEST),
    "statements of a grant": lambda c: list_statements(c, grant_id="grant of nothing"),
    "statements of a service line": lambda c: list_statements(c, service_line_id="service_line of nothing"),
    "statements in a status": lambda c: list_statements(c, status="open"),
    "latest statements": lambda c: find_latest_statements(c, {f"grant {number}" for number in range(100)}),
    "auctions in a status": lambda c: list_auctions(c, status="cleared"),
    "newest auctions": lambda c: list_auctions(c, window=NEWEST),
    "decisions of an auction": lambda c: list_decisions(c, auction_id="auction of nothing"),
    "a startup's decisions of an auction": lambda c: list_decisions(
        c, auction_id="auction of nothing", startup_id=PARTY
    ),
    "decisions of an order": lambda c: list_decisions(c, order_id="order of nothing"),
    "some decisions": lambda c: find_decisions(c, {(f"auction {n}", f"order {n}") for n in range(100)}),
    "quotes of a startup": lambda c: list_quotes(c, startup_id=PARTY),
    "newest quotes of a startup": lambda c: list_quotes(c, startup_id=PARTY, window=NEWEST),
    "mandates of a holder": lambda c: list_mandates(c, holder_id=PARTY),
    "newest mandates of a holder": lambda c: list_mandates(c, holder_id=PARTY, window=NEWEST),
    "lots of a provider": lambda c: list_lots(c, provider_id=PARTY),
    "lots of a pool": lambda c: list_lots(c, pool_id="pool of nothing"),
    "newest lots": lambda c: list_lots(c, window=NEWEST),
    "pools of a provider": lambda c: list_pools(c, provider_id=PARTY),
    "newest parties": lambda c: list_parties(c, window=NEWEST),
    "accounts of a party": lambda c: list_accounts(c, now=NOW, party_id=PARTY),
    "balances of a party": lambda c: list_balances(c, party_id=PARTY),
    "entries of a party": lambda c: list_entries(c, party_id=PARTY),
    "approvals": list_approvals,
    "approvals of a party in a status": lambda c: list_approvals(c, party_id=PARTY, status="open"),
    "approvals of an account": lambda c: list_approvals(c, account_id="account of nothing"),
    "incidents of a provider": lambda c: list_incidents(c, provider_id=PARTY, before=ROWS, limit=100),
    "holds of an account": lambda c: list_holds(c, "account of nothing"),
    "newest holds of an account": lambda c: list_holds(c, "account of nothing", window=NEWEST),
    "claims of a party": lambda c: list_claims(c, party_id=PARTY),
    "service lines of a party": lambda c: list_service_lines(c, party_id=PARTY),
    "newest service lines of a party": lambda c: list_service_lines(c, party_id=PARTY, window=NEWEST),
    "instruments of an issuer": lambda c: list_instruments(c, issuer_id="issuer of nothing"),
    "proposals of an issuer": lambda c: list_proposals(c, issuer_id="issuer of nothing"),
    "readings of a grant": lambda c: list_readings(c, grant_id="grant of nothing"),
    "events of a party": lambda c: list_events(c, party_id=PARTY, after=ROWS // 2),
    "a party's events of a type": lambda c: list_events(
        c, party_id=PARTY, chosen=EventFilter(tags=frozenset({"a"}), until=ROWS)
    ),
    "events of an aggregate": lambda c: list_events(
        c, chosen=EventFilter(aggregate_id="aggregate of nothing", until=ROWS)
    ),
    "new events of parties": lambda c: list_concerned(
        c, {f"party {n}" for n in range(99)}, after=ROWS - 50, until=ROWS
    ),
}


def make_up(table: sa.Table, column: sa.Column[Any]) -> str:
    """Return the SQL of a column's value in row `i`."""
    kind, name = column.type, column.name
    own = next(iter(table.primary_key.columns)).name
    if (name in SPANS and name != own) or (name == "party_id" and table.name == "event_parties"):
        return "'party ' || i % 1000"
    if name.endswith("_id"):
        modulus = {"auction_id": 200, "issuer_id": 1_000, "account_id": 1_000, "pool_id": 500}.get(name)
        number = f"i % {modulus}" if modulus and name != own else "i"
        return f"'{name.removesuffix('_id')} ' || {number}"
    if name == "status":
        return f"(array{list(STATUSES)!r})[i % {len(STATUSES)} + 1]"
    values: list[tuple[type, str]] = [
        (sa.dialects.postgresql.JSONB, "'[]'::jsonb"),
        (sa.Boolean, "false"),
        (sa.Integer, "i"),
        (sa.Numeric, "1"),
        (sa.DateTime, "timestamptz '2026-01-01' + i * interval '1 minute'"),
        (sa.Date, "date '2026-01-01' + i / 100"),
    ]
    text = f"'{name} ' || i" if column.primary_key else "'1/2'"
    return next((value for each, value in values if isinstance(kind, each)), text)


async def fill(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for table in (METADATA.tables[name] for name in TABLES.split()):
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            row = ", ".join(make_up(table, column) for column in table.columns)
            await connection.execute(
                sa.text(f"INSERT INTO {table.name} ({names}) SELECT {row} FROM generate_series(1, {ROWS}) AS i")  # noqa: S608
            )
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(sa.text("ANALYZE"))


async def explain(connection: AsyncConnection, query: Query) -> list[dict[str, Any]]:
    """Return the plans of the statements of a query."""
    seen: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(connection.sync_connection, "before_cursor_execute", hear)
    try:
        with contextlib.suppress(msgspec.ValidationError):  # made-up rows are no views
            await query(connection)
    finally:
        event.remove(connection.sync_connection, "before_cursor_execute", hear)
    found = [await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", given) for text, given in seen]
    return [each.scalar_one()[0]["Plan"] for each in found]


def list_nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in list_nodes(part))]


async def test_every_list_is_read_by_an_index(engine: AsyncEngine):
    await fill(engine)
    slow = {}
    async with engine.connect() as connection:
        for name, query in QUERIES.items():
            plans = await explain(connection, query)
            nodes = [node for plan in plans for node in list_nodes(plan)]
            scanned = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
            cost = sum(plan["Total Cost"] for plan in plans)
            assert plans, name
            if scanned or cost > COST_MAX:
                slow[name] = (scanned, cost)
    assert slow == {}
