"""`marketplace log annotate`, `accept-loss`, `accept-gap`: state for ever how a damaged or shortened log is read."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from cyclopts import App
from sqlalchemy.ext.asyncio import AsyncEngine

from events.log import DamageKind, LostEvent
from events.subjects import render_subject
from marketplace.cli.console import DatabaseUrl, NatsUrl, configure_logging, run
from marketplace.cli.log import walk
from marketplace.cli.output import CONSOLE
from marketplace.core.instants import render_instant
from marketplace.domain.log import AcceptGap, AcceptLoss, Annotate
from marketplace.execution.log_record import record
from marketplace.log.annotations import Effect, check_annotation, examine
from marketplace.log.gaps import LossEvidence, require_empty, require_loss_stated
from marketplace.log.port import Log
from marketplace.log.watched import find_lost
from marketplace.projections.engine.database import build_engine, reachable
from marketplace.projections.engine.seen import bind_marks, load_marks, reset
from marketplace.projections.feed import list_events
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.config import load_settings, require_database_url
from marketplace.runtime.process.log import open_log, open_watched_log

ANNOTATE: Final = App(name="annotate")
ACCEPT_LOSS: Final = App(name="accept-loss")
ACCEPT_GAP: Final = App(name="accept-gap")


@ANNOTATE.default
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
    """State for ever how every reader treats a damaged message.

    Args:
        sequence: Position of the message, from the error.
        hash: Its hash, from the error.
        reason: Why, for auditors of the log. Subscribers on NATS read it too.
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


@ACCEPT_LOSS.default
def accept_loss(*, reason: str, nats_url: NatsUrl = None, database_url: DatabaseUrl = None) -> int:
    """Accept that the last events of a log are lost, and empty the projections.

    Args:
        reason: Why, for auditors of the log. Subscribers on NATS read it too.
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


@ACCEPT_GAP.default
def accept_gap(
    sequence: int,
    /,
    *,
    reason: str,
    event_is_lost: bool = False,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """State for ever that a position of the log is empty.

    Args:
        sequence: The position, from the error.
        reason: Why, for auditors of the log. Subscribers on NATS read it too.
        event_is_lost: Accept the loss of an event there, if it is proven.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections: proof of what was there, and that the log is theirs.
    """
    configure_logging()

    async def main() -> None:
        async with _open_to_write(nats_url, database_url) as (log, engine):
            await require_empty(log, sequence)
            evidence = LossEvidence(sequence)
            await walk(log, evidence.take, "look for a lost event")
            lost = [*evidence.lost, *([] if engine is None else await _find_indexed(engine, sequence))]
            require_loss_stated(sequence, lost, event_is_lost=event_is_lost)
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
            known_from=f"PostgreSQL has applied a {event.tag} of {render_instant(event.occurred_at)}",
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
        async with open_watched_log(settings, bind_marks(engine)) as log:
            yield log, engine
    finally:
        if engine is not None:
            await engine.dispose()
