"""Build anew, beside the live ones, the projections whose rows another release made.

A migration gives new columns their place and not what belongs in them, and a handler that changed leaves the rows
that it made before as they are. Whoever leads the projectors therefore looks once, as it begins, whether rows were made
by the code that it runs (`fingerprint.py`), and rebuilds those that were not, one after the other. Reads and the live
projector go on meanwhile. First it drops the tables of rebuilds that were killed. Where processes of two releases take
turns, each time the rows become those of the one that leads.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Conflict, Unavailable, UnreadableEvent
from marketplace.log.port import Log
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.fingerprint import compute_fingerprint
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.rebuild import discard_abandoned, rebuild

RETRY_SECONDS: Final = 5.0
_logger = structlog.get_logger(__name__)


async def list_outdated(engine: AsyncEngine, projections: Sequence[Projection]) -> list[Projection]:
    """Return the projections whose rows other code than this release's has made.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with reachable(), engine.connect() as connection:
        positions = await load_positions(connection)
    made_by = {(at.name, at.version): at.fingerprint for at in positions if at.live and at.position > 0}
    expected = {one: compute_fingerprint(one) for one in projections}
    return [one for one in projections if made_by.get((one.name, one.version), expected[one]) != expected[one]]


async def renew(
    projections: Sequence[Projection], log: Log, engine: AsyncEngine, *, retry_seconds: float = RETRY_SECONDS
) -> list[str]:
    """Rebuild what is outdated until nothing is, and return the names in the order in which they were swapped in.

    PostgreSQL and the log may come and go meanwhile, an operator may rebuild the same projection, and an event that
    cannot be read may wait for its annotation.
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
