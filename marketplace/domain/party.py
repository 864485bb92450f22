"""Parties: organisations that register, are cleared, and may then trade.

Subject: ``marketplace.party.<party_id>``.

Invariants:
    1. A party has at least one role and keeps its roles.
    2. Only a cleared party begins anything new. Nothing leaves a suspended party.
    3. At most one order of each group of a startup's orders is matched.

Refusals in order: party_unknown · party_exists · roles_missing · checks_missing · group_served.

Refusals of `require_trader`, in order: party_unknown · party_not_cleared · role_missing.

Refusals of `require_unsuspended`, in order: party_suspended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec
from immutables import Map

from events.party import PartyCleared, PartyEvent, PartyGroupServed, PartyRegistered, PartySuspended
from events.types import Role
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_exists, refuse_unknown


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
    """Suspend a party, so that it begins nothing new."""

    party_id: str
    reason: str


class ServeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Record that an order of a group is matched."""

    party_id: str
    group: str
    order_id: str


PartyCommand = RegisterParty | ClearParty | SuspendParty | ServeGroup


@dataclass(frozen=True, slots=True)
class Party:
    """A registered party.

    Attributes:
        served: The matched order of each group of its orders.
    """

    registered: PartyRegistered
    status: Literal["registered", "cleared", "suspended"]
    served: Map[str, str] = field(default_factory=Map)

    def has_role(self, role: Role) -> bool:
        """Tell whether the party has a role."""
        return role in self.registered.roles


PartyState = Party | None


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
            standing=party.status,
        )
    if not party.has_role(role):
        raise Refusal(
            "role_missing",
            f"party {party_id} is {' and '.join(party.registered.roles)}; this needs a {role}",
            party_id=party_id,
            role=role,
        )
    return party


def require_unsuspended(party: PartyState, party_id: str) -> None:
    """Refuse to let anything leave a suspended party. What it agreed to before is still paid.

    Raises:
        Refusal: ``party_suspended``.
    """
    if party is not None and party.status == "suspended":
        raise Refusal(
            "party_suspended",
            f"party {party_id} is suspended: money may arrive, and nothing leaves until the platform clears it again",
            party_id=party_id,
        )


def require_buyer(party: PartyState, party_id: str, *, backstop: bool) -> Party:
    """Return a party that may place an order: a startup, or a fund whose order takes what is left over.

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
    if isinstance(command, ClearParty):
        return _clear(command, state)
    if isinstance(command, ServeGroup):
        return _serve(command, state)
    return _suspend(command, state)


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


def evolve(state: PartyState, event: PartyEvent) -> PartyState:
    """Return the state after an event."""
    if isinstance(event, PartyRegistered):
        return Party(event, "registered")
    assert state is not None, "a party is registered first"
    if isinstance(event, PartyGroupServed):
        return replace(state, served=state.served.set(event.group, event.order_id))
    return replace(state, status="cleared" if isinstance(event, PartyCleared) else "suspended")


PARTY: Decider[PartyCommand, PartyEvent, PartyState] = Decider("party", "pty", None, decide, evolve)
