"""Checks that a company keeps the cash of its declared sale for the holders, and keeps none once the sale is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

_OVER: Final = ("issuer.liquidity_withdrawn.v1", "issuer.distribution_paid.v1")
_FREE: Final = (Decimal(0), "")


@dataclass(slots=True)
class Proceeds:
    """Folds sales and what accounts keep.

    Attributes:
        due: The dollars of each declared sale, and until when they may be paid.
        kept: The dollars that are kept for each, and until when.
    """

    findings: Findings
    due: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    kept: dict[str, tuple[Decimal, str]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check the sales that it declares or ends."""
        touched = set[str]()
        for message in decision:
            body = message.read()
            if message.event_type == "issuer.liquidity_declared.v1":
                cash = sum((Decimal(each["cash_usd"]) for each in body["waterfall"]["payouts"]), Decimal(0))
                touched |= {body["liquidity_id"], body.get("replaces") or body["liquidity_id"]}
                self.due[body.get("replaces") or ""] = _FREE
                self.due[body["liquidity_id"]] = (cash, body["pay_until"]) if cash else _FREE
            elif message.event_type in _OVER:
                touched.add(body["liquidity_id"])
                self.due[body["liquidity_id"]] = _FREE
            elif message.event_type == "account.reserved.v1" and body["cause"].startswith("liq_"):
                touched.add(body["cause"])
                self._keep(body)
        for sale in sorted(touched):
            due, kept = self.due.get(sale, _FREE), self.kept.get(sale, _FREE)
            text = f"{sale} has {due[0]} USD to pay until {due[1] or 'no time'}, and {kept[0]} is kept until {kept[1]}"
            self.findings.require(due == kept, "reserve", decision[-1].sequence, text)

    def _keep(self, body: Mapping[str, Any]) -> None:
        amount = Decimal(body["amount_usd"])
        self.kept[body["cause"]] = (amount, body["until"]) if amount else _FREE
