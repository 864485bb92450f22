"""The rate limit of one caller: a sliding window of two counters for each caller, in memory.

Keeping the time of every request would take memory in proportion to the limit; two counters do not.
"""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from marketplace.core.errors import Refusal

WINDOW_SECONDS: Final = 60
Headers = list[tuple[bytes, bytes]]


class RateLimit:
    """At most `requests_max` in any minute, for each caller.

    The requests of the minute before count in proportion to how much of that minute is less than a minute ago.

    Args:
        requests_max: Requests in a minute.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._minute = 0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._fixed: Headers = [
            (b"ratelimit-limit", b"%d" % requests_max),
            (b"ratelimit-policy", b"%d;w=%d" % (requests_max, WINDOW_SECONDS)),
        ]

    def hit(self, caller: str, answer: Headers) -> None:
        """Count one request, and add the `RateLimit-…` headers to those of its answer.

        Raises:
            Refusal: ``rate_limited``, with the seconds to wait.
        """
        minute, passed = divmod(time.time(), WINDOW_SECONDS)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else {}
            self._now, self._minute = {}, int(minute)
        before, now, left = self._before.get(caller, 0), self._now.get(caller, 0), WINDOW_SECONDS - passed
        remaining = self._requests_max - math.floor(before * left / WINDOW_SECONDS) - now
        if remaining > 0:
            self._now[caller] = now = now + 1
        reset = math.ceil(min(left if now else WINDOW_SECONDS, left % (WINDOW_SECONDS / before) if before else left))
        answer += self._fixed
        answer += [(b"ratelimit-remaining", b"%d" % max(0, remaining - 1)), (b"ratelimit-reset", b"%d" % reset)]
        if remaining <= 0:
            raise Refusal(
                "rate_limited",
                f"more than {self._requests_max} requests in {WINDOW_SECONDS} s; wait {max(reset, 1)} s",
                limit=self._requests_max,
                retry_after_seconds=max(reset, 1),
            )


class AtOnce:
    """At most `count_max` concurrent requests, for each caller."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._under_way: Counter[str] = Counter()

    @contextlib.contextmanager
    def enter(self, caller: str) -> Iterator[None]:
        """Count a request as running while the block runs.

        Raises:
            Refusal: ``requests_exhausted``.
        """
        if self._under_way[caller] >= self._count_max:
            raise Refusal(
                "requests_exhausted",
                f"{self._count_max} requests of this key are running; wait for one of them",
                limit=self._count_max,
                retry_after_seconds=1,
            )
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]
