"""How far each projection has come, moved in the same transaction as its rows.

`UPDATE … WHERE position = :old AND epoch = :epoch` is the fence: a projector that starts takes a new epoch, and the
one before finds that its own is over. Only a rebuild moves a position without taking an epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Boolean, Column, Table, func, select, tuple_
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.fingerprint import compute_fingerprint
from marketplace.projections.projection import Projection
from marketplace.projections.schema import METADATA, instant, text, whole

CHANNEL: Final = "projections"

projection_positions: Final = Table(
    "projection_positions",
    METADATA,
    text("name", key=True),
    whole("version", key=True),
    Column("live", Boolean, primary_key=True, nullable=False),
    whole("position"),
    whole("epoch"),
    whole("target", null=True),
    text("fingerprint"),
    instant("updated_at"),
)


@dataclass(frozen=True, slots=True)
class Position:
    """How far one projection has come.

    Attributes:
        name: The projection.
        version: The version of its tables.
        live: False for a rebuild that runs beside it.
        position: Sequence of the last event in its rows.
        epoch: Counts the projectors that have owned it.
        target: Where a rebuild is going.
        fingerprint: What made its rows, as `fingerprint.py` computes it; empty where a release did that kept none.
        updated_at: When it moved last.
    """

    name: str
    version: int
    live: bool
    position: int
    epoch: int
    target: int | None
    fingerprint: str
    updated_at: datetime


async def claim(connection: AsyncConnection, projections: Sequence[Projection]) -> dict[str, Position]:
    """Take a new epoch of each projection; whoever had the one before is fenced off from now on.

    One that has no rows yet gets the fingerprint of this release; one that has keeps that of who made them.
    """
    result = await connection.execute(
        sql(
            "INSERT INTO projection_positions AS p (name, version, live, position, epoch, fingerprint, updated_at) "
            "SELECT n, v, true, 0, 1, f, now() "
            "FROM unnest(CAST(:names AS text[]), CAST(:versions AS bigint[]), CAST(:prints AS text[])) AS u(n, v, f) "
            "ON CONFLICT (name, version, live) DO UPDATE SET epoch = p.epoch + 1, updated_at = now(), "
            "fingerprint = CASE WHEN p.position = 0 THEN EXCLUDED.fingerprint ELSE p.fingerprint END RETURNING p.*"
        ),
        {
            "names": [p.name for p in projections],
            "versions": [p.version for p in projections],
            "prints": [compute_fingerprint(p) for p in projections],
        },
    )
    return {row.name: Position(**row._mapping) for row in result}  # noqa: SLF001 - SQLAlchemy's public mapping


async def advance(connection: AsyncConnection, owned: Sequence[Position], position: int) -> frozenset[str]:
    """Move positions that are where their owner believes them to be, and return the names of those.

    The rows stay locked until the transaction ends, so that the caller's writes come after its fence.
    """
    result = await connection.execute(
        sql(
            "UPDATE projection_positions AS p SET position = :position, updated_at = now() "
            "FROM unnest(CAST(:names AS text[]), CAST(:versions AS bigint[]), CAST(:olds AS bigint[]), "
            "CAST(:epochs AS bigint[])) AS u(n, v, o, e) WHERE p.name = u.n AND p.version = u.v AND p.live "
            "AND p.position = u.o AND p.epoch = u.e RETURNING p.name"
        ),
        {
            "position": position,
            "names": [p.name for p in owned],
            "versions": [p.version for p in owned],
            "olds": [p.position for p in owned],
            "epochs": [p.epoch for p in owned],
        },
    )
    return frozenset(row.name for row in result)


async def load_positions(connection: AsyncConnection) -> list[Position]:
    """Return every position there is, rebuilds included, by name."""
    table = projection_positions
    result = await connection.execute(select(table).order_by(table.c.name, table.c.version, table.c.live.desc()))
    return [Position(**row._mapping) for row in result]  # noqa: SLF001 - SQLAlchemy's public mapping


async def load_lowest(connection: AsyncConnection, projections: Sequence[Projection]) -> int:
    """Return the position that every projection has reached; 0 where one has not begun."""
    table = projection_positions
    wanted = [(p.name, p.version) for p in projections]
    row = (
        await connection.execute(
            select(func.count().label("begun"), func.min(table.c.position).label("lowest")).where(
                table.c.live, tuple_(table.c.name, table.c.version).in_(wanted)
            )
        )
    ).one()
    return int(row.lowest) if row.begun == len(wanted) else 0


async def announce(connection: AsyncConnection, position: int) -> None:
    """Tell every waiting reader, at commit, that all projections of this projector reached `position`."""
    await connection.execute(
        sql("SELECT pg_notify(:channel, :position)"), {"channel": CHANNEL, "position": str(position)}
    )
