"""Distribute GPUs over a span to grants in order, each up to its free GPUs at each instant."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.metering.allocation_commands import Offer
from marketplace.domain.metering.usage_record import EPOCH, SECOND, to_second


class Piece(NamedTuple):
    """GPUs of one grant over ``[start, end)``, in seconds since 1970."""

    grant_id: str
    start: int
    end: int
    gpus: int


def allocate_gpus(start: int, end: int, gpus: int, offers: Sequence[Offer]) -> list[Piece]:
    """Return what each grant carries of `gpus` GPUs over ``[start, end)``, ordered by offer and then time.

    Args:
        start: First second, since 1970.
        end: The second after the last.
        gpus: How many are used.
        offers: The grants, in the order in which they are filled.

    Raises:
        Refusal: ``grants_exhausted`` if at some instant the grants have fewer free GPUs than are used.
    """
    pieces: dict[str, list[Piece]] = {offer.rank.grant_id: [] for offer in offers}
    for first, last in pairwise(_list_bounds(start, end, offers)):
        left = gpus
        for offer in offers:
            take = min(left, _count_free(offer, first, last))
            if take:
                left -= take
                _add(pieces[offer.rank.grant_id], Piece(offer.rank.grant_id, first, last, take))
        if left:
            where = render_instant(EPOCH + first * SECOND)
            if not offers:
                said = f"the startup has no grant of this class from this provider at {where}"
                raise Refusal("grants_exhausted", f"{said}; only the provider of its grants allocates")
            said = f"{gpus} GPUs are used at {where}, and the grants of the class have room for {gpus - left}"
            raise Refusal("grants_exhausted", f"{said}; report the excess to a grant of another class")
    return [piece for carried in pieces.values() for piece in carried]


def _list_bounds(start: int, end: int, offers: Sequence[Offer]) -> list[int]:
    """Return the instants at which the free GPUs may change, including the ends of the span."""
    bounds = {start, end}
    for offer in offers:
        bounds |= {to_second(offer.start), to_second(offer.end)}
        for begin, stop, _ in offer.runs:
            bounds |= {begin, stop}
    return sorted(bound for bound in bounds if start <= bound <= end)


def _count_free(offer: Offer, first: int, last: int) -> int:
    """Return the GPUs that a grant has free between two bounds."""
    if to_second(offer.start) > first or last > to_second(offer.end):
        return 0
    used = sum(amount for begin, stop, amount in offer.runs if begin < last and stop > first)
    return max(offer.gpus - used, 0)


def _add(carried: list[Piece], piece: Piece) -> None:
    """Add a piece to its grant's pieces, or extend the last one if they are contiguous and equal."""
    if carried and carried[-1].end == piece.start and carried[-1].gpus == piece.gpus:
        carried[-1] = carried[-1]._replace(end=piece.end)
    else:
        carried.append(piece)
