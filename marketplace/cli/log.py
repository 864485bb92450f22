"""`marketplace log`: read the event log, check that nothing in it was changed, export it and import it.

Commands that need the database or the auditor are imported when they are called.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter, validators

from events.registry import AGGREGATES
from events.subjects import LOG_ID, render_subject
from marketplace.cli.console import NatsUrl, build_progress, configure_logging, run, stop_on_signals
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.errors import Refusal
from marketplace.embedded.nats import embedded_nats
from marketplace.log.archive import ArchiveWriter, read_archive, restore
from marketplace.log.codec import Chain
from marketplace.log.port import Log, Recorded
from marketplace.runtime.process.config import Settings, load_settings
from marketplace.runtime.process.log import open_log

app = App(name="log")
_HELP: Final = {
    "audit": """Recompute the market from its raw events, with code that is not the market's.

    Chains, guards, money, holds, capacity by instant, principal, cap tables, statements and the uniqueness of effects
    are recomputed from the events alone, and the tables compared if a database is given. Exits with 3 if a rule is
    broken.
    """,
    "annotate": """State for ever how every reader treats a damaged message. The statement is an event in the log.""",
    "accept-loss": """Accept that the last events of a log are lost, because it went back or was replaced.

    Stop every API and worker first. The rows of every projection and every snapshot are removed; workers rebuild them
    from the log.
    """,
    "accept-gap": """State for ever that a position of the log is empty, so that every reader passes it.

    First the whole log is read and, if a database is given, the projections are asked. If a later event links to a
    missing one, or a projection has applied a missing one, an event that was stored is lost.
    """,
}
for name, text in _HELP.items():
    module = "audit" if name == "audit" else "log_repair"
    app.command(f"marketplace.cli.{module}:{name.replace('-', '_').upper()}", name=name, help=text)
EVENTS_MAX: Final = 1_000
Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=EVENTS_MAX))]


@app.command
def tail(*, count: Count = 20, follow: bool = False, bodies: bool = False, nats_url: NatsUrl = None) -> int:
    """Print the last events, one per line.

    Args:
        count: How many, at most 1,000.
        follow: Continue with every new event until Ctrl-C.
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
    """Check the hash chain from the first event to the last. Exits with 1 at the first event that does not fit.

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
                await walk(log, chain.check, "verify")
        counts = ((chain.annotated, "annotated"), (chain.empty, "accepted as empty"))
        named = " and ".join(f"{count:,} {what}" for count, what in counts if count)
        aside = f", except {named} (see `log show log {LOG_ID}`)" if named else ""
        CONSOLE.print(
            mark("green", "whole:"),
            f"{chain.sequence:,} events of {len(chain.heads):,} aggregates, "
            f"every one as it was sealed and none missing{aside}",
        )

    return run(main())


@app.command
def export(*, to: Path, nats_url: NatsUrl = None) -> int:
    """Write the whole log into one file, each event checked, as a backup or for an auditor.

    Args:
        to: A new file. Only its owner may read it, because it contains confidential data.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            last_sequence = (await log.health()).last_sequence
            with ArchiveWriter(to, last_sequence) as archive:
                await walk(log, archive.add, "export")
        CONSOLE.print(f"{last_sequence:,} events in {to}")

    return run(main())


@app.command(name="import")
def import_(file: Path, /, *, data: Path | None = None, nats_url: NatsUrl = None) -> int:
    """Store an archive's events in an empty log, at their original positions. Run it again to continue.

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


async def walk(log: Log, take: Callable[[Recorded], None], name: str) -> None:
    """Pass every stored event to `take`, with a progress bar."""
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
    by = " ".join(filter(None, (envelope.actor, envelope.actorkey, envelope.actorperson)))
    CONSOLE.print(f"{line}  by {by}", soft_wrap=True)
    if body:
        text = msgspec.json.format(recorded.body, indent=2).decode()
        CONSOLE.print(text, soft_wrap=True)
