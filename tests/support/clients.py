"""NATS clients of tests: always closed, also when the test fails, and as patient as a busy machine needs.

A client that a failing test leaves open is found by a later test, which then fails for it: one defect would be told
as two.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import nats
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

from marketplace.log.inboxes import derive_inbox_prefix
from tests.support.patience import PATIENCE_SECONDS

_TRIES = 30
T = TypeVar("T")
_PAUSE_SECONDS = 0.5
_UNSETTLED = (NatsTimeoutError, NoRespondersError, NoStreamResponseError, ServiceUnavailableError)


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    """Yield a client of the servers in `url` (a comma between them), and close it whatever happens.

    It hears answers where its user may.
    """
    usual: dict[str, Any] = {"connect_timeout": PATIENCE_SECONDS, "inbox_prefix": derive_inbox_prefix(url)}
    client = await nats.connect(url.split(","), **(usual | options))
    try:
        yield client
    finally:
        await client.close()


async def ask_until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a cluster again, which may still be choosing a leader or telling its servers who listens.

    Only for what may be asked twice. What the last of `_TRIES` raises is raised.
    """
    for _ in range(_TRIES - 1):
        try:
            return await ask()
        except _UNSETTLED:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await ask()
