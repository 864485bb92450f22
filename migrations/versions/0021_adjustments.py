"""Say of each statement what it adjusts, what the tenant's meter said, and who disputes it; and keep evidence."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0021"
down_revision: str | None = "0020"


def upgrade() -> None:
    """Add the columns and create the table."""
    op.add_column("statements_v1", text("disputed_by", null=True))
    op.add_column("statements_v1", bigint("tenant_gpu_seconds", null=True))
    op.add_column("statements_v1", jsonb("adjustment", null=True))
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
    """Drop them."""
    op.drop_table("evidence_samples_v1")
    for column in ("adjustment", "tenant_gpu_seconds", "disputed_by"):
        op.drop_column("statements_v1", column)
