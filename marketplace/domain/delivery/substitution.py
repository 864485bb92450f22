"""Substitution and succession: which lots carry a grant that moves to another pool or span, or that a buyer takes over.

Refusals in order: pool_unlike · grant_over · substitute_full. Of another span: hours_taken. Of a successor:
assumed_exceeded.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final

from msgspec import structs

from events.grant import GrantIssued
from events.types import LotShare
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, build_steps, find_peak
from marketplace.core.money import parse_ratio
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.placement import add_share, list_free
from marketplace.domain.supply.pool import Pool

ALL_CASH: Final = "1/1"
"""The cash share of a grant without equity."""


def require_movable(grant: Grant, pool: Pool, at: datetime) -> datetime:
    """Return from when a grant would move to a pool: now (`at`), or its start if that is later.

    Raises:
        Refusal: ``pool_unlike`` · ``grant_over``.
    """
    _require_alike(grant, pool)
    start = max(at, grant.issued.start)
    if start >= grant.end:
        said = f"grant {grant.issued.grant_id} ended at {render_instant(grant.end)}; nothing is left to move"
        raise Refusal("grant_over", said)
    return start


def _require_alike(grant: Grant, pool: Pool) -> None:
    needed = (grant.issued.gpu_class, grant.issued.gpus_per_node)
    offered = (pool.opened.gpu_class, pool.opened.gpus_per_node)
    if needed != offered:
        raise Refusal(
            "pool_unlike",
            f"the grant has {needed[1]} {needed[0]} a node, and pool {pool.opened.pool_id} has {offered[1]}"
            f" {offered[0]}; name a pool of the same kind",
            pointer="/pool_id",
        )


def clip_resold(grant: Grant, start: datetime) -> tuple[Load, ...]:
    """Return the nodes that were resold of a grant, from an instant to its end. They stay with the buyers' grants.

    Raises:
        Refusal: ``grant_over`` if all of it was.
    """
    sold = [
        Load(max(load.start, start), min(load.end, grant.end), load.amount)
        for load in grant.list_resold()
        if load.end > start and load.start < grant.end
    ]
    if all(run.amount >= grant.issued.nodes for run in build_steps(sold, start, grant.end)):
        raise Refusal("grant_over", f"grant {grant.issued.grant_id} was resold in full; nothing is left to move")
    return tuple(sold)


def list_affordable(grant: Grant, lots: Iterable[Lot]) -> list[Lot]:
    """Return the lots on sale whose first ask is at most a grant's price, cheapest first."""
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    fit = [lot for lot in lots if lot.status == "listed" and lot.ask_usd_per_gpu_hour <= price]
    return sorted(fit, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))


def build_shares(grant: Grant, pool: Pool, lots: list[Lot], start: datetime, end: datetime) -> tuple[LotShare, ...]:
    """Return the shares of lots that carry a grant's nodes, less resold ones, over a span; first lots first.

    Only nodes that ask at most the grant's price are taken.

    Raises:
        Refusal: ``substitute_full`` if the lots have too few nodes at some instant.
    """
    price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
    cuts = [at for load in grant.list_resold() for at in (load.start, load.end) if start < at < end]
    shares: list[LotShare] = []
    for begin, until, free in list_free(pool, [lot.listed.lot_id for lot in lots], start, end, cuts):
        needed = grant.count_nodes(begin)
        for lot in lots:
            lot_id = lot.listed.lot_id
            nodes = min(lot.count_at_most(free[lot_id], price), needed)
            needed -= nodes
            if nodes:
                add_share(shares, LotShare(lot_id=lot_id, nodes=nodes, start=begin, end=until))
        if needed:
            raise Refusal(
                "substitute_full",
                f"the lots of pool {pool.opened.pool_id} offer {needed} nodes too few at or below the grant's price at"
                f" {render_instant(begin)}; nodes that no lot offers do not count: list them at that price, or choose"
                " another pool",
                pool_id=pool.opened.pool_id,
                at=render_instant(begin),
            )
    places = {lot.listed.lot_id: place for place, lot in enumerate(lots)}
    return tuple(sorted(shares, key=lambda share: places[share.lot_id]))


def build_further_shares(
    grant: Grant, pool: Pool, lots: list[Lot], start: datetime, end: datetime
) -> tuple[LotShare, ...]:
    """Return the shares of lots that carry a grant over hours that it did not have, whatever these ask by now.

    What its own lots have not sold is free for it, also where they offer it no longer. Then it comes from nodes that no
    lot offers, or else from other lots. So no provider takes hours from its tenant by what it lists.

    Args:
        grant: The grant.
        pool: Its pool.
        lots: Its own lots.
        start: The first of the hours.
        end: The end of the last.

    Raises:
        Refusal: ``hours_taken``, which names the first instant at which too few nodes are free.
    """
    own = {lot.listed.lot_id: _list_unsold(pool, lot, start, end) for lot in lots}
    others = [lot_id for lot_id in pool.offers if lot_id not in own]
    unlisted = pool.list_unlisted(start, end)
    cuts = [run.start for runs in (unlisted, *own.values()) for run in runs]
    shares: list[LotShare] = []
    for begin, until, free in list_free(pool, [*own, *others], start, end, cuts):
        unsold = {lot_id: _find_amount(runs, begin) for lot_id, runs in own.items()}
        parts = _take_free(grant.issued.nodes, unsold, free, _find_amount(unlisted, begin))
        for lot_id, nodes in parts.items():
            if nodes:
                add_share(shares, LotShare(lot_id=lot_id, nodes=nodes, start=begin, end=until))
        missing = grant.issued.nodes - sum(parts.values())
        if missing:
            raise Refusal(
                "hours_taken",
                f"from {render_instant(begin)} on, the lots of grant {grant.issued.grant_id} have"
                f" {grant.issued.nodes - missing} of its {grant.issued.nodes} nodes free; state a start at which all of"
                " its hours are free, or shorten it",
                pointer="/start",
                at=render_instant(begin),
                missing=missing,
            )
    return tuple(shares)


def _list_unsold(pool: Pool, lot: Lot, start: datetime, end: datetime) -> list[Load]:
    """Return the nodes of a lot that it has not sold over a span, as runs in order, whether it offers them or not."""
    sold = [Load(load.start, load.end, -load.amount) for load in pool.sold(lot.listed.lot_id)]
    return build_steps([Load(start, end, lot.listed.nodes), *sold], start, end)


def _find_amount(runs: list[Load], at: datetime) -> int:
    return max(next(run.amount for run in runs if run.start <= at < run.end), 0)


def _take_free(needed: int, unsold: dict[str, int], free: dict[str, int], unlisted: int) -> dict[str, int]:
    """Return the nodes of each lot that a grant takes at an instant.

    Args:
        needed: Its nodes.
        unsold: What each of its own lots has not sold.
        free: What each lot of the pool offers and has not sold.
        unlisted: What no lot offers and no grant has.
    """
    parts: dict[str, int] = {}
    elsewhere = 0
    for lot_id, nodes in unsold.items():
        due = min(nodes, needed)
        parts[lot_id] = min(due, free[lot_id] + unlisted)
        unlisted -= max(parts[lot_id] - free[lot_id], 0)
        elsewhere += due - parts[lot_id]
        needed -= due
    for lot_id, nodes in free.items():
        if lot_id not in unsold:
            parts[lot_id] = min(nodes, elsewhere)
            elsewhere -= parts[lot_id]
    return parts


def build_successor(
    grant: Grant, grant_id: str, startup_id: str, start: datetime, shares: Iterable[LotShare]
) -> GrantIssued | None:
    """Return a grant of the rest of another one to another startup, all of it paid in cash.

    It has the nodes that are not resold at any instant of the rest. None if there are none, if the grant is over, or if
    it was bought in a resale.

    Args:
        grant: The grant, before its end was brought forward.
        grant_id: The id of the new one.
        startup_id: Who takes over.
        start: From when.
        shares: The lots that carry what is the grant's own.
    """
    issued = grant.issued
    if start >= grant.end or issued.resale is not None:
        return None
    nodes = issued.nodes - find_peak(grant.list_resold(), start, grant.end)[0]
    if nodes <= 0:
        return None
    return structs.replace(
        issued,
        grant_id=grant_id,
        auction_id=None,
        startup_id=startup_id,
        pool_id=grant.pool_id,
        nodes=nodes,
        start=start,
        end=grant.end,
        lots=_keep_nodes(shares, nodes, start, grant.end),
        cash_share=ALL_CASH,
        startup_account_id=rename_id("acc", startup_id),
        hold_id=rename_id("hld", grant_id),
        equity=None,
        mark="assumed",
        stages=None,
    )


def build_returned(source: GrantIssued, bought: Grant, grant_id: str, start: datetime) -> GrantIssued:
    """Return the grant by which the seller of resold hours has those again that their buyer gives up.

    It has the terms of the seller's grant and is paid in cash.

    Args:
        source: The seller's grant.
        bought: The buyer's grant, before its end was brought forward.
        grant_id: The id of the new one.
        start: From when.
    """
    return structs.replace(
        source,
        grant_id=grant_id,
        auction_id=None,
        pool_id=bought.pool_id,
        nodes=bought.issued.nodes,
        start=start,
        end=bought.end,
        hold_id=rename_id("hld", grant_id),
        mark="assumed",
    )


def require_affordable(grant_id: str, cash_usd: Decimal, cash_usd_max: Decimal) -> None:
    """Refuse a successor that costs its startup more than it agreed to.

    Raises:
        Refusal: ``assumed_exceeded``.
    """
    if cash_usd > cash_usd_max:
        raise Refusal(
            "assumed_exceeded",
            f"grant {grant_id} costs {cash_usd} USD, more than the {cash_usd_max} USD that the buyer agreed to",
            grant_id=grant_id,
            cash_usd=str(cash_usd),
            cash_usd_max=str(cash_usd_max),
        )


def _keep_nodes(shares: Iterable[LotShare], nodes: int, start: datetime, end: datetime) -> tuple[LotShare, ...]:
    """Return so many nodes of the shares at every instant of a span, of the first shares first."""
    held = [share for share in shares if share.start < end and start < share.end]
    edges = (at for share in held for at in (share.start, share.end) if start < at < end)
    kept: dict[str, list[LotShare]] = {share.lot_id: [] for share in held}
    for begin, until in pairwise(sorted({start, end, *edges})):
        needed = nodes
        for share in held:
            part = min(share.nodes, needed) if share.start <= begin and until <= share.end else 0
            needed -= part
            if part:
                add_share(kept[share.lot_id], LotShare(lot_id=share.lot_id, nodes=part, start=begin, end=until))
    return tuple(share for parts in kept.values() for share in parts)
