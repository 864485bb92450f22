"""One projector works and the others stand by: a lock in PostgreSQL that ends with its session.

The fence on positions keeps rows right whatever happens here; the lock only keeps projectors from taking turns.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.core.errors import Unavailable
from marketplace.projections.engine.database import connect_driver, reachable

LOCK_KEY: Final = 0x4D4B5450
"""The letters MKTP; any number that nobody else locks in this database."""

POLL_SECONDS: Final = 0.5


@contextlib.asynccontextmanager
async def leadership(engine: AsyncEngine) -> AsyncIterator[asyncio.Event]:
    """Wait until this process may project; yield an event that is set when it may no longer."""
    lost = asyncio.Event()
    while True:
        with contextlib.suppress(Unavailable):
            connection = await connect_driver(engine)
            try:
                async with reachable():
                    granted = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY)
            except BaseException:
                connection.terminate()
                raise
            if granted:
                break
            connection.terminate()
        await asyncio.sleep(POLL_SECONDS)
    connection.add_termination_listener(lambda _: lost.set())
    try:
        yield lost
    finally:
        connection.terminate()
