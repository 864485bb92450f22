"""Warrants over time: what vests, what may be exercised, and which prices are fixed.

Everything here follows from recorded facts by the terms of each warrant, so nobody decides it. All conditions of a
tranche must hold at the same instant. What has vested stays vested, with one exception: a warrant may state that it is
clawed back on reductions. Then unexercised shares are unvested while delivery or payments no longer suffice, if they
vested within `REDUCE_WITHIN` or count purchases that may end. A price that fell reverses nothing.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil
from typing import Any, Final, assert_never

from events.issuer import (
    IssuerEvent,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.vesting import (
    AmountMilestone,
    AttestedMilestone,
    Basis,
    Conditions,
    DateMilestone,
    DeliveryMilestone,
    Milestone,
    PowerMilestone,
    PriceMilestone,
    TrancheMilestone,
    WarrantTranche,
)
from marketplace.core.intervals import require_aware
from marketplace.core.money import SECONDS_PER_HOUR, SHARE_PRICE_PLACES, render_ratio
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.instrument.clawback import REDUCE_WITHIN
from marketplace.domain.equity.issuer.evolve import evolve
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.rights.fair_value import find_independent_price
from marketplace.domain.equity.issuer.rights.tranches import list_terms
from marketplace.domain.equity.issuer.rights.warrant_terms import counts_purchases
from marketplace.domain.equity.issuer.rights_commands import Delivery, VestWarrants
from marketplace.domain.equity.issuer.state import Issuer, Warrant, list_live_warrants

_CENT_PLACES: Final = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """What a warrant counts: deliveries under its grants and its programme's, and purchases outside this market."""

    deliveries: tuple[Delivery, ...]
    stated_kilowatts: int

    @property
    def gpu_seconds(self) -> int:
        """Accepted GPU-seconds."""
        return sum(each.gpu_seconds for each in self.deliveries)

    def count_usd(self, basis: Basis) -> Fraction:
        """Return the dollars of capacity ``purchased``, or those ``paid`` for it."""
        dollars = (each.purchased_usd if basis == "purchased" else each.paid_usd for each in self.deliveries)
        return sum(dollars, Fraction(0))

    def count_kilowatts(self, hours: int) -> Fraction:
        """Return the delivered power in kilowatts. A grant's counts in full once its GPUs delivered `hours` hours.

        The same nodes deliver one grant after another. So grants count for no more of a pool than they have of it at
        one instant.
        """
        total, pools = Fraction(self.stated_kilowatts), defaultdict[str, list[Delivery]](list)
        for number, each in enumerate(each for each in self.deliveries if each.kilowatts):
            pools[each.pool_id or str(number)].append(each)
        for grants in pools.values():
            parts = (
                each.kilowatts * min(Fraction(1), Fraction(each.gpu_seconds, each.gpus * hours * SECONDS_PER_HOUR))
                for each in grants
            )
            peak = _find_peak([(each.kilowatts, each.span) for each in grants])
            total += min(sum(parts, Fraction(0)), Fraction(peak))
        return total


def _find_peak(parts: Sequence[tuple[int, tuple[datetime, datetime] | None]]) -> int:
    """Return the most that amounts sum to at one instant, each within its span. Without a span one counts always."""
    always = sum(amount for amount, span in parts if span is None)
    spans = [(amount, *span) for amount, span in parts if span is not None]
    sums = (sum(amount for amount, start, end in spans if start <= at < end) for _, at, _ in spans)
    return always + max(sums, default=0)


def measure(state: Issuer, warrant: Warrant, delivered: Mapping[str, Delivery]) -> Measured:
    """Return what a warrant counts, given the deliveries by grant.

    A grant of its programme counts only if a customer of the programme pays for it, whoever uses it: what a stranger
    buys and hands on is no purchase of a customer, and no customer undoes its purchases by that. A grant whose seller
    alone states that it is related to the buyer counts in no warrant that was issued to that seller. In others it does:
    no vendor keeps its customer's purchases out of the customer's warrant by a word that may be false.
    """
    programme = None if warrant.issued.programme_id is None else state.programmes[warrant.issued.programme_id]
    customers = {""} if programme is None else {"", *programme.opened.customer_ids}
    found = [
        delivered[grant_id]
        for grant_id in sorted(_list_grants(state, warrant))
        if grant_id in delivered
        and warrant.issued.holder_id not in delivered[grant_id].named_by
        and (grant_id in warrant.issued.grant_ids or delivered[grant_id].customer_id in customers)
    ]
    kilowatts = 0
    if programme is not None:
        for stated in programme.stated.values():
            kilowatts += stated.kilowatts
            found.append(
                Delivery(
                    gpu_seconds=stated.gpu_seconds,
                    purchased_usd=Fraction(stated.purchased_usd),
                    paid_usd=Fraction(stated.paid_usd),
                )
            )
    return Measured(tuple(found), kilowatts)


def _list_grants(state: Issuer, warrant: Warrant) -> set[str]:
    programme_id = warrant.issued.programme_id
    grants = set() if programme_id is None else set(state.programmes[programme_id].grants)
    return grants | set(warrant.issued.grant_ids)


def list_counted_grants(state: Issuer) -> list[str]:
    """Return the ids of the grants that open warrants of an issuer count, sorted."""
    warrants = (warrant for warrant in state.warrants.values() if is_open(warrant))
    return sorted({grant_id for warrant in warrants for grant_id in _list_grants(state, warrant)})


def is_open(warrant: Warrant) -> bool:
    """Return whether shares of a warrant may still vest, be released, be priced or be clawed back."""
    if warrant.expired or not warrant.issued.tranches:
        return False
    may_lose = warrant.issued.on_reduction == "claw_back" and warrant.shares_outstanding
    return bool(may_lose) or not all(each.is_settled for each in warrant.tranches)


def vest_warrants(command: VestWarrants, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the events of everything that vests, is released, is priced or is clawed back by now."""
    require_aware(command.at, "/at")
    return settle(state, command.delivered, command.interested, command.at)[0]


def settle(
    state: Issuer, delivered: Mapping[str, Delivery], interested: Mapping[str, frozenset[str]], at: datetime
) -> tuple[list[IssuerEvent], Issuer]:
    """Return the events of all warrants that follow from recorded facts by `at`, and the issuer after them.

    `delivered` and `interested` are as in `VestWarrants`. One tranche may let another vest, so this repeats until
    nothing follows.
    """
    made: list[IssuerEvent] = []
    current, count = state, -1
    while len(made) > count:
        count = len(made)
        for warrant_id, warrant in sorted(state.warrants.items()):
            if not is_open(warrant) or warrant.is_past(at):
                continue
            measured = measure(state, warrant, delivered)
            for index in range(len(warrant.tranches)):
                now = current.warrants[warrant_id]
                makers = interested.get(warrant_id, now.interested)
                for event in _settle_tranche(_Look(current, now, index, measured, makers, at.date())):
                    after = evolve(current, event)
                    assert isinstance(after, Issuer), "what was formed stays"
                    current = after
                    made.append(event)
    return made, current


def foresee(
    state: Issuer,
    delivered: Mapping[str, Delivery],
    interested: Mapping[str, frozenset[str]],
    at: datetime,
    until: datetime,
) -> Issuer:
    """Return the issuer after what vests of its warrants by date from `at` until an instant, or until their own ends.

    `delivered` and `interested` are as in `VestWarrants`, and stay as they are until then. Only the day matters, so the
    first end on a day stands for all on it.
    """
    ends = [warrant.issued.expires_at for _, warrant in list_live_warrants(state, at) if is_open(warrant)]
    first: dict[date, datetime] = {}
    for end in sorted((until, *(end for end in ends if end < until))):
        first.setdefault(end.astimezone(UTC).date(), end.astimezone(UTC))
    for step in first.values():
        _, state = settle(state, delivered, interested, step)
    return state


@dataclass(frozen=True, slots=True)
class _Look:
    """One tranche, and everything that its conditions are checked against."""

    state: Issuer
    warrant: Warrant
    index: int
    measured: Measured
    interested: frozenset[str]
    day: date

    @property
    def terms(self) -> WarrantTranche:
        """Terms of the tranche."""
        return list_terms(self.warrant.issued)[self.index]

    def holds(self, conditions: Conditions, *, presumes_prices: bool = False) -> bool:
        """Return whether every condition holds; `presumes_prices` counts milestones of a price as reached."""
        return all(
            any((presumes_prices and isinstance(each, PriceMilestone)) or self._is_reached(each) for each in condition)
            for condition in conditions
        )

    def _is_reached(self, milestone: Milestone) -> bool:
        match milestone:
            case DeliveryMilestone():
                return self.measured.gpu_seconds >= milestone.gpu_seconds
            case PowerMilestone():
                return self.measured.count_kilowatts(milestone.hours) >= milestone.kilowatts
            case AmountMilestone():
                return self.measured.count_usd(milestone.basis) >= milestone.amount_usd
            case DateMilestone():
                return self.day >= milestone.day
            case PriceMilestone():
                price = self.find_price(milestone)
                return price is not None and price >= Fraction(milestone.price_usd_per_share) / self.warrant.split
            case AttestedMilestone():
                return milestone.name in self.warrant.attested
            case TrancheMilestone():
                other = self.warrant if milestone.warrant_id is None else self.state.warrants[milestone.warrant_id]
                return other.tranches[milestone.tranche].is_vested
            case _:
                assert_never(milestone)

    def find_price(self, milestone: PriceMilestone | None = None) -> Fraction | None:
        """Return the USD per share that a milestone is measured by; None while that is not known.

        Without a milestone: the mean of the tranche's first milestone that has one, else the independent price.
        """
        if milestone is None:
            milestones = (each for condition in self.terms.conditions for each in condition)
            milestone = next((each for each in milestones if isinstance(each, PriceMilestone) and each.average), None)
        if milestone is None or milestone.average is None:
            return find_independent_price(self.state, self.interested, self.day)
        return find_average(self.state, milestone.average)

    def count_unvested(self) -> int:
        """Return how many shares of the tranche its proportion leaves unvested while its conditions hold."""
        proportion = self.terms.proportion
        if proportion is None:
            return 0
        lowest, highest = Fraction(proportion.from_usd), Fraction(proportion.to_usd)
        missing = (highest - self.measured.count_usd(proportion.basis)) / (highest - lowest)
        return ceil(self.warrant.tranches[self.index].shares * min(Fraction(1), max(Fraction(0), missing)))


def _settle_tranche(look: _Look) -> Iterator[IssuerEvent]:
    """Yield what happens to a tranche next: a reversal, or vesting, then its price and its release."""
    names: dict[str, Any] = {
        "issuer_id": look.state.formed.issuer_id,
        "warrant_id": look.warrant.issued.warrant_id,
        "holder_id": look.warrant.holder_id,
        "tranche": look.index,
    }
    counted: dict[str, Any] = {
        "gpu_seconds": look.measured.gpu_seconds,
        "purchased_usd": round_half_even(look.measured.count_usd("purchased"), _CENT_PLACES),
        "paid_usd": round_half_even(look.measured.count_usd("paid"), _CENT_PLACES),
    }
    tranche, terms = look.warrant.tranches[look.index], look.terms
    lost = _count_lost(look)
    if lost:
        yield IssuerWarrantVestingReversed(**names, shares=lost, **counted)
        return
    unvested = tranche.unvested
    if look.holds(terms.conditions):
        unvested = min(unvested, look.count_unvested())
    is_whole = not unvested and not tranche.is_vested and look.holds(terms.conditions) and not look.count_unvested()
    if unvested < tranche.unvested or is_whole:
        price = look.find_price()
        yield IssuerWarrantVested(
            **names,
            shares=tranche.unvested - unvested,
            is_whole=is_whole,
            on_day=look.day,
            **counted,
            price_usd_per_share=None if price is None else render_ratio(price),
        )
    if terms.later_price is not None and tranche.price_usd is None:
        yield from _fix_price(look, names)
    has_vested = is_whole or tranche.is_vested or unvested < tranche.outstanding
    if not tranche.is_released and has_vested and look.holds(terms.exercise_conditions):
        yield IssuerWarrantReleased(**names)


def _count_lost(look: _Look) -> int:
    """Return the vested and unexercised shares that reductions take back."""
    if look.warrant.issued.on_reduction == "keep":
        return 0
    tranche = look.warrant.tranches[look.index]
    vested_on = tranche.vested_last_on
    if vested_on is not None and look.day > vested_on + REDUCE_WITHIN and not counts_purchases(look.terms):
        return 0
    stays = look.holds(look.terms.conditions, presumes_prices=True)
    unvested = look.count_unvested() if stays else tranche.outstanding
    return max(0, min(tranche.outstanding, unvested) - tranche.unvested)


def _fix_price(look: _Look, names: Mapping[str, Any]) -> Iterator[IssuerEvent]:
    terms = look.terms.later_price
    assert terms is not None, "the price is fixed later"
    day = look.warrant.tranches[terms.tranche].vested_on
    average = None if day is None else find_average(look.state, terms.average, day)
    if day is not None and average is not None:
        smaller = len(str(ceil(look.warrant.split) - 1)) if look.warrant.split > 1 else 0
        places = min(terms.places + smaller, SHARE_PRICE_PLACES)
        price = round_half_even(average * Fraction(terms.multiple), places)
        yield IssuerWarrantPriced(**names, on_day=day, average_usd=render_ratio(average), exercise_price_usd=price)


def list_days(tranches: Iterable[WarrantTranche]) -> set[date]:
    """Return the days on which the date alone may let tranches vest or be released."""
    return {
        milestone.day
        for tranche in tranches
        for condition in (*tranche.conditions, *tranche.exercise_conditions)
        for milestone in condition
        if isinstance(milestone, DateMilestone)
    }
