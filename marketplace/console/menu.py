"""The menu: pages of each desk, with the feature of the API that a key needs to open them."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One page in the menu.

    Attributes:
        path: Where it is; pages below it belong to it.
        label: Its name.
        feature: The feature of the API that it reads. The menu shows it to keys with the scope ``<feature>:read``.
    """

    path: str
    label: str
    feature: str


_AUCTIONS: Final = Entry("/console/auctions", "Auctions", "auctions")
_EVENTS: Final = Entry("/console/events", "Events", "events")
_ORDERS: Final = Entry("/console/orders", "Orders", "orders")
_GRANTS: Final = Entry("/console/grants", "Grants", "grants")
_STATEMENTS: Final = Entry("/console/statements", "Statements", "statements")
_ACCOUNT: Final = Entry("/console/account", "Balance", "accounts")
_PORTFOLIO: Final = Entry("/console/portfolio", "Portfolio", "parties")
_EQUITY: Final = (
    Entry("/console/cap-tables", "Cap tables", "issuers"),
    Entry("/console/proposals", "Proposals", "proposals"),
)
_PRICES: Final = Entry("/console/market", "Prices", "market")
MENU: Final[Mapping[str, tuple[Entry, ...]]] = {
    "operator": (
        Entry("/console/operator", "Today", "auctions"),
        Entry("/console/queues", "To decide", "parties"),
        _AUCTIONS,
        _ORDERS,
        _EVENTS,
        *_EQUITY,
        Entry("/console/parties", "Parties", "parties"),
        Entry("/console/keys", "Keys", "api_keys"),
        Entry("/console/projections", "Projections", "projections"),
    ),
    "startup": (_ORDERS, _GRANTS, _STATEMENTS, _ACCOUNT, *_EQUITY),
    "provider": (
        Entry("/console/supply", "Supply", "lots"),
        _GRANTS,
        _STATEMENTS,
        Entry("/console/earnings", "Earnings", "statements"),
        _ACCOUNT,
        _PORTFOLIO,
        *_EQUITY,
    ),
    "fund": (_PORTFOLIO, *_EQUITY, _ACCOUNT),
    "market": (_AUCTIONS, _PRICES, _EVENTS),
}
"""Pages by desk, in the order in which a menu shows them. A page of two desks is shown once."""
