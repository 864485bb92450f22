"""Create the table of held quotes; a grant that took one has no auction."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0018"
down_revision: str | None = "0017"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "quotes_v1",
        text("quote_id"),
        text("startup_id"),
        text("pool_id"),
        jsonb("terms"),
        jsonb("match"),
        numeric("cash_hold_usd"),
        text("status"),
        text("order_id", null=True),
        text("reason", null=True),
        timestamp("expires_at"),
        timestamp("held_at"),
        bigint("last_sequence"),
        key("quotes_v1", "quote_id"),
    )
    op.create_index("ix_quotes_v1_startup", "quotes_v1", ["startup_id", "quote_id"])
    op.create_index("ix_quotes_v1_status", "quotes_v1", ["status", "expires_at"])
    op.alter_column("grants_v1", "auction_id", nullable=True)


def downgrade() -> None:
    """Drop what was created."""
    op.execute("DELETE FROM grants_v1 WHERE auction_id IS NULL")
    op.alter_column("grants_v1", "auction_id", nullable=False)
    op.drop_table("quotes_v1")
