"""Checks what claims on bonds count as a replacement: bought in an auction, where the market set its price.

Its order asks no more than the order of the lost grant, and another provider offered capacity for it in the auction. It
counts for no more hours than its provider's meter counted and, unless readings were lowered since, than its statements
charge. It costs at most the difference of both prices, and at most the price of the lost hours again: the provider what
it is paid of that, and the seller of resold hours the rest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.stream import Findings, Message

_ANY: Final[dict[str, tuple[Any, ...]]] = {
    "interconnect": ("any",),
    "provider_reliability_min": (None,),
    "availability_min": (None,),
    "notice_hours_min": (0, None),
    "notice_hours_max": (None,),
    "power_usage_effectiveness_max": (None,),
    "renewable_share_min": (None,),
    "stages": (None,),
    "credit": (None,),
    "regions": ([], None),
    "mandate_ids": ([], None),
}
"""By wish of an order, the values that wish nothing."""
_READINGS: Final = frozenset({"usage.reported", "usage.corrected", "usage.voided"})
_STATEMENTS: Final = frozenset({"statement.issued", "statement.disputed", "statement.resolved", "statement.accepted"})
_SECONDS: Final = 3_600
_CENT: Final = Fraction(1, 100)


@dataclass(slots=True)
class Replacements:
    """Folds orders, pools, books and grants, and checks the claims that name replacements.

    Attributes:
        terms: What each order asks.
        providers: The provider of each pool.
        books: By order of a frozen book, the pools that it bids on, until it is decided.
        grants: The event that issued each grant.
        contested: The grants of auctions in which other providers offered capacity for the order.
        metered: The GPU-seconds that the provider's meter counted of each grant.
        lowered: The grants whose readings were lowered.
        stated: The grant of each statement, what it stated, and what it charges now or the lowest count of a payer.
    """

    findings: Findings
    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    books: dict[str, set[str]] = field(default_factory=dict)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    contested: set[str] = field(default_factory=set)
    metered: Counter[str] = field(default_factory=Counter)
    lowered: set[str] = field(default_factory=set)
    stated: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name in {"order.placed", "order.amended"}:
                body = message.read()
                self.terms[body["order_id"]] = body["terms"]
            elif name == "pool.opened":
                body = message.read()
                self.providers[body["pool_id"]] = body["provider_id"]
            elif name == "auction.book_frozen":
                body = message.read()
                for row in [*body.get("orders", ()), *body.get("backstops", ())]:
                    self.books[row["order_id"]] = {bid["pool_id"] for bid in row["bids"]}
            elif name == "grant.issued":
                self._issue(message.read())
            elif name in {"order.unmatched", "order.cancelled", "order.expired"}:
                self.books.pop(message.read()["order_id"], None)
            elif name == "bond.claimed":
                self._check_claim(message, message.read())
            else:
                self._count(name, message)
                self._state(name, message)

    def _count(self, name: str, message: Message) -> None:
        """Count what the meter of a provider says, or no longer says."""
        if name not in _READINGS or (body := message.read()).get("meter", "provider") != "provider":
            return
        less, more = [body[key] for key in ("before", "reading") if key in body], list(body.get("readings", ()))
        more += [body["after"]] if name == "usage.corrected" else []
        seconds = sum(each["gpu_seconds"] for each in more) - sum(each["gpu_seconds"] for each in less)
        self.metered[body["grant_id"]] += seconds
        if seconds < 0:
            self.lowered.add(body["grant_id"])

    def _state(self, name: str, message: Message) -> None:
        """Fold what a statement of usage charges, or what a payer says that it should."""
        if name not in _STATEMENTS:
            return
        body = message.read()
        statement_id = body["statement_id"]
        if name == "statement.issued" and body.get("service_line_id") is None:
            seconds = body["charges"]["gpu_seconds"]
            self.stated[statement_id] = body["grant_id"], seconds, seconds
        elif statement_id in self.stated:
            grant_id, stated, charged = self.stated[statement_id]
            if name == "statement.disputed" and body.get("gpu_seconds_counted") is not None:
                charged = min(charged, body["gpu_seconds_counted"])
            elif name in {"statement.resolved", "statement.accepted"}:
                charged = body["charges"]["gpu_seconds"]
            self.stated[statement_id] = grant_id, stated, charged

    def _find_most(self, grant_id: str) -> int:
        """Return the most GPU-seconds that a replacement may count for."""
        known = [(stated, charged) for owner, stated, charged in self.stated.values() if owner == grant_id]
        uncharged = 0 if grant_id in self.lowered else sum(stated - charged for stated, charged in known)
        return self.metered[grant_id] - uncharged

    def _issue(self, body: dict[str, Any]) -> None:
        self.grants[body["grant_id"]] = body
        pools = self.books.pop(body["order_id"], set())
        if any(self.providers.get(pool_id, body["provider_id"]) != body["provider_id"] for pool_id in pools):
            self.contested.add(body["grant_id"])

    def _check_claim(self, message: Message, body: dict[str, Any]) -> None:
        lost = self.grants.get(body["grant_id"])
        for item in body["items"]:
            grant_id = item.get("replacement_id")
            bought = self.grants.get(grant_id)
            if lost is None or bought is None:
                continue
            wish = _find_wish(self.terms[lost["order_id"]], self.terms[bought["order_id"]])
            text = f"{grant_id} is bought by an order that asks more by its {wish} than that of {lost['grant_id']}"
            self.findings.require(wish is None, "replacement", message.sequence, text)
            text = f"{grant_id} is bought where no other provider offered anything for its order"
            self.findings.require(grant_id in self.contested, "replacement", message.sequence, text)
            delivered = self._find_most(grant_id)
            text = f"{grant_id} counts for {item['gpu_seconds']} GPU-seconds, it delivered and charges {delivered}"
            self.findings.require(item["gpu_seconds"] <= delivered, "replacement", message.sequence, text)
            paid, price = (Fraction(each["price_usd_per_gpu_hour"]) for each in (lost, bought))
            owed = Fraction((lost.get("resale") or {}).get("owed_usd_per_gpu_hour", paid))
            above, until = (owed, paid) if body.get("reach_usd") is not None else (Fraction(0), owed)
            most = max(min(price - paid - above, until - above), Fraction(0)) * item["gpu_seconds"] / _SECONDS
            text = f"{item['amount_usd']} USD are claimed for {grant_id}, it costs at most {float(most):.2f} more"
            right = Fraction(Decimal(item["amount_usd"])) <= most + _CENT
            self.findings.require(right, "replacement", message.sequence, text)


def _find_wish(asked: dict[str, Any], asks: dict[str, Any]) -> str | None:
    """Return the term by which an order is served by fewer than an earlier one; None if there is none."""
    if asks.get("gpus_per_node", 8) != asked.get("gpus_per_node", 8):
        return "gpus_per_node"
    for name in ("nodes", "duration_hours"):
        if asks[name] > asked[name]:
            return name
    if asks.get("backstop"):
        return "backstop"
    for name, nothing in _ANY.items():
        wish, before = asks.get(name, nothing[0]), asked.get(name, nothing[0])
        wider = isinstance(wish, list) and before and set(wish) >= set(before)
        if wish not in (*nothing, before) and not wider:
            return name
    return None
