"""What holding a quote needs of whoever answers quotes."""

from dataclasses import dataclass
from typing import Protocol

from events.book import Book, BookOrder
from marketplace.clearing.quotes.prepared_book import Estimate
from marketplace.domain.trading.auction import Auction
from marketplace.domain.trading.book.horizon import Horizon
from marketplace.domain.trading.order import Order


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer to a dry run.

    Attributes:
        auction_id: The auction that would take the order next; None where none is collecting for it.
        horizon: Its periods, or those of a book that was made for the question.
        sequence: Position in the log at which the book stands.
        fresh: Whether nothing of the market is known to have happened since.
        book: The book, with its pools.
        book_hash: Its hash, as a certificate would name it.
        row: The order as it would stand in it.
        estimate: What the engine says.
        resold: Lots of the book that resell nodes of a grant.
    """

    auction_id: str | None
    horizon: Horizon
    sequence: int
    fresh: bool
    book: Book
    book_hash: str
    row: BookOrder
    estimate: Estimate
    resold: frozenset[str]


class QuoteSource(Protocol):
    """Answers what an order would have to be worth on the book as it stands."""

    async def quote(self, order: Order, *, min_sequence: int = 0) -> Quoted:
        """Return the answer for an order that is not placed, on a book that has seen a position in the log."""
        ...

    async def list_auctions(self) -> list[Auction]:
        """Return the auctions that are not settled, the next to lock first."""
        ...
