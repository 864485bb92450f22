"""The archive in PostgreSQL: snapshots in their own table, commands and readings from the projections."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from events.usage import Reading
from marketplace.execution.archive import ReadingName, Snapshot, SourceName
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.operations import snapshots
from marketplace.projections.engine.queries import find_one
from marketplace.projections.feed import list_client_commands
from marketplace.projections.metering.usage import find_reading, list_readings_over
from marketplace.projections.views.metering import ReadingView


class SqlArchive:
    """Implements `Archive`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, subject: str) -> Snapshot | None:
        """See `Archive.find`."""
        async with reachable(), self._engine.connect() as connection:
            return await find_one(connection, select(snapshots).where(snapshots.c.subject == subject), Snapshot)

    async def put(self, snapshot: Snapshot) -> None:
        """See `Archive.put`."""
        given = insert(snapshots).values({name: getattr(snapshot, name) for name in Snapshot.__struct_fields__})
        newer = (snapshots.c.version != given.excluded.version) | (snapshots.c.sequence < given.excluded.sequence)
        changed = {column.name: given.excluded[column.name] for column in snapshots.c if not column.primary_key}
        statement = given.on_conflict_do_update(index_elements=["subject"], set_=changed, where=newer)
        async with reachable(), self._engine.begin() as connection:
            await connection.execute(statement)

    async def list_commands(self, *, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """See `Archive.list_commands`."""
        async with reachable(), self._engine.connect() as connection:
            return await list_client_commands(connection, after=after, limit=limit)

    async def find_reading(self, name: ReadingName) -> Reading | None:
        """See `Archive.find_reading`."""
        async with reachable(), self._engine.connect() as connection:
            found = await find_reading(connection, name.grant_id, name.source, name.reading_id, name.meter)
        return None if found is None else _strip(found)

    async def list_readings_over(
        self, name: SourceName, spans: Collection[tuple[datetime, datetime]]
    ) -> Sequence[Reading]:
        """See `Archive.list_readings_over`."""
        async with reachable(), self._engine.connect() as connection:
            found = await list_readings_over(connection, name.grant_id, name.source, spans, name.meter)
        return [_strip(view) for view in found]


def _strip(view: ReadingView) -> Reading:
    """Return a reading's content alone."""
    return Reading(**{field: getattr(view, field) for field in Reading.__struct_fields__})
