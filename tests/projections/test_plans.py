"""Lists stay quick in a large market: PostgreSQL reads each by an index, with every filter.

`QUERIES` has every keyword parameter of every function that lists rows, which a test compares with the functions. The
tables are filled with made-up rows, and PostgreSQL is asked for the plan of every query. The platform's filter of the
feed by type has no index: it reads at most `FILTERED_MAX` events for a page.
"""

import contextlib
import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from marketplace.projections.access.parties import list_names, list_parties
from marketplace.projections.billing.accounts.queries import list_accounts, list_balances, list_entries, list_lines
from marketplace.projections.billing.approvals import list_approvals
from marketplace.projections.billing.bonds import list_bonds, list_claims
from marketplace.projections.billing.holds import list_credits, list_holds
from marketplace.projections.billing.service_lines import list_hours, list_service_lines
from marketplace.projections.billing.statements import find_latest_statements, list_statements
from marketplace.projections.delivery.grants import find_grants, list_carriers, list_grants, list_grants_at
from marketplace.projections.engine.operations import list_api_keys
from marketplace.projections.engine.queries import Window
from marketplace.projections.engine.schema import METADATA
from marketplace.projections.equity.cap_tables.queries import (
    list_issuers,
    list_offers,
    list_price_sources,
    list_programmes,
    list_warrants,
)
from marketplace.projections.equity.instruments import list_instruments, list_movements, list_principal
from marketplace.projections.equity.proposals import Concerned, list_proposals
from marketplace.projections.feed.queries import EventFilter, find_sequence_before, list_concerned, list_events
from marketplace.projections.metering.usage import list_allocations, list_readings
from marketplace.projections.supply.capacity.incidents import list_incidents
from marketplace.projections.supply.inventory import list_lots, list_pools, list_sites
from marketplace.projections.trading.auctions import find_decisions, list_auctions, list_decisions, list_prices
from marketplace.projections.trading.mandates import list_mandates
from marketplace.projections.trading.market.queries import list_list_prices
from marketplace.projections.trading.market.vendors import list_exposures
from marketplace.projections.trading.orders import list_book, list_orders
from marketplace.projections.trading.quotes import list_quotes
from scripts.query_table import NAMES, find_module

ROWS = 10_000
PARTY = "party of nothing"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEWEST = Window(order="newest")
SPANS = {"startup_id", "provider_id", "payer_id", "holder_id", "party_id", "proposer_id", "related_id"}
STATUSES = ("open", "locked", "matched", "issued", "active", "completed", "held", "cleared")
TABLES = (
    "account_approvals account_credits account_reserves accounts allocations api_keys auctions balances "
    "bond_claims bonds decisions entries event_index event_parties grant_history grants holdings holds "
    "hours_readings instruments issuer_imports issuers list_prices lots mandate_holds mandates mfn_notices "
    "order_history orders outages parties pools price_sources prices principal_movements programmes proposal_votes "
    "proposals quotes readings service_lines sites stakeholders statements stock_offers warrants"
)
COST_MAX = 500
"""In PostgreSQL's units. A query that reads the history of orders as a whole by its index costs three times as much."""
SCANNED = {
    "names for a party": {"sites", "pools", "mandates"},  # all providers, and all holders with a mandate
    "parties of a role in a status": {"parties"},  # the platform's own list, of few thousand parties
    "prices of an auction": {"pools"},  # one pass costs less than to look up the pool of each price
}
"""The tables that a query reads as a whole, and why."""
PASS_COST = 800
"""What one such pass may add to a query's cost: it reads a table and leaves out repeated rows."""
UNFILTERED = {"after", "before", "limit", "now", "sealed"}
"""Keyword parameters that select no rows by a column of their own."""
Query = Callable[[AsyncConnection], Awaitable[Any]]
QUERIES: dict[str, Query] = {
    "orders": list_orders,
    "orders of a startup": partial(list_orders, startup_id=PARTY),
    "newest orders": partial(list_orders, window=NEWEST),
    "newest orders of a startup": partial(list_orders, startup_id=PARTY, window=NEWEST),
    "orders in statuses": partial(list_orders, status=["open", "locked"]),
    "newest orders of a startup in a status": partial(list_orders, startup_id=PARTY, status="open", window=NEWEST),
    "orders of an auction": partial(list_orders, auction_id="auction of nothing"),
    "count of a startup's orders": partial(list_orders, startup_id=PARTY, window=Window(counts=True)),
    "orders of a day": partial(list_orders, window=Window(created_from=NOW, created_before=NOW)),
    "book of a startup": partial(list_book, startup_id=PARTY),
    "past book of a startup": partial(list_book, startup_id=PARTY, at=ROWS),
    "grants": list_grants,
    "grants of a party": partial(list_grants, party_id=PARTY),
    "newest grants of a party": partial(list_grants, party_id=PARTY, window=NEWEST),
    "grants in a status": partial(list_grants, status="active"),
    "newest grants of a party in a status": partial(list_grants, party_id=PARTY, status="active", window=NEWEST),
    "some grants": partial(find_grants, grant_ids={f"grant {number}" for number in range(100)}),
    "past grants of a party": partial(list_grants_at, at=ROWS, party_id=PARTY),
    "statements of a party": partial(list_statements, party_id=PARTY),
    "newest statements of a party": partial(list_statements, party_id=PARTY, window=NEWEST),
    "statements of a grant": partial(list_statements, grant_id="grant of nothing"),
    "statements of a service line": partial(list_statements, service_line_id="service_line of nothing"),
    "statements in a status": partial(list_statements, status="open"),
    "latest statements": partial(find_latest_statements, grant_ids={f"grant {number}" for number in range(100)}),
    "auctions in a status": partial(list_auctions, status="cleared"),
    "newest auctions": partial(list_auctions, window=NEWEST),
    "decisions of an auction": partial(list_decisions, auction_id="auction of nothing"),
    "a startup's decisions of an auction": partial(list_decisions, auction_id="auction of nothing", startup_id=PARTY),
    "decisions of an order": partial(list_decisions, order_id="order of nothing"),
    "some decisions": partial(find_decisions, keys={(f"auction {n}", f"order {n}") for n in range(100)}),
    "quotes of a startup": partial(list_quotes, startup_id=PARTY),
    "newest quotes of a startup": partial(list_quotes, startup_id=PARTY, window=NEWEST),
    "mandates of a holder": partial(list_mandates, holder_id=PARTY),
    "newest mandates of a holder": partial(list_mandates, holder_id=PARTY, window=NEWEST),
    "lots of a provider": partial(list_lots, provider_id=PARTY),
    "lots of a pool": partial(list_lots, pool_id="pool of nothing"),
    "newest lots": partial(list_lots, window=NEWEST),
    "pools of a provider": partial(list_pools, provider_id=PARTY),
    "newest parties": partial(list_parties, window=NEWEST),
    "accounts of a party": partial(list_accounts, now=NOW, party_id=PARTY),
    "balances of a party": partial(list_balances, party_id=PARTY),
    "entries of a party": partial(list_entries, party_id=PARTY),
    "a clerk's balances of a party": partial(list_balances, party_id=PARTY, sealed=False),
    "a clerk's entries of a party": partial(list_entries, party_id=PARTY, sealed=False),
    "a clerk's entries of an account": partial(list_entries, account_id="account of nothing", sealed=False),
    "a clerk's past balances": partial(list_balances, account_id="account of nothing", at=ROWS, sealed=False),
    "a clerk's holds of an account": partial(list_holds, account_id="account of nothing", sealed=False),
    "approvals": list_approvals,
    "approvals of a party in a status": partial(list_approvals, party_id=PARTY, status="open"),
    "approvals of a party without orders": partial(list_approvals, party_id=PARTY, hidden=("order",)),
    "approvals of an account": partial(list_approvals, account_id="account of nothing"),
    "incidents of a provider": partial(list_incidents, provider_id=PARTY, before=ROWS, limit=100),
    "holds of an account": partial(list_holds, account_id="account of nothing"),
    "newest holds of an account": partial(list_holds, account_id="account of nothing", window=NEWEST),
    "claims of a party": partial(list_claims, party_id=PARTY),
    "service lines of a party": partial(list_service_lines, party_id=PARTY),
    "newest service lines of a party": partial(list_service_lines, party_id=PARTY, window=NEWEST),
    "instruments of an issuer": partial(list_instruments, issuer_id="issuer of nothing"),
    "proposals of an issuer": partial(list_proposals, issuer_id="issuer of nothing"),
    "readings of a grant": partial(list_readings, grant_id="grant of nothing"),
    "events of a party": partial(list_events, party_id=PARTY, after=ROWS // 2),
    "a party's events of a type": partial(
        list_events, party_id=PARTY, chosen=EventFilter(tags=frozenset({"a"}), until=ROWS)
    ),
    "events of an aggregate": partial(list_events, chosen=EventFilter(aggregate_id="aggregate of nothing", until=ROWS)),
    "new events of parties": partial(
        list_concerned, parties={f"party {n}" for n in range(99)}, after=ROWS - 50, until=ROWS
    ),
    "events from an instant": partial(find_sequence_before, start=NOW),
    "names for a party": partial(list_names, reader_id=PARTY, party_ids=["party 1"], limit=100),
    "parties of a role in a status": partial(list_parties, role="startup", status="cleared"),
    "lots of a class and region in a status": partial(list_lots, gpu_class="H100", region="no-1", status="listed"),
    "pools of a class and region": partial(list_pools, gpu_class="H100", region="no-1"),
    "sites of a provider": partial(list_sites, provider_id=PARTY),
    "sites of a provider in a status": partial(list_sites, provider_id=PARTY, status=("planned", "operating")),
    "incidents of a provider over a span": partial(
        list_incidents, provider_id=PARTY, created_from=NOW, created_before=NOW, before=ROWS, limit=100
    ),
    "newest movements of an instrument over a span": partial(
        list_movements,
        instrument_id="instrument of nothing",
        newest=True,
        after=ROWS,
        created_from=NOW,
        created_before=NOW,
    ),
    "mandates of a holder in a status": partial(list_mandates, holder_id=PARTY, status="active"),
    "quotes of a startup in a status": partial(list_quotes, startup_id=PARTY, status="held"),
    "matches of an auction": partial(list_decisions, auction_id="auction of nothing", matched=True),
    "prices of an auction": partial(list_prices, auction_id="auction of nothing"),
    "prices of a pool over a span": partial(list_prices, pool_id="pool of nothing", start=NOW, end=NOW),
    "prices of a class": partial(list_prices, gpu_class="H100"),
    "open incidents of a provider": partial(list_incidents, provider_id=PARTY, is_open=True, before=ROWS, limit=100),
    "carriers of a startup": partial(
        list_carriers, startup_id=PARTY, provider_id=PARTY, gpu_class="H100", start=NOW, end=NOW, limit=100
    ),
    "list prices of a class": partial(list_list_prices, gpu_class="H100"),
    "exposures of a holder": partial(list_exposures, holder_id=PARTY),
    "allocations of a party": partial(list_allocations, party_id=PARTY),
    "readings of a party": partial(list_readings, party_id=PARTY),
    "readings of a grant over a span": partial(list_readings, grant_id="grant of nothing", start=NOW, end=NOW),
    "hours of a service line over a span": partial(list_hours, line_id="line of nothing", start=NOW, end=NOW),
    "service lines of a grant in a status": partial(list_service_lines, grant_id="grant of nothing", status="open"),
    "balances of an account": partial(list_balances, account_id="account of nothing", unit="usd"),
    "past balances of an account": partial(list_balances, account_id="account of nothing", at=ROWS, occurred_until=NOW),
    "past entries of an account": partial(
        list_entries, account_id="account of nothing", account="held", at=ROWS, occurred_until=NOW
    ),
    "newest entries of a party over a span": partial(
        list_entries, party_id=PARTY, newest=True, after=(ROWS, 0), created_from=NOW, created_before=NOW
    ),
    "lines of an account": partial(
        list_lines, account_id="account of nothing", basis="recorded", start=NOW, end=NOW, limit=100, latest=True
    ),
    "credits of a party": partial(list_credits, party_id=PARTY, reader_id=PARTY),
    "holds of an account for a purpose": partial(list_holds, account_id="account of nothing", purpose="order 1"),
    "newest approvals": partial(list_approvals, window=NEWEST),
    "bonds of a party": partial(list_bonds, party_id=PARTY),
    "newest claims of a party in a status": partial(list_claims, party_id=PARTY, status="open", window=NEWEST),
    "instruments of a holder in a status": partial(list_instruments, holder_id=PARTY, status="active"),
    "newest instruments of a party": partial(list_instruments, party=("issuer of nothing", PARTY), window=NEWEST),
    "past principal of an issuer": partial(list_principal, issuer_id="issuer of nothing", at=ROWS),
    "principal of a holder": partial(list_principal, issuer_id="issuer of nothing", holder_id=PARTY),
    "issuers of a party": partial(list_issuers, party_id=PARTY),
    "issuers of a holder": partial(list_issuers, holder_id=PARTY),
    "programmes of an issuer with a party": partial(list_programmes, issuer_id="issuer of nothing", party_id=PARTY),
    "price sources of a recorder": partial(list_price_sources, issuer_id="issuer of nothing", recorder_id=PARTY),
    "offers of a party": partial(list_offers, issuer_id="issuer of nothing", party_id=PARTY),
    "warrants of a party": partial(list_warrants, issuer_id="issuer of nothing", party_id=PARTY),
    "newest proposals of a party in a status": partial(
        list_proposals, concerned=Concerned(PARTY, "issuer of nothing"), status="open", window=NEWEST
    ),
    "keys of a party": partial(list_api_keys, party_id=PARTY),
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


def list_filters() -> set[tuple[str, str]]:
    """Return the keyword parameters of every function that lists rows, with the function's name."""
    functions = {
        value
        for name in NAMES
        for value in vars(find_module(name)).values()
        if inspect.iscoroutinefunction(value) and value.__name__.startswith("list_")
    }
    return {
        (function.__name__, parameter.name)
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in UNFILTERED
    }


def test_every_filter_of_a_list_is_in_a_query():
    asked = {
        (query.func.__name__, name)
        for query in QUERIES.values()
        if isinstance(query, partial)
        for name in query.keywords
    }
    assert list_filters() - asked == set(), "add a row to QUERIES with this filter"


async def test_every_list_is_read_by_an_index(engine: AsyncEngine):
    await fill(engine)
    slow = {}
    async with engine.connect() as connection:
        for name, query in QUERIES.items():
            plans = await explain(connection, query)
            nodes = [node for plan in plans for node in list_nodes(plan)]
            scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
            cost = sum(plan["Total Cost"] for plan in plans)
            assert plans, name
            allowed = SCANNED.get(name, set())
            if scanned != allowed or cost > COST_MAX + PASS_COST * len(allowed):
                slow[name] = (scanned, cost)
    assert slow == {}
