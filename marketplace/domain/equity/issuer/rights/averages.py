"""Volume-weighted mean prices of recorded price sources."""

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from statistics import median
from typing import Final

from immutables import Map

from events.issuer import IssuerPriceCorrected, IssuerPriceObserved, IssuerWarrantIssued
from events.vesting import PriceAverage, PriceMilestone
from marketplace.domain.equity.issuer.state import Issuer, PriceSource

VOLUME_MAX: Final = 5
"""How many times the median of the days' volumes a day counts at most, so that no single day is the mean."""
DAYS_KEPT: Final = timedelta(days=400)
"""How long prices of a source are kept, before its latest day."""


def add_observation(source: PriceSource, event: IssuerPriceObserved) -> PriceSource:
    """Return a source after an observation, which may be of an earlier day that was missing."""
    latest = event if source.latest is None or event.day > source.latest.day else source.latest
    prices = {day: known for day, known in source.prices.items() if latest.day - day < DAYS_KEPT}
    prices[event.day] = (Fraction(event.price_usd_per_share), Fraction(event.volume))
    return replace(source, latest=latest, prices=Map(prices))


def correct_observation(source: PriceSource, event: IssuerPriceCorrected) -> PriceSource:
    """Return a source after the correction of a day that it keeps."""
    price = (Fraction(event.price_usd_per_share), Fraction(event.volume))
    return replace(source, prices=source.prices.set(event.day, price))


def list_sources(warrant: IssuerWarrantIssued) -> frozenset[str]:
    """Return the price sources of the mean prices that a warrant's terms name."""
    conditions = (
        milestone
        for tranche in warrant.tranches
        for condition in (*tranche.conditions, *tranche.exercise_conditions)
        for milestone in condition
    )
    averages = [warrant.fair_value, *(each.average for each in conditions if isinstance(each, PriceMilestone))]
    averages += [tranche.later_price.average for tranche in warrant.tranches if tranche.later_price is not None]
    return frozenset(average.source_id for average in averages if average is not None)


def use_prices(state: Issuer, warrant_id: str) -> Issuer:
    """Return the issuer after a warrant vested, was priced or exercised.

    Each price source of the warrant notes its latest day, because the warrant may have counted prices up to it.
    """
    sources = state.price_sources
    for source_id in list_sources(state.warrants[warrant_id].issued):
        source = sources[source_id]
        if source.latest is not None:
            sources = sources.set(source_id, replace(source, used=source.used.set(warrant_id, source.latest.day)))
    return replace(state, price_sources=sources)


def split_prices(source: PriceSource, ratio: Fraction) -> PriceSource:
    """Return a source after a split: prices are divided by it, volumes multiplied."""
    prices = {day: (price / ratio, volume * ratio) for day, (price, volume) in source.prices.items()}
    return replace(source, prices=Map(prices))


def find_average(state: Issuer, terms: PriceAverage, last: date | None = None) -> Fraction | None:
    """Return a mean price in USD, weighted by volume, of shares as they are now; None while too little is recorded.

    A day counts with at most `VOLUME_MAX` times the median volume of the days.

    Args:
        state: The issuer.
        terms: Which mean.
        last: Its last day. There is no mean before the source has recorded that day or a later one. None: the last
            recorded day.
    """
    source = state.price_sources[terms.source_id]
    if source.latest is None or (last is not None and source.latest.day < last):
        return None
    until = last or source.latest.day
    since = until - timedelta(days=terms.days)
    found = [known for day, known in source.prices.items() if since < day <= until and known[1]]
    if len(found) < terms.observations_min or not found:
        return None
    most = VOLUME_MAX * median(weight for _, weight in found)
    weighed = [(price, min(weight, most)) for price, weight in found]
    volume = sum(weight for _, weight in weighed)
    return sum((price * weight for price, weight in weighed), Fraction(0)) / volume
