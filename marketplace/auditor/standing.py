"""Computes each provider's standing from events alone: what was due, lost, completed, broken, accepted and given up.

The score that the market shows is made of these sums. A run of a grant counts when it ends or a statement closes its
period; a promise's service result replaces the runs of its period. What worked on credit, or is promised by incidents
alone, counts once it is paid, and what an adjustment adds once it is accepted. A grant of related parties, or of own
capacity, leaves nothing good behind.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Message

PERIOD: Final = timedelta(days=30)
SUMS: Final = (
    "gpu_seconds_due",
    "gpu_seconds_lost",
    "grants_completed",
    "grants_broken",
    "gpu_seconds_completed",
    "gpu_seconds_broken",
    "gpu_seconds_accepted",
    "gpu_seconds_conceded",
    "cents_completed",
    "cents_broken",
    "value_worked",
    "value_lost",
    "value_accepted",
    "value_conceded",
)
GOOD: Final = (
    "grants_completed",
    "gpu_seconds_completed",
    "cents_completed",
    "gpu_seconds_accepted",
    "value_accepted",
)
"""What a mark of related parties takes back, besides the hours that worked."""
_UNCOUNTED: Final = frozenset({"related", "own_capacity"})
Body = Mapping[str, Any]
Sums = Counter[str]


@dataclass(slots=True)
class Course:
    """One grant, as far as its provider's standing goes.

    Attributes:
        provider_id: Who delivers.
        gpus_per_node: GPUs of one node.
        nodes: Its nodes.
        working: Those that work by the last report.
        until: Up to when its runs are counted.
        gpu_seconds: Its span in GPU-seconds, less what was resold or taken off.
        cents: What the provider is owed for them.
        price: What it is owed for a GPU-hour, in millionths of a US dollar.
        promised_from: Where the period that is stated next begins; None if nothing is promised.
        once_charged: Whether the provider gave credit for it, or promised it by incidents alone.
        is_left_out: Whether nothing of it counts any more.
        runs: Whether it was handed over and has not ended.
        is_broken: Whether it counts as broken.
        unpaid: GPU-seconds that worked on credit and do not count yet.
        worked: GPU-seconds that worked and count.
        since: What was counted of the period that is stated next.
        given: What it added to its provider's standing.
        resold: Its resold nodes.
        waiting: Unavailable GPU-seconds that each adjustment takes back once it is accepted.
    """

    provider_id: str
    gpus_per_node: int
    nodes: int
    working: int
    until: datetime
    gpu_seconds: int
    cents: int
    price: int
    promised_from: datetime | None
    once_charged: bool
    is_left_out: bool
    runs: bool = False
    is_broken: bool = False
    unpaid: int = 0
    worked: int = 0
    since: Sums = field(default_factory=Counter)
    given: Sums = field(default_factory=Counter)
    resold: list[Load] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)

    def run(self, at: datetime, working: int) -> Sums:
        """Return what a run up to an instant adds; from then on so many nodes work."""
        if self.promised_from is not None:
            at = min(at, self.promised_from + PERIOD)
        before, self.working = self.working, working
        if not self.runs or at <= self.until:
            return Counter()
        seconds = _count_seconds(self.until, at)
        due = self.count_own(self.until, at)
        lost = min((self.nodes - before) * seconds * self.gpus_per_node, due)
        self.until = at
        added = Counter(gpu_seconds_due=due, gpu_seconds_lost=lost)
        self.since.update(added)
        return added

    def count_own(self, start: datetime, end: datetime) -> int:
        """Return the GPU-seconds that are the grant's own, not resold, from one instant to another."""
        own = self.nodes * _count_seconds(start, end)
        for load in self.resold:
            own -= max(_count_seconds(max(load.start, start), min(load.end, end)), 0) * load.amount
        return own * self.gpus_per_node

    def shrink(self, gpu_seconds: int) -> None:
        """Take GPU-seconds off its span, and their price."""
        left = max(self.gpu_seconds - gpu_seconds, 0)
        self.cents = round(Fraction(self.cents * left, self.gpu_seconds)) if left else 0
        self.gpu_seconds = left

    def defer(self, added: Sums, paid_max: int) -> None:
        """Take what worked and is not paid off `added`, and add what is paid now."""
        worked = added["gpu_seconds_due"] - added["gpu_seconds_lost"]
        unpaid = max(self.unpaid + worked, 0)
        paid = min(unpaid, paid_max)
        added["gpu_seconds_due"] += self.unpaid - unpaid + paid
        self.unpaid = unpaid - paid

    def weigh(self, added: Sums) -> None:
        """Add the value of the GPU-seconds in `added`: each times the price."""
        lost = added["gpu_seconds_lost"]
        worked = added["gpu_seconds_due"] - lost
        added["value_worked"], added["value_lost"] = worked * self.price, lost * self.price
        for name in ("accepted", "conceded"):
            added[f"value_{name}"] = added[f"gpu_seconds_{name}"] * self.price
        self.worked += worked


@dataclass(slots=True)
class Standing:
    """Folds the events that count in the standing of providers.

    Attributes:
        courses: Every grant.
        sums: Of each provider, the sums by name.
    """

    courses: dict[str, Course] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command."""
        for message in decision:
            kind = message.event_type.removesuffix(".v1")
            if kind == "grant.issued":
                body = message.read()
                self.courses[body["grant_id"]] = _begin(body)
            elif kind == "order.unmatched" and (lost := message.read().get("lost")):
                self._add(lost["provider_id"], _break(lost["gpu_seconds"], Decimal(lost["price_usd"])))
            elif kind.startswith(("grant.", "statement.")):
                self._follow(kind, message.read())

    def list_sums(self) -> dict[str, tuple[int, ...]]:
        """Return the sums of each provider that has any, in the order of `SUMS`."""
        return {provider_id: tuple(sums[name] for name in SUMS) for provider_id, sums in self.sums.items()}

    def list_scores(self) -> dict[str, Fraction]:
        """Return the score of each provider that has a history, from 0 to 1."""
        return {provider_id: _score(sums) for provider_id, sums in self.sums.items()}

    def _add(self, provider_id: str, added: Sums) -> None:
        self.sums.setdefault(provider_id, Counter()).update(added)

    def _follow(self, kind: str, body: Body) -> None:
        course = self.courses.get(body.get("grant_id", ""))
        if course is None or course.is_left_out:
            return
        if kind == "grant.marked":
            self._leave_out(body, course)
        elif kind == "grant.resold":
            start, end = parse_instant(body["start"]), parse_instant(body["end"])
            course.resold.append(Load(start, end, body["nodes"]))
            course.shrink(body["gpu_seconds"])
        else:
            added = _count_grant(kind, body, course) if kind.startswith("grant.") else _count(kind, body, course)
            if course.once_charged:
                is_paid = kind == "statement.accepted"
                course.defer(added, body["charges"]["gpu_seconds"] if is_paid else 0)
            course.weigh(added)
            course.given.update({name: added[name] for name in GOOD})
            self._add(course.provider_id, added)

    def _leave_out(self, body: Body, course: Course) -> None:
        """Take the good part of a marked grant back."""
        if body["mark"] in _UNCOUNTED:
            course.is_left_out = True
            taken = Counter({name: -amount for name, amount in course.given.items()})
            taken["gpu_seconds_due"] -= course.worked
            taken["value_worked"] -= course.worked * course.price
            self._add(course.provider_id, taken)


def _score(sums: Sums) -> Fraction:
    """Return the product of uptime, completion and undisputed: of each, the lower share by GPU-seconds and by price."""
    worked = sums["gpu_seconds_due"] - sums["gpu_seconds_lost"]
    shares = [
        ((worked, sums["gpu_seconds_lost"]), (sums["value_worked"], sums["value_lost"])),
        ((sums["gpu_seconds_completed"], sums["gpu_seconds_broken"]), (sums["cents_completed"], sums["cents_broken"])),
        (
            (sums["gpu_seconds_accepted"], sums["gpu_seconds_conceded"]),
            (sums["value_accepted"], sums["value_conceded"]),
        ),
    ]
    score = Fraction(1)
    for pairs in shares:
        score *= min(Fraction(good, good + bad) if good + bad else Fraction(1) for good, bad in pairs)
    return score


def _begin(body: Body) -> Course:
    start = parse_instant(body["start"])
    seconds = body["nodes"] * body["gpus_per_node"] * _count_seconds(start, parse_instant(body["end"]))
    resale = body.get("resale") or {}
    is_by_incidents = (body.get("service") or {}).get("measure") == "incidents"
    price = Fraction(resale.get("owed_usd_per_gpu_hour") or body["price_usd_per_gpu_hour"])
    return Course(
        provider_id=body["provider_id"],
        gpus_per_node=body["gpus_per_node"],
        nodes=body["nodes"],
        working=body["nodes"],
        until=start,
        gpu_seconds=seconds,
        cents=round(price * 100 * seconds / 3600),
        price=round(price * 10**6),
        promised_from=start if body.get("service") else None,
        once_charged=bool(Decimal(body.get("credit_usd") or 0)) or is_by_incidents,
        is_left_out=body.get("mark") in _UNCOUNTED,
    )


def _count_seconds(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds())


def _break(gpu_seconds: int, price_usd: Decimal) -> Sums:
    """Return what a match adds that its provider broke: due and lost in full, and a grant that it ended."""
    seconds = {f"gpu_seconds_{name}": gpu_seconds for name in ("due", "lost", "broken")}
    return Counter(seconds) + Counter(
        grants_broken=1, cents_broken=round(price_usd * 100), value_lost=round(price_usd * 3600 * 10**6)
    )


def _count_grant(kind: str, body: Body, course: Course) -> Sums:
    match kind:
        case "grant.activated":
            course.runs = True
        case "grant.degraded" if body.get("until") is None:
            return course.run(parse_instant(body["at"]), body["nodes_available"])
        case "grant.suspended":
            return course.run(parse_instant(body["at"]), 0)
        case "grant.resumed":
            return course.run(parse_instant(body["at"]), course.nodes)
        case "grant.rescheduled":
            return _reschedule(body, course)
        case "grant.terminated":
            return _terminate(body, course)
        case "grant.completed":
            course.runs = False
            is_done = course.promised_from is None or course.worked * 100 >= course.gpu_seconds
            whole = {"grants": 1, "gpu_seconds": course.gpu_seconds, "cents": course.cents}
            return Counter({f"{name}_completed": amount for name, amount in whole.items()}) if is_done else Counter()
        case _:
            pass
    return Counter()


def _reschedule(body: Body, course: Course) -> Sums:
    """Return what a new span adds: the hours that were taken off are due and lost, as far as no run was counted."""
    added = course.run(parse_instant(body["at"]), course.nodes)
    before, start = parse_instant(body["start_before"]), parse_instant(body["start"])
    lost = max(body["gpu_seconds_cut"] - course.count_own(before, course.until), 0)
    added.update(gpu_seconds_due=lost, gpu_seconds_lost=lost)
    course.runs, course.until, course.since = False, start, Counter()
    course.promised_from = None if course.promised_from is None else start
    course.shrink(body["gpu_seconds_cut"])
    return added


def _terminate(body: Body, course: Course) -> Sums:
    added = course.run(parse_instant(body["at"]), course.working)
    course.runs = False
    is_fault = body["by"] == ("startup" if body.get("for_cause") else "provider")
    if is_fault and not course.is_broken:
        course.is_broken = True
        added.update(grants_broken=1, gpu_seconds_broken=course.gpu_seconds, cents_broken=course.cents)
    return added


def _count(kind: str, body: Body, course: Course) -> Sums:
    """Return what an event of a statement adds."""
    match kind:
        case "statement.issued" if body.get("service_line_id") is None:
            return _state(body, course)
        case "statement.accepted":
            rise = course.waiting.pop(body["statement_id"], None)
            accepted = body["charges"]["gpu_seconds"]
            lost = body.get("unavailable_change", 0) if rise is None else -min(rise, accepted)
            return Counter(gpu_seconds_accepted=accepted, gpu_seconds_lost=lost)
        case "statement.credited":
            accepted = -body["charges"]["gpu_seconds"]
            return Counter(gpu_seconds_accepted=accepted, gpu_seconds_lost=_correct(body["adjustment"]))
        case "statement.resolved":
            conceded = body["charges_before"]["gpu_seconds"] - body["charges"]["gpu_seconds"]
            return Counter(gpu_seconds_conceded=conceded)
        case _:
            return Counter()


def _correct(adjustment: Body) -> int:
    return adjustment.get("unavailable_after", 0) - adjustment.get("unavailable_before", 0)  # type: ignore[no-any-return]


def _state(body: Body, course: Course) -> Sums:
    """Return what the statement of a period adds: its service result, in place of the runs that were counted of it."""
    if (adjustment := body.get("adjustment")) is not None:
        change = _correct(adjustment)
        course.waiting[body["statement_id"]] = max(-change, 0)
        return Counter(gpu_seconds_lost=max(change, 0))
    end = parse_instant(body["period_end"])
    added, result = course.run(end, course.working), body.get("service")
    if result is not None and course.promised_from is not None:
        added["gpu_seconds_due"] += result["gpu_seconds_promised"] - course.since["gpu_seconds_due"]
        added["gpu_seconds_lost"] += result["gpu_seconds_unavailable"] - course.since["gpu_seconds_lost"]
        course.until, course.promised_from, course.since = max(course.until, end), end, Counter()
    return added
