"""The register of relations: which parties have an owner in common, or are affiliates. There is one register.

A relation ties a party to an owner or to an affiliate. Of what the parties state and the platform finds, each is an
event with its instant and its reason.
"""

from typing import Annotated, Literal

from msgspec import Meta

from events.types import Event, Id, Instant, Text

RelationKind = Literal["owner", "affiliate"]
"""``owner``: it holds a quarter or more of the party's shares or votes, or directs it otherwise; ``affiliate``: any
other company that one of them directs, or that directs both."""
Owner = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]{1,19}:[a-z0-9][a-z0-9._:/-]{1,78}(?!\n)$",
    ),
]


class RegisterRelationStated(Event, frozen=True, kw_only=True, tag="register.relation_stated.v1"):
    """A party stated who owns it, or whose affiliate it is. Between two parties it is firm once both state it.

    Attributes:
        register_id: The register.
        relation_id: The relation; the same from either end.
        party_id: Who states it.
        related_id: The other party; None for an owner outside this market.
        owner: The owner outside this market, such as ``lei:5493001kjtiigc8y1r12``; None for a party.
        kind: What the other one is to the party.
        since: Since when; None: for as long as both exist.
        reason: How, for example by which holding.
        firm: Whether the other party states it too, so that it counts as found.
    """

    register_id: Id
    relation_id: Id
    party_id: Id
    related_id: Id | None = None
    owner: Owner | None = None
    kind: RelationKind
    since: Instant | None = None
    reason: Text
    firm: bool = False


class RegisterRelationFound(Event, frozen=True, kw_only=True, tag="register.relation_found.v1"):
    """The platform found a relation, or confirmed one that a party stated. It is firm.

    Attributes:
        register_id: The register.
        relation_id: The relation; the same from either end.
        party_id: The party.
        related_id: The other party; None for an owner outside this market.
        owner: The owner outside this market, such as ``lei:5493001kjtiigc8y1r12``; None for a party.
        kind: What the other one is to the party.
        since: Since when; None: for as long as both exist. Trades since then are marked.
        reason: What it was found by.
    """

    register_id: Id
    relation_id: Id
    party_id: Id
    related_id: Id | None = None
    owner: Owner | None = None
    kind: RelationKind
    since: Instant | None = None
    reason: Text


class RegisterRelationEnded(Event, frozen=True, kw_only=True, tag="register.relation_ended.v1"):
    """A relation ended. Trades before that instant stay marked.

    Attributes:
        register_id: The register.
        relation_id: The relation.
        party_id: The party.
        related_id: The other party; None for an owner outside this market.
        at: Until when it held.
        reason: Why.
    """

    register_id: Id
    relation_id: Id
    party_id: Id
    related_id: Id | None = None
    at: Instant
    reason: Text


RegisterEvent = RegisterRelationStated | RegisterRelationFound | RegisterRelationEnded
