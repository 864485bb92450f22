"""The typed async client of the marketplace's HTTP API.

::

    async with MarketplaceClient("http://127.0.0.1:8000", api_key) as market:
        placed = await market.orders.place(startup_id=startup_id, terms=terms)
        order = await market.orders.get(placed.id)

Every command carries an idempotency key of its own and is sent again with the same key where the server says to or the
connection breaks, so that it takes effect once. Reads wait for what this client has written.
"""

from marketplace.client.client import MarketplaceClient
from marketplace.client.problems import ProblemError
from marketplace.client.transport import Retries

__all__ = ["MarketplaceClient", "ProblemError", "Retries"]
