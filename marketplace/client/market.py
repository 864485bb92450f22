"""The whole client. Every operation of the API is a method: ``orders.place`` is `client.orders.place`.

The ids of a path come first, in its order; parameters and the members of a body are given by their names. Answers, and
what stands in bodies, are the API's own types. Money is decimal, in US dollars; instants have an offset. A list is an
async iterator over all pages. A read includes the effects of this client's earlier commands. A command returns a
receipt: the id of the aggregate, its position in the log, and its version for `if_match`.
"""

import httpx

from marketplace.client.accounts import Accounts
from marketplace.client.bonds import Bonds
from marketplace.client.cap_tables import CapTables
from marketplace.client.delivery import Grants, Statements
from marketplace.client.financings import Financings
from marketplace.client.instruments import Instruments
from marketplace.client.issuers import Issuers, Options, Stock
from marketplace.client.mandates import Mandates
from marketplace.client.market_data import Market
from marketplace.client.metering import Usage
from marketplace.client.operation import Clock, Events, Operation
from marketplace.client.parties import ApiKeys, Parties
from marketplace.client.proposals import Proposals
from marketplace.client.service_lines import ServiceLines
from marketplace.client.supply import Lots, Pools, Sites
from marketplace.client.trading import Auctions, Orders, Quotes
from marketplace.client.transport import Transport
from marketplace.client.warrants import Warrants


class MarketplaceClient(Transport):
    """A client of one API with one key; use it as an async context manager.

    Its attributes are the groups of operations. Every command takes `key`, an idempotency key that the caller chooses,
    and `if_match`, the version that the changed aggregate must still have: `version` of a receipt, or `last_sequence`
    of a view (not of a pool or an account). A refused request raises `ProblemError`; ``<kind>_unknown`` means a missing
    resource or another tenant's. A method names only the codes that are its own.
    """

    def __init__(self, base_url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__(base_url, api_key, transport)
        self.accounts = Accounts(self)
        self.api_keys = ApiKeys(self)
        self.auctions = Auctions(self)
        self.bonds = Bonds(self)
        self.cap_tables = CapTables(self)
        self.clock = Clock(self)
        self.events = Events(self)
        self.financings = Financings(self)
        self.grants = Grants(self)
        self.instruments = Instruments(self)
        self.issuers = Issuers(self)
        self.lots = Lots(self)
        self.mandates = Mandates(self)
        self.market = Market(self)
        self.operation = Operation(self)
        self.options = Options(self)
        self.orders = Orders(self)
        self.parties = Parties(self)
        self.pools = Pools(self)
        self.proposals = Proposals(self)
        self.quotes = Quotes(self)
        self.service_lines = ServiceLines(self)
        self.sites = Sites(self)
        self.statements = Statements(self)
        self.stock = Stock(self)
        self.usage = Usage(self)
        self.warrants = Warrants(self)
