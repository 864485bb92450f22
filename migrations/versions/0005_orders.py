"""Create the tables of orders."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0005"
down_revision: str | None = "0004"


def _create_orders_v1() -> None:
    op.create_table(
        "orders_v1",
        text("order_id"),
        text("startup_id"),
        text("issuer_id"),
        text("account_id"),
        text("hold_id"),
        text("status"),
        jsonb("terms"),
        numeric("cash_hold_usd"),
        jsonb("budget_holds"),
        text("auction_id", null=True),
        text("grant_id", null=True),
        jsonb("reasons", null=True),
        numeric("price_to_win_usd_per_gpu_hour", null=True),
        text("cancel_reason", null=True),
        timestamp("placed_at"),
        bigint("last_sequence"),
        key("orders_v1", "order_id"),
    )
    op.create_index("ix_orders_v1_auction", "orders_v1", ["auction_id", "order_id"])
    op.create_index("ix_orders_v1_startup", "orders_v1", ["startup_id", "order_id"])
    op.create_index("ix_orders_v1_status", "orders_v1", ["status", "order_id"])


def _create_order_history_v1() -> None:
    op.create_table(
        "order_history_v1",
        text("order_id"),
        bigint("sequence"),
        text("status"),
        jsonb("terms", null=True),
        timestamp("occurred_at"),
        key("order_history_v1", "order_id", "sequence"),
    )


def upgrade() -> None:
    """Create them."""
    _create_orders_v1()
    _create_order_history_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("order_history_v1")
    op.drop_table("orders_v1")
