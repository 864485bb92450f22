"""Pools: capacity over time, which lots offer and grants reserve.

Subject: ``marketplace.pool.<pool_id>``.

Invariants:
    1. At every instant, the nodes that lots offer plus those still reserved from recalled lots do not exceed the nodes
       of the pool.
    2. At every instant, the nodes reserved from a lot do not exceed what the lot offers, or offered at reservation.
       A grant that shifts may have nodes of its own lots that they offer no longer, as long as they are free. Hours
       that are kept for it count as reserved from their lots, and draw no power.
    3. No node is reserved that has failed and is not restored.
    4. At every instant, shares of lots add up to the whole reservation, less what the grant resold. A grant's next
       reservation begins when its last one has ended.
    5. Once notice is given that the pool leaves, nothing new is offered or reserved, but a grant may shift to hours
       before the closing.
    6. Resold nodes are reserved once: the seller's reservation shrinks as the buyer's begins. A grant's unsold nodes
       that are offered for resale, or held from such an offer, never exceed its reservation.
    7. Nodes that a held quote set aside from a resale lot are sold to nobody else, even after the lot is recalled or
       notice is given that the pool leaves.

Refusals in order: pool_unknown · pool_exists · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · credits_above_promise · credits_out_of_order · reservation_unknown · incident_exists ·
incident_unknown · time_naive · incident_restored · span_empty · notice_too_short · closing_brought_forward ·
pool_closing · resales_too_many · resale_above_grant · pool_full · reservation_exists · shares_uneven ·
lot_not_offered · lot_sold · nodes_failed · outage_open · nodes_exceeded · resumption_backdated ·
value_out_of_bounds · power_above_gpus · from_the_future · pool_unopened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
from immutables import Map

from events.instants import FOREVER
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
    PoolNodeRestored,
    PoolOpened,
)
from events.types import Event, LotShare
from events.usage import Meter
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, build_steps, find_peak, overlaps, require_aware, require_span
from marketplace.domain.refusals import refuse_exists, refuse_unknown, require_bounds
from marketplace.domain.supply.outages import require_over, require_prompt
from marketplace.domain.supply.pool_commands import (
    AnnounceClosing,
    CapacityCommand,
    FailNodes,
    HoldCapacity,
    OfferCapacity,
    OpenPool,
    PoolCommand,
    RecallCapacity,
    ReleaseCapacity,
    ResellCapacity,
    ReserveCapacity,
    RestoreNodes,
    ReturnCapacity,
    ShiftCapacity,
)
from marketplace.domain.supply.service_level import require_service

NOTICE_MIN = timedelta(days=14)
"""How long before its closing a pool's provider gives notice, at least."""
PUT_OFF_MIN = timedelta(days=1)
"""How long before an announced closing that ends grants it may be put off at the latest."""
FEES_KEPT = timedelta(days=7)
"""How long after its closing the provider's account keeps the fees of the ends of its grants."""
_DAY: Final = timedelta(days=1)
KW_PER_GPU_MAX: Final = 5
KW_PER_NODE_MAX: Final = 5
"""A node draws at most so many kilowatts for each GPU and so many beside them: several times what one of today does."""
RESALES_MAX: Final = 64
"""The most resale lots of a pool at a time. Each is a separate bid of every order that it could serve."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Nodes taken for a grant until `end`.

    An early release brings `end` forward and does not change `lots`. A share whose own end is later stops at `end`.
    `kept` are hours before `start` that the grant gave up, and that no lot sells.
    """

    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    kept: tuple[LotShare, ...] = ()

    def find_first(self) -> datetime:
        """Return when it begins, or the hours that are kept before it."""
        return min([self.start, *(share.start for share in self.kept)])

    def list_gaps(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the spans of ``[start, end)`` that it neither has nor is kept, in order."""
        known = sorted([*((share.start, share.end) for share in self.kept), (self.start, self.end)])
        gaps: list[tuple[datetime, datetime]] = []
        for begin, stop in (*known, (end, end)):
            if start < min(begin, end):
                gaps.append((start, min(begin, end)))
            start = max(start, stop)
        return gaps


@dataclass(frozen=True, slots=True)
class Resale:
    """Nodes of a grant that are offered. Sold nodes are reserved for the buyers' grants.

    Attributes:
        grant_id: The seller's grant.
        offer: The nodes offered.
        sold: The nodes sold.
        held: The nodes set aside for held quotes, by the id of the grant that will be issued if the quote is taken.
        recalled: Whether it is off sale. It is kept while quotes hold nodes.
    """

    grant_id: str
    offer: Load
    sold: tuple[Load, ...] = ()
    held: Map[str, Load] = field(default_factory=Map)
    recalled: bool = False

    def unsold(self) -> list[Load]:
        """Return the nodes that may still be sold or held, as positive and negative loads to add up."""
        if self.recalled:
            return []
        taken = (*self.sold, *self.held.values())
        return [self.offer, *(Load(load.start, load.end, -load.amount) for load in taken)]

    def find_left(self, at: datetime) -> Load | None:
        """Return what is left of the offer at every instant from `at` on, held nodes too; None if nothing is."""
        start, end = max(self.offer.start, at), self.offer.end
        if start >= end:
            return None
        loads = [self.offer, *(Load(load.start, load.end, -load.amount) for load in self.sold)]
        nodes = min(run.amount for run in build_steps(loads, start, end))
        return Load(start, end, nodes) if nodes > 0 else None

    def promised(self) -> list[Load]:
        """Return the nodes that the grant cannot offer again: unsold or held, as loads to add up."""
        return [*self.unsold(), *self.held.values()]


@dataclass(frozen=True, slots=True)
class Incident:
    """Failed nodes of a pool. `end` is `FOREVER` until they are restored.

    `grant_id` names the grant whose GPUs' evidence showed the failure, and `meter` whose meter; None if a report did.
    """

    nodes: int
    start: datetime
    end: datetime
    grant_id: str | None
    reported_at: datetime
    meter: Meter | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """An open pool.

    Attributes:
        opened: The pool as it was opened.
        offers: What each lot offers, by lot; resale lots are in `resales`.
        reservations: By grant, also those that ended.
        incidents: By id, also those that ended.
        closing: The announced closing; None while none is announced.
        put_off: By grant that was to end at a closing that was put off, the first such date that is not past.
        resales: By lot.
    """

    opened: PoolOpened
    offers: Map[str, Load] = field(default_factory=Map)
    reservations: Map[str, Reservation] = field(default_factory=Map)
    incidents: Map[str, Incident] = field(default_factory=Map)
    closing: PoolClosingAnnounced | None = None
    put_off: Map[str, datetime] = field(default_factory=Map)
    resales: Map[str, Resale] = field(default_factory=Map)

    def sold(self, lot_id: str) -> list[Load]:
        """Return the nodes reserved from a lot or kept on it, one load per share."""
        return [
            Load(share.start, min(share.end, reservation.end), share.nodes)
            for reservation in self.reservations.values()
            for share in (*reservation.kept, *reservation.lots)
            if share.lot_id == lot_id and share.start < reservation.end
        ]

    def unsold(self, lot_id: str, start: datetime, end: datetime) -> list[Load]:
        """Return the unsold nodes of a lot over ``[start, end)`` as runs, never below 0; empty where it offers none."""
        resale, offer = self.resales.get(lot_id), self.offers.get(lot_id)
        if resale is not None:
            offer, loads = resale.offer, resale.unsold()
        elif offer is not None:
            loads = [offer, *(Load(load.start, load.end, -load.amount) for load in self.sold(lot_id))]
        if offer is None or not overlaps(offer.start, offer.end, start, end):
            return []
        begin, stop = max(offer.start, start), min(offer.end, end)
        return [Load(run.start, run.end, max(run.amount, 0)) for run in build_steps(loads, begin, stop)]

    def claimed(self, start: datetime, end: datetime, *, besides: str | None = None) -> list[Load]:
        """Return what all lots, except one, offer over ``[start, end)``, and what they sold or keep beyond that."""
        offers = {lot_id: offer for lot_id, offer in self.offers.items() if lot_id != besides}
        carrying = {share.lot_id for held in self.reservations.values() for share in (*held.kept, *held.lots)}
        loads = list(offers.values())
        for lot_id in carrying - {besides}:
            offered = [Load(offer.start, offer.end, -offer.amount) for offer in [offers.get(lot_id)] if offer]
            runs = build_steps([*self.sold(lot_id), *offered], start, end)
            loads.extend(run for run in runs if run.amount > 0)
        return loads

    def list_unlisted(self, start: datetime, end: datetime) -> list[Load]:
        """Return the nodes that no lot offers and no grant has over ``[start, end)``, as runs in order."""
        loads = [Load(load.start, load.end, -load.amount) for load in self.claimed(start, end)]
        return build_steps([Load(start, end, self.opened.nodes), *loads], start, end)

    def list_resales(self, grant_id: str) -> list[str]:
        """Return the resale lots on sale that offer nodes of a grant."""
        mine = ((lot_id, resale) for lot_id, resale in self.resales.items() if resale.grant_id == grant_id)
        return [lot_id for lot_id, resale in mine if not resale.recalled]

    def list_holders(self, grant_id: str) -> list[str]:
        """Return the ids of the grants for which quotes hold nodes of this grant."""
        mine = (resale for resale in self.resales.values() if resale.grant_id == grant_id)
        return [holder for resale in mine for holder in resale.held]

    def find_held(self, grant_id: str) -> str | None:
        """Return the resale lot whose nodes a quote holds for the grant `grant_id`; None if none does."""
        return next((lot_id for lot_id, resale in self.resales.items() if grant_id in resale.held), None)

    def list_drawn(self, grant_id: str) -> tuple[Load, ...]:
        """Return the kilowatts that a grant's reserved nodes draw, as runs in order; empty for none."""
        kept = self._list_held(grant_id)
        if not kept:
            return ()
        runs = build_steps(kept, min(load.start for load in kept), max(load.end for load in kept))
        power_kw = self.opened.power_per_node_kw
        return tuple(Load(run.start, run.end, run.amount * power_kw) for run in runs if run.amount)

    def failed(self) -> list[Load]:
        """Return the failed nodes, one load per incident, past ones included."""
        return [Load(incident.start, incident.end, incident.nodes) for incident in self.incidents.values()]

    def list_taken(self, told_before: datetime = FOREVER) -> list[Load]:
        """Return the nodes that are reserved or that failed, as far as it was told before an instant.

        Nodes that failed by evidence of a grant's GPUs are the grant's own, which has reserved them. Only what is more
        counts besides, by the provider's meter: what a tenant's meter shows keeps no other node from being sold.
        """
        failed: dict[str | None, list[Load]] = {}
        for one in self.incidents.values():
            if one.reported_at < told_before and one.meter != "startup":
                failed.setdefault(one.grant_id, []).append(Load(one.start, one.end, one.nodes))
        taken = [*self.reserved(), *failed.pop(None, ())]
        for grant_id, loads in failed.items():
            own = [Load(load.start, load.end, -load.amount) for load in self._list_held(grant_id or "")]
            runs = build_steps([*loads, *own], min(load.start for load in loads), max(load.end for load in loads))
            taken += [run for run in runs if run.amount > 0]
        return taken

    def _list_held(self, grant_id: str) -> list[Load]:
        """Return the nodes that a grant has reserved, one load per share."""
        held = self.reservations.get(grant_id)
        if held is None:
            return []
        shares = (share for share in held.lots if share.start < held.end)
        return [Load(share.start, min(share.end, held.end), share.nodes) for share in shares]

    def reserved(self) -> list[Load]:
        """Return the nodes reserved, one load per share."""
        return [load for grant_id in self.reservations for load in self._list_held(grant_id)]


PoolState = Pool | None


def list_draws(
    before: Pool, after: Pool, events: Iterable[Event]
) -> list[tuple[str, tuple[Load, ...], tuple[Load, ...]]]:
    """Return each grant whose reservation events changed, with the kilowatts that its nodes drew before and draw after.

    Args:
        before: The pool before the events.
        after: The pool after the events.
        events: The events.
    """
    grant_ids: dict[str, None] = {}
    for event in events:
        if isinstance(event, PoolCapacityReserved | PoolCapacityResold | PoolCapacityReleased):
            grant_ids[event.grant_id] = None
        if isinstance(event, PoolCapacityResold):
            grant_ids[event.grant_id_before] = None
    return [(grant_id, before.list_drawn(grant_id), after.list_drawn(grant_id)) for grant_id in grant_ids]


def decide(command: PoolCommand, state: PoolState) -> Sequence[PoolEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, OpenPool):
        return _open(command, state)
    if state is None:
        raise refuse_unknown("pool", command.pool_id)
    if isinstance(command, OfferCapacity):
        return _offer(command, state) if command.grant_id is None else _offer_resale(command, command.grant_id, state)
    if isinstance(command, RecallCapacity):
        resale = state.resales.get(command.lot_id)
        known = command.lot_id in state.offers or (resale is not None and not resale.recalled)
        return [PoolCapacityRecalled(pool_id=command.pool_id, lot_id=command.lot_id)] * known
    if isinstance(command, CapacityCommand):
        return _take(command, state)
    if isinstance(command, FailNodes):
        return _fail(command, state)
    if isinstance(command, AnnounceClosing):
        return _announce(command, state)
    return _restore(command, state)


def _take(command: CapacityCommand, state: Pool) -> Sequence[PoolEvent]:
    match command:
        case ReserveCapacity():
            return _reserve(command, state)
        case ShiftCapacity():
            return _shift(command, state)
        case ReturnCapacity():
            return _return(command, state)
        case ResellCapacity():
            return _resell(command, state)
        case HoldCapacity():
            return _hold_resale(command, state)
        case ReleaseCapacity():
            return _release(command, state)


def _open(command: OpenPool, state: PoolState) -> Sequence[PoolEvent]:
    opened = command.opened
    if state is not None:
        if state.opened == opened:
            return []
        raise refuse_exists("pool", opened.pool_id)
    if opened.service is not None:
        require_service(opened.service, "/service")
    require_bounds(opened)
    _require_plausible(opened)
    return [opened]


def _require_plausible(opened: PoolOpened) -> None:
    """Refuse nodes that state more power than their GPUs can draw: warrants vest by the power of delivered nodes.

    Raises:
        Refusal: ``power_above_gpus``.
    """
    most_kw = opened.gpus_per_node * KW_PER_GPU_MAX + KW_PER_NODE_MAX
    if opened.power_per_node_kw > most_kw:
        raise Refusal(
            "power_above_gpus",
            f"a node of {opened.gpus_per_node} GPUs states {opened.power_per_node_kw} kW; at most {most_kw} kW count:"
            f" {KW_PER_GPU_MAX} for each GPU and {KW_PER_NODE_MAX} for the rest. State the draw of one node",
            pointer="/power_per_node_kw",
            power_kw=opened.power_per_node_kw,
            power_kw_max=most_kw,
        )


def _announce(command: AnnounceClosing, state: Pool) -> Sequence[PoolEvent]:
    require_aware(command.closes_at, "/closes_at")
    known = state.closing
    if known is not None and known.closes_at == command.closes_at:
        return []
    if command.closes_at < command.at + NOTICE_MIN:
        raise Refusal(
            "notice_too_short",
            f"a pool may leave {NOTICE_MIN.days} days after notice at the earliest, not at"
            f" {render_instant(command.closes_at)}; state a later instant",
            pointer="/closes_at",
        )
    if known is not None and command.closes_at < known.closes_at:
        raise Refusal(
            "closing_brought_forward",
            f"notice was given for {render_instant(known.closes_at)}; the date can be postponed, not brought forward",
            pointer="/closes_at",
        )
    is_late = known is not None and command.at > known.closes_at - PUT_OFF_MIN
    if known is not None and is_late and any(held.end > known.closes_at for held in state.reservations.values()):
        raise Refusal(
            "notice_too_short",
            f"grants end at {render_instant(known.closes_at)}, and their users rely on that from a day"
            " before; the date stays",
            pointer="/closes_at",
        )
    return [
        PoolClosingAnnounced(
            pool_id=command.pool_id, announced_at=command.at, closes_at=command.closes_at, reason=command.reason
        )
    ]


def _offer(command: OfferCapacity, state: Pool) -> Sequence[PoolEvent]:
    require_span(command.start, command.end, "/end")
    offer = Load(command.start, command.end, command.nodes)
    if state.offers.get(command.lot_id) == offer:
        return []
    _require_staying(state, command.end)
    others = state.claimed(command.start, command.end, besides=command.lot_id)
    peak, where = find_peak(others, command.start, command.end)
    if peak + command.nodes > state.opened.nodes:
        raise Refusal(
            "pool_full",
            f"pool {command.pool_id} has {state.opened.nodes} nodes, of which {peak} are already offered or reserved at"
            f" {render_instant(where)}; {command.nodes} more do not fit",
            pointer="/nodes",
            pool_id=command.pool_id,
            nodes=state.opened.nodes,
            offered=peak,
            at=render_instant(where),
        )
    return [
        PoolCapacityOffered(
            pool_id=command.pool_id,
            lot_id=command.lot_id,
            nodes=command.nodes,
            start=command.start,
            end=command.end,
        )
    ]


def _reserve(command: ReserveCapacity, state: Pool) -> Sequence[PoolEvent]:
    require_span(command.start, command.end, "/end")
    held = state.reservations.get(command.grant_id)
    if held is not None:
        if (held.start, held.end, held.lots) == (command.start, command.end, command.lots):
            return []
        if command.lots == held.lots[-len(command.lots) :] and command.end == held.end:
            return []
        _require_staying(state, command.end)
        if command.start < held.end:
            raise _refuse_other(command.grant_id)
    _require_room(command, state)
    return [
        PoolCapacityReserved(
            pool_id=command.pool_id,
            grant_id=command.grant_id,
            nodes=command.nodes,
            start=command.start,
            end=command.end,
            lots=command.lots,
        )
    ]


def _require_room(command: ReserveCapacity, state: Pool) -> None:
    _require_staying(state, command.end)
    _require_even(command)
    for lot_id in dict.fromkeys(share.lot_id for share in command.lots):
        _require_lot(command, state, lot_id)
    _require_working(command, state)


def _shift(command: ShiftCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Release a reservation and reserve the new span. Only the hours that it neither has nor is kept are new."""
    require_span(command.start, command.end, "/end")
    pool_id, grant_id, nodes = command.pool_id, command.grant_id, command.nodes
    held, start, end = _get_reservation(state, command.grant_id), command.start, command.end
    if (held.start, held.end) == (start, end):
        return []
    for begin, stop in held.list_gaps(start, end):
        lots = _clip(command.further, begin, stop)
        further = ReserveCapacity(pool_id=pool_id, grant_id=grant_id, nodes=nodes, start=begin, end=stop, lots=lots)
        _require_unclaimed(further, state)
    first, shares = held.find_first(), (*held.kept, *_clip(held.lots, held.start, held.end))
    kept_until = min(start, max(held.start, command.kept_until or held.start))
    reserved = PoolCapacityReserved(
        pool_id=pool_id,
        grant_id=grant_id,
        nodes=nodes,
        start=start,
        end=end,
        lots=(*_clip(shares, start, end), *command.further),
        kept=_clip(shares, first, kept_until),
    )
    return [PoolCapacityReleased(pool_id=pool_id, grant_id=grant_id, at=first), reserved]


def _require_unclaimed(command: ReserveCapacity, state: Pool) -> None:
    """Refuse further hours of a grant whose nodes are not free, whether a lot offers them or not.

    Raises:
        Refusal: ``pool_closing`` · ``shares_uneven`` · ``pool_full`` · ``nodes_failed``.
    """
    _require_staying(state, command.end)
    _require_even(command)
    taken = Reservation(command.start, command.end, command.lots)
    after = replace(state, reservations=state.reservations.set(f"{command.grant_id}/further", taken))
    peak, where = find_peak(after.claimed(command.start, command.end), command.start, command.end)
    if peak > state.opened.nodes:
        raise Refusal(
            "pool_full",
            f"pool {command.pool_id} has {state.opened.nodes} nodes; with this, {peak} would be offered or reserved at"
            f" {render_instant(where)}",
            pool_id=command.pool_id,
            at=render_instant(where),
        )
    _require_working(command, state)


def _clip(shares: Iterable[LotShare], start: datetime, end: datetime) -> tuple[LotShare, ...]:
    """Return what shares carry in ``[start, end)``."""
    return tuple(
        msgspec.structs.replace(share, start=max(share.start, start), end=min(share.end, end))
        for share in shares
        if max(share.start, start) < min(share.end, end)
    )


def _return(command: ReturnCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Release what a grant has from an instant on, and reserve the same for another one."""
    held = _get_reservation(state, command.grant_id)
    require_aware(command.at, "/at")
    start, end = max(command.at, held.start), held.end
    if start >= end:
        return []
    if command.to_grant_id in state.reservations:
        raise _refuse_other(command.to_grant_id)
    returned = PoolCapacityReserved(
        pool_id=command.pool_id,
        grant_id=command.to_grant_id,
        nodes=command.nodes,
        start=start,
        end=end,
        lots=_clip(held.lots, start, end),
    )
    return [PoolCapacityReleased(pool_id=command.pool_id, grant_id=command.grant_id, at=command.at), returned]


def _require_even(command: ReserveCapacity) -> None:
    shares = [Load(share.start, share.end, share.nodes) for share in command.lots]
    runs = build_steps([*shares, *command.resold], command.start, command.end)
    outside = any(share.start < command.start or share.end > command.end for share in command.lots)
    if outside or any(run.amount != command.nodes for run in runs):
        raise Refusal(
            "shares_uneven",
            f"the lots do not carry {command.nodes} nodes, less the resold ones, at every instant of the span",
            pointer="/lots",
            grant_id=command.grant_id,
        )


def _require_lot(command: ReserveCapacity, state: Pool, lot_id: str) -> None:
    offer = state.offers.get(lot_id)
    wanted = [Load(share.start, share.end, share.nodes) for share in command.lots if share.lot_id == lot_id]
    if offer is None or any(load.start < offer.start or load.end > offer.end for load in wanted):
        raise _refuse_unoffered(command.pool_id, lot_id)
    peak, where = find_peak([*state.sold(lot_id), *wanted], command.start, command.end)
    if peak > offer.amount:
        raise Refusal(
            "lot_sold",
            f"lot {lot_id} offers {offer.amount} nodes; with this, {peak} would be reserved at {render_instant(where)}",
            lot_id=lot_id,
            offered=offer.amount,
            reserved=peak,
            at=render_instant(where),
        )


def _require_working(command: ReserveCapacity, state: Pool) -> None:
    wanted = [Load(share.start, share.end, share.nodes) for share in command.lots]
    peak, where = find_peak([*state.list_taken(), *wanted], command.start, command.end)
    if peak > state.opened.nodes:
        raise Refusal(
            "nodes_failed",
            f"pool {command.pool_id} has {state.opened.nodes} nodes; {peak} would be reserved or failed at"
            f" {render_instant(where)}",
            pool_id=command.pool_id,
            at=render_instant(where),
        )


def _release(command: ReleaseCapacity, state: Pool) -> Sequence[PoolEvent]:
    mine: dict[str, Any] = {"pool_id": command.pool_id, "grant_id": command.grant_id}
    lot_id = state.find_held(command.grant_id)
    if lot_id is not None:
        require_aware(command.at, "/at")
        return [PoolCapacityReleased(**mine, at=command.at, grant_id_before=state.resales[lot_id].grant_id)]
    held = _get_reservation(state, command.grant_id)
    require_aware(command.at, "/at")
    if max(command.at, held.start) >= held.end:
        return []
    first, is_begun = held.find_first(), command.at > held.start
    if not is_begun or not held.kept or command.nodes is None:
        return [PoolCapacityReleased(**mine, at=command.at if is_begun else min(command.at, first))]
    lots = _clip(held.lots, held.start, command.at)
    rest = PoolCapacityReserved(**mine, nodes=command.nodes, start=held.start, end=command.at, lots=lots)
    return [PoolCapacityReleased(**mine, at=first), rest]


def _fail(command: FailNodes, state: Pool) -> Sequence[PoolEvent]:
    until = command.until
    event = PoolNodeFailed(**{name: getattr(command, name) for name in PoolNodeFailed.__struct_fields__})
    known = state.incidents.get(command.incident_id)
    if known is not None:
        if (known.nodes, known.start) == (command.nodes, command.at):
            return []
        raise Refusal("incident_exists", f"incident {command.incident_id} exists with other content; use another id")
    require_aware(command.at, "/at")
    if until is not None:
        require_span(command.at, until, "/until")
        require_over(until, command.reported_at)
    down, _ = find_peak(state.failed(), command.at, until or FOREVER)
    if down + command.nodes > state.opened.nodes:
        raise Refusal(
            "nodes_exceeded",
            f"{down} of {state.opened.nodes} nodes have already failed; {command.nodes} more cannot",
            pointer="/nodes",
        )
    require_bounds(event)
    _require_past(command, state.opened)
    if until is None:
        return [event]
    restored = PoolNodeRestored(pool_id=command.pool_id, incident_id=command.incident_id, nodes=command.nodes, at=until)
    return [event, restored]


def _require_past(command: FailNodes, opened: PoolOpened) -> None:
    """Refuse to report nodes as failed after now, or more than a day before their pool was opened.

    Raises:
        Refusal: ``from_the_future`` · ``pool_unopened``.
    """
    if command.reported_at is not None and command.at > command.reported_at:
        raise Refusal(
            "from_the_future",
            f"the nodes would fail at {render_instant(command.at)}, after now; report it once they do",
            pointer="/at",
        )
    if opened.opened_at is not None and command.at < opened.opened_at - _DAY:
        raise Refusal(
            "pool_unopened",
            f"pool {command.pool_id} was opened at {render_instant(opened.opened_at)}, long after"
            f" {render_instant(command.at)}; state since when its nodes do not work",
            pointer="/at",
            opened_at=render_instant(opened.opened_at),
        )


def _restore(command: RestoreNodes, state: Pool) -> Sequence[PoolEvent]:
    known = state.incidents.get(command.incident_id)
    if known is None:
        text = f"there is no incident {command.incident_id} in pool {command.pool_id}; check the id"
        raise Refusal("incident_unknown", text)
    require_aware(command.at, "/at")
    if known.end == command.at:
        return []
    if known.end != FOREVER:
        raise Refusal(
            "incident_restored",
            f"the nodes of incident {command.incident_id} work again since {render_instant(known.end)}, as was"
            " reported; that stays so, and a further failure is a new incident",
            pointer="/at",
            restored_at=render_instant(known.end),
        )
    require_span(known.start, command.at, "/at")
    if command.reported_at is not None:
        require_prompt(command.at, command.reported_at, known.reported_at)
    return [
        PoolNodeRestored(pool_id=command.pool_id, incident_id=command.incident_id, nodes=known.nodes, at=command.at)
    ]


def _require_staying(state: Pool, end: datetime) -> None:
    """Refuse what would run longer than a pool stays in the market.

    Raises:
        Refusal: ``pool_closing``.
    """
    if state.closing is not None and end > state.closing.closes_at:
        closes_at = render_instant(state.closing.closes_at)
        raise Refusal(
            "pool_closing",
            f"pool {state.opened.pool_id} leaves the market at {closes_at} and takes nothing that ends later; choose an"
            " end by then, or use another pool",
            pool_id=state.opened.pool_id,
            closes_at=closes_at,
        )


def _offer_resale(command: OfferCapacity, grant_id: str, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that put reserved nodes of a grant on sale."""
    held = _get_reservation(state, grant_id)
    require_span(command.start, command.end, "/end")
    offer = Load(command.start, command.end, command.nodes)
    known = state.resales.get(command.lot_id)
    if known is not None and (known.grant_id, known.offer, known.recalled) == (grant_id, offer, False):
        return []
    _require_staying(state, command.end)
    if len(state.resales) >= RESALES_MAX:
        raise Refusal(
            "resales_too_many",
            f"pool {command.pool_id} already has {RESALES_MAX} resale lots; wait until some are sold or withdrawn",
            pool_id=command.pool_id,
        )
    _require_reserved(command, grant_id, held, state)
    return [
        PoolCapacityOffered(
            pool_id=command.pool_id,
            lot_id=command.lot_id,
            nodes=command.nodes,
            start=command.start,
            end=command.end,
            grant_id=grant_id,
        )
    ]


def _require_reserved(command: OfferCapacity, grant_id: str, held: Reservation, state: Pool) -> None:
    reserved = [Load(share.start, min(share.end, held.end), -share.nodes) for share in held.lots]
    others = [load for resale in state.resales.values() if resale.grant_id == grant_id for load in resale.promised()]
    wanted = Load(command.start, command.end, command.nodes)
    peak, where = find_peak([wanted, *others, *reserved], command.start, command.end)
    if peak > 0:
        raise Refusal(
            "resale_above_grant",
            f"grant {grant_id} lacks {peak} of the {command.nodes} nodes at {render_instant(where)}: it does not have"
            " them in this pool, or already offers them",
            pointer="/nodes",
            grant_id=grant_id,
            missing=peak,
            at=render_instant(where),
        )


def _hold_resale(command: HoldCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that hold nodes of a resale lot for a quote."""
    require_span(command.start, command.end, "/end")
    wanted = Load(command.start, command.end, command.nodes)
    lot_id = state.find_held(command.grant_id)
    if lot_id is not None and (lot_id, state.resales[lot_id].held[command.grant_id]) == (command.lot_id, wanted):
        return []
    if lot_id is not None or command.grant_id in state.reservations:
        raise _refuse_other(command.grant_id)
    _require_staying(state, command.end)
    resale = _require_offered(command, wanted, state)
    _require_kept(command, wanted, resale, state.reservations[resale.grant_id])
    return [
        PoolCapacityHeld(
            pool_id=command.pool_id,
            grant_id=command.grant_id,
            grant_id_before=resale.grant_id,
            lot_id=command.lot_id,
            nodes=command.nodes,
            start=command.start,
            end=command.end,
        )
    ]


def _refuse_other(grant_id: str) -> Refusal:
    return Refusal("reservation_exists", f"grant {grant_id} already reserves other capacity of this pool")


def _refuse_unoffered(pool_id: str, lot_id: str) -> Refusal:
    text = f"lot {lot_id} is not for sale over the whole span; choose another lot or span"
    return Refusal("lot_not_offered", text, lot_id=lot_id, pool_id=pool_id)


def _get_reservation(state: Pool, grant_id: str) -> Reservation:
    held = state.reservations.get(grant_id)
    if held is None:
        raise Refusal("reservation_unknown", f"grant {grant_id} has no reservation in this pool")
    return held


def _resell(command: ResellCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that move nodes of a resale lot to the buyer's grant; those that its quote holds, if any."""
    require_span(command.start, command.end, "/end")
    wanted = Load(command.start, command.end, command.nodes)
    bought = state.reservations.get(command.grant_id)
    if bought is not None:
        if (bought.start, bought.end) == (command.start, command.end):
            return []
        raise _refuse_other(command.grant_id)
    lot_id = state.find_held(command.grant_id)
    if lot_id is None:
        _require_staying(state, command.end)
        resale = _require_offered(command, wanted, state)
    elif (lot_id, state.resales[lot_id].held[command.grant_id]) == (command.lot_id, wanted):
        resale = state.resales[lot_id]
    else:
        raise _refuse_other(command.grant_id)
    held = state.reservations[resale.grant_id]
    _require_kept(command, wanted, resale, held)
    moved, left = split_shares(held, wanted)
    return [
        PoolCapacityResold(
            pool_id=command.pool_id,
            grant_id=command.grant_id,
            grant_id_before=resale.grant_id,
            lot_id=command.lot_id,
            nodes=command.nodes,
            start=command.start,
            end=command.end,
            lots=moved,
            lots_left=left,
        )
    ]


def _require_offered(command: HoldCapacity | ResellCapacity, wanted: Load, state: Pool) -> Resale:
    """Return the resale that offers `wanted`; refuse nodes that it does not offer, or that are sold or held."""
    resale = state.resales.get(command.lot_id)
    outside = resale is not None and (wanted.start < resale.offer.start or wanted.end > resale.offer.end)
    if resale is None or resale.recalled or outside:
        raise _refuse_unoffered(command.pool_id, command.lot_id)
    peak, where = find_peak([*resale.sold, *resale.held.values(), wanted], wanted.start, wanted.end)
    if peak > resale.offer.amount:
        raise Refusal(
            "lot_sold",
            f"lot {command.lot_id} offers {resale.offer.amount} nodes; with this, {peak} would be sold or held at"
            f" {render_instant(where)}",
            lot_id=command.lot_id,
            offered=resale.offer.amount,
            reserved=peak,
            at=render_instant(where),
        )
    return resale


def _require_kept(command: HoldCapacity | ResellCapacity, wanted: Load, resale: Resale, held: Reservation) -> None:
    """Refuse nodes that the seller's grant has released."""
    reserved = [Load(share.start, min(share.end, held.end), -share.nodes) for share in held.lots]
    lacking, where = find_peak([wanted, *reserved], wanted.start, wanted.end)
    if lacking > 0:
        raise Refusal(
            "lot_not_offered",
            f"grant {resale.grant_id} has released {lacking} of the nodes of lot {command.lot_id} at"
            f" {render_instant(where)}",
            lot_id=command.lot_id,
            pool_id=command.pool_id,
        )


def split_shares(held: Reservation, wanted: Load) -> tuple[tuple[LotShare, ...], tuple[LotShare, ...]]:
    """Return the shares that make up `wanted`, taken from the first shares on, and the shares that are left.

    The reservation must have the wanted nodes over the whole span.
    """
    bounds = {wanted.start, wanted.end, *(at for share in held.lots for at in (share.start, share.end))}
    steps = sorted({min(at, held.end) for at in bounds})
    moved: list[list[LotShare]] = [[] for _ in held.lots]
    left: list[list[LotShare]] = [[] for _ in held.lots]
    for start, end in pairwise(steps):
        missing = wanted.amount if wanted.start <= start and end <= wanted.end else 0
        for row, share in enumerate(held.lots):
            if share.start <= start and end <= share.end:
                taken = min(share.nodes, missing)
                missing -= taken
                _extend(moved[row], share.lot_id, taken, start, end)
                _extend(left[row], share.lot_id, share.nodes - taken, start, end)
        assert not missing, "nodes of a grant that are offered are reserved for it"
    return tuple(share for row in moved for share in row), tuple(share for row in left for share in row)


def _extend(parts: list[LotShare], lot_id: str, nodes: int, start: datetime, end: datetime) -> None:
    """Add nodes to the shares, or extend the last one if they are contiguous and otherwise equal."""
    if not nodes:
        return
    if parts and (parts[-1].end, parts[-1].nodes) == (start, nodes):
        start = parts.pop().start
    parts.append(LotShare(lot_id=lot_id, nodes=nodes, start=start, end=end))


def evolve(state: PoolState, event: PoolEvent) -> PoolState:
    """Return the state after an event."""
    if isinstance(event, PoolOpened):
        return Pool(event)
    assert state is not None, "a pool is opened first"
    if isinstance(event, PoolCapacityOffered):
        return _list_offer(state, event)
    if isinstance(event, PoolCapacityRecalled):
        resale = state.resales.get(event.lot_id)
        if resale is not None:
            return _set_resale(state, event.lot_id, replace(resale, recalled=True))
        return replace(state, offers=state.offers.delete(event.lot_id))
    if isinstance(event, PoolCapacityHeld | PoolCapacityResold):
        return _keep_held(state, event) if isinstance(event, PoolCapacityHeld) else _sell(state, event)
    if isinstance(event, PoolCapacityReserved):
        return replace(state, reservations=state.reservations.set(event.grant_id, _follow(state, event)))
    if isinstance(event, PoolCapacityReleased):
        return _free(state, event)
    if isinstance(event, PoolClosingAnnounced):
        return _put_off(state, event)
    if isinstance(event, PoolNodeFailed):
        incident = Incident(event.nodes, event.at, FOREVER, event.grant_id, event.reported_at or event.at, event.meter)
        return replace(state, incidents=state.incidents.set(event.incident_id, incident))
    ended = replace(state.incidents[event.incident_id], end=event.at)
    return replace(state, incidents=state.incidents.set(event.incident_id, ended))


def _put_off(state: Pool, event: PoolClosingAnnounced) -> Pool:
    """Return the pool with a new closing. Whoever was to end at the previous one may still rely on it."""
    kept = {grant_id: at for grant_id, at in state.put_off.items() if at > event.announced_at}
    if state.closing is not None and state.closing.closes_at > event.announced_at:
        for grant_id, reservation in state.reservations.items():
            if reservation.end > state.closing.closes_at:
                kept.setdefault(grant_id, state.closing.closes_at)
    return replace(state, closing=event, put_off=Map(kept))


def _set_resale(state: Pool, lot_id: str, resale: Resale) -> Pool:
    """Return the pool with the rest of a resale lot, which is removed once it is recalled and nothing is held."""
    over = resale.recalled and not resale.held
    resales = state.resales.delete(lot_id) if over else state.resales.set(lot_id, resale)
    return replace(state, resales=resales)


def _free(state: Pool, event: PoolCapacityReleased) -> Pool:
    lot_id = state.find_held(event.grant_id)
    if lot_id is not None:
        resale = state.resales[lot_id]
        nothing = Reservation(event.at, event.at, ())
        freed = replace(state, reservations=state.reservations.set(event.grant_id, nothing))
        return _set_resale(freed, lot_id, replace(resale, held=resale.held.delete(event.grant_id)))
    before = state.reservations[event.grant_id]
    kept = _clip(before.kept, before.find_first(), event.at)
    after = replace(before, end=max(event.at, before.start), kept=kept)
    return replace(state, reservations=state.reservations.set(event.grant_id, after))


def _list_offer(state: Pool, event: PoolCapacityOffered) -> Pool:
    offer = Load(event.start, event.end, event.nodes)
    if event.grant_id is not None:
        return replace(state, resales=state.resales.set(event.lot_id, Resale(event.grant_id, offer)))
    return replace(state, offers=state.offers.set(event.lot_id, offer))


def _follow(state: Pool, event: PoolCapacityReserved) -> Reservation:
    """Return a grant's new reservation, including its previous one until that ends."""
    held = state.reservations.get(event.grant_id)
    if held is None or held.start >= held.end:
        return Reservation(event.start, event.end, event.lots, event.kept)
    before = _clip(held.lots, held.start, held.end)
    return replace(held, end=event.end, lots=(*before, *event.lots))


def _keep_held(state: Pool, event: PoolCapacityHeld) -> Pool:
    resale = state.resales[event.lot_id]
    held = resale.held.set(event.grant_id, Load(event.start, event.end, event.nodes))
    return _set_resale(state, event.lot_id, replace(resale, held=held))


def _sell(state: Pool, event: PoolCapacityResold) -> Pool:
    resale = state.resales[event.lot_id]
    held = resale.held.delete(event.grant_id) if event.grant_id in resale.held else resale.held
    sold = replace(resale, sold=(*resale.sold, Load(event.start, event.end, event.nodes)), held=held)
    left = replace(state.reservations[event.grant_id_before], lots=event.lots_left)
    bought = Reservation(event.start, event.end, event.lots)
    reservations = state.reservations.set(event.grant_id_before, left).set(event.grant_id, bought)
    return replace(_set_resale(state, event.lot_id, sold), reservations=reservations)


POOL: Decider[PoolCommand, PoolEvent, PoolState] = Decider("pool", "pol", None, decide, evolve)
