"""Grants: capacity that was awarded, from its issue to its end.

Subject: ``marketplace.grant.<grant_id>``.

Invariants:
    1. A grant's price, offer and equity part never change.
    2. It ends once: completed or terminated; after that only its statements go on.

Refusals in order: grant_unknown · grant_exists · time_naive · grant_<status> · grant_not_due · nodes_above_grant ·
pool_unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import msgspec

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantEvent,
    GrantIssued,
    GrantPrioritised,
    GrantResumed,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantTransferred,
)
from events.types import LotShare
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_aware


class IssueGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Award capacity; the whole grant is in the event that it makes."""

    issued: GrantIssued

    @property
    def grant_id(self) -> str:
        """Return the grant's id."""
        return self.issued.grant_id


class ActivateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Hand the capacity over."""

    grant_id: str
    at: datetime


class DegradeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Say that fewer nodes work."""

    grant_id: str
    nodes_available: int
    at: datetime
    reason: str


class SuspendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Interrupt use."""

    grant_id: str
    at: datetime
    reason: str


class ResumeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Say that it works in full again."""

    grant_id: str
    at: datetime


class SubstituteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Move the capacity to another pool; both pools change in the same atomic batch."""

    grant_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    at: datetime
    reason: str


class TransferGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Let another startup use it."""

    grant_id: str
    startup_id: str


class PrioritiseGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Change its place among the grants over which use is spread."""

    grant_id: str
    priority: int


class CompleteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Say that the span is over and its statements are settled."""

    grant_id: str
    gpu_seconds_accepted: int
    at: datetime


class TerminateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """End it early; `at` is held within the span."""

    grant_id: str
    at: datetime
    by: Literal["startup", "provider", "platform"]
    noticed_at: datetime
    reason: str


GrantCommand = (
    IssueGrant
    | ActivateGrant
    | DegradeGrant
    | SuspendGrant
    | ResumeGrant
    | SubstituteGrant
    | TransferGrant
    | PrioritiseGrant
    | CompleteGrant
    | TerminateGrant
)
RUNNING = ("active", "degraded", "suspended")
PRIORITY = 100
"""Of a grant whose tenant said nothing else; of grants that could carry a use, the lowest is used first."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued grant.

    `end` is brought forward by a termination, `reason` says why it is degraded, `outages` how many nodes worked since
    when, the oldest first; what is told of an instant replaces what was told of it and of later ones before.
    """

    issued: GrantIssued
    status: Literal["issued", "active", "degraded", "suspended", "completed", "terminated"]
    startup_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    end: datetime
    nodes_available: int
    reason: str | None = None
    outages: tuple[tuple[datetime, int], ...] = ()
    priority: int = PRIORITY

    @property
    def gpu_seconds_granted(self) -> int:
        """Return the GPU-seconds of the whole span as first granted."""
        seconds = int((self.issued.end - self.issued.start).total_seconds())
        return self.issued.nodes * self.issued.gpus_per_node * seconds


GrantState = Grant | None


def decide(command: GrantCommand, state: GrantState) -> Sequence[GrantEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    if isinstance(command, IssueGrant):
        return _issue(command, state)
    if state is None:
        raise refuse_unknown("grant", command.grant_id)
    if not isinstance(command, TransferGrant | PrioritiseGrant):
        require_aware(command.at, "/at")
    match command:
        case ActivateGrant():
            return _activate(command, state)
        case SubstituteGrant():
            return _substitute(command, state)
        case TransferGrant():
            return _transfer(command, state)
        case PrioritiseGrant():
            return _prioritise(command, state)
        case CompleteGrant():
            return _complete(command, state)
        case TerminateGrant():
            return _terminate(command, state)
        case _:
            return _interrupt(command, state)


def _interrupt(command: DegradeGrant | SuspendGrant | ResumeGrant, state: Grant) -> Sequence[GrantEvent]:
    match command:
        case DegradeGrant():
            return _degrade(command, state)
        case SuspendGrant():
            return _suspend(command, state)
        case ResumeGrant():
            return _resume(command, state)


def _issue(command: IssueGrant, state: GrantState) -> Sequence[GrantEvent]:
    if state is None:
        return [command.issued]
    if state.issued == command.issued:
        return []
    raise refuse_exists("grant", command.grant_id)


def _require_status(state: Grant, *allowed: str) -> None:
    if state.status not in allowed:
        raise refuse_status("grant", state.issued.grant_id, state.status, " or ".join(allowed))


def _require_due(grant_id: str, at: datetime, due: datetime, what: str) -> None:
    if at < due:
        raise Refusal(
            "grant_not_due",
            f"grant {grant_id} {what} at {due.isoformat()}; it is {at.isoformat()}",
            grant_id=grant_id,
            due=due.isoformat(),
        )


def _activate(command: ActivateGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status in RUNNING:
        return []
    _require_status(state, "issued")
    _require_due(command.grant_id, command.at, state.issued.start, "starts")
    return [GrantActivated(grant_id=command.grant_id, at=command.at)]


def _degrade(command: DegradeGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "degraded" and state.nodes_available == command.nodes_available:
        return []
    _require_status(state, *RUNNING)
    if command.nodes_available >= state.issued.nodes:
        raise Refusal(
            "nodes_above_grant",
            f"the grant has {state.issued.nodes} nodes; fewer than that work when it is degraded",
            pointer="/nodes_available",
        )
    return [
        GrantDegraded(
            grant_id=command.grant_id,
            nodes_available=command.nodes_available,
            at=command.at,
            reason=command.reason,
        )
    ]


def _suspend(command: SuspendGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "suspended":
        return []
    _require_status(state, "active", "degraded")
    return [GrantSuspended(grant_id=command.grant_id, at=command.at, reason=command.reason)]


def _resume(command: ResumeGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "active":
        return []
    _require_status(state, "degraded", "suspended")
    return [GrantResumed(grant_id=command.grant_id, at=command.at)]


def _substitute(command: SubstituteGrant, state: Grant) -> Sequence[GrantEvent]:
    if (state.pool_id, state.lots) == (command.pool_id, command.lots):
        return []
    _require_status(state, "issued", *RUNNING)
    if command.pool_id == state.pool_id:
        raise Refusal("pool_unchanged", f"grant {command.grant_id} is on pool {command.pool_id} already")
    return [
        GrantSubstituted(
            grant_id=command.grant_id,
            pool_id=command.pool_id,
            pool_id_before=state.pool_id,
            lots=command.lots,
            at=command.at,
            reason=command.reason,
        )
    ]


def _transfer(command: TransferGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.startup_id == command.startup_id:
        return []
    _require_status(state, "issued", *RUNNING)
    return [
        GrantTransferred(grant_id=command.grant_id, startup_id=command.startup_id, startup_id_before=state.startup_id)
    ]


def _prioritise(command: PrioritiseGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.priority == command.priority:
        return []
    _require_status(state, "issued", *RUNNING)
    return [GrantPrioritised(grant_id=command.grant_id, priority=command.priority)]


def _complete(command: CompleteGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "completed":
        return []
    _require_status(state, *RUNNING)
    _require_due(command.grant_id, command.at, state.end, "ends")
    return [GrantCompleted(grant_id=command.grant_id, gpu_seconds_accepted=command.gpu_seconds_accepted)]


def _terminate(command: TerminateGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "terminated":
        return []
    _require_status(state, "issued", *RUNNING)
    at = min(max(command.at, state.issued.start), state.end)
    return [
        GrantTerminated(
            grant_id=command.grant_id, at=at, by=command.by, noticed_at=command.noticed_at, reason=command.reason
        )
    ]


def evolve(state: GrantState, event: GrantEvent) -> GrantState:
    """Return the state after an event."""
    if isinstance(event, GrantIssued):
        return Grant(event, "issued", event.startup_id, event.pool_id, event.lots, event.end, event.nodes)
    assert state is not None, "a grant is issued first"
    match event:
        case GrantActivated():
            return replace(state, status="active")
        case GrantDegraded():
            outages = _turn(state, event.at, event.nodes_available)
            nodes, reason = event.nodes_available, event.reason
            return replace(state, status="degraded", nodes_available=nodes, reason=reason, outages=outages)
        case GrantSuspended():
            return replace(state, status="suspended", outages=_turn(state, event.at, 0))
        case GrantResumed():
            outages = _turn(state, event.at, state.issued.nodes)
            return replace(state, status="active", nodes_available=state.issued.nodes, reason=None, outages=outages)
        case GrantSubstituted() | GrantTransferred() | GrantPrioritised():
            return _evolve_place(state, event)
        case GrantCompleted():
            return replace(state, status="completed")
        case GrantTerminated():
            return replace(state, status="terminated", end=event.at)


def _evolve_place(state: Grant, event: GrantSubstituted | GrantTransferred | GrantPrioritised) -> Grant:
    match event:
        case GrantSubstituted():
            return replace(state, pool_id=event.pool_id, lots=event.lots)
        case GrantTransferred():
            return replace(state, startup_id=event.startup_id)
        case GrantPrioritised():
            return replace(state, priority=event.priority)


def _turn(state: Grant, at: datetime, nodes: int) -> tuple[tuple[datetime, int], ...]:
    return (*(known for known in state.outages if known[0] < at), (at, nodes))


GRANT: Decider[GrantCommand, GrantEvent, GrantState] = Decider("grant", "grt", None, decide, evolve)
