"""Which orders an auction admits where more want to take part than it clears.

An order is ranked by what it could be worth at most: its best offer, with the best credit of the mandates that it
names, over all its GPU-hours. That much is held for it, so a high rank costs what it says. The order of placing decides
only between equals. An order without which another one is not matched ranks at least as high as that one.

Places are given in this order, until there are none:

1. what the auction holds already keeps its place;
2. nine tenths of the places go by rank, and one startup gets a tenth of all places at most;
3. that tenth to those that waited longest since a book last had them, to one startup a tenth of it at most;
4. what is still free, by rank, whoever asks.

So many cheap orders displace nobody who offers more; one startup fills an auction only where others leave it room; and
an honest low order comes to its turn, however long richer ones go on. What is not admitted stays open and is told its
rank, its worth, and what would have been admitted.

Invariants:
    1. Every candidate is admitted or deferred, once.
    2. No more are admitted than there are places, but for those that are held already.
    3. No order is admitted without the one that it depends on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from events.auction import Deferral
from events.types import Reason

PLACES_MAX: Final = 10_000
"""Orders that one auction clears, backstop orders apart."""
SHARE: Final = 10
"""One part of so many: a startup's of the places, the places of those that waited longest, a startup's of these."""
BOUND_PLACES: Final = (3, 4)
"""The share of the places that is given as orders are bound; the rest is left for what comes until the lock."""


class Candidate(NamedTuple):
    """An order that would take part.

    Attributes:
        order_id: The order.
        startup_id: Whose.
        value_usd: What it could be worth at most.
        waits: Its turn among those that wait: the lower, the longer since a book had it.
        is_held: Whether the auction has locked it already.
        parent_id: An order without which it is not matched, and which was not matched before; None where there is none.
        barred: Why it takes no part, whatever it is worth; None where it may.
    """

    order_id: str
    startup_id: str
    value_usd: Decimal
    waits: int
    is_held: bool = False
    parent_id: str | None = None
    barred: Reason | None = None


class Admission(NamedTuple):
    """Who takes part, and who does not.

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
    """Places as they are given."""

    places: int
    admitted: dict[str, Candidate] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def give(self, ranked: Iterable[Candidate], places: int, startup_places: int | None) -> list[Candidate]:
        """Admit candidates in order until so many places are taken, and return those that were."""
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
    """Return which candidates take part; they are given in the order in which they were placed."""
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
    """Return candidates by what they are worth at most, a parent before what depends on it."""
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
        text = f"order {parent_id}, without which this one is not matched, does not take part"
        return Reason(code="parent_absent", text=text, facts={**facts, "parent_id": parent_id})
    full = f"more orders stand than the {current.places:,} that one auction clears"
    if least is not None and candidate.value_usd > least:
        text = f"{full}, and others of its startup, which are worth more, have the places of one startup"
        return Reason(code="startup_quota", text=text, facts=facts)
    needed = "0" if least is None else f"{least:f}"
    text = f"{full}; this one is worth {worth} at most, rank {rank:,}; above {needed} USD it would have been admitted"
    return Reason(code="auction_full", text=text, facts={**facts, "value_needed_usd": needed})


def count_bound_places(places: int) -> int:
    """Return how many places are given as orders are bound."""
    part, whole = BOUND_PLACES
    return places * part // whole
