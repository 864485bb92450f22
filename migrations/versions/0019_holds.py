"""Create the table of holds."""

from alembic import op

from migrations.columns import bigint, flag, key, numeric, text, timestamp

revision: str = "0019"
down_revision: str | None = "0018"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "holds_v1",
        text("account_id"),
        text("hold_id"),
        text("party_id"),
        text("purpose"),
        numeric("left_usd"),
        numeric("captured_usd"),
        timestamp("expires_at", null=True),
        flag("expired"),
        timestamp("placed_at"),
        bigint("last_sequence"),
        key("holds_v1", "account_id", "hold_id"),
    )
    op.create_index("ix_holds_v1_party", "holds_v1", ["party_id", "hold_id"])
    op.create_index("ix_holds_v1_purpose", "holds_v1", ["purpose", "hold_id"])


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("holds_v1")
