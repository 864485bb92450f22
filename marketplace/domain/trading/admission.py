"""When an auction may open and lock, what waits while it decides, and which orders it admits.

Refusals: lock_past · horizon_before_lock when it opens; auction_waits when it locks; quote_meets_auction for a hold
that would last into its no-cancel phase; from its no-cancel phase on, market_deciding for a hold, a party's statement
of a relation, or the growth or sale of a company, lot_frozen for a change of a lot, mandate_bound for a change of a
mandate, and order_locked for a change of an order. New orders and new lots may be added until the lock time. What is
offered after it waits for the next auction, however late a worker freezes the book: those whom the auction has bound
can no longer answer it.

An order is ranked by its highest possible value: its best offer, at the best credit of the mandates that it names, over
all its GPU-hours. That much money is held for it, so nobody gets a high rank for free. Equal orders are ranked by the
time they were placed. An order on which another one depends ranks at least as high as that one.

Places are given in this order, until there are none left:

1. orders that the auction has already locked keep their places;
2. nine tenths of the places go by rank; one startup gets at most a tenth of all places;
3. the last tenth goes to the orders that have waited longest since they were last in a book; one startup gets at most a
   tenth of it;
4. places that are still free go by rank, without a limit per startup.

Startups that firm relations connect count as one. A relation that one party alone states connects nobody, so that a
rival cannot use up a startup's places by naming it.

Once an auction has bound orders, it takes no order of the group of a bound one, and none whose limit on principal is
lower than those of its startup's bound orders, if one of these pays in equity: either could undo a bound order.

No auction takes an order that expires before its lock, or at it: it ends when its startup said, also if the auction has
bound others by then.

Many cheap orders therefore do not displace a higher offer, one startup fills an auction only if others leave it room,
and a low order gets its turn eventually. An order that is not admitted stays open. It receives its rank, its value, and
the value that would have been admitted.

Invariants:
    1. Every candidate is admitted or deferred, once.
    2. No more orders are admitted than there are places, except those already locked.
    3. No order is admitted without the one that it depends on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from events.auction import AuctionOpened, Deferral
from events.quote import QuoteHeld
from events.types import Reason
from marketplace.core.errors import Refusal
from marketplace.core.horizon import build_horizon
from marketplace.core.instants import render_instant
from marketplace.domain.refusals import refuse_status
from marketplace.domain.register import Register
from marketplace.domain.supply.lot import Lot
from marketplace.domain.trading.auction import Auction, CollectingAuction, FrozenAuction
from marketplace.domain.trading.order import (
    EndedOrder,
    LockedOrder,
    MatchedOrder,
    OpenOrder,
    Order,
    OrderState,
    WaitingOrder,
)
from marketplace.domain.trading.order_terms import (
    PRINCIPAL_USD_MAX,
    compute_value_max,
    find_window,
    limit_principal,
    name_group,
)

PLACES_MAX: Final = 10_000
"""The most orders that one auction clears, not counting backstop orders."""
SHARE: Final = 10
"""One of so many places goes to one startup at most, and to the orders that have waited longest; of the latter, again
one of so many to one startup at most."""
GROUP_BUSY: Final = Reason(
    code="group_busy", text="an auction has locked an order of its group, and at most one is matched", facts={}
)
LIMIT_LATE: Final = Reason(
    code="limit_late",
    text="it lowers the principal that its startup may owe, after the auction bound other orders of the startup",
    facts={},
)
GROUP_SERVED: Final = "another order of its group was matched"
APPROVAL_MISSING: Final = Reason(
    code="approval_missing", text="its equity part waits for the approval of the holders of its mandates", facts={}
)
BOUND_PLACES: Final = (3, 4)
"""The share of the places, as a fraction, that is given when orders are bound. The rest is for orders that arrive until
the lock."""


class Rivals(NamedTuple):
    """The other auctions that are not completed, relative to one auction.

    Attributes:
        earlier: Those that lock before it, or at the same instant and were opened before it.
        later: All others.
    """

    earlier: tuple[str, ...]
    later: tuple[str, ...]


NO_RIVALS: Final = Rivals((), ())


def require_opening(locks_at: datetime, horizon_start: datetime, at: datetime) -> None:
    """Refuse to open an auction that would lock in the past, or award capacity of a time before its lock.

    Raises:
        Refusal: ``lock_past`` · ``horizon_before_lock``.
    """
    if locks_at < at:
        raise Refusal(
            "lock_past", f"the lock time {render_instant(locks_at)} has passed; choose a later one", pointer="/locks_at"
        )
    if horizon_start < locks_at:
        raise Refusal(
            "horizon_before_lock",
            "capacity is awarded from the lock on; begin the horizon at the lock or later",
            pointer="/horizon_start",
        )


def require_precedence(auction: Auction, earlier: Iterable[Auction], later: Iterable[Auction]) -> None:
    """Refuse to lock an auction while another one awards capacity that its book would contain.

    Args:
        auction: The auction that is to lock.
        earlier: Auctions that lock before it.
        later: All other auctions that are not completed.

    Raises:
        Refusal: ``auction_waits``.
    """
    if not isinstance(auction, CollectingAuction):
        return
    for rivals, is_earlier in ((earlier, True), (later, False)):
        for rival in rivals:
            if holds_up(rival, auction, earlier=is_earlier):
                rival_id = rival.opened.auction_id
                raise Refusal(
                    "auction_waits",
                    f"auction {rival_id} is {rival.status} and awards capacity of the same time;"
                    f" {auction.opened.auction_id} locks once that one is carried out",
                    auction_id=rival_id,
                    status=rival.status,
                )


def holds_up(rival: Auction, auction: Auction, *, earlier: bool) -> bool:
    """Return whether `rival` must be completed before `auction` may lock: they award capacity of the same time.

    Args:
        rival: The auction that may have to be completed first.
        auction: The auction that is to lock.
        earlier: Whether the rival locks first. A later one matters only once it is locked.
    """
    if rival.is_carried_out or (rival.status == "collecting" and not earlier):
        return False
    return rival.horizon_start < auction.horizon_end and auction.horizon_start < rival.horizon_end


def has_bound(auction: Auction, at: datetime) -> bool:
    """Return whether an auction has bound its orders and what is on sale, and is not completed.

    This begins with its no-cancel phase, or at its lock time if it has none.
    """
    if auction.status == "collecting":
        return at >= _find_binding(auction)
    return not auction.is_carried_out


def _find_binding(auction: Auction) -> datetime:
    """Return when a collecting auction binds its orders and what is on sale."""
    return auction.opened.no_cancel_at or auction.opened.locks_at


def require_not_deciding(auction: Auction, at: datetime) -> None:
    """Refuse what could make the matches of an auction impossible while it decides: a hold, or a stated relation.

    Raises:
        Refusal: ``market_deciding``.
    """
    opened = auction.opened
    if has_bound(auction, at):
        raise Refusal(
            "market_deciding",
            f"auction {opened.auction_id} is deciding who gets what is free; it locks at"
            f" {render_instant(opened.locks_at)}; try again once it is carried out",
            auction_id=opened.auction_id,
            frozen_until=render_instant(opened.locks_at),
            allowed="carried out",
        )


def require_hold_over(auction: Auction, held: QuoteHeld) -> None:
    """Refuse a hold that would keep its capacity from an auction: it must end before the auction binds its orders.

    An auction that is opened later leaves the hold as it is. None lasts longer than `quote.HOLD_MAX`.

    Args:
        auction: An auction that is not completed.
        held: The quote that is to be held.

    Raises:
        Refusal: ``quote_meets_auction``, with the auction and the latest end of a hold.
    """
    match, binds_at = held.match, _find_binding(auction)
    meets = match.start < auction.horizon_end and auction.horizon_start < match.end
    if auction.status == "collecting" and meets and held.expires_at > binds_at:
        latest = render_instant(binds_at)
        raise Refusal(
            "quote_meets_auction",
            f"auction {auction.opened.auction_id} may award this capacity and binds its orders at {latest}; hold it"
            " until then at most, take part with an order, or hold it once the auction is carried out",
            pointer="/hold_seconds",
            auction_id=auction.opened.auction_id,
            held_until_max=latest,
        )


def undoes_offer(was_usd: Decimal | None, now_usd: Decimal | None, *, is_sold: bool) -> bool:
    """Return whether an act on a company would undo an order that pays in its equity, were it bound.

    Args:
        was_usd: What the company was worth at the order's price per share; None if it states no such price.
        now_usd: What it would be worth after the act.
        is_sold: Whether the act declares a sale of the company, beside which no instrument is signed.
    """
    return is_sold or (was_usd is not None and now_usd is not None and now_usd > was_usd)


def require_offer_kept(*, is_bound: bool, is_sold: bool) -> None:
    """Refuse an act on a company that would undo its bound order; see `undoes_offer`.

    Raises:
        Refusal: ``market_deciding``. It does not name the order: holders of the company read the answer too.
    """
    if is_bound and is_sold:
        raise Refusal(
            "market_deciding",
            "the company is not sold while an auction decides who pays for compute in its equity; agree again once it"
            " is carried out",
            allowed="carried out",
        )
    if is_bound:
        raise Refusal(
            "market_deciding",
            "the company does not grow while an auction decides who pays for compute in its shares; try again once it"
            " is carried out",
            allowed="carried out",
        )


def require_unfrozen_lot(auction: Auction, lot: Lot, at: datetime, *, moves: bool) -> None:
    """Refuse to change a lot on which an auction has bound orders.

    From the no-cancel phase, or else from the lock time, no lot within the auction's horizon changes. Once the book is
    frozen, asks may change, and lots may be paused and resumed, for later auctions. A lot in the frozen book is not
    withdrawn or moved until the auction is completed.

    Args:
        auction: An auction that is not completed.
        lot: The lot.
        at: Now.
        moves: Whether the lot is withdrawn or its span moves.

    Raises:
        Refusal: ``lot_frozen``, with the auction and the instant until which it freezes the lot.
    """
    opened = auction.opened
    if not has_bound(auction, at):
        return
    if isinstance(auction, FrozenAuction):
        rows = auction.locked.book.lots
        if not moves or not any(lot.listed.lot_id in {row.lot_id, row.step_of} for row in rows):
            return
    elif lot.start >= auction.horizon_end or auction.horizon_start >= lot.end:
        return
    until = "its matches are carried out" if moves else "its book is frozen"
    raise Refusal(
        "lot_frozen",
        f"auction {opened.auction_id} has bound its orders and keeps lot {lot.listed.lot_id} as it is; it locks at"
        f" {render_instant(opened.locks_at)}, and this works again once {until}",
        lot_id=lot.listed.lot_id,
        auction_id=opened.auction_id,
        frozen_until=render_instant(opened.locks_at),
        allowed="carried out" if moves else "locked",
    )


def require_cancellable(auction: Auction, order: OrderState, at: datetime) -> None:
    """Refuse to cancel or amend an order that an auction is about to lock.

    From `no_cancel_at` until the auction has recorded which orders it bound, and from its lock time until its book is
    frozen, this concerns every open order that its horizon could serve, also one that was placed meanwhile.

    Raises:
        Refusal: ``order_locked``.
    """
    if isinstance(order, OpenOrder) and _is_about_to_lock(auction, order, at):
        raise refuse_status("order", order.placed.order_id, "locked", "open")


def is_bound(order: Order, auctions: Iterable[Auction], at: datetime) -> bool:
    """Return whether an auction has locked an order, or one of these auctions is about to."""
    if isinstance(order, OpenOrder):
        return any(_is_about_to_lock(auction, order, at) for auction in auctions)
    return isinstance(order, LockedOrder)


def _is_about_to_lock(auction: Auction, order: OpenOrder, at: datetime) -> bool:
    """Return whether an open order can be cancelled no more, though an auction has not recorded yet that it is so."""
    if auction.status != "collecting" or not has_bound(auction, at):
        return False
    if auction.bound is not None and at < auction.opened.locks_at:
        return False
    return find_window(order.terms, build_horizon(auction.opened)) is not None


def require_unbound(auction: Auction, mandate_id: str, order: OrderState, at: datetime) -> None:
    """Refuse to change a mandate while an auction has bound an order for which the mandate pays.

    Raises:
        Refusal: ``mandate_bound``.
    """
    opened = auction.opened
    if not has_bound(auction, at):
        return
    if isinstance(order, WaitingOrder) and find_window(order.terms, build_horizon(opened)) is not None:
        raise Refusal(
            "mandate_bound",
            f"auction {opened.auction_id} decides on order {order.placed.order_id}, paid by mandate {mandate_id};"
            f" it locks at {render_instant(opened.locks_at)}, and this works again once it is carried out",
            mandate_id=mandate_id,
            order_id=order.placed.order_id,
            auction_id=opened.auction_id,
            frozen_until=render_instant(opened.locks_at),
            allowed="carried out",
        )


class Candidate(NamedTuple):
    """An order that would take part.

    Attributes:
        order_id: The order.
        startup_id: Its startup, or the name of the group that firm relations connect it with.
        value_usd: Its highest possible value, over all of its GPU-hours.
        waits: Its rank among waiting orders: lower, the longer ago a book contained it.
        is_held: Whether the auction has already locked it. Then it takes part in any case.
        parent_id: The unmatched order that must be matched with it; None if there is none.
        barred: Why it cannot take part at any value; None if it can.
    """

    order_id: str
    startup_id: str
    value_usd: Decimal
    waits: int
    is_held: bool = False
    parent_id: str | None = None
    barred: Reason | None = None


class Waiting(NamedTuple):
    """An order that waits for an auction, with its parent and its turn.

    Attributes:
        order: The order.
        parent: The order that it depends on; None if there is none.
        waits: Its rank among waiting orders.
        is_served: Whether another order of its group was matched.
        offered_at: When it was placed or last amended, or a first mandate that pays for it was approved, if later.
    """

    order: WaitingOrder
    parent: OrderState
    waits: int
    is_served: bool
    offered_at: datetime


class Hopeless(NamedTuple):
    """An open order that no auction can match. `cause` is ``group-served`` or ``parent-ended``."""

    order_id: str
    cause: str
    reason: str


class Admission(NamedTuple):
    """The orders that take part, and those that do not.

    Attributes:
        admitted: Ids of the orders that take part.
        deferrals: The others, by rank.
        ranks: The rank of every candidate, from 1.
        values: The highest possible value of every candidate.
        orders: The orders that take part, in queue order.
    """

    admitted: frozenset[str]
    deferrals: tuple[Deferral, ...]
    ranks: Mapping[str, int]
    values: Mapping[str, Decimal]
    orders: tuple[Order, ...] = ()

    def defer(self, dropped: Mapping[str, Reason]) -> tuple[Deferral, ...]:
        """Return the deferrals of admitted orders that do not fit into the book after all, given the reasons by id."""
        return tuple(
            Deferral(order_id=order_id, rank=self.ranks[order_id], value_usd=self.values[order_id], reason=reason)
            for order_id, reason in dropped.items()
        )


@dataclass(slots=True)
class _Round:
    """The places given so far."""

    places: int
    admitted: dict[str, Candidate] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def give(self, ranked: Iterable[Candidate], places: int, startup_places: int | None) -> list[Candidate]:
        """Admit candidates in order until `places` are taken, and return those admitted."""
        given: list[Candidate] = []
        for candidate in ranked:
            if len(given) >= places or len(self.admitted) >= self.places:
                break
            if candidate.order_id in self.admitted or candidate.barred is not None:
                continue
            if candidate.parent_id is not None and candidate.parent_id not in self.admitted:
                continue
            if startup_places is not None and self.held[candidate.startup_id] >= startup_places:
                continue
            self.add(candidate)
            given.append(candidate)
        return given

    def add(self, candidate: Candidate) -> None:
        self.admitted[candidate.order_id] = candidate
        self.held[candidate.startup_id] += 1


def list_hopeless(queue: Iterable[Waiting]) -> list[Hopeless]:
    """Return the open orders that no auction can match: the group is served, or the parent ended without a match."""
    found: list[Hopeless] = []
    for order, parent, _, is_served, _ in queue:
        order_id = order.placed.order_id
        if not isinstance(order, OpenOrder):
            continue
        if is_served:
            found.append(Hopeless(order_id, "group-served", GROUP_SERVED))
        elif isinstance(parent, EndedOrder):
            text = f"its parent order {parent.placed.order_id} must be matched first and is {parent.status}"
            found.append(Hopeless(order_id, "parent-ended", text))
    return found


def _name_owner(startup_id: str, register: Register) -> str:
    """Return one name for a startup and all that firm relations connect with it."""
    return register.name_owner(startup_id) if startup_id in register.ends else startup_id


def _stands(waiting: Waiting, opened: AuctionOpened) -> bool:
    """Return whether an auction has locked an order, or the order is open for it at its lock time."""
    order, expires_at = waiting.order, waiting.order.terms.expires_at
    if isinstance(order, LockedOrder):
        return order.auction_id == opened.auction_id
    is_over = waiting.is_served or (expires_at is not None and expires_at <= opened.locks_at)
    return not is_over and waiting.offered_at <= opened.locks_at


def admit_orders(
    opened: AuctionOpened,
    queue: Sequence[Waiting],
    places: int,
    backstop_places: int,
    register: Register,
    *,
    is_bound: bool = False,
) -> Admission:
    """Return which orders an auction takes, firm and backstop orders apart.

    Args:
        opened: The auction.
        queue: The orders that wait or that an auction locked, in the order in which they were placed.
        places: The most orders that it takes, not counting backstop orders. Orders that it has locked already take
            part in any case, and one startup gets only a part of the places (`admit`).
        backstop_places: The most backstop orders, likewise.
        register: Which startups are one.
        is_bound: Whether it has bound orders: those of the queue that it has locked.
    """
    standing, horizon = [each for each in queue if _stands(each, opened)], build_horizon(opened)
    bars = _find_bars(opened.auction_id, [each.order for each in queue], is_bound=is_bound)
    asked: list[tuple[Waiting, Decimal]] = []
    for each in standing:
        if find_window(each.order.terms, horizon) is not None:
            value_usd = compute_value_max(each.order.terms, (hold.equity_credit for hold in each.order.budget_holds))
            asked.append((each, value_usd))
    firm, backstops = (
        admit(
            [
                Candidate(
                    order_id=waiting.order.placed.order_id,
                    startup_id=_name_owner(waiting.order.placed.startup_id, register),
                    value_usd=value_usd,
                    waits=waiting.waits,
                    is_held=isinstance(waiting.order, LockedOrder),
                    parent_id=(
                        None if isinstance(waiting.parent, MatchedOrder) else waiting.order.terms.parent_order_id
                    ),
                    barred=bars.get(waiting.order.placed.order_id),
                )
                for waiting, value_usd in asked
                if waiting.order.terms.backstop == backstop
            ],
            most,
        )
        for backstop, most in ((False, places), (True, backstop_places))
    )
    admitted = firm.admitted | backstops.admitted
    return Admission(
        admitted,
        (*firm.deferrals, *backstops.deferrals),
        {**firm.ranks, **backstops.ranks},
        {**firm.values, **backstops.values},
        tuple(waiting.order for waiting, _ in asked if waiting.order.placed.order_id in admitted),
    )


def _find_bars(auction_id: str, orders: Sequence[WaitingOrder], *, is_bound: bool) -> Mapping[str, Reason]:
    """Return why orders cannot take part in an auction at any value, by id; none for those that it has locked."""
    locked = [order for order in orders if isinstance(order, LockedOrder)]
    bound = [(order.placed.startup_id, order.terms) for order in locked if is_bound and order.auction_id == auction_id]
    owing = {startup_id for startup_id, terms in bound if terms.instrument is not None}
    limits = dict(limit_principal(bound)) if bound else {}
    busy = {name_group(*each) for each in bound}
    busy |= {name_group(each.placed.startup_id, each.terms) for each in locked if each.auction_id != auction_id}
    bars: dict[str, Reason] = {}
    for order in orders:
        startup_id, terms, most = order.placed.startup_id, order.terms, order.terms.principal_usd_max
        if isinstance(order, LockedOrder):
            continue
        if order.waits_for_approval:
            bars[order.placed.order_id] = APPROVAL_MISSING
        elif terms.group is not None and name_group(startup_id, terms) in busy:
            bars[order.placed.order_id] = GROUP_BUSY
        elif most is not None and startup_id in owing and most < limits.get(startup_id, PRINCIPAL_USD_MAX):
            bars[order.placed.order_id] = LIMIT_LATE
    return bars


def admit(candidates: Sequence[Candidate], places: int) -> Admission:
    """Return which candidates take part, by the rules above; held ones in any case.

    Args:
        candidates: In the order in which they were placed.
        places: The most that take part, unless more are held.
    """
    ranked = _rank(candidates)
    ranks = {candidate.order_id: rank for rank, candidate in enumerate(ranked, 1)}
    current = _Round(places)
    for candidate in candidates:
        if candidate.is_held:
            current.add(candidate)
    waiting_places, startup_places = places // SHARE, max(places // SHARE, 1)
    by_rank = current.give(ranked, places - waiting_places - len(current.admitted), startup_places)
    current.held.clear()
    longest = sorted(candidates, key=lambda candidate: candidate.waits)
    current.give(longest, waiting_places, max(waiting_places // SHARE, 1))
    by_rank += current.give(ranked, places, None)
    least = min((candidate.value_usd for candidate in by_rank), default=None)
    deferrals = (
        _defer(candidate, ranks[candidate.order_id], current, least)
        for candidate in ranked
        if candidate.order_id not in current.admitted
    )
    values = {candidate.order_id: candidate.value_usd for candidate in candidates}
    return Admission(frozenset(current.admitted), tuple(deferrals), ranks, values)


def _rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates by highest possible value, each parent before the orders that depend on it."""
    known = {candidate.order_id: candidate for candidate in candidates}
    worth = {candidate.order_id: candidate.value_usd for candidate in candidates}
    depth = {candidate.order_id: len(_list_parents(candidate, known)) for candidate in candidates}
    for candidate in candidates:
        for parent in _list_parents(candidate, known):
            worth[parent.order_id] = max(worth[parent.order_id], candidate.value_usd)
    return sorted(candidates, key=lambda candidate: (-worth[candidate.order_id], depth[candidate.order_id]))


def _list_parents(candidate: Candidate, known: Mapping[str, Candidate]) -> list[Candidate]:
    found: list[Candidate] = []
    parent = known.get(candidate.parent_id or "")
    while parent is not None:
        found.append(parent)
        parent = known.get(parent.parent_id or "")
    return found


def _defer(candidate: Candidate, rank: int, current: _Round, least: Decimal | None) -> Deferral:
    return Deferral(
        order_id=candidate.order_id,
        rank=rank,
        value_usd=candidate.value_usd,
        reason=candidate.barred or _tell(candidate, rank, current, least),
    )


def _tell(candidate: Candidate, rank: int, current: _Round, least: Decimal | None) -> Reason:
    parent_id, worth = candidate.parent_id, f"{candidate.value_usd:f} USD"
    facts = {"rank": str(rank), "value_usd": f"{candidate.value_usd:f}", "places": str(current.places)}
    if parent_id is not None and parent_id not in current.admitted:
        text = f"its parent order {parent_id} does not take part"
        return Reason(code="parent_absent", text=text, facts={**facts, "parent_id": parent_id})
    full = f"there are more orders than the {current.places:,} that one auction clears"
    if least is not None and candidate.value_usd > least:
        text = f"{full}, and others of its startup with a higher value have that startup's places"
        return Reason(code="startup_quota", text=text, facts=facts)
    needed = "0" if least is None else f"{least:f}"
    text = f"{full}; this one has rank {rank:,} and a value of at most {worth}; above {needed} USD it is admitted"
    return Reason(code="auction_full", text=text, facts={**facts, "value_needed_usd": needed})


def count_bound_places(places: int) -> int:
    """Return how many of an auction's places for orders are given when orders are bound, before the lock."""
    part, whole = BOUND_PLACES
    return places * part // whole
