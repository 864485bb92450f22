"""What is for sale, as an auction or a quote sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from marketplace.domain.supply.lot import Lot
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site
from marketplace.domain.trading.mandate import Mandate


@dataclass(frozen=True, slots=True)
class Supply:
    """Pools, their listed lots, the mandates that orders name, and the pools' sites.

    Attributes:
        pools: Every pool with lots, and every other pool of their sites.
        reliability: The score of each provider that has a history, from 0 to 1; the others have 1.
        sites: The sites of the pools.
    """

    pools: Mapping[str, Pool]
    lots: Mapping[str, Lot]
    mandates: Mapping[str, Mandate]
    reliability: Mapping[str, Fraction] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)

    def sells_as(self, other: "Supply") -> bool:
        """Return whether both sell the same on the same terms, judged by identity of the states in memory.

        Of mandates only the terms count. Their remaining budget is held when an order is placed.
        """
        shared = self.mandates.keys() & other.mandates.keys()
        granted = all(self.mandates[name].granted is other.mandates[name].granted for name in shared)
        groups = ((self.pools, other.pools), (self.lots, other.lots), (self.sites, other.sites))
        return granted and all(_are_same(*group) for group in groups) and self.reliability == other.reliability


def _are_same(one: Mapping[str, object], two: Mapping[str, object]) -> bool:
    return one.keys() == two.keys() and all(state is two[name] for name, state in one.items())
