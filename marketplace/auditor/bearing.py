"""Checks who gets what a provider owes for undelivered hours: those who bear their price, each its share.

The seller that adds to the price of resold capacity gets that part of what no replacement replaces. Of the rest, the
holder of a grant's equity gets the share of the price that it pays, rounded down, and the startup the rest; all is
the startup's where the provider takes the equity, or is related to who does. The fee of a provider's early end is
divided by `Fees`, by the same rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

_CENT: Final = Decimal("0.01")
Body = Mapping[str, Any]


def find_bearer(grant: Body) -> tuple[str | None, Fraction]:
    """Return the account that bears a part of a grant's price besides the startup's, and the part; None and 0: none."""
    equity = grant.get("equity") or {}
    account_id = equity.get("holder_account_id")
    if account_id is None or grant.get("mark") == "own_capacity":
        return None, Fraction(0)
    return account_id, 1 - Fraction(grant["cash_share"])


def find_added(grant: Body) -> tuple[str | None, Fraction]:
    """Return the account of the seller that adds to the price of resold capacity, and the part; None and 0: none."""
    resale = grant.get("resale") or {}
    paid = Fraction(grant.get("price_usd_per_gpu_hour", 0))
    owed = Fraction(resale.get("owed_usd_per_gpu_hour", paid))
    return (resale["seller_account_id"], 1 - paid / owed) if paid < owed else (None, Fraction(0))


def floor(amount: Fraction) -> Decimal:
    """Return dollars rounded down to the cent."""
    return Decimal((amount * 100).__floor__()).scaleb(-2)


@dataclass(slots=True)
class Bearing:
    """Folds grants and checks claims and their payments.

    Attributes:
        grants: The event that issued each grant, with its last mark.
        claims: What each claim claims, and of that, what each account of a holder is to get.
        paid: What each claim was paid.
        got: What each account of a holder got, by claim.
    """

    findings: Findings
    grants: dict[str, Body] = field(default_factory=dict)
    claims: dict[str, tuple[Decimal, dict[str, Decimal]]] = field(default_factory=dict)
    paid: dict[str, Decimal] = field(default_factory=dict)
    got: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        touched: set[str] = set()
        for message in decision:
            if message.event_type == "grant.issued.v1":
                self.grants[message.read()["grant_id"]] = message.read()
            elif message.event_type == "grant.marked.v1":
                body = message.read()
                self.grants[body["grant_id"]] = {**self.grants.get(body["grant_id"], {}), "mark": body["mark"]}
            elif message.event_type == "bond.claimed.v1":
                self._take_claim(message, message.read())
            elif message.event_type == "bond.paid.v1":
                touched.add(self._take_payment(message.read()))
        for claim_id in touched:
            self._check_paid(claim_id, decision[0].sequence)

    def _take_claim(self, message: Message, body: Body) -> None:
        total = sum((Decimal(item["amount_usd"]) for item in body["items"]), Decimal(0))
        amount, due = Decimal(body["amount_usd"]), dict[str, Fraction]()
        for item in body["items"]:
            grant = self.grants.get(item.get("replacement_id") or body["grant_id"], {})
            account_id, share = find_bearer(grant)
            seller_id, added = (None, Fraction(0)) if item.get("replacement_id") else find_added(grant)
            for bearer_id, part in ((seller_id, added), (account_id, share * (1 - added))):
                if bearer_id is not None:
                    whole = Fraction(item["amount_usd"]) * part * Fraction(amount) / Fraction(total)
                    due[bearer_id] = due.get(bearer_id, Fraction(0)) + whole
        owed = {account_id: floor(part) for account_id, part in due.items() if floor(part)}
        stated = {one["account_id"]: Decimal(one["amount_usd"]) for one in body.get("holders", ())}
        text = f"{body['claim_id']} gives holders {stated}, they bear {owed}"
        self.findings.require(stated == owed, "bearing", message.sequence, text)
        self.claims[body["claim_id"]] = amount, stated

    def _take_payment(self, body: Body) -> str:
        claim_id, amount = str(body["claim_id"]), Decimal(body["amount_usd"])
        self.paid[claim_id] = self.paid.get(claim_id, Decimal(0)) + amount
        if body.get("holder_id"):
            key = claim_id, body["payee_account_id"]
            self.got[key] = self.got.get(key, Decimal(0)) + amount
        return claim_id

    def _check_paid(self, claim_id: str, sequence: int) -> None:
        """Check that holders have their shares of what was paid; beside others, a cent of one may wait."""
        if claim_id not in self.claims:
            return
        amount, holders = self.claims[claim_id]
        for account_id, whole in holders.items():
            due = floor(Fraction(whole) * Fraction(self.paid[claim_id]) / Fraction(amount))
            got = self.got.get((claim_id, account_id), Decimal(0))
            text = f"{account_id} got {got} of {self.paid[claim_id]} USD paid for {claim_id}, its share is {due}"
            right = due - _CENT * (len(holders) - 1) <= got <= due
            self.findings.require(right, "bearing", sequence, text)
        others = {account_id for known, account_id in self.got if known == claim_id} - set(holders)
        self.findings.require(not others, "bearing", sequence, f"{claim_id} pays {others}, which bear nothing of it")
