"""Checks that a mandate takes only instruments that its rules welcome: kinds, discounts, terms of notes, and a cap.

`ranges` checks the cap's amount. It also checks that no more of the price of an hour becomes principal than may.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

_KINDS: Final = {"safe": "safe", "note": "convertible_note", "warrant": "warrant", "stock": "stock"}
Terms = Mapping[str, Any]
PRINCIPAL_MAX: Final = 25
"""The most principal per GPU-hour, in USD."""
WORK_MAX: Final = 500
"""The most principal per hour of work, in USD."""


@dataclass(slots=True)
class Welcome:
    """Folds the rules of mandates, and checks the instruments that are signed under them.

    Attributes:
        terms: The rules in force, by mandate.
    """

    findings: Findings
    terms: dict[str, Terms] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            body = message.read()
            if message.event_type in {"mandate.granted.v1", "mandate.amended.v1"}:
                self.terms[body["mandate_id"]] = body["terms"]
            elif message.event_type in {"grant.issued.v1", "service_line.agreed.v1"} and body.get("equity"):
                self._check_price(body, message.sequence)
            elif message.event_type == "instrument.issued.v1" and body.get("mandate_id") in self.terms:
                today = parse_instant(message.headers["ce-time"]).date()
                for fault in _list_faults(self.terms[body["mandate_id"]], body["terms"], today):
                    text = f"{body['mandate_id']} takes {body['instrument_id']}, {fault}"
                    self.findings.add("mandate", message.sequence, text)

    def _check_price(self, body: Terms, sequence: int) -> None:
        """Check how much of the price of an hour of GPUs, or of work, becomes principal."""
        part, hours = body["equity"], body.get("hours")
        if hours is None:
            most, owed = PRINCIPAL_MAX, Fraction(part["principal_share"]) * Fraction(body["price_usd_per_gpu_hour"])
        else:
            most, owed = WORK_MAX, Fraction(part["principal_commitment_usd"]) / Fraction(hours)
        text = f"{part['instrument_id']} has {float(owed):.2f} of principal per hour; the most is {most}"
        self.findings.require(owed <= most, "mandate", sequence, text)


def _list_faults(rules: Terms, terms: Terms, today: date) -> Iterator[str]:
    """Yield what of an instrument's terms is outside the rules of its mandate."""
    kind = terms["kind"]
    if _KINDS[kind] not in rules["instrument_kinds"]:
        yield f"a {kind}"
    if kind not in {"safe", "note"}:
        return
    if kind == "safe" and rules.get("post_money_only") and terms.get("conversion_timing") != "post_money":
        yield "whose cap is pre-money"
    discount = Decimal(terms.get("discount") or 0)
    if terms.get("valuation_cap_usd") is None and not rules.get("uncapped", False):
        yield "which has no cap"
    if not Decimal(rules.get("discount_min") or 0) <= discount <= Decimal(rules.get("discount_max") or 1):
        yield f"with a discount of {discount}"
    if kind == "note":
        days = (date.fromisoformat(terms["matures_on"]) - today).days
        if not rules.get("note_days_min", 365) <= days <= rules.get("note_days_max", 1_096):
            yield f"which matures on {terms['matures_on']}"
        if Decimal(terms["annual_rate"]) < Decimal(rules.get("note_rate_min", "0.04")):
            yield f"with {terms['annual_rate']} of interest a year"
