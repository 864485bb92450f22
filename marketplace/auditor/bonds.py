"""Checks bonds: what is posted is held, what is paid was answered, and no claim is made or paid twice.

What bonds lack for a claim is kept on its provider's account. Of no bond a broken match is paid what an open claim for
undelivered hours may still need, and broken matches take at most a tenth of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_LOWERS: Final = frozenset(
    {
        "grant.degraded",
        "grant.resumed",
        "grant.suspended",
        "statement.accepted",
        "statement.answered",
        "statement.conceded",
        "statement.credited",
        "statement.disputed",
        "statement.resolved",
        "statement.service_credited",
        "usage.corrected",
        "usage.voided",
    }
)
"""Events by which undelivered hours of a settled period may come to more than they did."""
_CENT: Final = Fraction(1, 100)
_Move = tuple[str, str, str, Decimal]
"""What happens to which hold, for whom, and how much."""


@dataclass(slots=True)
class Bonds:
    """Folds and checks the events of bonds.

    Attributes:
        holds: Dollars that each hold of a bond has left.
        claims: Dollars that each claim claims, was answered with and was paid.
        due: When each open claim may be settled by silence.
        pays_at: From when on each claim may be paid.
        claimed: What was claimed from each bond, and the grants that replace others, with the period or early end.
        last: The last claim of each period, by bond, and when it was made.
        lowered: When what each grant delivered, or what its statements charge of it, last fell, or an outage was told.
        counted: What each settled claim came to, at least.
        ends: How often each grant was ended early by its provider's fault, or hours were taken off it.
        own: The payments that come from what a provider has available.
        kept: What providers keep for each claim.
        settled: The claims whose amount is final.
        lots: The bond and the lot that each hold is for; None: all grants.
        sources: The bond of each claim, and the lots that carry its grant.
        behind: The claims for broken matches.
        posted: Dollars that each hold of a bond was given, less what was released.
        broken: Dollars that each hold paid for broken matches.
        returned: Dollars that were returned of each claim.
        asks: What each lot asks for a GPU-hour of its first nodes.
        made_whole: By the schedule, from which price on an end owes which share of it, the smallest first.
    """

    findings: Findings
    holds: dict[str, Decimal] = field(default_factory=dict)
    claims: dict[str, list[Decimal]] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    pays_at: dict[str, datetime] = field(default_factory=dict)
    claimed: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    last: dict[tuple[str, ...], tuple[str, int]] = field(default_factory=dict)
    lowered: dict[str, int] = field(default_factory=dict)
    counted: dict[str, Decimal] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    own: set[str] = field(default_factory=set)
    kept: dict[str, Decimal] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    lots: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    sources: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)
    posted: dict[str, Decimal] = field(default_factory=dict)
    broken: dict[str, Decimal] = field(default_factory=dict)
    returned: dict[str, Decimal] = field(default_factory=dict)
    asks: dict[str, Fraction] = field(default_factory=dict)
    made_whole: list[tuple[Decimal, Fraction]] = field(default_factory=lambda: [(ZERO, Fraction(1, 4))])

    def take(self, decision: Sequence[Message]) -> None:
        """Fold the events of one command, and check that holds of accounts change as the events of bonds state."""
        stated: Counter[_Move] = Counter()
        for message in decision:
            self._follow(message)
            if message.event_type.startswith("bond."):
                self._take_bond(message, message.read(), stated)
        moved: Counter[_Move] = Counter()
        for message in decision:
            body, name = message.read(), message.event_type.split(".")[1]
            if message.event_type == "account.debited.v1" and body["cause"] in self.own:
                moved[name, body["cause"], body["payee_account_id"], Decimal(body["amount_usd"])] += 1
            elif message.event_type == "account.reserved.v1" and body["cause"] in self.claims:
                self.kept[body["cause"]] = Decimal(body["amount_usd"])
            elif message.event_type.startswith("account.hold_") and body["hold_id"] in self.holds:
                moved[name, body["hold_id"], body.get("payee_account_id", ""), Decimal(body["amount_usd"])] += 1
        for move in stated.keys() | moved.keys():
            name, hold_id, _, amount = move
            text = f"{name} of {amount} USD on {hold_id} happens {moved[move]} times, its bond states {stated[move]}"
            self.findings.require(stated[move] == moved[move], "bond", decision[0].sequence, text)
        self._check_lowered(decision)
        self._check_broken(decision)
        self._check_deposits(decision)
        if any(message.event_type.startswith(("bond.", "account.reserved")) for message in decision):
            self._check_kept(decision[-1].sequence)

    def _follow(self, message: Message) -> None:
        """Fold an event of a lot or a grant, its readings or its statements."""
        name = message.event_type.removesuffix(".v1")
        if name in {"grant.terminated", "grant.rescheduled"}:
            self._end(message.read())
        elif name in {"lot.listed", "lot.repriced"}:
            body = message.read()
            self.asks[body["lot_id"]] = Fraction(body["ask_usd_per_gpu_hour"])
        elif name == "schedule.published":
            ends = [(Decimal(each["value_usd_min"]), each.get("remedies")) for each in message.read()["terms"]["ends"]]
            self.made_whole = [(value, Fraction((each or {}).get("make_whole_share", 0))) for value, each in ends]
        elif name in _LOWERS:
            self.lowered[message.read()["grant_id"]] = message.sequence

    def _check_deposits(self, decision: Sequence[Message]) -> None:
        """Check that who resells hours for more posts the share of what it receives at its ask that it may owe."""
        for message in decision:
            grant = message.read() if message.event_type == "grant.issued.v1" else {}
            if grant.get("resale") and (grant.get("ends") or {}).get("remedies"):
                self._check_deposit(message, grant, decision)

    def _check_deposit(self, message: Message, grant: dict[str, Any], decision: Sequence[Message]) -> None:
        resale, terms = grant["resale"], grant["ends"]["remedies"]
        asked = min(Fraction(grant["price_usd_per_gpu_hour"]), self.asks.get(resale["lot_id"], Fraction(0)))
        margin = asked - Fraction(resale["owed_usd_per_gpu_hour"])
        span = parse_instant(grant["end"]) - parse_instant(grant["start"])
        hours = Fraction(span / timedelta(seconds=1)) / 3600 * grant["nodes"] * grant["gpus_per_node"]
        share = max(Fraction(terms["make_whole_share"]), Fraction(terms["damages_share"]))
        due = (max(margin, Fraction(0)) * hours - _CENT) * share
        bodies = [each.read() for each in decision if each.event_type == "bond.posted.v1"]
        posted = sum(Fraction(body["amount_usd"]) for body in bodies if body["lot_id"] == resale["lot_id"])
        text = f"{grant['grant_id']} is resold, and {posted} USD are posted for it, not {due}"
        right = posted >= due and posted == Fraction(resale.get("bond_usd", "0"))
        self.findings.require(right, "bond", message.sequence, text)

    def _end(self, ended: dict[str, Any]) -> None:
        """Count an early end by the provider's fault, or hours that the startup took off a late grant."""
        is_fault = ended.get("gpu_seconds_cut", 0) > 0
        if "by" in ended:
            is_fault = ended["by"] == ("startup" if ended.get("for_cause") else "provider")
        self.ends[ended["grant_id"]] += is_fault

    def _check_lowered(self, decision: Sequence[Message]) -> None:
        """Check that a settled claim falls only as less is charged for its replacement, or its hours are charged."""
        falls = [each for each in decision if each.event_type in {"bond.answered.v1", "bond.returned.v1"}]
        causes = {"statement.credited.v1", "statement.accepted.v1", "grant.completed.v1"}
        is_caused = any(message.event_type in causes for message in decision)
        for message in falls:
            if message.event_type == "bond.returned.v1" or message.read()["outcome"] == "lowered":
                text = f"{message.read()['claim_id']} falls, and nothing else was charged"
                self.findings.require(is_caused, "bond", message.sequence, text)

    def _check_broken(self, decision: Sequence[Message]) -> None:
        """Check that what a provider owes for a match that it broke is claimed from its bond at once, and once."""
        due: Counter[tuple[str, str]] = Counter()
        claimed: Counter[tuple[str, str]] = Counter()
        unmatched = [message.read() for message in decision if message.event_type == "order.unmatched.v1"]
        for lost in (body["lost"] for body in unmatched if body.get("lost")):
            owed = Decimal(lost.get("damages_usd", "0"))
            if owed:
                due[lost["provider_id"], str(owed)] += 1
            price = Decimal(lost["price_usd"])
            share = next((share for value, share in reversed(self.made_whole) if price >= value), Fraction(0))
            least = share * Fraction(price) - _CENT
            text = f"{owed} USD are due for a broken match of {price}, of which the end of a grant owes {share}"
            self.findings.require(least <= owed <= price, "bond", decision[0].sequence, text)
        for message in decision if unmatched else ():
            if message.event_type == "bond.claimed.v1" and message.read()["claim_id"] in self.behind:
                claimed[message.read()["party_id"], str(Decimal(message.read()["amount_usd"]))] += 1
        text = f"broken matches owe {dict(due)}, and {dict(claimed)} is claimed"
        self.findings.require(due == claimed, "bond", decision[0].sequence, text)

    def _check_kept(self, sequence: int) -> None:
        """Check that a provider keeps at most what each claim may still come to, and no less than all bonds lack."""
        posted = sum(self.holds.values(), ZERO)
        for claim_id, (claimed, due, paid) in self.claims.items():
            rest = (due if claim_id in self.settled else claimed) - paid
            kept = self.kept.get(claim_id, ZERO)
            text = f"{claim_id} may still come to {rest} USD, bonds have {posted}, and {kept} is kept"
            self.findings.require(rest - posted <= kept <= rest, "bond", sequence, text)

    def _take_bond(self, message: Message, body: dict[str, Any], stated: Counter[_Move]) -> None:
        name, amount = message.event_type.split(".")[1], Decimal(body["amount_usd"])
        hold_id = body.get("hold_id", "")
        if name == "posted":
            self.holds[hold_id] = self.holds.get(hold_id, ZERO) + amount
            self.posted[hold_id] = self.posted.get(hold_id, ZERO) + amount
            self.lots[hold_id] = body["bond_id"], body["lot_id"]
            stated["hold_placed", hold_id, "", amount] += 1
        elif name == "claimed":
            self._take_claim(message, body, amount)
        elif name == "answered":
            self._take_answer(message, body, amount)
        elif name == "paid" and body["hold_id"] is None:
            self.own.add(body["payment_id"])
            stated["debited", body["payment_id"], body["payee_account_id"], amount] += 1
        elif name == "returned":
            self.own.add(body["payment_id"])
            stated["debited", body["payment_id"], body["payee_account_id"], amount] += 1
            self.returned[body["claim_id"]] = self.returned.get(body["claim_id"], ZERO) + amount
            self.counted[body["claim_id"]] -= amount
            back, paid = self.returned[body["claim_id"]], self.claims[body["claim_id"]][2]
            text = f"{back} USD of {body['claim_id']} are returned, {paid} were paid"
            self.findings.require(back <= paid, "bond", message.sequence, text)
        elif name in {"paid", "released"}:
            self.holds[hold_id] = self.holds.get(hold_id, ZERO) - amount
            self.posted[hold_id] = self.posted.get(hold_id, ZERO) - (amount if name == "released" else ZERO)
            text = f"{name} takes {amount} USD of {hold_id}, which lacks {-self.holds[hold_id]}"
            self.findings.require(self.holds[hold_id] >= 0 < amount, "bond", message.sequence, text)
            kind = "hold_captured" if name == "paid" else "hold_released"
            stated[kind, hold_id, body.get("payee_account_id", ""), amount] += 1
        if name == "paid":
            claim = self.claims.setdefault(body["claim_id"], [ZERO, ZERO, ZERO])
            claim[2] += amount
            right = claim[2] + Decimal(body["owed_usd"]) == claim[1]
            text = f"{body['claim_id']} was paid {claim[2]} USD, is owed {body['owed_usd']}, of {claim[1]}"
            self.findings.require(right, "bond", message.sequence, text)
            pays_at = self.pays_at.get(body["claim_id"])
            waited = pays_at is None or parse_instant(message.headers["ce-time"]) >= pays_at
            text = f"{body['claim_id']} is paid before {pays_at}"
            self.findings.require(waited, "bond", message.sequence, text)
            if body["claim_id"] in self.behind and hold_id:
                self.broken[hold_id] = self.broken.get(hold_id, ZERO) + amount
                self._check_rank(message.sequence, body["claim_id"], hold_id)

    def _check_rank(self, sequence: int, claim_id: str, hold_id: str) -> None:
        """Check that a hold that paid for a broken match left what claims for undelivered hours may need of it."""
        bond_id, lot_id = self.lots[hold_id]
        ahead = [
            other
            for other, (bond, lots) in self.sources.items()
            if bond == bond_id and other not in self.behind and (lot_id is None or lot_id in lots)
        ]
        usable = {lot for other in ahead for lot in self.sources[other][1]} | {None}
        left = sum(
            (self.holds[hold] for hold, (bond, lot) in self.lots.items() if bond == bond_id and lot in usable), ZERO
        )
        needed = ZERO
        for other in ahead:
            claimed, due, paid = self.claims[other]
            needed += (due if other in self.settled else claimed) - paid
        text = f"{claim_id}, of a broken match, is paid while claims for undelivered hours need {needed} USD of {left}"
        self.findings.require(needed <= left, "bond", sequence, text)
        broken, posted = self.broken[hold_id], self.posted[hold_id]
        text = f"{hold_id} paid {broken} USD of {posted} for broken matches, which is more than a tenth"
        self.findings.require(10 * broken <= posted, "bond", sequence, text)

    def _take_answer(self, message: Message, body: dict[str, Any], amount: Decimal) -> None:
        claim_id, outcome = body["claim_id"], body["outcome"]
        claimed, due, paid = self.claims.setdefault(claim_id, [ZERO, ZERO, ZERO])
        if outcome == "lowered":
            text = f"{claim_id} is lowered to {amount} USD of {due}, {paid} were paid"
            self.findings.require(claim_id in self.settled and paid <= amount < due, "bond", message.sequence, text)
            self.counted[claim_id] = self.counted.get(claim_id, ZERO) - (due - amount)
            self.claims[claim_id][1] = amount
            return
        most = (claimed + due) / 2 if outcome == "undecided" else claimed
        text = f"{claim_id} is {outcome} with {amount} USD of {claimed}, after {due}"
        self.findings.require(due <= amount <= most, "bond", message.sequence, text)
        self.claims[claim_id][1] = amount
        if outcome != "contested":
            self.settled.add(claim_id)
            self.counted[claim_id] = self.counted.get(claim_id, ZERO) + {
                "undecided": min(2 * amount - due, claimed),
                "decided": claimed,
            }.get(outcome, amount)
        until = self.due.pop(claim_id, None)
        early = until is not None and parse_instant(message.headers["ce-time"]) < until
        text = f"{claim_id} is {outcome} by silence before {until}"
        self.findings.require(not early or outcome not in {"lapsed", "undecided"}, "bond", message.sequence, text)
        if body.get("decide_until"):
            self.due[claim_id] = parse_instant(body["decide_until"])

    def _check_again(self, message: Message, body: dict[str, Any], keys: Sequence[tuple[str, ...]]) -> None:
        """Check that only a period is claimed again from a bond, once its claim is settled, less what that came to.

        What is named or delivered in place of the hours since opens nothing: something else changed.
        """
        period, own, grants = keys[0], (body["bond_id"], *keys[0]), [body["grant_id"], *(key[0] for key in keys[1:])]
        earlier, made = self.last.get(own, (None, 0)) if body["statement_id"] else (None, 0)
        changed = earlier is None or any(self.lowered.get(each, 0) > made for each in grants)
        text = f"{body['claim_id']} claims a period again, and nothing was lowered since {earlier} was made"
        self.findings.require(changed, "bond", message.sequence, text)
        least = ZERO if earlier is None else self.counted.get(earlier, ZERO)
        for key in (own, *keys[1:]):
            again = self.claimed.get(key) == period and (key != own or earlier in self.settled)
            text = f"{key} is claimed a second time"
            self.findings.require(key not in self.claimed or again, "bond", message.sequence, text)
            self.claimed[key] = period
        self.last[own] = body["claim_id"], message.sequence
        text = f"{body['claim_id']} subtracts {body['credited_usd']} USD, earlier claims of the period came to {least}"
        self.findings.require(Decimal(body["credited_usd"]) >= least, "bond", message.sequence, text)
        self.counted[body["claim_id"]] = least

    def _take_claim(self, message: Message, body: dict[str, Any], amount: Decimal) -> None:
        items = body["items"]
        grant_id = body["grant_id"]
        keys: list[tuple[str, ...]] = [(grant_id, body["statement_id"] or str(self.ends[grant_id]))]
        keys += [(item["replacement_id"],) for item in items if item.get("replacement_id")]
        self._check_again(message, body, keys)
        total = sum((Decimal(item["amount_usd"]) for item in items), ZERO) - Decimal(body["credited_usd"])
        reach = body.get("reach_usd")
        total = total if reach is None else min(total, Decimal(reach))
        text = f"{body['claim_id']} claims {amount} USD, its items less credits come to {total} of {reach}"
        self.findings.require(total == amount > 0, "bond", message.sequence, text)
        self.claims[body["claim_id"]] = [amount, ZERO, ZERO]
        self.sources[body["claim_id"]] = body["bond_id"], set(body["lot_ids"])
        if any(item["remedy"] == "broken_match" for item in items):
            self.behind.add(body["claim_id"])
        self.due[body["claim_id"]] = self.pays_at[body["claim_id"]] = parse_instant(body["answer_until"])
