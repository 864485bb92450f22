"""The register: relations among parties, as they state them and the platform finds them.

Subject: ``marketplace.register.<register_id>``; there is one register.

Two parties are *related* if they are the same party, or a chain of firm relations connects them. Relations hold from
either end. Chains run through owners and affiliates, inside and outside this market, without a limit. A relation is
firm if the platform found it or both parties state it.

A relation that one party states alone counts for that party and for all parties tied firmly to it. These are then
related to the named party, to all parties tied firmly to that one, and to all other parties that name it. It relates
nobody else, so that nobody can make two strangers related.

Trades: an auction never matches an order with capacity of a party to which the buyer is related by firm relations, by
its own side's word, or by an owner whom both sides name, and a bid on it does not stand in the book, so that it neither
wins nor sets a price. By a held quote related parties may trade, at no lower price than the asks; the grant is marked.
No mandate pays for such a trade unless its terms say so. A marked grant counts in no index, reliability or milestone.
What the selling side states alone bars nobody: otherwise a provider could keep a rival of its shell out by a false
word. The named party bids as before, mandates pay for it, and the feed tells it of the statement. Its grant is marked
``named`` and counts in no index, and in no milestone of a warrant that was issued to the seller. If the named party
confirms, or the platform finds the relation, it is firm, and the grant is marked ``related``. Where a holder takes
equity for its own capacity, or for a related party's, the grant is marked too, and counts in no index or reliability.

Claims on a bond: a relation bars a claim only if it is firm or the claimant's side states it (`require_claimable`). A
provider's word alone takes no remedy from a startup.

Invariants:
    1. Being related is symmetric, and within firm relations transitive.
    2. A statement of one party alone never relates two others.

Refusals in order: relation_ambiguous · relation_to_itself · since_future · relations_too_many · relation_unknown ·
relation_firm · relation_unstated.

Refusals of `require_unrelated` and `require_claimable`, in order: parties_related.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec
from immutables import Map

from events.grant import GrantIssued, Mark
from events.register import (
    RegisterEvent,
    RegisterRelationEnded,
    RegisterRelationFound,
    RegisterRelationStated,
    RelationKind,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.refusals import refuse_unknown

REGISTER_ID: Final = "reg_00000000000000000000000000"
RELATIONS_MAX: Final = 64
"""The most relations in force that one party may state."""
RelationState = Literal["found", "stated", "ended"]
"""How two parties are related: by what the platform found, by what parties state of each other, or no longer."""


class StateRelation(msgspec.Struct, frozen=True, kw_only=True):
    """State a relation, as one of its parties.

    Attributes:
        register_id: The register.
        relation_id: The id of the relation, if none of these two is in force.
        party_id: Who states it.
        related_id: The other party; None if it is an owner outside this market.
        owner: That owner; None otherwise.
        kind: Whether the other one is an owner or an affiliate.
        since: Since when it holds; None: always.
        reason: Why.
        at: Now.
    """

    register_id: str
    relation_id: str
    party_id: str
    related_id: str | None
    owner: str | None
    kind: RelationKind
    since: datetime | None
    reason: str
    at: datetime


class FindRelation(StateRelation, frozen=True, kw_only=True):
    """Record a relation that the platform found. It counts for everybody."""


class EndRelation(msgspec.Struct, frozen=True, kw_only=True):
    """End a relation. A party takes back only what it stated alone.

    Attributes:
        register_id: The register.
        relation_id: The relation.
        party_id: A party of it.
        by_platform: Whether the platform ends it, and not that party.
        reason: Why.
        at: Now.
    """

    register_id: str
    relation_id: str
    party_id: str
    by_platform: bool
    reason: str
    at: datetime


RegisterCommand = StateRelation | FindRelation | EndRelation


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation from its first statement on.

    Attributes:
        party_id: The party that stated it first, or for which it was found.
        related_id: The other party, or the owner outside.
        stated_by: The parties that state it.
        found: Whether the platform found it.
        since: Since when it holds; None: always.
        ended_at: Until when it held; None: it holds.
    """

    party_id: str
    related_id: str
    stated_by: frozenset[str] = frozenset()
    found: bool = False
    since: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_firm(self) -> bool:
        """Return whether the platform found it or both parties state it, so that it counts for everybody."""
        return self.found or len(self.stated_by) > 1

    def holds(self, at: datetime | None) -> bool:
        """Return whether it held at an instant; None for now."""
        if at is None:
            return self.ended_at is None
        return (self.since is None or self.since <= at) and (self.ended_at is None or at < self.ended_at)

    def find_other(self, end: str) -> str:
        """Return the party or owner at the other end than `end`."""
        return self.related_id if end == self.party_id else self.party_id


@dataclass(frozen=True, slots=True)
class Register:
    """Every relation by its id, and the ids of each party's or owner's relations."""

    relations: Map[str, Relation] = field(default_factory=Map)
    ends: Map[str, frozenset[str]] = field(default_factory=Map)

    def are_related(self, one: str, two: str, at: datetime | None = None) -> bool:
        """Return whether two parties were related at an instant; None for now. A party is related to itself."""
        return two in self.list_related(one, at)

    def list_related(self, party_id: str, at: datetime | None = None) -> frozenset[str]:
        """Return the party, and every party and owner to which it was related at an instant; None for now."""
        if party_id not in self.ends:
            return frozenset({party_id})
        reached = self.list_named(party_id, at)
        naming = {other for end in reached for other in self._list_stated(end, at, by_end=False)}
        return reached.union(*(self.list_group(other, at) for other in naming - reached))

    def list_named(self, party_id: str, at: datetime | None = None) -> frozenset[str]:
        """Return the party's group, and the groups of all whom that group names, at an instant; None for now.

        What others state of the group alone adds nobody.
        """
        group = self.list_group(party_id, at)
        named = {other for end in group for other in self._list_stated(end, at, by_end=True)}
        return group.union(*(self.list_group(other, at) for other in named - group))

    def list_barred(self, party_id: str, at: datetime | None = None) -> frozenset[str]:
        """Return the parties that may not sell to a party: its group, whom that group names, and who names these too.

        Who names the group itself, and whom it does not name, is not among them: a false word would bar a stranger.
        """
        if party_id not in self.ends:
            return frozenset({party_id})
        reached = self.list_named(party_id, at)
        agreeing = {
            other
            for end in reached - self.list_group(party_id, at)
            for other in self._list_stated(end, at, by_end=False)
        }
        return reached.union(*(self.list_group(other, at) for other in agreeing - reached))

    def list_group(self, party_id: str, at: datetime | None = None) -> frozenset[str]:
        """Return the party, and all parties and owners that firm relations connect with it at an instant; None: now."""
        return self._connect(party_id, lambda known: known.is_firm and known.holds(at))

    def name_owner(self, party_id: str) -> str:
        """Return one name for a party and all that firm relations connect with it now."""
        return min(self.list_group(party_id))

    def find_state(self, one: str, two: str) -> RelationState | None:
        """Return how firm relations connect two parties.

        ``found``: relations that the platform found do, now; ``stated``: firm ones do, now; ``ended``: they did; None:
        they never did.
        """
        tests: dict[RelationState, Callable[[Relation], bool]] = {
            "found": lambda known: known.found and known.holds(None),
            "stated": lambda known: known.is_firm and known.holds(None),
            "ended": lambda known: known.is_firm,
        }
        return next((name for name, counts in tests.items() if two in self._connect(one, counts)), None)

    def _connect(self, party_id: str, counts: Callable[[Relation], bool]) -> frozenset[str]:
        """Return the party, and all parties and owners that relations for which `counts` is true connect with it."""
        found, waiting = {party_id}, [party_id]
        while waiting:
            end = waiting.pop()
            known = (self.relations[relation_id] for relation_id in self.ends.get(end, ()))
            others = {each.find_other(end) for each in known if counts(each)}
            waiting.extend(others - found)
            found |= others
        return frozenset(found)

    def _list_stated(self, end: str, at: datetime | None, *, by_end: bool) -> Iterator[str]:
        """Yield the other ends of relations that this end states (`by_end`), or that the other end states."""
        for known in self._list_held(end, at):
            other = known.find_other(end)
            if (end if by_end else other) in known.stated_by:
                yield other

    def _list_held(self, end: str, at: datetime | None) -> Iterator[Relation]:
        for relation_id in self.ends.get(end, ()):
            if (known := self.relations[relation_id]).holds(at):
                yield known

    def find_id(self, party_id: str, other: str) -> str | None:
        """Return the id of the relation in force between a party and another party or owner; None without one."""
        for relation_id in self.ends.get(party_id, ()):
            known = self.relations[relation_id]
            if known.ended_at is None and known.find_other(party_id) == other:
                return relation_id
        return None

    def count_stated(self, party_id: str) -> int:
        """Return how many relations in force a party states."""
        return sum(party_id in known.stated_by for known in self._list_held(party_id, None))


def decide(command: RegisterCommand, state: Register) -> Sequence[RegisterEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, EndRelation):
        return _end(command, state)
    related_id = _require_other(command)
    relation_id = state.find_id(command.party_id, related_id) or command.relation_id
    known = state.relations.get(relation_id)
    is_found = isinstance(command, FindRelation)
    if known is not None and (known.found if is_found else command.party_id in known.stated_by):
        return []
    if not is_found and state.count_stated(command.party_id) >= RELATIONS_MAX:
        text = (
            f"{command.party_id} states {RELATIONS_MAX} relations, the most; state the owner that they have in common"
        )
        raise Refusal("relations_too_many", text, party_id=command.party_id)
    told: dict[str, Any] = {
        "register_id": command.register_id,
        "relation_id": relation_id,
        "party_id": command.party_id,
        "related_id": command.related_id,
        "owner": command.owner,
        "kind": command.kind,
        "since": command.since,
        "reason": command.reason,
    }
    if is_found:
        return [RegisterRelationFound(**told)]
    return [RegisterRelationStated(**told, firm=known is not None)]


def _require_other(command: StateRelation) -> str:
    """Return the other end of a relation: a party's id, or the name of an owner outside this market.

    Raises:
        Refusal: ``relation_ambiguous`` · ``relation_to_itself`` · ``since_future``.
    """
    other = command.related_id or command.owner
    if other is None or None not in {command.related_id, command.owner}:
        raise Refusal(
            "relation_ambiguous",
            "state either the related party or the owner outside this market, not both",
            pointer="/related_id",
        )
    if other == command.party_id:
        raise Refusal(
            "relation_to_itself", f"{other} is related to itself already; name another", pointer="/related_id"
        )
    if command.since is not None and command.since > command.at:
        text = f"a relation that begins at {render_instant(command.since)} does not hold yet; state it then"
        raise Refusal("since_future", text, pointer="/since")
    return other


def _end(command: EndRelation, state: Register) -> Sequence[RegisterEvent]:
    known = state.relations.get(command.relation_id)
    by = command.party_id
    if known is None or by not in {known.party_id, known.related_id}:
        raise refuse_unknown("relation", command.relation_id)
    if known.ended_at is not None:
        return []
    if not command.by_platform and known.is_firm:
        text = f"relation {command.relation_id} is firm: the platform found it or both state it; ask the platform"
        raise Refusal("relation_firm", text, relation_id=command.relation_id)
    if not command.by_platform and by not in known.stated_by:
        text = f"only {known.party_id} states relation {command.relation_id}, and takes it back; ask it or the platform"
        raise Refusal("relation_unstated", text, relation_id=command.relation_id)
    return [
        RegisterRelationEnded(
            register_id=command.register_id,
            relation_id=command.relation_id,
            party_id=known.party_id,
            related_id=known.related_id if known.related_id.startswith("pty_") else None,
            at=command.at,
            reason=command.reason,
        )
    ]


def evolve(state: Register, event: RegisterEvent) -> Register:
    """Return the state after an event."""
    known = state.relations.get(event.relation_id)
    if isinstance(event, RegisterRelationEnded):
        if known is None:
            return state  # what the relation began with is lost or passed over
        ended = replace(known, ended_at=event.at)
        return replace(state, relations=state.relations.set(event.relation_id, ended))
    other = event.related_id or event.owner
    assert other is not None, "a relation has two ends"
    known = known or Relation(event.party_id, other)
    if isinstance(event, RegisterRelationFound):
        known = replace(known, found=True, since=event.since)
    else:
        known = replace(known, stated_by=known.stated_by | {event.party_id}, since=_find_earlier(known, event))
    ends = state.ends
    for end in (event.party_id, other):
        ends = ends.set(end, ends.get(end, frozenset()) | {event.relation_id})
    return Register(state.relations.set(event.relation_id, known), ends)


def _find_earlier(known: Relation, event: RegisterRelationStated) -> datetime | None:
    """Return since when a relation holds after a statement: the earlier instant of two; None is earlier than any."""
    if not known.stated_by:
        return event.since
    return None if known.since is None or event.since is None else min(known.since, event.since)


class Sides(NamedTuple):
    """Who buys under a grant, who delivers and resells, and who takes the equity; None if nobody does."""

    buyer_id: str
    seller_ids: tuple[str, ...]
    holder_id: str | None


def list_sides(issued: GrantIssued) -> Sides:
    """Return the sides of a grant."""
    sellers = (issued.provider_id,) if issued.resale is None else (issued.provider_id, issued.resale.seller_id)
    return Sides(issued.startup_id, sellers, None if issued.equity is None else issued.equity.holder_id)


def find_mark(register: Register, sides: Sides, at: datetime) -> Mark | None:
    """Return the mark of a grant by how its sides were related at an instant.

    ``related``: the buyer to a seller; ``own_capacity``: only the holder of the equity to a seller; ``named``: one of
    them, but by the word of the seller's side alone; None: neither.
    """
    sellers, holders = frozenset(sides.seller_ids), () if sides.holder_id is None else (sides.holder_id,)
    if register.list_barred(sides.buyer_id, at) & sellers:
        return "related"
    if any(register.list_barred(holder_id, at) & sellers for holder_id in holders):
        return "own_capacity"
    if any(register.list_related(party_id, at) & sellers for party_id in (sides.buyer_id, *holders)):
        return "named"
    return None


def mark_award(register: Register, issued: GrantIssued, at: datetime) -> GrantIssued:
    """Return a grant with the mark by its parties' relations at `at`; without one, with the mark that it has.

    Raises:
        Refusal: ``parties_related``, if an auction awards it and the buyer is related to a seller.
    """
    sides = list_sides(issued)
    mark = find_mark(register, sides, at)
    if mark == "related" and issued.auction_id is not None:
        raise _refuse_related(sides.buyer_id, sides.seller_ids)
    return msgspec.structs.replace(issued, mark=mark or issued.mark)


def require_unrelated(register: Register, buyer_id: str, seller_id: str) -> None:
    """Refuse a buyer that is related now to the seller, not counting what the seller's side alone states.

    Raises:
        Refusal: ``parties_related``.
    """
    if seller_id in register.list_barred(buyer_id):
        raise _refuse_related(buyer_id, (seller_id,))


def require_claimable(register: Register, claimant_id: str, provider_id: str) -> None:
    """Refuse a claim of a party that is related now to the provider, not counting what the provider alone states.

    Raises:
        Refusal: ``parties_related``.
    """
    if provider_id in register.list_named(claimant_id):
        raise Refusal(
            "parties_related",
            f"{claimant_id} is the same party as {provider_id}, or is related to it, as the platform found, both state"
            f" or {claimant_id} states; a party related to the provider claims nothing from its bond; ask the platform"
            " to end a relation that is wrong",
            party_id=claimant_id,
        )


def _refuse_related(buyer_id: str, seller_ids: Sequence[str]) -> Refusal:
    return Refusal(
        "parties_related",
        f"{buyer_id} is the same party as {' or '.join(seller_ids)}, or is related to it, as the platform found, both"
        f" state or {buyer_id} states; related parties trade by held quotes only, which set no price",
        party_id=buyer_id,
    )


REGISTER: Decider[RegisterCommand, RegisterEvent, Register] = Decider("register", "reg", Register(), decide, evolve)
