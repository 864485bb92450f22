"""Bodies of parties and API keys."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from events.register import Owner, RelationKind
from events.types import Country, Id, Instant, Name, Person, Role, Stage, Text
from marketplace.api.http.bodies import Body


class RegisterPartyBody(Body, frozen=True, kw_only=True):
    """An organisation.

    Attributes:
        name: Legal name.
        roles: What it does here.
        jurisdiction: Country of incorporation.
        sector: Line of business, matched against the sectors of mandates.
    """

    name: Name
    roles: Annotated[tuple[Role, ...], Meta(min_length=1, max_length=4)]
    jurisdiction: Country
    sector: Name | None = None


class ClearPartyBody(Body, frozen=True, kw_only=True):
    """Checks that a party has passed.

    Attributes:
        checks: Their names.
    """

    checks: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)]


class RoleBody(Body, frozen=True, kw_only=True):
    """A role, to add, to ask for or to refuse.

    Attributes:
        role: The role.
        reason: Why.
    """

    role: Role
    reason: Text


class StageBody(Body, frozen=True, kw_only=True):
    """How far a company has come.

    Attributes:
        stage: Its stage from now on.
    """

    stage: Stage


class RelationBody(Body, frozen=True, kw_only=True):
    """An owner or an affiliate of a party; state either `related_id` or `owner`.

    Attributes:
        kind: ``owner``: it holds a quarter or more of the party's shares or votes, or directs it otherwise;
            ``affiliate``: another company that one of them directs, or that directs both.
        related_id: The other one, if it is a party here.
        owner: An owner outside this market, by an identifier such as ``lei:…``; equal ones are one owner.
        since: Since when, at most now; None: for as long as both exist.
        reason: How, for example by which holding; for the platform, what it was found by.
    """

    kind: RelationKind
    related_id: Id | None = None
    owner: Owner | None = None
    since: Instant | None = None
    reason: Text


class IssueKeyBody(Body, frozen=True, kw_only=True):
    """An API key.

    Attributes:
        name: Its name for people.
        scopes: What it may do, for example ``orders:write``.
        party_id: The party that it acts for; None for the party of the sender's own key.
        expires_at: When it stops working, at most a year ahead; None: in a year.
        person: Who acts with it, as the party's own identifier; None: the person of the sender's own key. Only the
            platform names another one.
    """

    name: Name
    scopes: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)]
    party_id: Id | None = None
    expires_at: Instant | None = None
    person: Person | None = None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `named_by` is the operator of the platform that issued it; None for its first key.

    It ends with `issued_by`, the key that issued it, or that got it since. `descends_from` issued it. None: a key of
    the platform that the reader does not see.

    `status` is ``active``, ``suspended``, ``revoked`` or ``expired``.
    """

    key_id: str
    status: str
    party_id: str | None
    person: str | None
    named_by: str | None
    issued_by: str | None
    descends_from: str | None
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    suspended_at: datetime | None
    revoked_at: datetime | None


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key.

    Attributes:
        key_id: Its id.
        token: The bearer token to send. It is stored nowhere, so keep it.
        party_id: The party that it acts for; None for the platform.
        person: Who acts with it; None if nobody was named.
        scopes: What it may do.
        expires_at: When it stops working.
    """

    key_id: str
    token: str
    party_id: str | None
    person: str | None
    scopes: tuple[str, ...]
    expires_at: datetime
