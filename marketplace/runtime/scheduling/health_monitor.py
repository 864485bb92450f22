"""The health of every running grant's GPUs, folded by the worker from the meters' evidence in the log.

The rule is in `domain/delivery/detection.py`. This module tracks which GPUs of which grant are bad now. When that
changes, the incidents of the grant's pool are updated.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import Any, Final, NamedTuple

from events.grant import GrantCompleted, GrantIssued, GrantSubstituted
from events.pool import PoolNodeFailed, PoolNodeRestored
from events.service import DetectionTerms
from events.types import Event
from events.usage import Meter, UsageClosed, UsageEvidenced, UsageReported
from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.detection import Health, count_nodes, take_reading, take_sample
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.scheduler import NOW, Scheduler, Task

UNNAMED: Final = "*"
"""The name of the GPU in a reading that names none."""
_KIND: Final = "meters"
_SECOND: Final = timedelta(seconds=1)


class Transition(NamedTuple):
    """An incident to open or close.

    Attributes:
        pool_id: The pool.
        incident_id: The incident.
        opens: Whether to open it; else to close it.
    """

    pool_id: str
    incident_id: str
    opens: bool


@dataclass(slots=True)
class _Watch:
    """One grant on one pool.

    Attributes:
        terms: When a GPU counts as bad.
        gpus_per_node: GPUs of a node.
        pool_id: The pool.
        moves: How often the grant moved to another pool.
        healths: The health of each GPU, by meter, source and name.
        open: Name and beginning of the incidents that evidence has opened and not closed, oldest first.
        opened: How many incidents evidence has opened on this pool.
        due: The incidents that the pool has not recorded yet as opened or closed, and since when.
    """

    terms: DetectionTerms
    gpus_per_node: int
    pool_id: str
    moves: int = 0
    healths: dict[tuple[str, str, str], Health] = field(default_factory=dict)
    open: list[tuple[str, datetime]] = field(default_factory=list)
    opened: int = 0
    due: dict[Transition, datetime] = field(default_factory=dict)

    def count_failed(self) -> int:
        """Return the number of failed nodes. A GPU is bad if at least one source says so."""
        bad = {device for (_, _, device), health in self.healths.items() if health.is_bad}
        return count_nodes(len(bad), self.gpus_per_node)

    def change(self, grant_id: str, at: datetime) -> None:
        """Note that an incident is to be opened or closed if the number of failed nodes changed at `at`.

        An incident lasts at least a second.
        """
        failed = self.count_failed()
        if failed > len(self.open):
            name = f"{_KIND}/{grant_id}/{self.moves}/{self.opened}"
            self.opened += 1
            self.open.append((name, at))
            self.due[Transition(self.pool_id, name, opens=True)] = at
        elif failed < len(self.open):
            name, since = self.open.pop()
            self.due[Transition(self.pool_id, name, opens=False)] = max(at, since + _SECOND)


class HealthMonitor:
    """Folds evidence. When a GPU turns bad or good, it schedules a task for the GPU's grant."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._watches: dict[str, _Watch] = {}

    @singledispatchmethod
    def notice(self, event: Event) -> None:
        """Apply the next event of the log. Events of most types change nothing here."""

    @notice.register
    def _issue(self, event: GrantIssued) -> None:
        if event.service is not None and event.service.detection is not None:
            self._watches[event.grant_id] = _Watch(event.service.detection, event.gpus_per_node, event.pool_id)

    @notice.register
    def _move(self, event: GrantSubstituted) -> None:
        """Reset a grant that moved, because its GPUs are new. The provider ends open incidents of the old ones."""
        watch = self._watches.get(event.grant_id)
        if watch is not None:
            moved = _Watch(watch.terms, watch.gpus_per_node, event.pool_id, watch.moves + 1)
            self._watches[event.grant_id] = moved

    @notice.register
    def _done(self, event: PoolNodeFailed | PoolNodeRestored) -> None:
        """Remove an incident that any worker has handled."""
        transition = Transition(event.pool_id, event.incident_id, opens=isinstance(event, PoolNodeFailed))
        kind, _, rest = event.incident_id.partition("/")
        if kind == _KIND:
            self.drop(rest.partition("/")[0], transition)

    @notice.register
    def _end(self, event: GrantCompleted | UsageClosed) -> None:
        self._watches.pop(event.grant_id, None)

    @notice.register
    def _evidence(self, event: UsageEvidenced) -> None:
        watch = self._find(event.grant_id, event.meter)
        if watch is None:
            return
        for sample in event.samples:
            key = event.meter, event.source, sample.device
            before = watch.healths.get(key, Health())
            self._keep(event.grant_id, watch, key, before, take_sample(before, sample, watch.terms))

    @notice.register
    def _report(self, event: UsageReported) -> None:
        watch = self._find(event.grant_id, event.meter)
        if watch is None:
            return
        for reading in event.readings:
            if reading.evidence is None:
                continue
            for device in reading.devices or (UNNAMED,):
                key = event.meter, event.source, device
                before = watch.healths.get(key, Health())
                self._keep(event.grant_id, watch, key, before, take_reading(before, reading, watch.terms))

    def _find(self, grant_id: str, meter: Meter) -> _Watch | None:
        watch = self._watches.get(grant_id)
        return watch if watch is not None and meter in {"provider", *_list_meters(watch.terms)} else None

    def _keep(self, grant_id: str, watch: _Watch, key: tuple[str, str, str], before: Health, after: Health) -> None:
        watch.healths[key] = after
        if after.is_bad != before.is_bad and after.since is not None:
            watch.change(grant_id, after.since)
            if watch.due:
                self._scheduler.put(Task("observe_grant", grant_id), NOW)

    def list_due(self, grant_id: str) -> list[tuple[Transition, datetime]]:
        """Return which incidents of a grant are to be opened or closed, and since when; the first noted is first."""
        watch = self._watches.get(grant_id)
        return [] if watch is None else list(watch.due.items())

    def drop(self, grant_id: str, transition: Transition) -> None:
        """Remove an incident that was handled, or cannot be."""
        watch = self._watches.get(grant_id)
        if watch is not None:
            watch.due.pop(transition, None)


def _list_meters(terms: DetectionTerms) -> tuple[str, ...]:
    return ("startup",) if terms.meters == "both" else ()


async def observe_grant(handler: Handler, observer: HealthMonitor, grant_id: str) -> None:
    """Open and close the incidents that evidence shows for a running grant.

    One that the pool refuses is dropped and not tried again. A grant that does not run now is left alone.
    """
    grant: Grant | None = (await handler.cache.load(GRANT, grant_id)).state
    now = handler.clock.now()
    if grant is None or grant.end <= now or not grant.is_running(now):
        return
    for transition, since in observer.list_due(grant_id):
        verb = "fail" if transition.opens else "restore"
        context = build_context(handler, "reactor", transition.pool_id, f"{verb}/{transition.incident_id}")
        of: dict[str, Any] = {"incident_id": transition.incident_id, "at": min(since, now)}
        try:
            if transition.opens:
                await inventory.fail_nodes(handler, context, transition.pool_id, nodes=1, grant_id=grant_id, **of)
            else:
                await inventory.restore_nodes(handler, context, transition.pool_id, **of)
        except Refusal:
            observer.drop(grant_id, transition)
