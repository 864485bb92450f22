"""The whole client. Every operation of the API is a method of one of its parts; each part is a module.

Bodies and answers are the API's own types. Money is decimal, in US dollars; instants have an offset. A list is an async
iterator over all pages. A read includes the effects of this client's earlier commands. A command returns a receipt: the
id of the aggregate, its position in the log, and its version for `if_match`.
"""

from marketplace.client.accounts import Accounts
from marketplace.client.bonds import Bonds
from marketplace.client.cap_tables import CapTables
from marketplace.client.delivery import Delivery
from marketplace.client.financings import Financings
from marketplace.client.instruments import Instruments
from marketplace.client.issuers import Issuers
from marketplace.client.mandates import Mandates
from marketplace.client.market_data import MarketData
from marketplace.client.metering import Metering
from marketplace.client.operation import Operation
from marketplace.client.parties import Parties
from marketplace.client.proposals import Proposals
from marketplace.client.service_lines import ServiceLines
from marketplace.client.supply import Supply
from marketplace.client.trading import Trading
from marketplace.client.warrants import Warrants


class MarketplaceClient(
    Parties,
    Supply,
    Mandates,
    Trading,
    Delivery,
    Metering,
    ServiceLines,
    Bonds,
    Instruments,
    Issuers,
    Warrants,
    Financings,
    CapTables,
    Proposals,
    Accounts,
    MarketData,
    Operation,
):
    """A client of one API with one key; use it as an async context manager.

    Every command takes `key`, an idempotency key that the caller chooses, and `if_match`, the version that the changed
    aggregate must still have: `version` of a receipt, or `last_sequence` of a view (not of a pool or an account). A
    refused request raises `ProblemError`; ``<kind>_unknown`` means a missing resource or another tenant's. A method
    names only the codes that are its own.
    """
