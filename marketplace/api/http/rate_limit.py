"""The rate limit of one caller, by the `limits` package: a sliding window of two counters per caller, in memory.

`limits` could also keep the time of every request. That takes memory in proportion to the limit; two counters do not.
"""

import inspect
import math
import time
from collections import Counter
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from marketplace.core.errors import Refusal

WINDOW_SECONDS: Final = 60
Headers = list[tuple[bytes, bytes]]


class _PerMinute(RateLimitItemPerMinute):
    """A limit whose counters have the caller as their name. The package would build a longer one, twice a request."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Return the caller."""
        return str(identifiers[0])


class Counters(MemoryStorage):
    """Counters in memory. The package's own start a thread at nearly every request, to forget those that expired."""

    def __init__(self) -> None:
        super().__init__()
        self._forgets_at = 0.0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, and return the count. Once in a window, forget the counters that expired."""
        now = time.time()
        if now >= self._forgets_at:
            self._forgets_at = now + WINDOW_SECONDS
            for known in list(self.expirations):
                self.get(known)  # forgets it if it expired
        count = self.get(key) + amount
        self.storage[key] = count
        self.expirations.setdefault(key, now + expiry)
        return count


for _name in ("acquire_sliding_window_entry", "get", "get_sliding_window", "incr"):
    # The package translates the errors of servers, which memory has none of; once more for each class that inherits.
    setattr(Counters, _name, inspect.unwrap(getattr(Counters, _name)))


class RateLimit:
    """At most `requests_max` in any minute, for each caller.

    Args:
        requests_max: Requests in a minute.
    """

    def __init__(self, requests_max: int) -> None:
        self._item = _PerMinute(requests_max)
        self._limiter = SlidingWindowCounterRateLimiter(Counters())
        self._fixed: Headers = [
            (b"ratelimit-limit", b"%d" % requests_max),
            (b"ratelimit-policy", b"%d;w=%d" % (requests_max, WINDOW_SECONDS)),
        ]

    def hit(self, caller: str, answer: Headers) -> None:
        """Count one request, and add the `RateLimit-…` headers to those of its answer.

        Raises:
            Refusal: ``rate_limited``, with the seconds to wait.
        """
        accepted = self._limiter.hit(self._item, caller)
        stats = self._limiter.get_window_stats(self._item, caller)
        reset = max(0, min(WINDOW_SECONDS, math.ceil(stats.reset_time - time.time())))
        answer += self._fixed
        answer += [(b"ratelimit-remaining", b"%d" % stats.remaining), (b"ratelimit-reset", b"%d" % reset)]
        if not accepted:
            raise Refusal(
                "rate_limited",
                f"more than {self._item.amount} requests in {WINDOW_SECONDS} s; wait {max(reset, 1)} s",
                limit=self._item.amount,
                retry_after_seconds=max(reset, 1),
            )


class AtOnce:
    """At most `count_max` concurrent requests, for each caller."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._under_way: Counter[str] = Counter()

    def begin(self, caller: str) -> None:
        """Count a request as running until `end`.

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

    def end(self, caller: str) -> None:
        """Count a request that began as running no longer."""
        self._under_way[caller] -= 1
        if not self._under_way[caller]:
            del self._under_way[caller]
