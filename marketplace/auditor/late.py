"""Checks what a provider's late word takes of who resold its hours: nothing 60 days after the charge could be accepted.

The seller keeps its part of what it agreed to in a dispute of the period. No later word of its provider takes it. A
buyer may claim from the seller only as long as the seller gives money back. Nothing charges again the hours of which
the seller keeps its part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.bearing import floor
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_WITHIN: Final = timedelta(days=60)
Body = Mapping[str, Any]


@dataclass(slots=True)
class Charge:
    """A charge of resold hours.

    Attributes:
        until: When their seller's part of it is its own.
        gpu_seconds: What it charges now; settled or still in dispute.
        part: What the seller received of it; 0 until it is settled.
        floor: To how many GPU-seconds the seller agreed at the least in a dispute; None: it said nothing.
    """

    until: datetime
    gpu_seconds: int
    part: Decimal = ZERO
    floor: int | None = None


@dataclass(slots=True)
class Period:
    """A statement period of resold hours.

    Attributes:
        charges: Its charges, the first one being its statement's.
        credited: GPU-seconds credited.
        returned: What the seller gave back of it.
        bound: What was charged, and the count before, at the last credit of which the seller kept a part.
    """

    charges: list[Charge] = field(default_factory=list)
    credited: int = 0
    returned: Decimal = ZERO
    bound: tuple[int, int] | None = None

    def count(self) -> int:
        """Return the GPU-seconds that it charges in all."""
        return sum(charge.gpu_seconds for charge in self.charges) - self.credited


@dataclass(slots=True)
class Late:
    """Folds statements of resold hours, and checks credits and claims against them.

    Attributes:
        periods: By grant and first instant.
        statements: The period and the charge of each statement.
    """

    findings: Findings
    periods: dict[tuple[str, str], Period] = field(default_factory=dict)
    statements: dict[str, tuple[Period, Charge]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name in {"statement.issued", "statement.credited"} and body.get("reseller_id"):
                period = self.periods.setdefault((body["grant_id"], body["period_start"]), Period())
                (self._issue if name == "statement.issued" else self._credit)(message, body, period)
            elif name == "bond.claimed" and (known := self._find_claimed(body)):
                text = f"{body['claim_id']} is made after {known.until}, when the seller's part is its own"
                self.findings.require(parse_instant(body["made_at"]) < known.until, "late", message.sequence, text)
            elif name.startswith("statement.") and body["statement_id"] in self.statements:
                self._follow(name, body, self.statements[body["statement_id"]][1])

    def _find_claimed(self, body: Body) -> Charge | None:
        """Return the first charge of the period that a claim on a seller is about; None for any other claim."""
        if body.get("reach_usd") is None or body.get("statement_id") not in self.statements:
            return None
        return self.statements[body["statement_id"]][0].charges[0]

    def _issue(self, message: Message, body: Body, period: Period) -> None:
        more = body["charges"]["gpu_seconds"]
        if period.bound is not None:
            settled, seen = period.bound
            most = max(settled - period.count(), 0) + max(body["adjustment"]["gpu_seconds_after"] - seen, 0)
            text = f"{body['statement_id']} charges {more} GPU-seconds, and {most} are beyond those its seller was paid"
            self.findings.require(more <= most, "late", message.sequence, text)
        charge = Charge(parse_instant(body["accept_until"]) + _WITHIN, more)
        period.charges.append(charge)
        self.statements[body["statement_id"]] = period, charge

    def _follow(self, name: str, body: Body, charge: Charge) -> None:
        by_provider = body.get("by") == "provider"
        if name == "statement.answered" and body["by"] == "reseller":
            offered = body.get("gpu_seconds_offered")
            charge.floor = charge.gpu_seconds if offered is None else offered
        elif name in {"statement.accepted", "statement.resolved"} or (name == "statement.conceded" and by_provider):
            charge.gpu_seconds = body["charges"]["gpu_seconds"]
            if name == "statement.accepted":
                charge.part = Decimal(body["charges"].get("reseller_receives_usd", "0"))

    def _credit(self, message: Message, body: Body, period: Period) -> None:
        less, at = body["charges"]["gpu_seconds"], parse_instant(message.headers["ce-time"])
        gives = Decimal(body["charges"].get("reseller_receives_usd", "0"))
        keeps = Decimal(body.get("reseller_keeps_usd", "0"))
        recent = sum((charge.part for charge in period.charges if at < charge.until), -period.returned)
        agreed = sum(min(one.floor, one.gpu_seconds) for one in period.charges if one.floor is not None)
        beyond = Fraction(min(max(period.count() - agreed, 0), less), less or 1)
        due = min(max(recent, ZERO), floor(Fraction(gives + keeps) * beyond))
        text = f"the seller of {body['statement_id']} gives back {gives} USD and keeps {keeps}, and {due} are due"
        self.findings.require(gives == due, "late", message.sequence, text)
        period.credited, period.returned = period.credited + less, period.returned + gives
        if keeps:
            period.bound = period.count(), body["adjustment"]["gpu_seconds_before"]
