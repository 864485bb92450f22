"""The menu: pages of each desk, with the feature of the API that a key needs to open them."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One page in the menu: its path, its label, and the feature that it reads."""

    path: str
    label: str
    feature: str


MENU: Final[Mapping[str, tuple[Entry, ...]]] = {
    "operator": (
        Entry("/console/operator", "Today", "auctions"),
        Entry("/console/auctions", "Auctions", "auctions"),
        Entry("/console/events", "Events", "events"),
    ),
    "trading": (
        Entry("/console/orders", "Orders", "orders"),
        Entry("/console/auctions", "Auctions", "auctions"),
    ),
    "holding": (),
    "market": (),
}
