"""Create the tables of mandates."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0004"
down_revision: str | None = "0003"


def _create_mandates_v1() -> None:
    op.create_table(
        "mandates_v1",
        text("mandate_id"),
        text("holder_id"),
        text("funding"),
        jsonb("terms"),
        text("status"),
        numeric("held_usd"),
        numeric("captured_usd"),
        text("reason", null=True),
        timestamp("granted_at"),
        bigint("last_sequence"),
        key("mandates_v1", "mandate_id"),
    )
    op.create_index("ix_mandates_v1_holder", "mandates_v1", ["holder_id", "mandate_id"])


def _create_mandate_holds_v1() -> None:
    op.create_table(
        "mandate_holds_v1",
        text("mandate_id"),
        text("hold_id"),
        text("order_id"),
        text("issuer_id"),
        text("grant_id", null=True),
        numeric("held_usd"),
        numeric("captured_usd"),
        bigint("last_sequence"),
        key("mandate_holds_v1", "mandate_id", "hold_id"),
    )
    op.create_index("ix_mandate_holds_v1_issuer", "mandate_holds_v1", ["mandate_id", "issuer_id"])


def upgrade() -> None:
    """Create them."""
    _create_mandates_v1()
    _create_mandate_holds_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("mandate_holds_v1")
    op.drop_table("mandates_v1")
