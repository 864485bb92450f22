"""Computes mean prices of recorded sources, weighted by volume: warrants vest, are priced and exercised by them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from statistics import median
from typing import Any, Final

_KEPT: Final = timedelta(days=400)
"""How long a day's price is kept, before the latest day of its source."""
_VOLUME_MAX: Final = 5
"""How many times the median volume of the days one of them counts at most."""
Body = Mapping[str, Any]


@dataclass(slots=True)
class Source:
    """A price source: by day, the USD of a share after all splits, and its volume; and the latest day."""

    prices: dict[date, tuple[Fraction, Fraction]] = field(default_factory=dict)
    latest: date = date.min

    def find_mean(self, terms: Body, last: date | None = None) -> Fraction | None:
        """Return the mean of the stated days, of which `last`, or the latest one, is the last; None: too few are known.

        There is none before the source has recorded its last day or a later one.
        """
        until = last or self.latest
        if self.latest < until:
            return None
        first = until - timedelta(days=terms["days"] - 1) if self.prices else until
        known = [each for day, each in self.prices.items() if first <= day <= until and each[1] > 0]
        if len(known) < max(terms.get("observations_min", 1), 1):
            return None
        most = _VOLUME_MAX * median(volume for _, volume in known)
        weights = [min(volume, most) for _, volume in known]
        return sum((price * weight for (price, _), weight in zip(known, weights, strict=True)), Fraction(0)) / sum(
            weights
        )


@dataclass(slots=True)
class Averages:
    """Folds price sources and splits.

    Attributes:
        sources: By issuer and source.
        splits: Into how many shares one share of an issuer was split in all.
    """

    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    splits: dict[str, Fraction] = field(default_factory=dict)

    def find_source(self, issuer_id: str, terms: Body) -> Source:
        """Return the source of a mean."""
        return self.sources.get((issuer_id, terms["source_id"]), Source())

    def find_split(self, issuer_id: str) -> Fraction:
        """Return into how many shares one share was split in all."""
        return self.splits.get(issuer_id, Fraction(1))

    def take(self, name: str, body: Body) -> None:
        """Fold one event of an issuer."""
        match name:
            case "price_observed" | "price_corrected":
                source = self.sources.setdefault((body["issuer_id"], body["source_id"]), Source())
                day = date.fromisoformat(body["day"])
                if name == "price_observed":
                    source.latest = max(source.latest, day)
                    source.prices = {
                        each: known for each, known in source.prices.items() if source.latest - each < _KEPT
                    }
                source.prices[day] = Fraction(body["price_usd_per_share"]), Fraction(body["volume"])
            case "stock_split":
                ratio, issuer_id = Fraction(body["numerator"], body["denominator"]), body["issuer_id"]
                self.splits[issuer_id] = self.find_split(issuer_id) * ratio
                for (owner, _), source in self.sources.items():
                    if owner == issuer_id:
                        source.prices = {day: (usd / ratio, each * ratio) for day, (usd, each) in source.prices.items()}
            case _:
                pass
