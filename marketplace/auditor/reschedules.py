"""Checks grants that their startups shortened or moved: why they might, to which span, and what became free of it.

Hours that were given up for a date of the site, and for which nothing is owed, are kept for the grant. The cure time,
in which nothing is owed for hours taken off, counts once for each grant.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.capacity import parse_shares
from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Findings, Message

_ROUNDED: Final = Fraction(2, 100)
"""Price, cash and fee are rounded to the cent, one after the other."""
_HOUR: Final = timedelta(hours=1)


def _measure(loads: Sequence[Load], start: datetime, end: datetime) -> timedelta:
    """Return the node-time of loads in a span."""
    spans = (max(min(load.end, end) - max(load.start, start), timedelta()) * load.amount for load in loads)
    return sum(spans, timedelta())


@dataclass(slots=True)
class Reschedules:
    """Folds what a change of span rests on.

    Attributes:
        ready: When the conversion of each site is to be ready, while that is ahead.
        sites: The site of each pool.
        grants: Each grant as it was issued, with its present span and pool.
        dark: Since when no node of a grant works.
        resold: The nodes of each grant that were resold.
        kept: The hours before its start that are kept for each grant.
        cured: How much was taken off each grant, which uses up its cure time.
    """

    findings: Findings
    ready: dict[str, datetime] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    dark: dict[str, datetime] = field(default_factory=dict)
    resold: defaultdict[str, list[Load]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[str, list[Load]] = field(default_factory=dict)
    cured: defaultdict[str, timedelta] = field(default_factory=lambda: defaultdict(timedelta))

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check each change of a grant's span in it."""
        freed: defaultdict[str, Decimal] = defaultdict(Decimal)
        kept: dict[str, list[Load]] = {}
        for message in decision:
            if message.event_type == "account.hold_released.v1":
                freed[message.read()["hold_id"]] += Decimal(message.read()["amount_usd"])
            elif message.event_type == "pool.capacity_reserved.v1":
                kept[message.read()["grant_id"]] = [load for _, load in parse_shares(message.read().get("kept", ()))]
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "site":
                self._take_site(name, message.read())
            elif message.event_type == "pool.opened.v1":
                self.sites[message.read()["pool_id"]] = message.read()["site_id"]
            elif aggregate == "grant":
                self._take_grant(message, name, message.read(), freed)
                if name == "rescheduled":
                    self._check_kept(message, message.read(), kept.get(message.read()["grant_id"], []))

    def _take_site(self, name: str, body: dict[str, Any]) -> None:
        if name in {"conversion_scheduled", "conversion_slipped"}:
            self.ready[body["site_id"]] = parse_instant(body["ready_at"])
        elif name == "energised":
            self.ready.pop(body["site_id"], None)

    def _take_grant(self, message: Message, name: str, body: dict[str, Any], freed: dict[str, Decimal]) -> None:
        grant_id = body["grant_id"]
        if name == "issued":
            self.grants[grant_id] = dict(body)
            return
        grant = self.grants.get(grant_id)
        if grant is None:
            return
        if name == "substituted":
            grant["pool_id"] = body["pool_id"]
            self.kept.pop(grant_id, None)
        elif name == "resold":
            part = Load(parse_instant(body["start"]), parse_instant(body["end"]), body["nodes"])
            self.resold[grant_id].append(part)
        elif name == "suspended" or (name == "degraded" and not body.get("until") and not body["nodes_available"]):
            self.dark.setdefault(grant_id, parse_instant(body["at"]))
        elif name in {"resumed", "degraded"} and not body.get("until"):
            self.dark.pop(grant_id, None)
        elif name == "rescheduled":
            self._check(message, body, grant)
            self._check_money(message, body, grant, freed[grant["hold_id"]])
            grant |= {member: body[member] for member in ("start", "end")}
            self.dark.pop(grant_id, None)

    def _check(self, message: Message, body: dict[str, Any], grant: dict[str, Any]) -> None:
        """Check that the site is late for the grant, and that the new span begins once it is ready."""
        before, end_before = parse_instant(grant["start"]), parse_instant(grant["end"])
        start, end = parse_instant(body["start"]), parse_instant(body["end"])
        ready, dark = self.ready.get(self.sites.get(grant["pool_id"], "")), self.dark.get(body["grant_id"])
        late = (ready is not None and ready > before) or (dark is not None and dark <= before)
        in_time = ready is None or start >= ready
        same = end - start == end_before - before if body["choice"] == "moved" else end == end_before
        told = (body["start_before"], body["end_before"]) == (grant["start"], grant["end"])
        text = (
            f"{body['grant_id']} is {body['choice']} to {body['start']}, and its site is ready at {ready}, or not late"
        )
        kept = self.kept.get(body["grant_id"], [])
        back = min((load.start for load in kept), default=before) <= start < before and body["choice"] == "moved"
        right = (back or (late and before < start)) and in_time and same and told and not (start - before) % _HOUR
        self.findings.require(right, "reschedule", message.sequence, text)

    def _check_kept(self, message: Message, body: dict[str, Any], kept: list[Load]) -> None:
        """Check that its own hours before the date of its site are kept for it; of a shortened one, the cure time's."""
        grant, before, start = self.grants[body["grant_id"]], *map(parse_instant, (body["start_before"], body["start"]))
        until = min(
            start, parse_instant(body["end_before"]), self.ready.get(self.sites.get(grant["pool_id"], ""), before)
        )
        remedies = (grant.get("ends") or {}).get("remedies")
        if body["choice"] == "shortened" and remedies:
            cure = timedelta(hours=remedies["cure_hours"])
            until = min(until, before + max(cure - self.cured[body["grant_id"]], timedelta()))
        span = max(until - before, timedelta())
        due = span * grant["nodes"] - _measure(self.resold[body["grant_id"]], before, before + span)
        ever = datetime.min.replace(tzinfo=UTC)
        due += _measure(self.kept.get(body["grant_id"], []), ever, start)
        has = _measure(kept, ever, start)
        text = f"{has} of the node-hours that {body['grant_id']} gives up are kept for it, of {due}"
        self.findings.require(has == due, "reschedule", message.sequence, text)
        self.kept[body["grant_id"]] = kept
        if body["gpu_seconds_cut"]:
            self.cured[body["grant_id"]] += start - before

    def _check_money(self, message: Message, body: dict[str, Any], grant: dict[str, Any], freed_usd: Decimal) -> None:
        """Check that the hours taken off, and the cash that they free, are its own between the two starts.

        A grant that moves leaves no resold hours behind: it would get others for them.
        """
        before, start = parse_instant(body["start_before"]), parse_instant(body["start"])
        left = _measure(self.resold[body["grant_id"]], before, start)
        is_moved = body["choice"] == "moved"
        own = timedelta() if is_moved else (start - before) * grant["nodes"] - left
        cut = int(own.total_seconds()) * grant["gpus_per_node"]
        text = f"{body['grant_id']} moves, and hours before {body['start']} were resold"
        self.findings.require(not (is_moved and left), "reschedule", message.sequence, text)
        text = f"{body['grant_id']} loses {body['gpu_seconds_cut']} GPU-seconds, of {cut}"
        self.findings.require(cut == body["gpu_seconds_cut"], "reschedule", message.sequence, text)
        if grant.get("stages"):
            return  # `stages.py` knows what they set aside
        fee = grant.get("platform_fee")
        rate = Fraction(grant["price_usd_per_gpu_hour"]) * Fraction(grant["cash_share"])
        due = rate * (1 + (Fraction(fee["startup_share"]) if fee else 0)) * Fraction(cut, 3_600)
        text = f"{freed_usd} USD of {grant['hold_id']} are free, {float(due):.2f} were for the hours taken off"
        self.findings.require(abs(Fraction(freed_usd) - due) <= _ROUNDED, "reschedule", message.sequence, text)
