"""Python's cyclic garbage collector, set for a process that keeps many small values for long.

Aggregates in memory are immutable values without cycles, some twenty objects for each order. With Python's own
thresholds the collector walks through all of them again and again and finds nothing: a fifth of the processor time of
an API under load, and pauses of a quarter of a second.
"""

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""Objects made and not freed before the youngest are looked at; youngest collections before the middle ones are;
middle ones before all are. Cycles of a few requests wait that long, some 10 MiB of them."""


def settle_collector() -> None:
    """Take everything that is in memory now for lasting, and look for cycles in what comes later, and rarely.

    Call it once a process has all its parts, before its work begins.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
