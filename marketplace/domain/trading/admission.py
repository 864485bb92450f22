"""Which orders an auction admits if there are more than it can clear.

An order is ranked by its highest possible value: its best offer, at the best credit of the mandates that it names, over
all its GPU-hours. That much money is held for it, so nobody gets a high rank for free. Equal orders are ranked by the
time they were placed. An order on which another one depends ranks at least as high as that one.

Places are given in this order, until there are none left:

1. orders that the auction has already locked keep their places;
2. nine tenths of the places go by rank; one startup gets at most a tenth of all places;
3. the last tenth goes to the orders that have waited longest since they were last in a book; one startup gets at most a
   tenth of it;
4. places that are still free go by rank, without a limit per startup.

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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from events.auction import Deferral
from events.types import Reason
from marketplace.domain.trading.order import LockedOrder, Order
from marketplace.domain.trading.order_terms import compute_value_max, name_group

PLACES_MAX: Final = 10_000
"""The most orders that one auction clears, not counting backstop orders."""
SHARE: Final = 10
"""The divisor of the shares: a startup's of the places, the longest waiting orders' of the places, a startup's of
these."""
GROUP_BUSY: Final = Reason(
    code="group_busy", text="another auction decides on an order of its group, of which one is matched", facts={}
)
BOUND_PLACES: Final = (3, 4)
"""The share of the places that is given when orders are bound. The rest is for orders that arrive until the lock."""


class Candidate(NamedTuple):
    """An order that would take part.

    Attributes:
        order_id: The order.
        startup_id: Its startup.
        value_usd: Its highest possible value.
        waits: Its rank among waiting orders: lower, the longer ago a book contained it.
        is_held: Whether the auction has already locked it.
        parent_id: The order that must be matched with it and was not matched before; None if there is none.
        barred: Why it cannot take part at any value; None if it can.
    """

    order_id: str
    startup_id: str
    value_usd: Decimal
    waits: int
    is_held: bool = False
    parent_id: str | None = None
    barred: Reason | None = None


def build_candidate(
    order: Order, waits: int, served_parents: AbstractSet[str], busy: AbstractSet[str | None]
) -> Candidate:
    """Return an order as a candidate for admission.

    Args:
        order: An open or locked order.
        waits: Its rank among waiting orders.
        served_parents: Parents that were matched before.
        busy: Groups of which another auction has locked an order.
    """
    parent_id, group = order.terms.parent_order_id, name_group(order.placed.startup_id, order.terms)
    return Candidate(
        order_id=order.placed.order_id,
        startup_id=order.placed.startup_id,
        value_usd=compute_order_value(order),
        waits=waits,
        is_held=isinstance(order, LockedOrder),
        parent_id=None if parent_id in served_parents else parent_id,
        barred=GROUP_BUSY if group in busy else None,
    )


def compute_order_value(order: Order) -> Decimal:
    """Return an order's highest possible value: its best offer at the best credit of its mandates, in full."""
    return compute_value_max(order.terms, (hold.equity_credit for hold in order.budget_holds))


class Admission(NamedTuple):
    """The orders that take part, and those that do not.

    Attributes:
        admitted: Ids of the orders that take part.
        deferrals: The others, by rank.
        ranks: The rank of every candidate, from 1.
    """

    admitted: frozenset[str]
    deferrals: tuple[Deferral, ...]
    ranks: Mapping[str, int]


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


def admit(candidates: Sequence[Candidate], places: int) -> Admission:
    """Return which candidates take part. Candidates are passed in the order in which they were placed."""
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
    return Admission(frozenset(current.admitted), tuple(deferrals), ranks)


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
    """Return how many places are given when orders are bound."""
    part, whole = BOUND_PLACES
    return places * part // whole
