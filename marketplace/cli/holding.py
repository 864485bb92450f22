"""`marketplace explain holding`: trace a cap table, or one holder's rows of it, down to the events."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from events.instants import REQUESTED, is_requested
from marketplace.captable.diagnostics import list_checks
from marketplace.captable.explanation import ExplainedConversion, Explanation, NumberChange, explain_cap_table
from marketplace.captable.report import build_report
from marketplace.cli.cap_table import render_shares, show_cap_table
from marketplace.cli.console import NatsUrl, configure_logging, run
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.errors import Refusal
from marketplace.core.intervals import find_instant
from marketplace.execution.clock import load_market_time
from marketplace.execution.history import Histories, load_history
from marketplace.runtime.process.config import load_settings
from marketplace.runtime.process.log import open_log


def holding(
    issuer_id: str,
    /,
    *,
    holder: str | None = None,
    security: str | None = None,
    at: str | None = None,
    known: int | None = None,
    nats_url: NatsUrl = None,
) -> int:
    """Print a cap table with the events behind every number, and its irregularities.

    Args:
        issuer_id: For example `iss_01k…`.
        holder: Only this holder's rows and principal.
        security: Only this class, option, warrant or instrument.
        at: Only what had happened by this RFC 3339 instant.
        known: Only what the log held at this sequence.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        instant = None if at is None else parse_instant(at)
        async with open_log(load_settings(nats_url=nats_url)) as log:
            history = await load_history(Histories(log), issuer_id)
            checked_at = instant or await load_market_time(log)
        explained = explain_cap_table(history, at=instant, known=known, holder_id=holder, security=security)
        whole = holder is None and security is None
        if whole:
            show_cap_table(build_report(history, checked_at, known))
        _tell(explained)
        if whole:
            for check in list_checks(history.until(instant, known), checked_at):
                behind = ", ".join(str(sequence) for sequence in check.sequences)
                CONSOLE.print(mark("yellow", check.code), check.text + (f" (event {behind})" if behind else ""))

    return run(main())


def parse_instant(text: str) -> datetime:
    """Return an instant of the command line.

    Raises:
        Refusal: ``instant_invalid`` if it is not RFC 3339, has no offset, or is out of bounds.
    """
    instant = find_instant(text)
    if instant is None:
        raise Refusal("instant_invalid", f"{text!r} is not an instant with an offset, such as 2026-01-31T00:00:00Z")
    if not is_requested(instant):
        raise Refusal("instant_invalid", f"{text} {REQUESTED}; state a time within them")
    return instant.astimezone(UTC)


def _tell(explained: Explanation) -> None:
    for row in explained.rows:
        who = row.name or row.holder_id
        title = f"{row.kind} {row.security} of {who}" if who else "pool, neither granted nor promised"
        _tell_number(title, Decimal(row.shares), row.entries)
    for number in explained.numbers:
        _tell_number(number.name, number.value, number.entries)
    for each in explained.as_converted:
        _tell_converted(each)
    for principal in explained.principal:
        whose = f"of {principal.instrument_id} held by {principal.holder_id}, USD"
        _tell_number(f"principal {whose}", principal.outstanding_usd, principal.entries)
        if principal.converted:
            _tell_number(f"converted principal {whose}", principal.converted_usd, principal.converted)
        if principal.debt:
            _tell_number(f"debt {whose}", principal.debt_usd, principal.debt)


def _tell_converted(explained: ExplainedConversion) -> None:
    whose = {"company": "of the company", "class": f"of {explained.id}"}.get(explained.of)
    title = f"as converted, {whose or f'of {explained.name or explained.id}'}"
    CONSOLE.print(mark("bold", f"{title}:"), render_shares(explained.shares), soft_wrap=True)
    for entry in explained.entries:
        change = render_shares(entry.change)
        change = change if change.startswith("-") else f"+{change}"
        line = f"  {change:>16}  {entry.occurred_at:%Y-%m-%dT%H:%M:%SZ}  event {entry.sequence} {entry.type}"
        CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


def _tell_number(title: str, value: Decimal, entries: Iterable[NumberChange]) -> None:
    CONSOLE.print(mark("bold", f"{title}:"), f"{value:,}", soft_wrap=True)
    for entry in entries:
        line = f"  {entry.change:>+16,}  {entry.occurred_at:%Y-%m-%dT%H:%M:%SZ}  event {entry.sequence} {entry.type}"
        CONSOLE.print(line, soft_wrap=True)
