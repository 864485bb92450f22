"""Checks orders, auctions, grants and statements: each step happens once, and charges add up."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

Steps = Mapping[str, tuple[frozenset[str | None], str]]
"""For each event: the states before it, and the state after it."""

ORDER_STEPS: Final[Steps] = {
    "placed": (frozenset({None}), "open"),
    "amended": (frozenset({"open"}), "open"),
    "locked": (frozenset({"open", "locked"}), "locked"),
    "matched": (frozenset({"open", "locked"}), "matched"),
    "unmatched": (frozenset({"locked"}), "unmatched"),
    "cancelled": (frozenset({"open"}), "cancelled"),
    "expired": (frozenset({"open"}), "expired"),
}
STATEMENT_STEPS: Final[Steps] = {
    "issued": (frozenset({None}), "issued"),
    "credited": (frozenset({None}), "credited"),
    "disputed": (frozenset({"issued", "disputed"}), "disputed"),
    "resolved": (frozenset({"disputed"}), "resolved"),
    "accepted": (frozenset({"issued", "resolved", "disputed"}), "accepted"),
    "service_credited": (frozenset({"accepted"}), "accepted"),
    "answered": (frozenset({"disputed"}), "disputed"),
    "conceded": (frozenset({"disputed"}), "disputed"),
    "referred": (frozenset({"disputed"}), "disputed"),
    "part_settled": (frozenset({"disputed"}), "disputed"),
}
_CENT: Final = Fraction(1, 100)
_CORRECTED: Final = timedelta(days=7)
"""How long after readings were lowered they may be corrected up."""
_CORRECTED_AFTER: Final = timedelta(days=30)
"""How long after a grant's end that may keep it open."""
GRANT_STEPS: Final = {"issued", "activated", "completed", "terminated"}


@dataclass(slots=True)
class Auction:
    """One auction, from its events alone.

    Attributes:
        end: Until when it may award capacity.
        book: The orders of its frozen book.
        decisions: How often each order was decided.
        locked: The orders that it locked.
        locks_at: When it locks.
    """

    status: str = "collecting"
    end: datetime | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    locked: set[str] = field(default_factory=set)
    book: set[str] = field(default_factory=set)
    locks_at: datetime | None = None


@dataclass(slots=True)
class Grant:
    """One grant, from its events alone.

    Attributes:
        disputed: Whether the statement that changed last is disputed, or resolved and not accepted yet.
        spans: What it was awarded, and each extension.
        outages: Start, end (None while it lasts) and the nodes that work, of each span in which some do not.
        most_gpu_seconds: What may count once it is open for lowered readings alone; None: what it has nodes for.
        open_until: Until when it stays open after readings of a settled period were lowered; None: none were.
        was_disputed: Whether a statement of it was ever disputed.
        stated: The first statement of each period.
    """

    order_id: str
    status: str
    end: datetime
    account_id: str
    hold_id: str
    disputed: bool = False
    nodes: int = 0
    gpus_per_node: int = 0
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)
    resold_gpu_seconds: int = 0
    outages: list[tuple[datetime, datetime | None, int]] = field(default_factory=list)
    charged_gpu_seconds: int = 0
    most_gpu_seconds: int | None = None
    open_until: datetime | None = None
    was_disputed: bool = False
    stated: list[str] = field(default_factory=list)

    def report(self, start: datetime, until: datetime | None, working: int) -> None:
        """Add an outage. One without an end replaces the open one from its start on."""
        if until is None:
            self.close(start)
        self.outages.append((start, until, working))

    def close(self, at: datetime) -> None:
        """End the open outages."""
        self.outages = [
            (start, at if until is None else until, working)
            for start, until, working in self.outages
            if until is not None or start < at
        ]

    def count_failed(self, at: datetime) -> int:
        """Return the nodes that do not work at an instant, by the reports until now; all of them before its start."""
        if at < self.spans[0][0]:
            return self.nodes
        there = (working for start, until, working in self.outages if start <= at and (until is None or at < until))
        return self.nodes - min(there, default=self.nodes)

    def count_most(self) -> int:
        """Return the GPU-seconds that may be charged: those granted and not resold, less those of failed nodes.

        Nodes that failed while a part was resold are not counted, since they may be the buyer's.
        """
        most = -self.resold_gpu_seconds
        for begin, stop in self.spans:
            cut = [
                (max(start, begin), min(until or stop, stop), working)
                for start, until, working in self.outages
                if not self.resold_gpu_seconds
            ]
            bounds = sorted({begin, stop, *(at for start, until, _ in cut if start < until for at in (start, until))})
            for first, last in pairwise(bounds):
                nodes = min(
                    [self.nodes, *(working for start, until, working in cut if start <= first and last <= until)]
                )
                most += nodes * self.gpus_per_node * math.ceil((last - first).total_seconds())
        return most


@dataclass(slots=True)
class Market:
    """Folds and checks the events of orders, auctions, grants and statements.

    Attributes:
        orders: Status by order.
        order_holds: Account and hold of each order.
        expiries: The stated expiry of each order.
        budgeted: The last end of a run of each order that holds budgets of mandates.
        offers: Dollars of cash and of principal that each order last offered for a GPU-hour of each class.
        groups: Startup and name of the group of each order that has one.
        served: The order of each group that was matched first.
        statements: Status by statement.
        periods: The event that first stated each grant's, or service line's, period.
        due: When each statement is accepted without an answer.
        heard: Which payers accepted or disputed, for each statement whose holder is heard too.
        now: Time of the last event.
    """

    findings: Findings
    orders: dict[str, str] = field(default_factory=dict)
    order_holds: dict[str, tuple[str, str]] = field(default_factory=dict)
    expiries: dict[str, datetime] = field(default_factory=dict)
    budgeted: dict[str, datetime] = field(default_factory=dict)
    offers: dict[tuple[str, str], tuple[Fraction, Fraction]] = field(default_factory=dict)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)
    served: dict[tuple[str, str], str] = field(default_factory=dict)
    auctions: dict[str, Auction] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    statements: dict[str, str] = field(default_factory=dict)
    periods: dict[tuple[str, str, str], int] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    heard: dict[str, set[str]] = field(default_factory=dict)
    now: datetime | None = None

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            aggregate, _, name = message.event_type.removesuffix(".v1").partition(".")
            if "ce-time" in message.headers:
                self.now = parse_instant(message.headers["ce-time"])
            body = message.read()
            match aggregate:
                case "order":
                    self._take_order(message, name, body)
                case "auction":
                    self._take_auction(message, name, body)
                case "grant":
                    self._take_grant(message, name, body)
                case "statement":
                    self._take_statement(message, name, body)
                case "usage" if name == "limited" and body["grant_id"] in self.grants:
                    self.grants[body["grant_id"]].most_gpu_seconds = body.get("gpu_seconds_max")

    def _take_order(self, message: Message, name: str, body: dict[str, Any]) -> None:
        order_id, before = body["order_id"], self.orders.get(body["order_id"])
        if name in ORDER_STEPS:
            allowed, after = ORDER_STEPS[name]
            text = f"{order_id} is {before or 'unknown'} and cannot be {name}"
            self.findings.require(before in allowed, "order", message.sequence, text)
            self.orders[order_id] = "open" if body.get("open_again") else after
        if name == "placed" and body["terms"].get("group"):
            self.groups[order_id] = (body["startup_id"], body["terms"]["group"])
        if name == "matched" and order_id in self.groups:
            first = self.served.setdefault(self.groups[order_id], order_id)
            text = f"{order_id} is matched, and {first} of the same group was"
            self.findings.require(first == order_id, "group", message.sequence, text)
        if name in {"placed", "amended"}:
            account_id = body.get("account_id") or self.order_holds.get(order_id, ("", ""))[0]
            self.order_holds[order_id] = (account_id, body["hold_id"])
            self._read_ends(order_id, body)
            for offer in body["terms"]["offers"]:
                parts = Fraction(offer["cash_usd_per_gpu_hour"]), Fraction(offer["equity_usd_per_gpu_hour"])
                self.offers[order_id, offer["gpu_class"]] = parts
        auction = self.auctions.get(body.get("auction_id") or "")
        if auction is None:
            return
        if body.get("open_again"):
            self._check_budgets(message, auction, body)
        if name == "locked":
            auction.locked.add(order_id)
            self._check_expiry(message, auction, order_id)
        elif name in {"matched", "unmatched"}:
            auction.decisions[order_id] += 1
            text = f"{order_id} is decided {auction.decisions[order_id]} times by {body['auction_id']}"
            self.findings.require(auction.decisions[order_id] == 1, "decision", message.sequence, text)
            known = order_id in auction.locked
            text = f"{order_id} is decided by {body['auction_id']}, which did not lock it"
            self.findings.require(known, "decision", message.sequence, text)

    def _check_expiry(self, message: Message, auction: Auction, order_id: str) -> None:
        until, locks_at = self.expiries.get(order_id), auction.locks_at
        text = f"{order_id} expires at {until} and is locked for an auction that locks at {locks_at}"
        stands = until is None or locks_at is None or until > locks_at
        self.findings.require(stands, "order", message.sequence, text)

    def _read_ends(self, order_id: str, body: dict[str, Any]) -> None:
        """Read when an order expires, and the last end of a run that holds budgets."""
        self.expiries.pop(order_id, None)
        if body["terms"].get("expires_at"):
            self.expiries[order_id] = parse_instant(body["terms"]["expires_at"])
        self.budgeted.pop(order_id, None)
        if body.get("budget_holds"):
            hours = timedelta(hours=body["terms"]["duration_hours"])
            self.budgeted[order_id] = parse_instant(body["terms"]["start_latest"]) + hours

    def _check_budgets(self, message: Message, auction: Auction, body: dict[str, Any]) -> None:
        """Check that an order that holds budgets and that nothing on sale could serve does not stay open.

        It may where the conflict that it was told is the rule for own capacity alone.
        """
        own = [reason for reason in body["reasons"] if reason.get("facts", {}).get("conflict") == "own_capacity"]
        last = self.budgeted.get(body["order_id"])
        codes = {reason["code"] for reason in body["reasons"] if reason not in own}
        if last is None:
            return
        below = "below_ask" in codes and auction.end is not None and last <= auction.end
        text = f"{body['order_id']} keeps budgets of mandates although {', '.join(sorted(codes))}"
        served = not (below or codes & {"no_eligible_pool", "never_feasible"})
        self.findings.require(served, "budget", message.sequence, text)

    def _take_auction(self, message: Message, name: str, body: dict[str, Any]) -> None:
        auction_id, sequence, require = body["auction_id"], message.sequence, self.findings.require
        if name == "opened":
            horizon = timedelta(hours=body["period_hours"] * body["periods"])
            end, locks_at = parse_instant(body["horizon_start"]) + horizon, parse_instant(body["locks_at"])
            self.auctions[auction_id] = Auction(end=end, locks_at=locks_at)
            return
        auction = self.auctions.get(auction_id)
        if not require(auction is not None, "auction", sequence, f"{auction_id} was never opened") or auction is None:
            return
        if name == "book_frozen":
            auction.book |= {row["order_id"] for row in (*body.get("orders", ()), *body.get("backstops", ()))}
        elif name == "locked":
            require(
                auction.status == "collecting", "auction", sequence, f"{auction_id} is {auction.status} and is locked"
            )
            auction.status = "locked"
        elif name == "cleared":
            require(auction.status == "locked", "auction", sequence, f"{auction_id} is {auction.status} and is cleared")
            auction.status = "cleared"
        elif name == "completed":
            require(auction.status in {"locked", "cleared"}, "auction", sequence, f"{auction_id} is {auction.status}")
            auction.status = "carried out"
            self._check_completed(message, auction, body)

    def _check_completed(self, message: Message, auction: Auction, body: dict[str, Any]) -> None:
        """Check that every order of the book has exactly one decision when the auction is completed.

        An order that is locked beside the book, by a worker that does not know yet that it was frozen, may be deferred
        later.
        """
        decided = auction.decisions
        wrong = sorted(order_id for order_id in auction.book if decided[order_id] != 1)
        text = f"{body['auction_id']} is carried out; {len(wrong)} of its orders have no decision or two: {wrong[:3]}"
        self.findings.require(not wrong, "decision", message.sequence, text)

    def _take_grant(self, message: Message, name: str, body: dict[str, Any]) -> None:
        grant_id, sequence, require = body["grant_id"], message.sequence, self.findings.require
        if name == "issued":
            require(grant_id not in self.grants, "grant", sequence, f"{grant_id} was issued before")
            self._check_price(message, body)
            end = parse_instant(body["end"])
            known = Grant(body["order_id"], "issued", end, body["startup_account_id"], body["hold_id"])
            known.nodes, known.gpus_per_node = body["nodes"], body["gpus_per_node"]
            known.spans = [(parse_instant(body["start"]), end)]
            self.grants[grant_id] = known
            return
        grant = self.grants.get(grant_id)
        if not require(grant is not None, "grant", sequence, f"{grant_id} was never issued") or grant is None:
            return
        late = name == "marked" or (name == "degraded" and body.get("until"))
        over = grant.status == "completed" and not late
        require(not over, "grant", sequence, f"{grant_id} is completed and is {name}")
        if name == "extended":
            grant.end = parse_instant(body["end"])
            grant.spans.append((parse_instant(body["start"]), grant.end))
        elif name == "rescheduled":
            grant.end = parse_instant(body["end"])
            grant.spans, grant.outages, grant.status = [(parse_instant(body["start"]), grant.end)], [], "issued"
        elif name == "terminated":
            grant.end = min(grant.end, parse_instant(body["at"]))
            has_cause = body["for_cause"] and body["by"] == "startup"
            failed = grant.count_failed(parse_instant(body["noticed_at"])) if has_cause else 0
            text = f"{grant_id} ends with {body['nodes_failed']} failed nodes, {failed} were reported"
            settled = (
                has_cause and failed < body["nodes_failed"] <= grant.nodes
            )  # `causes.py` knows what its statements say
            require(settled or body["nodes_failed"] == failed, "failed", sequence, text)
        self._take_nodes(message, grant, name, body)
        if name in GRANT_STEPS:
            grant.status = "active" if name == "activated" else name

    def _check_price(self, message: Message, body: dict[str, Any]) -> None:
        """Check that a grant pays no more than its order offered, in the offer's parts of cash and principal.

        The buyer of a company pays the price of the grant that it takes over in cash.
        """
        grant_id, equity = body["grant_id"], body.get("equity")
        price, offer = Fraction(body["price_usd_per_gpu_hour"]), self.offers.get((body["order_id"], body["gpu_class"]))
        text = f"{grant_id} is of a class for which its order offers nothing"
        if not self.findings.require(offer is not None, "price", message.sequence, text) or offer is None:
            return
        cash, principal = offer
        value = cash + (1 if equity is None else Fraction(equity["equity_credit"])) * principal
        text = f"{grant_id} pays {price}, it offered {value}"
        self.findings.require(price <= value, "price", message.sequence, text)
        if equity is not None:
            shares = Fraction(body["cash_share"]), Fraction(equity["principal_share"])
            paid, owed = price * shares[0], price * shares[1]
            text = f"{grant_id} pays {paid} and owes {owed} of {price}, it offered {offer}"
            fits = paid <= cash and owed <= principal and abs(paid - price * cash / value) <= min(_CENT, price / 10)
            whole = paid + Fraction(equity["equity_credit"]) * owed == price
            self.findings.require(fits and whole, "price", message.sequence, text)

    def _take_nodes(self, message: Message, grant: Grant, name: str, body: dict[str, Any]) -> None:
        """Fold what of a grant did not work, and check at its end that no more was charged than did."""
        if name == "degraded":
            until = None if body.get("until") is None else parse_instant(body["until"])
            grant.report(parse_instant(body["at"]), until, body["nodes_available"])
        elif name == "suspended":
            grant.report(parse_instant(body["at"]), None, 0)
        elif name == "resumed":
            grant.close(parse_instant(body["at"]))
        elif name == "withholding_ended":
            grant.outages.append((parse_instant(body["since"]), parse_instant(body["at"]), 0))
        elif name == "resold":
            grant.resold_gpu_seconds += body["gpu_seconds"]
        elif name == "completed":
            most, charged = grant.count_most(), grant.charged_gpu_seconds
            text = f"{body['grant_id']} charges {charged} GPU-seconds, and {most} were granted and worked"
            self.findings.require(charged <= most, "delivered", message.sequence, text)
            is_over = grant.open_until is None or parse_instant(message.headers["ce-time"]) >= grant.open_until
            text = f"{body['grant_id']} is completed while lowered readings may be corrected until {grant.open_until}"
            self.findings.require(is_over, "grant", message.sequence, text)
            self._check_reported(message, grant, most)

    def _check_reported(self, message: Message, grant: Grant, most: int) -> None:
        """Check that a grant of which not all was counted is completed once late readings no longer come.

        Not if a statement was disputed, which charges less than is metered, or lowered, or a part was resold.
        """
        left = most - grant.charged_gpu_seconds - grant.nodes * grant.gpus_per_node
        if left <= 0 or grant.was_disputed or grant.open_until is not None or grant.resold_gpu_seconds:
            return
        due = max((self.due[statement_id] for statement_id in grant.stated), default=None)
        is_over = due is None or parse_instant(message.headers["ce-time"]) >= due
        text = f"{message.read()['grant_id']} is completed while late readings may come until {due}"
        self.findings.require(is_over, "grant", message.sequence, text)

    def _take_statement(self, message: Message, name: str, body: dict[str, Any]) -> None:
        statement_id, sequence = body["statement_id"], message.sequence
        before = self.statements.get(statement_id)
        allowed, after = STATEMENT_STEPS.get(name, ({before}, before or ""))
        if name == "part_settled" and body.get("is_cash_due"):
            allowed, after = frozenset({"issued", "disputed", "resolved"}), before or ""
        if name == "resolved" and body["by"] == "sale":
            allowed = frozenset({"issued", "resolved"})
        text = f"{statement_id} is {before or 'unknown'} and cannot be {name}"
        self.findings.require(before in allowed, "statement", sequence, text)
        self.statements[statement_id] = after
        if body["grant_id"] in self.grants:
            self._charge(message, self.grants[body["grant_id"]], name, body)
        if name == "issued":
            self.due[statement_id] = parse_instant(body["accept_until"])
            if body.get("adjustment") is None:
                period = (body["grant_id"], body.get("service_line_id") or "", body["period_start"])
                first = self.periods.setdefault(period, sequence)
                self.findings.require(first == sequence, "statement", sequence, f"{period} is stated by event {first}")
        self._hear(message, name, body)
        if "charges" in body:
            self._check_charges(message, body["charges"])

    def _charge(self, message: Message, grant: Grant, name: str, body: dict[str, Any]) -> None:
        """Fold what a statement says of its grant, and check that no more is charged than may count."""
        statement_id, sequence = body["statement_id"], message.sequence
        grant.disputed = self.statements[statement_id] in {"disputed", "resolved"}
        grant.was_disputed |= grant.disputed
        if name == "issued" and not body.get("service_line_id") and body.get("adjustment") is None:
            grant.stated.append(statement_id)
        if name == "credited" and not body.get("service_line_id"):
            change, at = body["adjustment"], parse_instant(message.headers["ce-time"])
            if change["gpu_seconds_after"] < change["gpu_seconds_before"]:
                grant.open_until = min(at + _CORRECTED, grant.end + _CORRECTED_AFTER)
        if name in {"accepted", "credited"}:
            grant.charged_gpu_seconds += (1 if name == "accepted" else -1) * body["charges"]["gpu_seconds"]
            charged, most = grant.charged_gpu_seconds, grant.most_gpu_seconds
            text = f"{body['grant_id']} charges {charged} GPU-seconds, and {most} may count in all"
            self.findings.require(most is None or charged <= most, "delivered", sequence, text)

    def _hear(self, message: Message, name: str, body: dict[str, Any]) -> None:
        """Check that a statement settles early only once both who pay were heard, where its holder has to be."""
        statement_id, by = body["statement_id"], body.get("by", "")
        if name == "issued" and body.get("holder_accepts") and Decimal(body["charges"]["holder_usd"]):
            self.heard[statement_id] = set()
        heard = self.heard.get(statement_id)
        if heard is None:
            return
        if name in {"agreed", "disputed"}:
            heard.add("holder" if by == "holder" else "startup")
        is_early = parse_instant(message.headers["ce-time"]) < self.due[statement_id]
        is_party = message.headers.get("ce-actor", "").startswith("pty_")
        if name == "accepted" and is_early and is_party and Decimal(body["charges"]["holder_usd"]):
            needed = 1 if by == "acceptance" else 2
            text = f"{statement_id} settles by {by}, and only {sorted(heard)} were heard before"
            self.findings.require(len(heard) >= needed, "statement", message.sequence, text)

    def _check_charges(self, message: Message, charges: dict[str, str]) -> None:
        """Check that provider and reseller receive what startup, holder and reseller pay."""
        got, paid = (
            sum(Decimal(charges.get(name, "0")) for name in names)
            for names in (("provider_usd", "reseller_receives_usd"), ("cash_usd", "holder_usd", "reseller_pays_usd"))
        )
        text = f"{got} USD are received, {paid} are paid"
        self.findings.require(got == paid, "charges", message.sequence, text)
