"""`marketplace explain`: trace a number down to its events and readings."""

from datetime import datetime
from typing import Annotated, Final

from cyclopts import App, Parameter, validators
from rich.table import Column, Table

from marketplace.cli.console import DatabaseUrl, NatsUrl, configure_logging, run
from marketplace.cli.holding import holding, parse_instant
from marketplace.cli.output import CONSOLE
from marketplace.cli.projections import open_both
from marketplace.core.errors import Refusal
from marketplace.projections.billing.accounts import explain_balance
from marketplace.projections.billing.accounts.explain import EXPLAINED_MAX
from marketplace.projections.engine.database import reachable
from marketplace.projections.views.billing import (
    CauseView,
    EventBody,
    ExplainedEntry,
    ExplanationView,
    HoursReadingView,
)
from marketplace.projections.views.metering import ReadingView

app = App(name="explain")
app.command(holding)
PAGES_MAX: Final = 10_000
Limit = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=PAGES_MAX * EXPLAINED_MAX))]


@app.command
def balance(
    account_id: str,
    /,
    *,
    at: str | None = None,
    occurred_until: str | None = None,
    limit: Limit = EXPLAINED_MAX,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """Print the balances of an account, a grant, an instrument or a pool, and every entry behind them.

    Args:
        account_id: For example `acc_01k…` or its `acc_01k…/held`, or a grant for its GPU-seconds.
        at: The state at a sequence of the log, or an RFC 3339 instant; now by default.
        occurred_until: Of that state, only what had occurred by this RFC 3339 instant.
        limit: The most entries, oldest first.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        point = _parse_point(at)
        until = None if occurred_until is None else parse_instant(occurred_until)
        after, left = (0, -1), limit
        async with open_both(nats_url, database_url) as (log, engine), reachable(), engine.connect() as connection:
            for _ in range(PAGES_MAX):
                count = min(left, EXPLAINED_MAX)
                found = await explain_balance(
                    connection, log, account_id, at=point, occurred_until=until, after=after, limit=count
                )
                if after == (0, -1):
                    _tell_balances(found)
                for explained in found.entries:
                    _tell_entry(explained)
                left -= len(found.entries)
                if len(found.entries) < count or not left:
                    return
                after = (found.entries[-1].entry.sequence, found.entries[-1].entry.line)

    return run(main())


def _parse_point(text: str | None) -> int | datetime | None:
    if text is None:
        return None
    return int(text) if text.isdecimal() else parse_instant(text)


def _tell_balances(found: ExplanationView) -> None:
    if not found.balances:
        raise Refusal("account_unknown", f"nothing was posted to {found.account_id} by then; check the id")
    table = Table(Column("account", overflow="fold"), "unit", "balance", "last event")
    for row in found.balances:
        table.add_row(row.account, row.unit, f"{row.amount:,f}", f"{row.last_sequence:,}")
    CONSOLE.print(table)


def _print(text: str) -> None:
    CONSOLE.print(text, soft_wrap=True)


def _tell_entry(explained: ExplainedEntry) -> None:
    entry = explained.entry
    _print(f"{entry.amount:+,f} {entry.unit} on {entry.account}, then {explained.balance:,f}")
    _tell_event(explained.event, "  ")
    if entry.occurred_at != entry.recorded_at:
        _print(f"    occurred {entry.occurred_at:%Y-%m-%dT%H:%M:%SZ}")
    if explained.cause is not None:
        _tell_cause(explained.cause)


def _tell_event(event: EventBody, indent: str) -> None:
    body = bytes(event.body).decode()
    _print(
        f"{indent}event {event.sequence} {event.tag}, recorded {event.recorded_at:%Y-%m-%dT%H:%M:%SZ} by {event.actor}"
    )
    _print(f"{indent}  {body}")


def _tell_cause(cause: CauseView) -> None:
    _print(f"    for {cause.id}:")
    for event in cause.events:
        _tell_event(event, "      ")
    for reading in cause.readings:
        _print(f"      reading {_render_reading(reading)}")
    for worked in cause.hours:
        _print(f"      reading {_render_hours(worked)}")


def _render_hours(worked: HoursReadingView) -> str:
    span = f"{worked.start:%Y-%m-%dT%H:%M:%SZ} to {worked.end:%Y-%m-%dT%H:%M:%SZ}"
    return f"{worked.reading_id} of {worked.source}: {span}, {worked.hours} hours, event {worked.reported_sequence}"


def _render_reading(reading: ReadingView) -> str:
    span = f"{reading.start:%Y-%m-%dT%H:%M:%SZ} to {reading.end:%Y-%m-%dT%H:%M:%SZ}"
    nodes = "1 node" if reading.nodes == 1 else f"{reading.nodes} nodes"
    counted = f"{nodes}, {reading.gpu_seconds:,} GPU-seconds"
    return f"{reading.reading_id} of {reading.source}: {span}, {counted}, event {reading.reported_sequence}"
