"""The feed: all events, whom each concerns, and which command made them."""

from marketplace.projections.feed.projection import PROJECTION
from marketplace.projections.feed.queries import (
    EventView,
    find_sequence_before,
    find_time_of,
    is_visible,
    list_client_commands,
    list_command_events,
    list_concerned,
    list_events,
    list_visible,
)
from marketplace.projections.feed.visibility import EVERYONE

__all__ = [
    "EVERYONE",
    "PROJECTION",
    "EventView",
    "find_sequence_before",
    "find_time_of",
    "is_visible",
    "list_client_commands",
    "list_command_events",
    "list_concerned",
    "list_events",
    "list_visible",
]
