"""Checks what early ends cost: a share, by the length of notice, of the price of the hours that they cut.

The price is that of the side which ends the grant: what a startup pays, and what a provider is owed. A side that brings
its own end forward pays the difference too. The terms are the grant's own, or those of a deal: how large a deal was is
not computed exactly, so the terms of each size count that it may have had. What the platform ends for a side, as at a
pool's closing, costs no more than that, because the side pays what it has free. The announcement of a closing is the
notice for the fee; `causes` checks it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any, Final

from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Findings, Message

_HOUR: Final = timedelta(hours=1)
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """What an end left undelivered, in GPU-seconds, when it was announced, and by which side."""

    gpu_seconds: int
    noticed_at: datetime
    by: str


@dataclass(slots=True)
class Grant:
    """A grant, from its events alone.

    Attributes:
        issued: The event that issued it.
        end: When it ends now.
        hours: The hours that it had as it was issued, or as its startup changed its span.
        sold: The nodes that it resold.
        withheld: Since when its delivery was withheld, each time.
        cuts: Its early ends without cause.
    """

    issued: Body
    end: datetime
    hours: Fraction
    sold: list[Load] = field(default_factory=list)
    withheld: list[datetime] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    @property
    def price(self) -> Fraction:
        """Dollars of these hours of all of its GPUs."""
        gpus: int = self.issued["nodes"] * self.issued["gpus_per_node"]
        return self.hours * gpus * Fraction(self.issued["price_usd_per_gpu_hour"])

    def find_rate(self, by: str) -> Fraction:
        """Return the dollars of a GPU-hour for the side that ends it."""
        paid = str(self.issued["price_usd_per_gpu_hour"])
        owed = (self.issued.get("resale") or {}).get("owed_usd_per_gpu_hour", paid)
        return Fraction(paid if by == "startup" else owed)

    def count_left(self, at: datetime, end: datetime) -> int:
        """Return the GPU-seconds of a span that ends no earlier than the grant, less the resold ones."""
        sold = sum(load.amount * _count(max(load.start, at), load.end) for load in self.sold)
        nodes, gpus_per_node = int(self.issued["nodes"]), int(self.issued["gpus_per_node"])
        return (nodes * _count(at, end) - sold) * gpus_per_node

    def take(self, name: str, body: Body) -> None:
        """Fold one event."""
        match name:
            case "extended":
                self.end = parse_instant(body["end"])
            case "rescheduled":
                self.end = parse_instant(body["end"])
                self.hours = _count_hours(body)
            case "resold":
                self.sold.append(Load(parse_instant(body["start"]), parse_instant(body["end"]), body["nodes"]))
            case "withheld":
                self.withheld.append(parse_instant(body["at"]))
            case "terminated":
                at = parse_instant(body["at"])
                if not body.get("for_cause", False):
                    cut = Cut(self.count_left(at, self.end), parse_instant(body["noticed_at"]), body["by"])
                    self.cuts.append(cut)
                self.end = at
            case _:
                pass


@dataclass(slots=True)
class Ends:
    """Folds grants, and checks the notice and the fee of each early end.

    Attributes:
        grants: Every grant.
    """

    findings: Findings
    grants: dict[str, Grant] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "grant":
                body = message.read()
                if name == "issued":
                    end, hours = parse_instant(body["end"]), _count_hours(body)
                    self.grants[body["grant_id"]] = Grant(body, end, hours)
                grant = self.grants.get(body["grant_id"])
                if grant is not None and name == "terminated":
                    self._check(message, body, grant)
                if grant is not None:
                    grant.take(name, body)

    def _check(self, message: Message, body: Body, grant: Grant) -> None:
        now, noticed = parse_instant(message.headers["ce-time"]), parse_instant(body["noticed_at"])
        is_own = message.headers.get("ce-actor", "").startswith("pty_")
        told = {now} if is_own else {now, *grant.withheld}
        text = f"{body['grant_id']} ends by a notice of {body['noticed_at']}, which nobody gave then"
        self.findings.require(noticed in told, "fee", message.sequence, text)
        if body.get("for_cause", False) or body["by"] == "platform":
            return
        fee, fees = Fraction(body.get("fee_usd", 0)), [*self._list_fees(body, grant)]
        right = fee in fees if is_own else 0 <= fee <= max(fees)
        due = " or ".join(f"{float(each):.2f}" for each in fees)
        text = f"{body['grant_id']} ends for a fee of {float(fee):.2f} USD, {due} are due"
        self.findings.require(right, "fee", message.sequence, text)

    def _list_fees(self, body: Body, grant: Grant) -> Iterator[Fraction]:
        """Yield the fee of an early end by the terms of each size that its deal may have."""
        least, most, issued = grant.price, self._sum_deal(grant), grant.issued
        steps = sorted(issued.get("notices") or (), key=lambda each: Fraction(each["value_usd_min"]))
        known = [each for each in (issued.get("ends"), *steps) if each is not None]
        sizes = [Fraction(each["value_usd_min"]) for each in known]
        sure = [size for each, size in zip(known, sizes, strict=True) if size <= least or each is issued.get("ends")]
        base = max(sure, default=None)
        if base is None:
            yield Fraction(0)
        for terms, size in zip(known, sizes, strict=True):
            if size == base or ((base is None or size > base) and size <= most):
                yield self._compute(body, grant, terms.get("fees", ()))

    def _sum_deal(self, grant: Grant) -> Fraction:
        """Return the most that a deal may be: all grants ever that a startup has from a provider."""
        names = ("startup_account_id", "provider_id")
        same = (each for each in self.grants.values() if all(each.issued[one] == grant.issued[one] for one in names))
        return sum((each.price for each in same), Fraction(0))

    def _compute(self, body: Body, grant: Grant, fees: Sequence[Body]) -> Fraction:
        at, noticed = parse_instant(body["at"]), parse_instant(body.get("announced_at") or body["noticed_at"])
        rate, by = grant.find_rate(body["by"]), body["by"]

        def price(cut: Cut, end: datetime) -> Fraction:
            shares = [each["share"] for each in fees if end - cut.noticed_at >= each["notice_hours_min"] * _HOUR]
            cents = rate * cut.gpu_seconds / 3600 * Fraction(shares[-1] if shares else 0) * 100
            return Fraction(ceil(cents), 100)

        again = (max(price(cut, at) - price(cut, grant.end), Fraction(0)) for cut in grant.cuts if cut.by == by)
        return sum(again, price(Cut(grant.count_left(at, grant.end), noticed, by), at))


def _count(start: datetime, end: datetime) -> int:
    return max((end - start) // timedelta(seconds=1), 0)


def _count_hours(body: Body) -> Fraction:
    return Fraction(_count(parse_instant(body["start"]), parse_instant(body["end"])), 3600)
