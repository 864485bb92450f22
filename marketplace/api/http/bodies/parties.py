"""Bodies of parties and API keys."""

from typing import Annotated

from msgspec import Meta

from events.types import Country, Id, Instant, Name, Role
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


class IssueKeyBody(Body, frozen=True, kw_only=True):
    """An API key.

    Attributes:
        name: Its name for people.
        scopes: What it may do, for example ``orders:write``.
        party_id: The party that it acts for; None for the party of the sender's own key.
        expires_at: When it stops working; None: it does not expire.
    """

    name: Name
    scopes: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)]
    party_id: Id | None = None
    expires_at: Instant | None = None
