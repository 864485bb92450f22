"""The unsold capacity in a book, lot by lot, with its terms of sale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from events.book import Book
from marketplace.domain.supply.lot import Lot
from marketplace.domain.trading.book.market_snapshot import Supply


@dataclass(frozen=True, slots=True)
class Offered:
    """The unsold capacity in a book, with the lots' terms of sale.

    Attributes:
        supply: What is for sale.
        listed: The lots of each pool that take orders.
        free: Unsold nodes of each lot, by period.
    """

    supply: Supply
    listed: Mapping[str, list[Lot]]
    free: Mapping[str, list[int]]
    _runs: dict[tuple[tuple[str, ...], int], list[int]] = field(default_factory=dict)

    def count_runs(self, lots: Iterable[Lot], nodes: int, periods: int) -> list[int]:
        """Return, for each period, how many consecutive periods before it have `nodes` of some lots unsold."""
        key = tuple(lot.listed.lot_id for lot in lots), nodes
        if key not in self._runs:
            rows = [self.free[lot_id] for lot_id in key[0] if lot_id in self.free]
            enough = (sum(row[period] for row in rows) >= nodes for period in range(periods))
            self._runs[key] = [0, *accumulate(int(good) for good in enough)]
        return self._runs[key]


def build_offered(supply: Supply, listed: Mapping[str, list[Lot]], book: Book) -> Offered:
    """Return the unsold capacity of a book."""
    free: dict[str, list[int]] = {}
    for row in book.lots:
        amounts = free.setdefault(row.step_of or row.lot_id, [0] * book.periods)
        for period in range(row.from_period, row.to_period):
            amounts[period] += row.nodes
    return Offered(supply, listed, free)
