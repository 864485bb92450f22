"""Checks what warrants vest: the deliveries and dollars that they count, and that milestones of a tranche are reached.

A warrant with a programme also counts purchases that the programme states, and its grants, without those that a
stranger to the programme pays for. What the seller of resold hours adds is no payment of a customer. Mean prices of
recorded sources are computed, where they are measured, fix a price or value an exercise. A price that rounds and
valuations made is at most the highest one that others than the warrant's side and the company made. Power is computed
from what nodes state as their pool is opened; grants count for no more of a pool than they have of it at one instant.
Milestones of delivery and payments count as reached where they let vested shares be exercised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Final

from marketplace.auditor.averages import Averages
from marketplace.auditor.spans import FOREVER, parse_instant
from marketplace.auditor.stream import Findings, Message
from marketplace.auditor.votes import Votes

_CENT: Final = Decimal("0.01")
_PLACES: Final = 12
"""Decimal places of a price, at most."""
_REDUCED_WITHIN: Final = timedelta(days=180)
"""How long after shares vested what was delivered or paid for them may fall."""
_FRESH: Final = timedelta(days=30)
"""How old the last price of a mean may be that values an exercise."""
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_SPANS: Final = frozenset({"grant.issued", "grant.extended", "grant.rescheduled", "grant.terminated"})
_COUNTED: Final = _SPANS | {"grant.marked", "statement.accepted", "statement.credited"}
Body = Mapping[str, Any]


@dataclass(slots=True)
class Delivered:
    """What was accepted of a grant, less credits; its nodes, their power and span; its sides and their relation.

    A grant that moved has a pool of its own.
    """

    mark: str | None = None
    sellers: frozenset[str] = frozenset()
    payer_id: str = ""
    pool_id: str = ""
    start: datetime = FOREVER
    end: datetime = _NEVER
    gpu_seconds: int = 0
    paid_usd: Decimal = Decimal(0)
    nodes: int = 0
    gpus: int = 0
    kilowatts: int = 0

    def count_kilowatts(self, hours: int) -> Fraction:
        """Return the kilowatts of its nodes; before each has delivered so many hours in proportion."""
        whole = self.gpus * hours * 3_600
        return self.kilowatts * min(Fraction(1), Fraction(self.gpu_seconds, whole)) if whole else Fraction(0)

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
        vested: The tranches that vested in full, by warrant and number, and the day.
        vested_last: The last day on which some of a tranche vested.
        averages: The mean prices of recorded sources.
        node_kw: The power that a node of each pool states.
        programmes: The grants of each programme.
        customers: The customers of each programme.
        stated: What is stated of each programme, by statement.
        splits: All splits of its issuer as each warrant was issued.
        votes: Prices and relations; None: such prices count as reached.
    """

    findings: Findings
    votes: Votes | None = None
    grants: dict[str, Delivered] = field(default_factory=dict)
    warrants: dict[str, Body] = field(default_factory=dict)
    attested: set[tuple[str, str]] = field(default_factory=set)
    vested: dict[tuple[str, int], str] = field(default_factory=dict)
    vested_last: dict[tuple[str, int], date] = field(default_factory=dict)
    averages: Averages = field(default_factory=Averages)
    splits: dict[str, Fraction] = field(default_factory=dict)
    node_kw: dict[str, int] = field(default_factory=dict)
    programmes: dict[str, set[str]] = field(default_factory=dict)
    customers: dict[str, frozenset[str]] = field(default_factory=dict)
    stated: dict[str, dict[str, Body]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command. What was imported vested elsewhere."""
        imports = any(message.event_type == "issuer.imported.v1" for message in decision)
        for message in decision:
            kind = message.event_type.removesuffix(".v1")
            if kind == "pool.opened":
                self.node_kw[message.read()["pool_id"]] = message.read()["power_per_node_kw"]
            if kind == "grant.substituted" and message.read()["grant_id"] in self.grants:
                moved = self.grants[message.read()["grant_id"]]
                moved.kilowatts = max(moved.kilowatts, moved.nodes * self.node_kw.get(message.read()["pool_id"], 0))
                moved.pool_id = message.read()["grant_id"]
            if kind in _COUNTED:
                self._count(kind, message.read())
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if aggregate == "issuer":
                body = message.read()
                self.averages.take(name, body)
                self._take_programme(name, body)
                if body.get("warrant_id") is not None:
                    self._take_warrant(message, name, body, imports=imports)

    def _take_warrant(self, message: Message, name: str, body: Body, *, imports: bool) -> None:
        tranche = str(body["warrant_id"]), int(body.get("tranche") or 0)
        match name:
            case "warrant_issued":
                self.warrants[body["warrant_id"]] = body
                self.splits[body["warrant_id"]] = self.averages.find_split(body["issuer_id"])
            case "milestone_attested":
                self.attested.add((body["warrant_id"], body["milestone"]))
            case "warrant_vesting_reversed":
                self.vested.pop(tranche, None)
                self._check_sums(message, body)
                self._check_reversed(message, body)
            case "warrant_vested":
                if not imports:
                    self._check_sums(message, body)
                    self._check_reached(message, body)
                self.vested_last[tranche] = date.fromisoformat(body["on_day"])
                if body["is_whole"]:
                    self.vested[tranche] = body["on_day"]
            case "warrant_released" if not imports:
                self._check_conditions(message, body, "exercise_conditions")
            case "warrant_priced" if not imports:
                self._check_priced(message, body)
            case "warrant_exercised" if not imports:
                self._check_value(message, body)
            case _:
                pass

    def _count(self, kind: str, body: Body) -> None:
        grant = self.grants.setdefault(body["grant_id"], Delivered())
        if kind in _SPANS:
            grant.start = min(grant.start, parse_instant(body.get("start") or body["at"]))
            grant.end = max(grant.end, parse_instant(body["end"])) if "end" in body else parse_instant(body["at"])
        if kind in {"grant.issued", "grant.marked"}:
            grant.mark = body.get("mark")
            if kind == "grant.issued":
                grant.payer_id, grant.pool_id = body["startup_id"], body["pool_id"]
                grant.sellers = frozenset({body["provider_id"], (body.get("resale") or {}).get("seller_id", "")})
                grant.nodes, grant.gpus = body["nodes"], body["nodes"] * body["gpus_per_node"]
                grant.kilowatts = grant.nodes * self.node_kw.get(body["pool_id"], 0)
        elif kind.startswith("statement.") and body.get("service_line_id") is None:
            sign, charges = 1 if kind == "statement.accepted" else -1, body["charges"]
            grant.gpu_seconds += sign * charges["gpu_seconds"]
            grant.paid_usd += sign * (Decimal(charges["provider_usd"]) - Decimal(charges.get("reseller_pays_usd", 0)))

    def _take_programme(self, name: str, body: Body) -> None:
        """Fold the grants and the stated power of a programme."""
        if name == "programme_opened":
            self.customers[body["programme_id"]] = frozenset(body["customer_ids"])
        elif name == "programme_grant_added":
            self.programmes.setdefault(body["programme_id"], set()).add(body["grant_id"])
        elif name == "purchases_stated":
            stated = self.stated.setdefault(body["programme_id"], {})
            stated.pop(body.get("replaces") or "", None)
            stated[body["purchases_id"]] = body

    def _count_kilowatts(self, body: Body, hours: int) -> Fraction:
        """Return the most power that was delivered under a warrant."""
        warrant = self.warrants.get(body["warrant_id"]) or {}
        total, pools = Fraction(0), dict[str, list[Delivered]]()
        for each in self._list_counted(warrant):
            pools.setdefault(each.pool_id, []).append(each)
        for pool_id, counted in pools.items():
            power = sum((each.count_kilowatts(hours) for each in counted), Fraction(0))
            peak = max(sum(each.kilowatts for each in counted if each.start <= at.start < each.end) for at in counted)
            total += min(power, Fraction(peak)) if pool_id else power
        return total + sum(int(each["kilowatts"]) for each in self._list_stated(warrant))

    def _list_counted(self, warrant: Body) -> list[Delivered]:
        """Return the grants that a warrant may count: its own, and those of its programme that a customer pays for."""
        own, programme_id = set(warrant.get("grant_ids") or ()), warrant.get("programme_id") or ""
        customers, holder_id = self.customers.get(programme_id), warrant.get("holder_id", "")
        known = {name: self.grants.get(name) for name in own | self.programmes.get(programme_id, set())}
        return [
            grant
            for name, grant in sorted(known.items())
            if grant is not None
            and grant.counts_for(holder_id)
            and (name in own or customers is None or grant.payer_id in customers)
        ]

    def _list_stated(self, warrant: Body) -> list[Body]:
        return list(self.stated.get(warrant.get("programme_id") or "", {}).values())

    def _check_sums(self, message: Message, body: Body) -> None:
        """Check what a vesting, or its reversal, says was accepted and paid under the grants of the warrant."""
        warrant = self.warrants.get(body["warrant_id"])
        if warrant is None:
            return
        counted, stated = self._list_counted(warrant), self._list_stated(warrant)
        seconds = sum(each.gpu_seconds for each in counted) + sum(int(each["gpu_seconds"]) for each in stated)
        paid = sum((each.paid_usd for each in counted), sum((Decimal(each["paid_usd"]) for each in stated), Decimal(0)))
        told = body["gpu_seconds"], Decimal(body["paid_usd"])
        text = f"{body['warrant_id']} counts {told[0]} GPU-seconds and {told[1]} USD, its grants have {seconds}, {paid}"
        self.findings.require(told == (seconds, paid), "warrant", message.sequence, text)

    def _check_reversed(self, message: Message, body: Body) -> None:
        """Check that shares which vested long ago by what was delivered or paid are not unvested."""
        terms = self._find_terms(body)
        bases = [each.get("basis") for condition in terms.get("conditions") or () for each in condition]
        bases.append((terms.get("proportion") or {}).get("basis"))
        today = parse_instant(message.headers["ce-time"]).date()
        vested_on = self.vested_last.get((str(body["warrant_id"]), int(body.get("tranche") or 0)), today)
        text = f"tranche {body['tranche']} of {body['warrant_id']} vested on {vested_on}, and is unvested on {today}"
        right = "purchased" in bases or today <= vested_on + _REDUCED_WITHIN
        self.findings.require(right, "warrant", message.sequence, text)

    def _check_reached(self, message: Message, body: Body) -> None:
        """Check that what a tranche vests by is reached, and what its event says of that."""
        self._check_conditions(message, body, "conditions")
        terms = self._find_terms(body)
        milestones = (each for condition in terms.get("conditions") or () for each in condition)
        measured = next((each["average"] for each in milestones if each.get("average")), None)
        if measured is not None:
            mean, stated = self._find_mean(body, measured), body["price_usd_per_share"]
            text = f"tranche {body['tranche']} of {body['warrant_id']} vests at {stated}, and the mean is {mean}"
            right = mean == (None if stated is None else Fraction(stated))
            self.findings.require(right, "warrant", message.sequence, text)
        proportion = terms.get("proportion")
        if proportion is not None and body["is_whole"]:
            dollars, due = Decimal(body[f"{proportion['basis']}_usd"]), Decimal(proportion["to_usd"])
            text = f"tranche {body['tranche']} of {body['warrant_id']} vests in full at {dollars} USD of {due}"
            self.findings.require(dollars >= due - _CENT, "warrant", message.sequence, text)

    def _check_conditions(self, message: Message, body: Body, name: str) -> None:
        """Check that every condition of a tranche has a milestone that is reached."""
        now = parse_instant(message.headers["ce-time"])
        for condition in self._find_terms(body).get(name) or ():
            right = any(self._is_reached(milestone, body, now) for milestone in condition)
            text = f"tranche {body['tranche']} of {body['warrant_id']}: of its {name}, none of {condition} is reached"
            self.findings.require(right, "warrant", message.sequence, text)

    def _is_reached(self, milestone: Body, body: Body, now: datetime) -> bool:
        least = Fraction(milestone.get("price_usd_per_share") or 0)
        match milestone["kind"]:
            case "delivered" if "gpu_seconds" in body:
                return bool(body["gpu_seconds"] >= milestone["gpu_seconds"])
            case "amount" if "paid_usd" in body:
                return Decimal(body[f"{milestone['basis']}_usd"]) >= Decimal(milestone["amount_usd"]) - _CENT
            case "power" if self.node_kw:
                return self._count_kilowatts(body, milestone["hours"]) >= int(milestone["kilowatts"])
            case "date":
                today = now.date().isoformat()
                return min(today, str(body.get("on_day", today))) >= str(milestone["day"])
            case "price" if milestone.get("average"):
                mean = self._find_mean(body, milestone["average"])
                return mean is not None and mean >= least / self._find_split(body)
            case "price" if self.votes is not None:
                price = self.votes.find_independent(body, now)
                return price is not None and price >= least / self._find_split(body)
            case "attested":
                return (body["warrant_id"], milestone["name"]) in self.attested
            case "tranche":
                return (milestone.get("warrant_id") or body["warrant_id"], milestone["tranche"]) in self.vested
            case _:
                return True

    def _find_terms(self, body: Body) -> Body:
        """Return the terms of the tranche that an event names."""
        tranches = (self.warrants.get(body["warrant_id"]) or {}).get("tranches") or []
        found: Body = tranches[body["tranche"]] if body["tranche"] < len(tranches) else {}
        return found

    def _find_mean(self, body: Body, terms: Body, last: str | None = None) -> Fraction | None:
        until = None if last is None else date.fromisoformat(last)
        return self.averages.find_source(body["issuer_id"], terms).find_mean(terms, until)

    def _find_split(self, body: Body) -> Fraction:
        """Return into how many shares one share was split since a warrant was issued."""
        return self.averages.find_split(body["issuer_id"]) / self.splits.get(body["warrant_id"], Fraction(1))

    def _check_priced(self, message: Message, body: Body) -> None:
        """Check that a price which is fixed later is its part of the mean up to the day that fixes it."""
        later, warrant_id = self._find_terms(body).get("later_price"), body["warrant_id"]
        day = None if later is None else self.vested.get((warrant_id, later["tranche"]))
        mean = None if later is None or day is None else self._find_mean(body, later["average"], day)
        text = f"tranche {body['tranche']} of {warrant_id} is priced by {body['average_usd']} to {body['on_day']}"
        right = mean is not None and (mean, day) == (Fraction(body["average_usd"]), body["on_day"])
        self.findings.require(right, "warrant", message.sequence, f"{text}, the mean to {day} is {mean}")
        if later is not None and mean is not None:
            since = self._find_split(body)
            smaller = len(str(ceil(since) - 1)) if since > 1 else 0
            due = round(mean * Fraction(later["multiple"]), min(later.get("places", 4) + smaller, _PLACES))
            text = f"tranche {body['tranche']} of {warrant_id} costs {body['exercise_price_usd']} USD, {due} is due"
            right = Fraction(body["exercise_price_usd"]) == due
            self.findings.require(right, "warrant", message.sequence, text)

    def _check_value(self, message: Message, body: Body) -> None:
        """Check that a net exercise of a warrant that states a mean counts with that, and its last price is new."""
        terms, stated = self.warrants.get(body["warrant_id"], {}).get("fair_value"), body.get("fair_value_usd")
        if terms is None or stated is None:
            return
        source = self.averages.find_source(body["issuer_id"], terms)
        mean = source.find_mean(terms)
        fresh = parse_instant(message.headers["ce-time"]).date() - source.latest <= _FRESH
        text = f"{body['warrant_id']} is exercised at a value of {stated} USD, the mean to {source.latest} is {mean}"
        right = fresh and mean is not None and Fraction(stated) == round(mean, _PLACES)
        self.findings.require(right, "warrant", message.sequence, text)
