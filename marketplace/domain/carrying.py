"""Which unsold nodes carry a placement outside an auction, and what their asks come to."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from events.types import LotShare
from marketplace.core.intervals import Load
from marketplace.domain.lot import Lot
from marketplace.domain.pool import Pool


def carry(pool: Pool, lots: Sequence[Lot], nodes: int, start: datetime, end: datetime) -> tuple[LotShare, ...] | None:
    """Return shares of unsold nodes that carry a run, the cheapest lots first; None where there are too few."""
    ordered = sorted(lots, key=lambda lot: (lot.ask_usd_per_gpu_hour, lot.listed.lot_id))
    free = {lot.listed.lot_id: pool.unsold(lot.listed.lot_id, start, end) for lot in ordered}
    bounds = sorted({start, end, *(at for runs in free.values() for run in runs for at in (run.start, run.end))})
    shares: list[LotShare] = []
    for begin, stop in pairwise(bounds):
        missing = nodes
        for lot_id, runs in free.items():
            used = min(_count_free(runs, begin, stop), missing)
            missing -= used
            if used:
                _extend(shares, LotShare(lot_id=lot_id, nodes=used, start=begin, end=stop))
        if missing:
            return None
    return tuple(shares)


def _count_free(runs: Sequence[Load], start: datetime, end: datetime) -> int:
    return next((run.amount for run in runs if run.start <= start and end <= run.end), 0)


def _extend(shares: list[LotShare], share: LotShare) -> None:
    """Add a share, as one with that of the same lot and nodes which ends where it begins."""
    for at, known in enumerate(shares):
        if (known.lot_id, known.nodes, known.end) == (share.lot_id, share.nodes, share.start):
            shares[at] = LotShare(lot_id=known.lot_id, nodes=known.nodes, start=known.start, end=share.end)
            return
    shares.append(share)


def compute_floor(shares: Sequence[LotShare], lots: Sequence[Lot], start: datetime, end: datetime) -> Fraction:
    """Return the mean over a run of the highest ask among the lots that carry it, the least uniform price."""
    asks = {lot.listed.lot_id: Fraction(lot.ask_usd_per_gpu_hour) for lot in lots}
    bounds = sorted({at for share in shares for at in (share.start, share.end)})
    total = Fraction(0)
    for begin, stop in pairwise(bounds):
        used = [asks[share.lot_id] for share in shares if share.start <= begin and stop <= share.end]
        total += max(used) * round((stop - begin).total_seconds())
    return total / round((end - start).total_seconds())
