"""Computes whose refusal of an issue without a round the others overcome, and how long it stands.

Any refusal ends an issue whose terms undercut an investor. Of a warrant of at most a tenth of the stock, and of an
issue that undercuts nobody, those who refuse overcome the others only if they bear more than a tenth: each counts by
its part of what all investors paid, or of what they hold, whichever is more. Who is related to the company or to who
gets it counts next to nothing. A refusal stands for 180 days: silence then agrees to no warrant, to nothing that
undercuts who refused, and to nothing if those who refused bear more than a tenth.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Final

from marketplace.auditor.prices import Company

_FEW: Final = Fraction(1, 10)
_STANDS: Final = timedelta(days=180)
_SCALE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What the investors of an issue may do against it.

    Attributes:
        issuer_id: Whose stock is issued.
        apart: Whose own agreement it needs.
        weights: The weight of each of the others.
        is_overcome: Whether they overcome a refusal by those who bear little.
    """

    issuer_id: str
    apart: frozenset[str]
    weights: dict[str, int]
    is_overcome: bool

    def list_overcome(self, refused: Collection[str]) -> set[str]:
        """Return those of the parties that refuse whose refusal ends nothing."""
        few = {each for each in refused if each in self.weights}
        weight = sum(self.weights[each] for each in few)
        return few if self.is_overcome and weight <= sum(self.weights.values()) * _FEW else set()


@dataclass(slots=True)
class Refusals:
    """Folds refusals.

    Attributes:
        standing: By issuer and party, when it refused each proposal. A refusal that it took back is left out.
        heard: By proposal.
    """

    standing: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)

    def hear(
        self, issuer_id: str, weights: dict[str, int], harmed: set[str], now: datetime, *, is_small: bool
    ) -> Heard:
        """Return what investors may do against an issue that is proposed now.

        Args:
            issuer_id: The issuer.
            weights: The investors with their weights.
            harmed: Those whom it undercuts; of a warrant, all.
            now: When.
            is_small: Whether it is a warrant of at most a tenth of the stock.
        """
        refused = {each: self.standing.get((issuer_id, each), {}).values() for each in weights}
        standing = {each for each, times in refused.items() if any(now < at + _STANDS for at in times)}
        if sum(weights[each] for each in standing) <= sum(weights.values()) * _FEW:
            standing &= harmed
        left = {each: weight for each, weight in weights.items() if each not in standing}
        return Heard(issuer_id, frozenset(standing), left, is_small or not harmed)


def measure_stock(company: Company, holdings: Mapping[tuple[str, str, str], int]) -> dict[str, Fraction]:
    """Return the stock of each holder as converted, without rights and the pool."""
    return company.measure({row: shares for row, shares in holdings.items() if row[0] == "stock"})


def weigh(
    company: Company, holdings: Mapping[tuple[str, str, str], int], investors: set[str], takers: set[str]
) -> dict[str, int]:
    """Return the weight of investors in millionths; 1 for who is among the takers.

    Args:
        company: What is known of prices.
        holdings: The cap table.
        investors: Who is asked.
        takers: The company, who gets it, and all who are related to them.
    """
    stock, whole = measure_stock(company, holdings), sum(company.measure(holdings).values(), Fraction(0))
    held = {each: stock.get(each, Fraction(0)) / (sum(stock.values()) or 1) for each in investors}
    for holder_id, part in company.list_claims(Fraction(0), whole):
        held[holder_id] = held.get(holder_id, Fraction(0)) + part
    bears = dict.fromkeys(investors, Fraction(0))
    counted = investors - takers
    for amounts in (company.list_paid(), held):
        total = sum((amounts.get(each, Fraction(0)) for each in counted), Fraction(0))
        for each in counted if total else ():
            bears[each] = max(bears[each], amounts.get(each, Fraction(0)) / total)
    return {each: max(ceil(part * _SCALE), 1) for each, part in bears.items()}


def list_outweighed(
    company: Company,
    holdings: Mapping[tuple[str, str, str], int],
    principal: Mapping[str, tuple[str, Fraction]],
    investors: set[str],
    *,
    takers: set[str],
    today: date,
) -> set[str]:
    """Return the investors to whom the principal of others is large.

    It is large above a tenth of the highest value at which the investor itself invested, or that of an independent
    price, if the investor bears more than a tenth beside those whose principal is not counted.

    Args:
        company: What is known of prices.
        holdings: The cap table.
        principal: Holder and USD of what is counted.
        investors: Who is asked.
        takers: As of `weigh`.
        today: The day.
    """
    stock, counted = measure_stock(company, holdings), {owner for owner, _ in principal.values()}
    whole, found = sum(stock.values(), Fraction(0)), set[str]()
    price = company.find_highest(takers, today) or Fraction(0)
    for each in investors:
        invested, is_stated = company.find_invested({each}, whole), company.has_stated_part(each, holdings)
        usd = sum((amount for owner, amount in principal.values() if owner != each), Fraction(0))
        weights = weigh(company, holdings, (investors - counted) | {each}, takers)
        is_enough = weights[each] * 10 > sum(weights.values())
        if invested and not is_stated and is_enough and usd * 10 > max(invested, price * whole):
            found.add(each)
    return found
