"""The state of a pool: offers, reservations, resales and incidents over time (`domain/supply/pool.py`)."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec
from immutables import Map

from events.pool import (
    PoolCapacityHeld,
    PoolCapacityOffered,
    PoolCapacityRecalled,
    PoolCapacityReleased,
    PoolCapacityReserved,
    PoolCapacityResold,
    PoolClosingAnnounced,
    PoolEvent,
    PoolNodeFailed,
    PoolOpened,
)
from events.types import LotShare
from marketplace.core.intervals import Load, build_steps, overlaps

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Nodes taken for a grant until `end`. An early release brings `end` forward."""

    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]


@dataclass(frozen=True, slots=True)
class Resale:
    """Nodes of a grant that are offered. Sold nodes are reserved for the buyers' grants.

    Attributes:
        grant_id: The seller's grant.
        offer: The nodes offered.
        sold: The nodes sold.
        held: The nodes set aside for held quotes, by the grant that taking each quote will issue.
        recalled: Whether it is off the market. It is kept while something is held.
    """

    grant_id: str
    offer: Load
    sold: tuple[Load, ...] = ()
    held: Map[str, Load] = field(default_factory=Map)
    recalled: bool = False

    def unsold(self) -> list[Load]:
        """Return what may still be sold or held, as loads to add up."""
        if self.recalled:
            return []
        taken = (*self.sold, *self.held.values())
        return [self.offer, *(Load(load.start, load.end, -load.amount) for load in taken)]

    def promised(self) -> list[Load]:
        """Return what the grant cannot offer again, as loads to add up."""
        return [*self.unsold(), *self.held.values()]


@dataclass(frozen=True, slots=True)
class Incident:
    """Failed nodes, of one grant if evidence of its GPUs showed it. `end` is unknown until they are restored."""

    nodes: int
    start: datetime
    end: datetime
    grant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """An open pool."""

    opened: PoolOpened
    offers: Map[str, Load] = field(default_factory=Map)
    reservations: Map[str, Reservation] = field(default_factory=Map)
    incidents: Map[str, Incident] = field(default_factory=Map)
    closing: PoolClosingAnnounced | None = None
    resales: Map[str, Resale] = field(default_factory=Map)

    def sold(self, lot_id: str) -> list[Load]:
        """Return the nodes reserved from a lot, one load per share."""
        return [
            Load(share.start, min(share.end, reservation.end), share.nodes)
            for reservation in self.reservations.values()
            for share in reservation.lots
            if share.lot_id == lot_id and share.start < reservation.end
        ]

    def unsold(self, lot_id: str, start: datetime, end: datetime) -> list[Load]:
        """Return the free nodes of a lot over ``[start, end)`` as runs; never below zero."""
        resale, offer = self.resales.get(lot_id), self.offers.get(lot_id)
        if resale is not None:
            offer, loads = resale.offer, resale.unsold()
        elif offer is not None:
            loads = [offer, *(Load(load.start, load.end, -load.amount) for load in self.sold(lot_id))]
        if offer is None or not overlaps(offer.start, offer.end, start, end):
            return []
        begin, stop = max(offer.start, start), min(offer.end, end)
        return [Load(run.start, run.end, max(run.amount, 0)) for run in build_steps(loads, begin, stop)]

    def claimed(self, start: datetime, end: datetime, *, besides: str) -> list[Load]:
        """Return what all lots except one offer over ``[start, end)``, and what is reserved from them beyond that."""
        offers = {lot_id: offer for lot_id, offer in self.offers.items() if lot_id != besides}
        carrying = {share.lot_id for reservation in self.reservations.values() for share in reservation.lots}
        loads = list(offers.values())
        for lot_id in carrying - {besides}:
            offered = [Load(offer.start, offer.end, -offer.amount) for offer in [offers.get(lot_id)] if offer]
            runs = build_steps([*self.sold(lot_id), *offered], start, end)
            loads.extend(run for run in runs if run.amount > 0)
        return loads

    def list_resales(self, grant_id: str) -> list[str]:
        """Return the lots that offer nodes of a grant."""
        mine = ((lot_id, resale) for lot_id, resale in self.resales.items() if resale.grant_id == grant_id)
        return [lot_id for lot_id, resale in mine if not resale.recalled]

    def list_holders(self, grant_id: str) -> list[str]:
        """Return the grants for which held quotes have set nodes of this grant aside."""
        mine = (resale for resale in self.resales.values() if resale.grant_id == grant_id)
        return [holder for resale in mine for holder in resale.held]

    def find_held(self, grant_id: str) -> str | None:
        """Return the resale lot of which a held quote set nodes aside for a grant, or None."""
        return next((lot_id for lot_id, resale in self.resales.items() if grant_id in resale.held), None)

    def list_drawn(self, grant_id: str) -> tuple[Load, ...]:
        """Return the kilowatts that a grant's reserved nodes draw, as runs in order; empty for none."""
        held = self.reservations.get(grant_id)
        shares = () if held is None else [share for share in held.lots if share.start < held.end]
        if held is None or not shares:
            return ()
        kept = [Load(share.start, min(share.end, held.end), share.nodes) for share in shares]
        runs = build_steps(kept, min(load.start for load in kept), max(load.end for load in kept))
        power_kw = self.opened.power_per_node_kw
        return tuple(Load(run.start, run.end, run.amount * power_kw) for run in runs if run.amount)

    def failed(self) -> list[Load]:
        """Return the nodes that do not work."""
        return [Load(incident.start, incident.end, incident.nodes) for incident in self.incidents.values()]

    def reserved(self) -> list[Load]:
        """Return the nodes reserved, one load per share."""
        return [
            Load(share.start, min(share.end, reservation.end), share.nodes)
            for reservation in self.reservations.values()
            for share in reservation.lots
            if share.start < reservation.end
        ]


PoolState = Pool | None


def evolve(state: PoolState, event: PoolEvent) -> PoolState:
    """Return the state after an event."""
    if isinstance(event, PoolOpened):
        return Pool(event)
    assert state is not None, "a pool is opened first"
    if isinstance(event, PoolCapacityOffered):
        return _offer(state, event)
    if isinstance(event, PoolCapacityRecalled):
        resale = state.resales.get(event.lot_id)
        if resale is not None:
            return _keep(state, event.lot_id, replace(resale, recalled=True))
        return replace(state, offers=state.offers.delete(event.lot_id))
    if isinstance(event, PoolCapacityHeld | PoolCapacityResold):
        return _hold(state, event) if isinstance(event, PoolCapacityHeld) else _resell(state, event)
    if isinstance(event, PoolCapacityReserved):
        return replace(state, reservations=state.reservations.set(event.grant_id, _follow(state, event)))
    if isinstance(event, PoolCapacityReleased):
        return _release(state, event)
    if isinstance(event, PoolClosingAnnounced):
        return replace(state, closing=event)
    if isinstance(event, PoolNodeFailed):
        incident = Incident(event.nodes, event.at, FOREVER, event.grant_id)
        return replace(state, incidents=state.incidents.set(event.incident_id, incident))
    ended = replace(state.incidents[event.incident_id], end=event.at)
    return replace(state, incidents=state.incidents.set(event.incident_id, ended))


def _keep(state: Pool, lot_id: str, resale: Resale) -> Pool:
    """Return the pool with the rest of a resale lot, which is removed once it is recalled and nothing is held."""
    over = resale.recalled and not resale.held
    resales = state.resales.delete(lot_id) if over else state.resales.set(lot_id, resale)
    return replace(state, resales=resales)


def _release(state: Pool, event: PoolCapacityReleased) -> Pool:
    lot_id = state.find_held(event.grant_id)
    if lot_id is not None:
        resale = state.resales[lot_id]
        nothing = Reservation(event.at, event.at, ())
        freed = replace(state, reservations=state.reservations.set(event.grant_id, nothing))
        return _keep(freed, lot_id, replace(resale, held=resale.held.delete(event.grant_id)))
    before = state.reservations[event.grant_id]
    after = replace(before, end=max(event.at, before.start))
    return replace(state, reservations=state.reservations.set(event.grant_id, after))


def _offer(state: Pool, event: PoolCapacityOffered) -> Pool:
    offer = Load(event.start, event.end, event.nodes)
    if event.grant_id is not None:
        return replace(state, resales=state.resales.set(event.lot_id, Resale(event.grant_id, offer)))
    return replace(state, offers=state.offers.set(event.lot_id, offer))


def _follow(state: Pool, event: PoolCapacityReserved) -> Reservation:
    """Return a grant's new reservation, including its previous one until that ends."""
    held = state.reservations.get(event.grant_id)
    if held is None or held.start >= held.end:
        return Reservation(event.start, event.end, event.lots)
    kept = tuple(
        msgspec.structs.replace(share, end=min(share.end, held.end)) for share in held.lots if share.start < held.end
    )
    return Reservation(held.start, event.end, (*kept, *event.lots))


def _hold(state: Pool, event: PoolCapacityHeld) -> Pool:
    resale = state.resales[event.lot_id]
    held = resale.held.set(event.grant_id, Load(event.start, event.end, event.nodes))
    return _keep(state, event.lot_id, replace(resale, held=held))


def _resell(state: Pool, event: PoolCapacityResold) -> Pool:
    resale = state.resales[event.lot_id]
    held = resale.held.delete(event.grant_id) if event.grant_id in resale.held else resale.held
    sold = replace(resale, sold=(*resale.sold, Load(event.start, event.end, event.nodes)), held=held)
    left = replace(state.reservations[event.grant_id_before], lots=event.lots_left)
    bought = Reservation(event.start, event.end, event.lots)
    reservations = state.reservations.set(event.grant_id_before, left).set(event.grant_id, bought)
    return replace(_keep(state, event.lot_id, sold), reservations=reservations)
