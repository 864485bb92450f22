"""Create the tables of parties."""

from alembic import op

from migrations.columns import bigint, jsonb, key, text, timestamp

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "parties_v1",
        text("party_id"),
        text("name"),
        jsonb("roles"),
        text("jurisdiction"),
        text("sector", null=True),
        text("status"),
        text("reason", null=True),
        jsonb("checks"),
        timestamp("registered_at"),
        bigint("last_sequence"),
        key("parties_v1", "party_id"),
    )


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("parties_v1")
