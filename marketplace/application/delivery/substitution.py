"""Substitution: move a grant to another pool of its provider, at no higher price, in one atomic append."""

from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from events.types import LotShare
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.loading import load_grant
from marketplace.application.steps.resale_ends import withdraw_resales
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import parse_ratio
from marketplace.domain.delivery.grant import GRANT, Grant, SubstituteGrant
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL, Pool, ReleaseCapacity, ReserveCapacity
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def substitute_grant(handler: Handler, context: Context, grant_id: str, *, pool_id: str, reason: str) -> Receipt:
    """Move the rest of a grant to another pool from now on. The startup's price does not change.

    Only lots that ask no more than the grant's price are used, cheapest first.

    Raises:
        Refusal: ``grant_unknown`` · ``pool_unknown`` · ``pool_unlike`` · ``grant_over`` · ``substitute_full`` ·
            refusals of the grant and the pool.
    """

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        pool = await unit.load(POOL, pool_id)
        if pool is None or pool.opened.provider_id != grant.issued.provider_id:
            raise refuse_unknown("pool", pool_id)
        _require_alike(grant, pool)
        start = max(context.at, grant.issued.start)
        if start >= grant.end:
            raise Refusal("grant_over", f"grant {grant_id} ended at {grant.end.isoformat()}; nothing is left to move")
        resold = _clip_resold(grant, start)
        lots = build_shares(grant, pool, await load_lots(unit, grant, pool), start, grant.end)
        await withdraw_resales(unit, grant.pool_id, grant_id, "the grant moves to another pool")
        release = ReleaseCapacity(pool_id=grant.pool_id, grant_id=grant_id, at=start)
        command = SubstituteGrant(grant_id=grant_id, pool_id=pool_id, lots=lots, at=start, reason=reason)
        await unit.decide(GRANT, grant_id, command)
        reserve = ReserveCapacity(
            pool_id=pool_id,
            grant_id=grant_id,
            nodes=grant.issued.nodes,
            start=start,
            end=grant.end,
            lots=lots,
            resold=resold,
        )
        await change_capacity(unit, release, reserve)

    return await handler.run(context, GRANT, grant_id, work)


def _clip_resold(grant: Grant, start: datetime) -> tuple[Load, ...]:
    """Return what was resold of a grant from an instant on. It stays with the buyers' grants."""
    sold = [
        Load(max(load.start, start), min(load.end, grant.end), load.amount)
        for load in grant.list_resold()
        if load.end > start and load.start < grant.end
    ]
    if all(run.amount >= grant.issued.nodes for run in build_steps(sold, start, grant.end)):
        raise Refusal("grant_over", f"grant {grant.issued.grant_id} was resold in full; nothing is left to move")
    return tuple(sold)


def _require_alike(grant: Grant, pool: Pool) -> None:
    needed = (grant.issued.gpu_class, grant.issued.gpus_per_node)
    offered = (pool.opened.gpu_class, pool.opened.gpus_per_node)
    if needed != offered:
        raise Refusal(
            "pool_unlike",
            f"the grant has {needed[1]} {needed[0]} a node, pool {pool.opened.pool_id} has {offered[1]} {offered[0]}",
            pointer="/pool_id",
        )


async def load_lots(unit: UnitOfWork, grant: Grant, pool: Pool) -> list[Lot]:
    """Return the lots of a pool that accept a grant at its price, cheapest first."""
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    lots = [await unit.get(LOT, lot_id) for lot_id in sorted(pool.offers)]
    fit = [lot for lot in lots if lot.status == "listed" and lot.ask_usd_per_gpu_hour <= price]
    return sorted(fit, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))


def build_shares(grant: Grant, pool: Pool, lots: list[Lot], start: datetime, end: datetime) -> tuple[LotShare, ...]:
    """Return which lots carry a grant's nodes over a span. The first lot carries as many as it can.

    Raises:
        Refusal: ``substitute_full`` if the lots have too few nodes at some instant.
    """
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    free = {lot.listed.lot_id: _list_affordable(pool, lot, price, start, end) for lot in lots}
    changes = [at for load in grant.list_resold() for at in (load.start, load.end) if start < at < end]
    bounds = sorted(
        {start, end, *changes, *(at for runs in free.values() for run in runs for at in (run.start, run.end))}
    )
    shares: dict[str, list[LotShare]] = {lot_id: [] for lot_id in free}
    for begin, until in pairwise(bounds):
        needed = grant.count_nodes(begin)
        for lot_id, runs in free.items():
            nodes = min(_count_free(runs, begin, until), needed)
            needed -= nodes
            if nodes:
                _extend(shares[lot_id], LotShare(lot_id=lot_id, nodes=nodes, start=begin, end=until))
        if needed:
            raise Refusal(
                "substitute_full",
                f"pool {pool.opened.pool_id} lacks {needed} nodes at or below the grant's price at {begin.isoformat()}",
                pool_id=pool.opened.pool_id,
                at=begin.isoformat(),
            )
    return tuple(share for parts in shares.values() for share in parts)


def _list_affordable(pool: Pool, lot: Lot, price: Fraction, start: datetime, end: datetime) -> list[Load]:
    """Return the unsold nodes of a lot over a span, from the steps that ask no more than `price`."""
    runs = pool.unsold(lot.listed.lot_id, start, end)
    return [Load(run.start, run.end, lot.count_at_most(run.amount, price)) for run in runs]


def _count_free(runs: list[Load], begin: datetime, end: datetime) -> int:
    return next((run.amount for run in runs if run.start <= begin and end <= run.end), 0)


def _extend(parts: list[LotShare], share: LotShare) -> None:
    """Add a share, or extend the last one if they are contiguous and otherwise equal."""
    if parts and (parts[-1].end, parts[-1].nodes) == (share.start, share.nodes):
        share = LotShare(lot_id=share.lot_id, nodes=share.nodes, start=parts.pop().start, end=share.end)
    parts.append(share)
