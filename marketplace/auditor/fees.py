"""Checks fees: a held quote and an early end cost what was agreed, once, from the side that owes it to the other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_Payment = tuple[str, str, Decimal, str]
"""Payer, payee, amount and cause."""


@dataclass(slots=True)
class Fees:
    """Folds the fees of quotes and grants.

    Attributes:
        quotes: Who pays, who is paid, the fee agreed and the hold, by quote.
        grants: The accounts of startup and provider, and the end terms, by grant.
    """

    findings: Findings
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Take one decision: the fees that it states are the payments that it makes."""
        owed: Counter[_Payment] = Counter()
        paid: Counter[_Payment] = Counter()
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name in {"account.hold_captured", "account.debited"}:
                body = message.read()
                if body["cause"] in self.quotes or body["cause"] in self.grants:
                    paid[body["account_id"], body["payee_account_id"], Decimal(body["amount_usd"]), body["cause"]] += 1
            elif name in {"quote.held", "grant.issued"}:
                self._begin(name, message.read())
            elif name in {"quote.released", "quote.expired"}:
                self._end_quote(name, message, owed)
            elif name == "grant.terminated":
                self._end_grant(message, owed)
        for payment in owed.keys() | paid.keys():
            if owed[payment] != paid[payment]:
                payer, payee, amount, cause = payment
                times = f"{paid[payment]} times, and owes it {owed[payment]} times"
                text = f"{payer} pays {payee} {amount} USD for {cause} {times}"
                self.findings.add("fee", decision[0].sequence, text)

    def _begin(self, name: str, body: dict[str, Any]) -> None:
        if name == "grant.issued":
            self.grants[body["grant_id"]] = body
        elif body.get("fee"):
            self.quotes[body["quote_id"]] = {"account_id": body["account_id"], **body["fee"]}

    def _end_quote(self, name: str, message: Message, owed: Counter[_Payment]) -> None:
        body = message.read()
        quote, fee = self.quotes.get(body["quote_id"]), Decimal(body.get("fee_usd", "0"))
        agreed = ZERO if quote is None else Decimal(quote["fee_usd"])
        right = fee == agreed if name == "quote.expired" else ZERO <= fee <= agreed
        self.findings.require(right, "fee", message.sequence, f"{name} {body['quote_id']} costs {fee} of {agreed} USD")
        if fee and quote is not None:
            owed[quote["account_id"], quote["payee_account_id"], fee, body["quote_id"]] += 1

    def _end_grant(self, message: Message, owed: Counter[_Payment]) -> None:
        body, fee = message.read(), Decimal(message.read().get("fee_usd", "0"))
        grant = self.grants.get(body["grant_id"])
        if grant is None or not fee:
            return
        sides = grant["startup_account_id"], grant["provider_account_id"]
        payer, payee = sides if body["by"] == "startup" else sides[::-1]
        terms = grant.get("ends")
        free = terms is None or body.get("for_cause", False) or body["by"] == "platform"
        self.findings.require(not free, "fee", message.sequence, f"{body['grant_id']} ends free of a fee, not of {fee}")
        owed[payer, payee, fee, body["grant_id"]] += 1
