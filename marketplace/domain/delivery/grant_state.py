"""The state of a grant: its status and span, who uses it on which pool, and how many of its nodes work."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantEvent,
    GrantExtended,
    GrantIssued,
    GrantPrioritised,
    GrantResold,
    GrantResumed,
    GrantServiceLineAdded,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantTransferred,
)
from events.types import LotShare
from marketplace.core.intervals import Load

Status = Literal["issued", "active", "degraded", "suspended", "completed", "terminated"]
Phase = Literal["issued", "running", "completed", "terminated"]
Condition = Literal["active", "degraded", "suspended"]


PRIORITY: Final = 100
"""The default priority of a grant. Usage is allocated to the grant of the lowest number first."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued grant.

    Its phase and the condition of its nodes are independent: the nodes of a terminated grant go on until its end.

    A termination brings `end` forward; `extensions` move it back. `reason` says why it is degraded. `outages` says how
    many nodes worked from which instant on, oldest first. A report about an instant replaces earlier reports about it
    and about later instants.
    """

    issued: GrantIssued
    phase: Phase
    startup_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    end: datetime
    nodes_available: int
    condition: Condition = "active"
    reason: str | None = None
    resold: tuple[GrantResold, ...] = ()
    outages: tuple[tuple[datetime, int], ...] = ()
    extensions: tuple[tuple[datetime, datetime], ...] = ()
    priority: int = PRIORITY
    service_lines: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Return its condition while it runs, its phase before and after."""
        return self.condition if self.phase == "running" else self.phase

    @property
    def nodes_working(self) -> int:
        """Return how many of its nodes work, by the last report."""
        return self.outages[-1][1] if self.outages else self.issued.nodes

    @property
    def gpu_seconds_granted(self) -> int:
        """Return the GPU-seconds of the whole span as first granted."""
        seconds = int((self.issued.end - self.issued.start).total_seconds())
        return self.issued.nodes * self.issued.gpus_per_node * seconds

    @property
    def gpu_seconds_left(self) -> int:
        """Return the GPU-seconds of the span as first granted, less the resold ones."""
        return self.gpu_seconds_granted - sum(part.gpu_seconds for part in self.resold)

    def list_resold(self) -> list[Load]:
        """Return the nodes that were resold."""
        return [Load(part.start, part.end, part.nodes) for part in self.resold]

    def count_nodes(self, at: datetime) -> int:
        """Return the nodes that are the grant's own, not resold, at an instant of its span."""
        return self.issued.nodes - sum(part.nodes for part in self.resold if part.start <= at < part.end)


GrantState = Grant | None


def evolve(state: GrantState, event: GrantEvent) -> GrantState:
    """Return the state after an event."""
    if isinstance(event, GrantIssued):
        return Grant(event, "issued", event.startup_id, event.pool_id, event.lots, event.end, event.nodes)
    assert state is not None, "a grant is issued first"
    match event:
        case GrantActivated():
            return replace(state, phase="running")
        case GrantDegraded() | GrantSuspended() | GrantResumed():
            return _evolve_nodes(state, event)
        case GrantCompleted():
            return replace(state, phase="completed")
        case GrantTerminated():
            return replace(state, phase="terminated", end=event.at)
        case _:
            return _hand_over(state, event)


def _hand_over(
    state: Grant,
    event: GrantSubstituted | GrantExtended | GrantTransferred | GrantPrioritised | GrantResold | GrantServiceLineAdded,
) -> Grant:
    match event:
        case GrantServiceLineAdded():
            return replace(state, service_lines=(*state.service_lines, event.service_line_id))
        case GrantPrioritised():
            return replace(state, priority=event.priority)
        case GrantExtended():
            extensions = (*state.extensions, (event.start, event.end))
            return replace(state, end=event.end, lots=(*state.lots, *event.lots), extensions=extensions)
        case GrantSubstituted():
            return replace(state, pool_id=event.pool_id, lots=event.lots)
        case GrantTransferred():
            return replace(state, startup_id=event.startup_id)
        case GrantResold():
            return replace(state, resold=(*state.resold, event))


def _evolve_nodes(state: Grant, event: GrantDegraded | GrantSuspended | GrantResumed) -> Grant:
    match event:
        case GrantDegraded():
            outages = _turn(state, event.at, event.nodes_available)
            nodes, reason = event.nodes_available, event.reason
            return replace(state, condition="degraded", nodes_available=nodes, reason=reason, outages=outages)
        case GrantSuspended():
            return replace(state, condition="suspended", outages=_turn(state, event.at, 0))
        case GrantResumed():
            outages, nodes = _turn(state, event.at, state.issued.nodes), state.issued.nodes
            return replace(state, condition="active", nodes_available=nodes, reason=None, outages=outages)


def _turn(state: Grant, at: datetime, nodes: int) -> tuple[tuple[datetime, int], ...]:
    return (*(known for known in state.outages if known[0] < at), (at, nodes))
