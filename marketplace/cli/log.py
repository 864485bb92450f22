"""`marketplace log`: read the event log, check that nothing in it was changed, export it and import it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter, validators
from sqlalchemy.ext.asyncio import AsyncEngine

from events.log import DamageKind, LostEvent
from events.registry import AGGREGATES
from events.subjects import LOG_ID, render_subject
from marketplace.app import open_log, open_watched_log
from marketplace.cli.audit import audit
from marketplace.cli.console import build_progress, configure_logging, run, stop_on_signals
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.errors import Refusal
from marketplace.domain.log import AcceptGap, AcceptLoss, Annotate
from marketplace.embedded.nats import embedded_nats
from marketplace.execution.log_record import record
from marketplace.log.annotations import Effect, check_annotation, examine
from marketplace.log.archive import ArchiveWriter, read_archive, restore
from marketplace.log.codec import Chain
from marketplace.log.gaps import LossEvidence, require_empty, require_told
from marketplace.log.port import Log, Recorded
from marketplace.log.watched import find_lost
from marketplace.projections.engine.database import build_engine, reachable
from marketplace.projections.engine.seen import load_marks, reset
from marketplace.projections.feed import list_events
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.config import Settings, load_settings, require_database_url

app = App(name="log")
app.command(audit)
EVENTS_MAX: Final = 1_000
DatabaseUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_DATABASE_URL")]
NatsUrl = Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")]
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
                await _walk(log, chain.check, "verify")
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
                await _walk(log, archive.add, "export")
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


@app.command
def annotate(
    sequence: int,
    /,
    *,
    hash: str,  # noqa: A002 - what the error names
    reason: str,
    keep: bool = False,
    no_release_knows_it: bool = False,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """State for ever how every reader treats a damaged message. The statement is an event in the log.

    Args:
        sequence: Position of the message, from the error.
        hash: Its hash, from the error.
        reason: Why, for auditors of the log.
        keep: Let it count. Only a message with no fault but its link to the previous event can be kept. Without this
            flag, every reader passes over the message.
        no_release_knows_it: Confirm, for an event whose type is its only fault, that no newer release knows the type.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections, to check that the log is the one that they have seen.
    """
    configure_logging()

    async def main() -> None:
        effect: Effect = "kept" if keep else "passed_over"
        async with _open_to_write(nats_url, database_url) as (log, _):
            found, damage = await examine(log, sequence)
            check_annotation(found, damage, effect=effect, hash=hash, type_is_final=no_release_knows_it)
            command = Annotate(
                sequence=sequence,
                subject=found.subject,
                hash=damage.hash,
                damage=msgspec.convert(damage.kind, DamageKind),
                effect=effect,
                reason=reason,
            )
            at = await record(log, command)
        CONSOLE.print(
            f"event {sequence} on {found.subject} is {effect.replace('_', ' ')}: {damage.reason}", soft_wrap=True
        )
        CONSOLE.print(f"annotated at event {at}; running processes follow it without a restart")

    return run(main())


@app.command
def accept_loss(*, reason: str, nats_url: NatsUrl = None, database_url: DatabaseUrl = None) -> int:
    """Accept that the last events of a log are lost, because it went back or was replaced, and rebuild the projections.

    Stop every API and worker first. The rows of every projection and every snapshot are removed; workers rebuild them
    from the log.

    Args:
        reason: Why, for auditors of the log.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
    """
    configure_logging()

    async def main() -> None:
        settings = load_settings(nats_url=nats_url, database_url=database_url)
        engine = build_engine(require_database_url(settings))
        try:
            async with open_log(settings) as log:
                lost = await find_lost(log, await load_marks(engine))
                last = (await log.health()).last_sequence
                command = AcceptLoss(
                    expected_sequence=lost.sequence, expected_hash=lost.hash, last_sequence=last, reason=reason
                )
                at = await record(log, command)
                await reset(engine, PROJECTIONS)
        finally:
            await engine.dispose()
        CONSOLE.print(f"everything after event {last} is lost, as event {at} records; the projections begin anew")

    return run(main())


@app.command
def accept_gap(
    sequence: int,
    /,
    *,
    reason: str,
    event_is_lost: bool = False,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """State for ever that a position of the log is empty, so that every reader passes it and writing resumes.

    First the whole log is read and, if a database is given, the projections are asked. If a later event links to a
    missing one, or a projection has applied a missing one, an event that was stored is lost.

    Args:
        sequence: The position, from the error.
        reason: Why, for auditors of the log.
        event_is_lost: Accept the loss of an event there, if it is proven.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections: proof of what was there, and that the log is theirs.
    """
    configure_logging()

    async def main() -> None:
        async with _open_to_write(nats_url, database_url) as (log, engine):
            await require_empty(log, sequence)
            evidence = LossEvidence(sequence)
            await _walk(log, evidence.take, "look for a lost event")
            lost = [*evidence.lost, *([] if engine is None else await _find_indexed(engine, sequence))]
            require_told(sequence, lost, event_is_lost=event_is_lost)
            at = await record(log, AcceptGap(sequence=sequence, lost=tuple(lost), reason=reason))
        told = "an event is lost there" if lost else "nothing proves that an event was there"
        CONSOLE.print(f"position {sequence} is accepted as empty at event {at}: {told}", soft_wrap=True)
        CONSOLE.print("every reader passes it; running processes follow without a restart")
        if lost:
            CONSOLE.print("rows may still show the lost event; `marketplace projections rebuild all` makes them anew")

    return run(main())


async def _find_indexed(engine: AsyncEngine, sequence: int) -> list[LostEvent]:
    """Return the event that the projections applied at a position, if any."""
    async with reachable(), engine.connect() as connection:
        found = await list_events(connection, after=sequence - 1, limit=1)
    return [
        LostEvent(
            subject=render_subject(event.aggregate, event.aggregate_id),
            known_from=f"PostgreSQL has applied a {event.tag} of {event.occurred_at.isoformat()}",
        )
        for event in found
        if event.sequence == sequence
    ]


@contextlib.asynccontextmanager
async def _open_to_write(
    nats_url: str | None, database_url: str | None
) -> AsyncIterator[tuple[Log, AsyncEngine | None]]:
    """Yield the log and the database, if given. The log is checked to be the one that the database has seen."""
    settings = load_settings(nats_url=nats_url, database_url=database_url)
    engine = None if settings.database_url is None else build_engine(settings.database_url)
    try:
        async with open_watched_log(settings, engine) as log:
            yield log, engine
    finally:
        if engine is not None:
            await engine.dispose()


async def _walk(log: Log, take: Callable[[Recorded], None], name: str) -> None:
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
