"""The typed client of the HTTP API, async or not: one method for each operation."""

from events.order import ClassOffer, OrderTerms
from events.stages import CreditTerms, StageTerms
from events.types import MaturityConversion, NoteTerms, SafeTerms, StockTerms, WarrantTerms
from marketplace.client.market import MarketplaceClient
from marketplace.client.sync import SyncMarketplaceClient
from marketplace.client.transport import ProblemError, new_key

__all__ = [
    "ClassOffer",
    "CreditTerms",
    "MarketplaceClient",
    "MaturityConversion",
    "NoteTerms",
    "OrderTerms",
    "ProblemError",
    "SafeTerms",
    "StageTerms",
    "StockTerms",
    "SyncMarketplaceClient",
    "WarrantTerms",
    "new_key",
]
