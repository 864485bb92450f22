"""A scheduler that decides at every step which of several simulated processes goes on, and time that costs nothing.

Within one process callbacks run in the order in which asyncio promises them; between processes the seed decides. Time
stands still while anything can run, and then jumps to the next timer.
"""

import asyncio
import contextvars
import heapq
from collections import deque

LANE = contextvars.ContextVar("lane", default="world")
STEPS_MAX = 400_000


class StuckError(Exception):
    """Nothing can run, or nothing ends."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without a network.

    Attributes:
        steps: How many callbacks were run.
        now: Virtual seconds since the beginning.
    """

    def __init__(self, random):
        super().__init__()
        self.random = random
        self.now = 0.0
        self.steps = 0
        self._lanes = {}
        self._open = []

    def time(self):
        return self.now

    def _write_to_self(self):
        pass

    def _process_events(self, _):
        raise AssertionError("there is no network")

    def _sort(self):
        while self._ready:
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            name = handle._context.get(LANE, "world")
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = deque()
            if not lane:
                self._open.append(lane)
            lane.append(handle)

    def _run_once(self):
        self._sort()
        while not self._open:
            while self._scheduled and self._scheduled[0]._cancelled:
                heapq.heappop(self._scheduled)._scheduled = False
                self._timer_cancelled_count -= 1
            if not self._scheduled:
                if self._stopping:
                    return
                raise StuckError("everyone waits for something that nobody will do")
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self.now = max(self.now, handle._when)
            self._ready.append(handle)
            self._sort()
        place = int(self.random.random() * len(self._open)) if len(self._open) > 1 else 0
        lane = self._open[place]
        handle = lane.popleft()
        if not lane:
            self._open[place] = self._open[-1]
            self._open.pop()
        if handle._cancelled:
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise StuckError(f"nothing ended in {STEPS_MAX} steps")
        handle._run()


class Clock:
    """Stands in for the `time` module."""

    def __init__(self, loop):
        self.monotonic = loop.time


def start(lane, work):
    """Return a task that belongs to a simulated process."""
    context = contextvars.copy_context()
    context.run(LANE.set, lane)
    return asyncio.get_running_loop().create_task(work, context=context)
