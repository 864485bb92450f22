"""Checks staged grants: what each stage sets aside, its credit, when delivery is withheld, what withheld hours cost."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import parse_instant, render_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_ROUNDED: Final = Fraction(2, 100)
"""Price, cash and fee are rounded to the cent, one after the other."""
_HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class Staged:
    """One staged grant, from its events alone.

    Attributes:
        issued: Its first event.
        end: When it ends, as far as its first span goes.
        cure_until: Until when a stage that was missed may be paid; None: none was missed.
        withheld_at: Since when delivery is withheld; None: it is not.
        is_over: Whether every statement is paid, or nothing is to be.
        stages_paid: How many stages are paid.
        is_ended: Whether it was ended early. Then no event says that it is over.
        stated_until: Up to when statements were issued; None before the first one.
        unpaid: Its statements that are not accepted.
    """

    issued: dict[str, Any]
    end: datetime
    cure_until: datetime | None = None
    withheld_at: datetime | None = None
    is_over: bool = False
    stages_paid: int = 1
    is_ended: bool = False
    stated_until: datetime | None = None
    unpaid: set[str] = field(default_factory=set)

    def take_statement(self, name: str, body: dict[str, Any]) -> None:
        """Fold an event of one of its statements."""
        if name == "statement.issued" and body.get("service_line_id") is None:
            self.unpaid.add(body["statement_id"])
            self.stated_until = parse_instant(body["period_end"])
        elif name == "statement.accepted":
            self.unpaid.discard(body["statement_id"])
        if self.is_ended and self.stated_until is not None and self.stated_until >= self.end:
            self.is_over = not self.unpaid

    def price(self, gpu_hours: Fraction, *, with_fee: bool) -> Fraction:
        """Return the dollars of cash that GPU-hours cost, with the startup's part of the platform's fee or without."""
        fee = self.issued.get("platform_fee")
        share = Fraction(fee["startup_share"]) if with_fee and fee else Fraction(0)
        rate = Fraction(self.issued["price_usd_per_gpu_hour"]) * Fraction(self.issued["cash_share"])
        return rate * gpu_hours * (1 + share)

    def count(self, span: timedelta) -> Fraction:
        """Return the GPU-hours of all nodes over a span."""
        seconds = Fraction(span // timedelta(microseconds=1), 1_000_000)
        return int(self.issued["nodes"]) * int(self.issued["gpus_per_node"]) * seconds / 3_600

    def find_due(self, stage: int) -> datetime:
        """Return when a stage begins; the first one is 1."""
        return parse_instant(self.issued["start"]) + (stage - 1) * int(self.issued["stages"]["hours"]) * _HOUR

    def find_set_aside(self, stages_paid: int) -> Fraction:
        """Return the dollars that the first stages set aside in all, with the security and less the credit."""
        span = self.find_due(stages_paid + 1) - self.find_due(1) + self.issued["stages"]["security_hours"] * _HOUR
        whole = self.price(self.count(min(span, self.end - self.find_due(1))), with_fee=True)
        return max(whole - Fraction(self.issued.get("credit_usd", "0")), Fraction(0))


@dataclass(slots=True)
class Stages:
    """Folds the stages of grants.

    Attributes:
        grants: The staged ones, by id.
        holds: Dollars that were set aside in all, and neither released nor paid as the fee of an early end, by hold.
        limits: The most credit in dollars, by account and provider.
        taken: The dollars of credit that each hold takes, by account and provider.
    """

    findings: Findings
    grants: dict[str, Staged] = field(default_factory=dict)
    holds: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    limits: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    taken: dict[tuple[str, str], dict[str, Decimal]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check that it sets aside and pays what its events state."""
        captured: defaultdict[str, Decimal] = defaultdict(Decimal)
        steps: list[tuple[Message, str, dict[str, Any]]] = []
        freed: list[tuple[Message, dict[str, Any]]] = []
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name.startswith("account.hold_"):
                self._take_money(name, body, captured)
            elif name in {"account.credit_limited", "account.credit_committed"}:
                self._take_credit(message, name, body)
                freed += [(message, body)] if name == "account.credit_committed" else []
            elif name == "grant.issued" and body.get("stages"):
                self._check_credit(message, body)
                self.grants[body["grant_id"]] = Staged(body, parse_instant(body["end"]))
                steps.append((message, name, body))
            elif name.startswith("grant.") and body["grant_id"] in self.grants:
                steps.append((message, name, body))
        for message, name, body in steps:
            self._take_step(message, name, body, captured)
        self._take_statements(decision)
        for message, name, body in steps:
            if name == "grant.withholding_ended" and not body["is_paid"]:
                holds = self.grants[body["grant_id"]].end <= parse_instant(body["at"])
                self._require(message, f"{body['grant_id']} goes on although a stage was not paid", holds=holds)
        for message, body in freed:
            self._check_freed(message, body)

    def _take_statements(self, decision: Sequence[Message]) -> None:
        for message in decision:
            if message.event_type.startswith("statement."):
                body = message.read()
                if (grant := self.grants.get(body.get("grant_id", ""))) is not None:
                    grant.take_statement(message.event_type.removesuffix(".v1"), body)

    def _take_money(self, name: str, body: dict[str, Any], captured: defaultdict[str, Decimal]) -> None:
        """Add to what holds set aside in all. The fee of an early end pays no delivery."""
        amount = Decimal(body["amount_usd"])
        if name == "account.hold_placed":
            self.holds[body["hold_id"]] += amount
        elif name == "account.hold_captured":
            captured[body["cause"]] += amount
            if body["cause"] in self.grants or body["cause"].startswith("end_"):
                self.holds[body["hold_id"]] -= amount
        else:
            self.holds[body["hold_id"]] -= amount

    def _take_credit(self, message: Message, name: str, body: dict[str, Any]) -> None:
        """Check that holds take no more of a credit than its limit when each of them is placed."""
        lender_id = body["provider_id" if name == "account.credit_limited" else "lender_id"]
        key = body["account_id"], lender_id
        if name == "account.credit_limited":
            self.limits[key] = Decimal(body["limit_usd"])
            return
        amount, taken = Decimal(body["amount_usd"]), self.taken.setdefault(key, {})
        taken[body["hold_id"]] = amount
        limit, total = self.limits.get(key, ZERO), sum(taken.values())
        text = f"{body['account_id']} takes {total} USD of the credit of {lender_id}, of {limit}"
        self._require(message, text, holds=not amount or total <= limit)

    def _check_credit(self, message: Message, body: dict[str, Any]) -> None:
        """Check that a grant has no more credit than its hold takes of its own provider's."""
        credit, key = Decimal(body.get("credit_usd", "0")), (body["startup_account_id"], body["provider_id"])
        taken = self.taken.get(key, {}).get(body["hold_id"], ZERO)
        text = f"{body['grant_id']} has {credit} USD of credit, and its hold takes {taken}"
        self._require(message, text, holds=credit <= taken)
        text = f"{body['grant_id']} buys resold capacity on credit"
        self._require(message, text, holds=not credit or body.get("resale") is None)

    def _check_freed(self, message: Message, body: dict[str, Any]) -> None:
        """Check that a grant's credit stays taken until all of its statements are paid."""
        for grant_id, grant in self.grants.items():
            if grant.issued["hold_id"] == body["hold_id"] and not grant.is_over:
                credit = Decimal(grant.issued.get("credit_usd", "0"))
                text = (
                    f"{grant_id} has {credit} USD of credit, and its hold takes {body['amount_usd']} before it is over"
                )
                self._require(message, text, holds=credit <= Decimal(body["amount_usd"]))

    def _take_step(
        self, message: Message, name: str, body: dict[str, Any], captured: defaultdict[str, Decimal]
    ) -> None:
        grant = self.grants[body["grant_id"]]
        match name:
            case "grant.issued":
                self._check_set_aside(message, grant, 1)
            case "grant.rescheduled":
                grant.issued = {**grant.issued, "start": body["start"], "end": body["end"]}
                grant.end = parse_instant(body["end"])
                if body["gpu_seconds_cut"]:
                    self._check_set_aside(message, grant, grant.stages_paid)
            case "grant.completed":
                grant.is_over = True
            case "grant.terminated":
                grant.end = min(grant.end, parse_instant(body["at"]))
                grant.is_over, grant.is_ended = grant.end <= grant.find_due(1), True
            case "grant.stage_paid":
                grant.cure_until = None
                grant.stages_paid = body["stages_paid"]
                self._check_set_aside(message, grant, body["stages_paid"], Decimal(body["set_aside_usd"]))
            case "grant.stage_missed":
                due, now = grant.find_due(body["stage"]), parse_instant(message.headers["ce-time"])
                text = f"{body['grant_id']} misses stage {body['stage']}, which begins at {render_instant(due)}"
                self._require(message, text, holds=due <= now)
                grant.cure_until = parse_instant(body["cure_until"])
            case "grant.withheld":
                grant.withheld_at = parse_instant(body["at"])
                in_time = grant.cure_until is not None and grant.cure_until <= grant.withheld_at
                self._require(message, f"{body['grant_id']} is withheld in its cure time", holds=in_time)
            case "grant.withholding_ended":
                self._check_damages(message, grant, body, captured[body["payment_id"]])
                grant.withheld_at = None

    def _require(self, message: Message, text: str, *, holds: bool) -> None:
        self.findings.require(holds, "stage", message.sequence, text)

    def _check_set_aside(
        self, message: Message, grant: Staged, stages_paid: int, stated: Decimal | None = None
    ) -> None:
        """Check that a grant's hold got what its stages need, and what the event states."""
        held, due = self.holds[grant.issued["hold_id"]], grant.find_set_aside(stages_paid)
        on_credit = Decimal(grant.issued.get("credit_usd", "0"))
        # Statements that are due may need more than the stages.
        right = abs(Fraction(held) - due) <= _ROUNDED or (on_credit > 0 and held > due)
        right = right and stated in {None, held}
        text = f"{grant.issued['grant_id']} sets {held} USD aside for {stages_paid} stages, states {stated}"
        self._require(message, f"{text} and needs {due}", holds=right)

    def _check_damages(self, message: Message, grant: Staged, body: dict[str, Any], paid: Decimal) -> None:
        """Check that withheld hours are those since delivery was withheld, and cost at most their price, once."""
        since, at = parse_instant(body["since"]), parse_instant(body["at"])
        hours, damages = Fraction(body["gpu_seconds"], 3_600), Decimal(body["damages_usd"])
        named = body["grant_id"]
        is_counted = since == grant.withheld_at and hours <= grant.count(at - since)
        self._require(
            message, f"{named} was withheld for {hours} GPU-hours from {render_instant(since)}", holds=is_counted
        )
        most = grant.price(hours, with_fee=False)
        text = f"{named} owes {damages} USD for {hours} GPU-hours withheld, of at most {most}, and pays {paid}"
        self._require(message, text, holds=ZERO <= damages == paid and Fraction(damages) <= most + _ROUNDED)
