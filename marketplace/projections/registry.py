"""Every projection there is, in the order in which they are applied."""

from typing import Final

from marketplace.core.errors import Refusal
from marketplace.projections import (
    accounts,
    auctions,
    cap_tables,
    capacity,
    feed,
    grants,
    holds,
    instruments,
    inventory,
    mandates,
    market,
    operations,
    orders,
    parties,
    positions,
    quotes,
    seen,
    service_lines,
    standings,
    statements,
    stuck_tasks,
    usage,
)
from marketplace.projections.projection import Projection
from marketplace.projections.schema import METADATA

PROJECTIONS: Final = (
    parties.PROJECTION,
    inventory.PROJECTION,
    mandates.PROJECTION,
    orders.PROJECTION,
    quotes.PROJECTION,
    auctions.PROJECTION,
    capacity.PROJECTION,
    grants.PROJECTION,
    market.PROJECTION,
    standings.PROJECTION,
    usage.PROJECTION,
    service_lines.PROJECTION,
    statements.PROJECTION,
    accounts.PROJECTION,
    holds.PROJECTION,
    instruments.PROJECTION,
    cap_tables.PROJECTION,
    feed.PROJECTION,
)
OPERATIONAL_TABLES: Final = (
    positions.projection_positions,
    operations.api_keys,
    operations.api_key_changes,
    operations.snapshots,
    seen.log_seen,
    stuck_tasks.stuck_tasks,
)
SCHEMA: Final = METADATA


def get_projection(name: str) -> Projection:
    """Return a projection by its name.

    Raises:
        Refusal: ``projection_unknown``; the text lists those there are.
    """
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    names = ", ".join(projection.name for projection in PROJECTIONS)
    raise Refusal("projection_unknown", f"there is no projection {name!r}; choose one of {names}", name=name)
