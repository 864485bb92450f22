"""How far each projection has come, moved in the same transaction as its rows.

`UPDATE … WHERE position = :old AND epoch = :epoch AND version = :version` is the fence. A projector that starts takes a
new epoch of each live row. The updates of the projector before it then match no row. A rebuild that swaps its tables in
moves the live position and its version, and leaves the epoch; the live projector finds that the position moved.

A projection has one live row here, whatever release runs. Its `version` says which version of the projection made the
rows. A release rebuilds rows of a lower version (`automatic_rebuild.py`) and leaves rows of a higher version alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Boolean, Column, Table, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.errors import Conflict
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.schema import METADATA, instant, text, whole

CHANNEL: Final = "projections"

projection_positions: Final = Table(
    "projection_positions",
    METADATA,
    text("name", key=True),
    Column("live", Boolean, primary_key=True, nullable=False),
    whole("version"),
    whole("position"),
    whole("epoch"),
    whole("target", null=True),
    whole("stopped_at", null=True),
    text("stopped_because", null=True),
    instant("updated_at"),
)


@dataclass(frozen=True, slots=True)
class Position:
    """How far one projection has come.

    Attributes:
        name: The projection.
        live: False for a rebuild that runs beside it.
        version: The version of the projection that made its rows.
        position: Sequence of the last event in its rows.
        epoch: Of the live row, how many projectors have owned it; of a rebuild's row, the id of the transaction that
            began the rebuild.
        target: The sequence that a rebuild goes up to.
        updated_at: When it moved last.
        stopped_at: The event that it cannot pass; None while it continues.
        stopped_because: What is wrong there, and the remedy.
    """

    name: str
    live: bool
    version: int
    position: int
    epoch: int
    target: int | None
    updated_at: datetime
    stopped_at: int | None = None
    stopped_because: str | None = None


class NewerRows(Conflict):
    """The rows of a projection are of a higher version than this release makes.

    Args:
        at: The live position of the projection.
        version: The version that this release makes.
    """

    def __init__(self, at: Position, version: int) -> None:
        super().__init__(f"projection {at.name}")
        text = (
            f"the rows of projection {at.name} are of version {at.version}, which a newer release made; this release "
            f"makes version {version} and leaves them alone. Stop the processes of this release, so that a process of "
            "the newer release projects. To go back to this release for good, stop the newer one and run "
            f"`marketplace projections rebuild {at.name} --replace-newer`"
        )
        self.args = (text,)


def leave_newer(at: Position, projection: Projection) -> Position:
    """Return a position, stopped at its next event if a newer version of the projection made its rows."""
    if at.version <= projection.version:
        return at
    return replace(at, stopped_at=at.position + 1, stopped_because=str(NewerRows(at, projection.version)))


async def claim(connection: AsyncConnection, projections: Sequence[Projection]) -> dict[str, Position]:
    """Take a new epoch of each projection; the previous owner is fenced off from now on.

    A projection without rows gets the version of this release. One with rows keeps the version that made them, and is
    stopped where that version is newer than this release.
    """
    result = await connection.execute(
        sql(
            "INSERT INTO projection_positions AS p (name, live, version, position, epoch, updated_at) "
            "SELECT n, true, v, 0, 1, now() "
            "FROM unnest(CAST(:names AS text[]), CAST(:versions AS bigint[])) AS u(n, v) "
            "ON CONFLICT (name, live) DO UPDATE SET epoch = p.epoch + 1, updated_at = now(), "
            "stopped_at = NULL, stopped_because = NULL, "
            "version = CASE WHEN p.position = 0 THEN EXCLUDED.version ELSE p.version END RETURNING p.*"
        ),
        {"names": [p.name for p in projections], "versions": [p.version for p in projections]},
    )
    known = {p.name: p for p in projections}
    found = [Position(**row._mapping) for row in result]  # noqa: SLF001 - SQLAlchemy's public mapping
    claimed = [leave_newer(at, known[at.name]) for at in found]
    await stop(connection, [at for at in claimed if at.stopped_at is not None])
    return {at.name: at for at in claimed}


async def advance(connection: AsyncConnection, owned: Sequence[Position], position: int) -> frozenset[str]:
    """Move the positions that are where their owner expects them, and return their names.

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
    """Store where and why projections stopped, or that they continue."""
    if not owned:
        return
    await connection.execute(
        sql(
            "UPDATE projection_positions AS p SET stopped_at = u.s, stopped_because = u.b, updated_at = now() "
            "FROM unnest(CAST(:names AS text[]), CAST(:epochs AS bigint[]), "
            "CAST(:sequences AS bigint[]), CAST(:reasons AS text[])) AS u(n, e, s, b) "
            "WHERE p.name = u.n AND p.live AND p.epoch = u.e"
        ),
        {
            "names": [p.name for p in owned],
            "epochs": [p.epoch for p in owned],
            "sequences": [p.stopped_at for p in owned],
            "reasons": [p.stopped_because for p in owned],
        },
    )


async def load_positions(connection: AsyncConnection) -> list[Position]:
    """Return every position by name, rebuilds included."""
    table = projection_positions
    result = await connection.execute(select(table).order_by(table.c.name, table.c.live.desc()))
    return [Position(**row._mapping) for row in result]  # noqa: SLF001 - SQLAlchemy's public mapping


@dataclass(frozen=True, slots=True)
class Reached:
    """How far projections have come.

    Attributes:
        position: The lowest position of those that did not stop; if all stopped, the lowest of all.
        stopped: Position of each that stopped, by name.
    """

    position: int
    stopped: Mapping[str, int]


async def load_reached(connection: AsyncConnection, projections: Sequence[Projection]) -> Reached:
    """Return how far projections have come; the position is 0 until every one of them has begun."""
    table = projection_positions
    wanted = [p.name for p in projections]
    result = await connection.execute(
        select(table.c.name, table.c.position, table.c.stopped_at).where(table.c.live, table.c.name.in_(wanted))
    )
    rows = result.all()
    stopped = {row.name: int(row.position) for row in rows if row.stopped_at is not None}
    going = [int(row.position) for row in rows if row.stopped_at is None]
    lowest = min(going or stopped.values(), default=0)
    return Reached(lowest if len(rows) == len(wanted) else 0, stopped)
