"""The whole client: every operation of the API is a method of one of its parts, one module for each.

Bodies and answers are the API's own types. Money is decimal, in US dollars; instants have an offset. A list comes as an
async iterator over all of its pages. A read sees all that this client did before. What a command answers is a receipt:
the id of what it was for or created, its position in the log, and the version for `if_match`.
"""

from marketplace.client.books import Books
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
from marketplace.client.service_lines import ServiceLines
from marketplace.client.supply import Supply
from marketplace.client.trading import Trading


class MarketplaceClient(
    Parties,
    Supply,
    Mandates,
    Trading,
    Delivery,
    Metering,
    ServiceLines,
    Instruments,
    Issuers,
    Financings,
    CapTables,
    Books,
    MarketData,
    Operation,
):
    """Speaks to one API with one key; use it as an async context manager.

    Every command takes `key`, an idempotency key of the caller's own, and `if_match`, the version that what it changes
    must still have: `version` of a receipt, or `last_sequence` of a view, but of a pool or an account. It raises
    `ProblemError` where the market says no, with ``<kind>_unknown`` for what is another's as for what there is not.
    """
