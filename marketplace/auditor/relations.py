"""Checks related parties: their trades are marked; marks and transfers to affiliates have a relation behind them.

Own capacity, whose holder is or is firmly related to who sells or delivers it, bids in a book no more than a step above
the ask, and not beside a lot of its pool that asks less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

MARKED_BY: Final = timedelta(hours=1)
"""How long after it is known a relation may leave an earlier trade unmarked."""
STEP_USD: Final = Decimal("0.000001")
"""So much above the ask own capacity bids at most."""


@dataclass(slots=True)
class Relation:
    """A relation, from its events alone.

    Attributes:
        ends: Both parties, or a party and an owner outside.
        since: Since when it holds; None: always.
        until: Until when it held; None: it still holds.
        firm_at: When it was found, or stated by the second party; None: one party alone states it.
        found: Whether the platform found it.
    """

    ends: tuple[str, str]
    since: datetime | None = None
    until: datetime | None = None
    firm_at: datetime | None = None
    found: bool = False

    def holds(self, at: datetime) -> bool:
        """Return whether it held at an instant."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


@dataclass(slots=True)
class Trade:
    """The award of a grant: who buys, who sells and delivers, who takes the equity, when, and the grant's mark.

    `sellers` are the provider and, of resold capacity, its seller. `sequence` is the award's event.
    """

    buyer: str
    sellers: set[str]
    holder: str | None
    at: datetime
    sequence: int
    mark: str | None


@dataclass(slots=True)
class Relations:
    """Folds and checks relations and awards.

    Attributes:
        relations: By id.
        trades: By grant.
        warrants: The first holder of each warrant, and the affiliates that it names.
        owners: Who holds each mandate, and sells each pool and each lot.
        books: The lots of the latest book, by its auction.
        now: Time of the last event.
    """

    findings: Findings
    relations: dict[str, Relation] = field(default_factory=dict)
    trades: dict[str, Trade] = field(default_factory=dict)
    warrants: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    books: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    now: datetime | None = None

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            if "ce-time" in message.headers:
                self.now = parse_instant(message.headers["ce-time"])
            name = message.event_type.removesuffix(".v1")
            if name.startswith("register.relation_") and self.now is not None:
                self._relate(name, message.read(), self.now)
            elif name == "grant.issued" and self.now is not None:
                self._award(message, message.read(), self.now)
            elif name == "grant.marked":
                self._mark(message, message.read())
            elif name in {"mandate.granted", "pool.opened", "lot.listed"}:
                body = message.read()
                self.owners[body[f"{name.partition('.')[0]}_id"]] = body.get("holder_id") or body["provider_id"]
            elif name == "auction.book_frozen" and self.now is not None:
                self._check_book(message, message.read(), self.now)
            elif name == "issuer.warrant_issued":
                body = message.read()
                self.warrants[body["warrant_id"]] = body["holder_id"], set(body.get("affiliate_ids", ()))
            elif name == "issuer.warrant_transferred" and self.now is not None:
                self._hand_over(message, message.read(), self.now)

    def _relate(self, name: str, body: dict[str, Any], now: datetime) -> None:
        known = self.relations.get(body["relation_id"])
        if name == "register.relation_ended":
            if known is not None:
                known.until = parse_instant(body["at"])
            return
        since = None if body.get("since") is None else parse_instant(body["since"])
        if known is None:
            ends = body["party_id"], body.get("related_id") or body["owner"]
            known = self.relations[body["relation_id"]] = Relation(ends, since)
        is_found = name == "register.relation_found"
        if is_found or known.since is None or since is None:
            known.since = since if is_found else None
        else:
            known.since = min(known.since, since)
        known.found = known.found or is_found
        if known.firm_at is None and (is_found or body.get("firm")):
            known.firm_at = now

    def _award(self, message: Message, body: dict[str, Any], now: datetime) -> None:
        sellers = {body["provider_id"]} | ({body["resale"]["seller_id"]} if body.get("resale") else set())
        holder = (body.get("equity") or {}).get("holder_id")
        trade = Trade(body["startup_id"], sellers, holder, now, message.sequence, body.get("mark"))
        self.trades[body["grant_id"]] = trade
        self._check_mark(message, body["grant_id"], trade)

    def _check_book(self, message: Message, body: dict[str, Any], now: datetime) -> None:
        """Check the bids of own capacity in a part of a book. The lots stand in the same part, or in those before."""
        lots = [*self.books.get(body["auction_id"], ()), *body.get("lots", ())]
        self.books = {body["auction_id"]: lots}
        groups: dict[str, set[str]] = {}
        for order_id, bid in ((each["order_id"], bid) for each in body.get("orders", ()) for bid in each["bids"]):
            holder = self.owners.get(bid.get("mandate_id") or "")
            if holder is None:
                continue
            if holder not in groups:
                groups[holder] = self.reach(holder, now)
            mine = [lot for lot in lots if lot["lot_id"] in (bid.get("lot_ids") or ())]
            sold_by = {bid["pool_id"], *(lot.get("step_of") or lot["lot_id"] for lot in mine)}
            if groups[holder].isdisjoint(self.owners.get(each, "") for each in sold_by):
                continue
            worth, asks = Decimal(bid["value_usd_per_gpu_hour"]), [Decimal(lot["ask_usd_per_gpu_hour"]) for lot in mine]
            dear = [lot["lot_id"] for lot in mine if any(_is_cheaper_beside(other, lot) for other in lots)]
            text = f"{order_id} bids {worth} on own capacity that asks {asks}, beside cheaper: {dear}"
            right = not dear and all(worth <= ask + STEP_USD for ask in asks)
            self.findings.require(right, "own_capacity", message.sequence, text)

    def _hand_over(self, message: Message, body: dict[str, Any], now: datetime) -> None:
        """Check that who gets a warrant is an affiliate of its first holder, by name or by a relation in force.

        What a holder without a key passes on is voted on.
        """
        first, named = self.warrants.get(body["warrant_id"], ("", set()))
        after, relation = body["holder_id_after"], body.get("relation")
        allowed = {first} | named if relation is None else self.connect(first, now, found=relation == "found")
        text = f"{body['warrant_id']} passes to {after}, which is no affiliate of {first} ({relation or 'named'})"
        joins = body["holder_id"].startswith("stk_") and after.startswith("pty_")
        self.findings.require(joins or after in allowed, "relation", message.sequence, text)
        if joins and body["holder_id"] == first:
            self.warrants[body["warrant_id"]] = after, named

    def connect(self, party: str, at: datetime, *, found: bool) -> set[str]:
        """Return a party and all whom firm relations connect with it; with `found`, only those that were found."""
        firm = [each for each in self.relations.values() if each.firm_at is not None and each.holds(at)]
        ends = [each.ends for each in firm if each.found or not found]
        reached, before = {party}, 0
        while len(reached) > before:
            before = len(reached)
            reached.update(end for pair in ends if reached & set(pair) for end in pair)
        return reached

    def _mark(self, message: Message, body: dict[str, Any]) -> None:
        trade = self.trades.get(body["grant_id"])
        if trade is not None:
            trade.mark = body["mark"]
            self._check_mark(message, body["grant_id"], trade)

    def _check_mark(self, message: Message, grant_id: str, trade: Trade) -> None:
        """Check that a mark of related parties has a relation behind it, be it stated by one end alone."""
        if trade.mark in {"related", "named"}:
            sides = [trade.buyer] + [trade.holder] * (trade.mark == "named" and trade.holder is not None)
            known = [side for side in sides if side and trade.sellers & self.reach(side, trade.at, firm=False)]
            text = f"{grant_id} is marked as related, and nobody stated or found a relation of its parties"
            self.findings.require(bool(known), "relation", message.sequence, text)

    def finish(self) -> None:
        """Check that every trade of firmly related parties is marked, soon after the relation is known."""
        for grant_id, trade in self.trades.items():
            bought = trade.sellers & self.reach(trade.buyer, trade.at)
            taken = trade.holder is not None and trade.sellers & self.reach(trade.holder, trade.at)
            right = trade.mark == "related" if bought else trade.mark is not None or not taken
            text = f"{grant_id} is a trade of related parties, and its mark is {trade.mark}"
            self.findings.require(right, "relation", trade.sequence, text)

    def reach(self, party: str, at: datetime, *, firm: bool = True) -> set[str]:
        """Return a party and all that relations connect with it at an instant, also through others.

        With `firm`, only relations count that were found, or stated by both, an hour or longer before the last event.
        """
        found, waiting = {party}, [party]
        while waiting:
            end = waiting.pop()
            others = {other for other in self._list_others(end, at, firm=firm) if other not in found}
            found |= others
            waiting.extend(others)
        return found

    def _list_others(self, end: str, at: datetime, *, firm: bool) -> Iterator[str]:
        for relation in self.relations.values():
            if end not in relation.ends or not relation.holds(at):
                continue
            first = relation.firm_at
            is_known = first is not None and self.now is not None and first + MARKED_BY <= self.now
            if is_known or not firm:
                yield relation.ends[0] if relation.ends[1] == end else relation.ends[1]


def _is_cheaper_beside(other: dict[str, Any], lot: dict[str, Any]) -> bool:
    """Return whether a lot of a book asks less than one of the same pool in a period of it."""
    is_beside = other["from_period"] < lot["to_period"] and lot["from_period"] < other["to_period"]
    is_cheaper = Decimal(other["ask_usd_per_gpu_hour"]) < Decimal(lot["ask_usd_per_gpu_hour"])
    return is_beside and is_cheaper and other["pool_id"] == lot["pool_id"]
