"""Checks that rounding to whole shares takes little from money that becomes stock, and gives little to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

_PART: Final = Fraction(1, 100)
"""The greatest part of its shares that money may lose or gain."""
_DOLLAR: Final = 1
"""What it may gain in any case."""
Body = Mapping[str, Any]


@dataclass(slots=True)
class Sum:
    """Dollars that become stock in one decision, and their exact and whole shares."""

    dollars: Fraction = Fraction(0)
    exact: Fraction = Fraction(0)
    shares: int = 0

    def find_fault(self) -> str | None:
        """Return what is wrong with the rounding; None if nothing is."""
        given = self.shares - self.exact
        if -given > self.exact * _PART:
            return "loses"
        return "gains" if given > self.exact * _PART and given * self.dollars > _DOLLAR * self.exact else None


@dataclass(slots=True)
class Rounding:
    """Folds the pricing of rounds and what is paid at once, and checks conversions and allotments.

    Principal of stock for compute is left out: what bought no whole share is carried into its next conversion.

    Attributes:
        at_once: Instruments that are paid at once.
        pricings: The last pricing of each round.
    """

    findings: Findings
    at_once: set[str] = field(default_factory=set)
    pricings: dict[str, Body] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command. What was imported was rounded elsewhere."""
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        converted: dict[str, Sum] = {}
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name == "instrument.issued" and body["funding"] == "paid_at_once":
                self.at_once.add(body["instrument_id"])
            elif name == "issuer.financing_priced":
                self.pricings[body["financing_id"]] = body["pricing"]
            elif name == "instrument.converted" and not imports:
                self._add(converted, body)
            elif name == "issuer.financing_closed" and not imports:
                self._check_round(message, body)
        for instrument_id, found in converted.items():
            fault = found.find_fault()
            text = f"{instrument_id} {fault} by rounding {found.exact} shares to {found.shares}"
            self.findings.require(fault is None, "rounding", decision[-1].sequence, text)

    def _add(self, converted: dict[str, Sum], body: Body) -> None:
        instrument_id, price = body["instrument_id"], Fraction(body["price_usd_per_share"])
        if body["branch"] == "agreed_price" and instrument_id not in self.at_once:
            return
        found = converted.setdefault(instrument_id, Sum())
        found.dollars += Fraction(body["amount_exact"])
        found.exact += Fraction(body["amount_exact"]) / price
        found.shares += body["shares"]

    def _check_round(self, message: Message, body: Body) -> None:
        pricing = self.pricings.get(body["financing_id"], {"allotments": ()})
        for each in pricing["allotments"]:
            dollars = Fraction(each["amount_usd"])
            found = Sum(dollars, dollars / Fraction(pricing["price_exact"]), each["shares"])
            text = f"{each['holder_id']} gains in {body['financing_id']} by rounding {found.exact} to {found.shares}"
            self.findings.require(found.find_fault() != "gains", "rounding", message.sequence, text)
