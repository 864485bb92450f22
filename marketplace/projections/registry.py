"""All projections, in the order in which they are applied."""

from typing import Final

from marketplace.core.errors import Refusal
from marketplace.projections import feed
from marketplace.projections.access import parties
from marketplace.projections.billing import accounts, approvals, bonds, holds, service_lines, statements
from marketplace.projections.delivery import grants, reliability
from marketplace.projections.engine import operations, positions, seen, stuck_tasks
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.schema import METADATA
from marketplace.projections.equity import cap_tables, instruments, proposals
from marketplace.projections.metering import usage
from marketplace.projections.supply import capacity, inventory
from marketplace.projections.trading import auctions, mandates, market, orders, quotes

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
    reliability.PROJECTION,
    usage.PROJECTION,
    service_lines.PROJECTION,
    statements.PROJECTION,
    accounts.PROJECTION,
    holds.PROJECTION,
    approvals.PROJECTION,
    bonds.PROJECTION,
    instruments.PROJECTION,
    cap_tables.PROJECTION,
    proposals.PROJECTION,
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
        Refusal: ``projection_unknown``; the text lists the projections.
    """
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    names = ", ".join(projection.name for projection in PROJECTIONS)
    raise Refusal("projection_unknown", f"there is no projection {name!r}; choose one of {names}", name=name)
