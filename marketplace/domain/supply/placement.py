"""Place a run on unsold nodes outside an auction, and find its lowest uniform price."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from events.types import LotShare
from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool


class PlacedRun(NamedTuple):
    """The nodes for a run.

    Attributes:
        shares: The lots and their nodes.
        floor: The lowest uniform price, in USD per GPU-hour: the mean, over the run, of the highest ask among the
            nodes.
    """

    shares: tuple[LotShare, ...]
    floor: Fraction


def list_free(
    pool: Pool, lot_ids: Iterable[str], start: datetime, end: datetime, cuts: Iterable[datetime] = ()
) -> Iterator[tuple[datetime, datetime, dict[str, int]]]:
    """Yield the pieces of a span in which the unsold nodes of lots stay the same, with these nodes by lot.

    `cuts` are instants within the span that begin a further piece.
    """
    free = {lot_id: pool.unsold(lot_id, start, end) for lot_id in lot_ids}
    changes = (at for runs in free.values() for run in runs for at in (run.start, run.end))
    for begin, stop in pairwise(sorted({start, end, *cuts, *changes})):
        inside = {
            lot_id: sum(run.amount for run in runs if run.start <= begin and stop <= run.end)
            for lot_id, runs in free.items()
        }
        yield begin, stop, inside


def place_run(pool: Pool, lots: Sequence[Lot], nodes: int, start: datetime, end: datetime) -> PlacedRun | None:
    """Return the cheapest `nodes` unsold nodes of a pool's lots at each instant; None if there are ever too few.

    The terms of the lots, such as their least nodes, are not checked.
    """
    shares: list[LotShare] = []
    total = Fraction(0)
    for begin, stop, free in list_free(pool, [lot.listed.lot_id for lot in lots], start, end):
        steps = sorted(step for lot in lots for step in _list_steps(lot, free[lot.listed.lot_id]))
        missing, used = nodes, dict.fromkeys(free, 0)
        highest = Decimal(0)
        for ask, lot_id, count in steps:
            taken = min(count, missing)
            missing -= taken
            used[lot_id] += taken
            highest = ask if taken else highest
        if missing:
            return None
        for lot_id, count in used.items():
            if count:
                add_share(shares, LotShare(lot_id=lot_id, nodes=count, start=begin, end=stop))
        total += Fraction(highest) * round((stop - begin).total_seconds())
    return PlacedRun(tuple(shares), total / round((end - start).total_seconds()))


def _list_steps(lot: Lot, free: int) -> list[tuple[Decimal, str, int]]:
    """Return ask, lot and unsold nodes of each step of a lot that has `free` unsold nodes."""
    parts = zip(lot.list_steps(), lot.split_free(free), strict=True)
    return [(step.ask_usd_per_gpu_hour, lot.listed.lot_id, nodes) for step, nodes in parts]


def add_share(shares: list[LotShare], share: LotShare) -> None:
    """Add a share, or extend the share of the same lot and nodes that ends where it begins."""
    for at, known in enumerate(shares):
        if (known.lot_id, known.nodes, known.end) == (share.lot_id, share.nodes, share.start):
            shares[at] = LotShare(lot_id=known.lot_id, nodes=known.nodes, start=known.start, end=share.end)
            return
    shares.append(share)
