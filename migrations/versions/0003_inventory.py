"""Create the tables of inventory."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0003"
down_revision: str | None = "0002"


def _create_sites_v1() -> None:
    op.create_table(
        "sites_v1",
        text("site_id"),
        text("provider_id"),
        text("name"),
        text("region"),
        text("jurisdiction"),
        text("status"),
        bigint("power_contracted_kw"),
        bigint("power_energised_kw"),
        numeric("power_usage_effectiveness"),
        numeric("renewable_share"),
        text("former_use", null=True),
        timestamp("ready_at", null=True),
        text("reason", null=True),
        bigint("last_sequence"),
        key("sites_v1", "site_id"),
    )
    op.create_index("ix_sites_v1_provider", "sites_v1", ["provider_id", "site_id"])


def _create_pools_v1() -> None:
    op.create_table(
        "pools_v1",
        text("pool_id"),
        text("provider_id"),
        text("site_id"),
        text("region"),
        text("gpu_class"),
        text("interconnect"),
        bigint("gpus_per_node"),
        bigint("nodes"),
        bigint("power_per_node_kw"),
        bigint("last_sequence"),
        key("pools_v1", "pool_id"),
    )
    op.create_index("ix_pools_v1_class", "pools_v1", ["gpu_class", "pool_id"])
    op.create_index("ix_pools_v1_provider", "pools_v1", ["provider_id", "pool_id"])


def _create_lots_v1() -> None:
    op.create_table(
        "lots_v1",
        text("lot_id"),
        text("pool_id"),
        text("provider_id"),
        text("status"),
        bigint("nodes"),
        timestamp("start"),
        timestamp("end"),
        numeric("ask_usd_per_gpu_hour"),
        bigint("nodes_min"),
        bigint("duration_hours_min"),
        jsonb("mandate_ids"),
        text("reason", null=True),
        timestamp("listed_at"),
        bigint("last_sequence"),
        key("lots_v1", "lot_id"),
    )
    op.create_index("ix_lots_v1_pool", "lots_v1", ["pool_id", "lot_id"])
    op.create_index("ix_lots_v1_provider", "lots_v1", ["provider_id", "lot_id"])


def upgrade() -> None:
    """Create them."""
    _create_sites_v1()
    _create_pools_v1()
    _create_lots_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("lots_v1")
    op.drop_table("pools_v1")
    op.drop_table("sites_v1")
