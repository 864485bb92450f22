"""Create the tables of capacity."""

from alembic import op

from migrations.columns import bigint, flag, key, text, timestamp

revision: str = "0007"
down_revision: str | None = "0006"


def _create_capacity_offers_v1() -> None:
    op.create_table(
        "capacity_offers_v1",
        text("pool_id"),
        text("lot_id"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        flag("recalled"),
        bigint("last_sequence"),
        key("capacity_offers_v1", "pool_id", "lot_id"),
    )


def _create_reservations_v1() -> None:
    op.create_table(
        "reservations_v1",
        text("pool_id"),
        text("grant_id"),
        bigint("sequence"),
        bigint("line"),
        text("lot_id"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        timestamp("released_at", null=True),
        bigint("last_sequence"),
        key("reservations_v1", "pool_id", "grant_id", "sequence", "line"),
    )
    op.create_index("ix_reservations_v1_grant", "reservations_v1", ["grant_id"])
    op.create_index("ix_reservations_v1_lot", "reservations_v1", ["lot_id"])


def _create_outages_v1() -> None:
    op.create_table(
        "outages_v1",
        text("pool_id"),
        bigint("sequence"),
        text("incident_id"),
        bigint("nodes"),
        timestamp("at"),
        key("outages_v1", "pool_id", "sequence"),
    )


def upgrade() -> None:
    """Create them."""
    _create_capacity_offers_v1()
    _create_reservations_v1()
    _create_outages_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("outages_v1")
    op.drop_table("reservations_v1")
    op.drop_table("capacity_offers_v1")
