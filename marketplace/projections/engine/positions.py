"""How far each projection has come, moved in the same transaction as its rows.

`UPDATE … WHERE position = :old AND epoch = :epoch` is the fence: a projector that starts takes a new epoch, and the
one before finds that its own is over. Only a rebuild moves a position without taking an epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Boolean, Column, Table, select, tuple_
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.fingerprint import compute_fingerprint
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.schema import METADATA, instant, text, whole

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
    whole("stopped_at", null=True),
    text("stopped_because", null=True),
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
        stopped_at: The event that it cannot pass; None while it goes on.
        stopped_because: What is wrong there, and the remedy.
    """

    name: str
    version: int
    live: bool
    position: int
    epoch: int
    target: int | None
    fingerprint: str
    updated_at: datetime
    stopped_at: int | None = None
    stopped_because: str | None = None


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
            "stopped_at = NULL, stopped_because = NULL, "
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


async def stop(connection: AsyncConnection, owned: Sequence[Position]) -> None:
    """Keep what positions say of where and why they stopped, or that they go on, for those who read them."""
    await connection.execute(
        sql(
            "UPDATE projection_positions AS p SET stopped_at = u.s, stopped_because = u.b, updated_at = now() "
            "FROM unnest(CAST(:names AS text[]), CAST(:versions AS bigint[]), CAST(:epochs AS bigint[]), "
            "CAST(:sequences AS bigint[]), CAST(:reasons AS text[])) AS u(n, v, e, s, b) "
            "WHERE p.name = u.n AND p.version = u.v AND p.live AND p.epoch = u.e"
        ),
        {
            "names": [p.name for p in owned],
            "versions": [p.version for p in owned],
            "epochs": [p.epoch for p in owned],
            "sequences": [p.stopped_at for p in owned],
            "reasons": [p.stopped_because for p in owned],
        },
    )


async def load_positions(connection: AsyncConnection) -> list[Position]:
    """Return every position there is, rebuilds included, by name."""
    table = projection_positions
    result = await connection.execute(select(table).order_by(table.c.name, table.c.version, table.c.live.desc()))
    return [Position(**row._mapping) for row in result]  # noqa: SLF001 - SQLAlchemy's public mapping


@dataclass(frozen=True, slots=True)
class Reached:
    """How far projections have come.

    Attributes:
        position: What all have reached that did not stop; of all that stopped where none goes on.
        stopped: Position of each that stopped, by name.
    """

    position: int
    stopped: Mapping[str, int]


async def load_reached(connection: AsyncConnection, projections: Sequence[Projection]) -> Reached:
    """Return how far projections have come; position 0 where one has not begun."""
    table = projection_positions
    wanted = [(p.name, p.version) for p in projections]
    result = await connection.execute(
        select(table.c.name, table.c.position, table.c.stopped_at).where(
            table.c.live, tuple_(table.c.name, table.c.version).in_(wanted)
        )
    )
    rows = result.all()
    stopped = {row.name: int(row.position) for row in rows if row.stopped_at is not None}
    going = [int(row.position) for row in rows if row.stopped_at is None]
    lowest = min(going or stopped.values(), default=0)
    return Reached(lowest if len(rows) == len(wanted) else 0, stopped)
