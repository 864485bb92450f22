"""How often one caller may ask: a sliding window of two counters per caller, in memory.

A log of every request would grow with the limit; two counters do not. The requests of the minute before count by the
part of it that the last sixty seconds still cover, as if they had been spread evenly. It is counted here, and not by
the package `limits`, since every request pays for it: that took a tenth of an order's time, this a microsecond.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from marketplace.core.errors import Refusal

WINDOW_SECONDS: Final = 60
CALLERS_MAX: Final = 100_000
"""Callers that are remembered; the one that asked longest ago is forgotten first."""

ROUNDING: Final = 1e-9
Headers = list[tuple[bytes, bytes]]


class RateLimit:
    """At most `requests_max` in any minute, for each caller.

    Args:
        requests_max: Requests in a minute.
        clock: Tells seconds that never go back.
    """

    def __init__(self, requests_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests_max = requests_max
        self._clock = clock
        self._callers: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._fixed: Headers = [
            (b"ratelimit-limit", b"%d" % requests_max),
            (b"ratelimit-policy", b"%d;w=%d" % (requests_max, WINDOW_SECONDS)),
        ]

    def hit(self, caller: str) -> Headers:
        """Count one request and return the `RateLimit-…` headers of its answer; one that is refused does not count.

        Raises:
            Refusal: ``rate_limited``, with the seconds to wait.
        """
        number, elapsed = divmod(self._clock(), WINDOW_SECONDS)
        window, before, count = self._callers.get(caller, (number, 0, 0))
        if window != number:
            before, count = (count, 0) if window == number - 1 else (0, 0)
        spread = before * (1 - elapsed / WINDOW_SECONDS)
        reset = math.ceil(WINDOW_SECONDS - elapsed)
        if spread + count + 1 > self._requests_max + ROUNDING:
            wait = self._find_wait(before, count, elapsed)
            raise Refusal(
                "rate_limited",
                f"more than {self._requests_max} requests in {WINDOW_SECONDS} s; wait {wait} s",
                limit=self._requests_max,
                retry_after_seconds=wait,
            )
        self._callers[caller] = (int(number), before, count + 1)
        self._callers.move_to_end(caller)
        if len(self._callers) > CALLERS_MAX:
            self._callers.popitem(last=False)
        return [
            *self._fixed,
            (b"ratelimit-remaining", b"%d" % (self._requests_max - math.ceil(spread) - count - 1)),
            (b"ratelimit-reset", b"%d" % reset),
        ]

    def _find_wait(self, before: int, count: int, elapsed: float) -> int:
        """Return after how many whole seconds one more request passes, if none is made until then."""
        free = self._requests_max - 1
        if count > free:
            return math.ceil(WINDOW_SECONDS - elapsed + WINDOW_SECONDS * (1 - free / count))
        return max(math.ceil(WINDOW_SECONDS * (1 - (free - count) / before) - elapsed), 1)
