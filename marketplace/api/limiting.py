"""How often one caller may ask: a sliding window of two counters per caller, in memory.

The requests of the last minute are estimated as those of the running minute and a share of those of the minute before,
as if these had come evenly. One request costs two microseconds and no task; the windows of the `limits` package cost
40 and more (measured in a request, two cores), since each of their hits starts a task.
"""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from marketplace.core.errors import Refusal

WINDOW_SECONDS: Final = 60
CALLERS_MAX: Final = 100_000
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class _Window:
    number: int
    count: int = 0
    count_before: int = 0


class RateLimit:
    """At most `requests_max` in any minute, for each caller.

    Args:
        requests_max: Requests in a minute.
        callers_max: Callers that are remembered; the one that was idle the longest is forgotten first.
    """

    def __init__(self, requests_max: int, callers_max: int = CALLERS_MAX) -> None:
        self._requests_max = requests_max
        self._callers_max = callers_max
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._fixed: Headers = [
            (b"ratelimit-limit", b"%d" % requests_max),
            (b"ratelimit-policy", b"%d;w=%d" % (requests_max, WINDOW_SECONDS)),
        ]

    def hit(self, caller: str, now: float | None = None) -> Headers:
        """Count one request and return the `RateLimit-…` headers of its answer.

        Args:
            caller: Who asks.
            now: Seconds of a clock that only goes forward; the present by default.

        Raises:
            Refusal: ``rate_limited``, with the seconds to wait.
        """
        instant = time.monotonic() if now is None else now
        number, passed = divmod(instant, WINDOW_SECONDS)
        window = self._load(caller, int(number))
        before = window.count_before * (WINDOW_SECONDS - passed) / WINDOW_SECONDS
        remaining = self._requests_max - window.count - math.ceil(before)
        reset = math.ceil(WINDOW_SECONDS - passed)
        if remaining < 1:
            raise Refusal(
                "rate_limited",
                f"more than {self._requests_max} requests in {WINDOW_SECONDS} s; wait {reset} s",
                limit=self._requests_max,
                retry_after_seconds=reset,
            )
        window.count += 1
        return [
            *self._fixed,
            (b"ratelimit-remaining", b"%d" % (remaining - 1)),
            (b"ratelimit-reset", b"%d" % reset),
        ]

    def _load(self, caller: str, number: int) -> _Window:
        window = self._windows.get(caller)
        if window is None:
            window = self._windows[caller] = _Window(number)
            if len(self._windows) > self._callers_max:
                self._windows.popitem(last=False)
        elif window.number != number:
            window.count_before = window.count if window.number == number - 1 else 0
            window.number, window.count = number, 0
            self._windows.move_to_end(caller)
        return window
