"""Checks that failures which machines show rest on evidence: of a meter that counts, of enough GPUs, not dated back.

A GPU is shown as failed after so many bad looks of one source in a row. The startup's meter counts only where the
grant's terms say so, and then shows nothing from more than an hour before it is told.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stream import Findings, Message

BACKDATED_MAX: Final = timedelta(hours=1)
FAILED: Final = frozenset({48, 62, 64, 74, 79, 95, 119, 120})
"""XID errors of failed hardware, where the terms name none."""
_WATT_SECONDS: Final = 3_600_000
"""In a kilowatt-hour."""
Body = dict[str, Any]


@dataclass(slots=True)
class Look:
    """What one source saw of one GPU: bad looks in a row, the last instant, and the last sample."""

    run: int = 0
    seen: datetime | None = None
    sample: Body = field(default_factory=dict)


@dataclass(slots=True)
class Watched:
    """A grant whose terms let evidence open incidents.

    Attributes:
        terms: When a look is bad, how many of them count, and whose.
        gpus_per_node: GPUs of a node.
        looks: By whose meter it is, source and device.
        shown: When each GPU was first shown as failed, by whose meter it is.
        open: The incidents that evidence opened where it is now, and that last, with whose meter showed them.
    """

    terms: Body
    gpus_per_node: int
    pool_id: str
    looks: dict[tuple[str, str, str], Look] = field(default_factory=lambda: defaultdict(Look))
    shown: dict[str, dict[str, datetime]] = field(default_factory=lambda: {"provider": {}, "startup": {}})
    open: dict[str, str | None] = field(default_factory=dict)

    def counts(self, meter: str) -> bool:
        """Return whether evidence of a side's meter counts."""
        return meter == "provider" or self.terms.get("meters") == "both"

    def count_nodes(self) -> int:
        """Return the fewest nodes that hold all GPUs that were ever shown as failed."""
        return self.fill(self.shown["provider"].keys() | self.shown["startup"].keys())

    def fill(self, gpus: Collection[str]) -> int:
        """Return the fewest nodes that hold GPUs."""
        return -(-len(gpus) // self.gpus_per_node)


@dataclass(slots=True)
class Evidence:
    """Folds what meters saw, and checks the incidents that it opened.

    Attributes:
        grants: Those whose terms let evidence open incidents.
    """

    findings: Findings
    grants: dict[str, Watched] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            match message.event_type:
                case "grant.issued.v1":
                    self._issue(message.read())
                case "usage.evidenced.v1" | "usage.reported.v1":
                    self._see(message.read(), parse_instant(message.headers["ce-time"]))
                case "grant.substituted.v1" if message.read()["grant_id"] in self.grants:
                    grant = self.grants[message.read()["grant_id"]]
                    grant.pool_id = message.read()["pool_id"]
                    grant.open.clear()
                case "pool.node_failed.v1" if message.read().get("grant_id"):
                    self._fail(message, message.read())
                case "pool.node_restored.v1":
                    for known in self.grants.values():
                        known.open.pop(message.read()["incident_id"], None)

    def _issue(self, body: Body) -> None:
        terms = (body.get("service") or {}).get("detection")
        if terms is not None:
            self.grants[body["grant_id"]] = Watched(terms, body["gpus_per_node"], body["pool_id"])

    def _see(self, body: Body, told_at: datetime) -> None:
        grant, meter = self.grants.get(body["grant_id"]), body.get("meter", "provider")
        if grant is None or not grant.counts(meter):
            return
        for device, begin, end, row in _list_looks(body):
            look = grant.looks[meter, body["source"], device]
            is_late = meter == "startup" and end < told_at - BACKDATED_MAX
            if is_late or (look.seen is not None and end <= look.seen):
                continue
            is_bad = _is_bad_sample(look.sample, row, grant.terms) if begin is None else _is_bad(row, grant.terms)
            look.run, look.seen = look.run + 1 if is_bad else 0, end
            look.sample = row if begin is None else look.sample
            if look.run >= grant.terms.get("open_after", 2):
                grant.shown[meter].setdefault(device.partition("/")[0], told_at)

    def _fail(self, message: Message, body: Body) -> None:
        """Check an incident that evidence opened, which a worker records."""
        require, sequence, incident_id = self.findings.require, message.sequence, body["incident_id"]
        actor = message.headers.get("ce-actor", "")
        require(actor.startswith("worker:"), "evidence", sequence, f"{actor} reports {incident_id} as evidence")
        grant = self.grants.get(body["grant_id"])
        text = f"{incident_id} is opened by evidence, which the terms of {body['grant_id']} do not let count"
        if not require(grant is not None, "evidence", sequence, text) or grant is None:
            return
        if body["pool_id"] == grant.pool_id:
            grant.open[incident_id] = body.get("meter")
        nodes = grant.count_nodes()
        text = f"{len(grant.open)} incidents of {body['grant_id']} last, its meters showed failed GPUs of {nodes} nodes"
        if require(len(grant.open) <= nodes, "evidence", sequence, text):
            own = sum(meter == "provider" for meter in grant.open.values())
            right = own <= grant.fill(grant.shown["provider"]) and (
                own == len(grant.open) or bool(grant.shown["startup"])
            )
            text = f"{own} of {len(grant.open)} incidents of {body['grant_id']} are shown by its provider's meter"
            require(right, "evidence", sequence, text)
        told = grant.shown["startup"].values()
        if told and not grant.shown["provider"]:
            earliest, at = min(told) - BACKDATED_MAX, parse_instant(body["at"])
            text = f"{incident_id} is dated back to {render_instant(at)}, only the startup showed it, from"
            require(at >= earliest, "evidence", sequence, f"{text} {render_instant(earliest)} on")


def _list_looks(body: Body) -> Iterator[tuple[str, datetime | None, datetime, Body]]:
    """Yield the device, the begin of a reading (None: it is a sample), the end and the row of each look."""
    for row in body.get("samples", ()):
        yield row["device"], None, parse_instant(row["at"]), row
    for row in body.get("readings", ()):
        if row.get("evidence") is not None:
            for device in row.get("devices") or ("*",):
                yield device, parse_instant(row["start"]), parse_instant(row["end"]), row


def _is_bad_sample(before: Body, row: Body, terms: Body) -> bool:
    """Return whether a sample shows failed hardware, or, beside the one before it, energy drawn while nothing ran."""
    if row.get("xid_error") in (frozenset(terms.get("xid_errors") or ()) or FAILED):
        return True
    told = [each.get(name) for each in (before, row) for name in ("gpu_utilisation", "energy_kwh")]
    if None in told or Decimal(before["gpu_utilisation"]) or Decimal(row["gpu_utilisation"]):
        return False
    seconds = (parse_instant(row["at"]) - parse_instant(before["at"])) // timedelta(seconds=1)
    return _is_hung(Decimal(row["energy_kwh"]) - Decimal(before["energy_kwh"]), seconds, terms)


def _is_bad(row: Body, terms: Body) -> bool:
    """Return whether a reading shows errors, or energy drawn while nothing ran."""
    said = row["evidence"]
    if said.get("xid_errors", 0) >= terms.get("reading_xid_errors_min", 1):
        return True
    idle, drawn = said.get("gpu_utilisation"), said.get("energy_kwh")
    if idle is None or drawn is None or Decimal(idle):
        return False
    return _is_hung(Decimal(drawn), row["gpu_seconds"], terms)


def _is_hung(energy_kwh: Decimal, seconds: int, terms: Body) -> bool:
    return energy_kwh * _WATT_SECONDS > int(terms.get("idle_watts_max", 200)) * seconds
