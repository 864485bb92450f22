"""Ask a server again that gave no answer: it may be slow or electing a leader, or this process stood still."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from marketplace.log.connection import NoAnswer

RESTART_SECONDS: Final = 0.1
_ATTEMPT_SECONDS_MIN: Final = 1.0
_ATTEMPTS_MIN: Final = 2
"""A process that stood still finds its deadline over and the answer unread, so it asks at least twice."""

_Answer = TypeVar("_Answer")


async def ask_again(ask: Callable[[float], Awaitable[_Answer]], seconds_max: float) -> _Answer:
    """Return the answer to a request that may be repeated.

    Args:
        ask: Asks once, and waits as long as its argument says.
        seconds_max: The total time, and the most for one attempt. At least two attempts are made.

    Raises:
        NoAnswer: Of the last attempt.
    """
    deadline = time.monotonic() + seconds_max
    for attempt in itertools.count(1):
        patience = _ATTEMPT_SECONDS_MIN * 2 ** (attempt - 1)  # A slow server is not asked faster than it answers.
        try:
            return await ask(min(patience, seconds_max))
        except NoAnswer:
            if attempt >= _ATTEMPTS_MIN and time.monotonic() + RESTART_SECONDS > deadline:
                raise
        await asyncio.sleep(RESTART_SECONDS)
    raise AssertionError("an attempt returns or raises")
