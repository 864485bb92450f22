"""The health of every running grant's GPUs, folded by the worker from the meters' evidence in the log.

The rule is in `domain/delivery/detection.py`. This module tracks which GPUs of which grant are bad now. When that
changes, the incidents of the grant's pool are updated.

Invariants:
    1. Evidence of the startup's meter counts only where the grant's terms say so, only for GPUs that the provider's
       meter does not see working at the same time, and dates an incident back by at most `BACKDATED_MAX`.
       A MIG instance is evidence of its whole GPU, which counts once.
    2. Good observations date the end of an incident back no further than a report of its provider could.
    3. An incident that was ended by a report is over: evidence from before that, and what GPUs showed then, opens none.
    4. A report that ends an incident takes the GPUs of that incident as good, and no others while another is open.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import singledispatchmethod
from heapq import heappop, heappush
from itertools import islice
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
from marketplace.domain.supply.outages import BACKDATED_MAX, date_resumption
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.scheduler import NOW, Scheduler, Task

UNNAMED: Final = "*"
"""The name of the GPU in a reading that names none."""
_KIND: Final = "meters"
_SECOND: Final = timedelta(seconds=1)


class Key(NamedTuple):
    """One GPU as one source sees it."""

    meter: Meter
    source: str
    device: str


@dataclass(slots=True)
class _Opened:
    """An incident that evidence has opened.

    Attributes:
        name: Its name.
        since: Its beginning.
        reported_at: When the evidence was stored.
        meter: Whose meter showed it.
        gpus: The bad GPUs that are its own, at most those of a node, when an incident was last opened or ended.
    """

    name: str
    since: datetime
    reported_at: datetime
    meter: Meter
    gpus: list[str] = field(default_factory=list)


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


class Due(NamedTuple):
    """Since when an incident is to be opened or closed, and whose meter opens it."""

    at: datetime
    meter: Meter


@dataclass(slots=True)
class _Watch:
    """One grant on one pool.

    Attributes:
        terms: When a GPU counts as bad.
        gpus: GPUs of the grant.
        gpus_per_node: GPUs of a node.
        pool_id: The pool.
        moves: How often the grant moved to another pool.
        healths: The health of each GPU or MIG instance, as each source of each side's meter sees it.
        bad: The bad GPUs that each side's meter sees, with how many of its sources and instances say so.
        looked: When the provider's meter last looked at a GPU.
        fresh: The GPUs at which it looked in the `BACKDATED_MAX` before `said_at`, or ever where there is none.
        expiring: One look of each fresh GPU, as a heap.
        known: The fresh GPUs, and those that the provider's meter sees bad.
        turned: The GPUs that are bad by the provider's meter, or by the startup's and not known, in the order in which
            they turned.
        said_at: The last bad look of the startup's meter.
        open: The incidents that evidence has opened and not closed, oldest first.
        own: How many of these the provider's meter showed.
        opened: How many incidents evidence has opened on this pool.
        answered: The last instant from which on a report says that an incident is over.
        due: The incidents that the pool has not recorded yet as opened or closed.
        is_shared: Whether every open incident has its GPUs. It is done once for all that an event opens.
    """

    terms: DetectionTerms
    gpus: int
    gpus_per_node: int
    pool_id: str
    moves: int = 0
    healths: dict[Meter, dict[Key, Health]] = field(default_factory=lambda: {"provider": {}, "startup": {}})
    bad: dict[Meter, dict[str, int]] = field(default_factory=lambda: {"provider": {}, "startup": {}})
    looked: dict[str, datetime] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    expiring: list[tuple[datetime, str]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    turned: dict[str, None] = field(default_factory=dict)
    said_at: datetime | None = None
    open: list[_Opened] = field(default_factory=list)
    own: int = 0
    opened: int = 0
    answered: datetime | None = None
    due: dict[Transition, Due] = field(default_factory=dict)
    is_shared: bool = True

    def find(self, key: Key) -> Health:
        """Return the health of a GPU."""
        return self.healths[key.meter].get(key, Health())

    def put(self, key: Key, health: Health) -> None:
        """Store the health of a GPU."""
        before, bad, gpu = self.find(key), self.bad[key.meter], _name_gpu(key.device)
        self.healths[key.meter][key] = health
        sources = bad.get(gpu, 0) + health.is_bad - before.is_bad
        if sources:
            bad[gpu] = sources
        else:
            bad.pop(gpu, None)
        if key.meter == "provider" and health.seen is not None:
            self._look(gpu, health.seen)
        if key.meter == "startup" and health.is_bad and health.seen is not None:
            self._say(health.seen)
        self._sort(gpu)

    def _look(self, gpu: str, at: datetime) -> None:
        """Note that the provider's meter looked at a GPU."""
        self.looked[gpu] = max(at, self.looked.get(gpu, at))
        if gpu not in self.fresh and (self.said_at is None or at >= self.said_at - BACKDATED_MAX):
            self.fresh.add(gpu)
            heappush(self.expiring, (at, gpu))

    def _say(self, at: datetime) -> None:
        """Note a bad look of the startup's meter. What the provider's meter saw too long before it is not fresh."""
        self.said_at = max(at, self.said_at or at)
        since = self.said_at - BACKDATED_MAX
        while self.expiring and self.expiring[0][0] < since:
            _, gpu = heappop(self.expiring)
            if self.looked[gpu] >= since:
                heappush(self.expiring, (self.looked[gpu], gpu))
            else:
                self.fresh.discard(gpu)
                self._sort(gpu)

    def _sort(self, gpu: str) -> None:
        """Note whether a GPU is known, and whether it is bad."""
        is_bad = gpu in self.bad["provider"]
        if is_bad or gpu in self.fresh:
            self.known.add(gpu)
        else:
            self.known.discard(gpu)
        if is_bad or (gpu in self.bad["startup"] and gpu not in self.known):
            self.turned.setdefault(gpu)
        else:
            self.turned.pop(gpu, None)

    def count_bad(self) -> int:
        """Return how many GPUs count as bad.

        Those that only the startup's meter sees are limited to GPUs that the provider's meter does not see working:
        not the same GPU, nor so many others that none is left, in the `BACKDATED_MAX` before the startup's last look.
        """
        seen = len(self.bad["provider"])
        return seen + min(len(self.turned) - seen, max(self.gpus - len(self.known), 0))

    def list_bad(self) -> list[str]:
        """Return the GPUs that count as bad, in the order in which they turned."""
        seen = self.bad["provider"]
        alone = set(islice((gpu for gpu in self.turned if gpu not in seen), self.count_bad() - len(seen)))
        return [gpu for gpu in self.turned if gpu in seen or gpu in alone]

    def change(self, grant_id: str, at: datetime, told_at: datetime) -> None:
        """Note the incidents that are to be opened or closed if the number of failed nodes changed at `at`.

        The provider's meter shows no more of them than it sees bad nodes; what the startup's meter then still shows is
        an incident of its own. An incident lasts at least a second. `told_at` is when the evidence was stored.
        """
        failed = count_nodes(self.count_bad(), self.gpus_per_node)
        shown = count_nodes(len(self.bad["provider"]), self.gpus_per_node)
        while self.own > shown or failed < len(self.open):
            over = self._pop("provider" if self.own > shown else "startup")
            ended = date_resumption(max(at, over.since + _SECOND), told_at, over.reported_at)
            self.due[Transition(self.pool_id, over.name, opens=False)] = Due(ended, over.meter)
        while failed > len(self.open):
            name = f"{_KIND}/{grant_id}/{self.moves}/{self.opened}"
            self.opened += 1
            meter: Meter = "provider" if self.own < shown else "startup"
            self.own += meter == "provider"
            self.open.append(_Opened(name, at, told_at, meter))
            self.is_shared = False
            self.due[Transition(self.pool_id, name, opens=True)] = Due(at, meter)

    def _pop(self, meter: Meter) -> _Opened:
        """Take the last open incident that a side's meter showed."""
        place = max(place for place, one in enumerate(self.open) if one.meter == meter)
        self.own -= meter == "provider"
        return self.open.pop(place)

    def share(self) -> None:
        """Give each bad GPU that no open incident has to the oldest one that has room."""
        self.is_shared = True
        rest = dict.fromkeys(self.list_bad())
        for one in self.open:
            one.gpus = [gpu for gpu in one.gpus if gpu in rest]
            for gpu in one.gpus:
                del rest[gpu]
        free = iter(rest)
        for one in self.open:
            one.gpus.extend(islice(free, self.gpus_per_node - len(one.gpus)))

    def answer(self, name: str, at: datetime) -> None:
        """Take the GPUs of an open incident that a report has ended as good since `at`."""
        place = next((place for place, known in enumerate(self.open) if known.name == name), None)
        if place is None:
            return
        self.share()
        over = self.open.pop(place)
        self.own -= over.meter == "provider"
        good = set(over.gpus)
        for key, health in [item for healths in self.healths.values() for item in healths.items()]:
            if _name_gpu(key.device) in good or not self.open:
                self.put(key, Health(seen=health.seen, sample=health.sample))
        self.answered = max(at, self.answered or at)


def _name_gpu(device: str) -> str:
    """Return the GPU of a device that may be a MIG instance of it."""
    return device.partition("/")[0]


class HealthMonitor:
    """Folds evidence. When a GPU turns bad or good, it schedules a task for the GPU's grant."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._watches: dict[str, _Watch] = {}

    @singledispatchmethod
    def notice(self, event: Event, at: datetime) -> None:
        """Apply the next event of the log, stored at `at`. Events of most types change nothing here."""

    @notice.register
    def _issue(self, event: GrantIssued, at: datetime) -> None:  # noqa: ARG002
        if event.service is not None and event.service.detection is not None:
            gpus = event.nodes * event.gpus_per_node
            watch = _Watch(event.service.detection, gpus, event.gpus_per_node, event.pool_id)
            self._watches[event.grant_id] = watch

    @notice.register
    def _move(self, event: GrantSubstituted, at: datetime) -> None:  # noqa: ARG002
        """Reset a grant that moved, because its GPUs are new. The provider ends open incidents of the old ones."""
        watch = self._watches.get(event.grant_id)
        if watch is not None:
            moved = _Watch(watch.terms, watch.gpus, watch.gpus_per_node, event.pool_id, watch.moves + 1)
            self._watches[event.grant_id] = moved

    @notice.register
    def _done(self, event: PoolNodeFailed | PoolNodeRestored, at: datetime) -> None:
        """Remove an incident that any worker has handled, and take one that a report has ended as answered."""
        transition = Transition(event.pool_id, event.incident_id, opens=isinstance(event, PoolNodeFailed))
        kind, _, rest = event.incident_id.partition("/")
        if kind != _KIND:
            return
        grant_id = rest.partition("/")[0]
        self.drop(grant_id, transition)
        watch = self._watches.get(grant_id)
        if watch is not None and not transition.opens:
            watch.answer(event.incident_id, min(event.at, at))

    @notice.register
    def _end(self, event: GrantCompleted | UsageClosed, at: datetime) -> None:  # noqa: ARG002
        self._watches.pop(event.grant_id, None)

    @notice.register
    def _evidence(self, event: UsageEvidenced, at: datetime) -> None:
        watch = self._find(event.grant_id, event.meter)
        if watch is None:
            return
        for sample in event.samples:
            if self._counts(watch, event.meter, sample.at, at):
                key = Key(event.meter, event.source, sample.device)
                self._keep(event.grant_id, watch, key, take_sample(watch.find(key), sample, watch.terms), at)
        self._compare(event.grant_id, watch, at)

    @notice.register
    def _report(self, event: UsageReported, at: datetime) -> None:
        watch = self._find(event.grant_id, event.meter)
        if watch is None:
            return
        for reading in event.readings:
            if reading.evidence is None or not self._counts(watch, event.meter, reading.end, at):
                continue
            for device in reading.devices or (UNNAMED,):
                key = Key(event.meter, event.source, device)
                self._keep(event.grant_id, watch, key, take_reading(watch.find(key), reading, watch.terms), at)
        self._compare(event.grant_id, watch, at)

    def _find(self, grant_id: str, meter: Meter) -> _Watch | None:
        watch = self._watches.get(grant_id)
        return watch if watch is not None and meter in {"provider", *_list_meters(watch.terms)} else None

    @staticmethod
    def _counts(watch: _Watch, meter: Meter, seen: datetime, at: datetime) -> bool:
        """Return whether an observation that was stored at `at` counts: it was not answered, nor dated back alone."""
        is_answered = watch.answered is not None and seen <= watch.answered
        return not is_answered and (meter == "provider" or seen >= at - BACKDATED_MAX)

    def _keep(self, grant_id: str, watch: _Watch, key: Key, after: Health, at: datetime) -> None:
        before = watch.find(key)
        watch.put(key, after)
        if after.is_bad != before.is_bad and after.since is not None:
            earliest = at - BACKDATED_MAX if key.meter == "startup" else after.since
            watch.change(grant_id, max(after.since, earliest), at)
            self._schedule(grant_id, watch)

    def _compare(self, grant_id: str, watch: _Watch, at: datetime) -> None:
        """Compare what the startup's meter alone sees with what the provider's meter sees by now."""
        if watch.bad["startup"]:
            watch.change(grant_id, at, at)
            self._schedule(grant_id, watch)
        if not watch.is_shared:
            watch.share()

    def _schedule(self, grant_id: str, watch: _Watch) -> None:
        if watch.due:
            self._scheduler.put(Task("observe_grant", grant_id), NOW)

    def list_due(self, grant_id: str) -> list[tuple[Transition, Due]]:
        """Return which incidents of a grant are to be opened or closed; the first noted is first."""
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
    for transition, due in observer.list_due(grant_id):
        verb = "fail" if transition.opens else "restore"
        context = build_context(handler, "reactor", transition.pool_id, f"{verb}/{transition.incident_id}")
        of: dict[str, Any] = {"incident_id": transition.incident_id, "at": min(due.at, now)}
        try:
            if transition.opens:
                of |= {"grant_id": grant_id, "meter": due.meter}
                await inventory.fail_nodes(handler, context, transition.pool_id, nodes=1, **of)
            else:
                await inventory.restore_nodes(handler, context, transition.pool_id, **of)
        except Refusal:
            observer.drop(grant_id, transition)
