"""Pools: capacity over time, which lots offer and grants reserve.

Subject: ``marketplace.pool.<pool_id>``.

Invariants:
    1. At every instant, the nodes that lots offer plus those still reserved from recalled lots do not exceed the nodes
       of the pool.
    2. At every instant, the nodes reserved from a lot do not exceed what the lot offers, or offered at reservation.
    3. No node is reserved that has failed and is not restored.
    4. At every instant, shares of lots add up to the whole reservation, less what the grant resold. A grant's next
       reservation begins when its last one has ended.
    5. Once notice is given that the pool leaves, nothing new is offered or reserved.
    6. Resold nodes are reserved once: the seller's reservation shrinks as the buyer's begins. A grant's unsold nodes
       that are offered for resale, or held from such an offer, never exceed its reservation.
    7. Nodes that a held quote set aside from a resale lot are sold to nobody else, even after the lot is recalled or
       notice is given that the pool leaves.

Refusals in order: pool_unknown · pool_exists · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · credits_above_promise · credits_out_of_order · reservation_unknown · incident_exists ·
incident_unknown · time_naive · span_empty · notice_too_short · closing_brought_forward · pool_closing ·
resales_too_many · resale_above_grant · pool_full · reservation_exists · shares_uneven · lot_not_offered · lot_sold ·
nodes_failed · nodes_exceeded.
"""

from collections.abc import Sequence
from datetime import timedelta

from events.pool import (
    PoolCapacityOffered,
    PoolCapacityRecalled,
    PoolCapacityReleased,
    PoolCapacityReserved,
    PoolClosingAnnounced,
    PoolEvent,
    PoolNodeFailed,
    PoolNodeRestored,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps, find_peak, require_span
from marketplace.domain.refusals import refuse_exists, refuse_unknown, require_aware
from marketplace.domain.supply.pool_commands import (
    AnnounceClosing,
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
)
from marketplace.domain.supply.pool_resale import hold_resale, offer_resale, require_staying, resell
from marketplace.domain.supply.pool_state import FOREVER, Pool, PoolState, evolve
from marketplace.domain.supply.service_level import require_service

__all__ = [
    "FOREVER",
    "POOL",
    "AnnounceClosing",
    "FailNodes",
    "HoldCapacity",
    "OfferCapacity",
    "OpenPool",
    "Pool",
    "PoolCommand",
    "RecallCapacity",
    "ReleaseCapacity",
    "ResellCapacity",
    "ReserveCapacity",
    "RestoreNodes",
]
NOTICE_MIN = timedelta(days=14)


def decide(command: PoolCommand, state: PoolState) -> Sequence[PoolEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, OpenPool):
        return _open(command, state)
    if state is None:
        raise refuse_unknown("pool", command.pool_id)
    if isinstance(command, OfferCapacity):
        return _offer(command, state) if command.grant_id is None else offer_resale(command, command.grant_id, state)
    if isinstance(command, RecallCapacity):
        resale = state.resales.get(command.lot_id)
        known = command.lot_id in state.offers or (resale is not None and not resale.recalled)
        return [PoolCapacityRecalled(pool_id=command.pool_id, lot_id=command.lot_id)] * known
    if isinstance(command, ReserveCapacity | ResellCapacity | HoldCapacity | ReleaseCapacity):
        return _take(command, state)
    if isinstance(command, FailNodes):
        return _fail(command, state)
    if isinstance(command, AnnounceClosing):
        return _announce(command, state)
    return _restore(command, state)


def _take(
    command: ReserveCapacity | ResellCapacity | HoldCapacity | ReleaseCapacity, state: Pool
) -> Sequence[PoolEvent]:
    match command:
        case ReserveCapacity():
            return _reserve(command, state)
        case ResellCapacity():
            return resell(command, state)
        case HoldCapacity():
            return hold_resale(command, state)
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
    return [opened]


def _announce(command: AnnounceClosing, state: Pool) -> Sequence[PoolEvent]:
    require_aware(command.closes_at, "/closes_at")
    known = state.closing
    if known is not None and known.closes_at == command.closes_at:
        return []
    if command.closes_at < command.at + NOTICE_MIN:
        raise Refusal(
            "notice_too_short",
            f"a pool may leave {NOTICE_MIN.days} days after notice at the earliest, not at"
            f" {command.closes_at.isoformat()}",
            pointer="/closes_at",
        )
    if known is not None and command.closes_at < known.closes_at:
        raise Refusal(
            "closing_brought_forward",
            f"notice was given for {known.closes_at.isoformat()}; the date can be postponed, not brought forward",
            pointer="/closes_at",
        )
    return [PoolClosingAnnounced(pool_id=command.pool_id, closes_at=command.closes_at, reason=command.reason)]


def _offer(command: OfferCapacity, state: Pool) -> Sequence[PoolEvent]:
    require_span(command.start, command.end, "/end")
    offer = Load(command.start, command.end, command.nodes)
    if state.offers.get(command.lot_id) == offer:
        return []
    require_staying(state)
    others = state.claimed(command.start, command.end, besides=command.lot_id)
    peak, where = find_peak(others, command.start, command.end)
    if peak + command.nodes > state.opened.nodes:
        raise Refusal(
            "pool_full",
            f"pool {command.pool_id} has {state.opened.nodes} nodes, {peak} offered or reserved at {where.isoformat()};"
            f" {command.nodes} more do not fit",
            pointer="/nodes",
            pool_id=command.pool_id,
            nodes=state.opened.nodes,
            offered=peak,
            at=where.isoformat(),
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
        require_staying(state)
        if command.start < held.end:
            raise Refusal(
                "reservation_exists", f"grant {command.grant_id} already reserves other capacity of this pool"
            )
    require_staying(state)
    _require_even(command)
    for lot_id in dict.fromkeys(share.lot_id for share in command.lots):
        _require_lot(command, state, lot_id)
    _require_working(command, state)
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
        raise Refusal(
            "lot_not_offered",
            f"lot {lot_id} is not for sale over the whole span",
            lot_id=lot_id,
            pool_id=command.pool_id,
        )
    peak, where = find_peak([*state.sold(lot_id), *wanted], command.start, command.end)
    if peak > offer.amount:
        raise Refusal(
            "lot_sold",
            f"lot {lot_id} offers {offer.amount} nodes; with this, {peak} would be reserved at {where.isoformat()}",
            lot_id=lot_id,
            offered=offer.amount,
            reserved=peak,
            at=where.isoformat(),
        )


def _require_working(command: ReserveCapacity, state: Pool) -> None:
    wanted = [Load(share.start, share.end, share.nodes) for share in command.lots]
    peak, where = find_peak([*state.reserved(), *state.failed(), *wanted], command.start, command.end)
    if peak > state.opened.nodes:
        raise Refusal(
            "nodes_failed",
            f"pool {command.pool_id} has {state.opened.nodes} nodes; {peak} would be reserved or failed at"
            f" {where.isoformat()}",
            pool_id=command.pool_id,
            at=where.isoformat(),
        )


def _release(command: ReleaseCapacity, state: Pool) -> Sequence[PoolEvent]:
    lot_id = state.find_held(command.grant_id)
    if lot_id is not None:
        require_aware(command.at, "/at")
        mine = {"pool_id": command.pool_id, "grant_id": command.grant_id}
        return [PoolCapacityReleased(**mine, at=command.at, grant_id_before=state.resales[lot_id].grant_id)]
    held = state.reservations.get(command.grant_id)
    if held is None:
        raise Refusal("reservation_unknown", f"grant {command.grant_id} has no reservation in this pool")
    require_aware(command.at, "/at")
    if max(command.at, held.start) >= held.end:
        return []
    return [PoolCapacityReleased(pool_id=command.pool_id, grant_id=command.grant_id, at=command.at)]


def _fail(command: FailNodes, state: Pool) -> Sequence[PoolEvent]:
    event = PoolNodeFailed(**{name: getattr(command, name) for name in command.__struct_fields__})
    known = state.incidents.get(command.incident_id)
    if known is not None:
        if (known.nodes, known.start) == (command.nodes, command.at):
            return []
        raise Refusal("incident_exists", f"incident {command.incident_id} exists with other content; use another id")
    require_aware(command.at, "/at")
    down, _ = find_peak(state.failed(), command.at, FOREVER)
    if down + command.nodes > state.opened.nodes:
        raise Refusal(
            "nodes_exceeded",
            f"{down} of {state.opened.nodes} nodes have already failed; {command.nodes} more cannot",
            pointer="/nodes",
        )
    return [event]


def _restore(command: RestoreNodes, state: Pool) -> Sequence[PoolEvent]:
    known = state.incidents.get(command.incident_id)
    if known is None:
        raise Refusal("incident_unknown", f"there is no incident {command.incident_id} in pool {command.pool_id}")
    require_aware(command.at, "/at")
    if known.end != FOREVER:
        return []
    require_span(known.start, command.at, "/at")
    return [
        PoolNodeRestored(pool_id=command.pool_id, incident_id=command.incident_id, nodes=known.nodes, at=command.at)
    ]


POOL: Decider[PoolCommand, PoolEvent, PoolState] = Decider("pool", "pol", None, decide, evolve)
