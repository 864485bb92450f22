"""The typed async client of the HTTP API: one method for each operation."""

from marketplace.client.market import MarketplaceClient
from marketplace.client.transport import ProblemError, new_key

__all__ = ["MarketplaceClient", "ProblemError", "new_key"]
