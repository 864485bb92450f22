"""Read the next page of the log while PostgreSQL writes the one before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from marketplace.log.port import Recorded

Page = list[Recorded]


async def read_ahead(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """Yield the pages as they come, with at most one of them waiting in memory."""
    following = asyncio.create_task(_find_next(pages))
    try:
        while (page := await following) is not None:
            following = asyncio.create_task(_find_next(pages))
            yield page
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def _find_next(pages: AsyncIterator[Page]) -> Page | None:
    return await anext(pages, None)
