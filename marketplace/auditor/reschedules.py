"""Checks grants that their startups shortened or moved: why they might, to which span, and what became free of it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Findings, Message

_ROUNDED: Final = Fraction(2, 100)
"""Price, cash and fee are rounded to the cent, one after the other."""
_HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class Reschedules:
    """Folds what a change of span rests on.

    Attributes:
        ready: When the conversion of each site is to be ready, while that is ahead.
        sites: The site of each pool.
        grants: Each grant as it was issued, with its present span and pool.
        dark: Since when no node of a grant works.
        resold: The nodes of each grant that were resold.
    """

    findings: Findings
    ready: dict[str, datetime] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    dark: dict[str, datetime] = field(default_factory=dict)
    resold: defaultdict[str, list[Load]] = field(default_factory=lambda: defaultdict(list))

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check each change of a grant's span in it."""
        freed: defaultdict[str, Decimal] = defaultdict(Decimal)
        for message in decision:
            if message.event_type == "account.hold_released.v1":
                freed[message.read()["hold_id"]] += Decimal(message.read()["amount_usd"])
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "site":
                self._take_site(name, message.read())
            elif message.event_type == "pool.opened.v1":
                self.sites[message.read()["pool_id"]] = message.read()["site_id"]
            elif aggregate == "grant":
                self._take_grant(message, name, message.read(), freed)

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
        right = late and in_time and same and told and before < start and not (start - before) % _HOUR
        self.findings.require(right, "reschedule", message.sequence, text)

    def _check_money(self, message: Message, body: dict[str, Any], grant: dict[str, Any], freed_usd: Decimal) -> None:
        """Check that the hours taken off, and the cash that they free, are its own between the two starts.

        A grant that moves leaves no resold hours behind: it would get others for them.
        """
        before, start = parse_instant(body["start_before"]), parse_instant(body["start"])
        sold = [load._replace(end=min(load.end, start)) for load in self.resold[body["grant_id"]]]
        spans = (max(load.end - max(load.start, before), timedelta()) * load.amount for load in sold)
        left = sum(spans, timedelta())
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
