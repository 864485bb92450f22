"""The menu: pages of each desk, with the feature of the API that a key needs to open them."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One page in the menu: its path, its label, and the feature that it reads.

    Attributes:
        path: Where it is; pages below it belong to it.
        label: Its name.
        feature: The feature of the API that it reads.
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
MENU: Final[Mapping[str, tuple[Entry, ...]]] = {
    "operator": (
        Entry("/console/operator", "Today", "auctions"),
        _AUCTIONS,
        _ORDERS,
        _EVENTS,
    ),
    "startup": (_ORDERS, _GRANTS, _STATEMENTS, _ACCOUNT),
    "provider": (
        Entry("/console/supply", "Supply", "lots"),
        _GRANTS,
        _STATEMENTS,
        Entry("/console/earnings", "Earnings", "statements"),
        _ACCOUNT,
    ),
    "market": (_AUCTIONS, _EVENTS),
}
"""Pages by desk, in the order in which a menu shows them. A page of two desks is shown once."""
