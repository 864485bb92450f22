"""Checks what stands beside a round: no split or sale while one is open, what its duties take, and room for one.

Post-money SAFEs at their caps ask for less than the whole company together, because no round could close otherwise. A
most-favoured one counts at the lowest post-money cap of which its holder got notice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Issuer
from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.votes import Votes

_APART: Final = frozenset({"issuer.stock_split", "issuer.liquidity_declared", "issuer.financing_opened"})
"""What does not begin while a round is open."""
_EXPOSES: Final = frozenset(
    {
        "issuer.dilution_limited",
        "issuer.exposure_recorded",
        "issuer.financing_closed",
        "issuer.instrument_signed",
    }
)
"""What changes how much instruments and orders may become."""
Body = Mapping[str, Any]


@dataclass(slots=True)
class Rounds:
    """Checks rounds. It takes a decision after the votes and before the cap tables do.

    Attributes:
        votes: The rounds and instruments after a decision, and the cap tables before it.
        asked: The part of each issuer that its post-money SAFEs asked for after the last decision.
    """

    findings: Findings
    votes: Votes
    asked: dict[str, Fraction] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Check one command."""
        bodies = [(message.event_type.removesuffix(".v1"), message.read()) for message in decision]
        imports = any(name == "issuer.imported" for name, _ in bodies)
        for message, (name, body) in zip(decision, bodies, strict=True):
            if name in _APART and not imports:
                known = self.votes.gains.find_company(body["issuer_id"]).rounds
                others = [each for each, one in known.items() if not one.ended and each != body.get("financing_id")]
                text = f"{name} of {body['issuer_id']}, and {others} is open"
                self.findings.require(not others, "round", message.sequence, text)
            elif name == "issuer.financing_closed" and not imports:
                self._check_duties(message, body, bodies)
        for issuer_id in sorted({body["issuer_id"] for name, body in bodies if name in _EXPOSES}):
            self._check_stack(decision[-1].sequence, issuer_id, bodies, imports=imports)

    def _check_stack(self, sequence: int, issuer_id: str, bodies: Sequence[tuple[str, Body]], *, imports: bool) -> None:
        """Check what post-money SAFEs ask for, unless a holder had a right to what was recorded."""
        before, asked = self.asked.get(issuer_id, Fraction(0)), Fraction(0)
        for exposures in self.votes.gains.find_company(issuer_id).exposures.values():
            asked += sum((_find_part(each) for each in exposures), Fraction(0))
        self.asked[issuer_id] = asked
        is_new = any(
            name == "issuer.instrument_signed"
            or (name == "issuer.exposure_recorded" and body["subject_id"].startswith("ord_"))
            for name, body in bodies
        )
        text = f"the post-money SAFEs of {issuer_id} ask for {float(asked):.4f} of it at their caps"
        self.findings.require(not is_new or imports or asked < 1 or asked <= before, "round", sequence, text)

    def _check_duties(self, message: Message, closed: Body, bodies: Sequence[tuple[str, Body]]) -> None:
        """Check that a closing converts exactly the preferred stock whose holders did not pay their duty.

        What a holder took by right meets its duty, also where it is too little for a share and is left out.
        """
        closing, _ = self.votes.gains.find_round(closed, bodies)
        play = closing.opened["terms"].get("pay_to_play") or {"duties": ()}
        issuer, due = self.votes.equity.issuers.get(closed["issuer_id"], Issuer()), set()
        paid = closing.sum_investments()
        for duty in play["duties"]:
            holder_id, class_id = duty["holder_id"], duty["class_id"]
            usd = sum((paid.get(each, Fraction(0)) for each in (holder_id, *duty.get("paid_by", ()))), Fraction(0))
            left = max(1 - usd / Fraction(duty["obligation_usd"]), Fraction(0))
            shares = int(issuer.holdings.get(("stock", holder_id, class_id), 0) * left)
            if shares:
                ratio = self._find_ratio(closed["issuer_id"], class_id, bodies) * Fraction(play["common_per_preferred"])
                due.add((holder_id, class_id, shares, play["class_id_after"], int(shares * ratio)))
        members = ("holder_id", "class_id", "shares", "class_id_after", "shares_after")
        found = {
            tuple(body[each] for each in members)
            for name, body in bodies
            if name == "issuer.stock_converted" and body["reason"] == "pay_to_play"
        }
        text = f"{closed['financing_id']} converts {sorted(found)}, its duties {sorted(due)}"
        self.findings.require(found == due, "round", message.sequence, text)

    def _find_ratio(self, issuer_id: str, class_id: str, bodies: Sequence[tuple[str, Body]]) -> Fraction:
        """Return how many common shares a preferred one was before a closing lowers conversion prices."""
        ratio = self.votes.gains.find_company(issuer_id).find_ratio("stock", class_id)
        for name, body in bodies:
            if name == "issuer.conversion_price_adjusted" and body["class_id"] == class_id:
                ratio *= Fraction(body["conversion_price_usd"]) / Fraction(body["conversion_price_usd_before"])
        return ratio


def _find_part(exposure: Body) -> Fraction:
    """Return the part of the company that a post-money SAFE asks for at its cap; 0 of any other instrument."""
    terms = exposure["terms"]
    if terms["kind"] != "safe":
        return Fraction(0)
    cap = terms.get("valuation_cap_usd") if terms.get("conversion_timing") == "post_money" else None
    caps = [cap, exposure.get("offered_cap_usd") if terms.get("most_favoured_nation") else None]
    known = [Fraction(each) for each in caps if each is not None]
    return Fraction(exposure["amount_usd"]) / min(known) if known else Fraction(0)
