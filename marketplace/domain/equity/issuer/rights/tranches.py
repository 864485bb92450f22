"""The tranches of a warrant: what is unused, what has vested, and what may be exercised, after all splits.

They are folded from events. When a tranche vests, `milestones` decides.

Invariants:
    1. 0 ≤ unvested ≤ outstanding of every tranche.
    2. The shares of all tranches sum to the warrant's shares, their outstanding shares to its outstanding shares.
    3. A split multiplies running totals and rounds them down. A tranche therefore differs from its exact part by less
       than one share, and no share vests by a split.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import pairwise
from math import ceil

from events.issuer import IssuerWarrantIssued, IssuerWarrantVested, IssuerWarrantVestingReversed
from events.vesting import WarrantTranche

ALL_AT_ONCE = WarrantTranche(shares=0)
"""The terms of the only tranche of a warrant that states none."""


@dataclass(frozen=True, slots=True)
class Tranche:
    """A tranche of a warrant.

    Attributes:
        shares: Shares that it buys or has bought.
        outstanding: Shares that it still buys.
        unvested: Those of them that have not vested.
        is_vested: Whether all has vested once; another tranche may wait for that.
        is_released: Whether its conditions of exercise hold.
        price_usd: Price of one share; None until it is fixed.
        vested_on: The day on which all had vested.
        vested_last_on: The last day on which some of it vested.
    """

    shares: int
    outstanding: int
    unvested: int
    is_vested: bool
    is_released: bool
    price_usd: Fraction | None
    vested_on: date | None = None
    vested_last_on: date | None = None

    @property
    def exercisable(self) -> int:
        """Shares that may be exercised now."""
        return self.outstanding - self.unvested if self.is_released and self.price_usd is not None else 0

    @property
    def is_settled(self) -> bool:
        """Whether it has vested, is released and has a price, so that only a reduction changes it."""
        return self.is_vested and self.is_released and self.price_usd is not None


def list_terms(issued: IssuerWarrantIssued) -> tuple[WarrantTranche, ...]:
    """Return the terms of each tranche; a warrant that states none has one."""
    return issued.tranches or (ALL_AT_ONCE,)


def build_tranches(issued: IssuerWarrantIssued) -> tuple[Tranche, ...]:
    """Return the tranches of a warrant when it is issued. A warrant without tranches has one, which has vested."""
    if not issued.tranches:
        price = Fraction(issued.exercise_price_usd)
        return (Tranche(issued.shares, issued.shares, 0, is_vested=True, is_released=True, price_usd=price),)
    return tuple(
        Tranche(
            shares=terms.shares,
            outstanding=terms.shares,
            unvested=terms.shares,
            is_vested=False,
            is_released=not terms.exercise_conditions,
            price_usd=None
            if terms.later_price is not None
            else Fraction(issued.exercise_price_usd if terms.exercise_price_usd is None else terms.exercise_price_usd),
        )
        for terms in issued.tranches
    )


def vest(tranche: Tranche, event: IssuerWarrantVested) -> Tranche:
    """Fold the vesting of some of its shares into a tranche."""
    vested = replace(tranche, unvested=max(0, tranche.unvested - event.shares), vested_last_on=event.on_day)
    return replace(vested, is_vested=True, vested_on=tranche.vested_on or event.on_day) if event.is_whole else vested


def reverse(tranche: Tranche, event: IssuerWarrantVestingReversed) -> Tranche:
    """Fold a claw-back into a tranche: some of its shares are unvested again."""
    return replace(tranche, unvested=min(tranche.outstanding, tranche.unvested + event.shares), is_vested=False)


def expire(tranches: Iterable[Tranche]) -> tuple[Tranche, ...]:
    """Return tranches after their end: they buy nothing any more."""
    return tuple(replace(tranche, outstanding=0, unvested=0) for tranche in tranches)


def split(tranches: Sequence[Tranche], ratio: Fraction) -> tuple[Tranche, ...]:
    """Return tranches after a split."""
    shares = _multiply((tranche.shares for tranche in tranches), ratio)
    outstanding = _multiply((tranche.outstanding for tranche in tranches), ratio)
    return tuple(
        replace(
            tranche,
            shares=whole,
            outstanding=left,
            unvested=left if tranche.unvested == tranche.outstanding else min(left, ceil(tranche.unvested * ratio)),
            price_usd=None if tranche.price_usd is None else tranche.price_usd / ratio,
        )
        for tranche, whole, left in zip(tranches, shares, outstanding, strict=True)
    )


def _multiply(parts: Iterable[int], ratio: Fraction) -> list[int]:
    totals = [0]
    for part in parts:
        totals.append(totals[-1] + part)
    return [int(after * ratio) - int(before * ratio) for before, after in pairwise(totals)]


def use(tranches: Sequence[Tranche], shares: int, only: int | None) -> tuple[Tranche, ...]:
    """Return tranches after `shares` of them were exercised: exercisable shares first, in the order of the tranches.

    `only` names the one tranche to take from, from 0; None takes from all. Shares beyond the exercisable ones, which
    only an import states, are taken in the same order.
    """
    left, after = shares, list(tranches)
    for takes_unvested in (False, True):
        for index, tranche in enumerate(after):
            if only in {None, index}:
                taken = min(left, tranche.outstanding if takes_unvested else tranche.exercisable)
                rest = tranche.outstanding - taken
                after[index] = replace(tranche, outstanding=rest, unvested=min(tranche.unvested, rest))
                left -= taken
    return tuple(after)


def cancel(tranches: Sequence[Tranche], shares: int) -> tuple[Tranche, ...]:
    """Return tranches after some of their outstanding shares ended, the last ones first."""
    left, after = shares, list(tranches)
    for index in reversed(range(len(after))):
        tranche = after[index]
        taken = min(left, tranche.outstanding)
        left -= taken
        after[index] = replace(
            tranche,
            shares=tranche.shares - taken,
            outstanding=tranche.outstanding - taken,
            unvested=max(0, tranche.unvested - taken),
        )
    return tuple(after)


def find_prices(tranches: Iterable[Tranche]) -> set[Fraction]:
    """Return the prices at which something may be exercised now."""
    return {tranche.price_usd for tranche in tranches if tranche.exercisable and tranche.price_usd is not None}
