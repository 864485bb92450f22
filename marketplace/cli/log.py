"""`marketplace log`: read the event log, check that nothing in it was changed, and take it away and back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter, validators

from events.registry import AGGREGATES
from events.subjects import render_subject
from marketplace.app import open_log
from marketplace.cli.audit import audit
from marketplace.cli.console import build_progress, configure_logging, run, stop_on_signals
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.errors import Refusal
from marketplace.embedded import embedded_nats
from marketplace.log.archive import ArchiveWriter, read_archive, restore
from marketplace.log.codec import Chain
from marketplace.log.port import Log, Recorded
from marketplace.runtime.config import Settings, load_settings

app = App(name="log")
app.command(audit)
EVENTS_MAX: Final = 1_000
NatsUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")]
Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=EVENTS_MAX))]


@app.command
def tail(*, count: Count = 20, follow: bool = False, bodies: bool = False, nats_url: NatsUrl = None) -> int:
    """Print the last events, one a line.

    Args:
        count: How many, at most 1,000.
        follow: Go on with every new event until Ctrl-C.
        bodies: Print the bodies as well.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            last = (await log.health()).last_sequence
            pages = log.read(max(0, last - count), follow=follow)
            await (_print_until_stopped(pages, bodies=bodies) if follow else _print_all(pages, bodies=bodies))

    return run(main())


@app.command
def show(aggregate: str, id: str, /, *, nats_url: NatsUrl = None) -> int:  # noqa: A002 - the field's word
    """Print every event of one aggregate with its body, oldest first.

    Args:
        aggregate: For example `grant`.
        id: For example `grt_01k…`.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> int:
        if aggregate not in AGGREGATES:
            raise Refusal(
                "aggregate_unknown", f"there is no aggregate {aggregate!r}; choose one of {', '.join(AGGREGATES)}"
            )
        async with open_log(load_settings(nats_url=nats_url)) as log:
            stored = await log.load(render_subject(aggregate, id))
        for recorded in stored:
            _print(recorded, body=True)
        if not stored:
            raise Refusal(
                "aggregate_not_found", f"the log has no event of {aggregate} {id}", aggregate=aggregate, id=id
            )
        return 0

    return run(main())


@app.command
def verify(*, file: Path | None = None, nats_url: NatsUrl = None) -> int:
    """Walk the hash chain from the first event to the last; exits with 1 at the first that does not fit.

    Args:
        file: An archive that `log export` wrote, instead of the log on the servers.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        chain = Chain()
        if file is not None:
            for recorded in read_archive(file):
                chain.check(recorded)
        else:
            async with open_log(load_settings(nats_url=nats_url)) as log:
                await _walk(log, chain.check, "verify")
        CONSOLE.print(
            mark("green", "whole:"),
            f"{chain.sequence:,} events of {len(chain.heads):,} aggregates, "
            "every one as it was sealed and none missing",
        )

    return run(main())


@app.command
def export(*, to: Path, nats_url: NatsUrl = None) -> int:
    """Write the whole log into one file, each event checked: a backup, and what an auditor takes away.

    Args:
        to: A new file; it holds what parties keep to themselves, and only its owner may read it.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            last_sequence = (await log.health()).last_sequence
            with ArchiveWriter(to, last_sequence) as archive:
                await _walk(log, archive.add, "export")
        CONSOLE.print(f"{last_sequence:,} events in {to}")

    return run(main())


@app.command(name="import")
def import_(file: Path, /, *, data: Path | None = None, nats_url: NatsUrl = None) -> int:
    """Store an archive's events in an empty log, at the positions that they had; begun again, it goes on.

    Args:
        file: What `log export` wrote.
        data: Folder of `marketplace up`, which must not be running: its NATS is started for this.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            if data is None:
                settings = load_settings(nats_url=nats_url)
            else:
                servers = await stack.enter_async_context(embedded_nats(data / "nats"))
                settings = Settings(nats_url=servers.url, nats_admin_url=servers.admin_url)
            log = await stack.enter_async_context(open_log(settings))
            restored = await restore(log, file)
        CONSOLE.print(f"{restored.stored:,} events stored, {restored.found:,} were there already")

    return run(main())


async def _walk(log: Log, take: Callable[[Recorded], None], name: str) -> None:
    """Hand over every event that is stored, with a bar."""
    total, count = (await log.health()).last_sequence, 0
    with build_progress() as progress:
        task = progress.add_task(name, total=total)
        async for page in log.read(0):
            for recorded in page:
                take(recorded)
            count += len(page)
            progress.update(task, completed=count, total=max(total, count))


async def _print_until_stopped(pages: AsyncIterator[list[Recorded]], *, bodies: bool) -> None:
    reading = asyncio.create_task(_print_all(pages, bodies=bodies))
    stopping = asyncio.create_task(stop_on_signals().wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not reading.done():
        reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading


async def _print_all(pages: AsyncIterator[list[Recorded]], *, bodies: bool) -> None:
    async for page in pages:
        for recorded in page:
            _print(recorded, body=bodies)


def _print(recorded: Recorded, *, body: bool) -> None:
    envelope = recorded.envelope
    line = f"{recorded.sequence:>8}  {envelope.time:%Y-%m-%dT%H:%M:%SZ}  {envelope.type}  {envelope.subject}"
    CONSOLE.print(f"{line}  by {envelope.actor}", soft_wrap=True)
    if body:
        text = msgspec.json.format(recorded.body, indent=2).decode()
        CONSOLE.print(text, soft_wrap=True)
