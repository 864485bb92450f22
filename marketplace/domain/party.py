"""Parties: organisations that register, are cleared, and may then trade.

Subject: ``marketplace.party.<party_id>``.

Invariants:
    1. A party has at least one role and keeps its roles. It gets another one only by the platform.
    2. Only a cleared party begins anything new; a registered or suspended one does not. A suspended party moves no
       money and no securities to others.
    3. At most one order of each group of a startup's orders is matched.

Refusals in order: party_unknown · party_exists · country_unlisted · roles_missing · checks_missing · group_served ·
role_exists · role_not_requested.

Refusals of `require_trader`, in order: party_unknown · party_not_cleared · role_missing.

Refusals of `require_unsuspended`, in order: party_suspended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec
from immutables import Map

from events.party import (
    PartyCleared,
    PartyEvent,
    PartyGroupServed,
    PartyRegistered,
    PartyRoleAdded,
    PartyRoleRequested,
    PartyRoleRequestEnded,
    PartyStageRecorded,
    PartySuspended,
)
from events.types import Role, Stage
from marketplace.core.countries import require_country
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.domain.refusals import refuse_exists, refuse_unknown

Status = Literal["registered", "cleared", "suspended"]


class RegisterParty(msgspec.Struct, frozen=True, kw_only=True):
    """Register a party."""

    party_id: str
    name: str
    roles: tuple[Role, ...]
    jurisdiction: str
    sector: str | None = None


class ClearParty(msgspec.Struct, frozen=True, kw_only=True):
    """Clear a party, which passed the platform's checks."""

    party_id: str
    checks: tuple[str, ...]


class SuspendParty(msgspec.Struct, frozen=True, kw_only=True):
    """Suspend a party, so that it begins nothing new and nothing leaves it, until it is cleared again."""

    party_id: str
    reason: str


class ServeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Record that an order of a startup's group is matched; a second one is refused."""

    party_id: str
    group: str
    order_id: str


class RequestRole(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for another role, as the party."""

    party_id: str
    role: Role
    reason: str


class AddRole(msgspec.Struct, frozen=True, kw_only=True):
    """Give the party another role, as the platform."""

    party_id: str
    role: Role
    reason: str


class EndRoleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse a requested role, or withdraw the request."""

    party_id: str
    role: Role
    outcome: Literal["refused", "withdrawn"]
    reason: str


class RecordStage(msgspec.Struct, frozen=True, kw_only=True):
    """Record the stage of a company."""

    party_id: str
    stage: Stage


PartyCommand = (
    RegisterParty | ClearParty | SuspendParty | ServeGroup | RequestRole | AddRole | EndRoleRequest | RecordStage
)


@dataclass(frozen=True, slots=True)
class Party:
    """A registered party.

    Attributes:
        registered: As it registered.
        status: Whether it may trade.
        roles: What it may do: startup, provider, fund or platform.
        served: The matched order of each group of its orders, by group.
        requested: Roles that it asked for and that the platform has not decided.
        ended: ``refused`` or ``withdrawn``: how its last request for a role ended without the role.
        stage: How far the company has come; None if the platform recorded none.
    """

    registered: PartyRegistered
    status: Status
    roles: tuple[Role, ...]
    served: Map[str, str] = field(default_factory=Map)
    requested: frozenset[Role] = frozenset()
    ended: Map[Role, str] = field(default_factory=Map)
    stage: Stage | None = None

    def has_role(self, role: Role) -> bool:
        """Return whether the party has a role."""
        return role in self.roles


PartyState = Party | None


def is_joining(holder_id: str, holder_id_after: str) -> bool:
    """Return whether a right passes from a holder without a key to a party, which it then is."""
    return is_id(holder_id, "stk") and is_id(holder_id_after, "pty")


def require_trader(party: PartyState, party_id: str, role: Role) -> Party:
    """Return the party if it is cleared and has the role.

    Raises:
        Refusal: ``party_unknown``, ``party_not_cleared`` or ``role_missing``, in this order.
    """
    if party is None:
        raise refuse_unknown("party", party_id)
    if party.status != "cleared":
        raise Refusal(
            "party_not_cleared",
            f"party {party_id} is {party.status}; the platform must clear it first",
            party_id=party_id,
            party_status=party.status,
        )
    if not party.has_role(role):
        raise Refusal(
            "role_missing",
            f"party {party_id} has the role {' and '.join(party.roles)}; this takes the role {role}",
            party_id=party_id,
            role=role,
        )
    return party


def is_suspended(party: PartyState) -> bool:
    """Return whether a party is suspended. One that is not registered is not."""
    return party is not None and party.status == "suspended"


def require_unsuspended(party: PartyState, party_id: str) -> None:
    """Refuse to let money, capacity or equity leave a suspended party; one that is not registered is not refused.

    Raises:
        Refusal: ``party_suspended``.
    """
    if is_suspended(party):
        raise Refusal(
            "party_suspended",
            f"party {party_id} is suspended: money may arrive, and nothing leaves until the platform clears it again",
            party_id=party_id,
        )


def require_all_unsuspended(parties: Mapping[str, PartyState]) -> None:
    """Refuse an act in which any of the parties is suspended.

    Raises:
        Refusal: ``party_suspended``.
    """
    for party_id, party in parties.items():
        require_unsuspended(party, party_id)


def require_buyer(party: PartyState, party_id: str, *, backstop: bool) -> Party:
    """Return a cleared party that may place an order: a startup, or a fund if it is a backstop order.

    Raises:
        Refusal: As `require_trader`.
    """
    fund = backstop and party is not None and not party.has_role("startup")
    return require_trader(party, party_id, "fund" if fund else "startup")


def decide(command: PartyCommand, state: PartyState) -> Sequence[PartyEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, RegisterParty):
        return _register(command, state)
    if state is None:
        raise refuse_unknown("party", command.party_id)
    match command:
        case ClearParty():
            return _clear(command, state)
        case ServeGroup():
            return _serve(command, state)
        case SuspendParty():
            return _suspend(command, state)
        case RecordStage():
            known = state.stage == command.stage
            return [] if known else [PartyStageRecorded(party_id=command.party_id, stage=command.stage)]
        case _:
            return _decide_role(command, state)


def _register(command: RegisterParty, state: PartyState) -> Sequence[PartyEvent]:
    event = PartyRegistered(
        party_id=command.party_id,
        name=command.name,
        roles=tuple(dict.fromkeys(command.roles)),
        jurisdiction=command.jurisdiction,
        sector=command.sector,
    )
    if state is not None:
        if state.registered == event:
            return []
        raise refuse_exists("party", command.party_id)
    require_country(command.jurisdiction, "/jurisdiction")
    if not command.roles:
        raise Refusal("roles_missing", "a party needs at least one role", pointer="/roles")
    return [event]


def _clear(command: ClearParty, state: Party) -> Sequence[PartyEvent]:
    if not command.checks:
        raise Refusal("checks_missing", "name at least one check that the party passed", pointer="/checks")
    if state.status == "cleared":
        return []
    return [PartyCleared(party_id=state.registered.party_id, checks=command.checks)]


def _suspend(command: SuspendParty, state: Party) -> Sequence[PartyEvent]:
    if state.status == "suspended":
        return []
    return [PartySuspended(party_id=state.registered.party_id, reason=command.reason)]


def _serve(command: ServeGroup, state: Party) -> Sequence[PartyEvent]:
    known = state.served.get(command.group)
    if known == command.order_id:
        return []
    if known is not None:
        raise Refusal(
            "group_served",
            f"order {known} of group {command.group} is already matched; at most one order of a group is",
            group=command.group,
            order_id=known,
        )
    return [PartyGroupServed(party_id=command.party_id, group=command.group, order_id=command.order_id)]


def _decide_role(command: RequestRole | AddRole | EndRoleRequest, state: Party) -> Sequence[PartyEvent]:
    party_id, role = command.party_id, command.role
    if isinstance(command, EndRoleRequest):
        if role not in state.requested and state.ended.get(role) == command.outcome:
            return []
        if role not in state.requested:
            raise Refusal(
                "role_not_requested", f"party {party_id} has not asked to be a {role}", party_id=party_id, role=role
            )
        ended = PartyRoleRequestEnded(party_id=party_id, role=role, outcome=command.outcome, reason=command.reason)
        return [ended]
    if isinstance(command, AddRole):
        return [] if state.has_role(role) else [PartyRoleAdded(party_id=party_id, role=role, reason=command.reason)]
    if state.has_role(role):
        raise Refusal("role_exists", f"party {party_id} is a {role} already", party_id=party_id, role=role)
    known = role in state.requested
    return [] if known else [PartyRoleRequested(party_id=party_id, role=role, reason=command.reason)]


def evolve(state: PartyState, event: PartyEvent) -> PartyState:
    """Return the state after an event."""
    if isinstance(event, PartyRegistered):
        return Party(event, "registered", event.roles)
    assert state is not None, "a party is registered first"
    match event:
        case PartyGroupServed():
            return replace(state, served=state.served.set(event.group, event.order_id))
        case PartyRoleRequested():
            return replace(state, requested=state.requested | {event.role})
        case PartyRoleAdded():
            return replace(state, roles=(*state.roles, event.role), requested=state.requested - {event.role})
        case PartyRoleRequestEnded():
            ended = state.ended.set(event.role, event.outcome)
            return replace(state, requested=state.requested - {event.role}, ended=ended)
        case PartyStageRecorded():
            return replace(state, stage=event.stage)
        case _:
            return replace(state, status="cleared" if isinstance(event, PartyCleared) else "suspended")


PARTY: Decider[PartyCommand, PartyEvent, PartyState] = Decider("party", "pty", None, decide, evolve)
