"""The port through which a use case asks for quotes on the current book."""

from dataclasses import dataclass
from typing import Protocol

from events.book import Book, BookOrder
from marketplace.clearing.quotes.prepared_book import Estimate
from marketplace.core.horizon import Horizon
from marketplace.domain.trading.auction import Auction
from marketplace.domain.trading.order import Order


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer to a quote, which stores nothing.

    Attributes:
        auction_id: The next auction that would take the order; None if no collecting auction would.
        horizon: Its periods, or those of a book made for the question.
        sequence: Position in the log that the book reflects.
        fresh: Whether this process knows of no later event that could change the book.
        book: The book, with its pools.
        book_hash: The book's hash, as a certificate would state it.
        row: The order as it would appear in the book.
        estimate: The engine's estimate.
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
    """Quotes the value that an order needs to win on the current book."""

    async def quote(self, order: Order, *, min_sequence: int = 0) -> Quoted:
        """Return the quote for an order, on a book without it that reflects the log up to `min_sequence`.

        Raises:
            Refusal: ``quote_outside_horizon``.
            Unavailable: The book could not be solved in time, or a server cannot be reached.
        """
        ...

    async def list_auctions(self) -> list[Auction]:
        """Return the auctions that are not completed, next to lock first."""
        ...
