"""The client: one attribute per feature of the API."""

from types import TracebackType
from typing import Final, Self

import httpx

from marketplace.client.accounts import Accounts
from marketplace.client.auctions import Auctions, Clock, Market
from marketplace.client.delivery import Grants, Statements, Usage
from marketplace.client.events import Events
from marketplace.client.instruments import Instruments
from marketplace.client.issuers import Issuers
from marketplace.client.parties import ApiKeys, Parties
from marketplace.client.supply import Lots, Pools, Sites
from marketplace.client.trading import Mandates, Orders
from marketplace.client.transport import Retries, Transport

SECONDS_MAX: Final = 30.0
CONNECTIONS_MAX: Final = 100


class MarketplaceClient:
    """Speaks to one API with one key; use it as an async context manager.

    Args:
        base_url: Where the API is, for example ``http://127.0.0.1:8000``.
        api_key: ``mkp_…``.
        retries: How often a request is tried again.
        http: A client of httpx to use; it is closed by whoever opened it.
    """

    def __init__(
        self, base_url: str, api_key: str, *, retries: Retries | None = None, http: httpx.AsyncClient | None = None
    ) -> None:
        self._own = http is None
        self._http = http or httpx.AsyncClient(
            base_url=base_url,
            timeout=SECONDS_MAX,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
        )
        self._http.headers["Authorization"] = f"Bearer {api_key}"
        self._transport = transport = Transport(self._http, retries or Retries())
        self.parties = Parties(transport)
        self.api_keys = ApiKeys(transport)
        self.sites = Sites(transport)
        self.pools = Pools(transport)
        self.lots = Lots(transport)
        self.mandates = Mandates(transport)
        self.orders = Orders(transport)
        self.auctions = Auctions(transport)
        self.grants = Grants(transport)
        self.usage = Usage(transport)
        self.statements = Statements(transport)
        self.instruments = Instruments(transport)
        self.issuers = Issuers(transport)
        self.accounts = Accounts(transport)
        self.market = Market(transport)
        self.events = Events(transport)
        self.clock = Clock(transport)

    @property
    def last_sequence(self) -> int:
        """Highest position in the log that a command of this client has made."""
        return self._transport.last_sequence

    def wait_for(self, sequence: int) -> None:
        """Make later reads wait for a position that someone else's command has made."""
        self._transport.last_sequence = max(self._transport.last_sequence, sequence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self._http.aclose()
