"""Checks claims on bonds: who claims and when, and what the hours come to that an early end leaves undelivered.

The startup that pays for a grant claims; the holder that bears a part of the price does only in the last days. What is
not delivered after an end by the provider's fault, and what its startup took off a late grant beyond the cure time, is
computed from the grant's span. A damage or make-whole is the grant's share of the price that the provider is owed or,
of the seller of resold hours, of what it is paid beyond. How many hours of a period failed depends on meters and
outages, and is not computed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from marketplace.auditor.bearing import find_added, find_bearer
from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Findings, Message

CLAIM_WITHIN: Final = timedelta(days=30)
HOLDER_WITHIN: Final = timedelta(days=7)
_HALF_CENT: Final = Fraction(1, 200)
_SHARES: Final = {"make_whole": "make_whole_share", "damages": "damages_share"}
Body = Mapping[str, Any]


@dataclass(slots=True)
class Lost:
    """What one early end, or hours taken off, leaves undelivered: a span, of this many nodes at least and at most."""

    start: datetime
    end: datetime
    nodes_min: int
    nodes_max: int


@dataclass(slots=True)
class Grant:
    """A grant as issued, and what of it is not delivered by its provider's fault.

    Attributes:
        issued: The event that issued it, with its last mark.
        start: When it begins.
        end: When it ends.
        spans: Its nodes over time; resold and withheld ones are negative.
        withheld: Since when delivery is withheld.
        cure_left: What is left of the cure time for hours taken off.
        lost: What is lost, in order.
        fees: What the provider paid for early ends that no claim covers yet.
        claimed: How much of `lost` the claims against each party cover.
        last: When it would have ended without the last end by its provider's fault.
    """

    issued: Body
    start: datetime
    end: datetime
    spans: list[Load]
    cure_left: timedelta
    last: datetime
    withheld: datetime | None = None
    lost: list[Lost] = field(default_factory=list)
    fees: Decimal = Decimal(0)
    claimed: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> datetime:
        """Return the end of the last hour for which something may be owed."""
        return max(self.end, self.last)

    def count(self, party_id: str, *, most: bool) -> int:
        """Return the GPU-seconds that were lost since the last claim against a party, at least or at most."""
        loads = list(self.spans)
        if self.withheld is not None:
            loads.append(Load(self.withheld, self.over, -self.issued["nodes"]))
        total = Fraction(0)
        for lost in self.lost[self.claimed.get(party_id, 0) :]:
            limit = lost.nodes_max if most else lost.nodes_min
            marks = {lost.start, lost.end, *(at for load in loads for at in (load.start, load.end))}
            for start, end in pairwise(sorted(at for at in marks if lost.start <= at <= lost.end)):
                own = sum(load.amount for load in loads if load.start <= start < load.end)
                total += max(min(own, limit), 0) * Fraction((end - start) / timedelta(microseconds=1))
        return int(total * self.issued["gpus_per_node"] / 1_000_000)


@dataclass(slots=True)
class Claims:
    """Folds grants, and checks the claims for their hours.

    Attributes:
        grants: Every grant.
        periods: When the period of each statement ends.
    """

    findings: Findings
    grants: dict[str, Grant] = field(default_factory=dict)
    periods: dict[str, datetime] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            kind, body = message.event_type.removesuffix(".v1"), message.read()
            if kind == "grant.issued":
                self.grants[body["grant_id"]] = _begin(body)
            elif kind == "statement.issued":
                self.periods[body["statement_id"]] = parse_instant(body["period_end"])
            elif kind == "bond.claimed":
                self._check(message, body)
            elif kind.startswith("grant.") and (grant := self.grants.get(body.get("grant_id", ""))) is not None:
                _follow(kind, body, grant)

    def _check(self, message: Message, body: Body) -> None:
        grant, by, actor = self.grants.get(body["grant_id"]), body["by"], message.headers.get("ce-actor", "")
        holder_id = None if grant is None else _find_holder(grant.issued)
        text = f"{body['claim_id']} names {body.get('holder_id')} as the holder that pays, it is {holder_id}"
        self.findings.require(body.get("holder_id") == holder_id, "claim", message.sequence, text)
        claimant = holder_id if by == "holder" else body["startup_id"]
        is_theirs = actor == claimant or (by == "startup" and not actor.startswith("pty_")) or grant is None
        text = f"{actor} claims {body['claim_id']} as the {by}, which is {claimant}"
        self.findings.require(is_theirs, "claim", message.sequence, text)
        if grant is None:
            return
        is_end = body.get("statement_id") is None
        over = grant.over if is_end else self.periods.get(body["statement_id"], grant.start)
        made = parse_instant(body["made_at"])
        text = f"{body['claim_id']} is claimed by its holder at {made}, while its startup alone may claim"
        right = by == "startup" or made >= over + CLAIM_WITHIN - HOLDER_WITHIN
        self.findings.require(right, "claim", message.sequence, text)
        self._check_items(message, body, grant)
        if is_end:
            text = f"{body['claim_id']} is claimed at {made}, more than {CLAIM_WITHIN.days} days after {over}"
            self.findings.require(made < over + CLAIM_WITHIN, "claim", message.sequence, text)
            self._check_end(message, body, grant)

    def _check_items(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that the hours without a replacement are priced by the grant's share of what the party is paid."""
        resale, price = grant.issued.get("resale") or {}, Fraction(grant.issued["price_usd_per_gpu_hour"])
        owed = Fraction(resale.get("owed_usd_per_gpu_hour", price))
        if body["party_id"] == resale.get("seller_id"):
            owed = price - owed
        text = f"{body['claim_id']} is against {body['party_id']}, which is paid nothing for the hours"
        right = owed > 0 and body["party_id"] in {resale.get("seller_id"), grant.issued["provider_id"]}
        self.findings.require(right, "claim", message.sequence, text)
        terms = (grant.issued.get("ends") or {}).get("remedies") or {}
        for item in body["items"]:
            if item["remedy"] in _SHARES:
                share = Fraction(terms.get(_SHARES[item["remedy"]], 0))
                due = owed * share * item["gpu_seconds"] / 3600
                right = abs(Fraction(item["amount_usd"]) - due) <= _HALF_CENT
                text = f"{body['claim_id']} asks {item['amount_usd']} USD of {item['remedy']}, {due} are due"
                self.findings.require(right, "claim", message.sequence, text)

    def _check_end(self, message: Message, body: Body, grant: Grant) -> None:
        """Check that a claim of early ends is for what these leave undelivered, less what the provider paid for it."""
        party_id = body["party_id"]
        least, most = grant.count(party_id, most=False), grant.count(party_id, most=True)
        claimed, parts = sum(item["gpu_seconds"] for item in body["items"]), len(body["items"])
        text = f"{body['claim_id']} claims {claimed} GPU-seconds of early ends, they leave {least} to {most}"
        self.findings.require(least - parts <= claimed <= most, "claim", message.sequence, text)
        credited = Decimal(body["credited_usd"])
        fees, grant.claimed[party_id] = Decimal(0), len(grant.lost)
        if party_id == grant.issued["provider_id"]:
            fees, grant.fees = grant.fees, fees
        text = f"{body['claim_id']} subtracts {credited} USD, {fees} were paid for the early ends"
        self.findings.require(credited == fees, "claim", message.sequence, text)


def _begin(body: Body) -> Grant:
    start, end = parse_instant(body["start"]), parse_instant(body["end"])
    terms = (body.get("ends") or {}).get("remedies") or {}
    cure = timedelta(hours=terms.get("cure_hours", 0))
    return Grant(body, start, end, [Load(start, end, body["nodes"])], cure, start)


def _find_holder(issued: Body) -> str | None:
    """Return the holder that bears a part of a grant's price; None if nobody does."""
    if find_bearer(issued)[0] is not None:
        return str(issued["equity"]["holder_id"])
    return None if find_added(issued)[0] is None else str(issued["resale"]["seller_id"])


def _follow(kind: str, body: Body, grant: Grant) -> None:
    nodes = grant.issued["nodes"]
    match kind:
        case "grant.marked":
            grant.issued = {**grant.issued, "mark": body["mark"]}
        case "grant.extended":
            grant.end = parse_instant(body["end"])
            grant.spans.append(Load(parse_instant(body["start"]), grant.end, nodes))
        case "grant.resold":
            grant.spans.append(Load(parse_instant(body["start"]), parse_instant(body["end"]), -body["nodes"]))
        case "grant.withheld":
            grant.withheld = parse_instant(body["at"])
        case "grant.withholding_ended":
            grant.spans.append(Load(parse_instant(body["since"]), parse_instant(body["at"]), -nodes))
            grant.withheld = None
        case "grant.rescheduled":
            _reschedule(body, grant)
        case "grant.terminated":
            _terminate(body, grant)
        case _:
            pass


def _reschedule(body: Body, grant: Grant) -> None:
    nodes, before = grant.issued["nodes"], parse_instant(body["start_before"])
    start, end = parse_instant(body["start"]), parse_instant(body["end"])
    if body["gpu_seconds_cut"]:
        used = min(grant.cure_left, start - before)
        grant.cure_left -= used
        if before + used < start:
            grant.lost.append(Lost(before + used, start, nodes, nodes))
            grant.spans.append(Load(before, start, nodes))
    grant.spans[0] = Load(start, end, nodes)
    grant.start, grant.end = start, end


def _terminate(body: Body, grant: Grant) -> None:
    at, noticed, nodes = parse_instant(body["at"]), parse_instant(body["noticed_at"]), grant.issued["nodes"]
    for_cause = body.get("for_cause", False)
    if body["by"] == ("startup" if for_cause else "provider"):
        least = body.get("nodes_failed", 0) if for_cause else nodes
        grant.lost.append(Lost(at, grant.end, least, nodes))
        grant.last = max(grant.last, grant.end, noticed)
        grant.fees += Decimal(body.get("fee_usd", "0")) if body["by"] == "provider" else 0
    grant.end = at
