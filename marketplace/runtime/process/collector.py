"""Tune Python's cyclic garbage collector for a process that keeps many small values for long.

Aggregates in memory are immutable values without cycles, some twenty objects for each order. With Python's default
thresholds, the collector scans all of them again and again and finds nothing. This takes a fifth of the processor time
of an API under load, with pauses of a quarter of a second.
"""

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 10, 50)
"""Thresholds of the three generations: new objects before a collection of the youngest, then collections of one
generation before the next is collected. Cycles of a few requests wait that long, some 25 MiB of them.

64 orders that wait for one commit are some 20,000 objects. A threshold below that had nearly every commit collected
while all of them were alive, for 20 µs of each order's processor time.
"""


def settle_collector() -> None:
    """Exempt everything now in memory from collection, and collect later objects more rarely than Python does.

    Call it when a process is fully set up, before its work begins.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
