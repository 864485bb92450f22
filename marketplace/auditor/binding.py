"""Checks that an auction decides on what it has bound: its orders as they were offered, and all that was on sale.

From its no-cancel phase on, or else its lock, the orders that it locked stand in its book, with what they asked and
offered, or are deferred. Lots keep their asks and spans, and what of them is unsold stands in the book whole, except
nodes of a pool of which some failed. An order that asks for a provider's score is held to the score of then. Orders
and lots that were offered after the lock time are not in the book, nor are orders that fit a daily auction in the book
of one with longer periods. What it awards is what its result states.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.capacity import Capacity
from marketplace.auditor.spans import Load, find_peak, parse_instant
from marketplace.auditor.standing import Standing
from marketplace.auditor.stream import Findings, Message

Body = Mapping[str, Any]
DAY: Final = timedelta(days=1)
SHORT: Final = 182 * DAY
STEP_USD: Final = Decimal("0.000001")
STORING_MAX: Final = timedelta(minutes=1)
"""More than an append may take; a message that is stored later than this was imported."""
_LOT_CHANGES: Final = frozenset({"lot.repriced", "lot.rescheduled", "lot.paused", "lot.resumed", "lot.withdrawn"})
_MOVES: Final = frozenset({"lot.rescheduled", "lot.withdrawn"})


@dataclass(slots=True)
class Lot:
    """A lot: its pool, span and asks, if it is a resale or on sale, and since when it offers what it does."""

    pool_id: str
    start: datetime
    end: datetime
    asks: list[Decimal]
    is_resale: bool
    since: datetime
    on_sale: bool = True


@dataclass(slots=True)
class Order:
    """What an order asks and offers, the credit of each mandate that pays for it, and since when each does."""

    terms: Body
    credits: dict[str, Decimal]
    since: datetime
    approved: dict[str, datetime]


@dataclass(slots=True)
class Auction:
    """An auction that is not completed.

    Attributes:
        binds_at: When it binds its orders.
        locks_at: When it locks.
        start: The begin of its first period.
        period: The length of a period.
        periods: How many it has.
        locked: The orders that it locked.
        bound: Those of its no-cancel phase.
        orders: The rows of its book for orders, by order.
        lots: Those for lots.
        deferred: The orders that it did not take.
        is_frozen: Whether the book is whole.
        matches: What each order that won gets.
        rates_at: When it takes the scores of providers: when it was to bind its orders.
        scores: These scores; None before.
    """

    binds_at: datetime
    rates_at: datetime
    locks_at: datetime
    start: datetime
    period: timedelta
    periods: int
    locked: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    orders: dict[str, Body] = field(default_factory=dict)
    lots: list[Body] = field(default_factory=list)
    deferred: set[str] = field(default_factory=set)
    is_frozen: bool = False
    matches: dict[str, Body] = field(default_factory=dict)
    scores: Mapping[str, Fraction] | None = None

    def meets(self, lot: Lot) -> bool:
        """Return whether a lot has hours that it may award."""
        return lot.start < self.start + self.periods * self.period and self.start < lot.end


@dataclass(slots=True)
class Binding:
    """Folds orders, lots and auctions. It takes a decision before the capacity does.

    Attributes:
        capacity: The nodes of pools, and what of them is taken.
        orders: The orders that wait for an auction.
        lots: By id.
        classes: The class of each pool.
        providers: The provider of each pool.
        standing: The scores of providers.
        weak: The pools of which nodes ever failed.
        leaving: When notice was given that a pool leaves, whose lots are withdrawn then.
        auctions: Those that are not completed.
    """

    findings: Findings
    capacity: Capacity
    orders: dict[str, Order] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    weak: set[str] = field(default_factory=set)
    leaving: dict[str, datetime] = field(default_factory=dict)
    auctions: dict[str, Auction] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        self._check_moved(decision)
        at = parse_instant(decision[0].headers["ce-time"])
        for auction in self.auctions.values():
            if auction.scores is None and auction.rates_at <= at:
                auction.scores = self.standing.list_scores()
        self.standing.take(decision)
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name in {"pool.opened", "pool.node_failed"}:
                body = message.read()
                self.classes.setdefault(body["pool_id"], body.get("gpu_class", ""))
                self.providers.setdefault(body["pool_id"], body.get("provider_id", ""))
                self.weak |= {body["pool_id"]} if name == "pool.node_failed" else set()
            elif name == "pool.closing_announced":
                self.leaving.setdefault(message.read()["pool_id"], parse_instant(message.headers["ce-time"]))
            elif name.startswith("lot."):
                self._take_lot(message, name, message.read())
            elif name.startswith("order."):
                self._take_order(message, name, message.read())
            elif name.startswith("auction."):
                self._take_auction(message, name, message.read())
            elif name == "grant.issued":
                self._check_award(message, message.read())

    def _check_moved(self, decision: Sequence[Message]) -> None:
        """Check that what a grant that moves offers for resale anew is an offer that it had, at the same ask."""
        named = [(message, message.event_type.removesuffix(".v1"), message.read()) for message in decision]
        if not any(name == "grant.substituted" for _, name, _ in named):
            return
        ended = [self.lots.get(body["lot_id"]) for _, name, body in named if name == "lot.withdrawn"]
        for message, name, body in named:
            if name == "lot.listed":
                span, asks = (parse_instant(body["start"]), parse_instant(body["end"])), _read_asks(body)
                same = any(
                    lot is not None
                    and lot.is_resale
                    and lot.asks == asks
                    and lot.start <= span[0]
                    and lot.end == span[1]
                    for lot in ended
                )
                text = f"{body['lot_id']} is listed as {body.get('grant_id')} moves, which offered nothing like it"
                self.findings.require(same, "frozen", message.sequence, text)

    def _take_lot(self, message: Message, name: str, body: Body) -> None:
        lot, at = self.lots.get(body["lot_id"]), parse_instant(message.headers["ce-time"])
        if name == "lot.listed":
            span = parse_instant(body["start"]), parse_instant(body["end"])
            resold = body.get("grant_id") is not None
            self.lots[body["lot_id"]] = Lot(body["pool_id"], *span, _read_asks(body), resold, at)
        elif lot is not None and name in _LOT_CHANGES:
            self._check_kept(message, name, body["lot_id"], lot)
            match name:
                case "lot.repriced":
                    lot.asks = _read_asks(body)
                case "lot.rescheduled":
                    start, end = parse_instant(body["start"]), parse_instant(body["end"])
                    lot.since = at if start < lot.start or lot.end < end else lot.since
                    lot.start, lot.end = start, end
                case "lot.paused" | "lot.withdrawn":
                    lot.on_sale = False
                case "lot.resumed":
                    lot.on_sale, lot.since = True, at

    def _check_kept(self, message: Message, name: str, lot_id: str, lot: Lot) -> None:
        """Check that nobody changes a lot that an auction has bound, unless its pool was to leave before that.

        Asks for later auctions change once the book is whole.
        """
        at, actor = parse_instant(message.headers["ce-time"]), message.headers.get("ce-actor", "")
        for auction_id, auction in self.auctions.items():
            if auction.is_frozen:
                rows = {row.get("step_of") or row["lot_id"] for row in auction.lots}
                kept = name in _MOVES and lot_id in rows
            else:
                kept = at >= auction.binds_at and auction.meets(lot)
            text = f"{actor} changes {lot_id} by {name}, which {auction_id} has bound"
            leaves = self.leaving.get(lot.pool_id, at) < auction.binds_at
            self.findings.require(not kept or lot.is_resale or leaves, "bound", message.sequence, text)

    def _take_order(self, message: Message, name: str, body: Body) -> None:
        order_id, at = body["order_id"], parse_instant(message.headers["ce-time"])
        if name in {"order.placed", "order.amended"}:
            holds = body.get("budget_holds", ())
            worth = {hold["mandate_id"]: Decimal(hold["equity_credit"]) for hold in holds}
            approved = {hold["mandate_id"]: at for hold in holds if not hold.get("needs_approval")}
            self.orders[order_id] = Order(body["terms"], worth, at, approved)
        elif name == "order.mandate_approved" and order_id in self.orders:
            self.orders[order_id].approved[body["mandate_id"]] = at
        elif name == "order.mandate_ended" and order_id in self.orders:
            self.orders[order_id].approved.pop(body["mandate_id"], None)
        elif name == "order.locked" and body["auction_id"] in self.auctions:
            self.auctions[body["auction_id"]].locked.add(order_id)
        elif name == "order.unmatched":
            auction = self.auctions.get(body["auction_id"])
            won = auction is not None and order_id in auction.matches
            told = won and any(reason["code"] == "became_impossible" for reason in body["reasons"])
            text = f"{order_id} won in {body['auction_id']}, but its decision says that it lost"
            self.findings.require(not won or told, "bound", message.sequence, text)

    def _take_auction(self, message: Message, name: str, body: Body) -> None:
        if name == "auction.opened":
            binds_at = rates_at = parse_instant(body.get("no_cancel_at") or body["locks_at"])
            if message.stored_at is not None:  # servers that stood still stored it late, and nobody knew of it before
                binds_at = max(binds_at, min(message.stored_at, binds_at + STORING_MAX))
            start, period = parse_instant(body["horizon_start"]), timedelta(hours=body["period_hours"])
            locks_at = parse_instant(body["locks_at"])
            self.auctions[body["auction_id"]] = Auction(binds_at, rates_at, locks_at, start, period, body["periods"])
        auction = self.auctions.get(body["auction_id"])
        if auction is None:
            return
        match name:
            case "auction.bound":
                auction.bound = set(auction.locked)
            case "auction.book_frozen":
                rows = [*body.get("orders", ()), *body.get("backstops", ())]
                auction.orders |= {row["order_id"]: row for row in rows}
                auction.lots += body.get("lots", ())
            case "auction.orders_deferred":
                auction.deferred |= {row["order_id"] for row in body["deferrals"]}
            case "auction.locked":
                auction.is_frozen = True
                self._check_book(message, body["auction_id"], auction)
            case "auction.result_published":
                won = [each for each in body.get("decisions", ()) if each.get("match") is not None]
                auction.matches |= {each["order_id"]: each["match"] for each in won}
            case "auction.completed":
                del self.auctions[body["auction_id"]]

    def _check_book(self, message: Message, auction_id: str, auction: Auction) -> None:
        """Check that a book has all that was bound, as it was bound."""
        require, sequence = self.findings.require, message.sequence
        lost = sorted(auction.bound - auction.orders.keys() - auction.deferred)
        text = f"{auction_id} has bound {lost[:3]}, and neither its book nor what it deferred contains them"
        require(not lost, "bound", sequence, text)
        asks = {row["lot_id"]: Decimal(row["ask_usd_per_gpu_hour"]) for row in auction.lots}
        for order_id, row in auction.orders.items():
            order = self.orders.get(order_id)
            problem = None if order is None else self._find_problem(order, row, auction, asks)
            problem = problem or (None if order is None else self._find_misrated(order, row, auction))
            require(problem is None, "bound", sequence, f"{order_id} stands in the book of {auction_id} {problem}")
        self._check_lots(message, auction_id, auction)

    def _find_problem(self, order: Order, row: Body, auction: Auction, asks: Mapping[str, Decimal]) -> str | None:
        """Return how an order's row differs from what it asks and offers; None if it does not."""
        terms = order.terms
        if min(order.approved.values(), default=order.since) > auction.locks_at:
            return "and was offered after the lock"
        earliest = auction.start + row["start_earliest"] * auction.period
        latest = auction.start + row["start_latest"] * auction.period
        length = row["duration_periods"] * auction.period
        if (row["nodes"], length) != (terms["nodes"], timedelta(hours=terms["duration_hours"])):
            return f"with {row['nodes']} nodes for {length}"
        if earliest < parse_instant(terms["start_earliest"]) or parse_instant(terms["start_latest"]) < latest:
            return f"to begin from {earliest} to {latest}"
        if auction.period > DAY and _fits_days(terms, length, auction.start):
            return "of long periods, and fits a daily one"
        offers = {offer["gpu_class"]: offer for offer in terms["offers"]}
        for bid in row["bids"]:
            offer, credit = offers.get(self.classes.get(bid["pool_id"], "")), order.credits.get(bid["mandate_id"] or "")
            worth = Decimal(bid["value_usd_per_gpu_hour"])
            if offer is None or (bid["mandate_id"] is not None and credit is None):
                return f"with a bid for {bid['pool_id']} and {bid['mandate_id']}, which it does not name"
            cash, equity = (Decimal(offer[f"{part}_usd_per_gpu_hour"]) for part in ("cash", "equity"))
            full = cash + (credit or Decimal(0)) * equity
            own = {asks[lot_id] + STEP_USD for lot_id in bid.get("lot_ids") or () if lot_id in asks}
            if worth != full and not (worth < full and credit is not None and worth in own):
                return f"with a bid of {worth}, it offers {full}"
        return None

    def _find_misrated(self, order: Order, row: Body, auction: Auction) -> str | None:
        """Return how an order was held to other scores than those at which it was bound; None if it was not."""
        least = Fraction(order.terms.get("provider_reliability_min") or 0)
        if not least or auction.scores is None:
            return None
        scores = auction.scores
        low = {pool_id for pool_id, party_id in self.providers.items() if scores.get(party_id, Fraction(1)) < least}
        bids = sorted({bid["pool_id"] for bid in row["bids"]} & low)
        if bids:
            return f"with a bid for {bids[0]}, whose provider's score was below {least}"
        names = (each.get("step_of") or each["lot_id"] for each in auction.lots)
        pools = {self.lots[lot_id].pool_id for lot_id in names if lot_id in self.lots}
        if "provider_reliability" in row.get("conflict", ()) and not pools & low:
            return f"without a bid, although the score of every provider was at least {least}"
        return None

    def _check_lots(self, message: Message, auction_id: str, auction: Auction) -> None:
        """Check that a book has the asks of lots, and all of their nodes that are unsold; none of lots that are late.

        A lot that was listed just before the lock may be stored just after the worker has read the lots.
        """
        rows: dict[str, list[Body]] = {}
        for row in auction.lots:
            lot_id, ask = row.get("step_of") or row["lot_id"], Decimal(row["ask_usd_per_gpu_hour"])
            rows.setdefault(lot_id, []).append(row)
            right = lot_id not in self.lots or ask in self.lots[lot_id].asks
            text = f"{lot_id} stands in the book of {auction_id} at {ask}, which it does not ask"
            self.findings.require(right, "bound", message.sequence, text)
            late = lot_id in self.lots and self.lots[lot_id].since > auction.locks_at
            text = f"{lot_id} stands in the book of {auction_id} and was offered after the lock"
            self.findings.require(not late, "bound", message.sequence, text)
        taken: dict[str, list[Load]] = {}
        for pool_id in {lot.pool_id for lot in self.lots.values()} & self.capacity.pools.keys():
            for shares in self.capacity.pools[pool_id].taken.values():
                for lot_id, load in shares:
                    taken.setdefault(lot_id, []).append(load)
        for lot_id, lot in self.lots.items():
            if lot_id not in rows and lot.since > auction.locks_at - STORING_MAX:
                continue
            if not lot.is_resale and lot.pool_id not in self.weak and auction.meets(lot):
                for period, unsold, there in self._compare(lot_id, lot, auction, taken.get(lot_id, []), rows):
                    text = f"{unsold} nodes of {lot_id} are unsold in period {period} of {auction_id}, its book has"
                    self.findings.require(unsold == there, "bound", message.sequence, f"{text} {there}")

    def _compare(
        self, lot_id: str, lot: Lot, auction: Auction, taken: list[Load], rows: Mapping[str, list[Body]]
    ) -> Iterator[tuple[int, int, int]]:
        """Yield the first of each run of like periods, with the nodes of a lot that are unsold and that a book has."""
        pool = self.capacity.pools.get(lot.pool_id)
        offer = pool.offers.get(lot_id) if pool is not None and lot.on_sale else None
        mine = rows.get(lot_id, [])
        changes = {at for load in taken for at in (load.start, load.end)}
        changes |= set() if offer is None else {offer.start, offer.end}
        cuts = {0, *(row[end] for row in mine for end in ("from_period", "to_period"))}
        for at in changes:
            before = (at - auction.start) // auction.period
            cuts |= {before, before + 1}
        for period in sorted(cuts):
            if 0 <= period < auction.periods:
                span = auction.start + period * auction.period, auction.start + (period + 1) * auction.period
                whole = offer is not None and offer.start <= span[0] and span[1] <= offer.end
                unsold = max(offer.amount - find_peak(taken, *span)[0], 0) if whole and offer is not None else 0
                yield (
                    period,
                    unsold,
                    sum(row["nodes"] for row in mine if row["from_period"] <= period < row["to_period"]),
                )

    def _check_award(self, message: Message, body: Body) -> None:
        """Check that a grant of an auction is what the auction's result gives its order."""
        auction = self.auctions.get(body.get("auction_id") or "")
        if auction is None:
            return
        match = auction.matches.get(body["order_id"])
        text = f"{body['grant_id']} is issued to {body['order_id']}, which did not win in {body['auction_id']}"
        if not self.findings.require(match is not None, "bound", message.sequence, text) or match is None:
            return
        members = ("grant_id", "pool_id", "nodes", "start", "end")
        price = Fraction(body["price_usd_per_gpu_hour"]), Fraction(match["price_usd_per_gpu_hour"])
        same = all(body[each] == match[each] for each in members) and price[0] == price[1]
        text = f"{body['grant_id']} is not what {body['auction_id']} gives {body['order_id']}"
        self.findings.require(same, "bound", message.sequence, text)


def _fits_days(terms: Body, length: timedelta, start: datetime) -> bool:
    """Return whether whole days from `start` on, as daily auctions sell them, have room for a run."""
    earliest, latest = (parse_instant(terms[f"start_{each}"]) for each in ("earliest", "latest"))
    begin = max(start, start - (start - earliest) // DAY * DAY)
    return length % DAY == timedelta(0) and begin <= latest and begin + length <= start + SHORT


def _read_asks(body: Body) -> list[Decimal]:
    return [Decimal(each["ask_usd_per_gpu_hour"]) for each in (body, *body.get("further_asks", ()))]
