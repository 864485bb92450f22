"""Checks what was sold to backstop orders, anew from the book; part of the verifier, without any code of the solver.

Violations: `backstops` (one decision per backstop, in order), `backstop_bid` (the match is none of its bids, of another
size or outside its window), `backstop_lots` (the shares do not carry it, or are not its bid's), `backstop_oversold`
(more is used than the other orders left), `backstop_price` (it pays another price than it set, or another total),
`backstop_dear` (a lot asks more than it pays), `backstop_reasons` (a match with reasons, or none without),
`backstop_left_out` (it would fit into what is left in the end). Limits are counted with the other orders' in
`rule_audit`.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate

from marketplace.clearing.model import Bid, Book, Clearing, Decision, Lot, Match, Order
from marketplace.clearing.verify.audit_values import micro
from marketplace.clearing.verify.rule_audit import find_bid, list_sizes

Finding = tuple[str, str, str]
Cell = tuple[str, int]


class BackstopAudit:
    """The recomputation of what backstop orders got."""

    def __init__(self, book: Book, clearing: Clearing) -> None:
        self.book = book
        self.clearing = clearing
        self.gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
        self.entries: dict[Cell, Lot] = {
            (lot.lot_id, period): lot for lot in book.lots for period in range(lot.from_period, lot.to_period)
        }
        self.left: dict[Cell, int] = {cell: lot.nodes for cell, lot in self.entries.items()}
        self.rooms: dict[tuple[str, int | None], Fraction] = {}
        for limit in book.limits:
            span = (None,) if limit.from_period is None else range(limit.from_period, limit.to_period or 0)
            self.rooms.update({(limit.limit_id, period): Fraction(limit.amount) for period in span})

    def find(self) -> Iterator[Finding]:
        """Yield what is wrong."""
        decisions = self.clearing.backstops
        if [decision.order_id for decision in decisions] != [order.order_id for order in self.book.backstops]:
            yield ("backstops", "backstops", "expected one decision per backstop order, in the order of the book")
            return
        for order, decision in zip(self.book.orders, self.clearing.decisions, strict=True):
            if decision.match is not None:
                self._take(order, decision.match)
        pairs = list(zip(self.book.backstops, decisions, strict=True))
        for order, decision in pairs:
            if decision.match is not None:
                yield from self._check_match(order, decision, decision.match)
                self._take(order, decision.match)
        for (lot_id, period), nodes in self.left.items():
            if nodes < 0:
                yield ("backstop_oversold", lot_id, f"carries {-nodes} nodes too many in period {period}")
        for order, decision in pairs:
            if decision.match is None:
                yield from self._check_loser(order, decision)

    def _find_bid(self, order: Order, match: Match) -> Bid | None:
        """Return the bid that a match is of, None where it is of none, or of another size or time."""
        last = min(order.start_latest, self.book.periods - order.duration_periods)
        timely = order.start_earliest <= match.start_period <= last
        if not timely or match.end_period - match.start_period != order.duration_periods:
            return None
        return find_bid(order, match)

    def _take(self, order: Order, match: Match) -> None:
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                self.left[share.lot_id, period] = self.left.get((share.lot_id, period), 0) - share.nodes
        bid = self._find_bid(order, match)
        for use in bid.uses if bid is not None else ():
            each = Fraction(use.amount_per_node_period) * match.nodes
            cells: list[tuple[str, int | None]] = [
                (use.limit_id, period) for period in range(match.start_period, match.end_period)
            ]
            for cell in cells:
                self.rooms[cell] = self.rooms.get(cell, Fraction(0)) - each
            whole = (use.limit_id, None)
            self.rooms[whole] = self.rooms.get(whole, Fraction(0)) - each * len(cells)

    def _check_match(self, order: Order, decision: Decision, match: Match) -> Iterator[Finding]:
        if self._find_bid(order, match) is None:
            yield ("backstop_bid", order.order_id, "is matched otherwise than it asked")
            return
        carried: dict[int, int] = defaultdict(int)
        for share in match.lots:
            for period in range(share.from_period, share.to_period):
                carried[period] += share.nodes
                lot = self.entries.get((share.lot_id, period))
                if lot is None or lot.pool_id != match.pool_id:
                    yield (
                        "backstop_lots",
                        order.order_id,
                        f"uses {share.lot_id} in period {period}, which is not there",
                    )
                elif lot.ask_usd_per_gpu_hour > match.value_usd_per_gpu_hour:
                    yield ("backstop_dear", order.order_id, f"{share.lot_id} asks more than it pays in period {period}")
        wanted = dict.fromkeys(range(match.start_period, match.end_period), match.nodes)
        if carried != wanted or any(share.nodes <= 0 for share in match.lots):
            yield ("backstop_lots", order.order_id, "its lots do not carry its nodes in every period of its run")
        price = Fraction(match.value_usd_per_gpu_hour)
        hours = match.nodes * len(wanted) * self.gpus[match.pool_id] * self.book.period_hours
        if match.price_usd_per_gpu_hour != price or Fraction(match.total_usd) != price * hours:
            yield ("backstop_price", order.order_id, f"pays {match.price_usd_per_gpu_hour}, it set {price}")
        if decision.reasons or decision.regret_usd or decision.price_to_win_usd_per_gpu_hour is not None:
            yield ("backstop_reasons", order.order_id, "is matched, yet has reasons, regret or a price to win")

    def _check_loser(self, order: Order, decision: Decision) -> Iterator[Finding]:
        if [reason.code for reason in decision.reasons] != ["nothing_left"] or decision.regret_usd:
            yield ("backstop_reasons", order.order_id, "is unmatched without being told that nothing is left")
        for bid in order.bids:
            for nodes in list_sizes(order, bid):
                start = self._find_start(order, bid, nodes)
                if start is not None:
                    yield ("backstop_left_out", order.order_id, f"{nodes} nodes from period {start} are left for it")
                    return

    def _find_start(self, order: Order, bid: Bid, nodes: int) -> int | None:
        fits = [0, *accumulate(int(self._fits(bid, nodes, period)) for period in range(self.book.periods))]
        length = order.duration_periods
        last = min(order.start_latest, self.book.periods - length)
        for use in bid.uses:
            whole = (use.limit_id, None)
            named = any(limit.limit_id == use.limit_id and limit.from_period is None for limit in self.book.limits)
            if named and self.rooms[whole] < Fraction(use.amount_per_node_period) * nodes * length:
                return None
        found = (
            start for start in range(order.start_earliest, last + 1) if fits[start + length] - fits[start] == length
        )
        return next(found, None)

    def _fits(self, bid: Bid, nodes: int, period: int) -> bool:
        free = sum(
            self.left[lot_id, period]
            for lot_id in self._list_lots(bid)
            if (lot := self.entries.get((lot_id, period))) is not None
            and micro(lot.ask_usd_per_gpu_hour) <= micro(bid.value_usd_per_gpu_hour)
        )
        return free >= nodes and all(self._has_room(bid, use.limit_id, nodes, period) for use in bid.uses)

    def _list_lots(self, bid: Bid) -> set[str]:
        mine = {lot.lot_id for lot in self.book.lots if lot.pool_id == bid.pool_id}
        return mine if bid.lot_ids is None else mine & set(bid.lot_ids)

    def _has_room(self, bid: Bid, limit_id: str, nodes: int, period: int) -> bool:
        """Return whether a limit that holds in this period has room for a bid at one more size."""
        holds = any(
            limit.limit_id == limit_id
            and limit.from_period is not None
            and limit.from_period <= period < (limit.to_period or 0)
            for limit in self.book.limits
        )
        need = sum(Fraction(use.amount_per_node_period) for use in bid.uses if use.limit_id == limit_id) * nodes
        return not holds or self.rooms[limit_id, period] >= need
