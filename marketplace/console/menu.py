"""The menu: pages of each desk, with the feature of the API that a key needs to open them."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One page in the menu: its path, its label, and the feature that it reads."""

    path: str
    label: str
    feature: str


_AUCTIONS: Final = Entry("/console/auctions", "Auctions", "auctions")
_EVENTS: Final = Entry("/console/events", "Events", "events")
MENU: Final[Mapping[str, tuple[Entry, ...]]] = {
    "operator": (Entry("/console/operator", "Today", "auctions"),),
    "trading": (Entry("/console/orders", "Orders", "orders"),),
    "market": (_AUCTIONS, _EVENTS),
}
