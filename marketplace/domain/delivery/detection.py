"""Detection: when what machines say of a grant's GPUs tells of degraded service, and when of service in full again.

Each GPU has a health. A look at it is bad or good by the grant's terms (`events.service.DetectionTerms`):

- A sample is bad where its last XID error is one of those that tell of failed hardware, or where utilisation is zero
  in it and in the one before while more energy was drawn between them than an idle GPU draws.
- A reading with evidence is bad where it saw enough XID errors, or where utilisation is zero while more energy was
  drawn than its GPUs draw idle. It looks at the GPUs that it names, or at one without a name.

Invariants:
    1. A health turns bad after `open_after` bad looks in a row, and good after `close_after` good ones; it does not
       turn in between, and never twice by one look.
    2. Looks count in the order of their instants; what comes late is left out. So the same evidence sent again, or by
       two workers, turns nothing twice.
    3. So many nodes do not work as could hold the GPUs that are bad, and no more.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from events.service import XID_ERRORS, DetectionTerms
from events.usage import Reading, Sample

_SECOND: Final = timedelta(seconds=1)
_WATT_SECONDS_PER_KWH: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Health:
    """What the looks at one GPU say so far.

    Attributes:
        is_bad: Whether it counts as failed.
        since: First look of the run that turned it; None where it never turned.
        run: Looks in a row that say otherwise than `is_bad`.
        run_since: The first of them.
        seen: The latest look.
        sample: The latest sample.
    """

    is_bad: bool = False
    since: datetime | None = None
    run: int = 0
    run_since: datetime | None = None
    seen: datetime | None = None
    sample: Sample | None = None


def take_sample(health: Health, sample: Sample, terms: DetectionTerms) -> Health:
    """Return a GPU's health after a sample of it."""
    if health.seen is not None and sample.at <= health.seen:
        return health
    after = _look(health, sample.at, sample.at, terms, is_bad=_is_bad_sample(health.sample, sample, terms))
    return replace(after, sample=sample)


def take_reading(health: Health, reading: Reading, terms: DetectionTerms) -> Health:
    """Return a GPU's health after a reading that has evidence of it."""
    if health.seen is not None and reading.end <= health.seen:
        return health
    return _look(health, reading.start, reading.end, terms, is_bad=_is_bad_reading(reading, terms))


def count_nodes(gpus: int, gpus_per_node: int) -> int:
    """Return the fewest nodes that could hold so many GPUs."""
    return -(-gpus // gpus_per_node)


def _look(health: Health, start: datetime, seen: datetime, terms: DetectionTerms, *, is_bad: bool) -> Health:
    if is_bad == health.is_bad:
        return replace(health, run=0, run_since=None, seen=seen)
    run, since = health.run + 1, health.run_since or start
    if run < (terms.open_after if is_bad else terms.close_after):
        return replace(health, run=run, run_since=since, seen=seen)
    return Health(is_bad=is_bad, since=since, seen=seen, sample=health.sample)


def _is_bad_sample(before: Sample | None, sample: Sample, terms: DetectionTerms) -> bool:
    if sample.xid_error in (terms.xid_errors or XID_ERRORS):
        return True
    if before is None or before.gpu_utilisation != 0 or sample.gpu_utilisation != 0:
        return False
    if before.energy_kwh is None or sample.energy_kwh is None:
        return False
    seconds = (sample.at - before.at) // _SECOND
    return (sample.energy_kwh - before.energy_kwh) * _WATT_SECONDS_PER_KWH > terms.idle_watts_max * seconds


def _is_bad_reading(reading: Reading, terms: DetectionTerms) -> bool:
    said = reading.evidence
    assert said is not None, "only readings with evidence are looked at"
    if said.xid_errors >= terms.reading_xid_errors_min:
        return True
    if said.gpu_utilisation is None or said.energy_kwh is None or said.gpu_utilisation:
        return False
    return said.energy_kwh * _WATT_SECONDS_PER_KWH > terms.idle_watts_max * reading.gpu_seconds
