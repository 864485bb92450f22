"""Create the table of what machines said beside the readings."""

from alembic import op

from migrations.columns import bigint, key, numeric, text, timestamp

revision: str = "0021"
down_revision: str | None = "0020"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "evidence_samples_v1",
        text("grant_id"),
        text("meter"),
        text("source"),
        text("device"),
        timestamp("at"),
        text("usage_id"),
        numeric("gpu_utilisation", null=True),
        numeric("energy_kwh", null=True),
        bigint("xid_error", null=True),
        bigint("last_sequence"),
        key("evidence_samples_v1", "grant_id", "meter", "source", "device", "at"),
    )


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("evidence_samples_v1")
