"""The typed async client of the HTTP API: one method for each operation."""

from events.order import ClassOffer, OrderTerms
from events.types import NoteTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.client.market import MarketplaceClient
from marketplace.client.transport import ProblemError, new_key

__all__ = [
    "ClassOffer",
    "MarketplaceClient",
    "NoteTerms",
    "OrderTerms",
    "ProblemError",
    "SafeTerms",
    "StockTerms",
    "WarrantTerms",
    "new_key",
]
