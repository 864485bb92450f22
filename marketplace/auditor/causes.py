"""Checks ends for cause: what the cause was, since when it lasted, and that its provider had the time to answer it.

A startup has cause while nodes of its grant do not work and its provider let a day pass since that was reported, or
seven while fewer than a tenth of them failed. It has cause while its provider is suspended. Past
outages of thirty days take of that day, unless evidence showed them and they were answered in time. It is gone once
outages took a day in three days that are over by a day, and readings do not refute them. A startup reports
silence two days after the start at the earliest, while its provider's meter is silent; the provider answers once its
meter counts, and its words date that back by no more than its readings do. A startup has cause too while its last
settled statement charges far less than was promised, and when its pool was to close before that was put off. Before a
grant begins, it has cause while the site is late by more
than a day. A provider has cause while who pays is suspended, or delivery is withheld. `evidence` checks what
machines show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from marketplace.auditor.capacity import Capacity
from marketplace.auditor.counted import ANSWERED_WITHIN, CHRONIC_WITHIN, Counted
from marketplace.auditor.spans import FOREVER, parse_instant, render_instant
from marketplace.auditor.stream import Findings, Message

FEW_ANSWERED_WITHIN: Final = timedelta(days=7)
"""How long a provider may answer while fewer than a tenth of a grant's nodes failed."""
ANSWERED_ONCE: Final = timedelta(days=30)
SILENT_AFTER: Final = timedelta(hours=48)
_BACKDATED_MAX: Final = timedelta(hours=1)
_PERIOD: Final = timedelta(days=30)
_NEARLY_NOTHING: Final = Fraction(101, 10_000)
"""A hundredth, rounded to a side that no whole second of a meter reaches."""
Body = dict[str, Any]
_STATED: Final = frozenset({"issued", "credited", "accepted"})
_NODES: Final = frozenset({"degraded", "suspended", "resumed"})


@dataclass(slots=True)
class Incident:
    """Failed nodes of a pool; `grant_id` and `meter` are whose evidence showed them, None if they were reported."""

    nodes: int
    start: datetime
    reported_at: datetime
    grant_id: str | None
    meter: str | None = None
    end: datetime = FOREVER


@dataclass(slots=True)
class Outage:
    """A span in which so many nodes of a grant worked."""

    start: datetime
    end: datetime
    working: int


@dataclass(slots=True)
class Stated:
    """A statement or credit of a period: its charges, what was promised in all, until when it could be answered.

    `end` is the period's; `settled` is whether it is accepted.
    """

    amount: int
    promised: int
    settled: bool
    end: datetime
    until: datetime


@dataclass(slots=True)
class Grant:
    """A grant, from its events alone.

    Attributes:
        start: When it begins.
        nodes: Its nodes.
        both: Whether the startup's meter shows failures too.
        least: The share of what was promised below which a statement is cause.
        missing_at: When its startup reported that no node works. A statement of that period is cause below half.
        payer: Who pays for it.
        pools: Where it was, and is.
        begun: Whether it was handed over, and not put off since.
        ended: Whether its end was announced.
        since: When the present outage was first reported; None: all nodes work.
        silenced: Whether its startup reported the present outage, and no node worked since by the provider's reports.
        told: Whether its provider reports the present outage too.
        follows: Whether its outage was derived from its pool and site.
        outages: What was reported of its nodes.
        before: From when to when past outages lasted, since their report.
        anew_at: When it was last put off.
        withheld: Whether its delivery is withheld.
        counted: What its provider's meter counted.
        provider: Who delivers it.
        stated: Its statements, by the start of their period.
    """

    start: datetime
    nodes: int
    both: bool
    least: Fraction
    payer: str
    pools: list[str]
    counted: Counted
    begun: bool = False
    ended: bool = False
    since: datetime | None = None
    silenced: bool = False
    told: bool = False
    follows: bool = False
    missing_at: list[datetime] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    before: list[tuple[datetime, datetime]] = field(default_factory=list)
    anew_at: datetime | None = None
    withheld: bool = False
    provider: str = ""
    stated: dict[datetime, dict[str, Stated]] = field(default_factory=dict)

    def state(self, name: str, body: Body) -> None:
        """Fold a statement of its hours."""
        amount, promised = body["charges"]["gpu_seconds"], (body.get("service") or {}).get("gpu_seconds_promised", 0)
        if name == "accepted":
            for known in self.stated.values():
                if body["statement_id"] in known:
                    end, until = known[body["statement_id"]].end, known[body["statement_id"]].until
                    known[body["statement_id"]] = Stated(amount, promised, settled=True, end=end, until=until)
            return
        known, is_credit = self.stated.setdefault(parse_instant(body["period_start"]), {}), name == "credited"
        end = parse_instant(body["period_end"])
        until = end if is_credit else parse_instant(body["accept_until"])
        amount = -amount if is_credit else amount
        known[body["statement_id"]] = Stated(amount, promised, settled=is_credit, end=end, until=until)

    def count_uncharged(self, at: datetime) -> int:
        """Return how many nodes its last settled statement does not charge, if it charges too little of a day or more.

        It counts once the time to answer it is over, until the provider's meter counts half of what was promised over
        three days since the end of its period.
        """
        firsts = ((start, next(iter(known.values()))) for start, known in self.stated.items())
        settled = (start for start, first in firsts if first.settled and first.until <= at)
        start = max(settled, default=FOREVER)
        known = list(self.stated.get(start, {}).values())
        promised = known[-1].promised if known else 0
        day = self.nodes * self.counted.gpus_per_node * int(ANSWERED_WITHIN.total_seconds())
        share = Fraction(sum(each.amount for each in known), promised or 1)
        is_missed = bool(known) and any(start <= told < known[0].end for told in self.missing_at)
        if promised < day or share >= (Fraction(1, 2) if is_missed else self.least):
            return 0
        since = max(known[-1].end, at - CHRONIC_WITHIN)
        if since < at and self.counted.measure(since, at) >= Fraction(1, 2):
            return 0
        return self.nodes - int(self.nodes * share)

    def tell(self, name: str, body: Body) -> None:
        """Fold a report about its nodes."""
        at, until = parse_instant(body["at"]), body.get("until")
        working = body.get("nodes_available", 0)
        if until is not None:
            self.outages.append(Outage(at, parse_instant(until), working))
            return
        self.outages = [each for each in self.outages if each.end < FOREVER or each.start < at]
        for each in self.outages:
            each.end = at if each.end == FOREVER else each.end
        if name == "resumed":
            self.repair(at)
            return
        self.outages.append(Outage(at, FOREVER, working))
        by_startup = body.get("by") == "startup"
        self.told = self.since is not None and self.told if by_startup else True
        self.silenced = by_startup or (self.silenced and not working)
        self.since = self.since or parse_instant(body.get("reported_at") or body["at"])
        self.follows = bool(body.get("follows_pool"))

    def repair(self, at: datetime) -> None:
        """End the present outage."""
        if self.since is not None and self.since < at:
            self.before.append((self.since, at))
        self.since, self.follows, self.silenced, self.told = None, False, False, False

    def count_lacking(self) -> int:
        """Return how many nodes do not work, by the last report."""
        return self.nodes - min((each.working for each in self.outages if each.end == FOREVER), default=self.nodes)

    def list_cuts(self) -> set[datetime]:
        """Return the instants at which outages begin or end."""
        return {at for each in self.outages for at in (each.start, each.end)}

    def count_failed(self, at: datetime) -> int:
        """Return how many nodes did not work at an instant."""
        there = (each.working for each in self.outages if each.start <= at < each.end)
        return self.nodes - min(there, default=self.nodes)


@dataclass(slots=True)
class Causes:
    """Folds grants, failed nodes and suspensions. It takes a decision before the capacity does.

    Attributes:
        capacity: The power of sites, and what nodes draw.
        grants: By id.
        incidents: By pool and incident.
        suspended: The parties that are suspended.
        closings: The announced closings of pools: for when, and when each was announced.
        reserved: When a grant's nodes were first reserved, by pool and grant.
    """

    findings: Findings
    capacity: Capacity
    grants: dict[str, Grant] = field(default_factory=dict)
    incidents: dict[str, dict[str, Incident]] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    closings: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=dict)
    reserved: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "grant":
                self._take_grant(message, name, message.read())
            elif aggregate == "usage" and name in {"reported", "corrected", "voided"}:
                self._count(name, message.read())
            elif aggregate == "statement" and name in _STATED and not message.read().get("service_line_id"):
                self._state(name, message.read())
            elif aggregate == "pool":
                self._take_pool(message, name, message.read())
            elif message.event_type in {"party.suspended.v1", "party.cleared.v1"}:
                change = self.suspended.add if name == "suspended" else self.suspended.discard
                change(message.read()["party_id"])

    def _take_pool(self, message: Message, name: str, body: Body) -> None:
        """Fold what pools reserve, when they close, and which of their nodes fail."""
        if name == "closing_announced":
            self._announce(message, body)
        elif name.startswith("capacity_"):
            pair = body["pool_id"], body.get("grant_id", "")
            self.reserved.setdefault(pair, parse_instant(message.headers["ce-time"]))
        elif name == "node_failed":
            self._fail(body)
        elif name == "node_restored":
            incident = self.incidents.get(body["pool_id"], {}).get(body["incident_id"])
            if incident is not None:
                incident.end = parse_instant(body["at"])

    def _state(self, name: str, body: Body) -> None:
        grant = self.grants.get(body["grant_id"])
        if grant is not None:
            grant.state(name, body)

    def _count(self, name: str, body: Body) -> None:
        """Fold readings of a provider's meter."""
        grant = self.grants.get(body["grant_id"])
        if grant is None or body.get("meter", "provider") != "provider":
            return
        less = {"corrected": "before", "voided": "reading"}.get(name)
        if less is not None:
            grant.counted.count(body[less], -1)
        for reading in [body["after"]] if name == "corrected" else body.get("readings", ()):
            grant.counted.count(reading, 1)

    def _announce(self, message: Message, body: Body) -> None:
        """Fold the closing of a pool, and check that it counts as notice from now on."""
        told, now = parse_instant(body["announced_at"]), parse_instant(message.headers["ce-time"])
        text = f"{body['pool_id']} is to close, announced at {body['announced_at']}, not at {render_instant(now)}"
        self.findings.require(told == now, "cause", message.sequence, text)
        self.closings.setdefault(body["pool_id"], []).append((parse_instant(body["closes_at"]), told))

    def _is_put_off(self, body: Body, grant: Grant) -> bool:
        """Return whether a grant ends when its pool was to close, by an announcement that it was there to rely on."""
        at, pool_id = parse_instant(body["at"]), grant.pools[-1]
        known, since = self.closings.get(pool_id, []), self.reserved.get((pool_id, body["grant_id"]), FOREVER)
        return any(closes == at and since <= later < at for (closes, _), (_, later) in pairwise(known))

    def _check_closing(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that an end has the notice of its pool's closing, if it states one."""
        if body.get("announced_at") is None:
            return
        closes, told = self.closings.get(grant.pools[-1], [(FOREVER, FOREVER)])[-1]
        right = body["by"] == "provider" and told == parse_instant(body["announced_at"])
        text = f"{body['grant_id']} ends at its pool's closing, announced at {body['announced_at']}"
        self.findings.require(right and closes <= parse_instant(body["at"]), "cause", message.sequence, text)

    def _fail(self, body: Body) -> None:
        at = parse_instant(body["at"])
        told = parse_instant(body["reported_at"]) if body.get("reported_at") else at
        incident = Incident(body["nodes"], at, told, body.get("grant_id"), body.get("meter"))
        self.incidents.setdefault(body["pool_id"], {})[body["incident_id"]] = incident

    def _take_grant(self, message: Message, name: str, body: Body) -> None:
        if name == "issued":
            both = ((body.get("service") or {}).get("detection") or {}).get("meters") == "both"
            is_metered = (body.get("service") or {}).get("measure", "metered") == "metered"
            least = Fraction(1, 2) if body.get("service") and is_metered else Fraction(1, 100)
            start, pools = parse_instant(body["start"]), [body["pool_id"]]
            counted = Counted(body["nodes"], body["gpus_per_node"], parse_instant(body["end"]))
            self.grants[body["grant_id"]] = Grant(
                start, body["nodes"], both, least, body["startup_id"], pools, counted, provider=body["provider_id"]
            )
        grant = self.grants.get(body["grant_id"])
        if grant is None:
            return
        if name in _NODES:
            if name == "suspended" and body.get("by") == "startup":
                grant.missing_at.append(parse_instant(body.get("reported_at") or body["at"]))
                self._check_silence(message, body, grant)
            elif grant.silenced and message.headers.get("ce-actor") == grant.provider and not body.get("until"):
                self._check_heard(message, name, body, grant)
            grant.tell(name, body)
        elif name == "terminated":
            self._check_closing(message, body, grant)
            if body.get("for_cause"):
                self._check(message, body, grant)
            grant.ended = True
        else:
            if name == "rescheduled":
                self._check_answered(message, body, grant)
            _change(grant, name, body)

    def _check_silence(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that a startup reports silence as it happens, and not before its provider could count anything."""
        at, now = parse_instant(body["at"]), parse_instant(message.headers["ce-time"])
        never = at == grant.start and now < at + _PERIOD and grant.counted.measure(at, now) < _NEARLY_NOTHING
        right = now >= grant.start + SILENT_AFTER and (at == now or never)
        text = f"{body['grant_id']} is not handed over since {body['at']}, says its startup at {render_instant(now)}"
        self.findings.require(right, "cause", message.sequence, text)

    def _check_heard(self, message: Message, name: str, body: Body, grant: Grant) -> None:
        """Check that a provider answers a report of silence by readings, not by words, and since when it says so."""
        at, now = parse_instant(body["at"]), parse_instant(message.headers["ce-time"])
        if name == "suspended" or (name == "degraded" and not body["nodes_available"]):
            return
        nodes = body.get("nodes_available", grant.nodes)
        silent = not grant.counted.covers(nodes, Fraction(1, 100), now - SILENT_AFTER, now)
        prompt = at >= now - _BACKDATED_MAX
        backed = (
            name == "resumed"
            and not grant.told
            and grant.counted.covers(grant.nodes, Fraction(99, 100), at, now - _BACKDATED_MAX)
        )
        text = (
            f"{body['grant_id']} works again since {body['at']}, and its provider's meter is silent, or was since then"
        )
        self.findings.require(not silent and (prompt or backed), "cause", message.sequence, text)

    def _check_answered(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that evidence or a report which alone lets a startup shorten or move its grant could be answered."""
        grant_id, at = body["grant_id"], parse_instant(body["at"])
        known = self.incidents.get(grant.pools[-1], {}).values()
        is_shown = any(each.grant_id == grant_id and each.start <= at < each.end for each in known)
        by_evidence = grant.follows and is_shown and not self._lacks_power(grant_id, grant, at)
        if grant.begun and (by_evidence or grant.silenced):
            problem = self._check_startup(body, grant, at, is_end=False)
            self.findings.require(
                problem is None, "cause", message.sequence, f"{grant_id} gets another span: {problem}"
            )

    def _check(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that the side which ends a grant for cause has one."""
        at = parse_instant(body["noticed_at"])
        if body["by"] == "startup":
            is_put_off = self._is_put_off(body, grant)
            problem = None if is_put_off else self._check_startup(body, grant, at, is_end=True)
            problem = problem or _check_nodes(body, grant, at, is_put_off=is_put_off)
        else:
            right = body["by"] == "platform" or grant.payer in self.suspended or grant.withheld
            problem = None if right else "its startup is not suspended, and nothing is withheld"
        text = f"{body['grant_id']} ends for cause of its {body['by']}: {problem}"
        self.findings.require(problem is None, "cause", message.sequence, text)

    def _check_startup(self, body: Body, grant: Grant, at: datetime, *, is_end: bool) -> str | None:
        """Return why a startup had no cause at an instant; None if it had.

        Chronic outages, and a settled statement of too little, are cause to end a grant.
        """
        if is_end and (grant.count_uncharged(at) or grant.provider in self.suspended):
            return None
        if not grant.begun and not grant.ended:
            if not self._is_late(grant):
                return "it had not begun, and its site is not late by more than a day"
            return None if parse_instant(body["at"]) <= grant.start else "it ends after its start, before it began"
        since = self._find_since(body["grant_id"], grant, at)
        if since is None:
            return "all of its nodes work, or work again"
        if is_end and 0 < grant.count_failed(at) * 10 < grant.nodes:
            used = self._count_used(body["grant_id"], grant, since, is_few=True)
            due = since + max(FEW_ANSWERED_WITHIN - used, timedelta())
            return None if due <= at else f"few nodes failed, and may be repaired until {render_instant(due)}"
        due = since + max(ANSWERED_WITHIN - self._count_used(body["grant_id"], grant, since), timedelta())
        if is_end and due > at and grant.counted.is_chronic(grant.start, at, grant.count_failed, grant.list_cuts()):
            return None
        return None if due <= at else f"its provider could answer the failure until {render_instant(due)}"

    def _is_late(self, grant: Grant) -> bool:
        site = self.capacity.sites[self.capacity.pools[grant.pools[-1]].site_id]
        is_converting = site.status == "converting" and site.ready_at is not None
        return is_converting and site.ready_at is not None and site.ready_at - grant.start > ANSWERED_WITHIN

    def _find_since(self, grant_id: str, grant: Grant, at: datetime) -> datetime | None:
        """Return since when a failure that lasts is known; None if none lasts.

        What machines showed of the grant counts from its own report, what its pool or site lacks from the first.
        """
        if grant.since is None or not grant.follows:
            return grant.since
        lasting = [each for each in self.incidents.get(grant.pools[-1], {}).values() if each.start <= at < each.end]
        own = [each for each in lasting if each.grant_id == grant_id]
        is_common = any(each.grant_id is None for each in lasting) or self._lacks_power(grant_id, grant, at)
        if is_common and grant.count_lacking() > sum(each.nodes for each in own):
            return grant.since
        return max(grant.since, min(each.reported_at for each in own)) if own else None

    def _lacks_power(self, grant_id: str, grant: Grant, at: datetime) -> bool:
        """Return whether a grant draws power at a site that has less than all draw."""
        pool = self.capacity.pools[grant.pools[-1]]
        site = self.capacity.sites[pool.site_id]
        mine = any(load.start <= at < load.end for _, load in pool.taken.get(grant_id, []))
        pools = (each for each in self.capacity.pools.values() if each.site_id == pool.site_id)
        drawn = sum(
            load.amount * each.power_per_node_kw
            for each in pools
            for load in each.loads()
            if load.start <= at < load.end
        )
        return mine and drawn > site.find_serving(at)

    def _count_used(self, grant_id: str, grant: Grant, since: datetime, *, is_few: bool = False) -> timedelta:
        """Return what past outages took of the time to answer one that was reported at `since`.

        Of the time to repair few nodes, each takes the part that its failed nodes were of a tenth of all.
        """
        first, used = since - ANSWERED_ONCE, timedelta()
        known = [each for pool_id in grant.pools for each in self.incidents.get(pool_id, {}).values()]
        answered = [
            each
            for each in known
            if each.grant_id == grant_id and each.meter != "provider" and each.end - each.reported_at <= ANSWERED_WITHIN
        ]
        for start, end in grant.before:
            is_whole = not grant.both or (grant.anew_at is not None and end <= grant.anew_at)
            if is_whole and not is_few:
                used += max(end - max(start, first), timedelta())
                continue
            cuts = {at for one in answered for at in (one.start, one.end)}
            cuts |= grant.list_cuts()
            for begin, stop in pairwise([start, *sorted(at for at in cuts if start < at < end), end]):
                explained = sum(each.nodes for each in answered if each.start <= begin < each.end)
                failed = grant.count_failed(begin)
                if failed > (0 if is_whole else explained):
                    part = min(failed * 10, grant.nodes) if is_few else grant.nodes
                    used += max(stop - max(begin, first), timedelta()) * part // grant.nodes
        return used


def _check_nodes(body: Body, grant: Grant, at: datetime, *, is_put_off: bool) -> str | None:
    """Return why the failed nodes that an end for cause states are wrong: `market` knows those by the reports alone."""
    least = grant.count_uncharged(at) if grant.begun else 0
    least = grant.nodes if is_put_off else least
    if not grant.begun or least <= body["nodes_failed"] <= max(least, grant.count_failed(at)):
        return None
    return f"{body['nodes_failed']} of its nodes failed, and {least} were not charged"


def _change(grant: Grant, name: str, body: Body) -> None:
    """Fold what else changes a grant."""
    grant.counted.change(name, body)
    match name:
        case "activated":
            grant.begun = True
        case "substituted":
            grant.pools.append(body["pool_id"])
        case "rescheduled":
            at = grant.anew_at = parse_instant(body["at"])
            grant.repair(at)
            grant.start, grant.begun, grant.outages = parse_instant(body["start"]), False, []
        case "withheld":
            grant.withheld = True
        case "withholding_ended":
            grant.withheld = False
