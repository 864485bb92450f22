"""Checks that what is set aside for a grant that is paid in advance still pays for the hours that are to come.

A payment leaves besides what open adjustments charge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import Load, parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_ROUNDING: Final = Fraction(5, 100)
"""Dollars by which the rounding of charges to cents may differ from the price of the hours."""
_SECONDS: Final = 3_600


@dataclass(slots=True)
class Prepaid:
    """A grant whose cash is all set aside at its match.

    Attributes:
        gpus_per_node: GPUs of one node.
        usd_per_second: What its startup pays in cash for a GPU-second, with its fee to the platform.
        loads: Its nodes over time, and, as negative amounts, those that were resold.
        end: When it ends.
    """

    gpus_per_node: int
    usd_per_second: Fraction
    loads: list[Load]
    end: datetime

    def price(self, since: datetime) -> Fraction:
        """Return the cash in dollars for the hours from an instant on."""
        spans = ((max(load.start, since), min(load.end, self.end), load.amount) for load in self.loads)
        nodes = sum(amount * max(int((end - start).total_seconds()), 0) for start, end, amount in spans)
        return nodes * self.gpus_per_node * self.usd_per_second


@dataclass(slots=True)
class Advances:
    """Folds grants that are paid in advance, and checks what is released of their holds.

    Attributes:
        grants: The grants that are not over, by id.
        holders: The grant of each hold.
        holds: Dollars that each hold has left.
        adjustments: The grant of each open adjustment, and the dollars of cash that it charges and that parts paid.
    """

    findings: Findings
    grants: dict[str, Prepaid] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    holds: dict[str, Decimal] = field(default_factory=dict)
    adjustments: dict[str, tuple[str, Decimal, Decimal]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check the holds that it lowers."""
        released: dict[str, Message] = {}
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name.startswith("account.hold_"):
                body = message.read()
                sign = 1 if name == "account.hold_placed" else -1
                self.holds[body["hold_id"]] = self.holds.get(body["hold_id"], ZERO) + sign * Decimal(body["amount_usd"])
                if name == "account.hold_released":
                    released[body["hold_id"]] = message
            elif name.startswith("grant."):
                self._follow(name, message.read())
            elif name.startswith("statement."):
                self._adjust(name, message.read())
        is_paid = any(message.event_type == "statement.accepted.v1" for message in decision)
        for hold_id, message in released.items():
            grant_id = self.holders.get(hold_id, "")
            grant = self.grants.get(grant_id)
            if grant is not None:
                needed = grant.price(parse_instant(message.headers["ce-time"]))
                if is_paid:  # a payment frees no more than open adjustments leave
                    open_usd = (usd - paid for owner, usd, paid in self.adjustments.values() if owner == grant_id)
                    needed += Fraction(sum(open_usd, ZERO))
                text = f"{hold_id} keeps {self.holds[hold_id]} USD, and what is open costs {float(needed):.2f}"
                right = Fraction(self.holds[hold_id]) >= needed - _ROUNDING
                self.findings.require(right, "prepaid", message.sequence, text)

    def _adjust(self, name: str, body: dict[str, Any]) -> None:
        """Fold what adjustments of compute charge until they are settled."""
        statement_id, charges = body["statement_id"], body.get("charges") or {}
        cash = sum((Decimal(charges.get(key, 0)) for key in ("cash_usd", "startup_fee_usd")), ZERO)
        if name == "statement.issued" and body.get("adjustment") and body.get("service_line_id") is None:
            self.adjustments[statement_id] = body["grant_id"], cash, ZERO
        elif name == "statement.accepted":
            self.adjustments.pop(statement_id, None)
        elif statement_id in self.adjustments and name in {"statement.resolved", "statement.part_settled"}:
            grant_id, usd, paid = self.adjustments[statement_id]
            known = (cash, paid) if name == "statement.resolved" else (usd, cash)
            self.adjustments[statement_id] = grant_id, *known

    def _follow(self, name: str, body: dict[str, Any]) -> None:
        grant_id = body["grant_id"]
        if name == "grant.issued" and not body.get("stages") and not Decimal(body.get("credit_usd") or 0):
            self.grants[grant_id] = _begin(body)
            self.holders[body["hold_id"]] = grant_id
        grant = self.grants.get(grant_id)
        if grant is None:
            return
        match name:
            case "grant.completed":
                del self.grants[grant_id]
            case "grant.terminated":
                grant.end = min(grant.end, parse_instant(body["at"]))
            case "grant.extended":
                start, grant.end = parse_instant(body["start"]), parse_instant(body["end"])
                grant.loads.append(Load(start, grant.end, grant.loads[0].amount))
            case "grant.rescheduled":
                start, grant.end = parse_instant(body["start"]), parse_instant(body["end"])
                away = [load for load in grant.loads if load.amount < 0]
                grant.loads = [Load(start, grant.end, grant.loads[0].amount), *away]
            case "grant.resold":
                grant.loads.append(Load(parse_instant(body["start"]), parse_instant(body["end"]), -body["nodes"]))
            case _:
                pass


def _begin(body: dict[str, Any]) -> Prepaid:
    start, end = parse_instant(body["start"]), parse_instant(body["end"])
    fee = Fraction((body.get("platform_fee") or {}).get("startup_share") or 0)
    cash = Fraction(body["price_usd_per_gpu_hour"]) * Fraction(body["cash_share"])
    return Prepaid(body["gpus_per_node"], cash * (1 + fee) / _SECONDS, [Load(start, end, body["nodes"])], end)
