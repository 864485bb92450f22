"""Create the tables of usage."""

from alembic import op

from migrations.columns import bigint, flag, jsonb, key, text, timestamp

revision: str = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "readings_v1",
        text("grant_id"),
        text("source"),
        text("reading_id"),
        text("usage_id"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        bigint("nodes"),
        bigint("gpu_seconds"),
        jsonb("evidence", null=True),
        bigint("corrections"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("readings_v1", "grant_id", "source", "reading_id"),
    )
    op.create_index("ix_readings_v1_grant", "readings_v1", ["grant_id", "reported_sequence"])


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("readings_v1")
