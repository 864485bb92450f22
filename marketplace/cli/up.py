"""`marketplace up`: the whole stack on a data folder that survives restarts."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from marketplace.cli.console import configure_logging, run, stop_on_signals
from marketplace.cli.output import CONSOLE, ERRORS, mark
from marketplace.cli.sandbox import hold_auctions, open_sandbox
from marketplace.cli.stack import Stack, open_stack
from marketplace.client import MarketplaceClient
from marketplace.log.inboxes import METER_INBOX, derive_inbox_prefix
from marketplace.runtime.process.config import CLEARING_SECONDS_MAX, SECONDS_MAX, require_database_url

app = App(name="up")
ClearingSeconds = Parameter(env_var="MARKETPLACE_CLEARING_SECONDS_MAX", validator=Number(gte=1, lte=SECONDS_MAX))


@app.default
def up(
    *,
    data: Path = Path("data"),
    port: int = 8000,
    nats_url: Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")] = None,
    database_url: Annotated[str | None, Parameter(env_var="MARKETPLACE_DATABASE_URL")] = None,
    calendar: Annotated[bool, Parameter(env_var="MARKETPLACE_CALENDAR")] = False,
    clearing_seconds_max: Annotated[int, ClearingSeconds] = CLEARING_SECONDS_MAX,
    sandbox: bool = False,
    public_market: Annotated[bool, Parameter(env_var="MARKETPLACE_PUBLIC_MARKET")] = False,
) -> int:
    """Start NATS, PostgreSQL, the API and the worker; stop them on Ctrl-C.

    Args:
        data: Folder of all stored data.
        port: Where the API listens on loopback; 0 uses a free one.
        nats_url: Use this NATS instead of starting one.
        database_url: Use this PostgreSQL (postgresql://…) instead of starting one.
        calendar: Open auctions by the calendar, hourly for near starts, daily for longer terms, weekly for long deals.
        clearing_seconds_max: Seconds after which an attempt of the clearing engine fails.
        sandbox: Set up a small market, write its keys to `sandbox/env` of the data folder, and hold an auction soon
            after each order.
        public_market: Show market data at `/console/market` without a key.
    """
    configure_logging("warning")
    opening = open_stack(
        data,
        port=port or None,
        nats_url=nats_url,
        database_url=database_url,
        calendar=calendar,
        clearing_seconds_max=clearing_seconds_max,
        public_market=public_market,
    )
    return run(_up(opening, data, sandbox=sandbox))


async def _up(opening: AbstractAsyncContextManager[Stack], data: Path, *, sandbox: bool) -> int:
    stop = stop_on_signals()
    CONSOLE.print("Starting the market on", mark("bold", str(data)), "…")
    async with opening as stack:
        CONSOLE.print(_render_welcome(stack), soft_wrap=True)
        if stack.nats is not None and stack.nats.port_taken is not None:
            _tell(f"another process has port {stack.nats.port_taken}, so NATS has another one than before")
        if stack.waits_for:
            _tell(stack.waits_for)
        watching, stopping = asyncio.create_task(stack.watch(_tell)), asyncio.create_task(stop.wait())
        playing = asyncio.create_task(_play(stack, data / "sandbox") if sandbox else asyncio.Event().wait())
        await asyncio.wait({watching, stopping, playing}, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in (watching, playing) if task.done()]
        for task in {watching, stopping, playing}.difference(ended):
            task.cancel()
        await asyncio.gather(watching, stopping, playing, return_exceptions=True)
        if ended:
            ERRORS.print(mark("bold red", str(ended[0].result())), soft_wrap=True)
            return 1
        CONSOLE.print("Stopping …")
    CONSOLE.print("Stopped. All data is kept; `marketplace up` continues from here.")
    return 0


async def _play(stack: Stack, folder: Path) -> None:
    """Set up the sandbox and hold its auctions, until cancelled."""
    async with MarketplaceClient(stack.api_url, stack.settings.admin_key) as platform:
        _tell("the sandbox is being filled …")
        servers = {
            "MARKETPLACE_NATS_URL": _get_nats_url(stack),
            "MARKETPLACE_DATABASE_URL": require_database_url(stack.settings),
        }
        path = await open_sandbox(platform, stack.settings.admin_key, stack.api_url, folder, servers)
        _tell(f"the sandbox is ready: `. {path}` gives its keys to a shell; an auction follows each order")
        await hold_auctions(platform, _tell)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # The console may be a file on the disk that is full.
        CONSOLE.print(mark("yellow", f"{datetime.now(UTC):%H:%M:%S}"), line, soft_wrap=True)


def _get_nats_url(stack: Stack) -> str:
    """Return where other commands read the log."""
    return stack.settings.nats_url if stack.nats is None else stack.nats.subscriber_url


def _render_welcome(stack: Stack) -> str:
    nats_url = _get_nats_url(stack)
    lines = [
        "The market is open.",
        "",
        f"API         {stack.api_url}   (reference at {stack.api_url}/schema)",
        f"Console     {stack.render_link()}   (signs in once, for ten minutes; later with a key)",
        f"NATS        {nats_url}   (inbox prefix {derive_inbox_prefix(nats_url)})",
        *([] if stack.nats is None else [f"Meters      {stack.nats.meter_url}   (inbox prefix {METER_INBOX})"]),
        f"PostgreSQL  {stack.settings.database_url}",
        f"Admin key   {stack.settings.admin_key}",
        "",
        "Try next:",
        f"  curl -H 'Authorization: Bearer {stack.settings.admin_key}' {stack.api_url}/v1/events",
        f"  uv run marketplace projections list --database-url '{stack.settings.database_url}' --nats-url '{nats_url}'",
        f"  uv run marketplace log tail --nats-url '{nats_url}'",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)
