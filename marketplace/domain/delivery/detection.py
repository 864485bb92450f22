"""Detect from machine evidence when a grant's GPUs degrade, and when they work in full again.

Each GPU has a health. An observation of it is bad or good by the grant's terms (`events.service.DetectionTerms`):

- A sample is bad if its last XID error is one that means failed hardware. It is also bad if utilisation is zero in it
  and in the sample before, while more energy was drawn between them than an idle GPU draws.
- A reading with evidence is bad if it saw enough XID errors, or if utilisation is zero while more energy was drawn than
  its GPUs draw idle. It is an observation of the GPUs that it names, or of one GPU without a name.

Invariants:
    1. A health turns bad after `open_after` bad observations in a row, and good after `close_after` good ones. It does
       not turn in between, and never twice by one observation.
    2. Observations count in time order; late ones are ignored. Evidence that is sent again, or processed by two
       workers, therefore turns nothing twice.
    3. The number of failed nodes is the smallest that could hold the bad GPUs.
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
    """The health of one GPU, from its observations so far.

    Attributes:
        is_bad: Whether it counts as failed.
        since: First observation of the run that turned it; None if it never turned.
        run: Observations in a row that contradict `is_bad`.
        run_since: The first of them.
        seen: The latest observation.
        sample: The latest sample.
    """

    is_bad: bool = False
    since: datetime | None = None
    run: int = 0
    run_since: datetime | None = None
    seen: datetime | None = None
    sample: Sample | None = None


def take_sample(health: Health, sample: Sample, terms: DetectionTerms) -> Health:
    """Return a GPU's health after a sample; unchanged if the sample is no later than the last observation."""
    if health.seen is not None and sample.at <= health.seen:
        return health
    after = _look(health, sample.at, sample.at, terms, is_bad=_is_bad_sample(health.sample, sample, terms))
    return replace(after, sample=sample)


def take_reading(health: Health, reading: Reading, terms: DetectionTerms) -> Health:
    """Return a GPU's health after a reading with evidence; unchanged if it ends no later than the last observation."""
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
    assert said is not None, "only readings with evidence are observations"
    if said.xid_errors >= terms.reading_xid_errors_min:
        return True
    if said.gpu_utilisation is None or said.energy_kwh is None or said.gpu_utilisation:
        return False
    return said.energy_kwh * _WATT_SECONDS_PER_KWH > terms.idle_watts_max * reading.gpu_seconds
