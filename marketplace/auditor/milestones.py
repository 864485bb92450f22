"""Checks what warrants vest: the deliveries and dollars that they count, and that milestones of a tranche are reached.

A warrant with a programme also counts grants and purchases that the programme names, so its sums are at least those of
its own grants. Milestones of power, of a price and of another company's record are not computed here; they count as
reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

_CENT: Final = Decimal("0.01")
Body = Mapping[str, Any]


@dataclass(slots=True)
class Delivered:
    """What was accepted of a grant, less credits, whether its parties are related, and who sells it."""

    mark: str | None = None
    sellers: frozenset[str] = frozenset()
    gpu_seconds: int = 0
    paid_usd: Decimal = Decimal(0)

    def counts_for(self, holder_id: str) -> bool:
        """Return whether a warrant that was issued to a party counts it: not what only that party calls related."""
        return self.mark != "related" and not (self.mark == "named" and holder_id in self.sellers)


@dataclass(slots=True)
class Milestones:
    """Folds grants, statements and warrants, and checks each vesting.

    Attributes:
        grants: What was accepted of each grant.
        warrants: The issue of each warrant.
        attested: The milestones that were attested, by warrant and name.
        vested: The tranches that vested in full, by warrant and number.
    """

    findings: Findings
    grants: dict[str, Delivered] = field(default_factory=dict)
    warrants: dict[str, Body] = field(default_factory=dict)
    attested: set[tuple[str, str]] = field(default_factory=set)
    vested: set[tuple[str, int]] = field(default_factory=set)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command. What was imported vested elsewhere."""
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        for message in decision:
            kind = message.event_type.removesuffix(".v1")
            if kind in {"grant.issued", "grant.marked", "statement.accepted", "statement.credited"}:
                self._count(kind, message.read())
        for message in decision:
            kind, body = message.event_type.removesuffix(".v1"), message.read()
            if kind == "issuer.warrant_issued":
                self.warrants[body["warrant_id"]] = body
            elif kind == "issuer.milestone_attested":
                self.attested.add((body["warrant_id"], body["milestone"]))
            elif kind == "issuer.warrant_vesting_reversed":
                self.vested.discard((body["warrant_id"], body["tranche"]))
                self._check_sums(message, body)
            elif kind == "issuer.warrant_vested":
                if not imports:
                    self._check_sums(message, body)
                    self._check_reached(message, body)
                if body["is_whole"]:
                    self.vested.add((body["warrant_id"], body["tranche"]))

    def _count(self, kind: str, body: Body) -> None:
        grant = self.grants.setdefault(body["grant_id"], Delivered())
        if kind.startswith("grant."):
            grant.mark = body.get("mark")
            if kind == "grant.issued":
                grant.sellers = frozenset({body["provider_id"], (body.get("resale") or {}).get("seller_id", "")})
        elif body.get("service_line_id") is None:
            sign = 1 if kind == "statement.accepted" else -1
            grant.gpu_seconds += sign * body["charges"]["gpu_seconds"]
            grant.paid_usd += sign * Decimal(body["charges"]["provider_usd"])

    def _check_sums(self, message: Message, body: Body) -> None:
        """Check what a vesting, or its reversal, says was accepted and paid under the grants of the warrant."""
        warrant = self.warrants.get(body["warrant_id"])
        if warrant is None:
            return
        counted = [self.grants.get(grant_id, Delivered()) for grant_id in warrant.get("grant_ids") or ()]
        counted = [grant for grant in counted if grant.counts_for(warrant["holder_id"])]
        seconds, paid = sum(one.gpu_seconds for one in counted), sum((one.paid_usd for one in counted), Decimal(0))
        told = body["gpu_seconds"], Decimal(body["paid_usd"])
        right = told == (seconds, paid)
        if warrant.get("programme_id"):
            right = told[0] >= seconds and told[1] >= paid
        text = f"{body['warrant_id']} counts {told[0]} GPU-seconds and {told[1]} USD, its grants have {seconds}, {paid}"
        self.findings.require(right, "warrant", message.sequence, text)

    def _check_reached(self, message: Message, body: Body) -> None:
        """Check that every condition of a tranche that vests has a milestone that is reached."""
        tranches = (self.warrants.get(body["warrant_id"]) or {}).get("tranches") or []
        terms = tranches[body["tranche"]] if body["tranche"] < len(tranches) else {}
        for condition in terms.get("conditions") or ():
            right = any(self._is_reached(milestone, body) for milestone in condition)
            text = f"tranche {body['tranche']} of {body['warrant_id']} vests, and none of {condition} is reached"
            self.findings.require(right, "warrant", message.sequence, text)
        proportion = terms.get("proportion")
        if proportion is not None and body["is_whole"]:
            dollars, due = Decimal(body[f"{proportion['basis']}_usd"]), Decimal(proportion["to_usd"])
            text = f"tranche {body['tranche']} of {body['warrant_id']} vests in full at {dollars} USD of {due}"
            self.findings.require(dollars >= due - _CENT, "warrant", message.sequence, text)

    def _is_reached(self, milestone: Body, body: Body) -> bool:
        match milestone["kind"]:
            case "delivered":
                return bool(body["gpu_seconds"] >= milestone["gpu_seconds"])
            case "amount":
                return Decimal(body[f"{milestone['basis']}_usd"]) >= Decimal(milestone["amount_usd"]) - _CENT
            case "date":
                return bool(body["on_day"] >= milestone["day"])
            case "attested":
                return (body["warrant_id"], milestone["name"]) in self.attested
            case "tranche":
                return (milestone.get("warrant_id") or body["warrant_id"], milestone["tranche"]) in self.vested
            case _:
                return True
