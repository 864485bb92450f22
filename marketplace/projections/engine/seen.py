"""The last event that this database has seen. It shows when the log went back or was replaced.

The projector moves it in the transaction that moves its positions. No rebuild touches it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Table, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.subjects import STREAM
from marketplace.log.watched import LoadMarks, Mark, load_no_marks
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.operations import snapshots
from marketplace.projections.engine.positions import CHANNEL, projection_positions
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.schema import METADATA, instant, text, whole

log_seen: Final = Table(
    "log_seen",
    METADATA,
    text("stream", key=True),
    text("log_id"),
    whole("sequence"),
    text("hash"),
    instant("seen_at"),
)


async def load_marks(engine: AsyncEngine) -> Sequence[Mark]:
    """Return the last event that the projections have seen, and the last one that a snapshot was made at.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    async with reachable(), engine.connect() as connection:
        seen = (await connection.execute(select(log_seen))).one_or_none()
        kept = (
            await connection.execute(
                select(snapshots.c.subject, snapshots.c.sequence, snapshots.c.hash)
                .order_by(snapshots.c.sequence.desc())
                .limit(1)
            )
        ).one_or_none()
    marks = []
    if seen is not None:
        marks.append(Mark("PostgreSQL", seen.sequence, seen.hash, seen.log_id))
    if kept is not None:
        marks.append(Mark(f"a snapshot of {kept.subject}", kept.sequence, kept.hash))
    return marks


def bind_marks(engine: AsyncEngine | None) -> LoadMarks:
    """Return what loads the marks of a database; without one there are none."""
    return load_no_marks if engine is None else partial(load_marks, engine)


async def reset(engine: AsyncEngine, projections: Sequence[Projection]) -> None:
    """Remove every row that was made from the log, so that the projections begin anew on the log as it is now.

    Snapshots and the last event seen go too. API keys stay, because they are not in the log, and so do workers' reports
    of stuck tasks.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    tables = [table.name for projection in projections for table in projection.tables]
    names = ", ".join([*tables, projection_positions.name, snapshots.name, log_seen.name])
    async with reachable(), engine.begin() as connection:
        await connection.execute(sql("SET LOCAL synchronous_commit = on"))
        await connection.execute(sql(f"TRUNCATE {names}"))


async def announce(connection: AsyncConnection, mark: Mark) -> None:
    """Note the last event seen, and tell every waiting reader at commit that the projections reached it."""
    await connection.execute(
        sql(
            "WITH moved AS (INSERT INTO log_seen AS s (stream, log_id, sequence, hash, seen_at) "
            "VALUES (:stream, :log_id, :sequence, :hash, now()) ON CONFLICT (stream) DO UPDATE SET "
            "log_id = EXCLUDED.log_id, sequence = EXCLUDED.sequence, hash = EXCLUDED.hash, seen_at = EXCLUDED.seen_at "
            "WHERE s.sequence < EXCLUDED.sequence) SELECT pg_notify(:channel, :position)"
        ),
        {
            "stream": STREAM,
            "log_id": mark.log_id,
            "sequence": mark.sequence,
            "hash": mark.hash,
            "channel": CHANNEL,
            "position": str(mark.sequence),
        },
    )
