"""Resale in a pool: reserved nodes of a grant are offered, held for a quote, and move to the buyer when sold.

`marketplace.domain.supply.pool` documents the rules and the order of refusals.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from events.pool import PoolCapacityHeld, PoolCapacityOffered, PoolCapacityResold, PoolEvent
from events.types import LotShare
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, find_peak, require_span
from marketplace.domain.supply.pool_commands import HoldCapacity, OfferCapacity, ResellCapacity
from marketplace.domain.supply.pool_state import Pool, Resale, Reservation

RESALES_MAX: Final = 64
"""The most resale lots of a pool at a time. Each is a separate bid of every order that it could serve."""


def require_staying(state: Pool) -> None:
    """Refuse a pool for which notice was given that it leaves the market.

    Raises:
        Refusal: ``pool_closing``.
    """
    if state.closing is not None:
        raise Refusal(
            "pool_closing",
            f"pool {state.opened.pool_id} leaves the market at {state.closing.closes_at.isoformat()} and takes nothing"
            " new; use another pool",
            pool_id=state.opened.pool_id,
        )


def offer_resale(command: OfferCapacity, grant_id: str, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that put reserved nodes of a grant on sale."""
    held = state.reservations.get(grant_id)
    if held is None:
        raise Refusal("reservation_unknown", f"grant {grant_id} has no reservation in this pool")
    require_span(command.start, command.end, "/end")
    offer = Load(command.start, command.end, command.nodes)
    known = state.resales.get(command.lot_id)
    if known is not None and (known.grant_id, known.offer, known.recalled) == (grant_id, offer, False):
        return []
    require_staying(state)
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
            f"grant {grant_id} lacks {peak} of the {command.nodes} nodes at {where.isoformat()}: they are not its own,"
            " or already offered",
            pointer="/nodes",
            grant_id=grant_id,
            missing=peak,
            at=where.isoformat(),
        )


def hold_resale(command: HoldCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that set offered nodes of a grant aside for another grant."""
    require_span(command.start, command.end, "/end")
    wanted = Load(command.start, command.end, command.nodes)
    lot_id = state.find_held(command.grant_id)
    if lot_id is not None and (lot_id, state.resales[lot_id].held[command.grant_id]) == (command.lot_id, wanted):
        return []
    if lot_id is not None or command.grant_id in state.reservations:
        raise _refuse_other(command.grant_id)
    require_staying(state)
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


def resell(command: ResellCapacity, state: Pool) -> Sequence[PoolEvent]:
    """Return the events that move offered nodes to the buyer's grant, first those set aside for it."""
    require_span(command.start, command.end, "/end")
    wanted = Load(command.start, command.end, command.nodes)
    bought = state.reservations.get(command.grant_id)
    if bought is not None:
        if (bought.start, bought.end) == (command.start, command.end):
            return []
        raise _refuse_other(command.grant_id)
    lot_id = state.find_held(command.grant_id)
    if lot_id is None:
        require_staying(state)
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
    """Return the resale that offers the nodes, which must be neither sold nor held."""
    resale = state.resales.get(command.lot_id)
    outside = resale is not None and (wanted.start < resale.offer.start or wanted.end > resale.offer.end)
    if resale is None or resale.recalled or outside:
        raise Refusal(
            "lot_not_offered",
            f"lot {command.lot_id} is not for sale over the whole span",
            lot_id=command.lot_id,
            pool_id=command.pool_id,
        )
    peak, where = find_peak([*resale.sold, *resale.held.values(), wanted], wanted.start, wanted.end)
    if peak > resale.offer.amount:
        raise Refusal(
            "lot_sold",
            f"lot {command.lot_id} offers {resale.offer.amount} nodes; with this, {peak} would be sold or held at"
            f" {where.isoformat()}",
            lot_id=command.lot_id,
            offered=resale.offer.amount,
            reserved=peak,
            at=where.isoformat(),
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
            f" {where.isoformat()}",
            lot_id=command.lot_id,
            pool_id=command.pool_id,
        )


def split_shares(held: Reservation, wanted: Load) -> tuple[tuple[LotShare, ...], tuple[LotShare, ...]]:
    """Split a reservation's shares into those that give `wanted` nodes over a span, first ones first, and the rest."""
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
