"""The project's own typed async client: one method per thing that a user of the market does."""

from marketplace.client.market import MarketplaceClient
from marketplace.client.transport import ProblemError, new_key

__all__ = ["MarketplaceClient", "ProblemError", "new_key"]
