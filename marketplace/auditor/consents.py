"""Checks that nobody's shares or rights change without consent: enough parties agree before a proposal takes effect."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.equity import Equity
from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

LOSES: Final = {
    "issuer.stock_repurchased.v1": ("holder_id",),
    "issuer.stock_transferred.v1": ("holder_id", "holder_id_after"),
    "issuer.stock_converted.v1": ("holder_id",),
    "issuer.stock_issued.v1": ("holder_id",),
    "issuer.stock_offered.v1": ("holder_id",),
    "issuer.option_cancelled.v1": ("holder_id",),
    "issuer.option_exercised.v1": ("holder_id",),
    "issuer.option_transferred.v1": ("holder_id", "holder_id_after"),
    "issuer.warrant_issued.v1": ("holder_id",),
    "issuer.warrant_exercised.v1": ("holder_id",),
    "issuer.warrant_cancelled.v1": ("holder_id",),
    "issuer.warrant_transferred.v1": ("holder_id", "holder_id_after"),
    "instrument.transferred.v1": ("holder_id", "holder_id_after"),
    "issuer.purchases_stated.v1": ("customer_id", "vendor_id"),
    "issuer.price_source_named.v1": ("recorder_id",),
}
"""Events without a cause, and the members that name the parties whose position changes."""

CITED: Final = {
    "issuer.stock_repurchased.v1": ("instrument.principal_reversed.v1", "instrument_id"),
    "issuer.warrant_cancelled.v1": ("instrument.principal_reversed.v1", "instrument_id"),
    "issuer.stock_converted.v1": ("issuer.financing_closed.v1", "financing_id"),
}
"""Events that take a position by a right: what is stored with them, and its member that they name as their cause."""

CONCERNS_ALL: Final = frozenset({"issuer.financing_closed.v1", "issuer.liquidity_declared.v1"})
"""Events that change the position of everybody who holds stock or rights of the issuer."""

PRO_RATA: Final = "pro_rata"
WAIVED_AFTER: Final = timedelta(days=7)
"""How long an investor may refuse that others get stock without an offer of its part."""
Told = tuple[str, Mapping[str, Any]]
"""An event's type and body."""
ZERO: Final = Fraction(0)
TOLERANCE: Final = Fraction(1, 1_000)
_FEW: Final = 1_000
"""Who loses no more than one of so many shares of a class is not asked about a consolidation that pays for them."""
COMPUTED: Final = frozenset(
    {
        "instrument.converted.v1",
        "issuer.financing_priced.v1",
        "issuer.stock_class_created.v1",
        "issuer.stock_issued.v1",
        "issuer.stock_plan_adjusted.v1",
    }
)
"""Events of a closing that follow from the round's price."""

FOLLOWS: Final = (
    "proposal.",
    "command.",
    "account.limit_used.",
    "account.approval_given.",
    "issuer.stakeholder_added.",
    "issuer.warrant_vested.",
    "issuer.warrant_released.",
    "issuer.warrant_priced.",
    "issuer.warrant_vesting_reversed.",
    "issuer.exposure_recorded.",
    "instrument.mfn_noticed.",
)
"""Events that may be stored beside a proposal's effects, and are not compared with them."""


def _find_time(message: Message) -> datetime:
    return parse_instant(message.headers["ce-time"])


@dataclass(slots=True)
class Proposal:
    """One proposal, from its events alone.

    Attributes:
        made: What is proposed.
        agreed: Who agrees now.
        ended: Whether it is over.
        refused: Those who did, unless they agreed since.
        leaving: The electorates of holders whose service ended, by an option that depends on it.
        buyer_agreed_at: When a buyer that pays in its stock agreed; None: it does not.
    """

    made: Mapping[str, Any]
    agreed: set[str]
    ended: bool = False
    refused: set[str] = field(default_factory=set)
    leaving: frozenset[str] = frozenset()
    buyer_agreed_at: datetime | None = None

    def buys(self, party_id: str) -> bool:
        """Return whether a party is the company of a buyer."""
        asked = (each for each in self.made["consents"] if each["electorate"] == "buyer")
        return any(voter["party_id"] == party_id for each in asked for voter in each["voters"])

    def list_missing(self, now: datetime, agreed: set[str] | None = None) -> list[str]:
        """Return the electorates that have not agreed, by more than half or at least the share that the consent states.

        Without `agreed`, the parties count that agreed to the proposal.
        """
        given, waiving = self.agreed if agreed is None else agreed, self.list_waiving(now)
        return [
            consent["electorate"]
            for consent in self.made["consents"]
            if not _is_given(consent, given | waiving if consent.get("waived_at") else given)
        ]

    def list_waiving(self, now: datetime) -> set[str]:
        """Return the investors that might have bought a part, and do not refuse, once they had time to; else nobody.

        Also who left the company. Investors of a buyer have their time once the buyer itself agreed.
        """
        since = dict.fromkeys((PRO_RATA, *self.leaving), parse_instant(self.made["proposed_at"]))
        if self.buyer_agreed_at is not None:
            since[f"buyer_{PRO_RATA}"] = self.buyer_agreed_at
        waived = {name for name, start in since.items() if now >= start + WAIVED_AFTER}
        asked = [each for each in self.made["consents"] if each["electorate"] in waived]
        return {voter["party_id"] for each in asked for voter in each["voters"]} - self.refused


def _is_given(consent: Mapping[str, Any], given: set[str]) -> bool:
    weights = {voter["party_id"]: int(voter["weight"]) for voter in consent["voters"]}
    agreed = sum(weight for party_id, weight in weights.items() if party_id in given)
    needed = consent.get("share_needed")
    whole = sum(weights.values()) + int(consent.get("weight_absent", 0))
    return 2 * agreed > whole if needed is None else agreed >= whole * Fraction(needed)


@dataclass(slots=True)
class Consents:
    """Folds proposals, and checks every decision on an issuer before its effects are folded.

    Attributes:
        companies: The party of each issuer.
        parties: Every registered party. Others are imported holders, which nobody asks.
        proposals: By id.
        windows: For how many days after service each option that depends on it may be exercised.
        over: The last day of exercise of each option whose holder left.
    """

    findings: Findings
    equity: Equity
    companies: dict[str, str] = field(default_factory=dict)
    parties: set[str] = field(default_factory=set)
    proposals: dict[str, Proposal] = field(default_factory=dict)
    windows: dict[str, timedelta] = field(default_factory=dict)
    over: dict[str, date] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command. The cap tables of `equity` must be those before it."""
        carried = None
        for message in decision:
            body = message.read()
            if message.event_type == "issuer.formed.v1":
                self.companies[body["issuer_id"]] = body["party_id"]
            elif message.event_type == "party.registered.v1":
                self.parties.add(body["party_id"])
            elif message.event_type.startswith("proposal."):
                self._take_proposal(message, body)
                if message.event_type == "proposal.carried_out.v1":
                    carried = message
        if carried is not None:
            self._check_carried_out(carried, decision)
        else:
            self._check_alone(decision)
        for message in decision:
            if message.event_type.startswith("issuer.option_"):
                self._take_option(message, message.read())

    def _take_option(self, message: Message, body: Mapping[str, Any]) -> None:
        """Fold how long options may be exercised, and check that none is later."""
        option_id, days = body.get("option_id", ""), body.get("termination_exercise_days")
        if message.event_type == "issuer.option_granted.v1" and days is not None:
            self.windows[option_id] = timedelta(days=days)
        elif body.get("service_ended_on") is not None and option_id in self.windows:
            until = date.fromisoformat(body["service_ended_on"]) + self.windows[option_id]
            self.over[option_id] = min(self.over.get(option_id, until), until)
        elif message.event_type == "issuer.option_exercised.v1":
            text = f"{option_id} is exercised after the days that its holder had since its service ended"
            self.findings.require(not self._is_over(message, option_id), "vesting", message.sequence, text)

    def _is_over(self, message: Message, option_id: str) -> bool:
        return option_id in self.over and _find_time(message).date() > self.over[option_id]

    def _list_leaving(self, made: Mapping[str, Any]) -> frozenset[str]:
        """Return the electorates of holders whose options a proposal forfeits, as their service ended on its day."""
        found = set()
        for effect in made["effects"]:
            body = json.loads(effect["body_json"])
            if effect["type"] == "issuer.option_cancelled.v1" and body["option_id"] in self.windows:
                day, ended_on = parse_instant(made["proposed_at"]).date(), body.get("service_ended_on")
                known = body["option_id"] in self.over
                if ended_on is not None and (known or date.fromisoformat(ended_on) == day):
                    found.add(f"holder/{body['holder_id']}")
        return frozenset(found)

    def _take_proposal(self, message: Message, body: dict[str, Any]) -> None:
        name = message.event_type.split(".")[1]
        if name == "made":
            asked = {voter["party_id"] for consent in body["consents"] for voter in consent["voters"]}
            agreed, leaving = asked & {body["proposer_id"]}, self._list_leaving(body)
            self.proposals[body["proposal_id"]] = Proposal(body, agreed, leaving=leaving)
            return
        known = self.proposals.get(body["proposal_id"])
        if known is None:
            self.findings.add("consent", message.sequence, f"{body['proposal_id']} was never made")
            return
        text = f"{body['proposal_id']} is over already"
        self.findings.require(not known.ended, "consent", message.sequence, text)
        if name in {"agreed", "refused", "consent_withdrawn"}:
            text = f"{message.headers.get('ce-actor')} votes for {body['party_id']}"
            self.findings.require(
                message.headers.get("ce-actor") == body["party_id"], "consent", message.sequence, text
            )
        if name == "agreed":
            known.agreed.add(body["party_id"])
            known.refused.discard(body["party_id"])
            if known.buys(body["party_id"]):
                known.buyer_agreed_at = _find_time(message)
        elif name in {"refused", "consent_withdrawn"}:
            known.agreed.discard(body["party_id"])
            if known.buys(body["party_id"]):
                known.buyer_agreed_at = None
            if name == "refused":
                known.refused.add(body["party_id"])
        else:
            known.ended = True

    def _check_carried_out(self, carried: Message, decision: Sequence[Message]) -> None:
        """Check that enough parties agreed in time, and that exactly the proposed effects are stored."""
        require, sequence = self.findings.require, carried.sequence
        proposal = self.proposals.get(carried.read()["proposal_id"])
        if proposal is None:
            return
        time = _find_time(carried)
        missing = proposal.list_missing(time)
        require(not missing, "consent", sequence, f"{missing} have not agreed")
        late = time >= parse_instant(proposal.made["decide_until"])
        require(not late, "consent", sequence, f"it could be decided until {proposal.made['decide_until']}")
        proposed = sorted(
            (effect["type"], effect["body_json"])
            for effect in proposal.made["effects"]
            if not effect["type"].startswith(FOLLOWS)
        )
        stored = sorted(
            (message.event_type, message.body.decode())
            for message in decision
            if not message.event_type.startswith(FOLLOWS) and not _is_kept(message, carried)
        )
        if carried.read().get("recomputed") and proposed != stored:
            self._check_recomputed(carried, proposal, decision)
            return
        require(proposed == stored, "consent", sequence, "other events were stored than were agreed to")

    def _check_recomputed(self, carried: Message, proposal: Proposal, decision: Sequence[Message]) -> None:
        """Check that a sale or closing that was computed again gives those who agreed what they agreed to, nearly."""
        require, sequence = self.findings.require, carried.sequence
        proposed = [(each["type"], json.loads(each["body_json"])) for each in proposal.made["effects"]]
        kept = (message for message in decision if not _is_kept(message, carried))
        stored = [(message.event_type, message.read()) for message in kept]
        if "issuer.stock_split.v1" in dict(proposed):
            self._check_consolidated(carried, proposal, proposed, stored)
            return
        if "issuer.dilution_limited.v1" in dict(proposed):
            limits = [dict(one)["issuer.dilution_limited.v1"] for one in (proposed, stored)]
            terms = [(body["dilution_max"], body["valuation_usd"]) for body in limits]
            require(terms[0] == terms[1], "consent", sequence, "the limit is another than was agreed to")
            return
        if "issuer.holder_terms_agreed.v1" in dict(proposed):
            agreed = [dict(one)["issuer.holder_terms_agreed.v1"]["terms"] for one in (proposed, stored)]
            require(agreed[0] == agreed[1], "consent", sequence, "the holder terms are others than were agreed to")
            return
        before, after = _sum_results(proposed), _sum_results(stored)
        require(before, "consent", sequence, "only a sale or the closing of a round is computed again")
        require(
            _list_terms(proposed) == _list_terms(stored),
            "consent",
            sequence,
            "a sale or closing that was computed again has other terms than were agreed to",
        )
        less = {name for name, amount in before.items() if after.get(name, ZERO) < amount * (1 - TOLERANCE)}
        covered = {party_id for party_id in proposal.agreed if party_id not in less}
        time, is_sale = _find_time(carried), "issuer.liquidity_declared.v1" in dict(proposed)
        missing = proposal.list_missing(time, covered) if is_sale else sorted(less)
        require(not missing, "consent", sequence, f"{missing} would get less than was agreed to")

    def _check_consolidated(
        self, carried: Message, proposal: Proposal, proposed: Sequence[Told], stored: Sequence[Told]
    ) -> None:
        """Check that only fractions differ, at the same price, and that who is bought out has agreed."""
        require, sequence = self.findings.require, carried.sequence
        splits = [dict(one)["issuer.stock_split.v1"] for one in (proposed, stored)]
        terms = [{name: body[name] for name in body if name != "pool_shares_available"} for body in splits]
        require(terms[0] == terms[1], "consent", sequence, "the consolidation is another than was agreed to")
        bought = [[body for name, body in one if name == "issuer.stock_repurchased.v1"] for one in (proposed, stored)]
        prices = [{body["price_usd_per_share"] for body in one} for one in bought]
        text = f"fractions are paid {prices[1]}, {prices[0]} was agreed to"
        require(prices[1] <= prices[0], "consent", sequence, text)
        for body in bought[1]:
            whole = body["shares"] * splits[1]["numerator"] >= splits[1]["denominator"]
            require(not whole, "consent", sequence, f"{body['shares']} shares of {body['holder_id']} are no fraction")
            silent = self._list_bought_out(body) - proposal.agreed - {self.companies.get(body["issuer_id"], "")}
            require(not silent, "consent", sequence, f"{sorted(silent)} keep no share, and have not agreed")

    def _check_alone(self, decision: Sequence[Message]) -> None:
        """Check that what a party did alone concerns only itself and its company, or is the company's act for others.

        Only the company acts alone for holders that are not parties.
        """
        for message in decision:
            actor, body = message.headers.get("ce-actor", ""), message.read()
            if not actor.startswith("pty_"):
                continue
            concerned = self._list_concerned(message.event_type, body, decision)
            if body.get("kind") == "expired" and self._is_over(message, body.get("option_id", "")):
                continue
            company = self.companies.get(body.get("issuer_id", ""), "")
            others = {each for each in concerned if each in self.parties or actor != company} - {actor, company}
            text = f"{actor} changed the position of {', '.join(sorted(others))} alone"
            self.findings.require(not others, "consent", message.sequence, text)

    def _list_concerned(self, event_type: str, body: dict[str, Any], decision: Sequence[Message]) -> set[str]:
        """Return the holders whose shares or rights an event changes."""
        if event_type in CONCERNS_ALL:
            issuer = self.equity.issuers.get(body["issuer_id"])
            rows = {} if issuer is None else issuer.holdings
            return {holder for (_, holder, _), shares in rows.items() if shares and holder in self.parties}
        if body.get("cause") is not None:
            caused = {message.event_type for message in decision}
            if event_type == "issuer.stock_repurchased.v1" and "issuer.stock_split.v1" in caused:
                return self._list_bought_out(body)
            if _is_cited(event_type, body, decision):
                return set()
        named = (body.get(member) for member in LOSES.get(event_type, ()))
        return {holder_id for holder_id in named if holder_id is not None}

    def _list_bought_out(self, body: Mapping[str, Any]) -> set[str]:
        """Return the holder if what a consolidation takes from it is no small part of its class."""
        party_id, class_id = body["holder_id"], body["class_id"]
        issuer = self.equity.issuers.get(body["issuer_id"])
        rows = {} if issuer is None else issuer.holdings
        whole = sum(shares for (kind, _, name), shares in rows.items() if (kind, name) == ("stock", class_id))
        loses = (issuer is not None and issuer.is_consolidated) or body["shares"] * _FEW > whole
        return {party_id} if loses and party_id in self.parties else set()


def _sum_results(events: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Fraction]:
    """Return what a sale pays each holder, or the shares of each security that a closing issues."""
    found: dict[str, Fraction] = {}
    for event_type, body in events:
        rows: list[tuple[str, Any]] = []
        if event_type == "issuer.liquidity_declared.v1":
            rows = [(each["holder_id"], each["amount_exact"]) for each in body["waterfall"]["payouts"]]
        elif event_type == "issuer.stock_issued.v1":
            rows = [(body["security_id"], body["shares"])]
        for name, amount in rows:
            found[name] = found.get(name, ZERO) + Fraction(amount)
    return found


def _list_terms(events: Iterable[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Return what is not computed from the company: the events that a price does not change, and a sale's proceeds."""
    terms = []
    for event_type, body in events:
        if event_type == "issuer.liquidity_declared.v1":
            terms.append((event_type, f"{body['liquidity_id']} {body['waterfall']['proceeds_usd']}"))
        elif event_type not in COMPUTED and not event_type.startswith(FOLLOWS):
            terms.append((event_type, json.dumps(body, sort_keys=True)))
    return sorted(terms)


def _is_kept(message: Message, carried: Message) -> bool:
    """Return whether an event frees the refund of a proposal, or keeps or frees the proceeds of a sale.

    Whether these are the right proceeds is checked apart.
    """
    body = message.read()
    is_own = body.get("cause") == carried.read()["proposal_id"] and Fraction(body.get("amount_usd", "1")) == 0
    is_sale = str(body.get("cause", "")).startswith("liq_")
    return (is_own or is_sale) and message.event_type == "account.reserved.v1"


def _is_cited(event_type: str, body: Mapping[str, Any], decision: Sequence[Message]) -> bool:
    """Return whether the right that an event names as its cause is exercised in the same decision."""
    if event_type not in CITED:
        return True
    right, member = CITED[event_type]
    return any(message.event_type == right and message.read()[member] == body["cause"] for message in decision)
