"""Views of parties."""

from datetime import datetime

import msgspec

from events.register import RelationKind
from events.types import Role, Stage


class PartyView(msgspec.Struct, frozen=True, kw_only=True):
    """A party as it is now.

    Attributes:
        roles_requested: Those that it asked for and the platform has not decided.
        stage: How far the company has come; None where the platform recorded nothing.
        status: ``registered``, ``cleared`` or ``suspended``.
        reason: Why it was suspended.
    """

    party_id: str
    name: str
    roles: tuple[Role, ...]
    roles_requested: tuple[Role, ...]
    jurisdiction: str
    sector: str | None
    stage: Stage | None
    status: str
    reason: str | None
    checks: tuple[str, ...]
    registered_at: datetime
    last_sequence: int


class PartyName(msgspec.Struct, frozen=True, kw_only=True):
    """The name under which a party is registered."""

    party_id: str
    name: str


class RelationView(msgspec.Struct, frozen=True, kw_only=True):
    """A relation of a party to an owner or affiliate.

    Attributes:
        relation_id: The relation.
        party_id: The party that stated it first, or for which it was found.
        related_id: The other party; None for an owner outside this market.
        owner: The owner outside this market; None for a party.
        kind: ``owner`` or ``affiliate``.
        stated_by: The parties that state it.
        is_found: Whether the platform found it. A relation that the platform found, or that both parties state, is
            firm: it counts for everybody.
        since: Since when it holds; None: for as long as both exist.
        reason: The last reason given for it.
        recorded_at: When it was recorded first.
        ended_at: Until when it held; None: it holds.
        last_sequence: The event that touched it last.
    """

    relation_id: str
    party_id: str
    related_id: str | None
    owner: str | None
    kind: RelationKind
    stated_by: tuple[str, ...]
    is_found: bool
    since: datetime | None
    reason: str
    recorded_at: datetime
    ended_at: datetime | None
    last_sequence: int
