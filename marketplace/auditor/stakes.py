"""Checks that one person alone agrees to no proposal by which its party may lose more than the account's limit.

A holder that votes may lose all that it has in the company. Here that is at least: its stock at its preference or at
what it paid on average, its principal that is outstanding, and in a sale its proceeds.

Nobody but the company speaks for holders without a key. So what they lose by stock that it issues, and by stock and
options that it hands on, counts for it, also where it proposes that or does it alone. Here a share is worth its
preference, or its part of 100,000 USD.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.votes import Votes

_ALONE: Final = ("company", "buyer", "holder/", "buyer_")
"""Electorates of who is asked alone, or as a holder of the buyer."""
_CENT: Final = Fraction(1, 100)
_FOUNDERS_USD: Final = Fraction(100_000)
"""What all stock is worth at least, in USD."""
_MOVES: Final = frozenset({"issuer.stock_issued", "issuer.stock_transferred", "issuer.option_transferred"})
Body = Mapping[str, Any]


@dataclass(slots=True)
class Stakes:
    """Folds limits, requests and prices of stock. It takes a decision before the cap tables and the votes do.

    Attributes:
        votes: The cap tables, proposals and principal.
        limited: The accounts with a limit.
        asked: The acts that wait for a second person, by their request's id.
        preferences: Dollars of preference of a share, by issuer and class.
        paid: Shares and dollars of the stock that was issued, by issuer, holder and class.
    """

    findings: Findings
    votes: Votes
    limited: set[str] = field(default_factory=set)
    asked: dict[str, Body] = field(default_factory=dict)
    preferences: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    paid: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Check the agreements of one command, and fold its events."""
        bodies = [(message.event_type.removesuffix(".v1"), message.read()) for message in decision]
        names = {name for name, _ in bodies}
        given = [self.asked.get(body["approval_id"], {}) for name, body in bodies if name == "account.approval_given"]
        actor = decision[0].headers.get("ce-actor", "")
        for name, body in bodies:
            is_back = name == "issuer.refusal_counted" and not body.get("stands", True)
            if (is_back or name == "proposal.agreed") and f"acc_{body['party_id'][4:]}" in self.limited:
                self._check(decision[0].sequence, body, bodies, given, is_void="proposal.ended" in names)
        if f"acc_{actor[4:]}" in self.limited and "proposal.agreed" not in names:
            made = [act for name, body in bodies if name == "proposal.made" for act in _read_acts(body["effects"])]
            self._require_counted(decision[0].sequence, actor, bodies, self._sum_answered(actor, made or bodies))
        for name, body in bodies:
            self._fold(name, body)

    def _check(
        self, sequence: int, agreed: Body, bodies: Sequence[tuple[str, Body]], given: Sequence[Body], *, is_void: bool
    ) -> None:
        proposal_id = agreed["proposal_id"]
        require = self.findings.require
        if given:
            same = [(act.get("kind"), act.get("proposal_id")) for act in given] == [("consent", proposal_id)]
            require(same, "persons", sequence, f"two persons agreed to {given}, not to {proposal_id}")
            return
        if not is_void:
            least = self._find_least(agreed["party_id"], proposal_id)
            known = self.votes.consents.proposals.get(proposal_id)
            acts = [] if known is None else _read_acts(known.made["effects"])
            least = max(least, self._sum_answered(agreed["party_id"], acts))
            self._require_counted(sequence, agreed["party_id"], bodies, least)

    def _require_counted(
        self, sequence: int, party_id: str, bodies: Sequence[tuple[str, Body]], least: Fraction
    ) -> None:
        """Check that so many dollars, less a cent, count toward the limit of a party."""
        account_id = f"acc_{party_id[4:]}"
        used = [body for name, body in bodies if name == "account.limit_used" and body["account_id"] == account_id]
        counted = sum((Fraction(body["amount_usd"]) for body in used), Fraction(0))
        text = f"{account_id} may lose {float(least):.2f} USD or more, and {float(counted):.2f} counts"
        self.findings.require(counted + _CENT > least, "persons", sequence, text)

    def _sum_answered(self, party_id: str, acts: Sequence[tuple[str, Body]]) -> Fraction:
        """Return the least USD that a company, and its holders without a key, lose by what it issues or hands on."""
        lost = (self._find_answered(name, body) for name, body in acts if _is_own(body, party_id))
        return sum(lost, Fraction(0))

    def _find_answered(self, name: str, body: Body) -> Fraction:
        issuer = self.votes.equity.issuers.get(body["issuer_id"])
        if issuer is None or name not in _MOVES or body.get("cause") is not None:
            return Fraction(0)
        known = self.votes.consents.parties - {issuer.company_id}
        company = self.votes.gains.find_company(body["issuer_id"])
        stock = sum(company.measure({row: held for row, held in issuer.holdings.items() if row[0] == "stock"}).values())
        worth = _FOUNDERS_USD / max(stock, Fraction(1))
        if name == "issuer.option_transferred":
            return max(worth - company.options[body["option_id"]], Fraction(0)) * Fraction(body["shares"])
        worth = max(worth, company.find_least(body["class_id"], (), Fraction(1)))
        if name == "issuer.stock_transferred":
            is_moved = body["holder_id"] not in known | {issuer.company_id}
            return worth * Fraction(body["shares"]) if is_moved else Fraction(0)
        owned = company.measure(issuer.holdings)
        absent = Fraction(sum(held for holder_id, held in owned.items() if holder_id and holder_id not in known))
        whole = sum(owned.values(), Fraction(body["shares"]) * company.find_ratio("stock", body["class_id"]))
        gift = max(worth - Fraction(body["price_usd_per_share"]), Fraction(0)) * Fraction(body["shares"])
        return gift * absent / max(whole, Fraction(1))

    def _find_least(self, party_id: str, proposal_id: str) -> Fraction:
        """Return the least USD that a party may lose by the vote on a proposal; 0 if it does not vote as a holder."""
        known = self.votes.consents.proposals.get(proposal_id)
        if known is None or not any(_votes(consent, party_id) for consent in known.made["consents"]):
            return Fraction(0)
        issuer_id = known.made["issuer_id"]
        proceeds = Fraction(0)
        for effect in known.made["effects"]:
            if effect["type"] == "issuer.liquidity_declared.v1":
                payouts = json.loads(effect["body_json"])["waterfall"]["payouts"]
                own = (Fraction(each["amount_usd"]) for each in payouts if each["holder_id"] == party_id)
                proceeds = sum(own, proceeds)
        return max(proceeds, self._find_stake(issuer_id, party_id))

    def _find_stake(self, issuer_id: str, party_id: str) -> Fraction:
        stake, issuer = Fraction(0), self.votes.equity.issuers.get(issuer_id)
        for (kind, holder_id, class_id), shares in issuer.holdings.items() if issuer is not None else ():
            if kind == "stock" and holder_id == party_id:
                count, usd = self.paid.get((issuer_id, party_id, class_id), (Fraction(0), Fraction(0)))
                mean = usd / count if count else Fraction(0)
                stake += shares * max(mean, self.preferences.get((issuer_id, class_id), Fraction(0)))
        for paper in self.votes.papers.values():
            if (paper.issuer_id, paper.holder_id) == (issuer_id, party_id) and paper.is_open:
                stake += max(Fraction(paper.principal - paper.settled), Fraction(0))
        return stake

    def _fold(self, name: str, body: Body) -> None:
        match name:
            case "account.limit_set":
                change = self.limited.discard if body.get("limit_usd") is None else self.limited.add
                change(body["account_id"])
            case "account.approval_requested":
                self.asked[body["approval_id"]] = body["act"]
            case "issuer.stock_class_created" if body["kind"] == "preferred":
                price = Fraction(body.get("price_per_share_usd") or 0) * Fraction(body.get("liquidation_multiple") or 0)
                self.preferences[body["issuer_id"], body["class_id"]] = price
            case "issuer.stock_issued":
                key, shares = (body["issuer_id"], body["holder_id"], body["class_id"]), Fraction(body["shares"])
                count, usd = self.paid.get(key, (Fraction(0), Fraction(0)))
                self.paid[key] = count + shares, usd + shares * Fraction(body.get("price_usd_per_share") or 0)
            case "issuer.stock_split":
                self._split(body["issuer_id"], Fraction(body["numerator"], body["denominator"]))
            case _:
                pass

    def _split(self, issuer_id: str, ratio: Fraction) -> None:
        for key, price in self.preferences.items():
            self.preferences[key] = price / ratio if key[0] == issuer_id else price
        for owned, (count, usd) in self.paid.items():
            self.paid[owned] = (count * ratio, usd) if owned[0] == issuer_id else (count, usd)


def _read_acts(effects: Sequence[Body]) -> list[tuple[str, Body]]:
    return [(each["type"].removesuffix(".v1"), json.loads(each["body_json"])) for each in effects]


def _is_own(body: Body, party_id: str) -> bool:
    """Return whether an event is of a party's own company."""
    return str(body.get("issuer_id", ""))[4:] == party_id[4:]


def _votes(consent: Body, party_id: str) -> bool:
    is_asked = any(voter["party_id"] == party_id for voter in consent["voters"])
    return is_asked and not consent["electorate"].startswith(_ALONE)
