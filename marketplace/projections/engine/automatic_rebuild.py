"""Rebuild the projections whose rows a lower version made, beside the live tables.

A migration adds a column but does not fill it, and a changed handler does not change existing rows. A release that
changes the content of rows therefore increases the projection's version, as `tests/architecture/test_versions.py`
demands. The process that leads the projectors compares the versions once, when it starts, and rebuilds rows of a lower
version, one projection after the other. Reads and the live projector continue meanwhile. It first drops the tables of
rebuilds that were killed. Rows of a higher version belong to a newer release and are left alone.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict, Unavailable, UnreadableEvent
from marketplace.log.port import Log
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.rebuild import discard_abandoned, rebuild

RETRY_SECONDS: Final = 5.0
_logger = structlog.get_logger(__name__)


async def list_outdated(engine: AsyncEngine, projections: Sequence[Projection]) -> list[Projection]:
    """Return the projections whose rows a lower version made.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    async with reachable(), engine.connect() as connection:
        positions = await load_positions(connection)
    versions = {at.name: at.version for at in positions if at.live and at.position > 0}
    return [one for one in projections if versions.get(one.name, one.version) < one.version]


async def renew(
    projections: Sequence[Projection], log: Log, engine: AsyncEngine, *, retry_seconds: float = RETRY_SECONDS
) -> list[str]:
    """Rebuild outdated projections until there are none, and return their names in the order of the swaps.

    It tries again if PostgreSQL or the log is unavailable, an operator rebuilds the same projection, or an unreadable
    event waits for its annotation.
    """
    renewed: list[str] = []
    cleaned = False
    while True:
        try:
            if not cleaned:
                await discard_abandoned(engine, projections)
                cleaned = True
            outdated = await list_outdated(engine, projections)
            if not outdated:
                return renewed
            done = await rebuild(outdated[0], log, engine)
        except (Conflict, Unavailable, UnreadableEvent) as error:
            _logger.warning("projection_not_renewed_yet", reason=str(error), seconds=retry_seconds)
            await asyncio.sleep(retry_seconds)
        else:
            renewed.append(done.name)
            _logger.info("projection_renewed", name=done.name, events=done.events, seconds=round(done.seconds, 1))
