"""Checks how far sellers of resold hours owe their buyers: no further than they staked and earned by the resale.

That is what a seller posted at the sale, what it received of the price in settled statements, less its fee of it, and
what it posted beyond for the lot, less what earlier claims come to.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
Body = Mapping[str, Any]


@dataclass(slots=True)
class Reaches:
    """Folds resales, what sellers posted and received, and checks the claims against them.

    Attributes:
        resales: The resale part of each grant of resold hours.
        posted: Dollars that each lot's part of a bond was given, less what was released.
        earned: Dollars that the seller received of each grant's price.
        claims: By claim against a seller, its grant and what it comes to.
    """

    findings: Findings
    resales: dict[str, Body] = field(default_factory=dict)
    posted: Counter[str] = field(default_factory=Counter)
    earned: Counter[str] = field(default_factory=Counter)
    claims: dict[str, tuple[str, Decimal]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name == "grant.issued" and body.get("resale"):
                self.resales[body["grant_id"]] = body["resale"]
            elif name in {"bond.posted", "bond.released"} and body["lot_id"] is not None:
                sign = 1 if name == "bond.posted" else -1
                self.posted[body["lot_id"]] += sign * Decimal(body["amount_usd"])  # type: ignore[assignment]
            elif name in {"statement.accepted", "statement.credited"}:
                self._settle(body, -1 if name == "statement.credited" else 1)
            elif name == "bond.claimed":
                self._check(message, body)
            elif name == "bond.answered" and body["claim_id"] in self.claims and body["outcome"] != "contested":
                self.claims[body["claim_id"]] = self.claims[body["claim_id"]][0], Decimal(body["amount_usd"])

    def _settle(self, body: Body, sign: int) -> None:
        charges = body["charges"]
        received = Decimal(charges.get("reseller_receives_usd", "0"))
        if received:
            got = received - Decimal(charges.get("reseller_fee_usd", "0"))
            self.earned[body["grant_id"]] += sign * got  # type: ignore[assignment]

    def _check(self, message: Message, body: Body) -> None:
        grant_id, stated = body["grant_id"], body.get("reach_usd")
        resale = self.resales.get(grant_id) or {}
        is_seller = body["party_id"] == resale.get("seller_id")
        text = f"{body['claim_id']} against {body['party_id']} reaches as far as {stated}"
        self.findings.require((stated is not None) == is_seller, "reach", message.sequence, text)
        if stated is None or not is_seller:
            return
        reach = self._find_reach(grant_id, resale["lot_id"])
        text = f"{body['claim_id']} reaches as far as {stated} USD, its seller staked and earned {reach}"
        self.findings.require(Decimal(stated) == reach, "reach", message.sequence, text)
        self.claims[body["claim_id"]] = grant_id, Decimal(body["amount_usd"])

    def _find_reach(self, grant_id: str, lot_id: str) -> Decimal:
        """Return what the seller of a grant's hours may still come to owe."""
        beyond, own = Decimal(self.posted[lot_id]), ZERO
        for other_id, resale in self.resales.items():
            if resale["lot_id"] == lot_id:
                staked = Decimal(resale.get("bond_usd", "0"))
                asked = sum((amount for owner, amount in self.claims.values() if owner == other_id), ZERO)
                left = staked + Decimal(self.earned[other_id]) - asked
                beyond -= staked
                if other_id == grant_id:
                    own = left
                elif asked > staked:
                    beyond += min(left, ZERO)
        return own + max(beyond, ZERO)
