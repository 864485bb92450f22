"""Tasks that workers repeat without success. API processes report them, because a worker answers no requests.

Each worker replaces its own rows; rows older than 60 seconds belong to a worker that has ended.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.schema import METADATA, instant, text

REPORT_SECONDS: Final = 5.0
"""How often a worker reports what is stuck."""
REASON_CHARACTERS_MAX: Final = 500
READ_EVENT: Final = "read_event"
"""The task that a worker reports for each event that it cannot read; its subject is the sequence."""
UNREADABLE_MAX: Final = 1_000
_GONE: Final = sql("now() - interval '60 seconds'")

stuck_tasks: Final = Table(
    "stuck_tasks",
    METADATA,
    text("worker", key=True),
    text("task", key=True),
    text("subject", key=True),
    text("code"),
    text("reason"),
    instant("reported_at"),
)


async def report(engine: AsyncEngine, worker: str, rows: Collection[Mapping[str, str]]) -> None:
    """Replace a worker's rows, and remove those of workers that have ended.

    Args:
        engine: The database.
        worker: Names the process.
        rows: The kind of each task as `task`, what it is about as `subject`, and its refusal's `code` and `reason`.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    own = stuck_tasks.c.worker == worker
    async with reachable(), engine.begin() as connection:
        await connection.execute(delete(stuck_tasks).where(own | (stuck_tasks.c.reported_at < _GONE)))
        if rows:
            values = [{"worker": worker, **row} for row in rows]
            await connection.execute(insert(stuck_tasks).values(reported_at=func.now()), values)


async def count_stuck(engine: AsyncEngine) -> dict[tuple[str, str], int]:
    """Return how many tasks are stuck, by kind and by the code of their refusal; each counts once.

    An event that cannot be read is one of the kind `READ_EVENT`.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    task, code = stuck_tasks.c.task, stuck_tasks.c.code
    query = (
        select(task, code, func.count(stuck_tasks.c.subject.distinct()))
        .where(stuck_tasks.c.reported_at >= _GONE)
        .group_by(task, code)
    )
    async with reachable(), engine.connect() as connection:
        return {(kind, refused): count for kind, refused, count in await connection.execute(query)}


async def list_stuck(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Return what is stuck, by task and subject, and the workers that report it; at most 1,000.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    query = select(stuck_tasks).where(stuck_tasks.c.reported_at >= _GONE)
    query = query.order_by(stuck_tasks.c.task, stuck_tasks.c.subject, stuck_tasks.c.worker).limit(UNREADABLE_MAX)
    async with reachable(), engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def list_unreadable(engine: AsyncEngine) -> set[int]:
    """Return the sequences of the events that workers, who read the whole log, cannot read; at most 1,000.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    is_recent = stuck_tasks.c.reported_at >= _GONE
    query = select(stuck_tasks.c.subject).where(stuck_tasks.c.task == READ_EVENT, is_recent)
    async with reachable(), engine.connect() as connection:
        return {int(sequence) for (sequence,) in await connection.execute(query.limit(UNREADABLE_MAX))}
