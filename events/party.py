"""Organisations that trade: startups, providers, funds and the platform."""

from typing import Annotated, Literal

from msgspec import Meta

from events.types import Country, Event, Id, Name, Role, Stage, Text


class PartyRegistered(Event, frozen=True, kw_only=True, tag="party.registered.v1"):
    """An organisation asked to take part.

    Attributes:
        party_id: The party.
        name: Legal name.
        roles: What it does here; at least one.
        jurisdiction: Country of incorporation.
        sector: Line of business, matched against the sectors of mandates.
    """

    party_id: Id
    name: Name
    roles: Annotated[tuple[Role, ...], Meta(max_length=4)]
    jurisdiction: Country
    sector: Name | None = None


class PartyCleared(Event, frozen=True, kw_only=True, tag="party.cleared.v1"):
    """The platform finished its checks; the party may trade.

    Attributes:
        party_id: The party.
        checks: Names of the checks that were passed, for example ``sanctions``.
    """

    party_id: Id
    checks: Annotated[tuple[Name, ...], Meta(max_length=50)]


class PartySuspended(Event, frozen=True, kw_only=True, tag="party.suspended.v1"):
    """The party may begin nothing new, and nothing leaves it, until it is cleared again.

    Attributes:
        party_id: The party.
        reason: Why.
    """

    party_id: Id
    reason: Text


class PartyGroupServed(Event, frozen=True, kw_only=True, tag="party.group_served.v1"):
    """An order of one of the startup's groups was matched; no other order of the group will be.

    Attributes:
        party_id: The startup.
        group: Its name for the group.
        order_id: The order that was matched.
    """

    party_id: Id
    group: Name
    order_id: Id


class PartyRoleRequested(Event, frozen=True, kw_only=True, tag="party.role_requested.v1"):
    """The party asked for another role. It has it once the platform agrees.

    Attributes:
        party_id: The party.
        role: The role.
        reason: Why.
    """

    party_id: Id
    role: Role
    reason: Text


class PartyRoleAdded(Event, frozen=True, kw_only=True, tag="party.role_added.v1"):
    """The platform gave the party another role, by its own decision or because the party asked for it.

    Attributes:
        party_id: The party.
        role: The role.
        reason: Why.
    """

    party_id: Id
    role: Role
    reason: Text


class PartyRoleRequestEnded(Event, frozen=True, kw_only=True, tag="party.role_request_ended.v1"):
    """The party does not get the role that it asked for.

    Attributes:
        party_id: The party.
        role: The role.
        outcome: ``refused`` by the platform, or ``withdrawn`` by the party.
        reason: Why.
    """

    party_id: Id
    role: Role
    outcome: Literal["refused", "withdrawn"]
    reason: Text


class PartyStageRecorded(Event, frozen=True, kw_only=True, tag="party.stage_recorded.v1"):
    """The platform recorded how far the company has come, for mandates that take only some stages.

    Attributes:
        party_id: The party.
        stage: Its stage from now on.
    """

    party_id: Id
    stage: Stage


PartyEvent = (
    PartyRegistered
    | PartyCleared
    | PartySuspended
    | PartyGroupServed
    | PartyRoleRequested
    | PartyRoleAdded
    | PartyRoleRequestEnded
    | PartyStageRecorded
)
