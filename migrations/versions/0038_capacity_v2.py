"""Create the second tables of capacity: what was offered, taken, given back and asked, so that the past can be read."""

import importlib

from alembic import op

from migrations.columns import bigint, flag, jsonb, key, numeric, text, timestamp

revision: str = "0038"
down_revision: str | None = "0037"
_FIRST = importlib.import_module("migrations.versions.0007_capacity")


def _create_offers() -> None:
    op.create_table(
        "capacity_offers_v2",
        text("pool_id"),
        text("lot_id"),
        bigint("sequence"),
        bigint("nodes", null=True),
        timestamp("start", null=True),
        timestamp("end", null=True),
        text("grant_id", null=True),
        timestamp("occurred_at"),
        key("capacity_offers_v2", "pool_id", "lot_id", "sequence"),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations_v2",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        bigint("line"),
        text("lot_id"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        text("resale_lot_id", null=True),
        flag("held"),
        timestamp("occurred_at"),
        key("reservations_v2", "pool_id", "grant_id", "sequence", "line"),
    )
    op.create_index("ix_reservations_v2_lot", "reservations_v2", ["lot_id"])
    op.create_index("ix_reservations_v2_resale_lot", "reservations_v2", ["resale_lot_id"])
    op.create_table(
        "releases_v2",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        timestamp("at", null=True),
        timestamp("occurred_at"),
        key("releases_v2", "pool_id", "grant_id", "sequence"),
    )


def _create_outages() -> None:
    op.create_table(
        "outages_v2",
        text("pool_id"),
        bigint("sequence"),
        text("incident_id"),
        bigint("nodes"),
        timestamp("at"),
        timestamp("occurred_at"),
        key("outages_v2", "pool_id", "sequence"),
    )


def _create_lot_terms() -> None:
    op.create_table(
        "lot_terms_v2",
        text("lot_id"),
        bigint("sequence"),
        text("pool_id", null=True),
        bigint("nodes", null=True),
        text("status", null=True),
        timestamp("start", null=True),
        timestamp("end", null=True),
        numeric("ask_usd_per_gpu_hour", null=True),
        jsonb("further_asks", null=True),
        timestamp("occurred_at"),
        key("lot_terms_v2", "lot_id", "sequence"),
    )


def _forget(version: int) -> None:
    """Let a version of the projection begin at the first event, should its tables ever be there again."""
    op.execute(f"DELETE FROM projection_positions WHERE name = 'capacity' AND version = {version}")  # noqa: S608


def upgrade() -> None:
    """Create them, and drop the first ones, which no release reads."""
    _create_offers()
    _create_reservations()
    _create_outages()
    _create_lot_terms()
    _FIRST.downgrade()
    _forget(1)


def downgrade() -> None:
    """Drop what was created, and create the first ones again, empty."""
    _FIRST.upgrade()
    op.add_column("reservations_v1", text("resale_lot_id", null=True))
    op.add_column("capacity_offers_v1", text("grant_id", null=True))
    for table in ("lot_terms_v2", "outages_v2", "releases_v2", "reservations_v2", "capacity_offers_v2"):
        op.drop_table(table)
    _forget(2)
