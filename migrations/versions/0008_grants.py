"""Create the tables of grants."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0008"
down_revision: str | None = "0007"


def _create_grants_v1() -> None:
    op.create_table(
        "grants_v1",
        text("grant_id"),
        text("order_id"),
        text("auction_id"),
        text("startup_id"),
        text("provider_id"),
        text("holder_id", null=True),
        text("pool_id"),
        text("gpu_class"),
        bigint("nodes"),
        bigint("gpus_per_node"),
        timestamp("start"),
        timestamp("end"),
        jsonb("lots"),
        text("price_usd_per_gpu_hour"),
        numeric("value_usd_per_gpu_hour"),
        numeric("cash_usd_per_gpu_hour"),
        text("startup_account_id"),
        text("provider_account_id"),
        text("hold_id"),
        numeric("cash_commitment_usd"),
        jsonb("equity", null=True),
        text("status"),
        bigint("nodes_available"),
        text("reason", null=True),
        bigint("gpu_seconds_accepted", null=True),
        timestamp("ended_at", null=True),
        timestamp("issued_at"),
        bigint("last_sequence"),
        key("grants_v1", "grant_id"),
    )
    op.create_index("ix_grants_v1_holder", "grants_v1", ["holder_id", "grant_id"])
    op.create_index("ix_grants_v1_provider", "grants_v1", ["provider_id", "grant_id"])
    op.create_index("ix_grants_v1_startup", "grants_v1", ["startup_id", "grant_id"])


def _create_grant_history_v1() -> None:
    op.create_table(
        "grant_history_v1",
        text("grant_id"),
        bigint("sequence"),
        text("status"),
        text("pool_id"),
        text("startup_id"),
        bigint("nodes_available"),
        text("reason", null=True),
        timestamp("occurred_at"),
        key("grant_history_v1", "grant_id", "sequence"),
    )


def upgrade() -> None:
    """Create them."""
    _create_grants_v1()
    _create_grant_history_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("grant_history_v1")
    op.drop_table("grants_v1")
